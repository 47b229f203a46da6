"""The command `lrbench report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lrbench.cli.options import Baseline, Debug, Filters, Metric, PoolCode, Runs, RunsGiven, option
from lrbench.cli.terminal import Terminal, inline
from lrbench.errors import FolderError, UsageError, counted

if TYPE_CHECKING:
    from lrbench.reports import Report, Shown


def report(
    runs_given: RunsGiven = None,
    out: Annotated[
        Path | None, option("Folder to write to. Default: report/ in the runs folder.", metavar="DIR")
    ] = None,
    metric: Metric = None,
    baseline: Baseline = None,
    filters: Filters = None,
    target: Annotated[
        str | None, option("Show the time to reach a target, such as val_accuracy=0.99.", metavar="METRIC=X")
    ] = None,
    form: Annotated[
        str | None,
        option("Print the table as csv, json, markdown or latex; write no files.", "--format", metavar="FORM"),
    ] = None,
    columns: Annotated[
        str | None,
        option("The table's columns, by name as in report.csv or by heading: run,val_loss,difference; or all."),
    ] = None,
    rows: Annotated[
        str | None, option("Show this many rows, or all. Default: 30 in the terminal, all with --format.", metavar="N")
    ] = None,
    pool_code: PoolCode = False,
    standalone: Annotated[
        bool, option("Make winner.py a complete script in plain PyTorch, without lrbench.", "--standalone")
    ] = False,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Compare runs in a figure, a table and an HTML page; also written as PNG, SVG, Markdown and CSV."""
    from lrbench.analysis import no_collections
    from lrbench.cli.columns import MOST_ROWS, parse_rows, split_columns
    from lrbench.reports import formatted_table, gather

    if form is not None and (out is not None or standalone):
        wrong = "--standalone" if out is None else "--out"
        raise UsageError(
            f"{wrong} is for the files of a report, and --format {form} only prints the table; leave out one"
        )
    paths, kept, most = runs_given or [runs], filters or (), parse_rows(rows, None if form is not None else MOST_ROWS)
    wanted = [] if columns is None else split_columns(columns)
    asked: Any = {"metric": metric, "baseline": baseline, "filters": kept, "target": target, "columns": wanted}
    if form is not None:
        shown = gather(paths, **asked, pool_code=pool_code)
        _check_readable(shown)
        if not shown.records:
            where = ", ".join(map(str, paths))
            raise UsageError(f"--format {form} prints the table of runs, and there are only range tests in {where}")
        typer.echo(formatted_table(shown.best(most), form), nl=False)
        return
    with no_collections():  # until the runs are out of memory again
        _write_and_show(paths, out, most, **asked, pool_code=pool_code, standalone=standalone)


def _write_and_show(paths: Sequence[Path], out: Path | None, most: int | None, **asked: Any) -> None:
    from lrbench.reports import report as write_report

    made = write_report(paths, out, **asked)
    _check_readable(made.shown)
    _show(made, most)


def _show(made: Report, most: int | None) -> None:
    """Print what was written: the table, what is damaged, the answer in sentences, and the files."""
    from lrbench.cli import tables
    from lrbench.reports import summary
    from lrbench.runs import Status

    console = Terminal()
    tables.show_shown(console, made.shown, most, f"--rows all, or {made.page.parent.name}/report.csv")
    for record in made.damaged:
        told = record.status is Status.DAMAGED and record.folder.name in record.problem
        named = record.problem if told else f"{record.folder.name}: {record.problem}"
        heading = "left out" if record.status is Status.COPY else record.status.value
        console.print(f"[red]{heading}:[/] {inline(named)}", soft_wrap=True)
    for sentence in summary(made.shown):
        console.print(inline(sentence))
    for test in made.tests:
        for line in test.words()[:1]:
            console.print(inline(f"Range test of {test.name}: {line}"), soft_wrap=True)
    if made.incomplete:
        console.print(inline(made.incomplete), soft_wrap=True)
    tables.show_files(console, made.files)


def _check_readable(shown: Shown) -> None:
    """Raise FolderError if there are only damaged runs."""
    from lrbench.runs import Status

    damaged = [record for record in shown.records if record.status is Status.DAMAGED]
    if shown.tests or not damaged or len(damaged) < len(shown.records):
        return
    if len(damaged) == 1:
        raise FolderError(f"the only run can't be read: {damaged[0].problem}")
    raise FolderError(f"none of {counted(len(damaged), 'run')} can be read; the first: {damaged[0].problem}")
