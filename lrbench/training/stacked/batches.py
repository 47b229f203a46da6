"""The batches of several runs at once: each in the order of its own seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lrbench.components import Batch, Data, Tensors
from lrbench.config import Experiment

Split = tuple[Tensor, Tensor]


def takes(data: Data) -> bool:
    """Return whether a stack can be trained on the data: pairs in memory, in an order that the seed gives."""
    return isinstance(data.train, Tensors) and data.pairs and data.train.shuffles and not data.augment


def stacked_batches(data: Data, runs: Sequence[tuple[Experiment, int]], start: int) -> Iterator[Batch]:
    """Yield the batches of an epoch from batch `start` on, prepared: inputs and targets, each (runs, examples, …).

    Args:
        data: what all runs are trained on.
        runs: each run's experiment, and the epoch whose order it takes.
        start: the first batch.
    """
    assert isinstance(data.train, Tensors)
    first = runs[0][0]
    size, drop_last = first.batch_size, bool(first.drop_last)
    device = data.train.inputs.device
    known: dict[tuple[int, int], Tensor] = {}
    for experiment, epoch in runs:
        if (experiment.seed, epoch) not in known:
            known[experiment.seed, epoch] = data.order(experiment.seed, epoch)
    orders = torch.stack([known[experiment.seed, epoch] for experiment, epoch in runs]).to(device)
    end = orders.shape[1] // size * size if drop_last else orders.shape[1]
    for begin in range(start * size, end, size):
        chosen = orders[:, begin : min(begin + size, end)]
        raw = next(data.train.batches(chosen.numel(), chosen.flatten()))
        inputs, targets = data.ready(raw, device)
        yield inputs.unflatten(0, chosen.shape), targets.unflatten(0, chosen.shape)
