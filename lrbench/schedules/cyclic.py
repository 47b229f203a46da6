"""Schedules that rise as well as fall. Notation as in `decay`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lrbench.errors import ConfigError
from lrbench.schedules.base import Momentum, Schedule, with_momentum
from lrbench.schedules.decay import final_rate
from lrbench.types import Duration, Fraction, NonNegative, Steps


def _ordered(momenta: tuple[float, float]) -> tuple[float, float]:
    if not momenta[0] <= momenta[1] < 1:
        raise ValueError(f"must be [lowest, highest], both below 1 (got {list(momenta)})")
    return momenta


Momenta = Annotated[tuple[Fraction, Fraction], AfterValidator(_ordered)]
Shape = Literal["cosine", "linear"]
Decay = Annotated[float, Field(gt=0, le=1, strict=True)]
HALF = Duration(10, "percent")


def triangular(
    *,
    base_factor: Fraction | None = None,
    base_lr: NonNegative | None = None,
    step_size_up: Steps = HALF,
    step_size_down: Steps | None = None,
    cycle_momentum: Momenta | None = None,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Straight up from a base rate to lr, straight down again, and so on (Smith 2017; torch's CyclicLR; TRI).

    lr(t) = base + (lr − base)·x, where x climbs from 0 to 1 over `step_size_up` updates and falls back over
    `step_size_down`.

    Args:
        base_factor: the base rate as a fraction of lr; 0.1 unless `base_lr` is given.
        base_lr: the base rate itself, instead of `base_factor`.
        step_size_up: half a cycle; a bare number means steps. 10 % of the run gives five cycles.
        step_size_down: the way down, where it differs from the way up.
        cycle_momentum: [lowest, highest] momentum (Adam: beta1), cycled the other way; off by default.

    >>> from lrbench.types import Duration
    >>> rate = triangular(base_factor=0.0, step_size_up=Duration(4, "steps"), lr=1.0, total_steps=16,
    ...                   steps_per_epoch=4)
    >>> [rate(t) for t in (0, 2, 4, 6, 8)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    wave = _triangle(step_size_up, step_size_down, total_steps, steps_per_epoch)
    base = final_rate(lr, base_factor, base_lr, default=0.1)
    return with_momentum(lambda step: base + (lr - base) * wave(step), _opposite(wave, cycle_momentum))


def triangular2(
    *,
    base_factor: Fraction | None = None,
    base_lr: NonNegative | None = None,
    step_size_up: Steps = HALF,
    step_size_down: Steps | None = None,
    cycle_momentum: Momenta | None = None,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """`triangular` whose amplitude halves with each cycle (torch's CyclicLR, mode triangular2; TRI2).

    lr(t) = base + (lr − base)·x·2^−c, where c counts the cycles done. Parameters as in `triangular`.

    >>> from lrbench.types import Duration
    >>> rate = triangular2(base_factor=0.0, step_size_up=Duration(2, "steps"), lr=1.0, total_steps=16,
    ...                    steps_per_epoch=4)
    >>> [rate(t) for t in (2, 6, 10)]
    [1.0, 0.5, 0.25]
    """
    wave = _triangle(step_size_up, step_size_down, total_steps, steps_per_epoch)
    base = final_rate(lr, base_factor, base_lr, default=0.1)
    cycle = _period(step_size_up, step_size_down, total_steps, steps_per_epoch)

    def damped(step: int) -> float:
        return wave(step) * 0.5 ** (step // cycle)

    return with_momentum(lambda step: base + (lr - base) * damped(step), _opposite(damped, cycle_momentum))


def exp_range(
    *,
    gamma: Decay = 0.9999,
    base_factor: Fraction | None = None,
    base_lr: NonNegative | None = None,
    step_size_up: Steps = HALF,
    step_size_down: Steps | None = None,
    cycle_momentum: Momenta | None = None,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """`triangular` whose amplitude decays with each update (torch's CyclicLR, mode exp_range; TRIEXP).

    lr(t) = base + (lr − base)·x·γᵗ. The other parameters as in `triangular`.

    Args:
        gamma: γ, a little below 1.

    >>> from lrbench.types import Duration
    >>> rate = exp_range(gamma=0.5, base_factor=0.0, step_size_up=Duration(1, "steps"), lr=1.0, total_steps=16,
    ...                  steps_per_epoch=4)
    >>> [rate(t) for t in (1, 3)]
    [0.5, 0.125]
    """
    wave = _triangle(step_size_up, step_size_down, total_steps, steps_per_epoch)
    base = final_rate(lr, base_factor, base_lr, default=0.1)

    def damped(step: int) -> float:
        return wave(step) * gamma**step

    return with_momentum(lambda step: base + (lr - base) * damped(step), _opposite(damped, cycle_momentum))


def sin(
    *,
    base_factor: Fraction | None = None,
    base_lr: NonNegative | None = None,
    half_cycle: Steps = HALF,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Humps of a sine between a base rate and lr: lr(t) = base + (lr − base)·|sin(π·t/2l)| (LRBench's SIN).

    Args:
        base_factor: the base rate as a fraction of lr; 0.1 unless `base_lr` is given.
        base_lr: the base rate itself, instead of `base_factor`.
        half_cycle: l, from the base rate to the top; a bare number means steps.

    >>> from lrbench.types import Duration
    >>> rate = sin(base_factor=0.0, half_cycle=Duration(3, "steps"), lr=1.0, total_steps=12, steps_per_epoch=4)
    >>> [round(rate(t), 6) for t in (0, 1, 3, 6)]
    [0.0, 0.5, 1.0, 0.0]
    """
    return _sine(lambda step, cycle: 1.0, base_factor, base_lr, half_cycle, lr, total_steps, steps_per_epoch)


def sin2(
    *,
    base_factor: Fraction | None = None,
    base_lr: NonNegative | None = None,
    half_cycle: Steps = HALF,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """`sin` whose amplitude halves with each hump: lr(t) = base + (lr − base)·|sin(π·t/2l)|·2^−⌊t/2l⌋ (SIN2).

    Parameters as in `sin`.

    >>> from lrbench.types import Duration
    >>> rate = sin2(base_factor=0.0, half_cycle=Duration(3, "steps"), lr=1.0, total_steps=12, steps_per_epoch=4)
    >>> [round(rate(t), 6) for t in (3, 9)]
    [1.0, 0.5]
    """
    return _sine(
        lambda step, cycle: 0.5 ** (step // cycle), base_factor, base_lr, half_cycle, lr, total_steps, steps_per_epoch
    )


def sinexp(
    *,
    gamma: Decay = 0.9999,
    base_factor: Fraction | None = None,
    base_lr: NonNegative | None = None,
    half_cycle: Steps = HALF,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """`sin` whose amplitude decays with each update: lr(t) = base + (lr − base)·|sin(π·t/2l)|·γᵗ (SINEXP).

    The other parameters as in `sin`.

    Args:
        gamma: γ, a little below 1.

    >>> from lrbench.types import Duration
    >>> rate = sinexp(gamma=0.5, base_factor=0.0, half_cycle=Duration(1, "steps"), lr=1.0, total_steps=12,
    ...               steps_per_epoch=4)
    >>> [round(rate(t), 6) for t in (1, 3)]
    [0.5, 0.125]
    """
    return _sine(lambda step, cycle: gamma**step, base_factor, base_lr, half_cycle, lr, total_steps, steps_per_epoch)


def one_cycle(
    *,
    warmup_fraction: Fraction = 0.3,
    initial_factor: Fraction = 0.04,
    final_factor: Fraction = 4e-6,
    shape: Shape = "cosine",
    three_phase: bool = False,
    cycle_momentum: Momenta | None = None,
    lr: float,
    total_steps: int,
) -> Schedule:
    """One cycle over the whole run: up to lr, then down to far below the start (Smith and Topin 2018).

    Torch's OneCycleLR with max_lr = lr: phases end at updates p·T − 1 and T − 1, so that the last update is at
    the final rate. Its div_factor is 1/`initial_factor`; its final_div_factor is `initial_factor`/`final_factor`.

    Args:
        warmup_fraction: p, the part of the run spent rising.
        initial_factor: the first rate as a fraction of lr.
        final_factor: the last rate as a fraction of lr.
        shape: `cosine` or `linear` for each phase.
        three_phase: up, down to the first rate in the same time, then down to the final rate.
        cycle_momentum: [lowest, highest] momentum (Adam: beta1), cycled the other way; off by default.

    >>> rate = one_cycle(warmup_fraction=0.5, shape="linear", lr=1.0, total_steps=10)
    >>> round(rate(0), 6), rate(4), round(rate(9), 9)
    (0.04, 1.0, 4e-06)
    """
    first, last, peak = lr * initial_factor, lr * final_factor, lr
    low, high = cycle_momentum or (0.0, 0.0)
    rise = warmup_fraction * total_steps - 1
    # (update at which the phase ends, rate and momentum from, rate and momentum to)
    phases = [(rise, (first, high), (peak, low)), (total_steps - 1, (peak, low), (last, high))]
    if three_phase:
        if warmup_fraction > 0.5:
            raise ConfigError("three phases need a warmup_fraction of at most 0.5, since the way down is as long")
        fall = 2 * warmup_fraction * total_steps - 2
        phases[1:] = [(fall, (peak, low), (first, high)), (total_steps - 1, (first, high), (last, high))]

    def at(step: int, which: int) -> float:
        begin = 0.0
        for end, start, stop in phases:
            if step <= end or end == total_steps - 1:
                part = (step - begin) / (end - begin) if end > begin else 1.0
                return _between(start[which], stop[which], min(part, 1.0), shape)
            begin = max(end, 0.0)
        raise AssertionError("the last phase ends with the run")

    momentum: Momentum | None = (lambda step: at(step, 1)) if cycle_momentum else None
    return with_momentum(lambda step: at(step, 0), momentum)


def _period(up: Duration, down: Duration | None, total_steps: int, steps_per_epoch: int) -> int:
    sizes = [d.steps(total_steps=total_steps, steps_per_epoch=steps_per_epoch) for d in (up, down or up)]
    if min(sizes) < 1:
        raise ConfigError("a cycle's way up and way down must each be longer than 0, such as '2 epochs'")
    if sizes[0] > total_steps:
        problem = f"a cycle's way up ({up}, {sizes[0]} updates) is longer than the run ({total_steps})"
        raise ConfigError(f"{problem}, so its peak would never be reached; 10% gives five cycles")
    return sum(sizes)


def _triangle(up: Duration, down: Duration | None, total_steps: int, steps_per_epoch: int) -> Schedule:
    """Heights between 0 and 1."""
    period = _period(up, down, total_steps, steps_per_epoch)
    rise = up.steps(total_steps=total_steps, steps_per_epoch=steps_per_epoch)

    def height(step: int) -> float:
        within = step % period
        return within / rise if within <= rise else 1 - (within - rise) / (period - rise)

    return height


def _sine(
    amplitude: Callable[[int, int], float],
    base_factor: float | None,
    base_lr: float | None,
    half_cycle: Duration,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    base = final_rate(lr, base_factor, base_lr, default=0.1)
    cycle = _period(half_cycle, None, total_steps, steps_per_epoch)
    return lambda step: base + (lr - base) * abs(math.sin(math.pi * step / cycle)) * amplitude(step, cycle)


def _between(start: float, stop: float, part: float, shape: Shape) -> float:
    if shape == "linear":
        return start + (stop - start) * part
    return stop + (start - stop) * (1 + math.cos(math.pi * part)) / 2


def _opposite(height: Schedule, momenta: tuple[float, float] | None) -> Momentum | None:
    """Momentum that is highest where the rate is lowest."""
    if momenta is None:
        return None
    low, high = momenta
    return lambda step: high - (high - low) * height(step)
