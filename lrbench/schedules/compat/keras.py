"""`keras/…`: Keras's schedules, with its names, parameters, defaults and formulas, in double precision.

`optimizer.lr` stands for `initial_learning_rate`, or for `warmup_target` with a warm-up. `decay_steps` is the length
of the run by default. Numbers of steps may also be durations, `5%` or `2 epochs`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable

from lrbench.errors import ConfigError
from lrbench.schedules.base import Context, Schedule, check_below_peak, document
from lrbench.schedules.compat.cycles import cycle_at
from lrbench.schedules.durations import length, rise_and_rest, rising
from lrbench.types import Duration, Fraction, NonNegative, Positive, Steps

WHOLE = Duration(100, "percent")


def exponential_decay(
    *, decay_rate: Positive, decay_steps: Steps = WHOLE, staircase: bool = False, run: Context
) -> Schedule:
    """lr·decay_rate^(t/decay_steps) (Keras's ExponentialDecay).

    Args:
        decay_rate: multiplies the learning rate over `decay_steps`.

    >>> exponential_decay(decay_rate=0.25, run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))(4)
    0.5
    """
    interval = length(decay_steps, "decay_steps", run)
    return lambda step: run.lr * decay_rate ** (step // interval if staircase else step / interval)


def piecewise_constant_decay(*, boundaries: list[Steps], values: list[NonNegative], run: Context) -> Schedule:
    """values[i] up to and including step boundaries[i] (Keras's PiecewiseConstantDecay).

    Args:
        boundaries: rising times; bare numbers mean steps.
        values: learning rates, one more than boundaries; the highest must be `optimizer.lr`.

    >>> rate = piecewise_constant_decay(boundaries=[Duration(2, "steps")], values=[1.0, 0.1],
    ...                                 run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))
    >>> [rate(t) for t in (0, 2, 3)]
    [1.0, 1.0, 0.1]
    """
    ends = rising(boundaries, "boundaries", run)
    if len(values) != len(ends) + 1:
        problem = f"must be one more than the {len(ends)} boundaries (got {len(values)})"
        raise ConfigError(problem, key="schedule.values")
    if max(values) != run.lr:
        problem = f"are learning rates; the highest must be the peak, optimizer.lr = {run.lr:g} (got {max(values):g})"
        raise ConfigError(problem, key="schedule.values")
    return lambda step: values[bisect_left(ends, step)]


def polynomial_decay(
    *,
    decay_steps: Steps = WHOLE,
    end_learning_rate: NonNegative = 0.0001,
    power: Positive = 1.0,
    cycle: bool = False,
    run: Context,
) -> Schedule:
    """(lr − end)·(1 − t/D)^power + end, with D = decay_steps (Keras's PolynomialDecay).

    After D steps it stays at the end. With `cycle`, D grows to its next multiple that reaches t, so the learning rate
    jumps up and falls again.

    Args:
        end_learning_rate: the final learning rate.
        power: 1 is a straight line.
        cycle: start again, lower each time.

    >>> polynomial_decay(end_learning_rate=0.0, run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))(4)
    0.5
    """
    interval = length(decay_steps, "decay_steps", run)
    check_below_peak(end_learning_rate, "end_learning_rate", run)

    def rate(step: int) -> float:
        whole = interval * max(1, math.ceil(step / interval)) if cycle else interval
        return (run.lr - end_learning_rate) * float((1 - min(step, whole) / whole) ** power) + end_learning_rate

    return rate


def inverse_time_decay(
    *, decay_rate: NonNegative, decay_steps: Steps = WHOLE, staircase: bool = False, run: Context
) -> Schedule:
    """lr/(1 + decay_rate·t/decay_steps) (Keras's InverseTimeDecay).

    Args:
        decay_rate: after `decay_steps`, the learning rate is lr/(1 + decay_rate).

    >>> inverse_time_decay(decay_rate=2.0, run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))(4)
    0.5
    """
    interval = length(decay_steps, "decay_steps", run)
    return lambda step: run.lr / (1 + decay_rate * (step // interval if staircase else step / interval))


def cosine_decay(
    *,
    decay_steps: Steps | None = None,
    alpha: Fraction = 0.0,
    warmup_steps: Steps = Duration(0, "steps"),
    initial_learning_rate: NonNegative = 0.0,
    run: Context,
) -> Schedule:
    """lr·(α + (1 − α)·(1 + cos(π·t/D))/2), after an optional warm-up (Keras's CosineDecay).

    A warm-up of W steps has initial + (lr − initial)·t/W; after it, t counts from W. After D more steps, lr·α.

    Args:
        decay_steps: D; the rest of the run after the warm-up by default. A bare number means steps.
        warmup_steps: W; lr is Keras's `warmup_target`.
        initial_learning_rate: the start of the warm-up.

    >>> cosine_decay(run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))(4)
    0.5
    """
    lr = run.lr
    if decay_steps is None:
        rise, fall = rise_and_rest(warmup_steps, "warmup_steps", run)
    else:
        rise, fall = run.steps(warmup_steps), length(decay_steps, "decay_steps", run)
    check_below_peak(initial_learning_rate, "initial_learning_rate", run)
    if not rise and initial_learning_rate not in (0, lr):
        problem = f"is the start of a warm-up; without `warmup_steps`, the peak is optimizer.lr = {lr:g}"
        raise ConfigError(f"{problem} (got {initial_learning_rate:g})", key="schedule.initial_learning_rate")

    def rate(step: int) -> float:
        if step < rise:
            return initial_learning_rate + (lr - initial_learning_rate) * step / rise
        done = min(step - rise, fall) / fall
        return lr * ((1 - alpha) * 0.5 * (1 + math.cos(math.pi * done)) + alpha)

    return rate


def cosine_decay_restarts(
    *, first_decay_steps: Steps, t_mul: Positive = 2.0, m_mul: Positive = 1.0, alpha: Fraction = 0.0, run: Context
) -> Schedule:
    """lr·(α + (1 − α)·mⁱ·(1 + cos(π·c))/2), c the fraction of cycle i done (Keras's CosineDecayRestarts).

    Args:
        first_decay_steps: length of the first cycle; a bare number means steps.
        t_mul: ratio of each cycle's length to the previous one.
        m_mul: m, ratio of each cycle's peak to the previous one.

    >>> run = Context(lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> rate = cosine_decay_restarts(first_decay_steps=Duration(2, "steps"), run=run)
    >>> [round(rate(t), 6) for t in (0, 1, 2, 4, 6)]
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """
    first = length(first_decay_steps, "first_decay_steps", run)

    def rate(step: int) -> float:
        cycle, within, whole = cycle_at(step, first, t_mul)
        height = (1 - alpha) * 0.5 * m_mul**cycle
        return run.lr * (height * (1 + math.cos(math.pi * within / whole)) + alpha)

    return rate


KERAS: dict[str, Callable[..., Schedule]] = {
    "keras/CosineDecay": cosine_decay,
    "keras/CosineDecayRestarts": cosine_decay_restarts,
    "keras/ExponentialDecay": exponential_decay,
    "keras/InverseTimeDecay": inverse_time_decay,
    "keras/PiecewiseConstantDecay": piecewise_constant_decay,
    "keras/PolynomialDecay": polynomial_decay,
}

document(
    KERAS,
    {
        "decay_steps": "the whole run by default; a bare number means steps.",
        "staircase": "round t/decay_steps down, so the learning rate falls in steps.",
        "alpha": "α, the minimum as a fraction of lr.",
    },
)
