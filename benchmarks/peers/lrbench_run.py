"""The tutorial's baseline by lrbench itself: `configs/baseline.yaml`, in a process of its own like the others."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from measured import arguments, report

import lrbench
from lrbench.training import Training


def timed(now: Callable[[], float], found: list[float]) -> None:
    """Note the time of each epoch's training by another clock than that of `epochs.csv`."""
    plain = Training.run_epoch

    def run_epoch(training: Training, target: int, stop: Callable[[], bool]) -> bool:
        began = now()
        over = plain(training, target, stop)
        found.append(now() - began)
        return over

    Training.run_epoch = run_epoch  # type: ignore[method-assign]


def main() -> None:
    chosen = arguments(__doc__)
    spent: list[float] = []
    timed(chosen.now, spent)
    torch.set_num_threads(chosen.threads)
    config = Path(__file__).parents[2] / "configs" / "baseline.yaml"
    with tempfile.TemporaryDirectory() as root:
        asked = [f"epochs={chosen.epochs}", f"seed={chosen.seed}", f"device={chosen.device}"]
        if chosen.images != 48_000:
            asked.append(f"dataset.train_size={chosen.images}")
        (outcome,) = lrbench.run([config], overrides=asked, runs=root)
        rows = (outcome.path / "epochs.csv").read_text().splitlines()
    columns = rows[0].split(",")
    wall = [float(row.split(",")[columns.index("seconds")]) for row in rows[1:]]
    report(wall if chosen.clock == "wall" else spent, float(rows[-1].split(",")[columns.index("val_accuracy")]))


if __name__ == "__main__":
    main()
