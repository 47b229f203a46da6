"""The command `lrbench list`: parse, call, print."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from lrbench.cli.options import Debug


def list_(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="[KIND]", help="datasets, models, optimizers, schedules or losses."),
    ] = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One entry, with its parameters.")] = None,
    debug: Debug = False,
) -> None:
    """The catalogue: what a config may name, with parameters, defaults and formula."""
    from lrbench.cli.catalogue import show

    show(Console(), kind, name)
