"""lrbench's schedules as the body of a function `factor(step)`: the rate of an update as a part of the peak.

They keep to the operations of `lrbench.schedules` where it matters: near the end of a cosine, another order of the same
ones differs in the ninth digit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from lrbench.reports.code.text import laid, literal, near, power
from lrbench.types import Duration

MANY = 12  # cycles that are still written out


@dataclass
class Setting:
    """A schedule that is to be written.

    Attributes:
        params: its parameters, complete.
        lr: the peak rate.
        total: its updates, those of a warm-up block left out.
        steps_per_epoch: updates in an epoch.
        warmed: whether a warm-up block comes before it.
        values: lines that give names to numbers which the body uses; beside them it may use `total_steps`,
            `steps_per_epoch` and `warmup_steps`.
    """

    params: Mapping[str, Any]
    lr: float
    total: int
    steps_per_epoch: int
    warmed: bool = False
    values: list[str] = field(default_factory=list)

    @property
    def whole(self) -> str:
        """The schedule's length, in the code."""
        return "(total_steps - warmup_steps)" if self.warmed else "total_steps"

    @property
    def terms(self) -> str:
        """The same where a sum goes on."""
        return self.whole.strip("()")

    def steps(self, *keys: str) -> list[int]:
        """The updates of durations, or of a list of them."""
        sizes = {"total_steps": self.total, "steps_per_epoch": self.steps_per_epoch}
        return [duration.steps(**sizes) for key in keys for duration in self._durations(key)]

    def name(self, key: str, name: str) -> int:
        """Give the updates of a duration a name in the code."""
        (steps,) = self.steps(key)
        self.values.append(f"{name} = {steps}{said(self._durations(key), self.warmed)}")
        return steps

    def name_all(self, key: str, name: str) -> None:
        """The same for a list of durations."""
        lines = laid(f"{name} = ", self.steps(key))
        words = said(self._durations(key), self.warmed)
        self.values += [lines[0] + words] if len(lines) == 1 and len(lines[0] + words) < 80 else lines

    def _durations(self, key: str) -> list[Duration]:
        given = self.params[key]
        return [Duration.parse(value, "steps") for value in (given if isinstance(given, list) else [given])]

    def low(self, key: str, default: float = 0.0) -> float:
        """`…_factor`, or `…_lr` as a part of the peak."""
        factor, absolute = self.params.get(f"{key}_factor"), self.params.get(f"{key}_lr")
        return near(absolute / self.lr) if absolute is not None else default if factor is None else factor


def said(durations: list[Duration], warmed: bool = False) -> str:
    """A comment on what numbers of updates were in the config, where that is more than themselves."""
    units = {duration.unit for duration in durations}
    whole = " of the updates after the warm-up" if warmed else " of the run"
    return f"  # {', '.join(map(str, durations))}{whole if 'percent' in units else ''}" if units != {"steps"} else ""


def between(low: float, height: str) -> str:
    """`height`, from 0 to 1, as a factor from `low` to 1; no difference of nearly equal numbers is taken."""
    if low == 0:
        return height
    return f"{literal(low)} + {literal(near(1 - low))} * " + (f"({height})" if height.startswith("1 - ") else height)


def ending(low: float, height: str) -> list[str]:
    """The function's last lines, which return `between`; two where one would be long."""
    line = f"return {between(low, height)}"
    return [line] if len(line) < 92 else [f"height = {height}", f"return {between(low, 'height')}"]


def half_cosine(done: str) -> str:
    """From 1 to 0 as `done` goes from 0 to 1, or as the product in it goes to π."""
    return f"(1 + math.cos(math.pi * {done})) / 2"


Body = list[str] | None  # None where it would be long


def _constant(_: Setting) -> Body:
    return ["return 1.0"]


def _linear(s: Setting) -> Body:
    if s.params["decrement"] is None:
        return ending(s.low("final"), f"1 - step / {s.whole}")
    s.values.append(f"lr = {literal(s.lr)}")
    return [f"return max(0.0, lr - {literal(s.params['decrement'])} * (step // steps_per_epoch + 1)) / lr"]


def _step(s: Setting) -> Body:
    s.name("every", "every")
    factor = literal(s.params["factor"])
    if s.steps("offset") == [0]:
        return [f"return {factor} ** (step // every)"]
    s.name("offset", "offset")
    return [f"return {factor} ** ((step + offset) // every)"]


def _time(s: Setting) -> Body:
    k = literal(s.params["k"])
    return ["epoch = step // steps_per_epoch", f"return 1 / math.prod(1 + {k} * e for e in range(1, epoch + 1))"]


def _multistep(s: Setting) -> Body:
    s.name_all("milestones", "milestones")
    return [f"return {literal(s.params['factor'])} ** sum(step >= milestone for milestone in milestones)"]


def _passed(s: Setting) -> str:
    return "(step // steps_per_epoch)" if s.params["per"] == "epoch" else "step"


def _exponential(s: Setting) -> Body:
    return [f"return {power(literal(s.params['gamma']), _passed(s))}"]


def _inverse(s: Setting) -> Body:
    base = f"(1 + {literal(s.params['gamma'])} * {_passed(s)})"
    exponent = literal(s.params["power"])
    return [f"return 1 / {base}" if s.params["power"] == 1 else f"return {base} ** -{exponent}"]


def _cosine(s: Setting) -> Body:
    return ending(s.low("final"), half_cosine(f"step / {s.whole}"))


def _polynomial(s: Setting) -> Body:
    left = f"max(0.0, 1 - step / {s.whole})"
    height = left if s.params["power"] == 1 else power(left, literal(s.params["power"]))
    return ending(s.low("final"), height)


def _inverse_sqrt(s: Setting) -> Body:
    s.name("timescale", "timescale")
    return ["return math.sqrt(timescale / max(step, timescale))"]


def _tanh(s: Setting) -> Body:
    lower, upper = literal(s.params["lower"]), literal(s.params["upper"])
    return [
        f"done = step / {s.whole}",
        f"left = (1 - math.tanh({lower} * (1 - done) + {upper} * done)) / 2",
        *ending(s.low("final"), "left"),
    ]


def _rex(s: Setting) -> Body:
    return [f"left = 1 - step / {s.whole}", "return left / (0.5 + left / 2)"]


def _warmup_stable_decay(s: Setting) -> Body:
    rising, (rise, fall) = [], s.steps("warmup", "cooldown")
    if rise:
        s.name("warmup", "rise")
        rising = ["if step < rise:", "    return (step + 1) / rise"]
    if not fall:
        return [*rising, "return 1.0"]
    s.name("cooldown", "cooldown")
    left = {"linear": "1 - done", "cosine": half_cosine("done"), "sqrt": "1 - math.sqrt(done)"}[s.params["shape"]]
    return [
        *rising,
        f"done = max(step - ({s.terms} - cooldown), 0) / cooldown",
        *ending(s.low("final"), left),
    ]


def _cosine_restarts(s: Setting) -> Body:
    lines = _cycle(s)
    peak, low, height = literal(s.params["peak_factor"]), s.low("final"), half_cosine("(step / cycle)")
    if lines is None or s.params["peak_factor"] == 1:
        return lines and [*lines, *ending(low, height)]
    if low == 0:
        return [*lines, f"return {peak}**index * {height}"]
    s.values.append(f"bottom = {literal(low)}")
    return [*lines, f"peak = max({peak}**index, bottom)", f"return bottom + (peak - bottom) * {height}"]


def _cycle(s: Setting) -> Body:
    """Which cycle an update is in, how long that is, and `step` counted from its start."""
    (first,), growth = s.steps("cycle"), s.params["cycle_factor"]
    if growth == 1:
        s.name("cycle", "cycle")
        return ["step %= cycle"] if s.params["peak_factor"] == 1 else ["index, step = divmod(step, cycle)"]
    lengths: list[int] = []
    while sum(lengths) < s.total and len(lengths) <= MANY:
        lengths.append(max(round(first * growth ** len(lengths)), 1))
    if len(lengths) > MANY:
        return None
    s.values += [*laid("starts = ", [0, *accumulate(lengths)])]
    return [
        f"index = min(bisect.bisect_right(starts, step), {len(lengths)}) - 1",
        "cycle = starts[index + 1] - starts[index]",
        "step -= starts[index]",
    ]


def _one_cycle(s: Setting) -> Body:
    rise, last = s.params["warmup_fraction"] * s.total - 1, s.total - 1
    if s.params["three_phase"] or s.params["cycle_momentum"] or not 0 < rise < last:
        return None
    if s.params["initial_factor"] < 1e-6:  # so near 0 that its own rounding shows
        return None
    share = said([Duration(near(100 * s.params["warmup_fraction"]), "percent")], s.warmed)
    s.values.append(f"top = {literal(rise)}{share}, less one")
    first, low = s.params["initial_factor"], s.params["final_factor"]
    linear = s.params["shape"] == "linear"
    up = "step / top" if linear else "(1 - math.cos(math.pi * (step / top))) / 2"
    return [
        "if step <= top:",
        *(f"    {line}" for line in ending(first, up)),
        f"done = min((step - top) / ({s.terms} - 1 - top), 1.0)",
        *ending(low, "1 - done" if linear else half_cosine("done")),
    ]


def _triangular(s: Setting, damping: str = "") -> Body:
    if s.params["cycle_momentum"]:
        return None
    s.name("step_size_up", "up")
    s.name("step_size_down" if s.params["step_size_down"] else "step_size_up", "down")
    return [
        "within = step % (up + down)",
        "height = within / up if within <= up else 1 - (within - up) / down",
        *ending(s.low("base", 0.1), f"height{damping}"),
    ]


def _triangular2(s: Setting) -> Body:
    return _triangular(s, " * 0.5 ** (step // (up + down))")


def _exp_range(s: Setting) -> Body:
    return _triangular(s, f" * {literal(s.params['gamma'])}**step")


def _sin(s: Setting, damping: str = "") -> Body:
    s.name("half_cycle", "half_cycle")
    height = "abs(math.sin(math.pi * step / (2 * half_cycle)))"
    return ending(s.low("base", 0.1), height + damping)


def _sin2(s: Setting) -> Body:
    return _sin(s, " * 0.5 ** (step // (2 * half_cycle))")


def _sinexp(s: Setting) -> Body:
    return _sin(s, f" * {literal(s.params['gamma'])}**step")


FACTORS: Mapping[str, Callable[[Setting], Body]] = {
    "constant": _constant,
    "cosine": _cosine,
    "cosine_restarts": _cosine_restarts,
    "exp_range": _exp_range,
    "exponential": _exponential,
    "inverse": _inverse,
    "inverse_sqrt": _inverse_sqrt,
    "linear": _linear,
    "multistep": _multistep,
    "one_cycle": _one_cycle,
    "polynomial": _polynomial,
    "rex": _rex,
    "sin": _sin,
    "sin2": _sin2,
    "sinexp": _sinexp,
    "step": _step,
    "tanh": _tanh,
    "time": _time,
    "triangular": _triangular,
    "triangular2": _triangular2,
    "warmup_stable_decay": _warmup_stable_decay,
}
"""Name of a schedule → what writes it."""
