"""The command `lrbench transfer`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lrbench.cli.options import Debug, Filters, Json, Runs, RunsGiven, option
from lrbench.cli.terminal import Terminal, inline
from lrbench.errors import UsageError

if TYPE_CHECKING:
    from lrbench.transfers import Transfer


def transfer(
    runs_given: RunsGiven = None,
    predict: Annotated[
        list[str] | None,
        option("Predict for these sizes, such as width=512,epochs=300; repeatable.", metavar="SIZES"),
    ] = None,
    metric: Annotated[str | None, option("Metric that the best learning rate optimizes. Default: val_loss.")] = None,
    axes: Annotated[
        list[str] | None,
        option("A size that the law depends on; repeatable. Default: all that differ.", "--axis", metavar="SIZE"),
    ] = None,
    filters: Filters = None,
    write: Annotated[
        Path | None, option("Write the law for lr_scaling: {rule: measured, from: FILE}.", "--write", metavar="FILE")
    ] = None,
    name: Annotated[str | None, option("Name of the folder in runs/transfer. Default: the name of the runs.")] = None,
    as_json: Json = False,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Fit how the best learning rate changes with batch size, length, data or model size, and predict it.

    [dim]lrbench transfer --predict epochs=300 --write law.json[/]
    """
    from lrbench.config import fits_folder
    from lrbench.transfers import transfer as fitted

    if name is not None and not fits_folder(name):
        raise UsageError(f"--name must be a folder name (got {name!r:.60})")
    if write is not None and write.suffix != ".json":
        raise UsageError(f"--write must be a JSON file, such as law.json (got {write})")
    if as_json and name is not None:
        raise UsageError("--name is for the files of a transfer, and --json writes none; leave out one")
    asked: Any = [_sizes(text) for text in predict or ()]
    made = fitted(runs_given or [runs], predict=asked, metric=metric, filters=filters or (), axes=axes or ())
    written = None if write is None else made.write(write)
    if as_json:
        typer.echo(made.json())
        return
    _show(Terminal(), made, runs / "transfer" / (name or made.name), written)


def _sizes(text: str) -> dict[str, float]:
    """Parse `width=512,epochs=300`. Raises UsageError."""
    found: dict[str, float] = {}
    for piece in text.split(","):
        name, _, value = (part.strip() for part in piece.partition("="))
        try:
            number = float(value.encode("ascii"))
        except ValueError:
            number = -1.0
        if not name or name in found or not 0 < number < float("inf"):
            problem = "--predict must be sizes above 0, each once, such as width=512,epochs=300"
            raise UsageError(f"{problem} (got {text!r:.80})")
        found[name] = number
    return found


def _show(console: Terminal, made: Transfer, folder: Path, written: Path | None) -> None:
    """Print the optima, the law and warnings, and write the files."""
    from rich import box
    from rich.table import Table

    from lrbench.cli import tables
    from lrbench.reports import save_transfer, transfer_headings, transfer_rows

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for heading in transfer_headings(made):
        table.add_column(inline(heading), justify="right", overflow="fold")
    for row in transfer_rows(made):
        table.add_row(*map(inline, row))
    console.print(table)
    for line in made.text:
        console.print(inline(line), soft_wrap=True)
    for warning in made.warnings:
        console.print(f"[yellow]Warning:[/] {inline(warning)}", soft_wrap=True)
    tables.show_files(console, save_transfer(made, folder))
    if written is not None:
        console.print(
            f"Wrote the law to {inline(str(written))}: lr_scaling: {{rule: measured, from: …}} trains with it"
        )
