"""`lrbench2019/…`: the policies of Wu et al. 2019, "Demystifying Learning Rate Policies" (git-disl/LRBench).

Their names and parameters: γ `gamma`, `p`, and `l`, which is a number of updates (or a duration). Of their two rates,
`optimizer.lr` is the higher one: k₀ where there is one rate, k₁ where a rate moves between `k0` and k₁.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from lrbench.errors import ConfigError
from lrbench.schedules.base import Schedule
from lrbench.schedules.durations import length, rising
from lrbench.types import Duration, NonNegative, Positive, Steps

Gamma = Annotated[float, Field(gt=0, le=1, strict=True)]
WHOLE = Duration(100, "percent")


def fix(*, lr: float) -> Schedule:
    """lr(t) = lr.

    >>> fix(lr=0.1)(7)
    0.1
    """
    return lambda step: lr


def step(*, gamma: Gamma, l: Steps, lr: float, total_steps: int, steps_per_epoch: int) -> Schedule:
    """lr(t) = lr·γ^⌊t/l⌋.

    Args:
        gamma: γ, what each step multiplies the rate by.
        l: the updates between two steps.

    >>> from lrbench.types import Duration
    >>> rate = step(gamma=0.5, l=Duration(2, "steps"), lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> rate(1), rate(2)
    (1.0, 0.5)
    """
    interval = length(l, "l", total_steps, steps_per_epoch)
    return lambda step: lr * gamma ** (step // interval)


def nstep(*, gamma: Gamma, l: list[Steps], lr: float, total_steps: int, steps_per_epoch: int) -> Schedule:
    """lr(t) = lr·γ^(milestones ≤ t).

    Args:
        gamma: γ, what each milestone multiplies the rate by.
        l: the milestones, rising.

    >>> from lrbench.types import Duration
    >>> rate = nstep(gamma=0.5, l=[Duration(2, "steps"), Duration(3, "steps")], lr=1.0, total_steps=8,
    ...              steps_per_epoch=4)
    >>> [rate(t) for t in (1, 2, 3)]
    [1.0, 0.5, 0.25]
    """
    milestones = rising(l, "l", total_steps, steps_per_epoch)
    return lambda step: lr * gamma ** bisect_right(milestones, step)


def exp(*, gamma: Gamma, lr: float) -> Schedule:
    """lr(t) = lr·γᵗ.

    Args:
        gamma: γ, a little below 1.

    >>> exp(gamma=0.5, lr=1.0)(2)
    0.25
    """
    return lambda step: lr * gamma**step


def inv(*, gamma: NonNegative, p: Positive, lr: float) -> Schedule:
    """lr(t) = lr·(1 + γ·t)^−p.

    Args:
        gamma: γ, how fast it falls.
        p: the power.

    >>> inv(gamma=1.0, p=1.0, lr=1.0)(3)
    0.25
    """
    return lambda step: lr * (1 + gamma * step) ** -p


def poly(
    *,
    p: Positive,
    k0: NonNegative = 0.0,
    l: Steps = WHOLE,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """lr(t) = k₀ + (lr − k₀)·(1 − t/l)^p.

    Args:
        p: the power.
        k0: the end, a rate.
        l: its length; the whole run unless given, and not less.

    >>> poly(p=2.0, lr=1.0, total_steps=8, steps_per_epoch=4)(4)
    0.25
    """
    interval = length(l, "l", total_steps, steps_per_epoch)
    if interval < total_steps:
        problem = f"is shorter than the run's {total_steps} updates, after which 1 − t/l would be negative (got {l})"
        raise ConfigError(problem, key="schedule.l")
    return _between(k0, lr, lambda step: (1 - step / interval) ** p)


def tri(*, k0: NonNegative, l: Steps, lr: float, total_steps: int, steps_per_epoch: int) -> Schedule:
    """lr(t) = k₀ + (lr − k₀)·|triangle(t)|, from k₀ up in l updates and down in l.

    Args:
        k0: the lower rate.
        l: half a cycle.

    >>> from lrbench.types import Duration
    >>> rate = tri(k0=0.0, l=Duration(2, "steps"), lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> [rate(t) for t in range(5)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    half = length(l, "l", total_steps, steps_per_epoch)
    return _between(k0, lr, lambda step: _triangle(step, half))


def tri2(*, k0: NonNegative, l: Steps, lr: float, total_steps: int, steps_per_epoch: int) -> Schedule:
    """TRI whose amplitude halves with every cycle. Parameters as in TRI.

    >>> from lrbench.types import Duration
    >>> rate = tri2(k0=0.0, l=Duration(2, "steps"), lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> rate(2), rate(6)
    (1.0, 0.5)
    """
    half = length(l, "l", total_steps, steps_per_epoch)
    return _between(k0, lr, lambda step: _triangle(step, half) * 0.5 ** (step // (2 * half)))


def triexp(
    *,
    k0: NonNegative,
    l: Steps,
    gamma: Gamma,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """TRI whose amplitude is multiplied by γ with every update. Other parameters as in TRI.

    Args:
        gamma: γ, a little below 1.

    >>> from lrbench.types import Duration
    >>> rate = triexp(k0=0.0, l=Duration(1, "steps"), gamma=0.5, lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> rate(1), rate(3)
    (0.5, 0.125)
    """
    half = length(l, "l", total_steps, steps_per_epoch)
    return _between(k0, lr, lambda step: _triangle(step, half) * gamma**step)


def sin(*, k0: NonNegative, l: Steps, lr: float, total_steps: int, steps_per_epoch: int) -> Schedule:
    """lr(t) = k₀ + (lr − k₀)·|sin(πt/2l)|. Parameters as in TRI.

    >>> from lrbench.types import Duration
    >>> rate = sin(k0=0.0, l=Duration(3, "steps"), lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> [round(rate(t), 6) for t in (0, 1, 3, 6)]
    [0.0, 0.5, 1.0, 0.0]
    """
    half = length(l, "l", total_steps, steps_per_epoch)
    return _between(k0, lr, lambda step: _sine(step, half))


def sin2(*, k0: NonNegative, l: Steps, lr: float, total_steps: int, steps_per_epoch: int) -> Schedule:
    """SIN whose amplitude halves with every hump. Parameters as in TRI.

    >>> from lrbench.types import Duration
    >>> rate = sin2(k0=0.0, l=Duration(3, "steps"), lr=1.0, total_steps=12, steps_per_epoch=4)
    >>> round(rate(9), 6)
    0.5
    """
    half = length(l, "l", total_steps, steps_per_epoch)
    return _between(k0, lr, lambda step: _sine(step, half) * 0.5 ** (step // (2 * half)))


def sinexp(
    *,
    k0: NonNegative,
    l: Steps,
    gamma: Gamma,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """SIN whose amplitude is multiplied by γ with every update. Parameters as in TRIEXP.

    >>> from lrbench.types import Duration
    >>> rate = sinexp(k0=0.0, l=Duration(1, "steps"), gamma=0.5, lr=1.0, total_steps=8, steps_per_epoch=4)
    >>> round(rate(1), 6)
    0.5
    """
    half = length(l, "l", total_steps, steps_per_epoch)
    return _between(k0, lr, lambda step: _sine(step, half) * gamma**step)


def cos(
    *,
    k0: NonNegative = 0.0,
    l: Steps = WHOLE,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """lr(t) = k₀ + (lr − k₀)·(1 + cos(πt/l))/2; after l updates it rises again.

    Args:
        k0: the lower rate.
        l: half a wave; the whole run unless given.

    >>> cos(lr=1.0, total_steps=8, steps_per_epoch=4)(4)
    0.5
    """
    half = length(l, "l", total_steps, steps_per_epoch)
    return _between(k0, lr, lambda step: 0.5 * (1 + math.cos(math.pi * step / half)))


def _between(k0: float, lr: float, height: Callable[[int], float]) -> Schedule:
    if k0 > lr:
        raise ConfigError(f"is above the peak, optimizer.lr = {lr:g} (got {k0:g})", key="schedule.k0")
    return lambda step: k0 + (lr - k0) * height(step)


def _triangle(step: int, half: int) -> float:
    return 1 - abs(step % (2 * half) / half - 1)


def _sine(step: int, half: int) -> float:
    return abs(math.sin(math.pi * step / (2 * half)))


LRBENCH_2019: dict[str, Callable[..., Schedule]] = {
    "lrbench2019/COS": cos,
    "lrbench2019/EXP": exp,
    "lrbench2019/FIX": fix,
    "lrbench2019/INV": inv,
    "lrbench2019/NSTEP": nstep,
    "lrbench2019/POLY": poly,
    "lrbench2019/SIN": sin,
    "lrbench2019/SIN2": sin2,
    "lrbench2019/SINEXP": sinexp,
    "lrbench2019/STEP": step,
    "lrbench2019/TRI": tri,
    "lrbench2019/TRI2": tri2,
    "lrbench2019/TRIEXP": triexp,
}
