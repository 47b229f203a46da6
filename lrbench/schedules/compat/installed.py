"""Schedules that an installed tool has beyond those here: `hf/…`, `timm/…`, `keras/…`, computed by the tool itself.

The names are read from the tool's source, without importing it; the tool is imported only to build a schedule or to
show its parameters. So a schedule that a tool adds can be used, and listed, as soon as that version is installed.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrbench.errors import ConfigError, choices
from lrbench.schedules.base import Context, Schedule
from lrbench.schedules.tables import Per, filled, in_steps, tabulated

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Tool:
    """An installed tool.

    Attributes:
        package: its Python package.
        listed_in: the file of the package that lists the names of its schedules.
        names: finds the names in that file.
        described: returns what has a schedule's parameters; None for an unknown name.
        build: makes a schedule of a name, its parameters and the run.
        from_run: parameters that the run sets.
        optional: parameters that the tool needs and a config may leave out.
    """

    package: str
    listed_in: str
    names: Callable[[ast.Module], Iterator[str]]
    described: Callable[[str], Callable[..., Any] | None]
    build: Callable[[str, Arguments, Context], Schedule]
    from_run: frozenset[str]
    optional: frozenset[str]


class FromTool:
    """The factory of one schedule of a tool."""

    def __init__(self, prefix: str, own_name: str) -> None:
        self.prefix, self.own_name, self.tool = prefix, own_name, _TOOLS[prefix]
        self.__doc__ = f"{own_name}, as the installed {self.tool.package} has it."

    @functools.cached_property
    def described(self) -> Callable[..., Any]:
        """What has the parameters. Raises ConfigError if the tool is not installed or has no such schedule."""
        name, package = f"{self.prefix}/{self.own_name}", self.tool.package
        if package == "keras":  # its own default is TensorFlow, which may not be installed
            os.environ.setdefault("KERAS_BACKEND", "torch")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = self.tool.described(self.own_name)
        except ImportError as error:
            problem = f"'{name}' is not among lrbench's own schedules; it needs {package}, which can't be imported"
            raise ConfigError(f"{problem} ({error}); see `lrbench list schedules`", key="schedule.name") from error
        if found is None:
            problem = f"the installed {package} has no '{self.own_name}'"
            raise ConfigError(f"{problem}; {choices(self.own_name, names_of(self.prefix))}", key="schedule.name")
        return found

    @property
    def __signature__(self) -> inspect.Signature:
        own = [p for p in inspect.signature(self.described).parameters.values() if p.name not in self.tool.from_run]
        own = [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        own = [p.replace(default=None) if p.name in self.tool.optional and p.default is p.empty else p for p in own]
        return inspect.Signature([*own, inspect.Parameter("run", inspect.Parameter.KEYWORD_ONLY)])

    def __call__(self, *, run: Context, **params: Any) -> Schedule:
        """Build the schedule."""
        assert self.described is not None
        return self.tool.build(self.own_name, params, run)


def find(name: str) -> FromTool | None:
    """Return the factory for a name such as `timm/rsqrt`; None if no tool has it.

    Without the tool, any name under its prefix is taken: run folders from elsewhere must be readable. Building it then
    raises ConfigError.
    """
    prefix, slash, own = name.partition("/")
    if not slash or prefix not in _TOOLS:
        return None
    known = names_of(prefix)
    return FromTool(prefix, own) if not known or own in known else None


def summaries() -> dict[str, str]:
    """Return the names of all schedules of installed tools, each with a short description."""
    found = {f"{prefix}/{own}": FromTool(prefix, own) for prefix in _TOOLS for own in names_of(prefix)}
    return {name: factory.__doc__ or "" for name, factory in found.items()}


def open_namespaces() -> list[str]:
    """Return the namespaces of tools whose names can't be read, in which any name is taken (see `find`)."""
    return [prefix for prefix in _TOOLS if not names_of(prefix)]


@functools.cache
def names_of(prefix: str) -> frozenset[str]:
    """Read a tool's names from its source; empty if it is not installed or its source has another layout."""
    tool = _TOOLS[prefix]
    try:
        spec = importlib.util.find_spec(tool.package)
        folders = list(spec.submodule_search_locations or []) if spec is not None else []
        text = Path(folders[0], tool.listed_in).read_text(encoding="utf-8") if folders else ""
        return frozenset(tool.names(ast.parse(text)))
    except (ImportError, OSError, SyntaxError, ValueError):
        return frozenset()


# -- transformers


def _hf_names(source: ast.Module) -> Iterator[str]:
    for node in ast.walk(source):
        if isinstance(node, ast.ClassDef) and node.name == "SchedulerType":
            yield from _texts(line.value for line in node.body if isinstance(line, ast.Assign))


def _texts(nodes: Iterator[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _hf_function(name: str) -> Callable[..., Any] | None:
    optimization = importlib.import_module("transformers.optimization")
    known = {str(getattr(key, "value", key)): made for key, made in optimization.TYPE_TO_SCHEDULER_FUNCTION.items()}
    return known.get(name)


def _hf(name: str, params: Arguments, run: Context) -> Schedule:
    function = _hf_function(name)
    assert function is not None
    arguments = filled(function, params, run, "step")
    make = functools.partial(function, **arguments)
    return tabulated(f"'hf/{name}'", lambda optimizer: make(optimizer=optimizer), run, per="step", given=params)


# -- timm


def _timm_names(source: ast.Module) -> Iterator[str]:
    """Find what the factory compares its argument `sched` with."""
    for node in ast.walk(source):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id == "sched":
            yield from _texts(inner for other in node.comparators for inner in ast.walk(other))  # type: ignore[misc]


def _timm_factory(name: str) -> Callable[..., Any] | None:
    made: Callable[..., Any] = importlib.import_module("timm.scheduler").create_scheduler_v2
    known = names_of("timm")
    return made if not known or name in known else None


def _timm(name: str, params: Arguments, run: Context) -> Schedule:
    factory = importlib.import_module("timm.scheduler").create_scheduler_v2
    per: Per = "epoch" if params.get("step_on_epochs", True) else "step"
    prefix = params.get("warmup_epochs", 0) if params.get("warmup_prefix") else 0
    left = -(-run.total_steps // run.steps_per_epoch) - prefix - params.get("cooldown_epochs", 0)
    arguments = {"num_epochs": max(left, 1), **params, "sched": name, "updates_per_epoch": run.steps_per_epoch}

    def make(optimizer: Any) -> Any:
        scheduler, _ = factory(optimizer, **arguments)
        return scheduler

    def advance(scheduler: Any, t: int) -> object:
        return scheduler.step(t) if per == "epoch" else scheduler.step_update(t)

    return tabulated(f"'timm/{name}'", make, run, per=per, given=params, advance=advance)


# -- Keras


def _keras_names(source: ast.Module) -> Iterator[str]:
    for node in ast.walk(source):
        if isinstance(node, ast.ImportFrom):
            names = [alias.asname or alias.name for alias in node.names]
            yield from (name for name in names if name[:1].isupper() and name != "LearningRateSchedule")


def _keras_class(name: str) -> Callable[..., Any] | None:
    schedules = importlib.import_module("keras").optimizers.schedules
    found = getattr(schedules, name, None)
    usable = inspect.isclass(found) and issubclass(found, schedules.LearningRateSchedule)
    return found if usable and found is not schedules.LearningRateSchedule else None


def _keras(name: str, params: Arguments, run: Context) -> Schedule:
    """Build one of Keras's schedules, which are functions of the step; they compute in Keras's float32."""
    made = _keras_class(name)
    assert made is not None
    known = inspect.signature(made).parameters
    from_run = {"initial_learning_rate": run.lr, "decay_steps": run.total_steps}
    given = {key: in_steps(key, value, run) for key, value in params.items()}
    keras = importlib.import_module("keras")
    with keras.device("cpu"):
        schedule = made(**{key: value for key, value in from_run.items() if key in known} | given)

    def rate(step: int) -> float:
        with keras.device("cpu"):
            return float(schedule(step))

    return rate


_TOOLS = {
    "hf": Tool(
        package="transformers",
        listed_in="trainer_utils.py",
        names=_hf_names,
        described=_hf_function,
        build=_hf,
        from_run=frozenset({"optimizer", "last_epoch", "num_training_steps"}),
        optional=frozenset({"num_warmup_steps"}),
    ),
    "timm": Tool(
        package="timm",
        listed_in="scheduler/scheduler_factory.py",
        names=_timm_names,
        described=_timm_factory,
        build=_timm,
        from_run=frozenset({"optimizer", "sched", "num_epochs", "updates_per_epoch"}),
        optional=frozenset(),
    ),
    "keras": Tool(
        package="keras",
        listed_in="optimizers/schedules/__init__.py",
        names=_keras_names,
        described=_keras_class,
        build=_keras,
        from_run=frozenset({"initial_learning_rate", "name"}),
        optional=frozenset({"decay_steps"}),
    ),
}
