"""`keras/…`: Keras's schedules, with their classes' parameters, defaults and formulas, in double precision.

`optimizer.lr` stands for `initial_learning_rate` (for a warm-up, for its target), and `decay_steps` is the run's
length unless given. Values of steps may also be durations, `5%` or `2 epochs`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable

from lrbench.errors import ConfigError
from lrbench.schedules.base import Schedule
from lrbench.schedules.compat.cycles import cycle_at
from lrbench.schedules.durations import length, rising
from lrbench.types import Duration, Fraction, NonNegative, Positive, Steps

WHOLE = Duration(100, "percent")


def exponential_decay(
    *,
    decay_rate: Positive,
    decay_steps: Steps = WHOLE,
    staircase: bool = False,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """lr·decay_rate^(t/decay_steps), rounded down to whole powers with `staircase` (Keras's ExponentialDecay).

    Args:
        decay_rate: what the rate is multiplied by in `decay_steps` updates.
        decay_steps: a bare number means steps; the whole run unless given.
        staircase: whether it falls in steps.

    >>> rate = exponential_decay(decay_rate=0.25, lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> rate(4)
    0.5
    """
    interval = length(decay_steps, "decay_steps", total_steps, steps_per_epoch)
    return lambda step: lr * decay_rate ** (step // interval if staircase else step / interval)


def piecewise_constant_decay(
    *,
    boundaries: list[Steps],
    values: list[NonNegative],
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Values[i] up to and with update boundaries[i] (Keras's PiecewiseConstantDecay).

    Args:
        boundaries: rising; bare numbers mean steps.
        values: rates, one more than boundaries; the highest of them must be `optimizer.lr`.

    >>> from lrbench.types import Duration
    >>> rate = piecewise_constant_decay(boundaries=[Duration(2, "steps")], values=[1.0, 0.1], lr=1.0, total_steps=8,
    ...                                 steps_per_epoch=4)
    >>> [rate(t) for t in (0, 2, 3)]
    [1.0, 1.0, 0.1]
    """
    ends = rising(boundaries, "boundaries", total_steps, steps_per_epoch)
    if len(values) != len(ends) + 1:
        problem = f"must be one more than the {len(ends)} boundaries (got {len(values)})"
        raise ConfigError(problem, key="schedule.values")
    if max(values) != lr:
        problem = f"are rates, and the highest must be the peak, optimizer.lr = {lr:g} (got {max(values):g})"
        raise ConfigError(problem, key="schedule.values")
    return lambda step: values[bisect_left(ends, step)]


def polynomial_decay(
    *,
    decay_steps: Steps = WHOLE,
    end_learning_rate: NonNegative = 0.0001,
    power: Positive = 1.0,
    cycle: bool = False,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """(lr − end)·(1 − t/D)^power + end, with D = decay_steps (Keras's PolynomialDecay).

    After D updates the rate is the end; with `cycle`, D grows to the next of its multiples that reaches t, so the
    rate jumps up again and falls.

    Args:
        decay_steps: D; a bare number means steps.
        end_learning_rate: the end, a rate.
        power: 1 is a straight line.
        cycle: whether it begins again, from a lower start each time.

    >>> rate = polynomial_decay(end_learning_rate=0.0, lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> rate(4)
    0.5
    """
    interval = length(decay_steps, "decay_steps", total_steps, steps_per_epoch)
    if end_learning_rate > lr:
        problem = f"is above the peak, optimizer.lr = {lr:g} (got {end_learning_rate:g})"
        raise ConfigError(problem, key="schedule.end_learning_rate")

    def rate(step: int) -> float:
        whole = interval * max(1, math.ceil(step / interval)) if cycle else interval
        return (lr - end_learning_rate) * float((1 - min(step, whole) / whole) ** power) + end_learning_rate

    return rate


def inverse_time_decay(
    *,
    decay_rate: NonNegative,
    decay_steps: Steps = WHOLE,
    staircase: bool = False,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """lr/(1 + decay_rate·t/decay_steps), with ⌊t/decay_steps⌋ for a `staircase` (Keras's InverseTimeDecay).

    Args:
        decay_rate: how fast it falls: after `decay_steps`, lr/(1 + decay_rate) is left.
        decay_steps: a bare number means steps.
        staircase: whether it falls in steps.

    >>> rate = inverse_time_decay(decay_rate=2.0, lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> rate(4)
    0.5
    """
    interval = length(decay_steps, "decay_steps", total_steps, steps_per_epoch)
    return lambda step: lr / (1 + decay_rate * (step // interval if staircase else step / interval))


def cosine_decay(
    *,
    decay_steps: Steps | None = None,
    alpha: Fraction = 0.0,
    warmup_steps: Steps = Duration(0, "steps"),
    initial_learning_rate: NonNegative = 0.0,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """lr·(α + (1 − α)·(1 + cos(π·t/D))/2), after a warm-up if asked for (Keras's CosineDecay).

    During a warm-up of W updates, initial + (lr − initial)·t/W; then t counts from W. After D more, lr·α.

    Args:
        decay_steps: D; what the warm-up leaves of the run unless given. A bare number means steps.
        alpha: α, the minimum as a fraction of lr.
        warmup_steps: W; lr is then Keras's `warmup_target`.
        initial_learning_rate: where the warm-up begins, a rate; without a warm-up it plays no part.

    >>> rate = cosine_decay(lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> rate(4)
    0.5
    """
    sizes = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    rise = warmup_steps.steps(**sizes)
    if decay_steps is None and rise >= total_steps > 1:
        problem = f"the warm-up ({warmup_steps}, {rise} updates) leaves nothing of the run's {total_steps}"
        raise ConfigError(problem, key="schedule.warmup_steps")
    if initial_learning_rate > lr:
        problem = f"is above the peak, optimizer.lr = {lr:g} (got {initial_learning_rate:g})"
        raise ConfigError(problem, key="schedule.initial_learning_rate")
    fall = max(1, total_steps - rise) if decay_steps is None else length(decay_steps, "decay_steps", **sizes)

    def rate(step: int) -> float:
        if step < rise:
            return initial_learning_rate + (lr - initial_learning_rate) * step / rise
        done = min(step - rise, fall) / fall
        return lr * ((1 - alpha) * 0.5 * (1 + math.cos(math.pi * done)) + alpha)

    return rate


def cosine_decay_restarts(
    *,
    first_decay_steps: Steps,
    t_mul: Positive = 2.0,
    m_mul: Positive = 1.0,
    alpha: Fraction = 0.0,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """lr·(α + (1 − α)·mⁱ·(1 + cos(π·c))/2), c the part of cycle i that is done (Keras's CosineDecayRestarts).

    Args:
        first_decay_steps: the first cycle; a bare number means steps.
        t_mul: each cycle's length as a multiple of the one before.
        m_mul: m, each cycle's peak as a multiple of the one before.
        alpha: α, the minimum as a fraction of lr.

    >>> from lrbench.types import Duration
    >>> rate = cosine_decay_restarts(first_decay_steps=Duration(2, "steps"), lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> [round(rate(t), 6) for t in (0, 1, 2, 4, 6)]
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """
    first = length(first_decay_steps, "first_decay_steps", total_steps, steps_per_epoch)

    def rate(step: int) -> float:
        cycle, within, whole = cycle_at(step, first, t_mul)
        return lr * ((1 - alpha) * 0.5 * m_mul**cycle * (1 + math.cos(math.pi * within / whole)) + alpha)

    return rate


KERAS: dict[str, Callable[..., Schedule]] = {
    "keras/CosineDecay": cosine_decay,
    "keras/CosineDecayRestarts": cosine_decay_restarts,
    "keras/ExponentialDecay": exponential_decay,
    "keras/InverseTimeDecay": inverse_time_decay,
    "keras/PiecewiseConstantDecay": piecewise_constant_decay,
    "keras/PolynomialDecay": polynomial_decay,
}
