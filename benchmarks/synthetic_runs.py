"""Write the run folders of a sweep without training: what a report has to read of 1,000 or 10,000 runs.

python benchmarks/synthetic_runs.py runs/k1                     20 families × 10 learning rates × 5 seeds
python benchmarks/synthetic_runs.py runs/k10 --size large       100 families × 20 learning rates × 5 seeds

The folders are as training leaves them, but for the weights: the sweep is planned and its runs are named, written and
found by lrbench itself. Only the losses are made up. Each family has its own best learning rate, lower ones have not
converged, higher ones are noisy, and the highest diverge. The same command writes the same losses.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from lrbench.components import recorded
from lrbench.components.metrics import ACCURACY
from lrbench.config import Experiment, identity
from lrbench.runs import RunFolder, RunResult, Status
from lrbench.schedules import build_schedule
from lrbench.sweeps import plan_sweep

EXAMPLES = 1078  # training examples of digits
CHANCE = math.log(10)  # the loss of a guess among ten classes
PARAMETERS = 4810  # of the model below

COMMON: Mapping[str, Any] = {
    "dataset": "digits",
    "model": {"name": "mlp", "hidden": [64]},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "seed": 0,
}
SCHEDULES = ["constant", "cosine", "linear", "one_cycle", {"name": "exponential", "gamma": 0.9}]
MOMENTA = [0.0, 0.5, 0.9, 0.95]
DECAYS = [0.0, 1e-5, 1e-4, 1e-3, 1e-2]
SWEEPS: Mapping[str, Mapping[str, Any]] = {
    "small": {  # 1,000 runs: 50 epochs of 10 steps
        **COMMON, "name": "k1", "epochs": 50, "batch_size": 110,
        "sweep": {
            "seeds": 5, "schedule": SCHEDULES, "optimizer.momentum": MOMENTA,
            "lr": {"log": [1e-3, 10], "points": 10},
        },
    },
    "large": {  # 10,000 runs: 30 epochs of 4 steps
        **COMMON, "name": "k10", "epochs": 30, "batch_size": 300,
        "sweep": {
            "seeds": 5, "schedule": SCHEDULES, "optimizer.momentum": MOMENTA, "optimizer.weight_decay": DECAYS,
            "lr": {"log": [1e-3, 10], "points": 20},
        },
    },
}  # fmt: skip
Values = NDArray[np.float64]
Row = dict[str, float | int]


@dataclass(frozen=True)
class Curves:
    """The values of a run at each step done: learning rate, loss and gradient norm; validation loss beside them."""

    lr: Values
    loss: Values
    grad_norm: Values
    val_loss: Values

    @property
    def diverged(self) -> bool:
        """True if the last loss is not finite."""
        return self.finite < len(self.loss)

    @property
    def finite(self) -> int:
        """The number of steps with a finite loss."""
        return int(np.isfinite(self.loss).sum())


def best_rate(experiment: Experiment) -> float:
    """Return the learning rate at which a family's noise begins to cost more than speed gains.

    It falls with momentum as 1 − momentum, with weight decay a little, and is higher for schedules that decay.
    """
    params = experiment.optimizer.params
    shape = {"constant": 0.6, "one_cycle": 1.8}.get(experiment.schedule.name, 1.2)
    rate = 0.5 * shape * (1 - 0.8 * params.get("momentum", 0.0))
    return float(rate / (1 + 30 * params.get("weight_decay", 0.0)))


def curves(experiment: Experiment, steps: int, steps_per_epoch: int) -> Curves:
    """Make up the values of every step of a run; they depend on its config alone."""
    rng = np.random.default_rng([experiment.seed, 7])  # a seed's luck is the same for all, as with shared data
    luck = float(np.exp(rng.normal(0, 0.05)))
    peak = experiment.lr or 1.0
    rng = np.random.default_rng(int(identity(experiment)[:16], 16))
    schedule = build_schedule(experiment.schedule, lr=peak, total_steps=steps, steps_per_epoch=steps_per_epoch)
    lr = np.array([schedule(step) for step in range(steps)])
    relative = lr / best_rate(experiment)
    floor = 0.08 * luck * float(np.exp(rng.normal(0, 0.03)))
    progress = np.cumsum(relative) / steps
    loss = floor + (CHANCE - floor) * np.exp(-12 * progress) + floor * relative
    highest = float(relative.max())
    if highest > 3:  # beyond stability: at chance, and further up not even finite
        loss = np.full(steps, CHANCE + 0.02 * highest)
    val_loss = (loss + 0.4 * floor) * np.exp(rng.normal(0, 0.02, steps))
    loss = loss * np.exp(rng.normal(0, 0.12, steps))
    grad_norm = 0.3 + 1.5 * loss * np.exp(rng.normal(0, 0.2, steps))
    if highest > 8:
        end = max(2, round(steps * min(0.5, 2 / highest)))
        lr, loss, grad_norm, val_loss = lr[:end], loss[:end].copy(), grad_norm[:end], val_loss[:end]
        loss[-1] = math.nan
    return Curves(lr, loss, grad_norm, val_loss)


def write(folder: RunFolder, experiment: Experiment, steps_per_epoch: int | None = None) -> RunResult:
    """Write a run as training would have left it, except for the weights.

    Args:
        folder: where; see `RunFolder.of`.
        experiment: its config, with a budget in epochs.
        steps_per_epoch: instead of those of the digits at the config's batch size.
    """
    per_epoch = steps_per_epoch or math.ceil(EXAMPLES / experiment.batch_size)
    made = curves(experiment, (experiment.epochs or 1) * per_epoch, per_epoch)
    sizes = {
        "parameters": PARAMETERS, "train_examples": EXAMPLES, "validation_examples": 359, "test_examples": 360,
        "steps_per_epoch": per_epoch, "total_steps": (experiment.epochs or 1) * per_epoch, "classes": 10,
    }  # fmt: skip
    folder.create(
        experiment, {"threads": 1, "device": "cpu", "metrics": recorded([ACCURACY]), "sizes": sizes, "user_code": {}}
    )
    folder.open_logs([ACCURACY])
    momentum = experiment.optimizer.params.get("momentum", 0.0)
    columns = (column.tolist() for column in (made.lr, made.loss, made.grad_norm))
    folder.steps.append(
        {"step": step, "lr": lr, "momentum": momentum, "loss": loss, "grad_norm": norm}
        for step, (lr, loss, norm) in enumerate(zip(*columns, strict=True), 1)
    )
    rows = [_evaluation(made, epoch, per_epoch) for epoch in range(1, made.finite // per_epoch + 1)]
    folder.epochs.append({**row, "seconds": 0.05, "examples_per_second": EXAMPLES / 0.05} for row in rows)
    folder.close_logs()
    return folder.finish(experiment, _result(made, rows, experiment))


def _evaluation(made: Curves, epoch: int, per_epoch: int) -> Row:
    """Return the row of an epoch: its mean training loss, and what validation gives at its end."""
    last = epoch * per_epoch - 1
    train, val = float(made.loss[last + 1 - per_epoch : last + 1].mean()), float(made.val_loss[last])
    losses = {"lr": float(made.lr[last]), "train_loss": train, "val_loss": val}
    return {
        "epoch": epoch, "step": last + 1, **losses,
        "train_accuracy": _accuracy(train), "val_accuracy": _accuracy(val),
    }  # fmt: skip


def _result(made: Curves, rows: list[Row], experiment: Experiment) -> RunResult:
    done = RunResult(
        Status.FINISHED,
        epochs=len(rows),
        steps=len(made.loss),
        evaluations=len(rows),
        seconds=0.05 * len(rows),
        effective_lr=experiment.lr,
    )
    if rows:
        shown = [{key: value for key, value in row.items() if key != "lr"} for row in rows]
        done = replace(done, final=shown[-1], best=min(shown, key=lambda row: row["val_loss"]))
    if made.diverged:
        where = f"at update {len(made.loss)}, at a rate of {made.lr[-1]:.4g}"
        reason = f"the loss was not finite {where}; the last finite loss was {made.loss[-2]:.4g}"
        return replace(done, status=Status.DIVERGED, reason=reason)
    return replace(done, test=_test(rows[-1]), test_best=_test(min(rows, key=lambda row: row["val_loss"])))


def _test(row: Row) -> dict[str, float]:
    """Return the values on test data that go with an evaluation."""
    loss = row["val_loss"] * 1.02
    return {"loss": loss, "accuracy": _accuracy(loss)}


def _accuracy(loss: float) -> float:
    """Return an accuracy that goes with a loss: 0.96 with 0.15, 0.1 with that of a guess."""
    return math.exp(-0.66 * loss**1.5) if math.isfinite(loss) else 0.1


def write_sweep(root: Path, sweep: Mapping[str, Any]) -> int:
    """Write a sweep's plan and all of its runs under `root`; return how many. Those that are there are left alone.

    Args:
        root: the runs folder; created if missing.
        sweep: a config with a `sweep:` block, such as one of `SWEEPS`.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "sweep.yaml"
        config.write_text(yaml.safe_dump(dict(sweep), sort_keys=False))
        asked = plan_sweep([config], runs=root)
    asked.folder.write(asked.plan)
    for cell, planned, outcome in zip(asked.cells, asked.plan.cells, asked.outcomes, strict=True):
        if outcome.to_do:
            assert isinstance(cell.experiment, Experiment)
            write(asked.folder.run(planned), cell.experiment)
    return len(asked.cells)


def main() -> None:
    """Write the sweep that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="the runs folder to write to; created if missing")
    parser.add_argument("--size", choices=SWEEPS, default="small")
    asked = parser.parse_args()
    print(f"{write_sweep(asked.runs, SWEEPS[asked.size]):,} runs in {asked.runs}")


if __name__ == "__main__":
    main()
