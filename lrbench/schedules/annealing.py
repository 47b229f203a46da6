"""More schedules that only fall, or rise once and fall. Notation as in `decay`; p = t/T."""

from __future__ import annotations

import math
from typing import Literal

from lrbench.errors import ConfigError, counted
from lrbench.schedules.base import Context, Schedule, unpacked
from lrbench.schedules.decay import Final
from lrbench.schedules.durations import length
from lrbench.schedules.warmup import warm_up
from lrbench.types import Duration, Epochs, Finite, Positive, Steps


@unpacked
def polynomial(*, power: Positive = 1.0, final: Final, run: Context) -> Schedule:
    """Polynomial decay: lr(t) = final + (lr − final)·(1 − t/T)^power (torch's PolynomialLR; POLY).

    Args:
        power: 1 is a straight line, 2 falls faster at first, 0.5 slower.

    >>> polynomial(power=2.0, run=Context(lr=1.0, total_steps=4, steps_per_epoch=2))(2)
    0.25
    """
    lr, end = run.lr, final.rate(run.lr)
    return lambda step: end + (lr - end) * max(0.0, 1 - step / run.total_steps) ** power


def inverse_sqrt(*, timescale: Steps = Duration(10, "percent"), run: Context) -> Schedule:
    """Constant for w steps, then inverse square root decay: lr(t) = lr·√(w/max(t, w)).

    The decay of Vaswani et al. 2017; add their warm-up as a `warmup` block.

    Args:
        timescale: w; a bare number means steps.

    >>> rate = inverse_sqrt(timescale=Duration(4, "steps"), run=Context(lr=1.0, total_steps=100, steps_per_epoch=10))
    >>> rate(4), rate(16)
    (1.0, 0.5)
    """
    scale = length(timescale, "timescale", run)
    return lambda step: run.lr * math.sqrt(scale / max(step, scale))


@unpacked
def tanh(*, lower: Finite = -7.0, upper: Finite = 3.0, final: Final, run: Context) -> Schedule:
    """Hyperbolic tangent decay: lr(t) = final + (lr − final)/2·(1 − tanh(lower·(1 − p) + upper·p)).

    Hsueh et al. 2019, with their bounds; timm's `tanh` without its warm-up.

    Args:
        lower: tanh's argument at the start; a lower value keeps the learning rate near its peak for longer.
        upper: tanh's argument at the end; a higher value brings the learning rate closer to its final value.

    >>> round(tanh(run=Context(lr=1.0, total_steps=10, steps_per_epoch=5))(7), 6)
    0.5
    """
    if lower >= upper:
        raise ConfigError(f"`lower` must be below `upper` (got {lower:g} and {upper:g})")
    lr, end = run.lr, final.rate(run.lr)

    def rate(step: int) -> float:
        p = run.progress(step)
        return end + (lr - end) / 2 * (1 - math.tanh(lower * (1 - p) + upper * p))

    return rate


def rex(*, run: Context) -> Schedule:
    """Reflected exponential, slow at first and fast at the end: lr(t) = lr·(1 − p)/(½ + (1 − p)/2) (Chen et al. 2022).

    >>> rex(run=Context(lr=1.0, total_steps=4, steps_per_epoch=2))(2)
    0.6666666666666666
    """

    def rate(step: int) -> float:
        left = 1 - run.progress(step)
        return run.lr * left / (0.5 + left / 2)

    return rate


@unpacked
def warmup_stable_decay(
    *,
    warmup: Epochs = Duration(5, "percent"),
    cooldown: Epochs = Duration(20, "percent"),
    shape: Literal["linear", "cosine", "sqrt"] = "linear",
    final: Final,
    run: Context,
) -> Schedule:
    """Linear warm-up, constant peak, and a cooldown at the end (Hu et al. 2024; Hägele et al. 2024).

    In the cooldown, lr(t) = final + (lr − final)·g(s), where s is the fraction of it done and g(s) is 1 − s,
    (1 + cos πs)/2 or 1 − √s. The warm-up is lrbench's, (t + 1)/W.

    Args:
        warmup: W; a bare number means epochs, 0 is none.
        cooldown: length of the cooldown; a bare number means epochs.
        shape: shape of the cooldown: linear, cosine or sqrt.

    >>> rate = warmup_stable_decay(warmup=Duration(2, "steps"), cooldown=Duration(4, "steps"),
    ...                            run=Context(lr=1.0, total_steps=10, steps_per_epoch=10))
    >>> [rate(t) for t in (0, 1, 5, 6, 8, 9)]
    [0.5, 1.0, 1.0, 1.0, 0.5, 0.25]
    """
    lr, end = run.lr, final.rate(run.lr)
    rise, fall = run.steps(warmup), run.steps(cooldown)
    if rise + fall > run.total_steps and run.total_steps > 1:
        problem = f"warm-up ({counted(rise, 'step')}) and cooldown ({fall}) are longer than the run ({run.total_steps})"
        raise ConfigError(problem, key="schedule.cooldown")
    level = max(run.total_steps - rise - fall, 0)

    def after_warmup(step: int) -> float:
        if step < level or fall == 0:
            return lr
        done = (step - level) / fall
        left = {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "sqrt": 1 - math.sqrt(done)}[shape]
        return end + (lr - end) * left

    return warm_up(after_warmup, rise) if rise else after_warmup
