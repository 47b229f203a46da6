"""Selectors: one group of runs by its label, its name or a filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lrbench.analysis.filters import fits, kept, spelled
from lrbench.analysis.groups import Group
from lrbench.errors import UsageError
from lrbench.runs import Status

MOST_LISTED = 12


def select(groups: Sequence[Group], text: str) -> Group:
    """Return the one group that a selector means; its runs are those that match.

    A group's label comes first, full or short, then its name, then what `--filter` takes. Fresh seeds that confirm a
    choice, and damaged runs, are meant only if nothing else is.

    Raises:
        UsageError: nothing matches, or several groups do; the message lists them.
    """
    usable = [group for group in groups if not all(r.status is Status.DAMAGED for r in group.records)]
    for found in (
        [group for group in groups if group.label == text],
        called(usable, text),
        [part for group in usable if (part := _matching(group, text)) is not None],
    ):
        if found:
            return only([group for group in found if not group.first.confirms] or found, text)
    records = [record for group in usable for record in group.records]
    kept(records, [text], labels_of(usable), named=False)
    raise AssertionError("`kept` matches what `fits` does")


def called(groups: Sequence[Group], text: str) -> list[Group]:
    """Return the groups that a text names: as their label or short name, as their name, or by its keys and values."""
    stages: tuple[Callable[[Group], bool], ...] = (
        lambda group: group.label == text,
        lambda group: group.short == text,
        lambda group: group.first.name == text,
        lambda group: spelled(group.first.plain, text),
    )
    found = ([group for group in groups if fitting(group)] for fitting in stages)
    return next(filter(None, found), [])


def labels_of(groups: Sequence[Group]) -> dict[Path, tuple[str, str]]:
    """Return what filters may call each run by, besides its name: its group's label and short name, by its folder."""
    return {record.folder.path: (group.label, group.short) for group in groups for record in group.records}


def only(groups: Sequence[Group], text: str) -> Group:
    """Return the only group. Raises UsageError if there are several, and lists them."""
    if len(groups) == 1:
        return groups[0]
    labels = [group.label for group in groups]
    shown = ", ".join(labels[:MOST_LISTED]) + (f" and {len(labels) - MOST_LISTED} more" * (len(labels) > MOST_LISTED))
    raise UsageError(f"{text}: {len(labels)} groups of runs match; choose one by its label: {shown}")


def _matching(group: Group, text: str) -> Group | None:
    """Return the group with its matching runs only; None without any."""
    chosen = tuple(r for r in group.records if fits(r.plain, (r.name, r.folder.name, group.label, group.short), text))
    return replace(group, records=chosen) if chosen else None
