"""What is wrong with a run's learning rates: the answer of an audit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Kind = Literal[
    "constant",
    "steps",
    "horizon",
    "warm-up",
    "minimum",
    "peak",
    "jump",
    "group",
    "zero",
    "other",
]
"""What kind of mistake it is.

`steps`: stepped too often or too seldom; `horizon`: the wrong length; `jump`: another course from a step on, as after a
resumption; `zero`: hardly any learning rate for a long part of the run; `other`: none of the known mistakes.
"""


@dataclass(frozen=True)
class Fault:
    """A mistake in the learning rates of a run.

    Attributes:
        kind: what kind of mistake it is.
        words: what happened, in a sentence without a stop.
        step: the first step, of those recorded, whose learning rate is wrong; updates count from 1.
        expected: the learning rate that was meant there; None if no schedule is known.
        found: the learning rate that ran there.
        group: the column of the parameter group; empty for the run's own learning rate.
    """

    kind: Kind
    words: str
    step: int
    expected: float | None
    found: float
    group: str = ""

    def __str__(self) -> str:
        """`from step 2 on: … (0.0009 instead of 0.001)`."""
        there = f"{self.found:.4g}"
        if self.expected is not None:
            digits = next((n for n in (4, 6, 8, 10) if f"{self.found:.{n}g}" != f"{self.expected:.{n}g}"), 16)
            there = f"{self.found:.{digits}g} instead of {self.expected:.{digits}g}"
        return f"from step {self.step:,} on: {self.words} ({there})"

    def plain(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)

    def more(self, text: str) -> Fault:
        """Return the fault with more words."""
        return replace(self, words=self.words + text) if text else self


@dataclass(frozen=True)
class Answer:
    """What a comparison found: mistakes, and what is worth knowing but no mistake."""

    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: Answer) -> Answer:
        return Answer(self.faults + other.faults, self.notes + other.notes)
