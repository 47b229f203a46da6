"""Check that model, data, loss and schedule fit together, which needs them built."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from lrbench.components import build_loss
from lrbench.config import Experiment, identity
from lrbench.errors import ConfigError
from lrbench.schedules import checked_rate, unreached
from lrbench.training.build import KEPT_PARTS, build, checked, exact_products, fitting, forward_pass


def check(experiment: Experiment, device: torch.device, *, keep: bool = False) -> list[str]:
    """Build everything and pass two examples through it, before anything is written.

    Args:
        experiment: what to check.
        device: where it would train.
        keep: keep the parts for `assemble`, because this process will train them.

    Returns: likely mistakes, each in one sentence.

    Raises: the same errors as `assemble`, and ConfigError if model, data and loss do not fit together.
    """
    exact_products(experiment.precision, device)
    parts = build(experiment, device)
    for step in (*range(0, parts.total_steps, max(parts.total_steps // 10_000, 1)), parts.total_steps - 1):
        checked_rate(parts.schedule(step), step)
    inputs, targets = next(iter(parts.data.train.batches(2)))
    twin = _twin(parts.model) if keep else None
    model = parts.model if twin is None else twin
    with forward_pass(model, parts.data, experiment.model.name):
        prepared, goal = parts.batch(inputs, targets)
        outputs = model(prepared)
    classes = parts.data.classes
    if classes is not None and (outputs.dim() != 2 or outputs.shape[1] != classes):
        returned = f"'{experiment.model.name}' returns outputs of shape {tuple(outputs.shape[1:])}"
        raise ConfigError(f"{returned}; {classes} classes need ({classes},)", key="model")
    shapes = f"outputs {tuple(outputs.shape)} and targets {tuple(goal.shape)}"
    _check_targets(experiment, outputs, goal, shapes)
    with fitting("loss", f"'{experiment.loss.name}' does not fit {shapes}"):
        loss = parts.loss(outputs, goal)
        if loss.dim() != 0:
            raise ValueError(f"it returns a tensor of shape {tuple(loss.shape)}; a loss must be one number")
    if twin is not None and len(checked) < KEPT_PARTS:
        parts.loss = build_loss(experiment.loss)  # the one used above may have kept state
        checked[identity(experiment), str(device)] = parts
    sizes = {"total_steps": parts.total_steps, "steps_per_epoch": parts.steps_per_epoch}
    return unreached(experiment.schedule, warmup=experiment.warmup, **sizes)


def _twin(model: nn.Module) -> nn.Module | None:
    """Copy the model for the check, so that it starts training unchanged. None if it can't be copied."""
    try:
        return copy.deepcopy(model)
    except Exception:
        return None


def _check_targets(experiment: Experiment, outputs: Tensor, goal: Tensor, shapes: str) -> None:
    """Raise ConfigError for outputs and targets that torch would accept but not compute the intended loss of."""
    if experiment.loss.name == "cross_entropy" and goal.is_floating_point():
        problem = "cross_entropy needs class indices, but the targets are floats; use mse"
        raise ConfigError(f"{problem} ({shapes})", key="loss")
    if experiment.loss.imported and goal.is_floating_point() and outputs.shape != goal.shape:
        raise ConfigError(f"{shapes} would be broadcast; make their shapes equal", key="loss")
