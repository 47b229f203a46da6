"""The command `lrbench list`."""

from __future__ import annotations

from typing import Annotated

import typer

from lrbench.cli.options import Debug
from lrbench.cli.terminal import Terminal


def list_(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND", help="datasets, models, optimizers, schedules, losses, tasks, metrics or configs."
        ),
    ] = None,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show this entry with its parameters.")] = None,
    debug: Debug = False,
) -> None:
    """List the parts that a config can name, with their parameters, defaults and formulas."""
    from lrbench.cli.catalogue import show

    show(Terminal(), kind, name)
