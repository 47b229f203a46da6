"""Options of the commands, and how a command ends at once."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

AT_ONCE = "stopped at once; what the last checkpoint holds is kept, and the same command goes on from it"
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a key, as optimizer.lr=0.01; may be repeated.", metavar="KEY=VALUE"),
]
Runs = Annotated[Path, typer.Option("--runs", help="The folder that holds the runs.", metavar="DIR")]
Device = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps; instead of the config's.", show_default=False)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show lrbench's own traceback when something fails.")]

Metric = Annotated[
    str, typer.Option(help="What runs are compared by: val_loss, val_accuracy, best_val_loss, test_loss, …")
]
Baseline = Annotated[
    str | None,
    typer.Option(help="Compare with these runs; by default, with the best.", metavar="NAME", show_default=False),
]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        help="Runs to keep: a pattern of names, or key=value of configs (!=, >=, <, … too). All given must fit.",
        metavar="TEXT",
        show_default=False,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(help="Show the time to a target: val_accuracy=0.99.", metavar="METRIC=X", show_default=False),
]
Form = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Print the table as csv, json, markdown or latex, and write nothing.",
        metavar="FORM",
        show_default=False,
    ),
]

Where = Annotated[str, typer.Option("--executor", help="Where runs are done: local or ray.")]
Address = Annotated[
    str | None,
    typer.Option(help="Of a Ray cluster; without it, one is started on this machine.", show_default=False),
]
RunsPerGpu = Annotated[int, typer.Option(help="With Ray: runs that share a GPU.", show_default=False, min=1)]


def leave(number: int) -> None:
    """End the process now, and its workers: an exception could be caught by whatever code is running."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    shown = "\x1b[?25h" if sys.stderr.isatty() else ""  # the cursor that the progress display has hidden
    os.write(2, f"{shown}\n{AT_ONCE}\n".encode())
    os._exit(128 + number)
