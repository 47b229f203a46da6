"""The command `lrbench doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from lrbench.cli.options import Debug, Json, Runs, option
from lrbench.cli.terminal import Terminal, inline
from lrbench.errors import counted

_TITLES = {"cpu": "CPU", "omp_num_threads": "OMP_NUM_THREADS"}
_SIZES = ("memory", "shared_memory", "free")


def doctor(
    quick: Annotated[
        bool, option("Skip what takes time: importing the extras and measuring the speed.", "--quick")
    ] = False,
    runs: Runs = Path("runs"),
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check this machine: versions, devices, folders, speed, and what will not work or slows training down.

    [dim]lrbench doctor --quick --json[/]
    """
    from lrbench.training import check_machine

    found = check_machine(runs, quick=quick)
    if as_json:
        from lrbench.runs import to_json

        typer.echo(to_json(found.plain()), nl=False)
    else:
        console = Terminal()
        for title, facts in found.facts.items():
            _show(console, title, facts)
        for problem in found.problems:
            mark = "[red]Will not work:[/]" if problem.stops else "[yellow]Problem:[/]"
            console.print(f"{mark} {inline(problem.text)}", soft_wrap=True)
        said = counted(len(found.problems), "problem") if found.problems else "No problems"
        console.print(f"{said}; training {'works' if found.works else 'will not work'} here.", soft_wrap=True)
    if not found.works:
        raise typer.Exit(1)


def _show(console: Console, title: str, facts: dict[str, Any]) -> None:
    """Print a section's facts, a line each."""
    console.print(f"[bold]{_TITLES.get(title, title.capitalize())}[/]")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(f"  {inline(_TITLES.get(name, name.replace('_', ' ')))}", inline(_words(name, value)))
    if not facts:
        grid.add_row("  none", "")
    console.print(grid)


def _words(name: str, value: object) -> str:
    from lrbench.training import in_bytes

    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == []:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return in_bytes(value) if name in _SIZES and isinstance(value, int) else str(value)
