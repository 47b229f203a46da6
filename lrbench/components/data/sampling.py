"""Samplers: in which order, and how often, an epoch sees the training examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lrbench.components.data.batches import Split
from lrbench.errors import ConfigError, UserCodeError, counted
from lrbench.types import load_object

KEY = "dataset.sampler"


def sampler_of(name: str, train: Split) -> Callable[[int], Tensor]:
    """Return what draws an epoch's examples from a seed.

    Args:
        name: `balanced` draws every class equally often, with replacement, as many examples as there are. An import
            string names a function of the training targets (n,) that returns n weights, by which examples are drawn
            with replacement, or a sampler: an iterable of indices, iterated in every epoch.
        train: the training data.

    Raises:
        ConfigError: the data has no known targets, or the function returned something else.
        UserCodeError: the function raised.
    """
    labels = train.labels()
    if not train.shuffles:
        raise ConfigError("can't sample data that sets its own order", key=KEY)
    if labels is None:
        raise ConfigError("needs all training targets: give the Dataset an attribute `targets`", key=KEY)
    if name == "balanced":
        if labels.dim() != 1 or labels.is_floating_point():
            raise ConfigError("balanced needs one class for each example", key=KEY)
        return partial(_weighted, 1.0 / labels.bincount().clamp_min(1)[labels].double())
    if ":" not in name:
        raise ConfigError(f"must be balanced or an import string such as 'mine:weights' (got {name!r:.60})", key=KEY)
    function, needed = load_object(name, KEY), counted(len(labels), "weight")
    try:
        made = function(labels.clone())
    except Exception as error:
        raise UserCodeError.of(f"sampler '{name}'", error) from error
    if not isinstance(made, Tensor) and not hasattr(made, "__array__") and not isinstance(made, list | tuple):
        if not isinstance(made, Iterable):
            problem = f"'{name}' returned a {type(made).__name__}; it must return {needed} or a sampler"
            raise ConfigError(problem, key=KEY)
        return partial(_iterated, name, made, len(labels))
    weights = torch.as_tensor(made).double().flatten()
    if len(weights) != len(labels) or not bool((weights >= 0).all()) or not 0 < float(weights.sum()) < float("inf"):
        problem = f"'{name}' must return {needed} of at least 0, not all of them 0 (got {len(weights)})"
        raise ConfigError(problem, key=KEY)
    return partial(_weighted, weights)


def _weighted(weights: Tensor, seed: int) -> Tensor:
    return torch.multinomial(weights, len(weights), replacement=True, generator=torch.Generator().manual_seed(seed))


def _iterated(name: str, sampler: Any, examples: int, seed: int) -> Tensor:
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            order = torch.tensor(list(sampler), dtype=torch.int64)
    except Exception as error:
        raise UserCodeError.of(f"sampler '{name}'", error) from error
    if len(order) != examples or int(order.min()) < 0 or int(order.max()) >= examples:
        problem = f"sampler '{name}' gave {len(order)} indices; an epoch needs {examples} from 0 to {examples - 1}"
        raise UserCodeError(problem)
    return order
