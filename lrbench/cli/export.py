"""The command `lrbench export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lrbench.cli.options import Debug, Runs, RunsGiven, option
from lrbench.cli.terminal import Terminal, inline
from lrbench.errors import UsageError, counted


def export(
    runs_given: RunsGiven = None,
    *,
    into: Annotated[
        str, typer.Argument(metavar="DIR", help="Folder to write to, or with --to mlflow a server's address.")
    ],
    to: Annotated[
        str, option("tensorboard, mlflow, wandb, trackio, csv or parquet, or 'package.module:Tool'.", metavar="TOOL")
    ],
    filters: Annotated[
        list[str] | None, option("Export only runs that match, as for report; repeatable.", "--filter", metavar="TEXT")
    ] = None,
    options: Annotated[
        list[str] | None,
        option("Set an option of the tool, such as project=mine; repeatable.", "--set", metavar="KEY=VALUE"),
    ] = None,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Export runs to a tracking tool or into tables. Runs already exported are skipped.

    [dim]lrbench export --to tensorboard logs[/]
    """
    from lrbench.config import overriding
    from lrbench.integrations import export as carry_out

    console = Terminal()
    given = overriding(options or ())
    if "name" in given:
        raise UsageError(f"--set name={given['name']}: --to {to} names the tool; leave out one")
    done = carry_out(runs_given or [runs], to={"name": to, **given}, into=into, filters=filters or ())
    for name, why in done.left_out.items():
        console.print(f"[yellow]left out:[/] {inline(name)}: {inline(why)}", soft_wrap=True)
    counts = {"exported": done.added, "updated": done.updated, "there already": done.unchanged}
    said = [f"{counted(len(names), 'run')} {words}" for words, names in counts.items() if names]
    console.print(inline(f"{done.tool.title} in {done.into}: {', '.join(said) or 'nothing to export'}"))
    if done.hint:
        console.print(inline(done.hint), style="dim", soft_wrap=True)
    if done.unreadable and not any(counts.values()):
        raise typer.Exit(1)
