"""Data ready for training, in memory or streamed. The order of batches is a pure function of (seed, epoch)."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from lrbench.components.data.nested import moved

Batch = Any
"""(inputs, targets), both tensors; or, for a task that takes it, any nesting of tensors."""
EVALUATION_BATCH = 500
GATHERED_BYTES = 1_000_000  # of batches that are gathered at once
ALIGNMENT = 64  # bytes, of torch's tensors; other addresses may change the last digits of a matrix product


class Split(ABC):
    """Training, validation or test data.

    Without `shuffles`, it comes in an order of its own; without `sized`, in batches of a size of its own.
    """

    shuffles = True
    sized = True

    targets: Tensor | None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batches(self, size: int, order: Tensor | None = None, start: int = 0, seed: int = 0) -> Iterator[Batch]:
        """Yield batches of raw (inputs, targets) in `order` (n indices; None: as stored), from batch `start` on.

        The last batch is smaller if the size does not divide n. Batches are copies, which user code may change.
        """

    @abstractmethod
    def subset(self, indices: Tensor) -> Split:
        """Return the examples at `indices`, in that order."""

    def own_batches(self, size: int, drop_last: bool) -> int | None:
        """Return the number of batches in an epoch if the size alone does not tell it."""
        return None

    def to(self, device: torch.device) -> Split:
        """Move data in memory to a device; other data stays where it is."""
        return self

    def labels(self) -> Tensor | None:
        """Return all targets; None if that would require reading every example."""
        return self.targets

    def tensors(self) -> list[Tensor]:
        """Return the tensors with the data that processes of this machine can share; empty if there are none."""
        return []


@dataclass(frozen=True)
class Tensors(Split):
    """Data in memory: inputs (n, …), uint8, int64 or float32, and targets (n,) int64 or (n, …) float32."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, size: int, order: Tensor | None = None, start: int = 0, seed: int = 0) -> Iterator[Batch]:
        """See `Split`."""
        if order is not None:
            yield from self._gathered(size, order.to(self.inputs.device), start)
            return
        for begin in range(start * size, len(self), size):
            yield self.inputs[begin : begin + size].clone(), self.targets[begin : begin + size].clone()

    def _gathered(self, size: int, order: Tensor, start: int) -> Iterator[Batch]:
        """Yield batches in an order: several small ones are gathered at once, each where a tensor would be aligned."""
        bytes_each = [part[:1].nbytes * size for part in (self.inputs, self.targets)]
        aligned = all(count % ALIGNMENT == 0 for count in bytes_each)
        many = max(GATHERED_BYTES // max(sum(bytes_each), 1), 1) if aligned else 1
        for begin in range(start * size, len(order), many * size):
            chosen = order[begin : begin + many * size]
            inputs, targets = self.inputs.index_select(0, chosen), self.targets.index_select(0, chosen)
            yield from zip(torch.split(inputs, size), torch.split(targets, size), strict=True)

    def subset(self, indices: Tensor) -> Tensors:
        """See `Split`. Consecutive examples share memory with the whole."""
        first, last = int(indices[0]), int(indices[-1])
        if len(indices) == last - first + 1 and bool((indices.diff() == 1).all()):
            return Tensors(self.inputs[first : last + 1], self.targets[first : last + 1])
        return Tensors(self.inputs[indices], self.targets[indices])

    def to(self, device: torch.device) -> Tensors:
        """See `Split`. Data that would fill more than half of a GPU's free memory stays; its batches move instead."""
        if device.type == "cuda" and self.inputs.nbytes + self.targets.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
            return self
        return Tensors(self.inputs.to(device), self.targets.to(device))

    def tensors(self) -> list[Tensor]:
        """See `Split`."""
        return [self.inputs, self.targets]


@dataclass(frozen=True)
class Data:
    """A split data set. Every example has `shape`, such as (1, 28, 28).

    `classes` is None for a regression, or where only the user knows it; `unknown` says so if it must be known to train
    a classification. With `positions`, every example has a class at each of its positions, such as pixels or tokens.
    With `numbers`, targets that are integers become floats. Unless `pairs`, batches are no (inputs, targets), but what
    `gives` says, and their shape is unknown. `draw` gives the order of an epoch from a seed, if a sampler does.
    """

    name: str
    train: Split
    validation: Split
    test: Split | None
    shape: tuple[int, ...]
    classes: int | None
    mean: Tensor | None = None
    std: Tensor | None = None
    augment: tuple[str, ...] = ()
    positions: bool = False
    numbers: bool = False
    pairs: bool = True
    gives: str = "pairs"
    bytes_per_token: float | None = None
    unknown: str = ""
    notes: tuple[str, ...] = ()
    draw: Callable[[int], Tensor] | None = None

    def to(self, device: torch.device) -> Data:
        """Return the same data on a device."""
        parts = {key: getattr(self, key) for key in ("train", "validation", "test", "mean", "std")}
        return replace(self, **{key: part.to(device) for key, part in parts.items() if part is not None})

    def prepare(self, inputs: Tensor, device: torch.device) -> Tensor:
        """Prepare raw inputs for the model: on the device, float32, bytes scaled to 0 … 1, normalised.

        int64 inputs, indices of an embedding, stay as they are.
        """
        inputs = inputs.to(device, non_blocking=True)
        if inputs.dtype == torch.int64 and self.mean is None:
            return inputs
        scaled = inputs.float().div_(255) if inputs.dtype == torch.uint8 else inputs.float()
        return scaled if self.mean is None or self.std is None else (scaled - self.mean) / self.std

    def order(self, seed: int, epoch: int) -> Tensor:
        """Return the order of an epoch's examples, which depends only on (seed, epoch)."""
        return epoch_order(len(self.train), seed, epoch) if self.draw is None else self.draw(mix(seed, epoch, "order"))

    def ready(self, batch: Batch, device: torch.device) -> Batch:
        """Prepare a raw batch for the task: on the device, the inputs of pairs as `prepare` leaves them."""
        if not self.pairs:
            return moved(batch, device)
        inputs, targets = batch
        goal = targets.to(device, non_blocking=True)
        return self.prepare(inputs, device), goal.float() if self.numbers else goal

    def training_batches(
        self, size: int, seed: int, epoch: int, start: int = 0, *, drop_last: bool = False
    ) -> Iterator[Batch]:
        """Yield an epoch's batches from batch `start` on; shuffling and augmentation depend on (seed, epoch, batch).

        With `drop_last`, a last batch smaller than `size` is left out.
        """
        order = self.order(seed, epoch) if self.train.shuffles else None
        order = order[: len(order) // size * size] if drop_last and order is not None else order
        batches = self.train.batches(size, order, start, seed=mix(seed, epoch, "workers"))
        if order is None:
            count = self.train.own_batches(size, drop_last)
            most = len(self.train) // size if drop_last else -(-len(self.train) // size)
            batches = islice(batches, (most if count is None else count) - start)
        for number, batch in enumerate(batches, start):
            if not self.augment:
                yield batch
                continue
            inputs, targets = batch
            yield augmented(inputs, self.augment, mix(seed, epoch, number)), targets


def in_groups(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Yield groups of `size` batches; the last group may be smaller."""
    remaining = iter(batches)
    while group := list(islice(remaining, size)):
        yield group


def mix(*parts: object) -> int:
    """Hash any values to a 63-bit seed, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def epoch_order(n: int, seed: int, epoch: int) -> Tensor:
    """Return an epoch's permutation of n training examples, which depends only on (seed, epoch)."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(mix(seed, epoch, "order")))


def augmented(inputs: Tensor, how: tuple[str, ...], seed: int) -> Tensor:
    """Shift and flip images (n, c, h, w) reproducibly; `how` as in `DatasetRules.augment`."""
    generator = torch.Generator().manual_seed(seed)
    n, _, height, width = inputs.shape
    rows = torch.arange(height).expand(n, height)
    columns = torch.arange(width).expand(n, width)
    if "flip" in how:
        mirrored = torch.rand(n, generator=generator) < 0.5
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    inside = torch.ones(n, height, width, dtype=torch.bool)
    if "crop" in how:
        down, right = max(height // 8, 1), max(width // 8, 1)
        rows = rows + torch.randint(-down, down + 1, (n, 1), generator=generator)
        columns = columns + torch.randint(-right, right + 1, (n, 1), generator=generator)
        within_rows, within_columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
        inside = within_rows[:, :, None] & within_columns[:, None, :]
        rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    device = inputs.device
    picture = torch.arange(n, device=device)[:, None, None]
    rows, columns = rows.to(device)[:, :, None], columns.to(device)[:, None, :]
    moved = inputs.permute(0, 2, 3, 1)[picture, rows, columns]
    return (moved * inside.to(device)[..., None]).permute(0, 3, 1, 2).to(inputs.dtype)
