"""The task of an experiment: its loss, what it measures, and what else it brings along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from lrbench.components import OF_TASK, Data, Loss, Task, build_loss, build_task, task_hooks
from lrbench.config import Experiment


def built_task(experiment: Experiment, data: Data, model: nn.Module, classes: int | None, device: torch.device) -> Task:
    """Build the task; a function is tried on two examples, for the metrics that it returns. Raises as `build_task`."""
    loss = built_loss(experiment, data, device)
    task = build_task(experiment.task, experiment.metrics or (), data=data, loss=loss, model=model, classes=classes)
    if callable(discover := getattr(task, "discover", None)):
        model.eval()
        with torch.random.fork_rng(), torch.no_grad():
            discover(model, data.ready(next(iter(data.train.batches(2))), device))
    return task


def built_loss(experiment: Experiment, data: Data, device: torch.device) -> Loss:
    """Build the loss for the data. Raises the same errors as `build_loss`."""
    labels = data.train.labels()
    known = None if labels is None or labels.is_floating_point() else labels
    return build_loss(experiment.loss, labels=known, classes=data.classes, device=device)


def hooks_of(experiment: Experiment) -> Mapping[str, Callable[..., Any]]:
    """Return the methods `data` and `build` of the user's task where the config wants them. Raises ConfigError."""
    wanted = {"data": experiment.dataset.part.name, "build": experiment.model.name}
    keys = {"data": "dataset", "build": "model"}
    return task_hooks(experiment.task, {hook: keys[hook] for hook, name in wanted.items() if name == OF_TASK})
