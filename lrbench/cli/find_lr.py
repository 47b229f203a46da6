"""The command `lrbench find-lr`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from lrbench.cli.options import (
    Address,
    Again,
    Debug,
    Device,
    Executor,
    Jobs,
    Overrides,
    Runs,
    RunsPerGpu,
    leave,
    option,
)
from lrbench.errors import UsageError

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML config file.", show_default=False)]
Seeds = Annotated[int, option("Run the test with this many seeds, each with a fresh model.", min=1)]
Start = Annotated[float, option("First learning rate.")]
End = Annotated[float, option("Last learning rate.")]
Iterations = Annotated[int, option("Steps from the first learning rate to the last.")]
Shape = Annotated[str, option("How the learning rate rises: exponential or linear.")]
Smoothing = Annotated[float, option("β of the moving average of the loss; 0 for no smoothing.")]
StopFactor = Annotated[float, option("Stop when the smoothed loss exceeds its best value by this factor.")]
Validation = Annotated[bool, option("Measure the loss on validation data after each step; slower.", "--validation")]
Write = Annotated[Path | None, option("Write a config that extends CONFIG with the result.", metavar="FILE")]
Schedule = Annotated[str | None, option("Schedule of the config that --write creates: one_cycle, triangular, …")]


def find_lr(
    config: Config,
    overrides: Overrides = None,
    seeds: Seeds = 3,
    start: Start = 1e-7,
    end: End = 10.0,
    iterations: Iterations = 300,
    shape: Shape = "exponential",
    smoothing: Smoothing = 0.98,
    stop_factor: StopFactor = 4.0,
    validation: Validation = False,
    write: Write = None,
    schedule: Schedule = None,
    jobs: Jobs = 1,
    executor: Executor = "local",
    address: Address = None,
    runs_per_gpu: RunsPerGpu = 1,
    again: Again = False,
    device: Device = None,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Find a learning rate with a range test: raise it step by step and watch where the loss falls and rises.

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
        raise UsageError("--schedule sets the schedule of the config that --write creates; give both")
    options = RunOptions(jobs=jobs, executor=executor, address=address, runs_per_gpu=runs_per_gpu, again=again)
    console = Console()
    with display(console) as watch, StopFlag.ending(leave):
        found = find(
            experiment, runs=runs, seeds=seeds, device=device, options=options, watch=watch, start=start, end=end,
            iterations=iterations, shape=shape, smoothing=smoothing, stop_factor=stop_factor, validation=validation,
        )  # fmt: skip
    save_finding(found)
    tables.show_finding(console, found)
    wrote = f"Wrote [bold]{escape(str(found.folder.figure))}[/], finder.csv, finder.json"
    console.print(wrote, highlight=False, soft_wrap=True)
    if write is not None:
        write_found(found, write, config, overrides or (), schedule)
        console.print(f"Wrote [bold]{escape(str(write))}[/]", highlight=False, soft_wrap=True)
