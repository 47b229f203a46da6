"""The command `lrbench find-lr`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lrbench.cli import options
from lrbench.cli.interrupts import leave
from lrbench.cli.options import option
from lrbench.cli.terminal import Terminal
from lrbench.cli.trust import Trust, ask_for_code
from lrbench.errors import UsageError, counted

if TYPE_CHECKING:
    from lrbench.cli.progress import Display
    from lrbench.config import Experiment
    from lrbench.lr_finder import Finding

_CONFIG = "YAML config file, or a config that comes with lrbench, such as digits/baseline."
Seeds = Annotated[
    int, option("Run the test with this many seeds, each with a fresh model.", min=1, max=options.MOST_SEEDS)
]
Config = Annotated[Path, typer.Argument(metavar="CONFIG", help=_CONFIG, show_default=False)]


def find_lr(
    config: Config,
    overrides: options.Overrides = None,
    seeds: Seeds = 3,
    start: Annotated[float, option("First learning rate.")] = 1e-7,
    end: Annotated[float, option("Last learning rate.")] = 10.0,
    iterations: Annotated[int, option("Steps from the first learning rate to the last.")] = 300,
    shape: Annotated[str, option("How the learning rate rises: exponential or linear.")] = "exponential",
    smoothing: Annotated[float, option("β of the moving average of the loss; 0 for no smoothing.")] = 0.98,
    stop_factor: Annotated[float, option("Stop when the smoothed loss exceeds its best value by this factor.")] = 4.0,
    validation: Annotated[
        bool, option("Measure the loss on validation data after each step, which is slower.", "--validation")
    ] = False,
    write: Annotated[Path | None, option("Write a config that extends CONFIG with the result.", metavar="FILE")] = None,
    schedule: Annotated[
        str | None, option("With --write: the schedule of the new config: one_cycle, triangular, …")
    ] = None,
    jobs: options.Jobs = 1,
    executor: options.Executor = "local",
    address: options.Address = None,
    runs_per_gpu: options.RunsPerGpu = 1,
    slurm: options.Slurm = None,
    again: options.Again = False,
    device: options.Device = None,
    trust: Trust = False,
    runs: options.Runs = Path("runs"),
    as_json: options.JsonLines = False,
    debug: options.Debug = False,
) -> None:
    """Find a learning rate with a range test: raise it step by step and watch where the loss falls and rises.

    [dim]lrbench find-lr digits/baseline --write found.yaml[/]
    """
    from lrbench.cli import tables
    from lrbench.cli.json_events import JsonEvents
    from lrbench.cli.progress import display
    from lrbench.lr_finder import check_schedule, check_target, write_found
    from lrbench.lr_finder import find_lr as find
    from lrbench.training import RunOptions, StopFlag

    if write is not None:
        check_target(write, config)
    experiment = _experiment(config, overrides or (), trust, as_json)
    if write is not None:
        check_schedule(experiment, write, schedule)
    elif schedule is not None:
        raise UsageError("--schedule sets the schedule of the config that --write creates; give both")
    how = RunOptions(jobs=jobs, executor=executor, address=address, runs_per_gpu=runs_per_gpu, slurm=slurm, again=again)
    console = Terminal(quiet=as_json)
    with JsonEvents(console) if as_json else display(console) as watch, StopFlag.ending(leave):
        found = find(
            experiment, runs=runs, seeds=seeds, device=device, options=how, watch=watch, start=start, end=end,
            iterations=iterations, shape=shape, smoothing=smoothing, stop_factor=stop_factor, validation=validation,
        )  # fmt: skip
    _show(console, watch, found)
    if write is not None:
        write_found(found, write, config, overrides or (), schedule)
        watch.tell("wrote", file=write)
        tables.show_files(console, [write])
    _conclude(console, found)


def _experiment(config: Path, overrides: Sequence[str], trust: bool, silent: bool) -> Experiment:
    """Read the config, whose code may run."""
    from lrbench.config import load_config, own

    ask_for_code([config], overrides, trust, silent=silent)
    return own(load_config(config, overrides), "use lrbench.RangeTest in its training loop")


def _show(console: Console, watch: Display, found: Finding) -> None:
    """Print the finding, and draw it into its folder."""
    from lrbench.cli import tables
    from lrbench.reports import save_finding

    save_finding(found)
    watch.tell("finding", folder=found.folder.path, **found.plain())
    tables.show_finding(console, found)
    tables.show_files(console, [found.folder.figure, Path("finder.csv"), Path("finder.json")])


def _conclude(console: Console, found: Finding) -> None:
    """Print the last line: the test, its seeds, and what it suggests."""
    from lrbench.cli import tables
    from lrbench.lr_finder import Refusal

    rate = "no suggestion" if isinstance(found.advice, Refusal) else f"learning rate {found.advice.initial:.2g}"
    seeds = counted(len(found.curves), "seed")
    tables.say(console, f"range test of {found.experiment.name}, {seeds}, {rate}", found.folder.path)
