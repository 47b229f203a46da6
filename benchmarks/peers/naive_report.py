"""A report of a folder of runs as people write it in a notebook: pandas reads the files, matplotlib draws two figures.

It reads what lrbench's report reads of each run but for the steps: config, result and the rows of the epochs. It
groups the runs by all but the seed, and writes a table of means and standard deviations, the curves of each group, and
the last loss against the learning rate. No statistics, no page.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import pandas as pd
import yaml
from matplotlib import pyplot as plt


def main(runs: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    frames, rows = [], []
    for file in sorted(runs.glob("*/result.json")):
        config = yaml.safe_load((file.parent / "config.yaml").read_text())
        seed, lr = config.pop("seed"), config["optimizer"].pop("lr")
        family = json.dumps(config, sort_keys=True, default=str)
        result = json.loads(file.read_text())
        rows.append({"family": family, "lr": lr, "seed": seed, "status": result["status"], **(result["final"] or {})})
        epochs = pd.read_csv(file.parent / "epochs.csv")
        frames.append(epochs.assign(family=family, lr=lr, seed=seed))
    table = pd.DataFrame(rows)
    summary = table.groupby(["family", "lr"])[["val_loss", "val_accuracy"]].agg(["mean", "std", "count"])
    summary.to_csv(out / "summary.csv")
    curves = pd.concat(frames).groupby(["family", "lr", "epoch"])["val_loss"].mean()
    figure, axes = plt.subplots(figsize=(10, 6))
    for _, curve in curves.groupby(level=["family", "lr"]):
        axes.plot(curve.index.get_level_values("epoch"), curve.to_numpy(), linewidth=0.8)
    axes.set(xlabel="epoch", ylabel="validation loss", yscale="log")
    figure.savefig(out / "curves.png", dpi=150)
    figure, axes = plt.subplots(figsize=(10, 6))
    for _, line in summary["val_loss"].groupby(level="family"):
        axes.errorbar(line.index.get_level_values("lr"), line["mean"], yerr=line["std"])
    axes.set(xlabel="learning rate", ylabel="validation loss", xscale="log", yscale="log")
    figure.savefig(out / "rates.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
