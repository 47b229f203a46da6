"""Build what an experiment trains with: data, task, model, optimizer, schedule and loss, on a device."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrbench.components import (
    LOSS,
    Data,
    Loss,
    Stages,
    Task,
    Tensors,
    build_loss,
    build_model,
    build_optimizer,
    load_dataset,
    peak_and_ratios,
    task_for,
)
from lrbench.config import Dataset, Experiment, identity
from lrbench.errors import ConfigError, LrbenchError, choices, reason_of
from lrbench.schedules import Momentum, Schedule, build_schedule, momentum_of
from lrbench.training.device import exact_products
from lrbench.training.earlier_run import Start, continued, taken_weights
from lrbench.training.isolation import ProcessState
from lrbench.training.memory_format import layout_for


@dataclass
class Parts:
    """Everything that the loop needs. `forward` is the model, compiled if the config says so."""

    data: Data
    task: Task
    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    optimizer: Optimizer
    ratios: list[float]
    stages: Stages | None
    start: Start
    schedule: Schedule
    momentum: Momentum | None
    loss: Loss
    device: torch.device
    layout: torch.memory_format | None
    precision: str
    scaler: torch.amp.GradScaler | None
    peak_lr: float
    total_steps: int
    steps_per_epoch: int

    def batch(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Prepare a raw batch for the model and the loss."""
        prepared = self.data.prepare(inputs, self.device)
        if self.layout is not None and prepared.dim() == 4:
            prepared = prepared.contiguous(memory_format=self.layout)
        return prepared, targets.to(self.device, non_blocking=True)

    def autocast(self) -> torch.autocast:
        """Return the context for forward pass and loss: bfloat16 with `precision: bf16`, float16 with `fp16`."""
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.precision in ("bf16", "fp16"))

    def training(self) -> None:
        """Switch model and optimizer to training."""
        self.model.train()
        if callable(switch := getattr(self.optimizer, "train", None)):
            switch()

    def evaluating(self) -> None:
        """Switch model and optimizer to evaluation; a schedule-free optimizer loads its averaged weights."""
        self.model.eval()
        if callable(switch := getattr(self.optimizer, "eval", None)):
            switch()

    def set_rate(self, lr: float, momentum: float | None) -> None:
        """Set every group's learning rate, times the group's ratio, and its momentum (Adam: beta1) if given."""
        for group, ratio in zip(self.optimizer.param_groups, self.ratios, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr * ratio)
            else:
                group["lr"] = lr * ratio
            if momentum is not None and "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            elif momentum is not None:
                group["momentum"] = momentum

    def current_momentum(self) -> float | None:
        """Return the first group's momentum or beta1; None for optimizers without either."""
        group = self.optimizer.param_groups[0]
        value = group["betas"][0] if "betas" in group else group.get("momentum")
        return None if value is None else float(value)


KEPT = 4
held: dict[tuple[str, str], Data] = {}
"""The cache of `load_data`, by dataset block and device. A worker process puts shared data here."""


def load_data(dataset: Dataset, device: torch.device) -> Data:
    """Load the data of a `dataset:` block onto a device, cached because most runs share a data set."""
    key = (json.dumps(dataset.plain(), sort_keys=True, default=str), str(device))
    if key not in held:
        if device.type == "cpu":
            seed_everything(0)  # for data that draws random numbers: the same in every process
            held[key] = load_dataset(dataset.part, dataset.rules)
        else:
            held[key] = load_data(dataset, torch.device("cpu")).to(device)
        while len(held) > KEPT:
            held.pop(next(iter(held)))
    return held[key]


KEPT_PARTS = 4
checked: dict[tuple[str, str], tuple[Parts, ProcessState]] = {}
"""Parts built by `check` and the state that building left, by identity and device, until `assemble` takes them."""


def assemble(experiment: Experiment, device: torch.device) -> Parts:
    """Return the parts of an experiment, as built by `check` or built now. Raises the same errors as `build`."""
    exact_products(experiment.precision, device)
    kept = checked.pop((identity(experiment), str(device)), None)
    if kept is None:
        return build(experiment, device)
    parts, state = kept
    state.restore()
    return parts


def seed_everything(seed: int) -> None:
    """Seed every generator that dropout or user code may use."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def build(experiment: Experiment, device: torch.device) -> Parts:
    """Build every part. The initial weights depend only on the seed.

    Raises:
        ConfigError, DataError: a part can't be built from the config.
        UserCodeError: an imported part raised.
    """
    data = load_data(experiment.dataset, device)
    seed_everything(experiment.seed)
    loss = built_loss(experiment, data, device)
    model = _model(experiment, data, loss, device)
    layout = layout_for(model, data, device, experiment.precision)
    if layout is not None:
        model = model.to(memory_format=layout)
    told = taken_weights(experiment, model)
    chosen = experiment.scaled_optimizer(len(data.train))
    optimizer = build_optimizer(chosen, model)
    peak_lr, ratios = peak_and_ratios(optimizer, configured=chosen.params.get("lr"))
    start = continued(experiment, model, optimizer)
    steps_per_epoch = experiment.updates_per_epoch(len(data.train))
    total_steps = experiment.steps or (experiment.epochs or 0) * steps_per_epoch
    schedule = build_schedule(
        experiment.schedule,
        lr=peak_lr,
        total_steps=start.steps + total_steps,
        steps_per_epoch=steps_per_epoch,
        warmup=experiment.warmup,
        as_of=experiment.as_of,
    )
    schedule = start.moved(schedule)
    parts = Parts(
        data=data,
        task=task_for(None if data.positions else data.classes),
        model=model,
        forward=torch.compile(model) if experiment.compile else model,
        optimizer=optimizer,
        ratios=ratios,
        stages=Stages.of(optimizer, ratios, total_steps=start.steps + total_steps, steps_per_epoch=steps_per_epoch),
        start=replace(start, said=[*told, *start.said]),
        schedule=schedule,
        momentum=momentum_of(schedule),
        loss=loss,
        device=device,
        layout=layout,
        precision=experiment.precision,
        scaler=torch.amp.GradScaler(device.type) if experiment.precision == "fp16" else None,
        peak_lr=peak_lr,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
    )
    _check_metrics(experiment, parts.task)
    if parts.momentum is not None and parts.current_momentum() is None:
        problem = f"{experiment.optimizer.name} has no momentum to cycle"
        raise ConfigError(problem, key="schedule.cycle_momentum")
    return parts


def _model(experiment: Experiment, data: Data, loss: Loss, device: torch.device) -> nn.Module:
    """Build the model for the data, with initialized lazy layers."""
    outputs, classes = _outputs(data, loss, imported=experiment.model.imported)
    with fitting("model", f"'{experiment.model.name}' can't be built"):
        model = build_model(experiment.model, input_shape=data.shape, outputs=outputs, classes=classes).to(device)
    if any(nn.parameter.is_lazy(p) for p in model.parameters()):
        inputs, _ = next(iter(data.train.batches(2)))
        with forward_pass(model, data, experiment.model.name):
            model(data.prepare(inputs, device))  # initializes the lazy layers
    return model


@contextlib.contextmanager
def fitting(key: str, misfit: str) -> Iterator[None]:
    """Raise ConfigError for `key` if the user's code fails in the block; `misfit` says what does not fit what."""
    try:
        yield
    except LrbenchError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigError(f"{misfit}: {reason_of(error)}", key=key) from error


@contextlib.contextmanager
def forward_pass(model: nn.Module, data: Data, name: str) -> Iterator[None]:
    """Evaluate the model in the block. Raises ConfigError if it does not accept the data."""
    whole = isinstance(data.train, Tensors) and data.train.inputs.dtype == torch.int64
    kept = " (int64, as for an embedding; other layers need float32)" if whole else ""
    model.eval()
    with fitting("model", f"'{name}' does not fit {data.name}'s inputs {data.shape}{kept}"), torch.no_grad():
        yield


def built_loss(experiment: Experiment, data: Data, device: torch.device) -> Loss:
    """Build the loss for the data. Raises the same errors as `build_loss`."""
    labels = data.train.labels()
    known = None if labels is None or labels.is_floating_point() else labels
    return build_loss(experiment.loss, labels=known, classes=data.classes, device=device)


def _outputs(data: Data, loss: Loss, *, imported: bool) -> tuple[int | None, int | None]:
    """Return the numbers of model outputs and of classes; None for what only the user knows.

    The size of a target is the number of outputs of a regression, and of classes where it is a vector, as for several
    labels. It says nothing about classes of positions: these come from the data set or the values of its targets.
    """
    if data.positions:
        classes = position_classes(data, loss)
        size = next(iter(data.train.batches(1)))[1].numel()
        return classes if imported else size, classes
    if data.classes is not None:
        return data.classes, data.classes
    _, targets = next(iter(data.train.batches(1)))
    size = targets[0].numel()
    return size, size if targets.dim() <= 2 else None


def position_classes(data: Data, loss: Loss) -> int | None:
    """Return the number of classes of positions: the data set's word, else by the highest target; None if unknown."""
    splits = [split for split in (data.train, data.validation, data.test) if split is not None]
    labels = [label for split in splits if (label := split.labels()) is not None]
    if data.classes is not None or len(labels) < len(splits):
        return data.classes
    used = [label[label != loss.ignored] for label in labels]
    return max((int(label.max()) + 1 for label in used if label.numel()), default=0) or None


def _check_metrics(experiment: Experiment, task: Task) -> None:
    """Raise ConfigError for a metric that the task does not have."""
    asked: dict[str, str | None] = {
        "best_by": experiment.best_by,
        "plateau.metric": None if experiment.plateau is None else experiment.plateau.metric,
        "early_stopping.metric": None if experiment.early_stopping is None else experiment.early_stopping.metric,
    }
    reference = {} if experiment.reference is None else experiment.reference.plain()
    asked |= {f"reference.{name}": name for name in reference if name != "source"}
    for key, name in asked.items():
        if name is None:
            continue
        known = [f"{name.partition('_')[0]}_{metric.name}" for metric in (LOSS, *task.metrics)]
        if name not in known:
            raise ConfigError(f"this task has no '{name}'; {choices(name, known)}", key=key)


def described(parts: Parts) -> dict[str, Any]:
    """Return the device and the sizes that `env.json` records."""
    gpu = {"gpu": torch.cuda.get_device_name(parts.device)} if parts.device.type == "cuda" else {}
    sizes = {
        "parameters": sum(p.numel() for p in parts.model.parameters()),
        "train_examples": len(parts.data.train),
        "validation_examples": len(parts.data.validation),
        "test_examples": len(parts.data.test) if parts.data.test else 0,
        "steps_per_epoch": parts.steps_per_epoch,
        "total_steps": parts.total_steps,
        "classes": parts.data.classes,
    }
    return {"device": str(parts.device), **gpu, "sizes": sizes}
