"""Loss and accuracy over a split."""

from __future__ import annotations

import math
from itertools import islice

import torch
from torch import Tensor

from lrbench.components.data.batches import EVALUATION_BATCH, Split
from lrbench.training.build import Parts

NORM_BATCHES = 50


@torch.no_grad()
def evaluate(parts: Parts, split: Split) -> tuple[float, float | None]:
    """Mean loss and accuracy over a split, dropout off."""
    parts.evaluating()
    losses, right, counts = [], [], []
    for inputs, targets in split.batches(EVALUATION_BATCH):
        prepared, goal = parts.batch(inputs, targets)
        with parts.autocast():
            outputs = parts.forward(prepared)
            losses.append(parts.loss(outputs, goal).float())
        right.append(correct(outputs, goal, parts.data.classes))
        counts.append(len(goal))
    count = sum(counts)
    accuracy = int(torch.stack(right).sum()) / count if parts.data.classes is not None else None
    weighted = torch.stack(losses).cpu().double() * torch.tensor(counts)  # not every device has float64
    return float(weighted.sum()) / count, accuracy


def tested(parts: Parts) -> dict[str, float | None]:
    """Loss and accuracy on the test data; a loss that is not finite is None."""
    assert parts.data.test is not None
    loss, accuracy = evaluate(parts, parts.data.test)
    return {"loss": loss if math.isfinite(loss) else None, "accuracy": accuracy}


@torch.no_grad()
def refresh_norms(parts: Parts, batch_size: int, seed: int, epoch: int) -> None:
    """Running statistics of batch norms for weights that are an average, which no batch was trained with.

    The authors of schedule-free optimizers advise it: some batches in training mode before each evaluation. Nothing
    is done for other optimizers, and for models without running statistics.
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


def correct(outputs: Tensor, targets: Tensor, classes: int | None) -> Tensor:
    """How many of a batch are right, as a tensor on the device; 0 for a regression."""
    if classes is None:
        return torch.zeros((), device=outputs.device)
    return (outputs.detach().argmax(1) == targets).sum()
