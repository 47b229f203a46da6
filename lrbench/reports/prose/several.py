"""Several families of learning rates and their names in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lrbench.analysis import AtBest, Comparison, Finalist, Question, Row, key_words
from lrbench.components import Measure
from lrbench.reports.prose.phrases import capital, qualified
from lrbench.reports.prose.standings import DOUBTFUL

_COUNTED = ("batch_size",)
"""Keys whose words have a plural. Names of parts have one, too; those of parameters may be anything."""


@dataclass(frozen=True)
class Families:
    """What there is to tell of several families."""

    question: Question
    comparison: Comparison
    best: AtBest
    measure: Measure

    @cached_property
    def finalists(self) -> dict[str, Finalist]:
        """The families at their best learning rates, by label."""
        return {one.label: one for one in self.best.finalists}

    @property
    def first(self) -> Finalist:
        """The best family."""
        return self.finalists[self.comparison.best.group.label]

    @property
    def chosen(self) -> list[Finalist]:
        """The families with a best learning rate."""
        return [one for one in self.best.finalists if one.chosen is not None]

    def values(self, one: Finalist) -> tuple[Any, ...]:
        """Return the values of the question's keys."""
        return self.question.value(one.family)

    def name(self, one: Finalist, start: bool = False) -> str:
        """Return a family's name; a length is named in its unit."""
        if self.question.kind == "lengths":
            return length(self.question.keys[0], self.values(one)[0])
        name = qualified(one.label)
        return self.begun(name) if start else name

    def begun(self, text: str) -> str:
        """Return a sentence with a capital if it begins with a key in words; names of parts stay as they are."""
        plain = any(text.startswith(f"{key_words(key)} ") for key in self.question.keys)
        return capital(text) if plain and not _is_params(self.question) else text

    def word(self, row: Row) -> str | None:
        """Return what a row's difference shows."""
        told = self.best.word(self.finalists[row.group.label])
        return DOUBTFUL if row.answer is not None and told != row.answer.word else told


def length(key: str, number: float) -> str:
    """`16 epochs`, `4,000 steps`."""
    unit = "epochs" if "epoch" in key else "steps"
    return f"{number:,} {unit if number != 1 else unit[:-1]}"


def key_named(question: Question) -> str:
    """Return the words for the only key that differs: `the batch size`; the parameter of another program as it is."""
    words = key_words(question.keys[0])
    return words if _is_params(question) else f"the {words}"


def kinds(question: Question) -> str:
    """Return what is compared, in the plural: `batch sizes`, `values of k`; `configurations` if several keys differ."""
    if question.kind in ("schedules", "lengths"):
        return question.kind
    if len(question.keys) != 1:
        return "configurations"
    key = question.keys[0]
    words = key_words(key)
    return f"{words}s" if key in _COUNTED or key.endswith(".name") else f"values of {words}"


def _is_params(question: Question) -> bool:
    """Whether keys are parameters of another program, whose names are no words."""
    return question.groups[0].foreign
