"""Selectors: one group of runs by its label, its name or a filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lrbench.analysis.filters import fits, kept
from lrbench.analysis.groups import Group
from lrbench.errors import UsageError
from lrbench.runs import Status

MOST_LISTED = 12


def select(groups: Sequence[Group], text: str) -> Group:
    """Return the one group that a selector means; its runs are those that match.

    A group's label comes first, then its name, then what `--filter` takes. Fresh seeds that confirm a choice, and
    damaged runs, are meant only if nothing else is.

    Raises:
        UsageError: nothing matches, or several groups do; the message lists them.
    """
    usable = [group for group in groups if not all(r.status is Status.DAMAGED for r in group.records)]
    for found in (
        [group for group in groups if group.label == text],
        [group for group in usable if group.first.name == text],
        [part for group in usable if (part := _matching(group, text)) is not None],
    ):
        if found:
            return only([group for group in found if not group.first.confirms] or found, text)
    records = [record for group in usable for record in group.records]
    kept(records, [text], {r.folder.path: group.label for group in usable for r in group.records}, option="")
    raise AssertionError("`kept` matches what `fits` does")


def only(groups: Sequence[Group], text: str) -> Group:
    """Return the only group. Raises UsageError if there are several, and lists them."""
    if len(groups) == 1:
        return groups[0]
    labels = [group.label for group in groups]
    shown = ", ".join(labels[:MOST_LISTED]) + (f" and {len(labels) - MOST_LISTED} more" * (len(labels) > MOST_LISTED))
    raise UsageError(f"{text}: {len(labels)} groups of runs match; choose one by its label: {shown}")


def _matching(group: Group, text: str) -> Group | None:
    """Return the group with its matching runs only; None without any."""
    chosen = tuple(r for r in group.records if fits(r.plain, (r.name, r.folder.name, group.label), text))
    return replace(group, records=chosen) if chosen else None
