"""The state of the random generators that a training reads."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch


def _cuda() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]


def _set_cuda(wanted: list[torch.Tensor]) -> None:
    for index, state in enumerate(wanted):
        torch.cuda.set_rng_state(state, index)


GENERATORS: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
    (torch.get_rng_state, torch.set_rng_state),
    (_cuda, _set_cuda),
    (np.random.get_state, np.random.set_state),
    (random.getstate, random.setstate),
)
"""Functions that get and set the state of each: torch's, one per CUDA device, NumPy's and Python's."""


def keep_generators() -> Callable[[], None]:
    """Return a function that puts all generators back to their current state."""
    states = [get() for get, _ in GENERATORS]

    def put_back() -> None:
        for (_, put), state in zip(GENERATORS, states, strict=True):
            put(state)

    return put_back
