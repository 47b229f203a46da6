"""Steps that are recorded once and replayed: as CUDA graphs on a GPU, as lists of operations on a CPU."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lrbench.components import Batch
from lrbench.config import Experiment
from lrbench.training.cuda_graphs import RecordedUpdates, place_rates, recordable
from lrbench.training.parts import Parts
from lrbench.training.replay import ReplayedUpdates, replayable


def updates_of(experiment: Experiment, parts: Parts, *, records: bool = True) -> Callable[[Batch], Tensor] | None:
    """Return what does a step with a batch and returns the same as `gradient`; None if steps are not recorded.

    The learning rates of the optimizer's groups become what it reads: plain numbers, or tensors on a GPU.
    """
    if records and recordable(experiment, parts):
        place_rates(parts.optimizer, parts.device)
        return RecordedUpdates(parts, experiment.clip_grad_norm)
    place_rates(parts.optimizer, None)
    return ReplayedUpdates(parts, experiment.clip_grad_norm) if records and replayable(experiment, parts) else None
