"""Decay schedules: the learning rate in closed form.

Notation: lr is the peak learning rate, T the number of steps in the run, t the step (0 … T − 1) and
e = t // steps_per_epoch the epoch. A factory checks its parameters once and returns a function of t.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from lrbench.errors import ConfigError
from lrbench.schedules.base import Context, Options, Schedule, unpacked
from lrbench.schedules.durations import length, rising
from lrbench.types import Duration, Epochs, Fraction, NonNegative, Positive

Per = Literal["step", "epoch"]


def constant(*, run: Context) -> Schedule:
    """Constant: lr(t) = lr.

    >>> constant(run=Context(lr=0.1, total_steps=10, steps_per_epoch=5))(7)
    0.1
    """
    return lambda step: run.lr


@dataclass(frozen=True, kw_only=True)
class Final(Options):
    """The final learning rate of a decay."""

    final_factor: Fraction | None = None
    final_lr: NonNegative | None = None

    def rate(self, lr: float) -> float:
        """Return the final learning rate. Raises ConfigError if it is given twice or above lr."""
        return lower_rate(lr, self.final_factor, self.final_lr)


@unpacked
def linear(*, decrement: Positive | None = None, final: Final, run: Context) -> Schedule:
    """A straight line to a final value, or a fixed decrement per epoch.

    To a final value (the default): lr(t) = lr + (final − lr)·t/T, as torch documents LinearLR, over T steps.
    With `decrement` δ: lr(e) = max(0, lr − δ·(e+1)), the tutorial's rule, which also lowers the first epoch.

    Args:
        decrement: δ, subtracted every epoch, instead of a final value.

    >>> run = Context(lr=1.0, total_steps=4, steps_per_epoch=2)
    >>> linear(run=run)(1), linear(decrement=0.25, run=run)(2)
    (0.75, 0.5)
    """
    if decrement is not None:
        if final != Final():
            raise ConfigError("give either `decrement` or a final value, not both")
        fixed = decrement
        return lambda step: max(0.0, run.lr - fixed * (step // run.steps_per_epoch + 1))
    lr, end = run.lr, final.rate(run.lr)
    return lambda step: lr + (end - lr) * step / run.total_steps


def step(*, every: Epochs, factor: Positive = 0.5, offset: Epochs = Duration(0, "epochs"), run: Context) -> Schedule:
    """Step decay: lr(e) = lr·factor^⌊(e + offset)/n⌋ (torch's StepLR).

    Args:
        every: n, the time between drops; a bare number means epochs.
        factor: multiplies the learning rate at each drop.
        offset: brings every drop forward; `offset: 1` gives the tutorial's rule, ⌊(1+e)/n⌋.

    >>> rate = step(every=Duration(2, "epochs"), run=Context(lr=1.0, total_steps=60, steps_per_epoch=10))
    >>> rate(19), rate(20), rate(40)
    (1.0, 0.5, 0.25)
    """
    interval, ahead = length(every, "every", run), run.steps(offset)
    return lambda step: run.lr * _power(factor, (step + ahead) // interval, "schedule.factor")


def time(*, k: NonNegative = 1.5e-6, run: Context) -> Schedule:
    """The tutorial's time-based decay: lr(e) = lr·∏ᵢ₌₁…ₑ 1/(1 + k·i).

    Keras's time-based rule, applied to the previous epoch's learning rate; not the closed form lr/(1 + k·e).

    Args:
        k: decay rate; the tutorial's 1.5e-6 leaves 99.955% after 25 epochs.

    >>> round(time(k=1.0, run=Context(lr=1.0, total_steps=3, steps_per_epoch=1))(2), 6)
    0.166667
    """
    epochs = range(1, math.ceil(run.total_steps / run.steps_per_epoch) + 1)
    products = list(accumulate(epochs, lambda product, e: product / (1 + k * e), initial=1.0))
    last = len(products) - 1
    return lambda step: run.lr * products[min(step // run.steps_per_epoch, last)]


def multistep(*, milestones: list[Epochs], factor: Positive = 0.1, run: Context) -> Schedule:
    """A drop at each milestone: lr(t) = lr·factor^(milestones ≤ t) (torch's MultiStepLR; NSTEP).

    Args:
        milestones: rising times, such as [10 epochs, 20 epochs] or [50%, 75%]; bare numbers mean epochs.
        factor: multiplies the learning rate at each milestone.

    >>> milestones = [Duration(2, "steps"), Duration(3, "steps")]
    >>> rate = multistep(milestones=milestones, run=Context(lr=1.0, total_steps=5, steps_per_epoch=1))
    >>> [round(rate(t), 6) for t in range(4)]
    [1.0, 1.0, 0.1, 0.01]
    """
    steps = rising(milestones, "milestones", run)
    return lambda step: run.lr * factor ** bisect.bisect_right(steps, step)


def exponential(*, gamma: Positive = 0.9, per: Per = "epoch", run: Context) -> Schedule:
    """Exponential decay per epoch or step: lr(n) = lr·γⁿ (torch's ExponentialLR).

    Args:
        gamma: γ; below 1 for a decay.

    >>> round(exponential(gamma=0.5, run=Context(lr=1.0, total_steps=30, steps_per_epoch=10))(25), 6)
    0.25
    """
    unit = run.steps_per_epoch if per == "epoch" else 1
    return lambda step: run.lr * _power(gamma, step // unit, "schedule.gamma")


def inverse(*, gamma: NonNegative = 0.001, power: Positive = 1.0, per: Per = "step", run: Context) -> Schedule:
    """Inverse time decay: lr(n) = lr·(1 + γ·n)^−power (INV of Caffe and LRBench).

    With `per: epoch` and power 1, this is the closed form lr/(1 + k·e) often called time-based decay.

    Args:
        gamma: γ, decay rate.
        power: 1, or 0.75 as in Caffe's examples.

    >>> inverse(gamma=1.0, run=Context(lr=1.0, total_steps=30, steps_per_epoch=10))(3)
    0.25
    """
    unit = run.steps_per_epoch if per == "epoch" else 1
    return lambda step: run.lr * (1 + gamma * (step // unit)) ** -power


@unpacked
def cosine(*, final: Final, run: Context) -> Schedule:
    """Half a cosine from lr to a final value: lr(t) = final + (lr − final)·(1 + cos(π·t/T))/2.

    Loshchilov and Hutter 2017, eq. 5, without restarts; torch's CosineAnnealingLR with T_max = T. The final
    value would be reached at t = T, one past the last step.

    >>> cosine(run=Context(lr=1.0, total_steps=4, steps_per_epoch=2))(2)
    0.5
    """
    lr, end = run.lr, final.rate(run.lr)
    return lambda step: end + (lr - end) * (1 + math.cos(math.pi * step / run.total_steps)) / 2


def lower_rate(lr: float, factor: float | None, absolute: float | None, default: float = 0.0) -> float:
    """Return the lower bound given by `…_factor` or `…_lr`. Raises ConfigError if both are given or it is above lr."""
    if factor is not None and absolute is not None:
        raise ConfigError("give either a fraction of the peak (`…_factor`) or a learning rate (`…_lr`), not both")
    if absolute is None:
        return lr * (default if factor is None else factor)
    if absolute > lr:
        raise ConfigError(f"the lower learning rate {absolute:g} is above the peak, optimizer.lr = {lr:g}")
    return absolute


def _power(base: float, exponent: int, key: str) -> float:
    try:
        return base**exponent
    except OverflowError:
        raise ConfigError(f"{base} makes the learning rate overflow during the run", key=key) from None
