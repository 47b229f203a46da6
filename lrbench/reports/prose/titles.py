"""What is asked, as a title."""

from __future__ import annotations

from lrbench.analysis import Question, key_words
from lrbench.reports.prose.phrases import capital, counted, joined, number_word

_MOST_KEYS = 2


def title(question: Question) -> str:
    """Return the title of a section: `Learning rate by batch size`, `Five runs side by side`."""
    count = len(question.groups)
    if question.kind == "run":
        group = question.groups[0]
        seeds = len(group.records)
        return group.label if seeds == 1 else f"{group.label}, {counted(seeds, 'seed')}"
    if question.kind == "curves":
        return f"{capital(number_word(count))} runs side by side"
    if question.kind == "schedules":
        return "Schedules, each at its best learning rate"
    if question.kind == "lengths":
        return "Learning rate by length of training"
    if len(question.families) == 1:
        return f"Learning rate of {question.families[0].label}"
    if 0 < len(question.keys) <= _MOST_KEYS:
        return f"Learning rate by {joined([key_words(key) for key in question.keys])}"
    return f"{capital(counted(len(question.families), 'configuration'))}, each at its best learning rate"
