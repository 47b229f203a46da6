"""Schedules that only ever fall: the rate of update `step` in closed form.

Throughout, lr is the peak rate, T the run's number of updates, t the update (0 … T−1), e = t // steps_per_epoch
the epoch. A factory checks its parameters once and returns a function of t alone.
"""

from __future__ import annotations

import bisect
import math
from itertools import accumulate
from typing import Literal

from lrbench.errors import ConfigError
from lrbench.schedules.base import Schedule
from lrbench.schedules.durations import length, rising
from lrbench.types import Duration, Epochs, Fraction, NonNegative, Positive

Per = Literal["step", "epoch"]


def constant(*, lr: float) -> Schedule:
    """The same rate throughout: lr(t) = lr.

    >>> constant(lr=0.1)(7)
    0.1
    """
    return lambda step: lr


def linear(
    *,
    final_factor: Fraction | None = None,
    final_lr: NonNegative | None = None,
    decrement: Positive | None = None,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """A straight line to an end value, or the same amount less each epoch.

    To an end value (the default, to 0): lr(t) = lr + (end − lr)·t/T, as torch's LinearLR documents it over T.
    With `decrement` δ: lr(e) = max(0, lr − δ·(e+1)), the tutorial's rule, which lowers the rate before the
    first epoch too.

    Args:
        final_factor: the end value as a fraction of lr; 0 unless `final_lr` is given.
        final_lr: the end value itself, instead of `final_factor`.
        decrement: δ, the amount taken off every epoch, instead of an end value.

    >>> linear(lr=1.0, total_steps=4, steps_per_epoch=2)(1)
    0.75
    >>> linear(decrement=0.25, lr=1.0, total_steps=4, steps_per_epoch=2)(2)
    0.5
    """
    if decrement is not None:
        if final_factor is not None or final_lr is not None:
            raise ConfigError("`decrement` goes without `final_factor` and `final_lr`")
        fixed = decrement
        return lambda step: max(0.0, lr - fixed * (step // steps_per_epoch + 1))
    end = final_rate(lr, final_factor, final_lr)
    return lambda step: lr + (end - lr) * step / total_steps


def step(
    *,
    every: Epochs,
    factor: Positive = 0.5,
    offset: Epochs = Duration(0, "epochs"),
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Multiplied by `factor` every n epochs: lr(e) = lr·factor^⌊(e + offset)/n⌋ (torch's StepLR).

    Args:
        every: n; a bare number means epochs.
        factor: what each drop multiplies the rate by.
        offset: brings every drop forward. The tutorial's rule, ⌊(1+e)/n⌋, is `offset: 1`.

    >>> from lrbench.types import Duration
    >>> rate = step(every=Duration(2, "epochs"), lr=1.0, total_steps=60, steps_per_epoch=10)
    >>> rate(19), rate(20), rate(40)
    (1.0, 0.5, 0.25)
    """
    interval = length(every, "every", total_steps, steps_per_epoch)
    ahead = offset.steps(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    return lambda step: lr * _power(factor, (step + ahead) // interval, "schedule.factor")


def time(*, k: NonNegative = 1.5e-6, lr: float, total_steps: int, steps_per_epoch: int) -> Schedule:
    """The tutorial's time decay, a running product: lr(e) = lr·∏ᵢ₌₁…ₑ 1/(1 + k·i).

    Keras's time-based rule applied once an epoch to the rate it left; not the closed form lr/(1 + k·e).

    Args:
        k: how fast it falls; the tutorial's 1.5e-6 leaves 99.955 % after 25 epochs.

    >>> round(time(k=1.0, lr=1.0, total_steps=3, steps_per_epoch=1)(2), 6)
    0.166667
    """
    epochs = range(1, math.ceil(total_steps / steps_per_epoch) + 1)
    products = list(accumulate(epochs, lambda product, e: product / (1 + k * e), initial=1.0))
    last = len(products) - 1
    return lambda step: lr * products[min(step // steps_per_epoch, last)]


def multistep(
    *,
    milestones: list[Epochs],
    factor: Positive = 0.1,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Multiplied by `factor` at each milestone: lr(t) = lr·factor^(milestones ≤ t) (torch's MultiStepLR; NSTEP).

    Args:
        milestones: rising, such as [10 epochs, 20 epochs] or [50%, 75%]; bare numbers mean epochs.
        factor: what each milestone multiplies the rate by.

    >>> from lrbench.types import Duration
    >>> rate = multistep(milestones=[Duration(2, "steps"), Duration(3, "steps")], lr=1.0, total_steps=5,
    ...                  steps_per_epoch=1)
    >>> [round(rate(t), 6) for t in range(4)]
    [1.0, 1.0, 0.1, 0.01]
    """
    steps = rising(milestones, "milestones", total_steps, steps_per_epoch)
    return lambda step: lr * factor ** bisect.bisect_right(steps, step)


def exponential(*, gamma: Positive = 0.9, per: Per = "epoch", lr: float, steps_per_epoch: int) -> Schedule:
    """Multiplied by γ every epoch or every update: lr(n) = lr·γⁿ (torch's ExponentialLR).

    Args:
        gamma: γ; below 1 for a decay.
        per: `epoch` or `step`, what n counts.

    >>> round(exponential(gamma=0.5, lr=1.0, steps_per_epoch=10)(25), 6)
    0.25
    """
    unit = steps_per_epoch if per == "epoch" else 1
    return lambda step: lr * _power(gamma, step // unit, "schedule.gamma")


def inverse(
    *, gamma: NonNegative = 0.001, power: Positive = 1.0, per: Per = "step", lr: float, steps_per_epoch: int
) -> Schedule:
    """Falling as time's inverse: lr(n) = lr·(1 + γ·n)^−power (Caffe's and LRBench's INV).

    With `per: epoch` and power 1, the closed form lr/(1 + k·e) that is often called time-based decay.

    Args:
        gamma: γ, how fast it falls.
        power: 1, or 0.75 as in Caffe's examples.
        per: `step` or `epoch`, what n counts.

    >>> inverse(gamma=1.0, lr=1.0, steps_per_epoch=10)(3)
    0.25
    """
    unit = steps_per_epoch if per == "epoch" else 1
    return lambda step: lr * (1 + gamma * (step // unit)) ** -power


def cosine(
    *,
    final_factor: Fraction | None = None,
    final_lr: NonNegative | None = None,
    lr: float,
    total_steps: int,
) -> Schedule:
    """Half a cosine from lr to an end value: lr(t) = end + (lr − end)·(1 + cos(π·t/T))/2.

    Loshchilov and Hutter 2017, eq. 5, without restarts; torch's CosineAnnealingLR with T_max = T. The end
    value would be reached at t = T, one past the last update.

    Args:
        final_factor: the end value as a fraction of lr; 0 unless `final_lr` is given.
        final_lr: the end value itself, instead of `final_factor`.

    >>> cosine(lr=1.0, total_steps=4)(2)
    0.5
    """
    end = final_rate(lr, final_factor, final_lr)
    return lambda step: end + (lr - end) * (1 + math.cos(math.pi * step / total_steps)) / 2


def final_rate(lr: float, factor: float | None, absolute: float | None, default: float = 0.0) -> float:
    """The lower bound that `…_factor` or `…_lr` names. Raises ConfigError if both are given or it is above lr."""
    if factor is not None and absolute is not None:
        raise ConfigError("give the factor (a fraction of the peak rate) or the absolute rate, not both")
    if absolute is not None and absolute > lr:
        raise ConfigError(f"the lower rate {absolute:g} is above the peak, optimizer.lr = {lr:g}")
    if absolute is not None:
        return absolute
    return lr * (default if factor is None else factor)


def _power(base: float, exponent: int, key: str) -> float:
    try:
        return base**exponent
    except OverflowError:
        raise ConfigError(f"{base} grows without bound over the run", key=key) from None
