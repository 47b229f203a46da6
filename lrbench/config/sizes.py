"""The sizes of a run that the best learning rate may depend on: batch size, length, data, and the model's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from lrbench.config.params import flat
from lrbench.types import number_of

SizeKind = Literal["batch", "length", "data", "width", "depth", "other"]

# What a size of each kind is called, in lrbench's configs and other programs' parameters; the first match counts.
_WORDS: Mapping[SizeKind, str] = {
    "batch": r"batch",
    "length": r"epoch|step|iter|updates",
    "data": r"train_size|n_train|examples|samples|tokens|data_size|dataset_size",
    "width": r"width|dim|hidden|embd|d_model|channels|filters|d_ff|units",
    "depth": r"depth|layers|blocks|n_layer",
    "other": r"n_params|num_params|parameters|model_size|heads|n_head",
}
_NO_SIZE = r"warm|decay|log|save|eval|every|seed|drop|val|test|worker|patience|accum"


class Size(NamedTuple):
    """A size, and the keys of the canonical config that it stands for."""

    value: float
    keys: tuple[str, ...]


def size_kind(name: str) -> SizeKind:
    """Return what a size is, by its name.

    >>> size_kind("params.d_model"), size_kind("epochs"), size_kind("model.patch")
    ('width', 'length', 'other')
    """
    return next((kind for kind, words in _WORDS.items() if re.search(words, name.rpartition(".")[2].lower())), "other")


def model_sizes(params: Mapping[str, Any]) -> dict[str, Size]:
    """Return the whole numbers among a model's parameters; of a list of equal ones, their value and their count."""
    found = {}
    for name, value in flat(params).items():
        key = f"model.{name}"
        if isinstance(value, list) and value and len(set(map(str, value))) == 1 and _natural(value[0]):
            found[key] = Size(float(value[0]), (key,))
            found[f"{key}.layers"] = Size(float(len(value)), (key,))
        elif _natural(value):
            found[key] = Size(float(value), (key,))
    return found


def param_sizes(params: Mapping[str, Any], lr_key: str) -> dict[str, Size]:
    """Return the parameters of another program that are sizes by their names, except the learning rate."""
    found = {}
    for name, value in flat(params).items():
        number, last, key = number_of(value), name.rpartition(".")[2].lower(), f"params.{name}"
        named = any(re.search(words, last) for words in _WORDS.values()) and not re.search(_NO_SIZE, last)
        if number is not None and 0 < number < float("inf") and named and key != lr_key:
            found[key] = Size(number, (key,))
    return found


def _natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
