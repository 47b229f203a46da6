"""The command `lrbench init`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from lrbench.cli.options import Debug, option
from lrbench.cli.terminal import Terminal, inline
from lrbench.errors import UsageError


def init(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="Which configs to write. Default: list the kinds.")
    ] = None,
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder to write to; created if missing.", show_default="this folder"),
    ] = Path(),
    force: Annotated[bool, option("Overwrite files that exist.", "--force")] = False,
    debug: Debug = False,
) -> None:
    """Write commented configs to start from, with a Python file where one is needed.

    [dim]lrbench init own-model experiments[/]
    """
    from lrbench.cli.starters import STARTERS, write_starter

    console = Terminal()
    if kind is None:
        if force:
            raise UsageError(f"--force needs a KIND, whose files it overwrites; kinds: {', '.join(sorted(STARTERS))}")
        _list(console)
        return
    written = write_starter(kind, folder, force)
    starter = STARTERS[kind]
    console.print(f"Wrote {inline(', '.join(map(str, written)))}", soft_wrap=True)
    if missing := starter.missing():
        console.print(f"[yellow]They need:[/] pip install {' '.join(missing)}", soft_wrap=True)
    console.print("Next:")
    enter = [] if folder == Path() else [f"cd {'-- ' * str(folder).startswith('-')}{shlex.quote(str(folder))}"]
    for command in (*enter, *starter.next):
        console.print(f"  {inline(command)}", soft_wrap=True)


def _list(console: Terminal) -> None:
    from lrbench.cli.starters import STARTERS

    width = max(map(len, STARTERS))
    for name, starter in STARTERS.items():
        console.print(f"[bold cyan]{name:{width}}[/]  {starter.summary}", soft_wrap=True)
    console.print("`lrbench init KIND [FOLDER]` writes the files of one of these.", style="dim", markup=False)
