"""A run's curves, and what can be measured on them.

Training at a small learning rate depends on the sum of learning rates alone: three times the learning rate leads in the
same number of steps to where the run would have come with three times the sum (gradient flow). So the loss is measured
over the logarithm of that sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

QUARTER = math.log(10) / 4  # of a decade
LINEAR = 10**0.25  # how much more falls in the last quarter of a decade than in the one before, if steps are equal
TINY = 1e-300  # in place of a loss of 0, in logarithms


@dataclass(frozen=True)
class Score:
    """A metric of the validation set that is `chance` for guessing, and 1 at best."""

    name: str
    values: Sequence[float]
    chance: float

    @property
    def skill(self) -> float:
        """How far its last value is from chance, 0, to the best, 1; NaN if unknown."""
        last = self.values[-1] if len(self.values) else math.nan
        return (last - self.chance) / (1 - self.chance)


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
    scores: Sequence[Score] = ()  # metrics with a known chance level
    validation_examples: int | None = None

    @property
    def told(self) -> float:
        """The learning rate that advice starts from; NaN if unknown."""
        return max(self.lr, default=math.nan) if self.peak_lr is None else self.peak_lr

    @property
    def trained(self) -> bool:
        """Whether the training loss is known."""
        return all(map(math.isfinite, self.train_loss))

    @property
    def decays(self) -> bool:
        """Whether the learning rate ends well below its peak, so that a decay is no advice."""
        return bool(self.lr) and self.lr[-1] < 0.5 * max(self.lr)

    @property
    def skill(self) -> float:
        """The best of the scores, from 0 at chance to 1; 0 if none is surely above chance.

        Guessing scores above chance by luck: the standard deviation of a share of n examples is at most 0.5/√n.
        """
        noise = 1.5 / math.sqrt(self.validation_examples) if self.validation_examples else 0.1
        found = [score.skill for score in self.scores if score.skill > noise / (1 - score.chance)]
        return max(found, default=0.0)

    @cached_property
    def spent(self) -> np.ndarray:
        """The logarithm of the sum of learning rates up to each evaluation; of the evaluations if unknown."""
        rates = np.array(self.lr, float) if self.lr else np.ones(len(self.val_loss))
        highest = rates.max(initial=0.0)
        rates = rates / highest if highest > 0 else np.ones(len(rates))
        logs: np.ndarray = np.log(np.maximum(np.cumsum(rates), TINY))
        return logs

    @cached_property
    def high(self) -> slice:
        """The evaluations from the first to the last with at least half of the peak learning rate."""
        if not self.lr or max(self.lr) <= 0:
            return slice(0, len(self.val_loss))
        found = [at for at, lr in enumerate(self.lr) if lr >= 0.5 * max(self.lr)]
        return slice(found[0], found[-1] + 1)

    def fell(self, losses: Sequence[float], first: int, last: int) -> float:
        """Return by how much the logarithm fell from so many quarters of a decade before the end to so many."""
        logs, spent = logarithms(losses), self.spent
        there = np.interp([spent[-1] - first * QUARTER, spent[-1] - last * QUARTER], spent, logs)
        return float(there[0] - there[1])

    def expected(self, losses: Sequence[float]) -> float:
        """Return by how much the logarithm would fall if the sum of learning rates were three times as large.

        The last two quarters of a decade are continued as a geometric series, which grows no faster than if the loss
        fell by the same in each step.
        """
        before, after = self.fell(losses, 2, 1), self.fell(losses, 1, 0)
        ratio = min(max(after / before, 0.0), LINEAR) if before > 0 else 1.0
        return max(after, 0.0) * (ratio + ratio * ratio)


def logarithms(losses: Sequence[float]) -> np.ndarray:
    """Return the logarithms of losses; a loss that is not above 0 counts as tiny."""
    logs: np.ndarray = np.log(np.maximum(np.array(losses, float), TINY))
    return logs


def ups(losses: Sequence[float]) -> float:
    """Return the share of steps in which the loss rose; 0 for a single value."""
    steps = list(pairwise(losses))
    return sum(b > a for a, b in steps) / len(steps) if steps else 0.0


def jitter(losses: Sequence[float]) -> float:
    """Return the median size of second differences of the logarithm, a measure of noise that trends leave as it is."""
    logs = logarithms(losses)
    return float(np.median(np.abs(np.diff(logs, 2)))) if len(logs) > 2 else 0.0


def trend(losses: Sequence[float]) -> tuple[float, float]:
    """Return the fall of a straight line through the logarithms from its start to its end, and its standard error."""
    logs = logarithms(losses)
    if len(logs) < 3:
        return float(logs[0] - logs[-1]) if len(logs) else 0.0, 0.0
    at = np.linspace(-0.5, 0.5, len(logs))
    slope = float(at @ logs / (at @ at))
    left = logs - logs.mean() - slope * at
    return -slope, math.sqrt(float(left @ left) / (len(logs) - 2) / float(at @ at))
