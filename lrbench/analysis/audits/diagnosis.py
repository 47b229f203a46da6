"""Which mistake explains learning rates that differ from the schedule.

Each function below tries one: it computes the learning rates that the mistake would have given, and returns a fault if
these are the recorded ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from lrbench.analysis.audits.effects import after_the_end, progress
from lrbench.analysis.audits.faults import Answer, Fault, Kind
from lrbench.analysis.audits.horizon import any_horizon, usual_horizon
from lrbench.analysis.audits.side_by_side import SideBySide
from lrbench.analysis.audits.tail import from_a_step_on
from lrbench.analysis.audits.warmup import wrong_warmup
from lrbench.errors import counted

SLIGHT = 0.001  # of the peak; such differences are told, but are no mistakes
MOST_TIMES = 64  # steps of the scheduler per update that are tried


def diagnosed(pair: SideBySide) -> Answer:
    """Return what is wrong with a run's learning rates, and what differs without being a mistake."""
    if not pair.wrong.any():
        return Answer(notes=tuple(_notes(pair)))
    most = float(np.abs(pair.run.rates - pair.expected).max())
    if most <= SLIGHT * pair.run.peak:
        return Answer(notes=(f"it differs by at most {most / pair.run.peak:.2%} of its peak",))
    still = constant(pair)
    if still is not None:
        return Answer((still,))
    waiting, count = pair.waiting()
    if not waiting.wrong.any():
        return Answer(notes=(f"the schedule waited for {counted(count, 'update')}, perhaps skipped ones",))
    for guess in GUESSES:
        found = guess(pair)
        if isinstance(found, Answer):
            return found
        if found is not None:
            return Answer((found,))
    return Answer((from_a_step_on(pair),))


def _notes(pair: SideBySide) -> Iterator[str]:
    """Describe that each learning rate was recorded a step late or early, if no row agrees otherwise."""
    if pair.slack == 0:
        return
    exact = np.abs(pair.run.rates - pair.expected) <= 1e-9 * pair.run.peak
    if exact.mean() > 0.5 or len(pair.run) < 10:
        return
    for late, words in ((1, "after the scheduler's step: each is that of the next update"), (-1, "a step late")):
        moved = pair.at(pair.positions + late)
        if (np.abs(pair.run.rates - moved) <= 1e-6 * pair.run.peak).mean() > 0.9:
            yield f"the learning rates were recorded {words}"


def constant(pair: SideBySide) -> Fault | None:
    """The schedule never moved: nothing steps the scheduler, or it does not know this optimizer."""
    if not pair.run.still or len(pair.run) < 2:
        return None
    words = f"the learning rate is constant, but {pair.meant.words} was meant: is the scheduler stepped?"
    return pair.fault("constant", words)


def several_per_update(pair: SideBySide) -> Fault | None:
    """The scheduler is stepped k times per update, by each process or each batch of an update."""
    for k in range(2, MOST_TIMES + 1):
        if _moves(pair, k):
            horizon = pair.meant.total_steps / k
            perhaps = "" if pair.meant.rise else f" (or it is {horizon:,.0f} steps long)"
            words = f"the schedule moves {k} steps per update{perhaps}: {after_the_end(pair, horizon)}"
            return pair.fault("steps", words)
    return None


def epoch_per_update(pair: SideBySide) -> Fault | None:
    """The scheduler of a schedule that counts epochs is stepped with every update."""
    per_epoch = pair.meant.steps_per_epoch or 1
    if per_epoch == 1 or not pair.meant.counts_epochs or not _moves(pair, per_epoch):
        return None
    end = after_the_end(pair, pair.meant.total_steps / per_epoch)
    return pair.fault("steps", f"the schedule counts epochs, but its scheduler is stepped with every update: {end}")


def _moves(pair: SideBySide, times: int) -> bool:
    """Return whether the schedule moves so many steps per update, until its end."""
    for ahead in (0, times - 1):
        inside = times * pair.positions + ahead <= pair.last
        if pair.explains(inside, lambda step, ahead=ahead: times * step + ahead):  # type: ignore[misc]
            return True
    return False


def seldom(pair: SideBySide) -> Answer | None:
    """The scheduler is stepped once an epoch, or once in k updates."""
    per_epoch = pair.meant.steps_per_epoch
    stair = _stair(pair)
    for k in dict.fromkeys(n for n in (per_epoch, stair, *range(2, 17)) if n is not None and n > 1):
        every = np.ones(len(pair.run), dtype=bool)
        told = "once an epoch" if k == per_epoch else f"once in {k:,} updates"
        if pair.explains(every, lambda step, k=k: step // k) and stair is not None:  # type: ignore[misc]
            counts = f"the scheduler is stepped {told}, but the schedule counts updates"
            return Answer((pair.fault("steps", f"{counts}: {progress(pair)}"),))
        if pair.explains(every, lambda step, k=k: step // k * k) and stair is not None:  # type: ignore[misc]
            return Answer(notes=(f"the learning rate changes {told}, otherwise as meant",))
    return None


def _stair(pair: SideBySide) -> int | None:
    """Return the usual number of steps between two changes of the learning rate, if it often stays the same."""
    changes = np.flatnonzero(np.abs(np.diff(pair.run.rates)) > 1e-9 * pair.run.peak)
    if len(changes) < 2 or len(changes) > 0.6 * len(pair.run):
        if len(changes) == 1 and len(pair.run) > 4:  # two epochs
            return int(pair.run.steps[changes[0] + 1] - 1)
        return None
    return int(np.median(np.diff(pair.run.steps[changes + 1])))


def scaled(pair: SideBySide) -> Fault | None:
    """The learning rate is a multiple of what was meant, as by the number of processes or a rule for batch sizes."""
    factor = pair.factor()
    if factor is None or abs(factor - 1) < 0.005:
        return None
    words = f"the learning rate is {factor:.4g} times what was meant"
    hint = "; is it scaled with the batch size or the number of processes?" if factor > 1.5 else ""
    return pair.fault("peak", words + hint)


def shifted(pair: SideBySide) -> Fault | None:
    """The schedule is a fixed number of steps ahead or behind, as if begun earlier or later than the run."""
    every = np.ones(len(pair.run), dtype=bool)
    for row in np.linspace(0, len(pair.run) - 1, 5).astype(int)[1:4]:
        near = np.flatnonzero(np.abs(pair.table - pair.run.rates[row]) <= pair.tolerance[row])
        for ahead in {int(place - pair.positions[row]) for place in (near[:1], near[-1:]) for place in place}:
            if abs(ahead) > 1 and pair.explains(every, lambda step, ahead=ahead: step + ahead):  # type: ignore[misc]
                where = "ahead of" if ahead > 0 else "behind"
                why = "did it begin before this run?" if ahead > 0 else "did it begin later than the run?"
                return pair.fault("other", f"the schedule is {counted(abs(ahead), 'step')} {where} the updates: {why}")
    return None


def stretched(pair: SideBySide) -> Fault | None:
    """The shape and its length are right, but not its peak and its minimum."""
    if np.ptp(pair.expected) <= 0 or len(pair.run) < 5:
        return None
    slope, base = np.polyfit(pair.expected, pair.run.rates, 1)
    fitted = base + slope * pair.expected
    if slope <= 0 or (np.abs(pair.run.rates - fitted) > 2 * pair.tolerance + 1e-3 * pair.run.peak).any():
        return None
    (low, high), (meant_low, meant_high) = ((values.min(), values.max()) for values in (pair.run.rates, pair.expected))
    ends = f"it lies between {low:.3g} and {high:.3g}, not {meant_low:.3g} and {meant_high:.3g}"
    same_peak = abs(high - meant_high) <= 0.01 * meant_high
    kind: Kind = "minimum" if same_peak else "peak"
    words = "the minimum is never reached" if same_peak and low > meant_low else f"the {kind} differs"
    return pair.fault(kind, f"{words}: {ends}")


GUESSES: tuple[Callable[[SideBySide], Answer | Fault | None], ...] = (
    seldom,
    epoch_per_update,
    wrong_warmup,
    usual_horizon,
    several_per_update,
    scaled,
    any_horizon,
    shifted,
    stretched,
)
"""What is tried, in this order: of two mistakes that give the same learning rates, the likelier one comes first."""
