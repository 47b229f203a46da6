"""The learning rates of parameter groups, which have columns of their own in `steps.csv`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lrbench.analysis.audits.faults import Fault
from lrbench.analysis.audits.recorded import Floats, Recorded
from lrbench.components import Stage

MOVED = 0.01  # of its highest value, by which the other learning rates must have moved


def resting(run: Recorded) -> Iterator[Fault]:
    """Yield a fault for each group of a foreign program that does not move while others do, and for one at 0."""
    courses = {"": run.rates, **run.groups}
    for name, rates in run.groups.items():
        known = np.isfinite(rates)
        if known.sum() < 3:
            continue
        row, own = int(known.argmax()), rates[known]
        others = [other[known] for key, other in courses.items() if key != name and np.isfinite(other[known]).all()]
        first, found = int(run.steps[row]), float(own[0])
        if not own.any():
            yield Fault("group", f"the learning rate of {_named(name)} is 0 throughout", first, None, 0.0, name)
        elif np.ptp(own) <= 1e-9 * own.max() and any(np.ptp(other) > MOVED * other.max() for other in others):
            joined = ", which joins at that step" if row else ""
            words = f"the learning rate of {_named(name)}{joined} does not move, while others do"
            yield Fault("group", f"{words}: was it added after the scheduler was made?", first, None, found, name)


def _named(column: str) -> str:
    return f"group {column.removeprefix('lr_')}"


def of_stages(run: Recorded, told: Sequence[Mapping[str, Any]], start: int) -> Iterator[Fault]:
    """Yield a fault for each group whose ratio to the schedule is not the one that its stage gives.

    Args:
        run: what was recorded.
        told: what `env.json` says about the groups.
        start: steps of the schedule before the run.
    """
    for group in told:
        column = str(group.get("column"))
        if column not in run.groups:
            continue
        expected = run.rates * _factors(group, run.positions + start)
        wrong = ~(np.abs(run.groups[column] - expected) <= 1e-6 * run.peak)
        if wrong.any():
            row = int(wrong.argmax())
            words = f"the learning rate of {_named(column)} does not have its ratio to the schedule"
            step, found = int(run.steps[row]), float(run.groups[column][row])
            yield Fault("group", words, step, float(expected[row]), found, column)


def _factors(group: Mapping[str, Any], positions: Any) -> Floats:
    stage = Stage(str(group.get("pattern")), int(group.get("start", 0)), int(group.get("warmup_steps", 0)))
    return np.array([float(group.get("ratio", 1.0)) * stage.factor(step) for step in positions.tolist()])
