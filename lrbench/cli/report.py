"""The command `lrbench report`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from lrbench.cli.options import Baseline, Debug, Filters, Form, Metric, Runs, Target


def report(
    runs_given: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUNS", help="Runs, or folders of runs; the --runs folder by default."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write; by default, report/ inside the runs folder.", metavar="DIR"),
    ] = None,
    metric: Metric = "val_loss",
    baseline: Baseline = None,
    filters: Filters = None,
    target: Target = None,
    form: Form = None,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Set runs side by side: one figure, one table, one HTML page; also PNG, SVG, Markdown and CSV."""
    from lrbench.cli import tables
    from lrbench.reports import formatted_table, gather, summary
    from lrbench.reports import report as write_report

    console = Console()
    paths, kept = runs_given or [runs], filters or ()
    if form is not None:
        shown = gather(paths, metric=metric, baseline=baseline, filters=kept, target=target)
        typer.echo(formatted_table(shown, form), nl=False)
        return
    made = write_report(paths, out, metric=metric, baseline=baseline, filters=kept, target=target)
    tables.show_groups(console, made.groups, made.comparison)
    for record in made.damaged:
        named = record.problem if record.folder.name in record.problem else f"{record.folder.name}: {record.problem}"
        console.print(f"[red]{record.status.value}:[/] {escape(named)}", highlight=False, soft_wrap=True)
    for sentence in summary(made.shown):
        console.print(sentence, markup=False, highlight=False)
    for test in made.tests:
        for line in test.words()[:1]:
            console.print(f"Range test of {test.name}: {line}", markup=False, highlight=False, soft_wrap=True)
    beside = ", ".join(p.name for p in made.files[1:])
    wrote = f"Wrote [bold]{escape(str(made.page))}[/] and, beside it, {beside}"
    console.print(wrote, highlight=False, soft_wrap=True)
