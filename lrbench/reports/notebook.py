"""Results in a notebook: a table, sentences and the figure as one piece of HTML, and the figure alone."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.figure import Figure

from lrbench.analysis import Group, at_best, grouped, rate_text, read_one
from lrbench.errors import UsageError
from lrbench.lr_finder import Finding
from lrbench.reports import tables
from lrbench.reports.escape import html
from lrbench.reports.family_table import families_table
from lrbench.reports.figures import coordinates, overview, range_test, schedule
from lrbench.reports.figures import transfer as transfer_figure
from lrbench.reports.figures.style import COLOURS
from lrbench.reports.previewing import Preview, Previews
from lrbench.reports.range_tests import Tested
from lrbench.reports.reporting import Report, summary
from lrbench.reports.svg import inline
from lrbench.reports.sweep import drawn_summary, summary_words
from lrbench.reports.transfer import transfer_headings, transfer_rows
from lrbench.runs import RunFolder, relative
from lrbench.sweeps import Sweep
from lrbench.training import Outcomes
from lrbench.transfers import CoordinateCheck, Transfer

_COLOURS = (
    "--ink:#1d2330;--soft:#565e6e;--axis:#80889a;--card:#ffffff;--line:#e2e5ea;--band:#dde8f0;--bad:#a02020;"
    f"--others:#c4c4c4;{';'.join(f'--c{index}:{colour}' for index, colour in enumerate(COLOURS))}"
)
_STYLE = f"{_COLOURS};background:#ffffff;color:#1d2330;fill:#1d2330;padding:.5em;max-width:60em;overflow-x:auto"


@dataclass(frozen=True)
class Told:
    """A result as text: a table with its headings, and sentences."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[str] = ()

    @property
    def html(self) -> str:
        """The table, and the sentences below it."""
        head = "".join(f"<th>{html(text)}</th>" for text in self.headings)
        body = "".join(f"<tr>{''.join(f'<td>{html(text)}</td>' for text in row)}</tr>" for row in self.rows)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if self.rows else ""
        return table + "".join(f"<p>{html(text)}</p>" for text in self.words)

    @property
    def text(self) -> str:
        """The same for a terminal: the first column is aligned to the left, the others to the right."""
        lines = [self.headings, *self.rows] if self.rows else []
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
        return "\n".join(line.rstrip() for line in (*table, *self.words))


MOST_INLINE = 3_000_000
"""Bytes of a page that a notebook shows inside; each display of a larger one would make the notebook as large."""
MOST_ROWS = 30
"""Rows of a table in a notebook."""
_FRAME = "width:100%;height:720px;border:1px solid #c4c4c4;border-radius:4px;background:#ffffff;resize:vertical"


def html_of(result: Any) -> str:
    """Return a result as HTML for a notebook: its table, its sentences, and its figure as SVG. Text is escaped.

    A report is its page in a frame, unless that is too large.
    """
    if isinstance(result, Report) and (page := _page_of(result)):
        return page
    told = told_of(result).html
    name = f"n{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    try:
        figure: str = inline(figure_of(result), name, f"The figure of this {type(result).__name__.lower()}")
    except UsageError:  # there is nothing to draw yet
        figure = ""
    return f'<div style="{_STYLE}">{told}{figure}</div>'


def _page_of(report: Report) -> str:
    """Return a report's page in a frame that can't reach the notebook; empty if the file is large or gone."""
    try:
        if report.page.stat().st_size > MOST_INLINE:
            return ""
        text = report.page.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    # In a frame without an address of its own, links within the page would lead to the notebook's address.
    text = text.replace("<head>", '<head><base href="about:srcdoc">', 1)
    where = html(str(relative(report.page)))
    frame = f'<iframe srcdoc="{html(text)}" sandbox="allow-scripts allow-downloads" style="{_FRAME}" title="{where}">'
    return f"{frame}</iframe><p>The page: {where}</p>"


def text_of(result: Any) -> str:
    """Return a result as text: its table and its sentences."""
    return told_of(result).text


@functools.singledispatch
def figure_of(result: Any) -> Figure:
    """Draw what `find_lr`, `run`, `sweep`, `transfer`, `report`, `preview` or `coordinate_check` returned.

    Raises UsageError if there is nothing to draw, TypeError for any other object.
    """
    raise TypeError(f"a {type(result).__name__} has no figure")


@functools.singledispatch
def told_of(result: Any) -> Told:
    """Tell a result in a table and sentences."""
    raise TypeError(f"a {type(result).__name__} has no table")


def _drawn(groups: Sequence[Group], always: Group | None = None) -> Figure:
    if not groups:
        raise UsageError("there are no runs to draw")
    return overview.draw(groups, always)


def _table(table: tables.Table[tables.T], words: Sequence[str], what: str = "groups", whole: int = 0) -> Told:
    """Tell the first rows of a table, what is the same in all, and how many more there are."""
    same = [table.same] if table.same else []
    more = max(len(table.rows), whole) - len(table.rows[:MOST_ROWS])
    same += [f"{more:,} more {what} are not shown."] if more else []
    shown = replace(table, rows=table.rows[:MOST_ROWS])
    return Told([column.heading for column in table.columns], shown.cells, [*same, *words])


def _groups(outcomes: Outcomes) -> list[Group]:
    done = [outcome for outcome in outcomes if outcome.path.exists()]
    return grouped([read_one(RunFolder(outcome.path)).called(outcome.experiment.name) for outcome in done])


@figure_of.register
def _(result: Outcomes) -> Figure:
    return _drawn(_groups(result))


@told_of.register
def _(result: Outcomes) -> Told:
    said = [f"{one.path.name}: {text}" for one in result for text in (one.message, *one.warnings) if text]
    found = sum(one.found for one in result)
    known = [f"{found} of {len(result)} finished before this call; again=True repeats."] if found else []
    groups = _groups(result)
    return _table(tables.table(groups) if groups else tables.Table([], []), [*known, *said])


@figure_of.register
def _(result: Report) -> Figure:
    if result.groups:
        return overview.draw(result.groups, result.against)
    figures = (test.figure() for test in result.tests)
    return next((figure for figure in figures if figure is not None), None) or _drawn(())


@told_of.register
def _(result: Report) -> Told:
    shown = result.best(MOST_ROWS)
    words = [*summary(result), f"The page: {relative(result.page)}"]
    return _table(shown.table, words, whole=len(result.groups))


@figure_of.register
def _(result: CoordinateCheck) -> Figure:
    return coordinates.draw([result])


@told_of.register
def _(result: CoordinateCheck) -> Told:
    rows = [[s.layer, f"{s.centre:.2f}", f"{s.low:.2f} … {s.high:.2f}", s.word] for s in result.slopes()]
    return Told(["layer", "exponent of the width", "95% interval", ""], rows, [result.words])


@figure_of.register
def _(result: Sweep) -> Figure:
    figure = drawn_summary(result.summary())
    if figure is None:
        raise UsageError("no learning rate has a result yet")
    return figure


@told_of.register
def _(result: Sweep) -> Told:
    found = result.summary()
    table = families_table(at_best(found.families, found.measure, found.confirmation))
    return _table(table, summary_words(found), "families")


@figure_of.register
def _(result: Finding) -> Figure:
    return range_test.draw(result)


@told_of.register
def _(result: Finding) -> Told:
    found = result.suggestions.items()
    rows = [[name, *map(_rate, (one.median, one.lowest, one.highest))] for name, one in found]
    each = result.ramp.repeat
    return Told(
        ["method", "learning rate", f"lowest {each}", f"highest {each}"], rows, Tested(result.folder, result).words()
    )


def _rate(lr: float | None) -> str:
    return "–" if lr is None else rate_text(lr)


@figure_of.register
def _(result: Transfer) -> Figure:
    return transfer_figure.draw(result)


@told_of.register
def _(result: Transfer) -> Told:
    return Told(transfer_headings(result), transfer_rows(result), [*result.text, *result.warnings])


@figure_of.register
def _(result: Previews) -> Figure:
    if not result:
        raise UsageError("there are no configs to draw")
    return schedule.draw(result)


@told_of.register
def _(result: Previews) -> Told:
    rows = [
        [one.label, str(len(one.rates)), *map(_rate, (one.rates[0], one.peak, one.mean, one.rates[-1]))]
        for one in result
    ]
    words = [f"{one.label}: {text}" for one in result for text in one.warnings()]
    return Told(["config", "steps", "first", "peak", "mean", "last"], rows, words)


@figure_of.register
def _(result: Preview) -> Figure:
    return figure_of(Previews([result]))


@told_of.register
def _(result: Preview) -> Told:
    return told_of(Previews([result]))
