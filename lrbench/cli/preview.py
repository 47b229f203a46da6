"""The command `lrbench preview`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from lrbench.cli.options import Configs, Debug, Overrides, Runs, option
from lrbench.cli.terminal import Terminal
from lrbench.cli.trust import Trust, ask_for_code
from lrbench.errors import UsageError


def preview(
    configs: Configs,
    overrides: Overrides = None,
    steps_per_epoch: Annotated[int | None, option("Steps per epoch; saves loading your own data.", min=1)] = None,
    out: Annotated[
        Path | None, option("Figure to write, .png or .svg. Default: preview.png in the runs folder.", metavar="FILE")
    ] = None,
    code: Annotated[bool, option("Print only the code for your own training loop to stdout.", "--code")] = False,
    standalone: Annotated[
        bool, option("With --code: a complete script in plain PyTorch that trains as the run would.", "--standalone")
    ] = False,
    trust: Trust = False,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Plot the learning rates that configs would use, without training.

    [dim]lrbench preview digits/cosine digits/one_cycle[/]
    """
    from lrbench.cli import tables
    from lrbench.reports import preview as preview_of
    from lrbench.reports import save_previews
    from lrbench.runs import check_output

    console = Terminal(stderr=code)  # so that `--code > loop.py` writes only code
    path = out or runs / "preview.png"
    check_output(path, "--runs" if out is None else "--out", (".png", ".svg"))
    if standalone and not code:
        raise UsageError("--standalone needs --code, which it makes complete")
    ask_for_code(configs, overrides, trust)
    with contextlib.redirect_stdout(sys.stderr) if code else contextlib.nullcontext():  # what the user's code prints
        made = preview_of(configs, overrides=overrides or (), steps_per_epoch=steps_per_epoch)
        texts = [one.code(standalone=standalone) for one in made if code]
    save_previews(made, path)
    tables.show_previews(console, made)
    for one, text in zip(made, texts, strict=False):
        typer.echo(text if len(made) == 1 else f"# {one.label}\n\n{text}\n")
    tables.show_files(console, [path])
