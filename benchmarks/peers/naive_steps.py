"""The steps of a run as people look at them in a notebook: pandas reads the file, matplotlib draws loss and rate."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import pandas as pd
from matplotlib import pyplot as plt


def main(runs: Path, out: Path) -> None:
    (file,) = runs.glob("*/steps.csv")
    steps = pd.read_csv(file)
    figure, (above, below) = plt.subplots(2, sharex=True, figsize=(10, 8))
    above.plot(steps["step"], steps["loss"], linewidth=0.5, alpha=0.4)
    above.plot(steps["step"], steps["loss"].ewm(span=1000).mean())
    above.set(ylabel="loss", yscale="log")
    below.plot(steps["step"], steps["lr"])
    below.set(xlabel="step", ylabel="learning rate")
    figure.savefig(out, dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
