"""The learning rates that a torch optimizer's steps really use, read in the step itself. Never imports torch."""

from __future__ import annotations

from typing import Any

from lrbench.errors import ArgumentError
from lrbench.integrations.values import by_group


class Rates:
    """Reads the learning rates of all parameter groups just before each step of one of the optimizers.

    A scheduler that moves on after the step, as all do, changes nothing in what was read.

    Args:
        optimizers: torch optimizers, or what wraps them.

    Attributes:
        last: the learning rates of the last step, by group; those set now before the first.

    Raises ArgumentError if one is no torch optimizer.
    """

    def __init__(self, *optimizers: Any) -> None:
        self._optimizers = [_inner(optimizer) for optimizer in optimizers]
        self.last = by_group(*self._optimizers)
        self._handles = [optimizer.register_step_pre_hook(self._read) for optimizer in self._optimizers]

    def _read(self, *_: Any) -> None:
        self.last = by_group(*self._optimizers)

    def close(self) -> None:
        """Stop reading."""
        for handle in self._handles:
            handle.remove()


def _inner(optimizer: Any) -> Any:
    while hasattr(getattr(optimizer, "optimizer", None), "param_groups"):  # a wrapper, such as accelerate's
        optimizer = optimizer.optimizer
    if not hasattr(optimizer, "register_step_pre_hook"):
        raise ArgumentError(f"a torch optimizer can be watched, not {type(optimizer).__name__}")
    return optimizer
