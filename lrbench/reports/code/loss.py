"""The loss of a batch as PyTorch code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lrbench.config import Experiment
from lrbench.reports.code.text import Raw, call, comment, layout
from lrbench.runs import UNKNOWN, Sizes

Import = Callable[[str], str]


@dataclass(frozen=True)
class LossCode:
    """The code that computes the loss of a batch.

    Attributes:
        before: what comes before the loop.
        body: assigns `loss`.
        batch: the names of a batch's parts.
        size: the number of examples in a batch.
        device: the device of a batch.
    """

    before: list[str]
    body: list[str]
    batch: str = "inputs, targets"
    size: str = "len(targets)"
    device: str = "inputs.device"


def loss_code(experiment: Experiment, sizes: Sizes, imported: Import) -> LossCode:
    """Write the code of the loss that a run trained with."""
    task = experiment.task
    if task is not None and task.name == "hf":
        return _of_batch([], ["loss = model(**batch).loss"], 'len(batch["labels"])')
    if task is None or not task.imported:
        return LossCode(*_of_pairs(experiment, sizes, imported))
    name = imported(task.name)
    if not name.rpartition(".")[2][0].isupper():  # a function
        return _of_batch([], [f'loss = {name}(model, batch)["loss"]'], "1")
    made = layout("task = ", call(name, **task.params))
    return _of_batch(
        made, ["loss = task.loss(model, batch)", "loss = loss[0] if isinstance(loss, tuple) else loss"], "1"
    )


def _of_batch(before: list[str], body: list[str], size: str) -> LossCode:
    """Return code for batches of any shape; a size of 1 supposes batches of equal size."""
    return LossCode(before, body, "batch", size, "next(model.parameters()).device")


def _of_pairs(experiment: Experiment, sizes: Sizes, imported: Import) -> tuple[list[str], list[str]]:
    """Write what comes before the loop, and what computes the loss of a pair of inputs and targets."""
    loss, functional = experiment.loss, "torch.nn.functional"
    by_token = experiment.task is not None and experiment.task.name == "language_model"
    outputs, targets = Raw("model(inputs).transpose(1, 2)" if by_token else "model(inputs)"), Raw("targets")
    if loss.name == "cross_entropy":
        settings = _tensors({k: v for k, v in loss.params.items() if v or (k == "ignore_index" and v is not None)})
        before: list[str] = []
        if settings.get("weight") == "balanced":
            before = comment("class_weights: n / (classes * n_c) for n_c of n training examples of class c")
            settings["weight"] = Raw("class_weights")
        return before, layout("loss = ", call(f"{functional}.cross_entropy", outputs, targets, **settings))
    if loss.name == "bce":
        settings = _tensors({k: v for k, v in loss.params.items() if v})
        both = Raw("outputs.reshape(targets.shape)"), Raw("targets.to(outputs.dtype)")
        made = call(f"{functional}.binary_cross_entropy_with_logits", *both, **settings)
        return [], ["outputs = model(inputs)", *layout("loss = ", made)]
    if loss.name == "mse":
        compared = "outputs.reshape(targets.shape), targets"
        known = sizes.classes != UNKNOWN
        if experiment.task is None and sizes.classes is not None and (known or not experiment.dataset.part.imported):
            compared = f"outputs, {functional}.one_hot(targets, outputs.shape[-1]).to(outputs.dtype)"
        return [], ["outputs = model(inputs)", f"loss = {functional}.mse_loss({compared})"]
    name, params = imported(loss.name), loss.params
    params = _tensors(params) if loss.name.startswith("torch.") else params
    if not name.rpartition(".")[2][0].isupper():  # a function takes its parameters with every call
        return [], layout("loss = ", call(name, outputs, targets, **params))
    return layout("loss_function = ", call(name, **params)), ["loss = loss_function(model(inputs), targets)"]


def _tensors(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a loss's parameters with lists as tensors."""
    return {k: call("torch.tensor", [float(x) for x in v]) if isinstance(v, list) else v for k, v in params.items()}
