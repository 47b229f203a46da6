"""Schedules that rise as well as fall. Notation as in `decay`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

from lrbench.errors import ConfigError, counted
from lrbench.schedules.base import Context, Momentum, Options, Schedule, unpacked, with_momentum
from lrbench.schedules.decay import lower_rate
from lrbench.types import Duration, Fraction, NonNegative, PositiveFraction, Steps


def _ordered(momenta: tuple[float, float]) -> tuple[float, float]:
    if not momenta[0] <= momenta[1] < 1:
        raise ValueError(f"must be [lowest, highest], both below 1 (got {list(momenta)})")
    return momenta


Momenta = Annotated[tuple[Fraction, Fraction], AfterValidator(_ordered)]
Shape = Literal["cosine", "linear"]
HALF = Duration(10, "percent")

Amplitude = Callable[[int, int], float]
"""Of the step and the steps in a cycle; between 0 and 1."""


@dataclass(frozen=True, kw_only=True)
class _Cycles(Options):
    """The range of a cyclic schedule, from a base to lr."""

    base_factor: Fraction | None = None
    base_lr: NonNegative | None = None
    run: Context

    @property
    def base(self) -> float:
        return lower_rate(self.run.lr, self.base_factor, self.base_lr, default=0.1)

    def steps(self, up: Duration, down: Duration) -> tuple[int, int]:
        """Return the steps of the rise and of a whole cycle. Raises ConfigError if one is 0 or the rise too long."""
        rise, fall = self.run.steps(up), self.run.steps(down)
        if min(rise, fall) < 1:
            raise ConfigError("the rise and the fall of a cycle must each be longer than 0, such as '2 epochs'")
        if rise > self.run.total_steps:
            whole = f"is longer than the run ({self.run.total_steps})"
            problem = f"the rise of a cycle ({up}, {counted(rise, 'step')}) {whole}"
            raise ConfigError(f"{problem}, so it would never reach its peak; 10% gives five cycles")
        return rise, rise + fall


@dataclass(frozen=True, kw_only=True)
class _Triangles(_Cycles):
    """Straight rises and falls, and momentum that is highest where the learning rate is lowest."""

    step_size_up: Steps = HALF
    step_size_down: Steps | None = None
    cycle_momentum: Momenta | None = None

    def schedule(self, amplitude: Amplitude) -> Schedule:
        rise, period = self.steps(self.step_size_up, self.step_size_down or self.step_size_up)
        lr, base = self.run.lr, self.base

        def height(step: int) -> float:
            within = step % period
            triangle = within / rise if within <= rise else 1 - (within - rise) / (period - rise)
            return triangle * amplitude(step, period)

        low, high = self.cycle_momentum or (0.0, 0.0)
        momentum: Momentum | None = (lambda step: high - (high - low) * height(step)) if self.cycle_momentum else None
        return with_momentum(lambda step: base + (lr - base) * height(step), momentum)


@dataclass(frozen=True, kw_only=True)
class _Humps(_Cycles):
    """Halves of a sine, which take as long to rise as to fall."""

    half_cycle: Steps = HALF

    def schedule(self, amplitude: Amplitude) -> Schedule:
        lr, base = self.run.lr, self.base
        _, period = self.steps(self.half_cycle, self.half_cycle)
        return lambda step: base + (lr - base) * abs(math.sin(math.pi * step / period)) * amplitude(step, period)


@unpacked
def triangular(*, cycles: _Triangles) -> Schedule:
    """Triangular cycles between a base and lr (Smith 2017; torch's CyclicLR; TRI).

    lr(t) = base + (lr − base)·x, where x climbs from 0 to 1 in `step_size_up` steps and falls back in
    `step_size_down`.

    >>> rate = triangular(base_factor=0.0, step_size_up=Duration(4, "steps"),
    ...                   run=Context(lr=1.0, total_steps=16, steps_per_epoch=4))
    >>> [rate(t) for t in (0, 2, 4, 6, 8)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    return cycles.schedule(lambda step, period: 1.0)


@unpacked
def triangular2(*, cycles: _Triangles) -> Schedule:
    """`triangular` with an amplitude that halves each cycle (torch's CyclicLR, mode triangular2; TRI2).

    lr(t) = base + (lr − base)·x·2^−c, where c counts the completed cycles.

    >>> rate = triangular2(base_factor=0.0, step_size_up=Duration(2, "steps"),
    ...                    run=Context(lr=1.0, total_steps=16, steps_per_epoch=4))
    >>> [rate(t) for t in (2, 6, 10)]
    [1.0, 0.5, 0.25]
    """
    return cycles.schedule(lambda step, period: 0.5 ** (step // period))


@unpacked
def exp_range(*, gamma: PositiveFraction = 0.9999, cycles: _Triangles) -> Schedule:
    """`triangular` with an amplitude that decays each step (torch's CyclicLR, mode exp_range; TRIEXP).

    lr(t) = base + (lr − base)·x·γᵗ.

    >>> rate = exp_range(gamma=0.5, base_factor=0.0, step_size_up=Duration(1, "steps"),
    ...                  run=Context(lr=1.0, total_steps=16, steps_per_epoch=4))
    >>> [rate(t) for t in (1, 3)]
    [0.5, 0.125]
    """
    return cycles.schedule(lambda step, period: gamma**step)


@unpacked
def sin(*, humps: _Humps) -> Schedule:
    """Sine humps between a base and lr: lr(t) = base + (lr − base)·|sin(π·t/2l)| (LRBench's SIN).

    >>> rate = sin(base_factor=0.0, half_cycle=Duration(3, "steps"),
    ...            run=Context(lr=1.0, total_steps=12, steps_per_epoch=4))
    >>> [round(rate(t), 6) for t in (0, 1, 3, 6)]
    [0.0, 0.5, 1.0, 0.0]
    """
    return humps.schedule(lambda step, period: 1.0)


@unpacked
def sin2(*, humps: _Humps) -> Schedule:
    """`sin` with an amplitude that halves each hump: lr(t) = base + (lr − base)·|sin(π·t/2l)|·2^−⌊t/2l⌋ (SIN2).

    >>> rate = sin2(base_factor=0.0, half_cycle=Duration(3, "steps"),
    ...             run=Context(lr=1.0, total_steps=12, steps_per_epoch=4))
    >>> [round(rate(t), 6) for t in (3, 9)]
    [1.0, 0.5]
    """
    return humps.schedule(lambda step, period: 0.5 ** (step // period))


@unpacked
def sinexp(*, gamma: PositiveFraction = 0.9999, humps: _Humps) -> Schedule:
    """`sin` with an amplitude that decays each step: lr(t) = base + (lr − base)·|sin(π·t/2l)|·γᵗ (SINEXP).

    >>> rate = sinexp(gamma=0.5, base_factor=0.0, half_cycle=Duration(1, "steps"),
    ...               run=Context(lr=1.0, total_steps=12, steps_per_epoch=4))
    >>> [round(rate(t), 6) for t in (1, 3)]
    [0.5, 0.125]
    """
    return humps.schedule(lambda step, period: gamma**step)


def one_cycle(
    *,
    warmup_fraction: Fraction = 0.3,
    initial_factor: Fraction = 0.04,
    final_factor: Fraction = 4e-6,
    shape: Shape = "cosine",
    three_phase: bool = False,
    cycle_momentum: Momenta | None = None,
    run: Context,
) -> Schedule:
    """One cycle over the run: up to lr, then down to far below the start (Smith and Topin 2018).

    Torch's OneCycleLR with max_lr = lr. Phases end at steps p·T − 1 and T − 1, so the last step has the final
    learning rate. Torch's div_factor is 1/`initial_factor`; its final_div_factor is `initial_factor`/`final_factor`.

    Args:
        warmup_fraction: p, the fraction of the run spent rising.
        initial_factor: the first learning rate as a fraction of lr.
        final_factor: the last learning rate as a fraction of lr.
        shape: shape of each phase, `cosine` or `linear`.
        three_phase: rise, fall back to the first learning rate in the same time, then fall to the last one.

    >>> rate = one_cycle(warmup_fraction=0.5, shape="linear", run=Context(lr=1.0, total_steps=10, steps_per_epoch=5))
    >>> round(rate(0), 6), rate(4), round(rate(9), 9)
    (0.04, 1.0, 4e-06)
    """
    peak, total_steps = run.lr, run.total_steps
    first, last = peak * initial_factor, peak * final_factor
    low, high = cycle_momentum or (0.0, 0.0)
    rise = warmup_fraction * total_steps - 1
    last_steps = [rise, total_steps - 1]
    if three_phase:
        if warmup_fraction > 0.5:
            raise ConfigError("three phases need a warmup_fraction of at most 0.5, since the fall takes as long")
        last_steps.insert(1, 2 * warmup_fraction * total_steps - 2)

    def through(values: list[float]) -> Schedule:
        """Go from each value to the next, one in each phase."""
        phases = list(zip(last_steps, values, values[1:], strict=False))

        def at(step: int) -> float:
            begin = 0.0
            for end, start, stop in phases:
                if step <= end or end == total_steps - 1:
                    done = (step - begin) / (end - begin) if end > begin else 1.0
                    return _between(start, stop, min(done, 1.0), shape)
                begin = max(end, 0.0)
            raise AssertionError("the last phase ends with the run")

        return at

    rates, momenta = [first, peak, last], [high, low, high]
    if three_phase:
        rates, momenta = [first, peak, first, last], [high, low, high, high]
    return with_momentum(through(rates), through(momenta) if cycle_momentum else None)


def _between(start: float, stop: float, done: float, shape: Shape) -> float:
    if shape == "linear":
        return start + (stop - start) * done
    return stop + (start - stop) * (1 + math.cos(math.pi * done)) / 2
