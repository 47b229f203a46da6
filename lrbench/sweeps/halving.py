"""Successive halving (Jamieson and Talwalkar 2016): at a rung, drop the worse half of a line's learning rates.

Lines are never compared: a schedule that warms up or decays late looks bad at a rung and good at the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lrbench.analysis import standing
from lrbench.config import RunConfig
from lrbench.errors import FolderError
from lrbench.runs import Columns, RunFolder, RunResult, Status, read_csv
from lrbench.sweeps.plan import Plan, Planned
from lrbench.training import drop_run


def worse_half(plan: Plan, losses: Mapping[str, float], dropped: frozenset[str]) -> list[Planned]:
    """Return the cells to drop at a rung: of each line, the half of the learning rates with the worse losses.

    Args:
        plan: the cells; learning rates are ordered as in a comparison: by the share of lost seeds, then by the mean.
            Seeds that people asked for come after halving: they are neither judged nor dropped.
        losses: the validation loss at the rung by run name; not finite if there is none.
        dropped: names of runs dropped before.
    """
    logs = all(loss >= 0 for loss in losses.values())
    out = []
    for series in plan.series:
        rates: dict[float | None, list[Planned]] = {}
        for cell in plan.grid:
            if cell.series == series and not cell.added and cell.run not in dropped:
                rates.setdefault(cell.lr, []).append(cell)
        order = sorted(rates, key=lambda lr: _standing([losses.get(c.run, math.inf) for c in rates[lr]], logs))
        out += [cell for lr in order[(len(order) + 1) // 2 :] for cell in rates[lr]]
    return out


def _standing(losses: Sequence[float], logs: bool) -> tuple[float, float]:
    known = [loss for loss in losses if math.isfinite(loss)]
    return standing(known, len(losses) - len(known), logs=logs)


def loss_at(folder: RunFolder, rung: float) -> float:
    """Return the validation loss of the first evaluation at or after a fraction of the run; infinite if it has none.

    A run that stopped early before has its last one.
    """
    try:
        total, table = folder.environment().sizes.total_steps, _rows(folder)
        result = folder.result()
    except FolderError:
        return math.inf
    reached = np.flatnonzero(table["step"] >= rung * total) if total else np.empty(0, int)
    if result is not None and result.status is Status.STOPPED_EARLY and not len(reached):
        reached = np.array([-1])
    loss = float(table["val_loss"][reached[0]]) if len(reached) else math.nan
    return loss if math.isfinite(loss) else math.inf


def drop(folder: RunFolder, experiment: RunConfig, rung: float, loss: float) -> RunResult:
    """Write and return the result of a dropped run: `pruned`, with its checkpoint kept.

    Raises FolderError, LockedError.
    """
    when = f"at the first evaluation after {rung:.0%} of the run"
    reason = f"validation loss {loss:.4g} {when}, in the worse half of its schedule's learning rates"
    with folder.lock():
        return drop_run(folder, experiment, reason)


def _rows(folder: RunFolder) -> Columns:
    table = read_csv(folder.epochs.path)
    if not {"epoch", "step", "lr", "val_loss", "seconds"} <= table.keys():
        raise FolderError(f"{folder.epochs.path} is missing or lacks columns")
    return table
