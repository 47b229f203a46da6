"""The plateau rule, which multiplies a schedule by what the validation results make of it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from lrbench.analysis.audits.recorded import Floats, Recorded
from lrbench.runs import Columns
from lrbench.schedules import PlateauRule, PlateauState


def with_plateau(
    rule: PlateauRule,
    rates: Floats,
    run: Recorded,
    evaluations: Columns,
    *,
    lower: bool,
    total_steps: int,
    state_known: bool,
) -> Floats:
    """Return what the rule makes of a schedule's learning rates.

    Args:
        rule: the rule.
        rates: the schedule's learning rate at every row of `run`.
        run: what was recorded.
        evaluations: the columns of `epochs.csv`.
        lower: whether lower values of the rule's metric are better.
        total_steps: steps in the run.
        state_known: False for a run that continues another, whose rule had a state already; then only the moments at
            which the factor may change are known, and the factor is read off the recorded learning rates.
    """
    ends = evaluations["step"]
    values = evaluations.get(rule.metric, np.full(len(ends), math.nan))
    bounds = [0, *np.searchsorted(run.steps, ends, side="right").tolist(), len(run)]
    state = PlateauState()
    found = np.empty(len(run))
    for index, (begin, end) in enumerate(pairwise(bounds)):
        if begin == end and index >= len(ends):
            break
        if not state_known and begin < end and rates[begin] > 0:
            state = PlateauState(scale=float(run.rates[begin] / rates[begin]))
        found[begin:end] = [state.apply(rule, lr) for lr in rates[begin:end].tolist()]
        if state_known and index < len(ends):
            lr = float(rates[end - 1]) if end else math.inf
            done = float(ends[index]) / total_steps
            state.update(rule, float(values[index]), lower=lower, lr=lr, done=done)
    return found
