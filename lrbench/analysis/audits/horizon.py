"""A schedule built for another number of steps than the run has."""

from __future__ import annotations

import math

import numpy as np

from lrbench.analysis.audits.effects import after_the_end, progress
from lrbench.analysis.audits.faults import Answer
from lrbench.analysis.audits.recorded import Floats
from lrbench.analysis.audits.side_by_side import Move, SideBySide
from lrbench.errors import LrbenchError, counted

SHORTEST, LONGEST, TRIED = 2, 1000, 240  # steps; lengths of the run; lengths tried between
NEARLY = 0.01  # of the run; such a difference in length is no mistake
SAMPLED = 60  # rows that choose between lengths


def usual_horizon(pair: SideBySide) -> Answer | None:
    """The schedule's length is the number of epochs, or one epoch, or counts each update as an epoch."""
    total, per_epoch = pair.meant.total_steps, pair.meant.steps_per_epoch
    if per_epoch is None:
        return None
    for length in (-(-total // per_epoch), per_epoch, total * per_epoch):
        if length != total and _explains(pair, length):
            return _told(pair, length)
    return None


def any_horizon(pair: SideBySide) -> Answer | None:
    """The schedule has another length: it ends early, or never."""
    for late in (0, *(n for n in (1, -1) if pair.slack)):
        best = _best(pair, late)
        if best is not None and best != pair.meant.total_steps and _explains(pair, best):
            return _told(pair, best)
    return None


def _explains(pair: SideBySide, length: int) -> bool:
    if length < SHORTEST or pair.meant.start or length > pair.meant.total_steps * LONGEST:
        return False
    try:
        table = pair.meant.over(length).rates(np.arange(min(length, pair.meant.total_steps + 2)))
    except LrbenchError:
        return False
    inside = pair.positions < length
    return pair.explains(inside, table=table) or _held_or_back(pair, table, length)


def _best(pair: SideBySide, late: int) -> int | None:
    """Return the length, up to 1,000 times the run's, whose learning rates are nearest to those recorded.

    They are compared up to where the recorded ones are first at their lowest after the peak, `late` steps late.
    """
    rates = pair.run.rates
    top = int((rates >= 0.999 * pair.run.peak).argmax())
    low = top + int((rates[top:] <= rates[top:].min() + 1e-3 * pair.run.peak).argmax())
    rows = np.unique(np.linspace(0, low, SAMPLED).astype(int))
    there, found = pair.positions[rows] + late, rates[rows]

    def error(length: int) -> float:
        try:
            return float(np.abs(pair.meant.over(length).rates(there) - found).mean())
        except LrbenchError:
            return math.inf

    sizes = np.unique(np.geomspace(SHORTEST, pair.meant.total_steps * LONGEST, TRIED).astype(np.int64))
    least, best = min((error(size), size) for size in sizes.tolist())
    width = max(best // 12, 2)
    while width >= 1:  # the error has one minimum near the best
        near = min((error(n), n) for n in (max(best - width, SHORTEST), best + width))
        if near[0] < least:
            least, best = near
        else:
            width //= 2
    return best if math.isfinite(least) else None


def _held_or_back(pair: SideBySide, table: Floats, length: int) -> bool:
    """Return whether all rows agree with a schedule that stays at its end, or goes to and fro between its ends.

    Torch's cosine does that beyond its T_max.
    """
    if length >= pair.meant.total_steps:
        return False
    every = np.ones(len(pair.run), dtype=bool)
    end = max(2 * table[-1] - table[-2], 0.0) if len(table) > 1 and table[-1] < table[-2] else table[-1]
    values = np.append(table, min(end, pair.run.rates.min()))
    return pair.explains(every, to_and_fro(length), table=values) or pair.explains(every, table=values)


def to_and_fro(length: int) -> Move:
    """Return the move up to `length` and back, again and again."""
    return lambda step: length - np.abs(step % (2 * length) - length)


def _told(pair: SideBySide, length: int) -> Answer:
    total, per_epoch = pair.meant.total_steps, pair.meant.steps_per_epoch
    times = total / length
    unit = ""
    if per_epoch is not None and length == -(-total // per_epoch):
        unit = ", the number of epochs"
    elif length == per_epoch:
        unit = ", an epoch"
    if abs(length - total) <= max(NEARLY * total, 2):
        return Answer(notes=(f"the schedule is {counted(length, 'step')} long, the run {total:,}",))
    if length > total and not pair.meant.length_known:
        said = f"it follows {pair.meant.words} over about {counted(length, 'step')}, of which {total:,} were recorded"
        return Answer(notes=(said,))
    effect = after_the_end(pair, length) if length < total else progress(pair)
    unit += f" (or it moves {times:.0f} steps per update)" if unit and 1 < times <= 64 and times.is_integer() else ""
    words = (
        f"the schedule is {'' if unit else 'about '}{counted(length, 'step')} long{unit}, the run {total:,}: {effect}"
    )
    return Answer((pair.fault("horizon", words),))
