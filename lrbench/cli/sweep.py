"""The command `lrbench sweep`."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lrbench.cli import options
from lrbench.cli.interrupts import leave, summarizing
from lrbench.cli.options import option
from lrbench.cli.serve import Serve, serving
from lrbench.cli.terminal import Terminal, inline
from lrbench.cli.trust import Trust, ask_for_code
from lrbench.errors import FolderError, UsageError, choices

if TYPE_CHECKING:
    from lrbench.cli.progress import Display
    from lrbench.sweeps import Sweep, Zoom
    from lrbench.training import RunOptions

Configs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="CONFIG",
        help="YAML config files, with or without a sweep: block, or configs that come with lrbench.",
        show_default=False,
    ),
]
Lr = Annotated[str | None, option("Learning rates: 1e-5:1:11 (from:to:points, log scale), 1e-3,1e-2 or auto.")]
Jobs = Annotated[
    int | None,
    option(
        "Train this many runs at once, in worker processes that share the CPU cores. Default: one per core or GPU.",
        min=1,
    ),
]
Sets = Annotated[
    list[str] | None,
    option(
        "Set a config key. Several values are an axis: batch_size=16,32 or optimizer.weight_decay=1e-4:1e-1:4 (log "
        "scale). A list in brackets or a text in quotes is one value. Repeatable.",
        "--set",
        metavar="KEY=VALUE",
    ),
]
DryRun = Annotated[bool, option("List the runs with their budget and the expected time; train nothing.", "--dry-run")]
PruneAfter = Annotated[
    float | None,
    option("End runs whose loss is still that of guessing after this fraction of their budget, such as 0.25."),
]
ZoomIn = Annotated[
    bool,
    option(
        "Add learning rates around each schedule's best, or beyond the grid, until its optimum is known well.",
        "--zoom",
    ),
]
MaxRuns = Annotated[int | None, option("With --zoom: plan at most this many runs, including those of the grid.", min=1)]
ZoomWidth = Annotated[
    float | None,
    option(
        "With --zoom: stop when the 95% interval of the optimum is this many decades wide. Default: 0.15.",
        show_default=False,
    ),
]
Halve = Annotated[
    bool, option("At 1/4 and 1/2 of the budget, drop the worse half of each schedule's learning rates.", "--halve")
]

Stack = Annotated[
    str,
    option(
        "Train small models of many runs as one stacked program: yes, no, or auto, where a short trial shows that it "
        "is faster (in sweeps of at least 5,000 steps in all). Results differ from those of single training by "
        "rounding.",
        metavar="auto|yes|no",
    ),
]
Confirm = Annotated[
    int,
    option(
        "At the end, train each schedule's best learning rate with this many fresh seeds (5 if no number is given) "
        "and compare those.",
        min=0,
        max=1000,
    ),
]


def sweep(
    context: typer.Context,
    configs: Configs = None,
    lr: Lr = None,
    seeds: Annotated[int | None, option("Train each cell with this many seeds.", min=1)] = None,
    schedule: Annotated[str | None, option("Schedules by name: cosine,one_cycle.")] = None,
    overrides: Sets = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    status: Annotated[bool, option("Show the progress of the sweeps in the runs folder.", "--status")] = False,
    zoom: ZoomIn = False,
    zoom_width: ZoomWidth = None,
    max_runs: MaxRuns = None,
    confirm: Confirm = 0,
    retries: Annotated[int, option("Retry a failed run this many times.", min=0)] = 0,
    fail_fast: Annotated[bool, option("Start no more runs after the first failure.", "--fail-fast")] = False,
    max_failures: Annotated[int | None, option("Start no more runs after this many failures.", min=1)] = None,
    prune: PruneAfter = None,
    halve: Halve = False,
    epsilon: Annotated[float, option("Losses within this fraction of the best count as nearly as good.", min=0)] = 0.1,
    executor: options.Executor = "local",
    address: options.Address = None,
    runs_per_gpu: options.RunsPerGpu = 1,
    slurm: options.Slurm = None,
    stack: Stack = "no",
    name: Annotated[str | None, option("Name of the sweep's folder. Default: the config's name.")] = None,
    yes: Annotated[bool, option("Allow more than 1,000 runs.", "--yes")] = False,
    again: options.Again = False,
    device: options.Device = None,
    track: options.Track = None,
    trust: Trust = False,
    runs: options.Runs = Path("runs"),
    serve: Serve = False,
    as_json: options.JsonLines = False,
    debug: options.Debug = False,
) -> None:
    """Train a grid of learning rates, schedules, seeds or any other key. Finished runs are not repeated.

    [dim]lrbench sweep digits/baseline --lr 1e-5:1:11 --schedule constant,cosine --seeds 3[/]
    """
    from lrbench.sweeps import carry_out, plan_sweep
    from lrbench.training import Prune, RunOptions

    console = Terminal(quiet=as_json)
    if status:
        return _show_status(console, context, runs, name, as_json)
    configs, wanted = _checked(configs, epsilon, serve and dry_run), _zoom(zoom, zoom_width, max_runs)
    how = RunOptions(
        jobs=jobs, executor=executor, address=address, runs_per_gpu=runs_per_gpu, slurm=slurm, stack=stack, again=again,
        retries=retries, max_failures=_allowed(fail_fast, max_failures), prune=Prune.asked(prune, halve))  # fmt: skip
    plan = functools.partial(plan_sweep, configs, {"lr": lr, "seeds": seeds, "schedule": _names(schedule)}, runs=runs,
        name=name, overrides=overrides or (), device=device, track=track or None, options=how)  # fmt: skip
    ask_for_code(configs, overrides, trust or dry_run, silent=as_json, check=lambda: plan(train=False))
    with _watching(console, as_json) as watch, serving(runs if serve else None, watch) as heard:
        asked = plan(train=not dry_run, many=yes or dry_run, watch=heard)
        if not dry_run:
            carry_out(asked, how, zoom=wanted, confirm=confirm, watch=heard)
    if dry_run:
        return _show_plan(console, watch, asked, how, confirm, wanted)
    return _conclude(console, watch, asked, epsilon)


@contextlib.contextmanager
def _watching(console: Terminal, as_json: bool) -> Iterator[Display]:
    """Show events during the block, and stop cleanly on Ctrl-C."""
    from lrbench.cli import sweep_table
    from lrbench.cli.json_events import JsonEvents
    from lrbench.training import StopFlag

    show: Display = JsonEvents(console) if as_json else sweep_table.display(console)
    with show as watch, StopFlag.ending(leave):
        yield watch


def _checked(configs: list[Path] | None, epsilon: float, shows_nothing: bool) -> list[Path]:
    """Check what needs no config; `shows_nothing` if runs are to be shown that are not trained. Raises UsageError."""
    if shows_nothing:
        raise UsageError("--serve shows runs while they train, and --dry-run trains none; leave one of them out")
    if not math.isfinite(epsilon):
        raise UsageError(f"--epsilon must be a finite number (got {epsilon:g})")
    if not configs:
        raise UsageError("give at least one CONFIG, or --status")
    return configs


_WITH_STATUS = ("status", "runs", "name", "as_json", "debug")


def _check_alone(context: typer.Context) -> None:
    """Raise UsageError if `--status` was given with what it would ignore."""
    given = [one for one in context.command.params if one.name not in _WITH_STATUS and _was_given(context, one.name)]
    if given:
        names = ", ".join("CONFIG" if one.param_type_name == "argument" else max(one.opts, key=len) for one in given)
        raise UsageError(f"--status takes only --runs, --name and --json; leave out {names}")


def _was_given(context: typer.Context, name: str | None) -> bool:
    source = context.get_parameter_source(name or "")
    return source is not None and source.name == "COMMANDLINE"


def _allowed(fail_fast: bool, most: int | None) -> int | None:
    if fail_fast and most is not None:
        raise UsageError(f"--fail-fast stops after 1 failure, --max-failures after {most}; give one of them")
    return 1 if fail_fast else most


def _zoom(asked: bool, width: float | None, max_runs: int | None) -> Zoom | None:
    from lrbench.sweeps import WIDTH, Zoom

    if asked:
        return Zoom(WIDTH if width is None else width, max_runs)
    if width is not None or max_runs is not None:
        raise UsageError(f"{'--max-runs' if width is None else '--zoom-width'} needs --zoom")
    return None


def _show_plan(
    console: Console, watch: Display, asked: Sweep, how: RunOptions, confirm: int, zoom: Zoom | None
) -> None:
    from lrbench.cli import sweep_table
    from lrbench.cli.json_events import outcomes_told
    from lrbench.sweeps import check_fits

    check_fits(asked, how, zoom, confirm)
    expected = asked.expected_seconds(how.jobs)
    watch.tell("summary", sweep=asked.plan.name, expected_seconds=expected, **outcomes_told(asked.outcomes))
    sweep_table.show_plan(console, asked, expected, zoom, confirm)


def _names(schedule: str | None) -> list[str] | None:
    """Split `cosine,one_cycle`."""
    if schedule is None:
        return None
    names = [name.strip() for name in schedule.split(",")]
    if not all(names):
        problem = "--schedule must be names separated by commas, such as cosine,one_cycle"
        raise UsageError(f"{problem} (got {schedule!r:.60})")
    return names


def _show_status(console: Console, context: typer.Context, runs: Path, name: str | None, as_json: bool) -> None:
    from lrbench.cli import sweep_table
    from lrbench.cli.json_events import status_told
    from lrbench.runs import nearest
    from lrbench.sweeps import SweepFolder, find_sweeps

    _check_alone(context)
    nearest(runs)
    folders = find_sweeps(runs)
    if name is not None:
        asked = SweepFolder.of(runs, name)
        if folders and not asked.path.exists():
            raise UsageError(f"no sweep '{name}' in {runs / 'sweeps'}; {choices(name, [one.name for one in folders])}")
        folders = [asked] if folders else []
    if not folders:
        raise UsageError(f"no sweep in {runs / 'sweeps'}")
    if as_json:
        typer.echo(status_told(folders))
        return
    for folder in folders:
        sweep_table.show_status(console, folder)


def _conclude(console: Console, watch: Display, done: Sweep, epsilon: float) -> None:
    """Print and write the summary, then end the command with its exit code."""
    from lrbench.cli import sweep_table, tables
    from lrbench.cli.json_events import sweep_told
    from lrbench.reports import save_summary, summary_words

    with summarizing(done.outcomes):
        summary = done.summary(epsilon)
        said = summary_words(summary)
        watch.tell("summary", **sweep_told(done, summary, said))
        if summary.confirmation is not None:
            sweep_table.show_fresh(console, summary.confirmation)
        for line in said:
            console.print(inline(line))
        tables.show_outcomes(console, done.outcomes)
        try:
            tables.show_files(console, save_summary(summary, done.folder))
        except FolderError as error:
            if any(outcome.result is not None and not outcome.found for outcome in done.outcomes):
                raise
            watch.tell("message", text=f"the summary was not written: {error}")
            console.print(f"[yellow]The summary was not written:[/] {inline(str(error))}", soft_wrap=True)
        tables.end(console, done.outcomes, done.folder.path)
