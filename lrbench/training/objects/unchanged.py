"""Objects are as they were after the call, however it ends."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from lrbench.errors import ConfigError, reason_of


def copied(value: Any, key: str) -> Any:
    """Return a copy to work on. Raises ConfigError if it can't be made."""
    try:
        return copy.deepcopy(value)
    except Exception as error:
        problem = f"a {type(value).__name__} can't be copied, so training would change it: {reason_of(error)}"
        raise ConfigError(f"{problem}; give a function that makes one", key=key) from error


@contextlib.contextmanager
def unchanged(data: Any) -> Iterator[None]:
    """Put back generators and workers of data loaders, and whether the device computes deterministically."""
    values = data.values() if isinstance(data, Mapping) else data if isinstance(data, tuple | list) else [data]
    loaders = [value for value in values if isinstance(value, DataLoader)]
    iterators = [loader._iterator for loader in loaders]  # those of persistent workers, which the user may be using
    found = list(_generators(values))
    states = [copy.deepcopy(get()) for get, _ in found]
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    try:
        for loader in loaders:
            loader._iterator = None
        yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
        for (_, put), state in zip(found, states, strict=True):
            put(state)
        for loader, iterator in zip(loaders, iterators, strict=True):
            loader._iterator = iterator


def _generators(values: Iterable[Any]) -> Iterator[Any]:
    """Yield functions that get and set the state of each generator in loaders, their samplers and data sets."""
    inner = ("sampler", "batch_sampler", "dataset")
    for value in values:
        for owner in (value, *(getattr(value, name, None) for name in inner)):
            for one in vars(owner).values() if hasattr(owner, "__dict__") else ():
                if isinstance(one, torch.Generator | np.random.RandomState):
                    yield one.get_state, one.set_state
                elif isinstance(one, random.Random):
                    yield one.getstate, one.setstate
                elif isinstance(one, np.random.Generator):
                    yield _state_of(one)


def _state_of(generator: np.random.Generator) -> Any:
    bits = generator.bit_generator
    return (lambda: bits.state), (lambda state: setattr(bits, "state", state))
