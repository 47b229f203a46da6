"""What answers are made of: sentences, the most important first, and what is true of runs of any kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lrbench.analysis import Group, Record
from lrbench.reports.prose.phrases import joined, number_word
from lrbench.runs import Status

MOST = 3
"""Sentences in an answer."""


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
    return f"So far, with {len(records) - waiting} of {len(records):,} runs ended, " if waiting else ""


def lost_runs(groups: Sequence[Group]) -> str:
    """`Of 30 runs, two diverged and one failed.`; empty if none did. Runs still to end are told elsewhere."""
    records = records_of(groups)
    odd = [record.status for record in records if record.status.over and record.status is not Status.FINISHED]
    counts = Counter(status for status in odd if status not in (Status.STOPPED_EARLY, Status.COPY))
    if not counts:
        return ""
    return f"Of {len(records):,} runs, {joined([states(status, n) for status, n in counts.items()])}."


def states(status: Status, count: int) -> str:
    """`two diverged`, `one was pruned`, `three are damaged`."""
    one = count == 1
    verb = {Status.PRUNED: "was " if one else "were ", Status.INTERRUPTED: "was " if one else "were "}
    now = (Status.RUNNING, Status.PENDING, Status.PAUSED, Status.DAMAGED)
    is_or_was = ("is " if one else "are ") if status in now else verb.get(status, "")
    return f"{number_word(count)} {is_or_was}{status.words}"


def open_text(groups: Sequence[Group]) -> str:
    """Say why runs give no answer: none has ended, or all diverged or failed."""
    kinds = Counter(record.status for record in records_of(groups))
    if not kinds:
        return "No runs yet."
    if set(kinds) == {Status.DIVERGED}:
        return "Every run diverged: try learning rates 10 times smaller, or lrbench find-lr."
    if set(kinds) <= {Status.DIVERGED, Status.FAILED}:
        return f"No run finished: {joined([states(status, n) for status, n in kinds.items()])}."
    listed = joined([states(status, n) for status, n in kinds.items()])
    return f"No run has finished yet: {listed}."
