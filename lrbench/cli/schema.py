"""The command `lrbench schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lrbench.cli.options import Debug, option
from lrbench.cli.terminal import Terminal, inline


def schema(
    out: Annotated[
        Path | None,
        option("File to write, such as .lrbench-schema.json. Default: print the schema.", "--out", metavar="FILE"),
    ] = None,
    debug: Debug = False,
) -> None:
    """Print a JSON schema of configs. Editors use it to complete, explain and check them.

    [dim]lrbench schema --out .lrbench-schema.json[/]
    """
    from lrbench.schemas import save_schema
    from lrbench.schemas import schema as made

    if out is None:
        typer.echo(json.dumps(made(), ensure_ascii=False, indent=2))
        return
    path = inline(str(save_schema(out)))
    console = Terminal()
    console.print(f"Wrote {path}. Your editor uses it if the first line of a config beside it is:", soft_wrap=True)
    console.print(f"# yaml-language-server: $schema={inline(out.name)}", soft_wrap=True)
