"""Evaluation of a model on a split."""

from __future__ import annotations

import math
from itertools import islice

import torch

from lrbench.components import EVALUATION_BATCH, Split
from lrbench.training.build import Parts

NORM_BATCHES = 50


@torch.no_grad()
def evaluate(parts: Parts, split: Split) -> dict[str, float]:
    """Return the mean loss over a split, as `loss`, and the task's metrics by name."""
    parts.evaluating()
    losses, sums, counts = [], [], []
    for inputs, targets in split.batches(EVALUATION_BATCH):
        prepared, goal = parts.batch(inputs, targets)
        with parts.autocast():
            outputs = parts.forward(prepared)
            losses.append(parts.loss(outputs, goal).float())
        sums.append(parts.task.sums(outputs, goal))
        counts.append(len(goal))
    count = sum(counts)
    weighted = torch.stack(losses).cpu().double() * torch.tensor(counts)  # on the CPU: not every device has float64
    metrics = parts.task.values(torch.stack(sums).cpu().double().sum(0).tolist(), count)
    return {"loss": float(weighted.sum()) / count, **metrics}


def tested(parts: Parts) -> dict[str, float | None]:
    """Return the loss and metrics on the test data; a loss that is not finite becomes None."""
    assert parts.data.test is not None
    found = evaluate(parts, parts.data.test)
    return {**found, "loss": found["loss"] if math.isfinite(found["loss"]) else None}


@torch.no_grad()
def refresh_norms(parts: Parts, batch_size: int, seed: int, epoch: int) -> None:
    """Recompute batch norm statistics for the averaged weights of a schedule-free optimizer.

    The averaged weights were never trained with, so their authors advise to run some batches in training mode before
    each evaluation. Does nothing for other optimizers or models without running statistics.
    """
    averages = callable(getattr(parts.optimizer, "eval", None))
    if not averages or not any(name.endswith("running_mean") for name, _ in parts.model.named_buffers()):
        return
    parts.evaluating()
    parts.model.train()
    for inputs, targets in islice(parts.data.training_batches(batch_size, seed, epoch), NORM_BATCHES):
        prepared, _ = parts.batch(inputs, targets)
        with parts.autocast():
            parts.forward(prepared)
