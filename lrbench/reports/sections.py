"""The sections of a report: a question for each task, with its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lrbench.analysis import Comparison, Question


@dataclass(frozen=True)
class Section:
    """A question and its answer.

    Attributes:
        question: what the runs of one task were made to answer.
        comparison: what decides: families at their own best learning rates, or groups side by side; None if there is
            nothing to compare.
        title: the question in a few words, such as `Learning rate by batch size`.
        answer: at most three short sentences.
    """

    question: Question
    comparison: Comparison | None
    title: str
    answer: Sequence[str]
