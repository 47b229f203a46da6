"""The table of all groups: the best rows as HTML, every row as data, from which the page makes the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lrbench.analysis import Group
from lrbench.components import Measure
from lrbench.reports import tables
from lrbench.reports.charted import problem, subtitle
from lrbench.reports.page.chart_data import id_of

MOST_ROWS = 30
"""Rows that are there without a script."""


def row_data(table: tables.Table[Group], main: Measure) -> dict[str, dict[str, Any]]:
    """Return each group's row by id: its `label`, a text and a value to sort by for each column, and its panel."""
    return {id_of(group): _row(group, table.columns, main) for group in table.rows}


def _row(group: Group, columns: Sequence[tables.Column[Group]], main: Measure) -> dict[str, Any]:
    drawn = any(len(record.epochs) for record in group.records)
    return {
        "label": group.label,
        "cells": [[column.text(group), _sorted_by(column, group)] for column in columns],
        "words": subtitle(group, main),
        "problem": "" if drawn else problem(group),
    }


def _sorted_by(column: tables.Column[Group], group: Group) -> float | str | None:
    """Return what to sort a column by, if its cell has a value."""
    value = next(iter(column.numbers(group).values()), None)
    if value is None or isinstance(value, str):
        return value
    return float(value) if math.isfinite(value) else None


def explained(groups: Sequence[Group]) -> str:
    """Return how the table is to be read."""
    own, foreign = not all(group.foreign for group in groups), any(group.foreign for group in groups)
    said = (
        "The best first: sorted by the share of seeds that diverged or failed, then by the compared metric. Several "
        "seeds are shown as mean (lowest … highest) of those that reached their end: the geometric mean of losses and "
        "other ratios, the mean of percentages; training time as median."
    )
    if not own:
        rule = "is best by the metric that its config names, or else by the validation loss"
        return f"{said} “Best” is the evaluation that {rule}."
    tested = f"Test data was used once, at the end of each run{' by lrbench' * foreign}."
    other = "; of another program, the evaluation that is best by the metric that its config names" * foreign
    return f"{said} {tested} “Best” is the epoch with the lowest validation loss{other}."
