"""Progress events of training, as plain values that can be sent between processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Event:
    """Something happened to a run.

    Attributes:
        run: the run's folder name.
        kind: `plan` (the number of runs), `start`, `progress` (some steps done), `epoch` (evaluated), `pause` (waits
            at a rung), `end` or `message`.
        step: steps done, of `total_steps`.
        epoch: epochs done, of `epochs`.
        lr: the learning rate of the last step.
        examples_per_second: training speed since the last evaluation, without the time spent on evaluations.
        values: the task's `metrics` (`start`), their values so far (`progress`) or at the evaluation (`epoch`), the
            `result` and the run's `folder` (`end`), `text` (`message`), `runs` (`plan`).
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
    """Ignore an event."""


def message(text: str, run: str = "") -> Event:
    """Return a message event."""
    return Event(run, "message", values={"text": text})
