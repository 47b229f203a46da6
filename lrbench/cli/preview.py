"""The command `lrbench preview`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from lrbench.cli.options import Debug, Overrides, Runs
from lrbench.errors import UsageError


def preview(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG", help="YAML files.", show_default=False)],
    overrides: Overrides = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option(help="Updates in an epoch, for data of your own.", min=1, show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The figure, .png or .svg; by default preview.png in the runs folder.", metavar="FILE"),
    ] = None,
    code: Annotated[
        bool,
        typer.Option(
            "--code", help="Print the lines for a training loop of your own, and nothing else, to standard output."
        ),
    ] = False,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Draw the learning rate that would be used, without training; several configs in one figure.

    [dim]lrbench preview configs/cosine.yaml configs/one_cycle.yaml[/]
    """
    from lrbench.cli import tables
    from lrbench.reports import preview as preview_of
    from lrbench.reports import save_previews

    console = Console(stderr=code)  # so that `--code > loop.py` gives a file that runs
    if out is not None and (out.suffix not in (".png", ".svg") or out.is_dir()):
        raise UsageError(f"--out {out}: must name a file that ends in .png or .svg")
    made = preview_of(configs, overrides=overrides or (), steps_per_epoch=steps_per_epoch)
    path = out or runs / "preview.png"
    save_previews(made, path)
    tables.show_previews(console, made)
    for one in made if code else ():
        typer.echo(one.code() if len(made) == 1 else f"# {one.label}\n\n{one.code()}\n")
    console.print(f"Drew [bold]{escape(str(path))}[/]", highlight=False, soft_wrap=True)
