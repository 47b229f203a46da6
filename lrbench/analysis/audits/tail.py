"""Learning rates that follow the schedule up to a step, and another course from there on, as after a resumption."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from lrbench.analysis.audits.faults import Fault, Kind
from lrbench.analysis.audits.side_by_side import Mask, SideBySide
from lrbench.errors import LrbenchError, counted

MOST_TIMES = 8
VANISHED = 1e-6  # of the peak


def from_a_step_on(pair: SideBySide) -> Fault:
    """Return the fault of learning rates that no mistake in the whole schedule explains."""
    first = pair.first
    for row in _starts(pair):
        rows = np.arange(len(pair.run)) >= row
        for kind, guess in GUESSES:
            words = guess(pair, row, rows)
            if words is not None:
                return pair.fault(kind, words, row)
    back = np.flatnonzero(~pair.wrong[first:])
    if len(back) and not pair.wrong[first + back[0] :].any():
        count = int(back[0])
        return pair.fault("other", f"{count:,} recorded step{'s differ' if count > 1 else ' differs'} there", first)
    jump = _jump(pair, first)
    if jump is not None:
        return pair.fault("jump", jump, first)
    worst = int(np.abs(pair.run.rates - pair.expected).argmax())
    found, wanted = pair.run.rates[worst], pair.expected[worst]
    far = f"furthest at step {int(pair.run.steps[worst]):,}, with {found:.3g} instead of {wanted:.3g}"
    return pair.fault("other", f"the learning rate does not follow {pair.meant.words}; it is {far}", first)


def _starts(pair: SideBySide) -> Iterator[int]:
    """Yield rows at which another course may begin: that of the first difference, and of a jump just before."""
    first = pair.first
    before = np.abs(np.diff(pair.run.rates[max(first - 50, 0) : first + 1]))
    jumped = max(first - 50, 0) + int(before.argmax()) + 1 if len(before) else first
    regressed = np.flatnonzero(np.isin(pair.run.steps, pair.run.went_back))
    yield from dict.fromkeys(int(row) for row in (*regressed[:3], first, jumped, pair.begins()) if row > 0)


def _again(pair: SideBySide, row: int, rows: Mask) -> str | None:
    start = int(pair.positions[row])
    if pair.explains(rows, lambda step: step - start):
        return "the schedule starts again from its beginning, as if it was not restored on resuming"
    left = len(pair.table) - start
    try:
        table = pair.meant.over(left).table() if left > 1 and not pair.meant.start else None
    except LrbenchError:
        return None
    if table is not None and pair.explains(rows, lambda step: step - start, table=table):
        over = f"over the remaining {counted(left, 'step')}"
        return f"the schedule starts again, {over}, as if it was not restored on resuming"
    return None


def _vanished(pair: SideBySide, row: int, rows: Mask) -> str | None:
    if rows.sum() < 3 or not (pair.run.rates[rows] < VANISHED * pair.run.peak).all():
        return None
    return "the learning rate is nearly 0 from there on: the schedule is stepped too often or too short"


def _stopped(pair: SideBySide, row: int, rows: Mask) -> str | None:
    tail = pair.run.rates[rows]
    if len(tail) < 3 or np.ptp(tail) > 1e-9 * pair.run.peak:
        return None
    return f"the learning rate stays at {tail[0]:.3g}: the schedule is no longer stepped"


def _behind(pair: SideBySide, row: int, rows: Mask) -> str | None:
    """The schedule goes on from an earlier or later step of itself."""
    here = pair.run.rates[row]
    near = np.flatnonzero(np.abs(pair.table - here) <= np.maximum(pair.tolerance[row], 1e-6 * pair.run.peak))
    middle = near[len(near) // 2 : len(near) // 2 + 1]
    for place in dict.fromkeys((*near[:1].tolist(), *near[-1:].tolist(), *middle.tolist())):
        ahead = int(place - pair.positions[row])
        if abs(ahead) > 1 and pair.explains(rows, lambda step, ahead=ahead: step + ahead):  # type: ignore[misc]
            where = "ahead" if ahead > 0 else "back"
            return f"the schedule jumps {counted(abs(ahead), 'step')} {where}: was an older or newer state restored?"
    return None


def _faster(pair: SideBySide, row: int, rows: Mask) -> str | None:
    at = row + (len(pair.run) - row) // 4  # a row from which to reckon where it began, not far after it
    near = np.flatnonzero(np.abs(pair.table - pair.run.rates[at]) <= pair.tolerance[at])
    places = dict.fromkeys((*near[:1].tolist(), *near[-1:].tolist(), *near[len(near) // 2 :][:1].tolist()))
    for k in range(2, MOST_TIMES + 1):
        begun = {round((k * int(pair.positions[at]) - place) / (k - 1)) for place in places}
        for start in (int(pair.positions[row]) - 1, *begun):
            inside = rows & (start + k * (pair.positions - start) <= pair.last)
            if pair.explains(inside, lambda step, k=k, start=start: start + k * (step - start)):  # type: ignore[misc]
                return f"the schedule moves {k} steps per update from there on: are there two schedulers?"
    return None


def _scaled(pair: SideBySide, row: int, rows: Mask) -> str | None:
    factor = pair.factor(rows) if rows.sum() >= 3 else None
    if factor is None or abs(factor - 1) < 0.005:
        return None
    return f"the learning rate is {factor:.4g} times what was meant"


def _jump(pair: SideBySide, row: int) -> str | None:
    """Describe a change that is large beside its neighbours, where no change was meant."""
    rates = pair.run.rates
    if row < 1 or pair.wrong[:row].any():
        return None
    here = abs(rates[row] - rates[row - 1])
    around = np.abs(np.diff(rates[max(row - 10, 0) : row]))
    meant = abs(pair.expected[row] - pair.expected[row - 1])
    if here < 0.02 * pair.run.peak or here < 5 * max(around.max(initial=0.0), meant):
        return None
    return f"the learning rate jumps from {rates[row - 1]:.3g} to {rates[row]:.3g}"


GUESSES: tuple[tuple[Kind, Callable[[SideBySide, int, Mask], str | None]], ...] = (
    ("jump", _again),
    ("zero", _vanished),
    ("constant", _stopped),
    ("jump", _behind),
    ("steps", _faster),
    ("peak", _scaled),
)
