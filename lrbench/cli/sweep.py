"""The command `lrbench sweep`: parse, call, print."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from lrbench.cli.options import Address, Debug, Device, Overrides, Runs, RunsPerGpu, Where, leave
from lrbench.errors import FolderError, UsageError

if TYPE_CHECKING:
    from lrbench.sweeps import Sweep


def _option(text: str, *names: str, least: int | None = None) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(*names, help=text, show_default=False, min=least)
    return option


Configs = Annotated[
    list[Path] | None,
    typer.Argument(metavar="CONFIG", help="YAML files, with a sweep: block or without.", show_default=False),
]
Lr = Annotated[str | None, _option("Rates: 1e-5:1:11 (from:to:points, log scale), 1e-3,1e-2 or auto.")]
Seeds = Annotated[int | None, _option("Train each cell with that many seeds.", least=1)]
Schedules = Annotated[str | None, _option("Schedules by name: cosine,one_cycle.")]
Jobs = Annotated[int | None, _option("Runs at once; by default one for each core, or GPU.", least=1)]
DryRun = Annotated[bool, _option("List the runs, budget and time; train none.", "--dry-run")]
Status = Annotated[bool, _option("Show where the sweeps in the runs folder stand.", "--status")]
Confirm = Annotated[int, _option("Then train the winner with that many fresh seeds.", least=0)]
Retries = Annotated[int, _option("Try a failed run again so often.", least=0)]
FailFast = Annotated[bool, _option("Begin no more runs once one has failed.", "--fail-fast")]
MaxFailures = Annotated[int | None, _option("Begin no more runs once so many have failed.", least=1)]
PruneAfter = Annotated[
    float | None, _option("End runs whose loss is at chance after that part of their budget: 0.25.", "--prune")
]
Halve = Annotated[
    bool, _option("At 1/4 and 1/2 of the budget, drop the worse half of each schedule's learning rates.", "--halve")
]
Epsilon = Annotated[float, typer.Option(help="Losses so much above the best, as a part of it, are near it.", min=0)]
Name = Annotated[str | None, _option("Of the sweep's folder; by default the config's.")]
Yes = Annotated[bool, _option("Do more than a thousand runs without being asked.", "--yes")]
Again = Annotated[bool, _option("Train anew what is done already.", "--again")]


def sweep(
    configs: Configs = None,
    lr: Lr = None,
    seeds: Seeds = None,
    schedule: Schedules = None,
    overrides: Overrides = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    status: Status = False,
    confirm: Confirm = 0,
    retries: Retries = 0,
    fail_fast: FailFast = False,
    max_failures: MaxFailures = None,
    prune: PruneAfter = None,
    halve: Halve = False,
    epsilon: Epsilon = 0.1,
    executor: Where = "local",
    address: Address = None,
    runs_per_gpu: RunsPerGpu = 1,
    name: Name = None,
    yes: Yes = False,
    again: Again = False,
    device: Device = None,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Train a grid of rates, schedules, seeds or any key; what is done already is not done again.

    [dim]lrbench sweep configs/digits/baseline.yaml --lr 1e-5:1:11 --schedule constant,cosine --seeds 3[/]
    """
    from lrbench.cli import sweep_table
    from lrbench.sweeps import carry_out, plan_sweep
    from lrbench.training import Prune, RunOptions, StopFlag

    console = Console()
    if not math.isfinite(epsilon):
        raise UsageError(f"--epsilon must be a finite number (got {epsilon:g})")
    if status:
        _show_status(console, runs, name)
        return
    options = RunOptions(
        jobs=jobs, executor=executor, address=address, runs_per_gpu=runs_per_gpu, again=again, retries=retries,
        max_failures=1 if fail_fast else max_failures, prune=Prune.asked(prune, halve),
    )  # fmt: skip
    with sweep_table.display(console) as watch, StopFlag.ending(leave):
        asked = plan_sweep(
            _some(configs), runs=runs, overrides=overrides or (), lr=lr, seeds=seeds, schedules=_names(schedule),
            name=name, device=device, options=options, many=yes or dry_run, train=not dry_run, watch=watch,
        )  # fmt: skip
        if not dry_run:
            carry_out(asked, options, confirm=confirm, watch=watch)
    if dry_run:
        sweep_table.show_plan(console, asked, asked.expected_seconds(jobs))
        return
    _conclude(console, asked, epsilon)


def _some(configs: list[Path] | None) -> list[Path]:
    if not configs:
        raise UsageError("a sweep needs at least one CONFIG, or --status")
    return configs


def _names(schedule: str | None) -> list[str]:
    """The names in `cosine,one_cycle`."""
    if schedule is None:
        return []
    names = [name.strip() for name in schedule.split(",")]
    if not all(names):
        raise UsageError(f"--schedule must be names with commas between: cosine,one_cycle (got {schedule!r:.60})")
    return names


def _show_status(console: Console, runs: Path, name: str | None) -> None:
    from lrbench.cli import sweep_table
    from lrbench.sweeps import SweepFolder, find_sweeps

    folders = [SweepFolder.of(runs, name)] if name is not None else find_sweeps(runs)
    if not folders:
        raise UsageError(f"there is no sweep in {runs / 'sweeps'}")
    for folder in folders:
        sweep_table.show_status(console, folder)


def _conclude(console: Console, done: Sweep, epsilon: float) -> None:
    """The summary, on the screen and in files; ends the command with the exit code that its outcomes ask for."""
    from lrbench.cli.sweep_table import show_outcome
    from lrbench.reports import save_summary
    from lrbench.training import stopped

    summary = done.summary(epsilon)
    show_outcome(console, done, summary)
    try:
        files = save_summary(summary, done.folder)
        beside = "".join(f", {path.name}" for path in files[1:])
        console.print(f"Wrote [bold]{escape(str(files[0]))}[/]{beside}", highlight=False, soft_wrap=True)
    except FolderError as error:
        if any(outcome.result is not None and not outcome.found for outcome in done.outcomes):
            raise
        console.print(f"[yellow]The summary is shown only:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    failed = any(outcome.undone for outcome in done.outcomes)
    left = [outcome for outcome in done.outcomes if outcome.to_do]
    interrupted = stopped(done.outcomes)
    if interrupted is not None and not (failed and all(outcome.signal is None for outcome in left)):
        raise interrupted
    if left:
        console.print(f"{len(left)} runs were not begun; the same command goes on with them.", highlight=False)
    if failed or left:
        raise typer.Exit(1)
