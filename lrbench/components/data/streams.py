"""Map-style Datasets, read by DataLoaders. Random numbers depend on (seed, epoch, batch), not on who reads."""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.multiprocessing
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, get_worker_info

from lrbench.components.data.batches import Batch, Split
from lrbench.components.data.collate import collated
from lrbench.errors import LrbenchError, UserCodeError

Collate = Callable[[list[Any]], Batch]


@dataclass(frozen=True)
class Stream(Split):
    """A map-style Dataset, read through a DataLoader during training.

    Its examples are pairs (input, target), or anything that `collate`, by default torch's, makes a batch of. Its
    `workers` processes start anew in every epoch. With `pinned`, batches lie in memory that a GPU copies from.
    """

    dataset: Dataset[Any]
    workers: int = 0
    targets: Tensor | None = None
    collate: Collate | None = None
    pinned: bool = False

    def __len__(self) -> int:
        try:
            return len(self.dataset)  # type: ignore[arg-type]
        except Exception as error:
            raise UserCodeError.of("the length of the data set", error) from error

    def batches(self, size: int, order: Tensor | None = None, start: int = 0, seed: int = 0) -> Iterator[Batch]:
        """See `Split`. What the Dataset draws from torch, numpy and random depends on `seed` and the batch's number."""
        order = torch.arange(len(self)) if order is None else order
        read = self.read(enumerate(groups_of(order, size, start), seed + start))
        return islice(read, max(-(-len(order) // size) - start, 0))

    def read(self, groups: Iterable[tuple[int, Tensor]]) -> Iterator[Batch]:
        """Yield a batch for each group: a seed, and the indices of its examples. Ask for no more than there are."""
        loader = DataLoader(
            Batches(self.dataset, self.collate or collated),
            batch_size=None,
            sampler=((group.tolist(), seed) for seed, group in groups),
            num_workers=self.workers,
            generator=torch.Generator(),  # the loader draws a number from it that nobody uses
            collate_fn=_unchanged,
            worker_init_fn=_end_with_parent,
            pin_memory=self.pinned,
        )
        batches = iter(loader)
        while True:
            yield _next(batches)

    def subset(self, indices: Tensor) -> Stream:
        """See `Split`."""
        targets = None if self.targets is None else self.targets[indices]
        return replace(self, dataset=Subset(self.dataset, indices.tolist()), targets=targets)

    def to(self, device: torch.device) -> Stream:
        """See `Split`. The data stays; its batches are pinned for a GPU."""
        return replace(self, pinned=device.type == "cuda")


def groups_of(order: Tensor, size: int, start: int) -> Iterator[Tensor]:
    """Yield the indices of each batch of an epoch from batch `start` on."""
    return (order[begin : begin + size] for begin in range(start * size, len(order), size))


@dataclass(frozen=True)
class Batches(Dataset[Any]):
    """The batches of a Dataset, by the indices of their examples and a seed. In a worker, an error is a batch too."""

    dataset: Dataset[Any]
    collate: Collate

    def __getitem__(self, key: tuple[list[int], int]) -> Any:
        indices, seed = key
        if get_worker_info() is None:
            with _drawing_from(seed):
                return self._batch(indices)
        try:
            with _drawing_from(seed):
                return self._batch(indices)
        except KeyboardInterrupt:
            raise
        except LrbenchError as error:
            return error
        except BaseException as error:  # torch would tell it with the worker's whole traceback
            return UserCodeError.of("reading the data", error)

    def _batch(self, indices: list[int]) -> Batch:
        several = getattr(self.dataset, "__getitems__", None)
        return self.collate(several(indices) if several else [self.dataset[index] for index in indices])


@contextlib.contextmanager
def _drawing_from(seed: int) -> Iterator[None]:
    """Seed the generators of the CPU in the block, and restore them."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def _unchanged(batch: Batch) -> Batch:
    return batch


def _next(batches: Iterator[Batch]) -> Batch:
    try:
        batch = next(batches)
    except StopIteration as error:  # from the Dataset; it would end the epoch early
        raise UserCodeError.of("reading the data", error) from error
    if isinstance(batch, LrbenchError):
        raise batch
    return batch


def _end_with_parent(_: int) -> None:
    """Have the kernel (on Linux) kill this loader process with its parent, even if the Dataset never returns."""
    torch.multiprocessing._prctl_pr_set_pdeathsig(signal.SIGKILL)  # type: ignore[attr-defined]
