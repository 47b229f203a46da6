"""A config's schedule as PyTorch code.

A short closed form is written out. Everything else is a call of `lrbench.torch_scheduler`, which is exact for every
schedule. The expressions are those of `lrbench.schedules`: near the end of a cosine, the same terms in another order
differ in the ninth digit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lrbench.components import KNOWN
from lrbench.config import Experiment
from lrbench.reports.code.text import Call, Raw, call, layout, literal
from lrbench.schedules import WarmUpRule, lies_over
from lrbench.types import Duration, Part

TORCH = "torch.optim.lr_scheduler"


@dataclass(frozen=True)
class Run:
    """What the code of a schedule depends on.

    Attributes:
        experiment: the config.
        lr: the peak learning rate; None if only an imported optimizer knows it.
        grouped: whether parameter groups have learning rates of their own.
        steps_per_epoch: None if unknown.
        total_steps: None if unknown.
    """

    experiment: Experiment
    lr: float | None
    grouped: bool
    steps_per_epoch: int | None
    total_steps: int | None


@dataclass(frozen=True)
class ScheduleCode:
    """Assignments such as `warmup_steps = 100`, the function `factor(step)` if there is one, and the scheduler.

    A constant learning rate needs no scheduler. With `plateau`, the scheduler follows the plateau rule too.
    """

    values: list[str] = field(default_factory=list)
    function: list[str] = field(default_factory=list)
    scheduler: Call | None = None
    plateau: bool = False


def schedule_code(run: Run) -> ScheduleCode:
    """Write the schedule and the warm-up of a run, with the plateau rule where torch has no scheduler for both."""
    warmup, schedule, plateau = run.experiment.warmup, run.experiment.schedule, run.experiment.plateau
    constant = warmup is None and schedule.name == "constant"
    if plateau is not None and (not constant or plateau.growth is not None):
        followed = plateau.metric.removeprefix("val_") in KNOWN and run.experiment.eval_every is None
        return _from_lrbench(run, plateau=followed)
    if constant:
        return ScheduleCode()
    if run.lr is None or run.steps_per_epoch is None or run.total_steps is None:
        return _from_lrbench(run)
    sizes = {"total_steps": run.total_steps, "steps_per_epoch": run.steps_per_epoch}
    warmup_steps = warmup.duration.steps(**sizes) if warmup else 0
    before = 0 if warmup is None or lies_over(warmup, schedule) else warmup_steps
    sizes["total_steps"] -= before
    writer = Writer(schedule.params, run.lr, run.grouped, sizes, before)
    if warmup is not None and warmup_steps:
        return _after_warmup(writer, warmup, warmup_steps, schedule) or _from_lrbench(run)
    if schedule.name == "constant":
        return ScheduleCode()
    scheduler = SCHEDULERS[schedule.name](writer) if schedule.name in SCHEDULERS else None
    if scheduler is not None:
        return ScheduleCode(writer.values, scheduler=scheduler)
    body = FACTORS[schedule.name](writer) if schedule.name in FACTORS else None
    return _from_lrbench(run) if body is None else _lambda_lr(writer, body)


def _from_lrbench(run: Run, plateau: bool = False) -> ScheduleCode:
    schedule, plain = _without_none(run.experiment.schedule.plain()), run.experiment.plain()
    sizes = {"total_steps": Raw("total_steps"), "steps_per_epoch": Raw("steps_per_epoch")}
    more = {key: plain[key] for key in ("warmup", *(["plateau"] if plateau else []), "as_of") if key in plain}
    shown = schedule["name"] if len(schedule) == 1 else schedule
    made = call("lrbench.torch_scheduler", Raw("optimizer"), shown, **sizes, **_without_none(more))
    return ScheduleCode(scheduler=made, plateau=plateau)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


@dataclass
class Writer:
    """A schedule's parameters and sizes, and the assignments that its code needs so far.

    The sizes are without the `before` steps of a warm-up that the schedule follows.
    """

    params: Mapping[str, Any]
    lr: float
    grouped: bool
    sizes: Mapping[str, int]
    before: int
    values: list[str] = field(default_factory=list)

    @property
    def length(self) -> str:
        """The schedule's number of steps in the code."""
        return "(total_steps - warmup_steps)" if self.before else "total_steps"

    def steps(self, key: str) -> list[int]:
        """The steps of a duration, or of each in a list."""
        return [duration.steps(**self.sizes) for duration in self._durations(key)]

    def assign(self, name: str, key: str) -> Raw:
        """Assign the steps of a duration, or of a list of them, to a name in the code."""
        steps = self.steps(key)
        lines = layout(f"{name} = ", steps if isinstance(self.params[key], list) else steps[0])
        note = units(self._durations(key), "steps after the warm-up" if self.before else "run")
        self.values += [lines[0] + note] if len(lines) == 1 and len(lines[0] + note) < 80 else lines
        return Raw(name)

    def _durations(self, key: str) -> list[Duration]:
        given = self.params[key]
        return [Duration.parse(value, "steps") for value in (given if isinstance(given, list) else [given])]

    def between(self, height: str) -> list[str]:
        """Return the fraction that is `height`, from 0 to 1, of the way from the final fraction to 1."""
        factor, absolute = self.params["final_factor"], self.params["final_lr"]
        return between(_rounded(absolute / self.lr) if absolute is not None else factor or 0.0, height)


def units(durations: list[Duration], whole: str) -> str:
    """A comment with the durations as the config has them, unless it has steps."""
    if all(duration.unit == "steps" for duration in durations):
        return ""
    of_what = f" of the {whole}" if any(duration.unit == "percent" for duration in durations) else ""
    return f"  # {', '.join(map(str, durations))}{of_what}"


def between(low: float, height: str) -> list[str]:
    """Return statements for `low + (1 - low) * height`, which takes no difference of nearly equal numbers."""
    if low == 0:
        return [f"return {height}"]
    scale = f"return {literal(low)} + {literal(_rounded(1 - low))} * "
    line = scale + (f"({height})" if height.startswith("1 - ") else height)
    return [line] if len(line) < 92 else [f"height = {height}", f"{scale}height"]


def _rounded(value: float) -> float:
    """A computed number without the noise in its last digits."""
    return float(f"{value:.12g}")


# -- closed forms: the body of `factor(step)`, which returns the learning rate as a fraction of its peak


_DROPS = {"multistep": "milestones", "step": "every"}


def _after_warmup(writer: Writer, warmup: WarmUpRule, steps: int, schedule: Part) -> ScheduleCode | None:
    """A linear warm-up before a closed form, which starts at the peak; None for other warm-ups and schedules."""
    name, over = schedule.name, lies_over(warmup, schedule)
    starts_constant = name in _DROPS and writer.steps(_DROPS[name])[0] >= steps
    if warmup.shape != "linear" or name not in FACTORS or (over and not starts_constant):
        return None
    body = FACTORS[name](writer)
    if body is None:
        return None
    writer.values.insert(0, f"warmup_steps = {steps}{units([warmup.duration], 'run')}")
    rise = [f"    {line}" for line in between(warmup.from_factor, "(step + 1) / warmup_steps")]
    shift = [] if over or name == "constant" else ["step -= warmup_steps"]
    return _lambda_lr(writer, ["if step < warmup_steps:", *rise, *shift, *body])


def _lambda_lr(writer: Writer, body: list[str]) -> ScheduleCode:
    docstring = '"""Learning rate at `step`, counted from 0, as a fraction of the optimizer\'s lr."""'
    function = ["def factor(step):", *(f"    {line}" for line in (docstring, *body))]
    return ScheduleCode(writer.values, function, call(f"{TORCH}.LambdaLR", Raw("optimizer"), Raw("factor")))


def _linear(w: Writer) -> list[str] | None:
    return w.between(f"1 - step / {w.length}") if w.params["decrement"] is None else None


def _cosine(w: Writer) -> list[str]:
    return w.between(f"(1 + math.cos(math.pi * step / {w.length})) / 2")


def _polynomial(w: Writer) -> list[str]:
    power = "" if w.params["power"] == 1 else f" ** {literal(w.params['power'])}"
    return w.between(f"max(0.0, 1 - step / {w.length}){power}")


def _inverse_sqrt(w: Writer) -> list[str]:
    w.assign("timescale", "timescale")
    return ["return math.sqrt(timescale / max(step, timescale))"]


def _exponential(w: Writer) -> list[str]:
    exponent = "**step" if w.params["per"] == "step" else " ** (step // steps_per_epoch)"
    return [f"return {literal(w.params['gamma'])}{exponent}"]


def _step(w: Writer) -> list[str] | None:
    if Duration.parse(w.params["offset"], "steps").amount:
        return None
    return [f"return {literal(w.params['factor'])} ** (step // {w.assign('step_size', 'every')})"]


def _multistep(w: Writer) -> list[str]:
    milestones = w.assign("milestones", "milestones")
    return [f"return {literal(w.params['factor'])} ** sum(step >= milestone for milestone in {milestones})"]


FACTORS: Mapping[str, Callable[[Writer], list[str] | None]] = {
    "constant": lambda _: ["return 1.0"],
    "cosine": _cosine,
    "exponential": _exponential,
    "inverse_sqrt": _inverse_sqrt,
    "linear": _linear,
    "multistep": _multistep,
    "polynomial": _polynomial,
    "step": _step,
}
"""Closed forms by name of schedule. A form that returns None leaves these parameters to lrbench."""


# -- torch's own schedulers, where they are equal at every step


def _step_lr(w: Writer) -> Call | None:
    if Duration.parse(w.params["offset"], "steps").amount:
        return None
    size = w.assign("step_size", "every")
    return call(f"{TORCH}.StepLR", Raw("optimizer"), step_size=size, gamma=w.params["factor"])


def _multistep_lr(w: Writer) -> Call:
    milestones = w.assign("milestones", "milestones")
    return call(f"{TORCH}.MultiStepLR", Raw("optimizer"), milestones=milestones, gamma=w.params["factor"])


def _exponential_lr(w: Writer) -> Call:
    if w.params["per"] == "step":
        return call(f"{TORCH}.ExponentialLR", Raw("optimizer"), gamma=w.params["gamma"])
    return call(f"{TORCH}.StepLR", Raw("optimizer"), step_size=Raw("steps_per_epoch"), gamma=w.params["gamma"])


def _one_cycle_lr(w: Writer) -> Call | None:
    p, total = w.params, w.sizes["total_steps"]
    last, rise = total - 1, p["warmup_fraction"] * total - 1
    fall = 2 * p["warmup_fraction"] * total - 2 if p["three_phase"] else rise
    if w.grouped or not 0 < rise <= fall < last or not (p["initial_factor"] and p["final_factor"]):
        return None  # torch divides by these
    momenta = p["cycle_momentum"]
    return call(
        f"{TORCH}.OneCycleLR",
        Raw("optimizer"),
        max_lr=w.lr,
        total_steps=Raw("total_steps"),
        pct_start=float(p["warmup_fraction"]),
        **({} if p["shape"] == "cosine" else {"anneal_strategy": "linear"}),
        div_factor=_rounded(1 / p["initial_factor"]),
        final_div_factor=_rounded(p["initial_factor"] / p["final_factor"]),
        **({"three_phase": True} if p["three_phase"] else {}),
        **({"base_momentum": momenta[0], "max_momentum": momenta[1]} if momenta else {"cycle_momentum": False}),
    )


SCHEDULERS: Mapping[str, Callable[[Writer], Call | None]] = {
    "exponential": _exponential_lr,
    "multistep": _multistep_lr,
    "one_cycle": _one_cycle_lr,
    "step": _step_lr,
}
"""Calls of torch's schedulers by name of schedule, without a warm-up. None where torch's one would differ."""
