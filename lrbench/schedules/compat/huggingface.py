"""`hf/…`: the schedules of `transformers.get_scheduler`, with its names, parameters, defaults and numbers.

T is the run's number of updates, W `num_warmup_steps`. Unlike lrbench's own warm-up, (t + 1)/W, theirs begins
at 0: lr(t) = lr·t/W. Values of steps may also be durations, `5%` or `2 epochs`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from lrbench.errors import ConfigError
from lrbench.schedules.base import Schedule
from lrbench.schedules.durations import length
from lrbench.types import Count, Duration, Fraction, NonNegative, Positive, Steps

NONE = Duration(0, "steps")
Shape = Literal["linear", "cosine", "1-sqrt"]


def constant(*, lr: float) -> Schedule:
    """lr(t) = lr (get_constant_schedule).

    >>> constant(lr=0.1)(7)
    0.1
    """
    return lambda step: lr


def constant_with_warmup(
    *, num_warmup_steps: Steps = NONE, lr: float, total_steps: int, steps_per_epoch: int
) -> Schedule:
    """lr·t/W, then lr (get_constant_schedule_with_warmup).

    Args:
        num_warmup_steps: W; a bare number means steps.

    >>> from lrbench.types import Duration
    >>> rate = constant_with_warmup(num_warmup_steps=Duration(4, "steps"), lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> [rate(t) for t in (0, 1, 4, 7)]
    [0.0, 0.25, 1.0, 1.0]
    """
    rise = num_warmup_steps.steps(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    return _warmed(lr, rise, lambda step: 1.0)


def linear(*, num_warmup_steps: Steps = NONE, lr: float, total_steps: int, steps_per_epoch: int) -> Schedule:
    """lr·t/W, then lr·(T − t)/(T − W) (get_linear_schedule_with_warmup).

    Args:
        num_warmup_steps: W; a bare number means steps.

    >>> from lrbench.types import Duration
    >>> rate = linear(num_warmup_steps=Duration(2, "steps"), lr=1.0, total_steps=6, steps_per_epoch=3)
    >>> [rate(t) for t in range(6)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]
    """
    rise, fall = _lengths(num_warmup_steps, total_steps, steps_per_epoch)
    return _warmed(lr, rise, lambda step: max(0.0, (total_steps - step) / fall))


def cosine(
    *, num_warmup_steps: Steps = NONE, num_cycles: Positive = 0.5, lr: float, total_steps: int, steps_per_epoch: int
) -> Schedule:
    """lr·t/W, then lr·(1 + cos(2π·c·p))/2 (get_cosine_schedule_with_warmup).

    Here p = (t − W)/(T − W).

    Args:
        num_warmup_steps: W; a bare number means steps.
        num_cycles: c, whole waves; a half, the default, only falls.

    >>> from lrbench.types import Duration
    >>> rate = cosine(num_warmup_steps=Duration(2, "steps"), lr=1.0, total_steps=6, steps_per_epoch=3)
    >>> [round(rate(t), 6) for t in (1, 2, 4)]
    [0.5, 1.0, 0.5]
    """
    rise, fall = _lengths(num_warmup_steps, total_steps, steps_per_epoch)
    return _warmed(lr, rise, lambda step: _wave((step - rise) / fall, num_cycles))


def cosine_with_restarts(
    *, num_warmup_steps: Steps = NONE, num_cycles: Count = 1, lr: float, total_steps: int, steps_per_epoch: int
) -> Schedule:
    """After lr·t/W, c half cosines, each from lr to 0.

    lr(t) = lr·(1 + cos(π·(c·p mod 1)))/2 with p = (t − W)/(T − W)
    (get_cosine_with_hard_restarts_schedule_with_warmup).

    Args:
        num_warmup_steps: W; a bare number means steps.
        num_cycles: c, how many times it falls.

    >>> rate = cosine_with_restarts(num_cycles=2, lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> [round(rate(t), 6) for t in (0, 2, 4, 6)]
    [1.0, 0.5, 1.0, 0.5]
    """
    rise, fall = _lengths(num_warmup_steps, total_steps, steps_per_epoch)
    return _warmed(lr, rise, lambda step: _wave(num_cycles * ((step - rise) / fall) % 1.0, 0.5))


def polynomial(
    *,
    num_warmup_steps: Steps = NONE,
    lr_end: NonNegative = 1e-7,
    power: Positive = 1.0,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """After lr·t/W, end + (lr − end)·(1 − p)^power with p = (t − W)/(T − W).

    get_polynomial_decay_schedule_with_warmup; the end is an absolute rate.

    Args:
        num_warmup_steps: W; a bare number means steps.
        lr_end: the end; below lr.
        power: 1 is a straight line.

    >>> rate = polynomial(power=2.0, lr_end=0.0, lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> rate(4)
    0.25
    """
    rise, fall = _lengths(num_warmup_steps, total_steps, steps_per_epoch)
    if not lr > lr_end:
        raise ConfigError(f"must be below optimizer.lr = {lr:g} (got {lr_end:g})", key="schedule.lr_end")
    return _warmed(lr, rise, lambda step: (lr_end + (lr - lr_end) * (1 - (step - rise) / fall) ** power) / lr)


def inverse_sqrt(
    *,
    num_warmup_steps: Steps = NONE,
    timescale: Steps | None = None,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """lr·t/W, then lr/√((t + s − W)/s) (get_inverse_sqrt_schedule).

    Args:
        num_warmup_steps: W; a bare number means steps.
        timescale: s, how long until the rate has fallen to 1/√2; W unless given, or 10000 where W is 0.

    >>> from lrbench.types import Duration
    >>> rate = inverse_sqrt(num_warmup_steps=Duration(2, "steps"), lr=1.0, total_steps=20, steps_per_epoch=4)
    >>> [rate(t) for t in (1, 2, 8)]
    [0.5, 1.0, 0.5]
    """
    sizes = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    rise = num_warmup_steps.steps(**sizes)
    scale = length(timescale, "timescale", **sizes) if timescale is not None else rise or 10_000
    return _warmed(lr, rise, lambda step: 1 / math.sqrt((step + scale - rise) / scale))


def cosine_with_min_lr(
    *,
    num_warmup_steps: Steps = NONE,
    num_cycles: Positive = 0.5,
    min_lr: NonNegative | None = None,
    min_lr_rate: Fraction | None = None,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """`hf/cosine` that ends at a minimum.

    lr(t) = lr·(m + (1 − m)·(1 + cos(2π·c·p))/2), p = (t − W)/(T − W)
    (get_cosine_with_min_lr_schedule_with_warmup). One of `min_lr` and `min_lr_rate` is needed.

    Args:
        num_warmup_steps: W; a bare number means steps.
        num_cycles: c, whole waves; a half, the default, only falls.
        min_lr: the minimum as a rate, m·lr.
        min_lr_rate: m, the minimum as a fraction of lr.

    >>> rate = cosine_with_min_lr(min_lr_rate=0.5, lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> rate(4)
    0.75
    """
    rise, fall = _lengths(num_warmup_steps, total_steps, steps_per_epoch)
    least = _minimum(min_lr, min_lr_rate, lr)
    return _warmed(lr, rise, lambda step: least + (1 - least) * _wave((step - rise) / fall, num_cycles))


def cosine_warmup_with_min_lr(
    *,
    num_warmup_steps: Steps = NONE,
    num_cycles: Positive = 0.5,
    min_lr: NonNegative | None = None,
    min_lr_rate: Fraction | None = None,
    warmup_lr_rate: Fraction | None = None,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Like `hf/cosine_with_min_lr`, counted from 1.

    Warm-up lr·(t + 1)/W, or from f: lr·(f + (1 − f)·t/(W − 1)); then with p = (t − W + 1)/(T − W), so that the
    last update is at the minimum (get_cosine_with_min_lr_schedule_with_warmup_lr_rate).

    Args:
        num_warmup_steps: W; a bare number means steps.
        num_cycles: c, whole waves; a half, the default, only falls.
        min_lr: the minimum as a rate.
        min_lr_rate: the minimum as a fraction of lr; one of the two is needed.
        warmup_lr_rate: f, where the warm-up begins as a fraction of lr.

    >>> from lrbench.types import Duration
    >>> rate = cosine_warmup_with_min_lr(num_warmup_steps=Duration(2, "steps"), min_lr_rate=0.0, lr=1.0,
    ...                                  total_steps=6, steps_per_epoch=3)
    >>> [round(rate(t), 6) for t in (0, 1, 3, 5)]
    [0.5, 1.0, 0.5, 0.0]
    """
    rise, fall = _lengths(num_warmup_steps, total_steps, steps_per_epoch)
    least = _minimum(min_lr, min_lr_rate, lr)

    def factor(step: int) -> float:
        if step >= rise:
            return least + (1 - least) * _wave((step - rise + 1) / fall, num_cycles)
        if warmup_lr_rate is None:
            return (step + 1) / rise
        return warmup_lr_rate + (1 - warmup_lr_rate) * step / max(1, rise - 1)

    return lambda step: lr * max(0.0, factor(step))


def warmup_stable_decay(
    *,
    num_decay_steps: Steps,
    num_warmup_steps: Steps = NONE,
    num_stable_steps: Steps | None = None,
    warmup_type: Shape = "linear",
    decay_type: Shape = "cosine",
    min_lr_ratio: Fraction = 0.0,
    num_cycles: Positive = 0.5,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Up from m·lr, level, down to m·lr (get_wsd_schedule).

    With s the part of a phase that is done, both ramps are lr·(m + (1 − m)·g(s)): g(s) = s, (1 − cos πs)/2 or
    1 − √(1 − s) on the way up; 1 − s, (1 + cos 2πcs)/2 or 1 − √s on the way down. Afterwards m·lr.

    Args:
        num_decay_steps: how long the decay is; a bare number means steps.
        num_warmup_steps: how long the warm-up is.
        num_stable_steps: how long the level is; what the others leave of the run unless given.
        warmup_type: shape of the way up.
        decay_type: shape of the way down.
        min_lr_ratio: m.
        num_cycles: c, whole waves of a cosine decay; a half only falls.

    >>> from lrbench.types import Duration
    >>> rate = warmup_stable_decay(num_decay_steps=Duration(4, "steps"), num_warmup_steps=Duration(2, "steps"),
    ...                            decay_type="linear", lr=1.0, total_steps=10, steps_per_epoch=5)
    >>> [rate(t) for t in (0, 1, 2, 6, 8, 9)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.25]
    """
    sizes = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    rise, fall = num_warmup_steps.steps(**sizes), num_decay_steps.steps(**sizes)
    level = total_steps - rise - fall if num_stable_steps is None else num_stable_steps.steps(**sizes)
    if level < 0:
        problem = f"warm-up ({rise} updates) and decay ({fall}) are longer than the run ({total_steps})"
        raise ConfigError(problem, key="schedule.num_decay_steps")

    def height(step: int) -> float:
        if step < rise:
            done = step / rise
            return {"linear": done, "cosine": 0.5 * (1 - math.cos(math.pi * done))}.get(
                warmup_type, 1 - math.sqrt(1 - done)
            )
        if step < rise + level:
            return 1.0
        if step >= rise + level + fall:
            return 0.0
        done = (step - rise - level) / fall
        return {"linear": 1 - done, "cosine": _wave(done, num_cycles)}.get(decay_type, 1 - math.sqrt(done))

    return lambda step: lr * (min_lr_ratio + (1 - min_lr_ratio) * height(step))


def _lengths(warmup: Duration, total_steps: int, steps_per_epoch: int) -> tuple[int, int]:
    """Updates of the warm-up, and of what follows."""
    rise = warmup.steps(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    if rise >= total_steps > 1:
        problem = f"the warm-up ({warmup}, {rise} updates) leaves nothing of the run's {total_steps}"
        raise ConfigError(problem, key="schedule.num_warmup_steps")
    return rise, max(1, total_steps - rise)


def _warmed(lr: float, rise: int, factor: Callable[[int], float]) -> Schedule:
    return lambda step: lr * (step / rise if step < rise else factor(step))


def _wave(part: float, cycles: float) -> float:
    """A cosine between 1 and 0 that has made `cycles` whole waves at part 1."""
    return 0.5 * (1 + math.cos(2 * math.pi * cycles * part))


def _minimum(absolute: float | None, fraction: float | None, lr: float) -> float:
    if (absolute is None) == (fraction is None):
        raise ConfigError("give one of `min_lr` (a rate) and `min_lr_rate` (a fraction of the peak)", key="schedule")
    if absolute is not None and absolute > lr:
        raise ConfigError(f"the minimum {absolute:g} is above the peak, optimizer.lr = {lr:g}", key="schedule.min_lr")
    return fraction if fraction is not None else (absolute or 0.0) / lr


HUGGING_FACE: dict[str, Callable[..., Schedule]] = {
    "hf/constant": constant,
    "hf/constant_with_warmup": constant_with_warmup,
    "hf/cosine": cosine,
    "hf/cosine_warmup_with_min_lr": cosine_warmup_with_min_lr,
    "hf/cosine_with_min_lr": cosine_with_min_lr,
    "hf/cosine_with_restarts": cosine_with_restarts,
    "hf/inverse_sqrt": inverse_sqrt,
    "hf/linear": linear,
    "hf/polynomial": polynomial,
    "hf/warmup_stable_decay": warmup_stable_decay,
}
