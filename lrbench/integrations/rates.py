"""The learning rates that a torch optimizer's steps really use, read in the step itself. Never imports torch."""

from __future__ import annotations

from typing import Any

from lrbench.errors import ArgumentError
from lrbench.integrations.values import rates


class Rates:
    """Reads the learning rates of all parameter groups just before each step of an optimizer.

    A scheduler that moves on after the step, as all do, changes nothing in what was read.

    Args:
        optimizer: a torch optimizer, or one that wraps it.

    Attributes:
        last: the learning rates of the last step, by column; those set now before the first.
        steps: the steps taken since.

    Raises ArgumentError if it is no torch optimizer.
    """

    def __init__(self, optimizer: Any) -> None:
        while not hasattr(optimizer, "register_step_pre_hook") and hasattr(optimizer, "optimizer"):
            optimizer = optimizer.optimizer
        if not hasattr(optimizer, "register_step_pre_hook"):
            raise ArgumentError(f"a torch optimizer can be watched, not {type(optimizer).__name__}")
        self.last, self.steps = rates(optimizer), 0
        self._handle = optimizer.register_step_pre_hook(self._read)

    def _read(self, optimizer: Any, arguments: Any, named: Any) -> None:
        self.last, self.steps = rates(optimizer), self.steps + 1

    def close(self) -> None:
        """Stop reading."""
        self._handle.remove()
