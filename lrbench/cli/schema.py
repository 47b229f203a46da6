"""The command `lrbench schema`, and the file that it writes beside configs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lrbench.cli.options import Debug, option
from lrbench.cli.terminal import Terminal, inline

SCHEMA_FILE = ".lrbench-schema.json"
"""Where docs and starter configs expect the schema: `# yaml-language-server: $schema=.lrbench-schema.json`."""


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
    if out is None:
        from lrbench.config import schema as made

        typer.echo(json.dumps(made(), ensure_ascii=False, indent=2))
        return
    from lrbench.runs import check_output

    check_output(out, "--out", (".json",))
    path = inline(str(save_schema(out)))
    console = Terminal()
    console.print(f"Wrote {path}. Your editor uses it if the first line of a config beside it is:", soft_wrap=True)
    console.print(f"# yaml-language-server: $schema={inline(out.name)}", soft_wrap=True)


def save_schema(path: str | Path = SCHEMA_FILE) -> Path:
    """Write the schema of configs to a file and return its path. Raises FolderError."""
    from lrbench.config import schema
    from lrbench.runs import write_file

    path = Path(path)
    write_file(path, json.dumps(schema(), ensure_ascii=False, separators=(",", ":")) + "\n")  # no one reads it
    return path
