"""The command `lrbench sweep`: parse, call, print."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from lrbench.errors import Interrupted, Terminated, UsageError
from lrbench.options import Debug, Device, Overrides, Runs, leave

if TYPE_CHECKING:
    from lrbench.sweeping import Sweep


def sweep(
    configs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="CONFIG", help="YAML files, with a sweep: block or without.", show_default=False),
    ] = None,
    lr: Annotated[
        str | None,
        typer.Option(help="Rates: 1e-5:1:11 (from:to:points, log scale), 1e-3,1e-2 or auto.", show_default=False),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Train each cell with that many seeds.", min=1)] = None,
    schedule: Annotated[
        str | None, typer.Option(help="Schedules by name: cosine,one_cycle.", show_default=False)
    ] = None,
    overrides: Overrides = None,
    jobs: Annotated[
        int | None, typer.Option(help="Runs at once; by default one for each core, or GPU.", min=1, show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs, budget and time; train none.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show where the sweeps in the runs folder stand.")] = False,
    confirm: Annotated[
        int, typer.Option(help="Then train the winner with that many fresh seeds.", min=0, show_default=False)
    ] = 0,
    retries: Annotated[int, typer.Option(help="Try a failed run again so often.", min=0)] = 0,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Begin no more runs once one has failed.")] = False,
    max_failures: Annotated[
        int | None, typer.Option(help="Begin no more runs once so many have failed.", min=1, show_default=False)
    ] = None,
    prune: Annotated[
        float | None,
        typer.Option(
            help="End runs whose loss is at chance after that part of their budget: 0.25.", show_default=False
        ),
    ] = None,
    epsilon: Annotated[float, typer.Option(help="Rates this near the best loss count as within reach.", min=0)] = 0.1,
    executor: Annotated[str, typer.Option(help="Where runs are done: local or ray.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster; without it, one is begun on this machine.", show_default=False)
    ] = None,
    runs_per_gpu: Annotated[int, typer.Option(help="With Ray: so many runs share a GPU.", min=1)] = 1,
    name: Annotated[
        str | None, typer.Option(help="Of the sweep's folder; by default the config's.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do more than a thousand runs without being asked.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Train anew what is done already.")] = False,
    device: Device = None,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Train a grid of rates, schedules, seeds or any key; what is done already is not done again.

    [dim]lrbench sweep configs/digits/baseline.yaml --lr 1e-5:1:11 --schedule constant,cosine --seeds 3[/]
    """
    from lrbench import sweeping, sweeptable
    from lrbench.executors import picked
    from lrbench.pruning import Prune
    from lrbench.reporting import sweeps
    from lrbench.runner import Policy
    from lrbench.work import StopFlag

    console = Console()
    if status:
        _show_status(console, runs, name)
        return
    if not configs:
        raise UsageError("a sweep needs at least one CONFIG, or --status")
    rule = None if prune is None else Prune(after=prune)
    make = picked(executor, jobs=jobs, address=address, runs_per_gpu=runs_per_gpu, prune=rule, root=runs)
    policy = Policy(again=again, retries=retries, max_failures=1 if fail_fast else max_failures)
    schedules = [] if schedule is None else [one.strip() for one in schedule.split(",")]
    with sweeptable.display(console) as watch, StopFlag.ending(leave):
        asked = sweeping.ask(
            configs, runs=runs, overrides=overrides or (), lr=lr, seeds=seeds, schedules=schedules, name=name,
            device=device, again=again, prune=rule, many=yes or dry_run, watch=watch,
        )  # fmt: skip
        if not dry_run:
            done = sweeping.carry_out(
                asked, jobs=jobs, executor=make, policy=policy, prune=rule, confirm=confirm, watch=watch
            )
    if dry_run:
        sweeptable.show_plan(console, asked, sweeping.estimated(asked, jobs))
        return
    summary = done.summary(epsilon)
    files = sweeps.save(summary, done.folder)
    sweeptable.show_outcome(console, done, summary)
    beside = ", ".join(path.name for path in files[1:])
    console.print(f"Wrote [bold]{escape(str(files[0]))}[/] and, beside it, {beside}", highlight=False, soft_wrap=True)
    _end(done)


def _show_status(console: Console, runs: Path, name: str | None) -> None:
    from lrbench import sweeptable
    from lrbench.grid.plan import SweepFolder, find_sweeps

    folders = [SweepFolder.of(runs, name)] if name is not None else find_sweeps(runs)
    if not folders:
        raise UsageError(f"there is no sweep in {runs / 'sweeps'}")
    for folder in folders:
        sweeptable.show_status(console, folder)


def _end(done: Sweep) -> None:
    """End the command with the exit code that its outcomes ask for."""
    failed = [outcome for outcome in done.outcomes if outcome.how in ("failed", "elsewhere")]
    left = [outcome for outcome in done.outcomes if outcome.how == "interrupted"]
    if left and not (failed and all(outcome.signal is None for outcome in left)):
        kind = Terminated if any(outcome.signal == signal.SIGTERM for outcome in left) else Interrupted
        raise kind(f"stopped, with {len(left)} of {len(done.outcomes)} runs to go; the same command goes on from there")
    if failed or left:
        raise typer.Exit(1)
