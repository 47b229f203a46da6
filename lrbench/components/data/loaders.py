"""Data that comes in an order of its own: DataLoaders of the user's, and IterableDatasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
)

from lrbench.components.data.batches import Batch, Split
from lrbench.components.data.collate import collated
from lrbench.components.data.streams import Stream
from lrbench.errors import ConfigError


@dataclass(frozen=True)
class Loader(Split):
    """Batches as a DataLoader of the user's gives them.

    The random numbers of its sampler depend on the seed and the epoch alone. What else it draws or remembers, lrbench
    can't repeat, so only a loader without such state resumes bit for bit. A resumed epoch reads the batches again that
    it skips.
    """

    shuffles = False
    sized = False

    loader: DataLoader[Any]
    targets: Tensor | None = None

    def __len__(self) -> int:
        if self.loader.batch_sampler is not None and self.loader.batch_size is None:
            return len(self.loader.dataset)  # type: ignore[arg-type]
        return len(self.loader.sampler)  # type: ignore[arg-type]

    def own_batches(self, size: int, drop_last: bool) -> int | None:
        """See `Split`. Raises ConfigError if the config says otherwise than the loader."""
        own = self.loader.batch_size
        if own is not None and own != size:
            raise ConfigError(f"is {size}, but the DataLoader gives batches of {own}", key="batch_size")
        if own is not None and drop_last and not self.loader.drop_last:
            raise ConfigError("needs drop_last=True in your DataLoader", key="drop_last")
        return len(self.loader)

    def batches(self, size: int, order: Tensor | None = None, start: int = 0, seed: int = 0) -> Iterator[Batch]:
        """See `Split`. Size and order are the loader's own."""
        if self.loader.generator is not None:
            self.loader.generator.manual_seed(seed)
        yield from islice(_seeded(self.loader, seed), start, None)

    def subset(self, indices: Tensor) -> Split:
        """Raise ConfigError, since the order is the loader's."""
        raise _indivisible("a DataLoader")


@dataclass(frozen=True)
class Iterated(Split):
    """The examples of an IterableDataset, in its order.

    `length` is that of an epoch, if the data set has none. If it ends before, it begins anew.
    """

    shuffles = False

    dataset: IterableDataset[Any]
    collate: Callable[[list[Any]], Batch] | None = None
    length: int | None = None
    targets: Tensor | None = None

    @property
    def endless(self) -> bool:
        """Whether its length is unknown."""
        return self.length is None and not hasattr(self.dataset, "__len__")

    def __len__(self) -> int:
        return len(self.dataset) if self.length is None else self.length  # type: ignore[arg-type]

    def batches(self, size: int, order: Tensor | None = None, start: int = 0, seed: int = 0) -> Iterator[Batch]:
        """See `Split`."""
        loader = DataLoader(self.dataset, batch_size=size, collate_fn=self.collate or collated)
        number = 0
        while True:
            before = number
            for batch in _seeded(loader, seed + before):
                if number >= start:
                    yield batch
                number += 1
            if self.length is None or number == before:
                return

    def subset(self, indices: Tensor) -> Split:
        """Raise ConfigError, since it can't be indexed."""
        raise _indivisible("an IterableDataset")


def _seeded(loader: DataLoader[Any], seed: int) -> Iterator[Batch]:
    """Yield batches; the loader's first random numbers, which give its order, come from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        batches = iter(loader)
        first = next(batches, None)
    if first is not None:
        yield first
        yield from batches


def _indivisible(what: str) -> ConfigError:
    problem = f"{what} can't be divided; give {{'train': …, 'validation': …, 'test': …}}, each of its own"
    return ConfigError(problem, key="dataset.validation")


def read_by(loader: DataLoader[Any], *, shuffled: bool) -> Any:
    """Return what a usual DataLoader reads, in a form whose order lrbench can choose and divide.

    That is its tensors or its Dataset, with its workers and its collate function. A loader with a sampler of another
    kind, or that keeps the stored order although it is to be `shuffled`, is returned as it is.
    """
    collate = None if loader.collate_fn is default_collate else loader.collate_fn
    if isinstance(loader.dataset, IterableDataset) and type(loader) is DataLoader and loader.batch_size is not None:
        return Iterated(loader.dataset, collate)
    sampler, kinds = loader.sampler, (RandomSampler,) if shuffled else (RandomSampler, SequentialSampler)
    usual = type(loader) is DataLoader and type(loader.batch_sampler) is BatchSampler and type(sampler) in kinds
    usual = usual and loader.worker_init_fn is None
    if not usual or getattr(sampler, "replacement", False) or len(sampler) != len(loader.dataset):  # type: ignore[arg-type]
        return loader
    if collate is None and (tensors := in_memory(loader.dataset)) is not loader.dataset:
        return tensors
    targets = known_targets(loader.dataset)
    known = collate is None and targets is not None  # else the batches are taken as the loader would make them
    collate = None if known else loader.collate_fn
    return Stream(loader.dataset, workers=loader.num_workers, targets=targets, collate=collate)


def in_memory(value: Any) -> Any:
    """Return the tensors (inputs, targets) of a TensorDataset or of a Subset of one; anything else unchanged."""
    if isinstance(value, TensorDataset) and len(value.tensors) == 2:
        return value.tensors
    if isinstance(value, Subset):
        whole = in_memory(value.dataset)
        if whole is not value.dataset:
            return tuple(tensor[torch.as_tensor(value.indices)] for tensor in whole)
    return value


def known_targets(dataset: Dataset[Any]) -> Tensor | None:
    """Return the attribute `targets` of a Dataset, or of that which a Subset is of; None if it has none as numbers."""
    if isinstance(dataset, Subset) and not hasattr(dataset, "targets"):
        whole = known_targets(dataset.dataset)
        return None if whole is None else whole[torch.as_tensor(dataset.indices)]
    try:
        return torch.as_tensor(dataset.targets)  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError, RuntimeError):  # none, or no numbers, such as the paths of masks
        return None
