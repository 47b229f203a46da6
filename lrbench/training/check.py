"""Check that model, data, loss and schedule fit together, which needs them built."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lrbench.components import Loss
from lrbench.config import Experiment, identity
from lrbench.errors import ConfigError, UserCodeError, reason_of
from lrbench.schedules import checked_rate, unreached
from lrbench.training.build import (
    KEPT_PARTS,
    Parts,
    build,
    built_loss,
    checked,
    fitting,
    forward_pass,
    position_classes,
)
from lrbench.training.device import exact_products
from lrbench.training.isolation import ProcessState


def check(experiment: Experiment, device: torch.device, *, keep: bool = False) -> list[str]:
    """Build everything and pass two examples and a last batch through it, before anything is written.

    Args:
        experiment: what to check.
        device: where it would train.
        keep: keep the parts for `assemble`, because this process will train them.

    Returns: likely mistakes, each in one sentence.

    Raises: the same errors as `assemble`, and ConfigError if model, data and loss do not fit together.
    """
    exact_products(experiment.precision, device)
    parts = build(experiment, device)
    state = ProcessState.now()
    for step in (*range(0, parts.total_steps, max(parts.total_steps // 10_000, 1)), parts.total_steps - 1):
        checked_rate(parts.schedule(step), step)
    inputs, targets = next(iter(parts.data.train.batches(2)))
    twin = _twin(parts.model) if keep else None
    model = parts.model if twin is None else twin
    with forward_pass(model, parts.data, experiment.model.name):
        prepared, goal = parts.batch(inputs, targets)
        outputs = model(prepared)
    _check_outputs(experiment, parts, outputs, goal)
    shapes = f"outputs {tuple(outputs.shape)} and targets {tuple(goal.shape)}"
    _check_targets(experiment, outputs, goal, shapes)
    whole = not goal.is_floating_point() and goal.shape == outputs.shape
    with fitting("loss", f"'{experiment.loss.name}' does not fit {shapes}"):
        try:
            _check_mean(parts.loss, outputs, goal)
        except UserCodeError:
            if not whole:
                raise
            raise ValueError("several labels per example need float targets, such as targets.float()") from None
    _check_last_batch(experiment, parts, model)
    if twin is not None and len(checked) < KEPT_PARTS:
        parts.loss = built_loss(experiment, parts.data, device)  # the one used above may have kept state
        checked[identity(experiment), str(device)] = parts, state
    sizes = {"total_steps": parts.total_steps, "steps_per_epoch": parts.steps_per_epoch}
    sizes["total_steps"] += parts.start.steps
    late = [] if parts.stages is None else parts.stages.unreached(sizes["total_steps"])
    return [*unreached(experiment.schedule, warmup=experiment.warmup, **sizes), *late]


def _twin(model: nn.Module) -> nn.Module | None:
    """Copy the model for the check, so that it starts training unchanged. None if it can't be copied."""
    try:
        return copy.deepcopy(model)
    except Exception:
        return None


def _check_outputs(experiment: Experiment, parts: Parts, outputs: object, goal: Tensor) -> None:
    """Raise ConfigError for outputs that are no tensor or have other classes than the data."""
    name, classes = experiment.model.name, parts.data.classes
    if not isinstance(outputs, Tensor):
        keys = f" with {', '.join(map(str, outputs))}" if isinstance(outputs, Mapping) else ""
        problem = f"'{name}' returns a {type(outputs).__name__}{keys}; it must return one tensor"
        raise ConfigError(f"{problem}: wrap it in a module that returns only its predictions", key="model")
    returned = f"'{name}' returns outputs of shape {tuple(outputs.shape[1:])}"
    if parts.data.positions:
        classes = position_classes(parts.data, parts.loss)
        laid_out = outputs.dim() > 1 and outputs.shape[:1] + outputs.shape[2:] == goal.shape
        if laid_out and parts.loss.ignored is not None and classes is not None and outputs.shape[1] < classes:
            raise ConfigError(f"{returned}, so {outputs.shape[1]} classes; the targets have {classes}", key="model")
    elif classes is not None and (outputs.dim() != 2 or outputs.shape[1] != classes):
        raise ConfigError(f"{returned}; {classes} classes need ({classes},)", key="model")


def _check_mean(loss: Loss, outputs: Tensor, goal: Tensor) -> None:
    """Raise ValueError unless the loss is one number that stays the same when every example comes twice."""
    once = loss(outputs, goal)
    if once.dim() != 0:
        raise ValueError(f"it returns a tensor of shape {tuple(once.shape)}; a loss must be one number")
    twice = loss(torch.cat([outputs, outputs]), torch.cat([goal, goal]))
    if bool(once.isfinite() & (once != 0)) and torch.isclose(twice, 2 * once, rtol=1e-4, atol=0):
        raise ValueError("it sums over the batch, so it depends on the batch size; a loss must be a mean")


def _check_last_batch(experiment: Experiment, parts: Parts, model: nn.Module) -> None:
    """Raise ConfigError if the model in training mode can't take a last batch, which may be smaller than the others."""
    name, examples = experiment.model.name, len(parts.data.train)
    last = 0 if experiment.drop_last else examples % experiment.batch_size
    failure = _training_failure(parts, model, last or 2)
    if failure is None:
        return
    if last in (0, 2) or _training_failure(parts, model, 2) is not None:
        raise ConfigError(f"'{name}' fails in training mode: {failure}", key="model")
    batch = f"{last} example{'s' * (last > 1)} of {examples} in batches of {experiment.batch_size}"
    advice = "set drop_last: true to leave it out, or another batch_size"
    raise ConfigError(f"'{name}' can't train on the last batch, {batch}: {failure}; {advice}", key="batch_size")


def _training_failure(parts: Parts, model: nn.Module, size: int) -> str | None:
    """Return why the model can't take a batch of this size in training mode; None if it can."""
    model.train()
    try:
        with torch.random.fork_rng(), torch.no_grad():
            inputs, targets = next(iter(parts.data.train.batches(size)))
            outputs = model(parts.batch(inputs, targets)[0])
    except torch.OutOfMemoryError:  # training says what to do
        return None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever user code raises
        return reason_of(error)
    return None if isinstance(outputs, Tensor) else f"it returns a {type(outputs).__name__}, not a tensor"


def _check_targets(experiment: Experiment, outputs: Tensor, goal: Tensor, shapes: str) -> None:
    """Raise ConfigError for outputs and targets that torch would accept but not compute the intended loss of."""
    if experiment.loss.name == "cross_entropy" and goal.is_floating_point():
        problem = "cross_entropy needs class indices, but the targets are floats; use mse"
        raise ConfigError(f"{problem} ({shapes})", key="loss")
    if experiment.loss.imported and goal.is_floating_point() and outputs.shape != goal.shape:
        raise ConfigError(f"{shapes} would be broadcast; make their shapes equal", key="loss")
