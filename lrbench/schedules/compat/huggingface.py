"""`hf/…`: the schedules of `transformers.get_scheduler`, with its names, parameters, defaults and numbers.

T is the number of steps in the run, W is `num_warmup_steps`. Their warm-up starts at 0, lr(t) = lr·t/W; lrbench's own
is (t + 1)/W. Numbers of steps may also be durations, `5%` or `2 epochs`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from lrbench.errors import ConfigError, counted
from lrbench.schedules.base import Context, Schedule, document
from lrbench.schedules.decay import constant
from lrbench.schedules.durations import length, rise_and_rest
from lrbench.types import Count, Duration, Fraction, NonNegative, Part, Positive, Steps

NONE = Duration(0, "steps")
Shape = Literal["linear", "cosine", "1-sqrt"]


def constant_with_warmup(*, num_warmup_steps: Steps = NONE, run: Context) -> Schedule:
    """lr·t/W, then lr (get_constant_schedule_with_warmup).

    >>> run = Context(lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> rate = constant_with_warmup(num_warmup_steps=Duration(4, "steps"), run=run)
    >>> [rate(t) for t in (0, 1, 4, 7)]
    [0.0, 0.25, 1.0, 1.0]
    """
    return _warmed(run, run.steps(_up(num_warmup_steps, run)), lambda step: 1.0)


def linear(*, num_warmup_steps: Steps = NONE, run: Context) -> Schedule:
    """lr·t/W, then lr·(T − t)/(T − W) (get_linear_schedule_with_warmup).

    >>> run = Context(lr=1.0, total_steps=6, steps_per_epoch=3)
    >>> rate = linear(num_warmup_steps=Duration(2, "steps"), run=run)
    >>> [rate(t) for t in range(6)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]
    """
    rise, fall = rise_and_rest(_up(num_warmup_steps, run), "num_warmup_steps", run)
    return _warmed(run, rise, lambda step: max(0.0, (run.total_steps - step) / fall))


def cosine(*, num_warmup_steps: Steps = NONE, num_cycles: Positive = 0.5, run: Context) -> Schedule:
    """lr·t/W, then lr·(1 + cos(2π·c·p))/2, p = (t − W)/(T − W) (get_cosine_schedule_with_warmup).

    >>> run = Context(lr=1.0, total_steps=6, steps_per_epoch=3)
    >>> rate = cosine(num_warmup_steps=Duration(2, "steps"), run=run)
    >>> [round(rate(t), 6) for t in (1, 2, 4)]
    [0.5, 1.0, 0.5]
    """
    return _decay(num_warmup_steps, run, lambda p: _wave(p, num_cycles))


def cosine_with_restarts(*, num_warmup_steps: Steps = NONE, num_cycles: Count = 1, run: Context) -> Schedule:
    """lr·t/W, then c half cosines from lr to 0: lr·(1 + cos(π·(c·p mod 1)))/2.

    p = (t − W)/(T − W) (get_cosine_with_hard_restarts_schedule_with_warmup).

    Args:
        num_cycles: c, number of half cosines.

    >>> rate = cosine_with_restarts(num_cycles=2, run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))
    >>> [round(rate(t), 6) for t in (0, 2, 4, 6)]
    [1.0, 0.5, 1.0, 0.5]
    """
    return _decay(num_warmup_steps, run, lambda p: _wave(num_cycles * p % 1.0, 0.5))


def polynomial(
    *, num_warmup_steps: Steps = NONE, lr_end: NonNegative = 1e-7, power: Positive = 1.0, run: Context
) -> Schedule:
    """lr·t/W, then end + (lr − end)·(1 − p)^power, p = (t − W)/(T − W).

    get_polynomial_decay_schedule_with_warmup.

    Args:
        lr_end: the final learning rate; below lr.
        power: 1 is a straight line.

    >>> polynomial(power=2.0, lr_end=0.0, run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))(4)
    0.25
    """
    lr = run.lr
    if not lr > lr_end:
        raise ConfigError(f"must be below optimizer.lr = {lr:g} (got {lr_end:g})", key="schedule.lr_end")
    return _decay(num_warmup_steps, run, lambda p: (lr_end + (lr - lr_end) * (1 - p) ** power) / lr)


def inverse_sqrt(*, num_warmup_steps: Steps = NONE, timescale: Steps | None = None, run: Context) -> Schedule:
    """lr·t/W, then lr/√((t + s − W)/s) (get_inverse_sqrt_schedule).

    Args:
        timescale: s, steps after which the learning rate has fallen to 1/√2; W by default, or 10000 if W is 0.

    >>> run = Context(lr=1.0, total_steps=20, steps_per_epoch=4)
    >>> rate = inverse_sqrt(num_warmup_steps=Duration(2, "steps"), run=run)
    >>> [rate(t) for t in (1, 2, 8)]
    [0.5, 1.0, 0.5]
    """
    rise = run.steps(_up(num_warmup_steps, run))
    scale = length(timescale, "timescale", run) if timescale is not None else rise or 10_000
    return _warmed(run, rise, lambda step: 1 / math.sqrt((step + scale - rise) / scale))


def cosine_with_min_lr(
    *,
    num_warmup_steps: Steps = NONE,
    num_cycles: Positive = 0.5,
    min_lr: NonNegative | None = None,
    min_lr_rate: Fraction | None = None,
    run: Context,
) -> Schedule:
    """lr·t/W, then lr·(m + (1 − m)·(1 + cos(2π·c·p))/2), p = (t − W)/(T − W).

    get_cosine_with_min_lr_schedule_with_warmup.

    >>> cosine_with_min_lr(min_lr_rate=0.5, run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))(4)
    0.75
    """
    least = _minimum(min_lr, min_lr_rate, run.lr)
    return _decay(num_warmup_steps, run, lambda p: least + (1 - least) * _wave(p, num_cycles))


def cosine_warmup_with_min_lr(
    *,
    num_warmup_steps: Steps = NONE,
    num_cycles: Positive = 0.5,
    min_lr: NonNegative | None = None,
    min_lr_rate: Fraction | None = None,
    warmup_lr_rate: Fraction | None = None,
    run: Context,
) -> Schedule:
    """`hf/cosine_with_min_lr` with steps counted from 1 (get_cosine_with_min_lr_schedule_with_warmup_lr_rate).

    The warm-up is lr·(t + 1)/W, or lr·(f + (1 − f)·t/(W − 1)) with `warmup_lr_rate`; p is (t − W + 1)/(T − W), so
    the last step is at the minimum.

    Args:
        warmup_lr_rate: f, the start of the warm-up as a fraction of lr.

    >>> rate = cosine_warmup_with_min_lr(num_warmup_steps=Duration(2, "steps"), min_lr_rate=0.0,
    ...                                  run=Context(lr=1.0, total_steps=6, steps_per_epoch=3))
    >>> [round(rate(t), 6) for t in (0, 1, 3, 5)]
    [0.5, 1.0, 0.5, 0.0]
    """
    rise, fall = rise_and_rest(_up(num_warmup_steps, run), "num_warmup_steps", run)
    least = _minimum(min_lr, min_lr_rate, run.lr)

    def factor(step: int) -> float:
        if step >= rise:
            return least + (1 - least) * _wave((step - rise + 1) / fall, num_cycles)
        if warmup_lr_rate is None:
            return (step + 1) / rise
        return warmup_lr_rate + (1 - warmup_lr_rate) * step / max(1, rise - 1)

    return lambda step: run.lr * max(0.0, factor(step))


def warmup_stable_decay(
    *,
    num_decay_steps: Steps,
    num_warmup_steps: Steps = NONE,
    num_stable_steps: Steps | None = None,
    warmup_type: Shape = "linear",
    decay_type: Shape = "cosine",
    min_lr_ratio: Fraction = 0.0,
    num_cycles: Positive = 0.5,
    run: Context,
) -> Schedule:
    """Up from m·lr, constant, down to m·lr (get_wsd_schedule).

    Both ramps are lr·(m + (1 − m)·g(s)), where s is the fraction of the phase done. On the way up, g(s) is s,
    (1 − cos πs)/2 or 1 − √(1 − s); on the way down 1 − s, (1 + cos 2πcs)/2 or 1 − √s. It ends with m·lr.

    Args:
        num_decay_steps: length of the decay; a bare number means steps.
        num_stable_steps: length of the constant phase; the rest of the run by default.
        warmup_type: shape of the warm-up.
        decay_type: shape of the decay.
        min_lr_ratio: m, the minimum as a fraction of lr.

    >>> rate = warmup_stable_decay(num_decay_steps=Duration(4, "steps"), num_warmup_steps=Duration(2, "steps"),
    ...                            decay_type="linear", run=Context(lr=1.0, total_steps=10, steps_per_epoch=5))
    >>> [rate(t) for t in (0, 1, 2, 6, 8, 9)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.25]
    """
    rise, fall = run.steps(_up(num_warmup_steps, run)), run.steps(num_decay_steps)
    level = run.total_steps - rise - fall if num_stable_steps is None else run.steps(num_stable_steps)
    if level < 0:
        problem = f"warm-up ({counted(rise, 'step')}) and decay ({fall}) are longer than the run ({run.total_steps})"
        raise ConfigError(problem, key="schedule.num_decay_steps")

    def height(step: int) -> float:
        if step < rise:
            done = step / rise
            return {
                "linear": done,
                "cosine": 0.5 * (1 - math.cos(math.pi * done)),
                "1-sqrt": 1 - math.sqrt(1 - done),
            }[warmup_type]
        if step < rise + level:
            return 1.0
        if step >= rise + level + fall:
            return 0.0
        done = (step - rise - level) / fall
        return {"linear": 1 - done, "cosine": _wave(done, num_cycles), "1-sqrt": 1 - math.sqrt(done)}[decay_type]

    return lambda step: run.lr * (min_lr_ratio + (1 - min_lr_ratio) * height(step))


def _up(warmup: Duration, run: Context) -> Duration:
    """Round a percentage up to whole steps, as transformers does with a warm-up ratio."""
    if warmup.unit != "percent" or run.as_of == 2:
        return warmup
    return Duration(math.ceil(run.total_steps * (warmup.amount / 100)), "steps")


def revised(part: Part, total_steps: int | None) -> bool:
    """Return whether a warm-up was rounded to other steps before format 3; unknown is yes."""
    warmup = Duration.parse(part.params.get("num_warmup_steps", 0), "steps")
    if total_steps is None:
        return warmup.unit == "percent"
    run = Context(1.0, total_steps, 1)
    return warmup.unit == "percent" and run.steps(_up(warmup, run)) != run.steps(warmup)


def _warmed(run: Context, rise: int, factor: Callable[[int], float]) -> Schedule:
    return lambda step: run.lr * (step / rise if step < rise else factor(step))


def _decay(warmup: Duration, run: Context, factor: Callable[[float], float]) -> Schedule:
    """Put the warm-up before a factor of p, the fraction done of what follows."""
    rise, fall = rise_and_rest(_up(warmup, run), "num_warmup_steps", run)
    return _warmed(run, rise, lambda step: factor((step - rise) / fall))


def _wave(done: float, cycles: float) -> float:
    """A cosine between 1 and 0 that completes `cycles` whole waves when `done` is 1."""
    return 0.5 * (1 + math.cos(2 * math.pi * cycles * done))


def _minimum(absolute: float | None, fraction: float | None, lr: float) -> float:
    if (absolute is None) == (fraction is None):
        problem = "give either `min_lr` (a learning rate) or `min_lr_rate` (a fraction of the peak)"
        raise ConfigError(problem, key="schedule")
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

document(
    HUGGING_FACE,
    {
        "num_warmup_steps": "W, steps of the warm-up; a bare number means steps.",
        "num_cycles": "c, whole waves; the default, a half, only falls.",
        "min_lr": "the minimum as a learning rate, m·lr; give this or `min_lr_rate`.",
        "min_lr_rate": "m, the minimum as a fraction of lr.",
    },
)
