"""Build what an experiment trains with: data, task, model, optimizer, schedule and loss, on a device."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from lrbench.components import (
    EVALUATION_BATCH,
    LOSS,
    OF_TASK,
    Data,
    Stages,
    Task,
    Tensors,
    build_model,
    build_optimizer,
    load_dataset,
    outputs_and_classes,
    peak_and_ratios,
    suited,
)
from lrbench.config import Dataset, Experiment, identity
from lrbench.errors import ConfigError, LrbenchError, choices, reason_of
from lrbench.schedules import Schedule, build_schedule, momentum_of
from lrbench.training.device import exact_products
from lrbench.training.earlier_run import Start, continued, taken_weights
from lrbench.training.isolation import ProcessState
from lrbench.training.memory_format import layout_for
from lrbench.training.parts import Parts
from lrbench.training.task import built_loss, built_task, hooks_of

KEPT = 4
held: dict[tuple[str, str], Data] = {}
"""The cache of `load_data`, by dataset block and device. A worker process puts shared data here."""


def load_data(dataset: Dataset, device: torch.device, of_task: Callable[[], Any] | None = None) -> Data:
    """Load the data of a `dataset:` block onto a device, cached because most runs share a data set.

    `of_task` gives the data of `dataset: task`.
    """
    key = (json.dumps(dataset.plain(), sort_keys=True, default=str), str(device))
    if key not in held:
        if device.type == "cpu":
            seed_everything(0)  # for data that draws random numbers: the same in every process
            held[key] = load_dataset(dataset.part, dataset.rules, of_task)
        else:
            held[key] = load_data(dataset, torch.device("cpu"), of_task).to(device)
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
    hooks = hooks_of(experiment)
    data = _fitted(experiment, load_data(experiment.dataset, device, hooks.get("data")))
    seed_everything(experiment.seed)
    model, classes, task = _model_and_task(experiment, data, hooks, device)
    layout = layout_for(model, data, device, experiment.precision)
    if layout is not None:
        model = model.to(memory_format=layout)
    told = taken_weights(experiment, model)
    chosen = experiment.scaled_optimizer(len(data.train))
    optimizer = build_optimizer(chosen, model)
    peak_lr, ratios = peak_and_ratios(optimizer, configured=chosen.params.get("lr"))
    start = continued(experiment, model, optimizer)
    own_batches = data.train.own_batches(experiment.batch_size, bool(experiment.drop_last))
    steps_per_epoch = experiment.updates_per_epoch(len(data.train), own_batches)
    total_steps = experiment.steps or (experiment.epochs or 0) * steps_per_epoch
    schedule = schedule_of(experiment, start, peak_lr, total_steps, steps_per_epoch)
    parts = Parts(
        data=data,
        task=task,
        model=model,
        forward=torch.compile(model) if experiment.compile else model,
        optimizer=optimizer,
        ratios=ratios,
        stages=Stages.of(optimizer, ratios, total_steps=start.steps + total_steps, steps_per_epoch=steps_per_epoch),
        start=replace(start, said=[*told, *start.said]),
        schedule=schedule,
        momentum=momentum_of(schedule),
        device=device,
        layout=layout,
        precision=experiment.precision,
        scaler=torch.amp.GradScaler(device.type) if experiment.precision == "fp16" else None,
        peak_lr=peak_lr,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        classes=classes if data.positions else data.classes,
        evaluation_batch=EVALUATION_BATCH if data.pairs and not data.positions else experiment.batch_size,
    )
    _check_metrics(experiment, parts.task)
    if parts.momentum is not None and parts.current_momentum() is None:
        problem = f"{experiment.optimizer.name} has no momentum to cycle"
        raise ConfigError(problem, key="schedule.cycle_momentum")
    return parts


def schedule_of(
    experiment: Experiment, start: Start, peak_lr: float, total_steps: int, steps_per_epoch: int
) -> Schedule:
    """Return the schedule as a function of the run's own steps. Raises ConfigError."""
    schedule = build_schedule(
        experiment.schedule,
        lr=peak_lr,
        total_steps=start.steps + total_steps,
        steps_per_epoch=steps_per_epoch,
        warmup=experiment.warmup,
        as_of=experiment.as_of,
    )
    return start.moved(schedule)


def _fitted(experiment: Experiment, data: Data) -> Data:
    """Return the data as the task sees it, with a length. Raises ConfigError, DataError."""
    data = suited(experiment.task, data)
    if not getattr(data.train, "endless", False):
        return data
    if experiment.steps is None:
        raise ConfigError("the length of the training data is unknown; give `steps` instead", key="epochs")
    length = experiment.steps * experiment.update_size
    return replace(data, train=replace(data.train, length=length))  # type: ignore[type-var]


def _model_and_task(
    experiment: Experiment, data: Data, hooks: Mapping[str, Callable[..., Any]], device: torch.device
) -> tuple[nn.Module, int | None, Task]:
    """Build the model, initialize its lazy layers, and build the task; also return the number of classes."""
    name, loss = experiment.model.name, built_loss(experiment, data, device)
    outputs, classes = outputs_and_classes(data, loss, imported=experiment.model.imported)
    with fitting("model", f"'{name}' can't be built"):
        own = hooks["build"](experiment.seed) if name == OF_TASK else None
        model = build_model(experiment.model, own, input_shape=data.shape, outputs=outputs, classes=classes).to(device)
    task = built_task(experiment, data, model, classes, device)
    if any(nn.parameter.is_lazy(p) for p in model.parameters()):
        with forward_pass(model, data, name):
            task.measure(model, data.ready(next(iter(data.train.batches(2))), device))
    return model, classes, task


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
