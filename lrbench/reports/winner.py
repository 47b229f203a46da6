"""The winner of a comparison: its code, its config, and which others may be as good."""

from __future__ import annotations

from dataclasses import dataclass

from lrbench.analysis import Comparison, Row
from lrbench.config import dump_yaml
from lrbench.reports import sentences
from lrbench.reports.code import code
from lrbench.reports.shown import Shown


@dataclass(frozen=True)
class Winner:
    """The best group: its result, PyTorch code for the user's own training loop, and a config for `lrbench run`."""

    heading: str
    words: str
    code: str
    config: str


def winner(shown: Shown) -> Winner | None:
    """Describe the best group; None without a comparison, or if its config is not valid."""
    comparison = shown.comparison
    if comparison is None:
        return None
    row, group = comparison.best, comparison.best.group
    lines = code(group.first.plain, group.first.environment)
    if not lines:
        return None
    return Winner(f"The code of {group.label}", _words(row, comparison), lines, dump_yaml(group.first.plain))


def _words(row: Row, comparison: Comparison) -> str:
    found = f"Its {comparison.measure.words} is {sentences.centre_text(row, comparison.measure)}."
    if len(comparison.rows) == 1:
        return found
    if row.n == 1:
        return f"{found} With one seed, its first place may be chance."
    equals = [
        one for one in comparison.rows
        if one is not row and one.n and one.ranks and one.ranks[0] == 1
        and not (one.answer and comparison.against is row and one.answer.word == "probably worse")
    ]  # fmt: skip
    if not equals:
        return found
    names = sentences.named(equals, comparison.measure)
    return f"{found} As far as these seeds can tell, these may be as good: {names}; choose the simplest."
