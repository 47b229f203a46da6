"""What training tells a progress display. Plain values, so that they cross process borders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Event:
    """Something happened to a run.

    Attributes:
        run: the run's folder name.
        kind: `plan` (how many runs there will be), `start`, `progress` (some updates), `epoch` (one is done and
            evaluated), `pause` (it waits for others), `end` or `message`.
        step: updates done, of `total_steps`.
        epoch: epochs done, of `epochs`.
        lr: the rate of the last update.
        examples_per_second: since the last evaluation, training alone.
        values: what its `metrics` are (`start`), their values so far (`progress`) or of the epoch (`epoch`), the result
            (`end`), `text` (`message`), `runs` (`plan`).
    """

    run: str
    kind: Literal["plan", "start", "progress", "epoch", "pause", "end", "message"]
    step: int = 0
    total_steps: int = 0
    epoch: int = 0
    epochs: int = 0
    lr: float = 0.0
    examples_per_second: float | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


Watch = Callable[[Event], None]


def silent(event: Event) -> None:
    """A watch that looks away."""


def message(text: str) -> Event:
    """A message for whoever watches."""
    return Event("", "message", values={"text": text})
