"""Batches of any shape: tensors in dicts, lists, tuples, named tuples, dataclasses or objects with `to`."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor


def mapped(batch: Any, change: Callable[[Any], Any]) -> Any:
    """Return the batch with every leaf changed; the nesting stays, and so do the types of its containers."""
    match batch:
        case Tensor():
            return change(batch)
        case MutableMapping():
            twin = copy.copy(batch)  # keeps classes such as transformers' BatchEncoding
            twin.update({key: mapped(value, change) for key, value in batch.items()})
            return twin
        case Mapping():
            return {key: mapped(value, change) for key, value in batch.items()}
        case tuple() if hasattr(batch, "_fields"):
            return type(batch)(*(mapped(value, change) for value in batch))
        case list() | tuple():
            return type(batch)(mapped(value, change) for value in batch)
        case _ if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
            return dataclasses.replace(batch, **{n: mapped(v, change) for n, v in _fields(batch).items()})
        case _:
            return change(batch)


def leaves(batch: Any) -> Iterator[Any]:
    """Yield the leaves of a batch: its tensors, and whatever is no container."""
    parts: Iterable[Any]
    match batch:
        case Mapping():
            parts = batch.values()
        case list() | tuple():
            parts = batch
        case _ if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
            parts = _fields(batch).values()
        case _:
            yield batch
            return
    for part in parts:
        yield from leaves(part)


def tensors(batch: Any) -> list[Tensor]:
    """Return the tensors of a batch."""
    return [leaf for leaf in leaves(batch) if isinstance(leaf, Tensor)]


def moved(batch: Any, device: torch.device) -> Any:
    """Return the batch on a device. Floats become float32; objects that are no tensors move by their own `to`."""

    def move(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            wide = leaf.dtype == torch.float64
            return leaf.to(device, torch.float32 if wide else leaf.dtype, non_blocking=True)
        return leaf.to(device) if callable(getattr(leaf, "to", None)) else leaf

    return mapped(batch, move)


def examples_in(batch: Any) -> int:
    """Return the number of examples in a batch: the length of its first tensor that has one, else 1."""
    return next((len(tensor) for tensor in tensors(batch) if tensor.dim() > 0), 1)


def is_pair(batch: Any) -> bool:
    """Return whether a batch is (inputs, targets), both tensors."""
    return type(batch) in (tuple, list) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
