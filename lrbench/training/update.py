"""The gradient of a step and the measurements that wait on the device until they are read back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lrbench.components import Batch
from lrbench.config import Experiment
from lrbench.errors import RunError
from lrbench.training.parts import Parts


def gradient(parts: Parts, batches: Sequence[Batch], limit: float | None) -> Tensor:
    """Compute the gradient of one or several batches into the weights' `grad`, without a device sync.

    Batches are weighted by what their losses divide by, so that several have the gradient of one large batch.

    Args:
        parts: the model, the loss and the data's preparation.
        batches: raw batches.
        limit: the norm to clip the gradient to; None for no clipping.

    Returns:
        The mean loss, the gradient norm before clipping, what the loss divides by and the task's sums: a tensor
        (3 + sums,) on the device.
    """
    parts.optimizer.zero_grad(set_to_none=True)
    counts = [parts.task.count(raw) for raw in batches]
    count = sum(counts)
    losses, sums = [], []
    for raw, own in zip(batches, counts, strict=True):
        with parts.autocast():
            loss, found = parts.task.measure(parts.forward, parts.batch(raw))
        if len(batches) > 1:
            loss = loss * (torch.nan_to_num(own / count) if isinstance(count, Tensor) else own / (count or 1))
        if not loss.requires_grad:
            advice = "model and loss must compute it from the weights, without .item(), .detach() and numpy"
            raise RunError(f"the loss does not require grad: {advice}")
        (loss if parts.scaler is None else parts.scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
        sums.append(found)
    if parts.scaler is not None:
        parts.scaler.unscale_(parts.optimizer)
    total = _total(losses).float()
    divided_by = count.to(total) if isinstance(count, Tensor) else torch.full_like(total, count)
    measured = torch.stack([total, _clip(parts, limit).float(), divided_by])
    return torch.cat([measured, _total(sums).float()])


def steps_alike(experiment: Experiment, parts: Parts) -> bool:
    """Return whether every step does the same work around the model.

    This needs a built-in loss, one batch per step, no skipped steps, no compilation and the same weights in every step.
    """
    skips = experiment.on_non_finite == "skip" or parts.scaler is not None
    plain = experiment.accumulate in (None, 1) and not skips and not experiment.compile
    return plain and parts.stages is None and not experiment.loss.imported


def buffers_of(model: nn.Module) -> dict[str, Tensor]:
    """Copy the model's buffers, such as running statistics, which a skipped step must not change."""
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def step_taken(parts: Parts, measured: Tensor, *, check: bool) -> bool:
    """Do the optimizer's step. Returns False if it was skipped because something was not finite.

    Args:
        parts: the optimizer, and with `precision: fp16` the gradient scaler, which checks every gradient itself and
            lowers its scale after a skipped step.
        measured: what `gradient` returned.
        check: skip the step if the loss or the gradient norm is not finite.
    """
    if parts.scaler is not None:
        before = parts.scaler.get_scale()
        parts.scaler.step(parts.optimizer)
        parts.scaler.update()
        return parts.scaler.get_scale() >= before
    if check and not all(map(math.isfinite, measured[:2].tolist())):
        return False
    parts.optimizer.step()
    return True


def _clip(parts: Parts, limit: float | None) -> Tensor:
    """Return the gradient norm over all parameters, and clip the gradient to `limit` if given."""
    weights = [p for p in parts.model.parameters() if p.grad is not None]
    if limit is not None:
        return torch.nn.utils.clip_grad_norm_(weights, limit)
    return torch.nn.utils.get_total_norm([p.grad for p in weights if p.grad is not None])


def _total(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).sum(0)


Row = dict[str, Any]
"""A row of `steps.csv`, by column: `step`, `lr` and others."""

CAPACITY = 4096  # rows of `Readings`
AT_ONCE = 64  # rows whose places in the tensor are found at once


@dataclass
class Readings:
    """The measurements since the last device sync, one row per step, kept on the device.

    They share one tensor: many small tensors, allocated between a step's large ones, would fragment the memory.
    """

    rows: list[tuple[Any, int]] = field(default_factory=list)
    measured: Tensor | None = None
    places: list[Tensor] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def full(self) -> bool:
        """True if there is no room for another row."""
        return len(self.rows) == CAPACITY

    def add(self, row: Any, count: int, measured: Tensor) -> None:
        """Add a step of `count` examples: what its row holds already, and the tensor that `gradient` returned.

        Of stacked runs, `row` has the row of each, and `measured` (runs, 3 + sums).
        """
        if self.measured is None:
            self.measured = measured.new_empty(CAPACITY, *measured.shape)
        if len(self.rows) == len(self.places):
            begin = len(self.places)
            self.places += self.measured[begin : begin + AT_ONCE].unbind(0)
        self.places[len(self.rows)].copy_(measured)
        self.rows.append((row, count))

    def replace_loss(self, loss: float) -> None:
        """Replace the loss in the last row."""
        assert self.measured is not None, "add() comes first"
        self.measured[len(self.rows) - 1, 0] = loss

    def take(self) -> list[tuple[Any, int, list[Any]]]:
        """Fetch and clear all rows with one device sync: what they hold, examples and measurements."""
        fetched = [] if self.measured is None else self.measured[: len(self.rows)].tolist()
        found = [(row, count, measured) for (row, count), measured in zip(self.rows, fetched, strict=True)]
        self.rows.clear()
        return found
