"""`lrbench2019/…`: the policies of Wu et al. 2019, "Demystifying Learning Rate Policies" (git-disl/LRBench).

They keep their names and parameters: γ (`gamma`), `p`, and `l`, a number of steps (or a duration). `optimizer.lr` is
the higher learning rate: k₀ if there is only one, k₁ if it moves between `k0` and k₁.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable

from lrbench.errors import ConfigError, counted
from lrbench.schedules.base import Context, Schedule, check_below_peak, document
from lrbench.schedules.decay import constant
from lrbench.schedules.durations import length, rising
from lrbench.types import Duration, NonNegative, Positive, PositiveFraction, Steps

WHOLE = Duration(100, "percent")


def step(*, gamma: PositiveFraction, l: Steps, run: Context) -> Schedule:
    """lr(t) = lr·γ^⌊t/l⌋.

    Args:
        gamma: γ, multiplies the learning rate at each drop.
        l: steps between drops.

    >>> rate = step(gamma=0.5, l=Duration(2, "steps"), run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))
    >>> rate(1), rate(2)
    (1.0, 0.5)
    """
    interval = length(l, "l", run)
    return lambda step: run.lr * gamma ** (step // interval)


def nstep(*, gamma: PositiveFraction, l: list[Steps], run: Context) -> Schedule:
    """lr(t) = lr·γ^(milestones ≤ t).

    Args:
        gamma: γ, multiplies the learning rate at each milestone.
        l: the milestones, rising.

    >>> milestones = [Duration(2, "steps"), Duration(3, "steps")]
    >>> rate = nstep(gamma=0.5, l=milestones, run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))
    >>> [rate(t) for t in (1, 2, 3)]
    [1.0, 0.5, 0.25]
    """
    milestones = rising(l, "l", run)
    return lambda step: run.lr * gamma ** bisect_right(milestones, step)


def exp(*, gamma: PositiveFraction, run: Context) -> Schedule:
    """lr(t) = lr·γᵗ.

    >>> exp(gamma=0.5, run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))(2)
    0.25
    """
    return lambda step: run.lr * gamma**step


def inv(*, gamma: NonNegative, p: Positive, run: Context) -> Schedule:
    """lr(t) = lr·(1 + γ·t)^−p.

    Args:
        gamma: γ, decay rate.

    >>> inv(gamma=1.0, p=1.0, run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))(3)
    0.25
    """
    return lambda step: run.lr * (1 + gamma * step) ** -p


def poly(*, p: Positive, k0: NonNegative = 0.0, l: Steps = WHOLE, run: Context) -> Schedule:
    """lr(t) = k₀ + (lr − k₀)·(1 − t/l)^p.

    Args:
        l: length of the decay; at least the whole run, which is the default.

    >>> poly(p=2.0, run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))(4)
    0.25
    """
    interval = length(l, "l", run)
    if interval < run.total_steps:
        whole = f"the run ({counted(run.total_steps, 'step')})"
        problem = f"is shorter than {whole}, so 1 − t/l would become negative (got {l})"
        raise ConfigError(problem, key="schedule.l")
    return _between(k0, run, lambda step: (1 - step / interval) ** p)


def tri(*, k0: NonNegative, l: Steps, run: Context) -> Schedule:
    """lr(t) = k₀ + (lr − k₀)·|triangle(t)|: from k₀ up to lr in l steps, and down in l.

    >>> rate = tri(k0=0.0, l=Duration(2, "steps"), run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))
    >>> [rate(t) for t in range(5)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    return _waves(k0, l, run, _triangle)


def tri2(*, k0: NonNegative, l: Steps, run: Context) -> Schedule:
    """TRI with an amplitude that halves each cycle.

    >>> rate = tri2(k0=0.0, l=Duration(2, "steps"), run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))
    >>> rate(2), rate(6)
    (1.0, 0.5)
    """
    return _waves(k0, l, run, lambda step, half: _triangle(step, half) * 0.5 ** (step // (2 * half)))


def triexp(*, k0: NonNegative, l: Steps, gamma: PositiveFraction, run: Context) -> Schedule:
    """TRI with an amplitude that is multiplied by γ each step.

    >>> rate = triexp(k0=0.0, l=Duration(1, "steps"), gamma=0.5, run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))
    >>> rate(1), rate(3)
    (0.5, 0.125)
    """
    return _waves(k0, l, run, lambda step, half: _triangle(step, half) * gamma**step)


def sin(*, k0: NonNegative, l: Steps, run: Context) -> Schedule:
    """lr(t) = k₀ + (lr − k₀)·|sin(πt/2l)|.

    >>> rate = sin(k0=0.0, l=Duration(3, "steps"), run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))
    >>> [round(rate(t), 6) for t in (0, 1, 3, 6)]
    [0.0, 0.5, 1.0, 0.0]
    """
    return _waves(k0, l, run, _sine)


def sin2(*, k0: NonNegative, l: Steps, run: Context) -> Schedule:
    """SIN with an amplitude that halves each hump.

    >>> rate = sin2(k0=0.0, l=Duration(3, "steps"), run=Context(lr=1.0, total_steps=12, steps_per_epoch=4))
    >>> round(rate(9), 6)
    0.5
    """
    return _waves(k0, l, run, lambda step, half: _sine(step, half) * 0.5 ** (step // (2 * half)))


def sinexp(*, k0: NonNegative, l: Steps, gamma: PositiveFraction, run: Context) -> Schedule:
    """SIN with an amplitude that is multiplied by γ each step.

    >>> rate = sinexp(k0=0.0, l=Duration(1, "steps"), gamma=0.5, run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))
    >>> round(rate(1), 6)
    0.5
    """
    return _waves(k0, l, run, lambda step, half: _sine(step, half) * gamma**step)


def cos(*, k0: NonNegative = 0.0, l: Steps = WHOLE, run: Context) -> Schedule:
    """lr(t) = k₀ + (lr − k₀)·(1 + cos(πt/l))/2; it rises again after l steps.

    Args:
        l: half a wave; the whole run by default.

    >>> cos(run=Context(lr=1.0, total_steps=8, steps_per_epoch=4))(4)
    0.5
    """
    return _waves(k0, l, run, lambda step, half: 0.5 * (1 + math.cos(math.pi * step / half)))


def _between(k0: float, run: Context, height: Callable[[int], float]) -> Schedule:
    check_below_peak(k0, "k0", run)
    return lambda step: k0 + (run.lr - k0) * height(step)


def _waves(k0: float, l: Duration, run: Context, height: Callable[[int, int], float]) -> Schedule:
    """`height` is a function of the step and of l in steps."""
    half = length(l, "l", run)
    return _between(k0, run, lambda step: height(step, half))


def _triangle(step: int, half: int) -> float:
    return 1 - abs(step % (2 * half) / half - 1)


def _sine(step: int, half: int) -> float:
    return abs(math.sin(math.pi * step / (2 * half)))


_POLICIES = (cos, exp, inv, nstep, poly, sin, sin2, sinexp, step, tri, tri2, triexp)
LRBENCH_2019: dict[str, Callable[..., Schedule]] = {
    "lrbench2019/FIX": constant,
    **{f"lrbench2019/{policy.__name__.upper()}": policy for policy in _POLICIES},
}

document(
    LRBENCH_2019,
    {
        "gamma": "γ, slightly below 1.",
        "p": "the power.",
        "k0": "k₀, the lower learning rate.",
        "l": "steps from k₀ up to lr.",
    },
)
