"""The size of each layer's output over the first steps of a training, for the coordinate check."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lrbench.components import Batch, in_groups
from lrbench.config import Experiment
from lrbench.errors import RunError, counted
from lrbench.training.build import assemble, seed_everything
from lrbench.training.device import resolve_device
from lrbench.training.isolation import isolated
from lrbench.training.parts import Parts
from lrbench.training.update import gradient, step_taken

Outputs = dict[str, Tensor]
"""Each layer's output, by the layer's name."""
Sizes = dict[str, tuple[float, float]]


def layer_outputs(experiment: Experiment, steps: int) -> list[Sizes]:
    """Train for a few steps at the peak learning rate, and measure each layer's output before, between and after them.

    A layer is a module without children that has weights. Its output is that for the first training batch, without
    dropout.

    Args:
        experiment: what to train; its schedule and length are ignored.
        steps: the number of steps.

    Returns:
        For 0 … `steps` steps done: for each layer the mean |output| and the mean |change| of its output since step 0.

    Raises:
        ConfigError, DataError: the experiment can't be built.
        RunError: no layer's output is a tensor, or one is not finite.
    """
    with isolated():
        parts = assemble(experiment, resolve_device(experiment.device))
        seed_everything(experiment.seed)
        batches = _updates(parts, experiment)
        first = next(_updates(parts, experiment))[0]
        begun: Outputs = {}
        sizes = []
        for step in range(steps + 1):
            if step:
                parts.training()
                parts.set_rate(parts.peak_lr, None)
                step_taken(parts, gradient(parts, next(batches), experiment.clip_grad_norm), check=False)
            found = _outputs(parts, first)
            begun = begun or found
            sizes.append(
                {name: _sizes(experiment, step, name, out, begun.get(name, out)) for name, out in found.items()}
            )
    return sizes


def _updates(parts: Parts, experiment: Experiment) -> Iterator[list[Batch]]:
    """Yield the batches of each step, epoch after epoch."""
    size, drop_last, epoch = experiment.batch_size, bool(experiment.drop_last), 0
    while True:
        batches = parts.data.training_batches(size, experiment.seed, epoch, start=0, drop_last=drop_last)
        yield from in_groups(batches, experiment.accumulate or 1)
        epoch += 1


def _sizes(experiment: Experiment, step: int, name: str, output: Tensor, before: Tensor) -> tuple[float, float]:
    size, change = float(output.abs().mean()), float((output - before).abs().mean())
    if not torch.isfinite(output).all():
        problem = f"the output of {name} is not finite after {counted(step, 'step')}; use a lower learning rate"
        raise RunError(f"{experiment.name}: {problem}")
    return size, change


def _outputs(parts: Parts, batch: Batch) -> Outputs:
    """Return each layer's output for a batch."""
    found: Outputs = {}
    parts.evaluating()
    with contextlib.ExitStack() as stack:
        for name, module in parts.model.named_modules():
            if next(module.children(), None) is None and next(module.parameters(), None) is not None:
                stack.callback(module.register_forward_hook(_keeper(found, name)).remove)
        stack.enter_context(torch.random.fork_rng())
        with parts.autocast():
            parts.task.measure(parts.model, parts.batch(batch))
    if not found:
        raise RunError("the model has no layers with weights, such as Linear, that its forward pass calls")
    return found


def _keeper(found: Outputs, name: str) -> Any:
    def keep(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            found.setdefault(name, output.detach().float())

    return keep
