"""A config's schedule as lines of plain PyTorch; of `lrbench.torch_scheduler` where those would be long or inexact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lrbench.config.load import Experiment
from lrbench.reports.code.factors import FACTORS, Setting, between, ending, said
from lrbench.reports.code.text import Call, Raw, call, literal, near
from lrbench.schedules import build_schedule

TORCH = "torch.optim.lr_scheduler"
MOST_CYCLES = 500  # torch's CyclicLR ends with an OverflowError where 2 to the power of their number is too large


@dataclass(frozen=True)
class Run:
    """What of a run its schedule depends on.

    Attributes:
        experiment: the config.
        lr: the peak rate, None where only an imported optimizer knows it.
        grouped: whether the weights are in groups with rates of their own.
        steps_per_epoch: updates in an epoch, None where they are not known.
        total_steps: updates of the run, None where they are not known.
    """

    experiment: Experiment
    lr: float | None
    grouped: bool
    steps_per_epoch: int | None
    total_steps: int | None


@dataclass(frozen=True)
class Lines:
    """The schedule's code.

    Attributes:
        values: lines that name numbers, to stand after those of `total_steps` and `steps_per_epoch`.
        function: a function of the update, its definition.
        call: what makes the scheduler, None where the rate stays as it is.
    """

    values: list[str] = field(default_factory=list)
    function: list[str] = field(default_factory=list)
    call: Call | None = None


def scheduled(run: Run) -> Lines:
    """The code of a run's schedule and warm-up; a plateau rule is not in it."""
    experiment = run.experiment
    if experiment.warmup is None and experiment.schedule.name == "constant":
        return Lines()
    if run.lr is None or run.steps_per_epoch is None or run.total_steps is None:
        return _bridge(run)
    sizes = {"total_steps": run.total_steps, "steps_per_epoch": run.steps_per_epoch}
    warmup = experiment.warmup.duration.steps(**sizes) if experiment.warmup else 0
    name, params = experiment.schedule.name, experiment.schedule.params
    setting = Setting(params, run.lr, run.total_steps - warmup, run.steps_per_epoch, bool(warmup))
    own = TORCHS[name](setting, run.grouped) if name in TORCHS and not warmup else None
    if own is not None:
        return Lines(setting.values, call=own)
    body = FACTORS[name](setting) if name in FACTORS else None
    if body is None:
        return _bridge(run)
    values = setting.values
    if experiment.warmup is not None and warmup:
        words = said([experiment.warmup.duration])
        values = [f"warmup_steps = {warmup}{words}", *values]
        body = ["if step < warmup_steps:", *_rise(run, setting), *_after_warmup(body)]
    if not any("step" in line for line in body):
        return Lines()  # a warm-up of no updates
    return Lines(values, _function(body), call(f"{TORCH}.LambdaLR", Raw("optimizer"), Raw("factor")))


def _function(body: list[str]) -> list[str]:
    words = '"""The rate of update `step`, counted from 0, as a part of the optimizer\'s lr."""'
    return ["def factor(step):", *(f"    {line}" for line in (words, *body))]


def _after_warmup(body: list[str]) -> list[str]:
    return ["step -= warmup_steps", *body] if any("step" in line for line in body) else body


def _rise(run: Run, setting: Setting) -> list[str]:
    """The warm-up of update `step`, which leads to the schedule's own first rate."""
    rule = run.experiment.warmup
    assert rule is not None
    low, done = rule.from_factor, "(step + 1) / warmup_steps"
    if rule.shape == "exponential":
        low, height = 0.0, f"{literal(low)} ** (1 - {done})"
    else:
        height = done if rule.shape == "linear" else f"(1 - math.cos(math.pi * ({done}))) / 2"
    first = _first(run, setting)
    if first == 1:
        return [f"    {line}" for line in ending(low, height)]
    if low == 0:
        return [f"    return {literal(first)} * {height}"]
    return [f"    height = {height}", f"    return {literal(first)} * ({between(low, 'height')})"]


def _first(run: Run, setting: Setting) -> float:
    """The schedule's first rate as a part of the peak."""
    rate = build_schedule(
        run.experiment.schedule, lr=setting.lr, total_steps=setting.total, steps_per_epoch=setting.steps_per_epoch
    )
    return near(rate(0) / setting.lr)


def _bridge(run: Run) -> Lines:
    """lrbench's own scheduler, which is exact for every schedule that a config can name."""
    part = _given(run.experiment.schedule.plain())
    warmup = run.experiment.plain().get("warmup")
    more = {} if warmup is None else {"warmup": warmup}
    sizes = {"total_steps": Raw("total_steps"), "steps_per_epoch": Raw("steps_per_epoch")}
    shown = part["name"] if len(part) == 1 else part
    return Lines(call=call("lrbench.torch_scheduler", Raw("optimizer"), shown, **sizes, **more))


def _given(value: Any) -> Any:
    """Without the parameters that are None, which is what they are unless given."""
    if isinstance(value, Mapping):
        return {key: _given(item) for key, item in value.items() if item is not None}
    return [_given(item) for item in value] if isinstance(value, list) else value


# -- torch's own schedulers, where they are equal at every update


def _step_lr(s: Setting, _: bool) -> Call | None:
    if s.steps("offset") != [0]:
        return None
    s.name("every", "step_size")
    return call(f"{TORCH}.StepLR", Raw("optimizer"), step_size=Raw("step_size"), gamma=s.params["factor"])


def _multistep_lr(s: Setting, _: bool) -> Call:
    s.name_all("milestones", "milestones")
    return call(f"{TORCH}.MultiStepLR", Raw("optimizer"), milestones=Raw("milestones"), gamma=s.params["factor"])


def _exponential_lr(s: Setting, _: bool) -> Call:
    if s.params["per"] == "step":
        return call(f"{TORCH}.ExponentialLR", Raw("optimizer"), gamma=s.params["gamma"])
    return call(f"{TORCH}.StepLR", Raw("optimizer"), step_size=Raw("steps_per_epoch"), gamma=s.params["gamma"])


def _one_cycle_lr(s: Setting, grouped: bool) -> Call | None:
    p, last = s.params, s.total - 1
    rise = p["warmup_fraction"] * s.total - 1
    fall = 2 * p["warmup_fraction"] * s.total - 2 if p["three_phase"] else rise
    if grouped or not 0 < rise <= fall < last or not (p["initial_factor"] and p["final_factor"]):
        return None  # torch divides by these
    return call(
        f"{TORCH}.OneCycleLR",
        Raw("optimizer"),
        max_lr=s.lr,
        total_steps=Raw("total_steps"),
        pct_start=float(p["warmup_fraction"]),
        **({} if p["shape"] == "cosine" else {"anneal_strategy": "linear"}),
        div_factor=near(1 / p["initial_factor"]),
        final_div_factor=near(p["initial_factor"] / p["final_factor"]),
        **({"three_phase": True} if p["three_phase"] else {}),
        **_momenta(p, "base_momentum", "max_momentum"),
    )


def _momenta(params: Mapping[str, Any], low: str, high: str) -> dict[str, Any]:
    momenta = params["cycle_momentum"]
    return {"cycle_momentum": False} if momenta is None else dict(zip((low, high), momenta, strict=True))


def _cyclic_lr(mode: str) -> Callable[[Setting, bool], Call | None]:
    def write(s: Setting, grouped: bool) -> Call | None:
        cycles = s.total / s.steps("step_size_up")[0]  # at most
        if grouped or (mode == "triangular2" and cycles > MOST_CYCLES):
            return None
        s.name("step_size_up", "step_size_up")
        down = s.params["step_size_down"] is not None
        if down:
            s.name("step_size_down", "step_size_down")
        return call(
            f"{TORCH}.CyclicLR",
            Raw("optimizer"),
            base_lr=near(s.low("base", 0.1) * s.lr),
            max_lr=s.lr,
            step_size_up=Raw("step_size_up"),
            **({"step_size_down": Raw("step_size_down")} if down else {}),
            **({} if mode == "triangular" else {"mode": mode}),
            **({"gamma": s.params["gamma"]} if mode == "exp_range" else {}),
            **_momenta(s.params, "base_momentum", "max_momentum"),
        )

    return write


def _warm_restarts(s: Setting, grouped: bool) -> Call | None:
    growth, low = s.params["cycle_factor"], s.low("final")
    if growth != int(growth) or growth < 1 or s.params["peak_factor"] != 1 or (grouped and low):
        return None
    s.name("cycle", "cycle")
    more = {} if growth == 1 else {"T_mult": int(growth)}
    least = {"eta_min": near(low * s.lr)} if low else {}
    return call(f"{TORCH}.CosineAnnealingWarmRestarts", Raw("optimizer"), T_0=Raw("cycle"), **more, **least)


TORCHS: Mapping[str, Callable[[Setting, bool], Call | None]] = {
    "cosine_restarts": _warm_restarts,
    "exp_range": _cyclic_lr("exp_range"),
    "exponential": _exponential_lr,
    "multistep": _multistep_lr,
    "one_cycle": _one_cycle_lr,
    "step": _step_lr,
    "triangular": _cyclic_lr("triangular"),
    "triangular2": _cyclic_lr("triangular2"),
}
"""Name of a schedule → what writes it with a scheduler of torch's; None where that one would differ."""
