"""One update of the weights, and what is measured of it; nothing here waits for the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lrbench.components import Batch
from lrbench.training.build import Parts


def gradient(parts: Parts, batches: Sequence[Batch], limit: float | None) -> Tensor:
    """Leave the gradient of one batch, or of several as if they were one, in the weights' `grad`.

    Each batch weighs as its examples, so that several have the gradient of one large batch.

    Args:
        parts: the model, the loss and the data's preparation.
        batches: raw ones.
        limit: the norm that the gradient is scaled down to where it is larger.

    Returns:
        The mean loss, the gradient's norm before it is scaled, and the task's sums: (2 + sums,), on the device.
    """
    parts.optimizer.zero_grad(set_to_none=True)
    count = sum(len(targets) for _, targets in batches)
    losses, sums = [], []
    for inputs, targets in batches:
        prepared, goal = parts.batch(inputs, targets)
        with parts.autocast():
            outputs = parts.forward(prepared)
            loss = parts.loss(outputs, goal)
        if len(goal) != count:
            loss = loss * (len(goal) / count)
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
        sums.append(parts.task.sums(outputs, goal))
    measured = torch.stack([_total(losses).float(), _clip(parts, limit).float()])
    return torch.cat([measured, _total(sums).float()])


def _clip(parts: Parts, limit: float | None) -> Tensor:
    """The gradient's norm over all parameters; the gradient scaled down to `limit` where there is one."""
    weights = [p for p in parts.model.parameters() if p.grad is not None]
    if limit is not None:
        return torch.nn.utils.clip_grad_norm_(weights, limit)
    return torch.nn.utils.get_total_norm([p.grad for p in weights if p.grad is not None])


def _total(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).sum(0)


CAPACITY = 4096  # rows of `Readings`


@dataclass
class Readings:
    """What was measured of the updates since the device was last asked, one row each, kept where it was computed.

    One tensor takes them all: many small ones, made between an update's large ones, would keep the memory of these
    from being used again.
    """

    rows: list[tuple[int, float, float | None, int]] = field(default_factory=list)

    measured: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def full(self) -> bool:
        """True when there is no room for another."""
        return len(self.rows) == CAPACITY

    def add(self, step: int, lr: float, momentum: float | None, count: int, measured: Tensor) -> None:
        """Note an update of `count` examples; `measured` as `gradient` gives it."""
        if self.measured is None:
            self.measured = measured.new_empty(CAPACITY, len(measured))
        self.measured[len(self.rows)].copy_(measured)
        self.rows.append((step, lr, momentum, count))

    def replace_loss(self, loss: float) -> None:
        """Put another loss in the last row."""
        assert self.measured is not None, "add() comes first"
        self.measured[len(self.rows) - 1, 0] = loss

    def take(self) -> list[tuple[int, float, float | None, int, list[float]]]:
        """Fetch all rows from the device in one piece, and begin anew: step, lr, momentum, examples, what was measured.

        This waits for the device.
        """
        fetched = [] if self.measured is None else self.measured[: len(self.rows)].tolist()
        found = [(*row, measured) for row, measured in zip(self.rows, fetched, strict=True)]
        self.rows.clear()
        return found
