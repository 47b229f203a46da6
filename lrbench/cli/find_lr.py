"""The command `lrbench find-lr`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from lrbench.cli.options import Address, Debug, Device, Overrides, Runs, RunsPerGpu, Where, leave
from lrbench.errors import UsageError


def find_lr(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.", show_default=False)],
    overrides: Overrides = None,
    seeds: Annotated[int, typer.Option(help="Curves, each from a fresh model.", min=1)] = 3,
    start: Annotated[float, typer.Option(help="The first rate.")] = 1e-7,
    end: Annotated[float, typer.Option(help="The last rate.")] = 10.0,
    iterations: Annotated[int, typer.Option(help="Updates from the one to the other.")] = 300,
    shape: Annotated[str, typer.Option(help="How the rate rises: exponential or linear.")] = "exponential",
    smoothing: Annotated[float, typer.Option(help="β of the moving average; 0 for none.")] = 0.98,
    stop_factor: Annotated[float, typer.Option(help="Stop at so many times the best smoothed loss.")] = 4.0,
    validation: Annotated[
        bool, typer.Option("--validation", help="Measure validation data after each update, not the batch; slower.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(help="Write a config that extends this one with the rate found.", metavar="FILE"),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="The schedule of that config: one_cycle, triangular, …", show_default=False)
    ] = None,
    jobs: Annotated[int, typer.Option(help="Seeds at once, in worker processes that share the cores.", min=1)] = 1,
    executor: Where = "local",
    address: Address = None,
    runs_per_gpu: RunsPerGpu = 1,
    again: Annotated[bool, typer.Option("--again", help="Test again what is done already.")] = False,
    device: Device = None,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Find a learning rate by a range test: train on a rising rate, see where the loss falls and where it rises.

    [dim]lrbench find-lr configs/digits/baseline.yaml --write configs/found.yaml[/]
    """
    from lrbench.cli import tables
    from lrbench.cli.progress import display
    from lrbench.config import load_config
    from lrbench.lr_finder import check_schedule, check_target, write_found
    from lrbench.lr_finder import find_lr as find
    from lrbench.reports import save_finding
    from lrbench.training import RunOptions, StopFlag

    if write is not None:
        check_target(write, config)
    experiment = load_config(config, overrides or ())
    if write is not None:
        check_schedule(experiment, write, schedule)
    elif schedule is not None:
        raise UsageError("--schedule says what --write is to write; give both")
    options = RunOptions(jobs=jobs, executor=executor, address=address, runs_per_gpu=runs_per_gpu, again=again)
    console = Console()
    with display(console) as watch, StopFlag.ending(leave):
        found = find(
            experiment, runs=runs, seeds=seeds, device=device, options=options, watch=watch, start=start, end=end,
            iterations=iterations, shape=shape, smoothing=smoothing, stop_factor=stop_factor, validation=validation,
        )  # fmt: skip
    save_finding(found)
    tables.show_finding(console, found)
    drawn = f"Drew [bold]{escape(str(found.folder.figure))}[/]; beside it, finder.csv and finder.json"
    console.print(drawn, highlight=False, soft_wrap=True)
    if write is not None:
        write_found(found, write, config, overrides or (), schedule)
        console.print(f"Wrote [bold]{escape(str(write))}[/]", highlight=False, soft_wrap=True)
