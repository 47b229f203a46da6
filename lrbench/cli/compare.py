"""The command `lrbench compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lrbench.cli import options
from lrbench.cli.options import option
from lrbench.cli.terminal import Terminal, inline


def compare(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="The label or name of a group of runs, a filter that matches one group, or a folder.",
            show_default=False,
        ),
    ],
    b: Annotated[
        str | None, typer.Argument(metavar="[B]", help="What to compare with; not needed with --target.")
    ] = None,
    runs: Annotated[
        list[Path] | None,
        option("Folder that holds the runs; repeatable. Default: runs.", "--runs", metavar="DIR"),
    ] = None,
    metric: Annotated[
        str | None, option("Metric to compare by: val_loss (the default), val_accuracy, test_loss, …")
    ] = None,
    filters: options.Filters = None,
    target: Annotated[
        str | None, option("Test A against a value instead, such as val_loss=3.28.", metavar="METRIC=X")
    ] = None,
    p: Annotated[float | None, option("With --target: the significance level. Default: 0.01.", "--p")] = None,
    tries: Annotated[
        int, option("The number of groups from which A was chosen as the best, to correct for.", min=1)
    ] = 1,
    pool_code: options.PoolCode = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Decide whether A is better than B. Exit code: 0 better, 1 worse, 3 tie, 4 undecided, 2 a mistake.

    [dim]lrbench compare cosine baseline[/]

    [dim]lrbench compare 'lr=0.3' 'lr=0.1' --tries 12 --json[/]

    [dim]lrbench compare baseline --target val_loss=0.1[/]: 0 passes, 1 fails, 4 undecided
    """
    from lrbench.reports import compare as decide

    decision = decide(
        a, b, runs=runs or ("runs",), metric=metric, filters=filters or (), target=target, p=p, tries=tries,
        pool_code=pool_code,
    )  # fmt: skip
    if as_json:
        typer.echo(decision.json())
    else:
        console = Terminal()
        console.print(inline(decision.text), soft_wrap=True)
        for caveat in decision.warnings:
            console.print(f"[yellow]Warning:[/] {inline(caveat.text)}", soft_wrap=True)
    raise typer.Exit(decision.exit_code)
