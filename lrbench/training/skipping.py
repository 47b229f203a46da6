"""Steps that are skipped because their loss or gradient was not finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lrbench.training.termination import not_scalable, too_many_skipped
from lrbench.training.update import Row

if TYPE_CHECKING:
    from lrbench.training.loop import Training

MAX_SKIPPED = 10


def skip(training: Training, row: Row, before: dict[str, Tensor]) -> None:
    """Write a skipped step's row, without a loss. Raises Ended after too many skipped steps.

    Args:
        training: the run.
        row: what the step's row holds already.
        before: the model's buffers before the step; see `buffers_of`.
    """
    state, scaler = training.state, training.parts.scaler
    for name, buffer in training.parts.model.named_buffers():
        buffer.copy_(before[name])
    training.read_back()
    training.folder.guard()
    training.folder.steps.append([row])
    state.skipped += 1
    if scaler is not None:
        state.held += 1
        if scaler.get_scale() < 1:
            raise not_scalable(scaler.get_scale(), state.step, row["lr"], state.last_loss)
    limit = training.experiment.max_skipped or MAX_SKIPPED
    if state.skipped - state.held > limit:
        raise too_many_skipped(limit, state.step, row["lr"], state.last_loss)
