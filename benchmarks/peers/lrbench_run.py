"""The tutorial's baseline by lrbench itself: `configs/baseline.yaml`, in a process of its own like the others."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from measured import arguments, report

import lrbench


def main() -> None:
    chosen = arguments(__doc__)
    torch.set_num_threads(chosen.threads)
    config = Path(__file__).parents[2] / "configs" / "baseline.yaml"
    with tempfile.TemporaryDirectory() as root:
        asked = [f"epochs={chosen.epochs}", f"seed={chosen.seed}", f"device={chosen.device}"]
        (outcome,) = lrbench.run([config], overrides=asked, runs=root)
        rows = (outcome.path / "epochs.csv").read_text().splitlines()
    columns = rows[0].split(",")
    seconds = [float(row.split(",")[columns.index("seconds")]) for row in rows[1:]]
    report(seconds, float(rows[-1].split(",")[columns.index("val_accuracy")]))


if __name__ == "__main__":
    main()
