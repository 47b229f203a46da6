"""`timm/…`: timm's schedulers, with its names, parameters, defaults and numbers.

Times are plain numbers in epochs, or in steps with `t_in_epochs: false`; the learning rate changes once per epoch or
per step, as in timm's training script. `t_initial` is the length of the run (without a prefixed warm-up) by default.
timm's optional noise is left out. Without a warm-up, the first epoch (or step) has the optimizer's own learning rate,
since timm's training script never asks for that of t = 0.

With W `warmup_t`, the learning rate at t < W is warmup_lr_init + t·(r − warmup_lr_init)/W. With `warmup_prefix`, t
counts from the end of the warm-up afterwards. Without it, the schedule runs on during the warm-up, and the learning
rate jumps after it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from lrbench.errors import ConfigError
from lrbench.schedules.base import Context, Options, Schedule, check_below_peak, document, unpacked
from lrbench.schedules.compat.cycles import cycle_at
from lrbench.types import Count, Finite, Natural, NonNegative, Part, Positive, ProperFraction


@dataclass(frozen=True, kw_only=True)
class WarmUp(Options):
    """timm's warm-up and its clock, which counts epochs or steps."""

    warmup_t: Natural = 0
    warmup_lr_init: NonNegative = 0.0
    warmup_prefix: bool = True
    t_in_epochs: bool = True
    run: Context

    @property
    def unit(self) -> int:
        """Steps per unit of time."""
        return self.run.steps_per_epoch if self.t_in_epochs else 1

    def rest(self) -> int:
        """Return the length of the run without a prefixed warm-up."""
        total, prefix = -(-self.run.total_steps // self.unit), self.warmup_t if self.warmup_prefix else 0
        if prefix >= total > 1:
            raise ConfigError(f"must be shorter than the run, {total} (got {prefix})", key="schedule.warmup_t")
        return max(1, total - prefix)

    def before(self, rate: Callable[[int], float], top: float | None = None) -> Schedule:
        """Put the warm-up to `top`, lr by default, before a function of time."""
        unit, warmup_t, initial = self.unit, self.warmup_t, self.warmup_lr_init
        end = self.run.lr if top is None else top

        def at(step: int) -> float:
            t = step // unit
            if t == 0 and not warmup_t and self.run.as_of != 2:  # timm's training script first calls step(1)
                return self.run.lr
            if t < warmup_t:
                return initial + t * (end - initial) / warmup_t
            return rate(t - warmup_t if self.warmup_prefix else t)

        return at


@dataclass(frozen=True, kw_only=True)
class Cycles(WarmUp):
    """Repeated decay to `lr_min`; each cycle has its own length and peak."""

    t_initial: Positive | None = None
    lr_min: NonNegative = 0.0
    cycle_mul: Positive = 1.0
    cycle_decay: Positive = 1.0
    cycle_limit: Count = 1
    warmup_prefix: bool = False

    def rate(self, height: Callable[[float], float]) -> Callable[[int], float]:
        """Return the learning rate as a function of time; `height` of the fraction of a cycle falls from 1 to 0."""
        lr, lr_min, first = self.run.lr, self.lr_min, self.t_initial or self.rest()
        check_below_peak(lr_min, "lr_min", self.run)

        def rate(t: int) -> float:
            cycle, within, length = cycle_at(t, first, self.cycle_mul, self.cycle_limit)
            if cycle >= self.cycle_limit:
                return lr_min
            return lr_min + (lr * self.cycle_decay**cycle - lr_min) * height(within / length)

        return rate


@unpacked
def cosine(*, cycles: Cycles, k_decay: Positive = 1.0) -> Schedule:
    """Half cosines: min + (lr·dⁱ − min)·(1 + cos(π·cᵏ/Tᵢᵏ))/2 (timm's CosineLRScheduler).

    i counts the completed cycles, c is the time since the last restart and Tᵢ = t_initial·cycle_mulⁱ.

    >>> rate = cosine(t_initial=4, run=Context(lr=1.0, total_steps=8, steps_per_epoch=2))
    >>> [round(rate(t), 6) for t in (0, 1, 4, 6)]
    [1.0, 1.0, 0.5, 0.146447]
    """
    return cycles.before(cycles.rate(lambda done: 0.5 * (1 + math.cos(math.pi * done**k_decay))))


@unpacked
def tanh(*, cycles: Cycles, lb: Finite = -7.0, ub: Finite = 3.0) -> Schedule:
    """Hyperbolic tangents: min + (lr·dⁱ − min)/2·(1 − tanh(lb·(1 − c/Tᵢ) + ub·c/Tᵢ)) (timm's TanhLRScheduler).

    i, c and Tᵢ as in `timm/cosine`. Without a prefix, the warm-up leads to the tangent's learning rate at its end.

    Args:
        lb: tanh's argument at the start of a cycle.
        ub: tanh's argument at the end of a cycle.

    >>> rate = tanh(t_initial=10, run=Context(lr=1.0, total_steps=10, steps_per_epoch=1))
    >>> round(rate(7), 6)
    0.5
    """
    if lb >= ub:
        raise ConfigError(f"must be below ub = {ub:g} (got {lb:g})", key="schedule.lb")
    rate = cycles.rate(lambda done: 0.5 * (1 - math.tanh(lb * (1 - done) + ub * done)))
    # timm computes its learning rate at t = W before its warm-up is set: that of the tangent.
    return cycles.before(rate, None if cycles.warmup_prefix else rate(cycles.warmup_t))


@unpacked
def poly(*, cycles: Cycles, power: Positive = 0.5, k_decay: Positive = 1.0) -> Schedule:
    """Polynomial decay: min + (lr·dⁱ − min)·(1 − cᵏ/Tᵢᵏ)^power (timm's PolyLRScheduler).

    i, c and Tᵢ as in `timm/cosine`.

    >>> poly(t_initial=4, power=2.0, run=Context(lr=1.0, total_steps=4, steps_per_epoch=1))(2)
    0.25
    """
    return cycles.before(cycles.rate(lambda done: float((1 - done**k_decay) ** power)))


def constant(
    *, warmup_t: Natural = 0, warmup_lr_init: NonNegative = 0.0, t_in_epochs: bool = True, run: Context
) -> Schedule:
    """A warm-up, then lr (timm's `constant`).

    >>> rate = constant(warmup_t=2, run=Context(lr=1.0, total_steps=4, steps_per_epoch=1))
    >>> [rate(t) for t in range(4)]
    [0.0, 0.5, 1.0, 1.0]
    """
    warmup = WarmUp(warmup_t=warmup_t, warmup_lr_init=warmup_lr_init, t_in_epochs=t_in_epochs, run=run)
    return warmup.before(lambda t: run.lr)


@unpacked
def step(*, decay_t: Positive, decay_rate: Positive = 1.0, warmup: WarmUp) -> Schedule:
    """Step decay: lr·decay_rate^⌊t/decay_t⌋ (timm's StepLRScheduler).

    Args:
        decay_t: the time between drops.

    >>> rate = step(decay_t=2, decay_rate=0.5, run=Context(lr=1.0, total_steps=6, steps_per_epoch=1))
    >>> [rate(t) for t in (1, 2, 5)]
    [1.0, 0.5, 0.25]
    """
    return warmup.before(lambda t: warmup.run.lr * float(decay_rate ** (t // decay_t)))


@unpacked
def multistep(*, decay_t: list[Positive], decay_rate: Positive = 1.0, warmup: WarmUp) -> Schedule:
    """Milestones, each one earlier than torch's: lr·decay_rate^(milestones ≤ t + 1) (timm's MultiStepLRScheduler).

    timm lets milestone m act at t = m − 1 on purpose; a milestone at 1 acts at t = 1, as the first epoch has lr.

    Args:
        decay_t: the milestones, rising.

    >>> rate = multistep(decay_t=[2, 4], decay_rate=0.5, run=Context(lr=1.0, total_steps=6, steps_per_epoch=1))
    >>> [rate(t) for t in range(4)]
    [1.0, 0.5, 0.5, 0.25]
    """
    if not decay_t or decay_t != sorted(set(decay_t)):
        raise ConfigError(f"must rise (got {decay_t})", key="schedule.decay_t")
    return warmup.before(lambda t: warmup.run.lr * decay_rate ** bisect_right(decay_t, t + 1))


def wsd(
    *,
    t_initial: Positive | None = None,
    decay_t: Positive = 0.2,
    lr_min: NonNegative = 0.0,
    stable_fn: Literal["constant", "rsqrt", "power"] = "constant",
    stable_timescale: Positive | None = None,
    stable_power: Positive = 0.5,
    decay_fn: Literal["linear", "1-sqrt", "cosine", "power", "exp"] = "1-sqrt",
    decay_power: Positive = 0.5,
    decay_ratio: ProperFraction = 0.1,
    warmup_t: Natural = 0,
    warmup_lr_init: NonNegative = 0.0,
    t_in_epochs: bool = True,
    run: Context,
) -> Schedule:
    """Warm-up, a stable phase, and a decay to min: min + (lr·s(t) − min)·d(f) (WSDLRScheduler of timm 1.0.31).

    t counts from the end of the warm-up and f is the fraction of the decay done. s(t) is 1, (1 + t/timescale)^−½ or
    (1 + t/timescale)^−power; d(f) is 1 − f, 1 − √f, (1 + cos πf)/2, 1 − f^power or (rᶠ − r)/(1 − r).

    Args:
        t_initial: length of the stable phase and the decay; the rest of the run after the warm-up by default.
        decay_t: length of the decay; below 1, a fraction of `t_initial`.
        stable_fn: s, the stable phase: constant, rsqrt or power.
        stable_timescale: timescale of rsqrt and power; `warmup_t` by default.
        stable_power: the exponent of power.
        decay_fn: d, the decay: linear, 1-sqrt, cosine, power or exp.
        decay_power: the exponent of power.
        decay_ratio: r, for `decay_fn: exp`.

    >>> rate = wsd(decay_t=4, decay_fn="linear", run=Context(lr=1.0, total_steps=8, steps_per_epoch=1))
    >>> [rate(t) for t in (0, 4, 5, 7)]
    [1.0, 1.0, 0.75, 0.25]
    """
    warmup = WarmUp(warmup_t=warmup_t, warmup_lr_init=warmup_lr_init, t_in_epochs=t_in_epochs, run=run)
    length = t_initial or warmup.rest()
    fall = max(round(decay_t * length), 1) if decay_t < 1 else decay_t
    if not 0 < fall <= length:
        raise ConfigError(f"must be between 1 and t_initial = {length:g} (got {fall:g})", key="schedule.decay_t")
    timescale, power = stable_timescale or warmup_t, 0.5 if stable_fn == "rsqrt" else stable_power
    if stable_fn != "constant" and not timescale:
        raise ConfigError(f"is needed by {stable_fn} without a warm-up", key="schedule.stable_timescale")
    check_below_peak(lr_min, "lr_min", run)
    decay: Mapping[str, Callable[[float], float]] = {
        "linear": lambda f: 1 - f,
        "1-sqrt": lambda f: 1 - math.sqrt(f),
        "cosine": lambda f: 0.5 * (1 + math.cos(math.pi * f)),
        "power": lambda f: 1 - f**decay_power,
        "exp": lambda f: (decay_ratio**f - decay_ratio) / (1 - decay_ratio),
    }

    def rate(t: int) -> float:
        level = 1.0 if stable_fn == "constant" else (1 + t / timescale) ** -power
        stable = max(run.lr * level, lr_min)
        done = (t - (length - fall)) / fall
        return stable if done <= 0 else lr_min + (stable - lr_min) * decay[decay_fn](min(done, 1.0))

    return warmup.before(rate)


def revised(part: Part) -> bool:
    """Return whether the first epoch of a schedule had another learning rate than the optimizer's before format 3."""
    if part.name == "timm/multistep":
        return not part.params.get("warmup_t") and any(milestone <= 1 for milestone in part.params["decay_t"])
    return part.name == "timm/tanh" and not part.params.get("warmup_t")


TIMM: dict[str, Callable[..., Schedule]] = {
    "timm/constant": constant,
    "timm/cosine": cosine,
    "timm/multistep": multistep,
    "timm/poly": poly,
    "timm/step": step,
    "timm/tanh": tanh,
    "timm/wsd": wsd,
}

document(
    TIMM,
    {
        "t_initial": "T₀, length of the first cycle; the whole run by default.",
        "lr_min": "the minimum learning rate, also after the last cycle.",
        "cycle_mul": "ratio of each cycle's length to the previous one.",
        "cycle_decay": "d, ratio of each cycle's peak to the previous one.",
        "cycle_limit": "number of cycles.",
        "warmup_t": "W, length of the warm-up.",
        "warmup_lr_init": "the learning rate at the start of the warm-up.",
        "warmup_prefix": "start the schedule after the warm-up, not during it.",
        "t_in_epochs": "count time in epochs, else in steps.",
        "k_decay": "k (Zhang and Li 2020); above 1, high learning rates last longer.",
        "power": "1 is a straight line.",
        "decay_rate": "multiplies the learning rate at each drop.",
    },
)
