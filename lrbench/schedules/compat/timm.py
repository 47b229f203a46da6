"""`timm/…`: timm's schedulers, with their class's parameters, defaults and numbers.

Times are plain numbers, counted in epochs, or in updates with `t_in_epochs: false`; the rate then changes once an
epoch or with every update, as timm's training script does it. `t_initial` is the run's length (less a prefixed
warm-up) unless given. Noise, which timm can add to a rate, is left out.

In all of them the rate of t < W is warmup_lr_init + t·(r − warmup_lr_init)/W, with W `warmup_t`. With
`warmup_prefix`, t then counts from the warm-up's end; without it, the schedule has gone on meanwhile, and the rate
jumps at the seam.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from lrbench.errors import ConfigError
from lrbench.schedules.base import Schedule
from lrbench.schedules.compat.cycles import cycle_at
from lrbench.types import Count, Natural, NonNegative, Positive

Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]


def cosine(
    *,
    t_initial: Positive | None = None,
    lr_min: NonNegative = 0.0,
    cycle_mul: Positive = 1.0,
    cycle_decay: Positive = 1.0,
    cycle_limit: Count = 1,
    warmup_t: Natural = 0,
    warmup_lr_init: NonNegative = 0.0,
    warmup_prefix: bool = False,
    t_in_epochs: bool = True,
    k_decay: Positive = 1.0,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Half cosines: min + (lr·dⁱ − min)·(1 + cos(π·cᵏ/Tᵢᵏ))/2 (timm's CosineLRScheduler).

    i counts the cycles done, c the time since the last restart, Tᵢ = t_initial·cycle_mulⁱ. After `cycle_limit`
    cycles the rate is the minimum.

    Args:
        t_initial: T₀, the first cycle.
        lr_min: the minimum, a rate.
        cycle_mul: each cycle's length as a multiple of the one before.
        cycle_decay: d, each cycle's peak as a multiple of the one before.
        cycle_limit: how many cycles there are.
        warmup_t: W, the warm-up.
        warmup_lr_init: the rate at which the warm-up begins.
        warmup_prefix: whether the first cycle begins after the warm-up.
        t_in_epochs: whether times are epochs (or updates).
        k_decay: k (Zhang and Li 2020); above 1, high rates last longer.

    >>> rate = cosine(t_initial=4, lr=1.0, total_steps=8, steps_per_epoch=2)
    >>> [round(rate(t), 6) for t in (0, 1, 4, 6)]
    [1.0, 1.0, 0.5, 0.146447]
    """
    _below(lr_min, lr)
    run = _Run(t_in_epochs, total_steps, steps_per_epoch)
    first = t_initial or run.length(warmup_t if warmup_prefix else 0)
    cycles = _Cycles(lr, lr_min, first, cycle_mul, cycle_decay, cycle_limit)
    rate = cycles.of(lambda done: 0.5 * (1 + math.cos(math.pi * done**k_decay)))
    return run.warmed(rate, lr, warmup_t, warmup_lr_init, warmup_prefix)


def tanh(
    *,
    t_initial: Positive | None = None,
    lb: Finite = -7.0,
    ub: Finite = 3.0,
    lr_min: NonNegative = 0.0,
    cycle_mul: Positive = 1.0,
    cycle_decay: Positive = 1.0,
    cycle_limit: Count = 1,
    warmup_t: Natural = 0,
    warmup_lr_init: NonNegative = 0.0,
    warmup_prefix: bool = False,
    t_in_epochs: bool = True,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Hyperbolic tangents: min + (lr·dⁱ − min)/2·(1 − tanh(lb·(1 − c/Tᵢ) + ub·c/Tᵢ)) (timm's TanhLRScheduler).

    Cycles, warm-up and the other parameters as in `timm/cosine`. Without a prefix, the warm-up leads to the rate
    that the tangent has at its end.

    Args:
        lb: the tangent's argument where a cycle begins.
        ub: the tangent's argument where it ends.

    >>> rate = tanh(t_initial=10, lr=1.0, total_steps=10, steps_per_epoch=1)
    >>> round(rate(7), 6)
    0.5
    """
    _below(lr_min, lr)
    if lb >= ub:
        raise ConfigError(f"must be below ub = {ub:g} (got {lb:g})", key="schedule.lb")
    run = _Run(t_in_epochs, total_steps, steps_per_epoch)
    first = t_initial or run.length(warmup_t if warmup_prefix else 0)
    cycles = _Cycles(lr, lr_min, first, cycle_mul, cycle_decay, cycle_limit)
    rate = cycles.of(lambda done: 0.5 * (1 - math.tanh(lb * (1 - done) + ub * done)))
    # timm's own warm-up leads to the rate it computes at t = W while W is not yet set to a rise: that of the tangent
    return run.warmed(rate, lr if warmup_prefix else rate(warmup_t), warmup_t, warmup_lr_init, warmup_prefix)


def poly(
    *,
    t_initial: Positive | None = None,
    power: Positive = 0.5,
    lr_min: NonNegative = 0.0,
    cycle_mul: Positive = 1.0,
    cycle_decay: Positive = 1.0,
    cycle_limit: Count = 1,
    warmup_t: Natural = 0,
    warmup_lr_init: NonNegative = 0.0,
    warmup_prefix: bool = False,
    t_in_epochs: bool = True,
    k_decay: Positive = 1.0,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Powers of what is left: min + (lr·dⁱ − min)·(1 − cᵏ/Tᵢᵏ)^power (timm's PolyLRScheduler).

    Cycles, warm-up and the other parameters as in `timm/cosine`.

    Args:
        power: 1 is a straight line; timm's default is a half.

    >>> rate = poly(t_initial=4, power=2.0, lr=1.0, total_steps=4, steps_per_epoch=1)
    >>> rate(2)
    0.25
    """
    _below(lr_min, lr)
    run = _Run(t_in_epochs, total_steps, steps_per_epoch)
    first = t_initial or run.length(warmup_t if warmup_prefix else 0)
    cycles = _Cycles(lr, lr_min, first, cycle_mul, cycle_decay, cycle_limit)
    rate = cycles.of(lambda done: float((1 - done**k_decay) ** power))
    return run.warmed(rate, lr, warmup_t, warmup_lr_init, warmup_prefix)


def constant(
    *,
    warmup_t: Natural = 0,
    warmup_lr_init: NonNegative = 0.0,
    t_in_epochs: bool = True,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """A warm-up, then lr (timm's `constant`). Parameters as in `timm/cosine`.

    >>> rate = constant(warmup_t=2, lr=1.0, total_steps=4, steps_per_epoch=1)
    >>> [rate(t) for t in range(4)]
    [0.0, 0.5, 1.0, 1.0]
    """
    run = _Run(t_in_epochs, total_steps, steps_per_epoch)
    return run.warmed(lambda t: lr, lr, warmup_t, warmup_lr_init, True)


def step(
    *,
    decay_t: Positive,
    decay_rate: Positive = 1.0,
    warmup_t: Natural = 0,
    warmup_lr_init: NonNegative = 0.0,
    warmup_prefix: bool = True,
    t_in_epochs: bool = True,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Steps: lr·decay_rate^⌊t/decay_t⌋ (timm's StepLRScheduler).

    Args:
        decay_t: the time between two steps.
        decay_rate: what each multiplies the rate by.
        warmup_t: the warm-up; it and what follows as in `timm/cosine`.

    >>> rate = step(decay_t=2, decay_rate=0.5, lr=1.0, total_steps=6, steps_per_epoch=1)
    >>> [rate(t) for t in (1, 2, 5)]
    [1.0, 0.5, 0.25]
    """
    run = _Run(t_in_epochs, total_steps, steps_per_epoch)

    def rate(t: int) -> float:
        return lr * float(decay_rate ** (t // decay_t))

    return run.warmed(rate, lr, warmup_t, warmup_lr_init, warmup_prefix)


def multistep(
    *,
    decay_t: list[Positive],
    decay_rate: Positive = 1.0,
    warmup_t: Natural = 0,
    warmup_lr_init: NonNegative = 0.0,
    warmup_prefix: bool = True,
    t_in_epochs: bool = True,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Milestones, each one earlier than torch's: lr·decay_rate^(milestones ≤ t + 1) (timm's MultiStepLRScheduler).

    That milestone m acts at t = m − 1 is timm's convention, which it keeps on purpose.

    Args:
        decay_t: the milestones, rising.
        decay_rate: what each multiplies the rate by.
        warmup_t: the warm-up; it and what follows as in `timm/cosine`.

    >>> rate = multistep(decay_t=[2, 4], decay_rate=0.5, lr=1.0, total_steps=6, steps_per_epoch=1)
    >>> [rate(t) for t in range(4)]
    [1.0, 0.5, 0.5, 0.25]
    """
    if not decay_t or decay_t != sorted(set(decay_t)):
        raise ConfigError(f"must rise (got {decay_t})", key="schedule.decay_t")
    run = _Run(t_in_epochs, total_steps, steps_per_epoch)

    def rate(t: int) -> float:
        return lr * decay_rate ** bisect_right(decay_t, t + 1)

    return run.warmed(rate, lr, warmup_t, warmup_lr_init, warmup_prefix)


@dataclass(frozen=True)
class _Cycles:
    """Falls from a peak to `lr_min`, again and again, each cycle with a length and a peak of its own."""

    lr: float
    lr_min: float
    first: float
    length_factor: float
    peak_factor: float
    limit: int

    def of(self, height: Callable[[float], float]) -> Callable[[int], float]:
        """The rate of a time, where `height` of the part of a cycle that is done falls from 1 to 0."""

        def rate(t: int) -> float:
            cycle, within, length = cycle_at(t, self.first, self.length_factor, self.limit)
            if cycle >= self.limit:
                return self.lr_min
            return self.lr_min + (self.lr * self.peak_factor**cycle - self.lr_min) * height(within / length)

        return rate


class _Run:
    """timm's clock: epochs or updates."""

    def __init__(self, t_in_epochs: bool, total_steps: int, steps_per_epoch: int) -> None:
        self.unit = steps_per_epoch if t_in_epochs else 1
        self.total = -(-total_steps // self.unit)

    def length(self, prefix: int) -> int:
        """How long the run is without its prefixed warm-up."""
        if prefix >= self.total > 1:
            raise ConfigError(f"leaves nothing of the run (got {prefix} of {self.total})", key="schedule.warmup_t")
        return max(1, self.total - prefix)

    def warmed(self, rate: Callable[[int], float], top: float, warmup_t: int, initial: float, prefix: bool) -> Schedule:
        """The rate of an update, with the warm-up to `top` before it."""

        def at(step: int) -> float:
            t = step // self.unit
            if t < warmup_t:
                return initial + t * (top - initial) / warmup_t
            return rate(t - warmup_t if prefix else t)

        return at


def _below(lr_min: float, lr: float) -> None:
    if lr_min > lr:
        raise ConfigError(f"is above the peak, optimizer.lr = {lr:g} (got {lr_min:g})", key="schedule.lr_min")


TIMM: dict[str, Callable[..., Schedule]] = {
    "timm/constant": constant,
    "timm/cosine": cosine,
    "timm/multistep": multistep,
    "timm/poly": poly,
    "timm/step": step,
    "timm/tanh": tanh,
}
