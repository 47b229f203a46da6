"""A warm-up that is missing, or of another length than meant."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lrbench.analysis.audits.faults import Fault
from lrbench.analysis.audits.side_by_side import SideBySide
from lrbench.errors import LrbenchError, counted
from lrbench.types import Duration


def wrong_warmup(pair: SideBySide) -> Fault | None:
    """The schedule agrees if its warm-up is left out, or has the length of the recorded rise."""
    meant_rise = pair.meant.rise
    every = np.ones(len(pair.run), dtype=bool)
    for rise in _rises(pair, meant_rise):
        try:
            table = pair.meant.warmed(Duration(rise, "steps")).table()
        except LrbenchError:
            continue
        if pair.explains(every, table=table) or (np.ptp(table) == 0 and pair.agrees(table=table).all()):
            return pair.fault("warm-up", _told(rise, meant_rise))
    return None


def _rises(pair: SideBySide, meant_rise: int) -> Iterator[int]:
    """Yield lengths of a warm-up: none, usual mistakes, and the step of the highest learning rate recorded."""
    per_epoch = pair.meant.steps_per_epoch or 1
    rates, steps = pair.run.rates, pair.run.steps
    top = int(rates.argmax())
    recorded = int(steps[top]) if top and (np.diff(rates[: top + 1]) >= 0).all() else 0
    usual = [meant_rise * per_epoch, meant_rise // per_epoch] if meant_rise else []
    near = [recorded + late for late in (0, -1, 1)] if recorded else []
    # Between two rows, the rise has ended where it would have gone on to.
    if recorded and top > 1:
        pace = (rates[top - 1] - rates[0]) / (steps[top - 1] - steps[0])
        near += [round(float((pair.meant.lr - rates[0]) / pace + steps[0]))] if pace > 0 else []
        near += [near[-1] - 1] if pace > 0 else []
    yield from dict.fromkeys(n for n in (0, *usual, *near) if n != meant_rise and n >= 0)


def _told(rise: int, meant: int) -> str:
    if not rise:
        return f"the warm-up of {counted(meant, 'step')} is missing"
    if not meant:
        return f"there is a warm-up of about {counted(rise, 'step')}, which was not meant"
    return f"the warm-up is about {counted(rise, 'step')} long, not {meant:,}"
