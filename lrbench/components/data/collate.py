"""Make batches of a data set's examples: pairs (input, target), or anything with tensors in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from lrbench.components.data.nested import mapped
from lrbench.errors import DataError, reason_of


def pair_like(item: Any) -> bool:
    """Return whether an example is (input, target), each a tensor or what becomes one."""
    return type(item) in (tuple, list) and len(item) == 2 and not any(isinstance(v, Mapping | str) for v in item)


def as_pair(item: Any) -> tuple[Tensor, Tensor]:
    """Convert an example (input, target) of a Dataset to tensors. Raises DataError for anything else."""
    if not pair_like(item):
        raise DataError(f"an example is {described(item)}, others are pairs (input, target)")
    return _as_tensor(item[0], "input"), _as_tensor(item[1], "target")


def described(item: Any) -> str:
    """Describe the type of an example or batch: `a dict with the keys input_ids, labels`."""
    keys = f" with the keys {', '.join(map(str, item))}" if isinstance(item, Mapping) else ""
    length = f" of {len(item)}" if isinstance(item, tuple | list) else ""
    return f"a {type(item).__name__}{keys}{length}"


def _as_tensor(value: Any, what: str) -> Tensor:
    try:
        return torch.as_tensor(from_image(value, label=what == "target"))
    except (TypeError, ValueError, RuntimeError) as error:
        problem = f"the {what} of an example is a {type(value).__name__}, which can't be converted to a tensor"
        raise DataError(problem) from error


def is_image(value: Any) -> bool:
    """Return whether a value is an image of PIL."""
    return type(value).__module__.startswith("PIL.")


def from_image(value: Any, *, label: bool = False) -> Any:
    """Convert a PIL image to bytes (channels, height, width), or one of labels to (height, width); keep the rest."""
    if not is_image(value):
        return value
    if label:
        return torch.from_numpy(np.array(value)).long()
    from torchvision.transforms.functional import pil_to_tensor

    readable = {"1": "L", "P": "RGB", "PA": "RGBA", "CMYK": "RGB"}.get(value.mode)
    return pil_to_tensor(value if readable is None else value.convert(readable))


def stacked(tensors: Sequence[Tensor], what: str) -> Tensor:
    """Stack tensors. Raises DataError if their shapes differ."""
    shapes = sorted({tuple(tensor.shape) for tensor in tensors})
    if len(shapes) > 1:
        some = ", ".join(map(str, shapes[:3])) + (", …" if len(shapes) > 3 else "")
        advice = "pad, crop or resize them to one shape, or name a function as dataset.collate"
        raise DataError(f"the {what}s have different shapes, {some}; {advice}")
    return torch.stack(list(tensors))


def collated(items: list[Any]) -> Any:
    """Make a batch of examples: (inputs, targets) of pairs, else the same nesting with stacked tensors.

    Raises DataError if they have different shapes.
    """
    if pair_like(items[0]):
        inputs, targets = zip(*map(as_pair, items), strict=True)
        return stacked(inputs, "input"), stacked(targets, "target")
    try:
        return _collated(items)
    except (RuntimeError, TypeError, KeyError) as error:
        problem = f"examples ({described(items[0])}) can't be made a batch: {reason_of(error)}"
        raise DataError(f"{problem}; name a function as dataset.collate") from error


def _collated(items: list[Any]) -> Any:
    first = items[0]
    if dataclasses.is_dataclass(first):
        columns = {f.name: [getattr(item, f.name) for item in items] for f in dataclasses.fields(first)}
        return dataclasses.replace(first, **{name: _collated(column) for name, column in columns.items()})  # type: ignore[type-var]
    return default_collate([mapped(item, from_image) for item in items])
