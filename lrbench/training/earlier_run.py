"""What a run takes from an earlier one: its weights (`init_from`), or its whole state (`continue`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from lrbench.components import OPTIMIZERS
from lrbench.config import ContinueRule, Experiment, InitRule
from lrbench.errors import ConfigError, FolderError, counted, option, reason_of
from lrbench.runs import RunFolder, RunResult
from lrbench.schedules import Momentum, Schedule, momentum_of, with_momentum
from lrbench.types import Part

SHOWN = 3  # misfits that a message names


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    Attributes:
        steps: steps that the schedule counts as done before this run.
        epochs: epochs whose order of the data this run does not repeat.
        random: the states of the random generators; None to keep those of a fresh start.
        plateau: the state of the plateau rule; None for a fresh one.
        scaler: the state of the gradient scaler; None for a fresh one.
        said: what to tell the user; empty for a fresh start.
    """

    steps: int = 0
    epochs: int = 0
    random: Mapping[str, Any] | None = None
    plateau: Mapping[str, Any] | None = None
    scaler: Mapping[str, Any] | None = None
    said: list[str] = field(default_factory=list)

    @property
    def before(self) -> dict[str, Any]:
        """What `env.json` says about it; nothing for a fresh start."""
        return {"before": {"steps": self.steps, "epochs": self.epochs}} if self.epochs else {}

    def moved(self, schedule: Schedule) -> Schedule:
        """Return the schedule as a function of this run's steps."""
        if not self.steps:
            return schedule
        inner, before = momentum_of(schedule), self.steps
        momentum: Momentum | None = None if inner is None else lambda step: inner(step + before)
        return with_momentum(lambda step: schedule(step + before), momentum)


def taken_weights(experiment: Experiment, model: nn.Module) -> list[str]:
    """Load the weights that `init_from` names into the model, and return what to tell the user.

    Raises:
        ConfigError: no such finished run, or weights that do not fit.
    """
    rule = experiment.init_from
    if rule is None:
        return []
    folder, result = _finished(rule.run, rule.identity, "init_from")
    weights = _weights(folder, result, rule)
    own = model.state_dict()
    fitting = {name: value for name, value in weights.items() if _shape(own.get(name)) == _shape(value)}
    misfits = [_misfit(name, own, weights) for name in dict.fromkeys([*own, *weights]) if name not in fitting]
    if not fitting:
        raise ConfigError(f"no weights of {rule.run} fit the model: {_listed(misfits)}", key="init_from")
    if misfits and rule.strict:
        problem = f"the weights of {rule.run} do not fit the model: {_listed(misfits)}"
        raise ConfigError(f"{problem}; set strict: false to load those that do", key="init_from")
    model.load_state_dict(fitting, strict=False)
    left = f"; not taken: {_listed(misfits)}" if misfits else ""
    return [f"starts from the {rule.weights} weights of {rule.run}{left}"]


def continued(experiment: Experiment, model: nn.Module, optimizer: Optimizer) -> Start:
    """Load the state that `continue` names into model and optimizer; a fresh start without it.

    The optimizer's own parameters, such as weight decay, stay as configured.

    Raises:
        ConfigError: no such finished run, it did not keep its state, or the state does not fit.
    """
    rule = experiment.continues
    if rule is None:
        return Start()
    folder, result = _finished(rule.run, rule.identity, "continue")
    if not folder.has_final:
        problem = f"{rule.run} kept its best weights, but not its final state; {_repeat()}"
        raise ConfigError(f"{problem}, or start from its weights with init_from", key="continue.run")
    final = _read(folder.load_final, rule.run, "continue.run")
    settings = _settings(experiment.optimizer, optimizer)
    try:
        model.load_state_dict(final["model"])
        optimizer.load_state_dict(final["optimizer"])
        for group, own in zip(optimizer.param_groups, settings, strict=True):
            group.update(own)
        return _start(rule, folder, result, final)
    except (FolderError, KeyError, TypeError, ValueError, RuntimeError) as error:
        problem = f"the state of {rule.run} does not fit this model and optimizer: {reason_of(error)[:300]}"
        raise ConfigError(problem, key="continue.run") from error


def _start(rule: ContinueRule, folder: RunFolder, result: RunResult, final: Mapping[str, Any]) -> Start:
    """Return the start from a final state. Raises FolderError, KeyError, TypeError or ValueError for a damaged one."""
    state, steps = final["state"], folder.schedule_end(result)
    epochs = folder.environment().before.epochs + int(state["epoch"]) + int(state["batch"] > 0)
    taken: dict[str, Any] = {"epochs": epochs, "random": dict(final["random"]), "scaler": final["scaler"]}
    where = f"continues {rule.run} after its {counted(result.steps or 0, 'step')}"
    if rule.schedule == "restart":
        return Start(**taken, said=[f"{where}; the schedule restarts (warm restart)"])
    said = f"{where}; the schedule covers the steps of both runs and continues at step {steps}"
    return Start(**taken, steps=steps, plateau=dict(state["plateau"]), said=[said])


def _settings(part: Part, optimizer: Optimizer) -> list[dict[str, Any]]:
    """Return each group's parameters that come from the config, and what divides the weights into groups."""
    known = {*inspect.signature(OPTIMIZERS.factory(part)).parameters, "lr_factor", "unfreeze", "group_warmup"}
    return [{k: v for k, v in group.items() if k in known and k != "params"} for group in optimizer.param_groups]


def _finished(run: str, identity: str | None, key: str) -> tuple[RunFolder, RunResult]:
    """Return a finished run. Raises ConfigError if it is missing, unfinished, or another run by now."""
    folder = RunFolder(Path(run))
    try:
        result = folder.result()
        if result is None or not result.status.complete:
            status = folder.status(result).words if folder.is_run else "no run folder"
            raise ConfigError(f"must be a finished run; {run} is {status}", key=f"{key}.run")
    except FolderError as error:
        raise ConfigError(str(error), key=f"{key}.run") from error
    if identity is not None and result.identity != identity:
        problem = f"{run} is not the run that this config was made for ({identity[:8]})"
        raise ConfigError(problem, key=f"{key}.run")
    return folder, result


def _weights(folder: RunFolder, result: RunResult, rule: InitRule) -> dict[str, Any]:
    if rule.weights == "best":
        return _read(folder.load_best, rule.run, "init_from.run")
    if folder.has_final:
        content: dict[str, Any] = _read(folder.load_final, rule.run, "init_from.run")["model"]
        return content
    if result.best is not None and result.best.get("step") == result.steps:  # the last evaluation was the best
        return _read(folder.load_best, rule.run, "init_from.run")
    problem = f"{rule.run} kept only its best weights, of step {(result.best or {}).get('step')} of {result.steps}"
    raise ConfigError(f"{problem}; use best, or {_repeat()}", key="init_from.weights")


def _repeat() -> str:
    return f"repeat it with keep: state and {option('--again')}"


def _read(load: Callable[[], dict[str, Any]], run: str, key: str) -> dict[str, Any]:
    try:
        return load()
    except Exception as error:  # torch raises many kinds of errors for a damaged file
        raise ConfigError(f"the weights of {run} can't be read: {reason_of(error)[:300]}", key=key) from error


def _shape(value: object) -> object:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value)


def _misfit(name: str, own: Mapping[str, Any], weights: Mapping[str, Any]) -> str:
    if name not in weights:
        return f"{name} is missing there"
    if name not in own:
        return f"{name} is not in the model"
    return f"{name} has shape {_shape(weights[name])} there, {_shape(own[name])} in the model"


def _listed(misfits: list[str]) -> str:
    more = f"; and {len(misfits) - SHOWN} more" if len(misfits) > SHOWN else ""
    return "; ".join(misfits[:SHOWN]) + more
