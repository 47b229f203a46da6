"""The command `lrbench check-width`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from lrbench.cli import options
from lrbench.cli.options import option
from lrbench.cli.terminal import Terminal, inline
from lrbench.cli.trust import Trust, ask_for_code
from lrbench.errors import UsageError


def check_width(
    configs: options.Configs,
    widths: Annotated[str, option("The widths to compare: 64,128,256.", metavar="LIST")],
    overrides: options.Overrides = None,
    key: Annotated[str | None, option("Config key of the width, for models that lrbench does not know.")] = None,
    both: Annotated[bool, option("Check in the standard parametrization and in mup.", "--both")] = False,
    steps: Annotated[int, option("Number of steps to train, at the config's peak learning rate.", min=1)] = 3,
    seeds: Annotated[int, option("Number of seeds, at least 2.", min=1, max=options.MOST_SEEDS)] = 5,
    out: Annotated[
        Path | None,
        option(
            "Figure to write, .png; .svg and .csv are written beside it. Default: in the runs folder.", metavar="FILE"
        ),
    ] = None,
    device: options.Device = None,
    trust: Trust = False,
    runs: options.Runs = Path("runs"),
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Check whether the sizes of layers' outputs depend on the width after a few steps, as they must not in μP.

    [dim]lrbench check-width language/baseline --widths 32,64,128 --both[/]
    """
    import json

    from lrbench.cli import tables
    from lrbench.config import load_config, own
    from lrbench.reports import save_coordinates
    from lrbench.runs import check_output, nearest
    from lrbench.transfers import both as in_both
    from lrbench.transfers import coordinate_check

    chosen = _numbers(widths)
    if out is None:
        nearest(runs)
    for path in [] if out is None else [out, out.with_suffix(".svg"), out.with_suffix(".csv")]:
        check_output(path, "--out", (".png",) if path == out else ())
    ask_for_code(configs, overrides, trust, silent=as_json)
    console = Terminal(stderr=as_json)
    experiments = [own(load_config(path, overrides or ()), "its layers can't be measured") for path in configs]
    if both:
        experiments = [one for given in experiments for one in in_both(given, chosen)]
    checks = [
        coordinate_check(one, chosen, steps=steps, seeds=seeds, key=key, device=device,
                         watch=lambda event: console.print(inline(str(event.values["text"])), style="dim"))
        for one in experiments
    ]  # fmt: skip
    files = save_coordinates(checks, (out or runs / "check-width.png").with_suffix(""))
    if as_json:
        plain = {"checks": [check.plain() for check in checks], "files": [str(path) for path in files]}
        typer.echo(json.dumps(plain, indent=2, allow_nan=False))
    for check in checks:
        tables.show_coordinates(console, check)
    tables.show_files(console, files)


def _numbers(text: str) -> list[int]:
    """Parse `64,128,256`. Raises UsageError."""
    pieces = [piece.strip() for piece in text.split(",")]
    if not all(re.fullmatch(r"-?[0-9]{1,9}", piece) for piece in pieces):
        problem = "--widths must be whole numbers with commas between, such as 64,128,256"
        raise UsageError(f"{problem} (got {text!r:.60})")
    return [int(piece) for piece in pieces]
