"""More schedules that only fall, or rise once and fall. Notation as in `decay`; p = t/T."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from lrbench.errors import ConfigError
from lrbench.schedules.base import Schedule
from lrbench.schedules.decay import final_rate
from lrbench.schedules.durations import length
from lrbench.schedules.warmup import warm_up
from lrbench.types import Duration, Epochs, Fraction, NonNegative, Positive, Steps

Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]


def polynomial(
    *,
    power: Positive = 1.0,
    final_factor: Fraction | None = None,
    final_lr: NonNegative | None = None,
    lr: float,
    total_steps: int,
) -> Schedule:
    """A power of what is left of the run: lr(t) = end + (lr − end)·(1 − t/T)^power (torch's PolynomialLR; POLY).

    Args:
        power: 1 is a straight line, 2 falls faster at first, 0.5 slower.
        final_factor: the end value as a fraction of lr; 0 unless `final_lr` is given.
        final_lr: the end value itself, instead of `final_factor`.

    >>> polynomial(power=2.0, lr=1.0, total_steps=4)(2)
    0.25
    """
    end = final_rate(lr, final_factor, final_lr)
    return lambda step: end + (lr - end) * max(0.0, 1 - step / total_steps) ** power


def inverse_sqrt(
    *, timescale: Steps = Duration(10, "percent"), lr: float, total_steps: int, steps_per_epoch: int
) -> Schedule:
    """The peak for w updates, then falling with the root of time: lr(t) = lr·√(w/max(t, w)).

    The decay of Vaswani et al. 2017; a warm-up, which theirs has, goes into the `warmup` block.

    Args:
        timescale: w; a bare number means steps.

    >>> from lrbench.types import Duration
    >>> rate = inverse_sqrt(timescale=Duration(4, "steps"), lr=1.0, total_steps=100, steps_per_epoch=10)
    >>> rate(4), rate(16)
    (1.0, 0.5)
    """
    scale = length(timescale, "timescale", total_steps, steps_per_epoch)
    return lambda step: lr * math.sqrt(scale / max(step, scale))


def tanh(
    *,
    lower: Finite = -7.0,
    upper: Finite = 3.0,
    final_factor: Fraction | None = None,
    final_lr: NonNegative | None = None,
    lr: float,
    total_steps: int,
) -> Schedule:
    """Hyperbolic-tangent decay: lr(t) = end + (lr − end)/2·(1 − tanh(lower·(1 − p) + upper·p)).

    Hsueh et al. 2019, with their bounds; timm's `tanh` without its warm-up.

    Args:
        lower: the argument of tanh at the start; the lower, the longer the rate stays at its peak.
        upper: the argument of tanh at the end; the higher, the nearer the end value it comes.
        final_factor: the end value as a fraction of lr; 0 unless `final_lr` is given.
        final_lr: the end value itself, instead of `final_factor`.

    >>> round(tanh(lr=1.0, total_steps=10)(7), 6)
    0.5
    """
    if lower >= upper:
        raise ConfigError(f"`lower` must be below `upper` (got {lower:g} and {upper:g})")
    end = final_rate(lr, final_factor, final_lr)

    def rate(step: int) -> float:
        part = step / total_steps
        return end + (lr - end) / 2 * (1 - math.tanh(lower * (1 - part) + upper * part))

    return rate


def rex(*, lr: float, total_steps: int) -> Schedule:
    """Reflected exponential, slow at first and fast at the end: lr(t) = lr·(1 − p)/(½ + (1 − p)/2) (Chen et al. 2022).

    >>> rex(lr=1.0, total_steps=4)(2)
    0.6666666666666666
    """

    def rate(step: int) -> float:
        left = 1 - step / total_steps
        return lr * left / (0.5 + left / 2)

    return rate


def warmup_stable_decay(
    *,
    warmup: Epochs = Duration(5, "percent"),
    cooldown: Epochs = Duration(20, "percent"),
    shape: Literal["linear", "cosine", "sqrt"] = "linear",
    final_factor: Fraction | None = None,
    final_lr: NonNegative | None = None,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Up, level, down: a linear warm-up, the peak, and a cooldown at the end (Hu et al. 2024; Hägele et al. 2024).

    In the cooldown, lr(t) = end + (lr − end)·g(s) with s the part of it that is done and g(s) = 1 − s,
    (1 + cos πs)/2 or 1 − √s. The warm-up is lrbench's, (t + 1)/W.

    Args:
        warmup: W; a bare number means epochs, 0 is none.
        cooldown: how long the last phase is; a bare number means epochs.
        shape: of the cooldown.
        final_factor: the end value as a fraction of lr; 0 unless `final_lr` is given.
        final_lr: the end value itself, instead of `final_factor`.

    >>> from lrbench.types import Duration
    >>> rate = warmup_stable_decay(warmup=Duration(2, "steps"), cooldown=Duration(4, "steps"), lr=1.0,
    ...                            total_steps=10, steps_per_epoch=10)
    >>> [rate(t) for t in (0, 1, 5, 6, 8, 9)]
    [0.5, 1.0, 1.0, 1.0, 0.5, 0.25]
    """
    end = final_rate(lr, final_factor, final_lr)
    rise = warmup.steps(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    fall = cooldown.steps(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    if rise + fall > total_steps and total_steps > 1:
        problem = f"warm-up ({rise} updates) and cooldown ({fall}) are longer than the run ({total_steps})"
        raise ConfigError(problem, key="schedule.cooldown")
    level = max(total_steps - rise - fall, 0)

    def after_warmup(step: int) -> float:
        if step < level or fall == 0:
            return lr
        done = (step - level) / fall
        left = {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "sqrt": 1 - math.sqrt(done)}[shape]
        return end + (lr - end) * left

    return warm_up(after_warmup, rise) if rise else after_warmup
