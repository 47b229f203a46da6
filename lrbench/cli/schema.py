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
        Path | None, option("Write it to this file, such as .lrbench-schema.json.", "--out", metavar="FILE")
    ] = None,
    debug: Debug = False,
) -> None:
    """Print a JSON schema of configs, with which editors complete, explain and check them.

    [dim]lrbench schema --out .lrbench-schema.json[/]
    """
    from lrbench.cli.save_schema import save_schema
    from lrbench.config import schema as made

    if out is None:
        typer.echo(json.dumps(made(), ensure_ascii=False, indent=2))
        return
    path = inline(str(save_schema(out)))
    console = Terminal()
    console.print(f"Wrote {path}. In the first line of a config beside it, your editor looks for:", soft_wrap=True)
    console.print(f"# yaml-language-server: $schema={inline(out.name)}", soft_wrap=True)
