"""Train the short runs that were labelled by eye, and keep what a verdict rests on: `python tests/labelled/make.py`.

Half a minute of digits, and MNIST where LRBENCH_DATA has it. The labels are in labels.csv, and are not made here.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import lrbench
from lrbench.config import Experiment

HERE = Path(__file__).parent
COLUMNS = ("epoch", "step", "lr", "train_loss", "val_loss", "val_accuracy")


def experiments() -> list[Experiment]:
    """Runs of many fates, in an order that mixes them."""
    made: list[dict[str, Any]] = []

    def add(**keys: Any) -> None:
        base = {"dataset": "digits", "model": "mlp", "epochs": 25, "batch_size": 64, "seed": len(made)}
        made.append({**base, **keys, "name": f"run{len(made):02}"})

    for lr in (1e-7, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.5, 3.0):
        add(optimizer={"name": "adam", "lr": lr})
    for lr in (1e-5, 1e-3, 0.01, 0.1, 0.5, 2.0, 10.0, 1000.0):
        add(optimizer={"name": "sgd", "lr": lr})
    for lr in (0.03, 0.3, 1.0):
        add(optimizer={"name": "sgd", "lr": lr, "momentum": 0.9}, batch_size=32)
    for lr in (1e-6, 1e-4, 1e-3, 0.01, 0.1, 0.5):
        add(model={"name": "cnn", "padding": 1}, optimizer={"name": "adam", "lr": lr}, epochs=15)
    for size, epochs in ((100, 150), (60, 200), (200, 100), (100, 60)):  # few examples: overfitting
        dataset = {"name": "digits", "train_size": size}
        hidden = {"name": "mlp", "hidden": [256, 256]}
        add(dataset=dataset, model=hidden, optimizer={"name": "adam", "lr": 0.003}, epochs=epochs, batch_size=20)
    for factor, every, lr in ((0.01, 3, 1e-3), (0.1, 2, 1e-3), (0.003, 5, 3e-4), (0.01, 8, 0.05), (0.1, 3, 1e-2)):
        steps = {"name": "step", "factor": factor, "every": f"{every} epochs"}
        kind = "sgd" if lr == 0.05 else "adam"
        add(optimizer={"name": kind, "lr": lr}, schedule=steps, epochs=30)
    for gamma in (0.3, 0.5):
        add(optimizer={"name": "adam", "lr": 1e-3}, schedule={"name": "exponential", "gamma": gamma}, epochs=30)
    for schedule in ("cosine", "one_cycle", "linear"):
        add(optimizer={"name": "adam", "lr": 3e-3}, schedule=schedule, epochs=30)
    for batch, lr in ((8, 0.03), (8, 0.02), (16, 0.03), (4, 0.01)):  # small batches at large rates swing
        add(optimizer={"name": "adam", "lr": lr}, batch_size=batch, epochs=20)
    for lr, schedule, epochs in (
        (1e-3, "constant", 5), (0.01, "constant", 6), (0.5, "constant", 4), (1e-5, "constant", 5),
        (1e-7, "constant", 4),
        (0.003, "one_cycle", 5), (0.03, "cosine", 5), (3e-5, "cosine", 5), (0.1, "constant", 4),
    ):  # fmt: skip
        add(
            dataset={"name": "mnist", "train_size": 10_000}, model="cnn", optimizer={"name": "adam", "lr": lr},
            schedule=schedule, epochs=epochs, batch_size=250,
        )  # fmt: skip
    return [Experiment.of(keys, {}, "a labelled run") for keys in made]


def main() -> None:
    kept = []
    with tempfile.TemporaryDirectory() as root:
        outcomes = lrbench.run(experiments(), runs=root, jobs=2)
        for outcome in outcomes:
            with (outcome.path / "epochs.csv").open() as file:
                rows = list(csv.DictReader(file))
            assert outcome.result is not None
            kept.append({
                "name": outcome.experiment.name,
                "config": {k: v for k, v in outcome.experiment.plain().items() if k not in ("name", "seed")},
                "status": outcome.result.status.value,
                "reason": outcome.result.reason,
                "classes": 10,
                **{column: [float(row[column]) for row in rows] for column in COLUMNS},
            })  # fmt: skip
    lines = ",\n".join(json.dumps(run) for run in kept)
    (HERE / "runs.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(kept)} runs", file=sys.stderr)


if __name__ == "__main__":
    main()
