"""Data whose batches the user's code makes, or that are no pairs of tensors."""

from __future__ import annotations

from typing import Any

from lrbench.components.data.batches import Data, Split, Tensors
from lrbench.components.data.collate import described, is_image, pair_like
from lrbench.components.data.nested import is_pair, leaves
from lrbench.components.data.options import DatasetRules
from lrbench.components.data.sources import Source
from lrbench.components.data.streams import Stream
from lrbench.errors import ConfigError, DataError, UserCodeError

_NOTHING = object()


def makes_batches(split: Split) -> bool:
    """Return whether the user's code makes the batches: a collate function, a DataLoader or an IterableDataset."""
    return not isinstance(split, Tensors | Stream) or (isinstance(split, Stream) and split.collate is not None)


def first_of(split: Split, what: str) -> Any:
    """Return the first example, or the first batch if the user's code makes the batches.

    Raises:
        UserCodeError: the user's code raised.
        DataError: there is none.
    """
    try:
        if not makes_batches(split):
            return split.dataset[0]  # type: ignore[attr-defined]
        first = next(iter(split.batches(2)), _NOTHING)
    except (DataError, UserCodeError):
        raise
    except Exception as error:
        doing = "making a batch" if makes_batches(split) else "reading example 0"
        raise UserCodeError.of(f"{what}: {doing}", error) from error
    if first is _NOTHING:
        raise DataError(f"{what} is empty")
    if first is None:
        raise DataError(f"{what}: dataset.collate returned None; it must return a batch")
    return first


def gives_pairs(split: Split, what: str) -> bool:
    """Return whether batches are (inputs, targets). Raises as `first_of`."""
    if isinstance(split, Tensors):
        return True
    return (is_pair if makes_batches(split) else pair_like)(first_of(split, what))


def of_batches(source: Source, rules: DatasetRules, train: Split, validation: Split, what: str) -> Data:
    """Return the data, of whose shapes only the first batch is known. Raises ConfigError, DataError."""
    for key, given in (("augment", rules.augment), ("normalize", rules.normalize)):
        if given:
            problem = "needs examples (input, target) that lrbench makes into batches; do it in your own code"
            raise ConfigError(problem, key=f"dataset.{key}")
    for split in (train, validation, source.test):
        if split is not None and not getattr(split, "endless", False) and len(split) == 0:
            raise DataError(f"{what} is empty")
    first = first_of(train, what)
    known: dict[str, Any] = {"shape": (), "pairs": False, "gives": described(first)}
    if is_pair(first):
        inputs, targets = first
        positions = targets.dim() > 1 and not targets.is_floating_point()
        known = {"shape": tuple(inputs.shape[1:]), "positions": positions}
    return Data(source.name, train, validation, source.test, classes=source.classes, **known)


def notes_on(name: str, train: Split) -> tuple[str, ...]:
    """Return what a user should know about the data."""
    if not isinstance(train, Tensors | Stream):
        text = "its order is its own, so a resumed run equals an uninterrupted one only if that order repeats"
        return (f"{name}: {text}",)
    streamed = isinstance(train, Stream) and train.collate is None
    if streamed and any(map(is_image, leaves(first_of(train, name)))):
        return (f"{name}: its PIL images are converted to tensors, (channels, height, width) in 0 … 1",)
    return ()
