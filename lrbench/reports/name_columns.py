"""The columns that name the rows of a table, and the name that all rows share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from lrbench.analysis import Group
from lrbench.reports.tables import EMPTY, Column, Table, table

MOST_KEYS = 4


def groups_table(groups: Sequence[Group]) -> Table[Group]:
    """Return the table of a terminal, of groups that are compared with nothing."""
    return by_keys(named(table(groups, short=True)))


def by_keys(whole: Table[Group]) -> Table[Group]:
    """Return a table whose rows are named by a column for each key in which groups differ: `batch size`, `schedule`.

    It is as it was if these do not name them: if they are too many, or groups differ in something else too.
    """
    keys = _columns(whole.rows)
    if not keys or all(column.name != "run" for column in whole.columns):
        return whole
    return replace(whole, columns=[*keys, *(column for column in whole.columns if column.name != "run")])


def _columns(groups: Sequence[Group]) -> list[Column[Group]]:
    fullest = sorted(groups, key=lambda group: -len(group.told))
    keys = list(dict.fromkeys(key for group in fullest for key in group.told))
    rows = {tuple(group.told.get(key, "") for key in keys) for group in groups}
    odd = any(group.part or not group.told for group in groups) or len({group.first.source for group in groups}) > 1
    if odd or len(rows) < len(groups) or not 0 < len(keys) <= MOST_KEYS:
        return []
    return [_column(key, groups) for key in keys]


def shared_name(groups: Sequence[Group]) -> str:
    """Return `Runs of bs` if all of several groups have that name, so that short names leave it out; else nothing."""
    names = {group.first.name for group in groups}
    return f"Runs of {names.pop()}" if len(names) == 1 < len(groups) else ""


def named(whole: Table[Group]) -> Table[Group]:
    """Return a table that says once what all of its rows are called."""
    shared = shared_name(whole.rows)
    return replace(whole, same=" ".join(filter(None, [shared and f"{shared}.", whole.same])))


def _column(key: str, groups: Sequence[Group]) -> Column[Group]:
    number = all(_is_number(group.told[key]) for group in groups if key in group.told)
    heading = "run" if key == "name" else key
    return Column(heading, partial(_text, key), lambda _: {}, right=number, name=heading, decides=True)


def _text(key: str, group: Group) -> str:
    return group.told.get(key) or EMPTY


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text == "none"
    return True
