"""Successive halving within one line: at a rung, the worse half of its rates is left (Jamieson and Talwalkar 2016).

Never across lines: a schedule that warms up, or decays late, looks bad at a rung and good in the end.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from lrbench.config.load import Experiment
from lrbench.errors import FolderError
from lrbench.runs.folder import RunFolder
from lrbench.sweeps.plan import Plan, Planned


def worse_half(plan: Plan, losses: Mapping[str, float], left: frozenset[str]) -> list[Planned]:
    """The cells of the rates that are left at a rung: of each line the half whose losses are worse there.

    Args:
        plan: the cells; seeds of one rate stand or fall together, by the median of their losses.
        losses: by the run's name, the validation loss at the rung; not finite where there is none.
        left: names of runs that have been left before.
    """
    out = []
    for series in plan.series:
        rates: dict[float | None, list[Planned]] = {}
        for cell in plan.grid:
            if cell.series == series and cell.run not in left:
                rates.setdefault(cell.lr, []).append(cell)
        order = sorted(rates, key=lambda lr: statistics.median(losses.get(c.run, math.inf) for c in rates[lr]))
        out += [cell for lr in order[(len(order) + 1) // 2 :] for cell in rates[lr]]
    return out


def loss_at(folder: RunFolder, rung: float) -> float:
    """The validation loss at the end of the epoch in which a part of the run was done; infinite where it diverged.

    Raises FolderError where the folder can't be read.
    """
    total = (folder.environment().get("sizes") or {}).get("total_steps")
    for row in _rows(folder):
        if total and float(row["step"]) >= rung * total:
            loss = float(row["val_loss"] or "nan")
            return loss if math.isfinite(loss) else math.inf
    return math.inf


def leave(folder: RunFolder, experiment: Experiment, rung: float, loss: float) -> dict[str, Any]:
    """Write the result of a paused run that is left: `pruned`, with a checkpoint to go on from. The result.

    Raises FolderError, LockedError.
    """
    rows = _rows(folder)
    metrics = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    last, best = rows[-1], min(rows, key=lambda row: _number(row["val_loss"]) or math.inf)
    worse = f"validation loss {loss:.4g} after {rung:.0%} of the run, in the worse half of its schedule's rates"
    result = {
        "status": "pruned",
        "reason": worse,
        "epochs": int(float(last["epoch"])),
        "steps": int(float(last["step"])),
        "seconds": sum(_number(row["seconds"]) or 0.0 for row in rows),
        "effective_lr": max(_number(row["lr"]) or 0.0 for row in rows),
        "final": {name: _number(last[name]) for name in metrics},
        "best": {"epoch": int(float(best["epoch"])), **{name: _number(best[name]) for name in metrics[2:]}},
        "test": None,
        "test_best": None,
    }
    with folder.lock():
        return folder.finish(experiment, result)


def _rows(folder: RunFolder) -> Sequence[Mapping[str, str]]:
    try:
        with folder.epochs.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise FolderError(f"{folder.epochs.path} can't be read: {error}") from error


def _number(text: str | None) -> float | None:
    return float(text) if text else None
