"""The command `lrbench find-lr`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from lrbench.cli.options import Address, Debug, Device, Overrides, Runs, RunsPerGpu, Where, leave
from lrbench.errors import UsageError


def _option(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, **more)


Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.", show_default=False)]
Seeds = Annotated[int, _option("Curves, each from a fresh model.", min=1)]
Start = Annotated[float, _option("The first learning rate.")]
End = Annotated[float, _option("The last learning rate.")]
Iterations = Annotated[int, _option("Steps from the first to the last.")]
Shape = Annotated[str, _option("How the learning rate rises: exponential or linear.")]
Smoothing = Annotated[float, _option("β of the moving average of the loss; 0 for none.")]
StopFactor = Annotated[float, _option("Stop when the smoothed loss is this many times its best.")]
Validate = Annotated[bool, _option("Measure the loss on validation data after each step; slower.", "--validation")]
Write = Annotated[Path | None, _option("Write a config that extends this one with the result.", metavar="FILE")]
Schedule = Annotated[str | None, _option("The schedule of that config: one_cycle, triangular, …", show_default=False)]
Jobs = Annotated[int, _option("Seeds at once, in worker processes that share the cores.", min=1)]
Again = Annotated[bool, _option("Test again what is done already.", "--again")]


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
    validation: Validate = False,
    write: Write = None,
    schedule: Schedule = None,
    jobs: Jobs = 1,
    executor: Where = "local",
    address: Address = None,
    runs_per_gpu: RunsPerGpu = 1,
    again: Again = False,
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
