"""Verdicts on a run's curves, in words; docs/verdicts.md explains each one.

The thresholds were fitted to real runs that people labelled by eye (tests/labelled); half of them were held out.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Label = Literal[
    "diverged",
    "stuck, rate too large",
    "stuck, rate too small",
    "oscillating",
    "overfitting",
    "past its best",
    "decayed too early",
    "too slow",
    "converged",
    "too short to tell",
]
AT_CHANCE = 0.9  # of the loss of guessing
SPENT = 0.01  # of the peak learning rate
FEWEST = 3  # epochs; with fewer, only the first verdicts are possible


@dataclass(frozen=True)
class Curves:
    """A run's values per epoch, or per evaluation with `eval_every`; status and reason are as in `result.json`."""

    lr: Sequence[float]  # of each epoch's last step; empty if unknown
    train_loss: Sequence[float]  # mean over each epoch's batches; NaN where unknown
    val_loss: Sequence[float]
    status: str
    reason: str = ""
    chance: float | None = None  # the loss of the best constant prediction; None if unknown
    unit: str = "epoch"  # or `evaluation`
    peak_lr: float | None = None  # the config's own, which advice multiplies; None for the highest of `lr`
    own: bool = True  # whether lrbench trained it, so that advice may name lrbench's keys and files

    @property
    def told(self) -> float:
        """The learning rate that advice starts from; NaN if unknown."""
        return max(self.lr, default=math.nan) if self.peak_lr is None else self.peak_lr

    def smaller(self, times: int) -> str:
        """Return advice: `try 10 times smaller, 0.01`; without the number if the learning rate is unknown."""
        return self._try(f"{times} times smaller", self.told / times)

    def larger(self, times: int) -> str:
        """Return advice: `try 10 times larger, 1`."""
        return self._try(f"{times} times larger", self.told * times)

    def _try(self, words: str, lr: float) -> str:
        return f"try {words}, {lr:.2g}" if math.isfinite(lr) else f"try {words}"

    @property
    def trained(self) -> bool:
        """Whether the training loss is known."""
        return all(map(math.isfinite, self.train_loss))

    @property
    def decays(self) -> bool:
        """Whether the learning rate ends well below its peak, so that a decay is no advice."""
        return bool(self.lr) and self.lr[-1] < 0.5 * max(self.lr)


@dataclass(frozen=True)
class Verdict:
    """What a run's curves show, the numbers behind it, and what to try next."""

    label: Label
    evidence: str
    advice: str = ""


def verdict(run: Curves) -> Verdict:
    """Return the first verdict that fits; see docs/verdicts.md."""
    losses = run.val_loss
    peak = max(run.lr, default=math.nan)
    if run.status == "diverged" or not all(map(math.isfinite, losses)):
        return Verdict("diverged", run.reason or "a loss was not finite", run.smaller(10))
    if not losses:
        return Verdict("too short to tell", f"no {run.unit} is done")
    for rule in (_stuck, _short, _oscillating, _overfitting, _decayed, _slow):
        found = rule(run, peak)
        if found is not None:
            return found
    return Verdict("converged", f"the validation loss is {_number(losses[-1])}, {_flatness(run)}")


def _stuck(run: Curves, peak: float) -> Verdict | None:
    losses, chance = run.val_loss, run.chance
    if chance is None or losses[-1] < AT_CHANCE * chance:
        return None
    end = f"the validation loss of {_number(losses[-1])} is no better than that of guessing, {_number(chance)}"
    decayed = _decayed(run, peak)
    if decayed is not None:
        return decayed
    worst = max(range(len(run.train_loss)), key=lambda i: run.train_loss[i])
    # No loss moved by more than rounding and the order of examples explain.
    still = all(max(values) - min(values) < 1e-4 * chance for values in (run.train_loss, losses))
    if _thrown(run, chance) or (_falling(losses) < 0.8 and not still):
        thrown = f"the training loss was {_number(run.train_loss[worst])} in {run.unit} {worst + 1}"
        if run.train_loss[worst] < 1.01 * chance:
            thrown = "it moves up and down there"
        return Verdict("stuck, rate too large", f"{end}; {thrown}", run.smaller(10))
    pace = (losses[0] - losses[-1]) / max(len(losses) - 1, 1)
    wanted = (losses[-1] - chance / 2) / pace if pace > 0 else math.inf
    more = f"at this pace, half of that takes {wanted:,.0f} more {run.unit}s" if wanted < 1e6 else "it hardly moved"
    return Verdict("stuck, rate too small", f"{end}; {more}", run.larger(10))


def _thrown(run: Curves, chance: float) -> bool:
    """Whether some steps threw the weights so far that training can't recover.

    The loss was far above chance; or slightly above, and then stayed at chance, as if the output no longer depended on
    the input. A net that starts above chance and hardly learns falls slowly, and continues below chance.
    """
    first, *later = run.train_loss
    back = [*later, run.val_loss[-1]]
    return max(run.train_loss) > 1.1 * chance or (
        first > 1.01 * chance and bool(later) and all(abs(loss - chance) < 0.005 * chance for loss in back)
    )


def _short(run: Curves, peak: float) -> Verdict | None:
    count = len(run.val_loss)
    return Verdict("too short to tell", f"{count} {run.unit}s", "train longer") if count < FEWEST else None


def _oscillating(run: Curves, peak: float) -> Verdict | None:
    advice = run.smaller(3) + ("" if run.decays else ", or a decay")
    lost = _lost_again(run)
    if lost is not None:
        return Verdict("oscillating", lost, advice)
    half = run.val_loss[len(run.val_loss) // 2 :]
    if len(half) < FEWEST or min(half) <= 0:
        return None
    steps = [math.log(b / a) for a, b in pairwise(half)]
    trend = statistics.fmean(steps)
    swing = statistics.fmean(abs(step - trend) for step in steps)
    ups = sum(step > 0 for step in steps) / len(steps)
    if swing < math.log(1.18) or not 0.2 <= ups <= 0.8:
        return None
    evidence = f"in the second half, the validation loss moves up and down by {math.expm1(swing):.0%} per {run.unit}"
    return Verdict("oscillating", evidence, advice)


def _lost_again(run: Curves) -> str | None:
    """Describe training and validation losses that both fell and rose again; see the note in docs/verdicts.md."""
    losses, train = run.val_loss, run.train_loss
    if losses[-1] <= 1.5 * min(losses) or not train[-1] > 1.5 * min(train):  # a loss of 0 has not risen
        return None
    before = f"{_number(min(losses))} in {run.unit} {losses.index(min(losses)) + 1}"
    return f"the losses were lower before: {before}, now {_number(losses[-1])}"


def _overfitting(run: Curves, peak: float) -> Verdict | None:
    losses, train = run.val_loss, run.train_loss
    lowest = losses.index(min(losses))
    end = statistics.median(losses[-3:])
    if losses[lowest] <= 0 or end < 1.18 * losses[lowest] or lowest > 0.8 * len(losses):
        return None
    if run.trained and train[-1] > 0.8 * train[lowest]:
        return None
    rose = f"{end / losses[lowest] - 1:.0%} since {run.unit} {lowest + 1}"
    evidence = f"the validation loss has risen by {rose}"
    advice = f"stop at {run.unit} {lowest + 1}" + (" (early_stopping, best.pt)" if run.own else "")
    advice += "" if run.decays else ", or decay the learning rate"
    if not run.trained:
        unknown = "without the training loss, it may be overfitting or the learning rate"
        return Verdict("past its best", f"{evidence}; {unknown}", advice)
    return Verdict("overfitting", f"{evidence}, while the training loss fell", advice)


def _decayed(run: Curves, peak: float) -> Verdict | None:
    losses, train, count = run.val_loss, run.train_loss, len(run.val_loss)
    if not run.lr or not run.trained:
        return None
    spent = next((i for i in range(count) if all(lr <= SPENT * peak for lr in run.lr[i:])), count)
    high = max((i for i in range(count) if run.lr[i] >= 0.1 * peak), default=0)
    if count - spent < max(count / 4, 2) or high < 1 or spent < 1 or min(losses[-1], losses[high], train[high]) <= 0:
        return None
    after = losses[spent - 1] / losses[-1] - 1
    before = min(losses[high - 1] / losses[high] - 1, train[high - 1] / train[high] - 1)
    if abs(after) > 0.03 or before < 0.01:
        return None
    falling = f"the loss still fell by {before:.0%} in the last {run.unit} with a high one"
    evidence = f"the learning rate was nearly 0 after {run.unit} {spent} of {count}; {falling}"
    return Verdict("decayed too early", evidence, f"decay later or less: keep {run.told:.2g} for longer")


def _slow(run: Curves, peak: float) -> Verdict | None:
    losses = run.val_loss
    third = losses[-(max(len(losses) // 3, 1) + 1) :]
    fell = 1 - third[-1] / third[0] if third[0] > 0 else 0.0
    steady = _falling(third) >= 0.6
    live = not run.lr or run.lr[-1] > 0.05 * peak
    near = run.chance is not None and losses[-1] > 0.75 * run.chance and _falling(losses) >= 0.8
    if not (near or (fell >= 0.1 and steady and live)):
        return None
    last = f"in the last {_last(len(third) - 1, run.unit)}, to {_number(losses[-1])}"
    advice = f"train longer, or {run.larger(3)}"
    return Verdict("too slow", f"the validation loss still fell by {fell:.0%} {last}", advice)


def _falling(losses: Sequence[float]) -> float:
    """Return the fraction of epochs in which the loss fell; 1 for a single epoch."""
    steps = list(pairwise(losses))
    return sum(b < a for a, b in steps) / len(steps) if steps else 1.0


def _flatness(run: Curves) -> str:
    losses = run.val_loss
    last = losses[-(max(len(losses) // 3, 1) + 1) :]
    change = last[-1] / last[0] - 1 if last[0] else 0.0
    found = f"{change:+.0%} in the last {_last(len(last) - 1, run.unit)}"
    if run.decays and change <= -0.1:  # a decay ends the fall, which is no standstill
        found += f" as the learning rate decayed, {last[-1] / last[-2] - 1:+.0%} in the last of them"
    return found


def _last(count: int, unit: str) -> str:
    return unit if count == 1 else f"{count} {unit}s"


def _number(value: float) -> str:
    return f"{value:.4g}"
