"""What answers are made of: sentences, the most important first, and what is true of runs of any kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lrbench.analysis import Group, Record
from lrbench.errors import counted
from lrbench.reports.prose.phrases import joined, number_word
from lrbench.runs import Status, tally

MOST = 3
"""Sentences in an answer."""
_DONE_TO = ("pruned", "dropped", "interrupted")
_NOW = ("running", "pending", "paused", "damaged")


@dataclass(frozen=True)
class Told:
    """An answer of at most three sentences, and what is left for notes."""

    answer: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, sentences: Iterable[str], notes: Iterable[str] = ()) -> Told:
        """Take the first three sentences, the most important first, as the answer; those left begin the notes."""
        said = [sentence for sentence in sentences if sentence]
        return cls(tuple(said[:MOST]), (*said[MOST:], *(note for note in notes if note)))


def records_of(groups: Sequence[Group]) -> list[Record]:
    """Return all runs of groups."""
    return [record for group in groups for record in group.records]


def so_far(groups: Sequence[Group]) -> str:
    """`So far, with 18 of 30 runs ended, `; empty if none is still to end."""
    records = records_of(groups)
    waiting = sum(not record.status.over for record in records)
    return f"So far, with {len(records) - waiting} of {counted(len(records), 'run')} ended, " if waiting else ""


def lost_runs(groups: Sequence[Group]) -> str:
    """`Of 30 runs, two diverged and one failed.`; empty if none did. Runs still to end are told elsewhere."""
    records = records_of(groups)
    counts = tally((r.status, r.result) for r in records if r.status.over and not r.status.complete)
    if not counts:
        return ""
    return f"Of {counted(len(records), 'run')}, {joined([states(words, count) for words, count in counts.items()])}."


def states(words: str, count: int) -> str:
    """`two diverged`, `one was pruned`, `three are damaged`."""
    one = count == 1
    was = ("was " if one else "were ") if words in _DONE_TO else ""
    is_or_was = ("is " if one else "are ") if words in _NOW else was
    return f"{number_word(count)} {is_or_was}{words}"


def open_text(groups: Sequence[Group]) -> str:
    """Say why runs give no answer: none has ended, or all diverged or failed."""
    records = records_of(groups)
    if not records:
        return "No runs yet."
    kinds = {record.status for record in records}
    if kinds == {Status.DIVERGED}:
        return "Every run diverged: try learning rates 10 times smaller, or lrbench find-lr."
    counts = tally((record.status, record.result) for record in records)
    listed = joined([states(words, count) for words, count in counts.items()])
    lost = all(status.lost for status in kinds)
    return f"No run finished: {listed}." if lost else f"No run has finished yet: {listed}."
