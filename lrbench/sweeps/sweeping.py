"""`lrbench sweep`: plan a grid of runs, execute the pending ones, summarize."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lrbench.analysis import EPSILON
from lrbench.config import CONFIGS, Config, RunConfig, as_axes, own, read_config
from lrbench.errors import RunError, UsageError, option
from lrbench.events import Watch, message, silent
from lrbench.lr_finder import Refusal, find_lr, known_finding
from lrbench.sweeps.additions import add_again
from lrbench.sweeps.axes import around
from lrbench.sweeps.execution import UNASKED, carry_out
from lrbench.sweeps.grid import MOST, Cell, FindRates, Grid, all_cells
from lrbench.sweeps.plan import Plan, Planned, SweepFolder, series_of
from lrbench.sweeps.status import expected_seconds
from lrbench.sweeps.summary import Summary, summarize
from lrbench.sweeps.zoom import ZOOM, Step, Zoom
from lrbench.training import Executor, Outcome, Prune, RunOptions, default_jobs, look, nearest, pending
from lrbench.types import FUNCTION, NOTHING, PATH, TEXT, TEXTS, TRACKS, WHOLE, Displayed, Kind, Listed, arguments

SCHEDULES = Listed("schedules", Kind("a schedule's name or block", lambda value: isinstance(value, str | Mapping)))


@dataclass
class Sweep(Displayed):
    """A sweep: its plan and the outcomes of its runs.

    Attributes:
        folder: `runs/sweeps/<name>/`.
        plan: the sweep's runs.
        cells: what to train, in the order of the plan's cells.
        outcomes: the outcome of each cell, in the same order; before execution, what was found.
        duplicates: the number of cells left out because they equal another one.
        auto: in a dry run, the names of configs whose `lr: auto` still needs a range test.
        steps: of a zoom, what each line's last step was, and why.
    """

    folder: SweepFolder
    plan: Plan
    cells: list[Cell]
    outcomes: list[Outcome]
    duplicates: int = 0
    auto: tuple[str, ...] = ()
    steps: dict[str, Step] = field(default_factory=dict)

    @property
    def todo(self) -> list[Outcome]:
        """The runs that are still pending."""
        return pending(self.outcomes)

    def expected_seconds(self, jobs: int | None) -> float | None:
        """Estimate how long the rest takes from finished runs; None if they can't tell."""
        return expected_seconds(self.outcomes, jobs or default_jobs([outcome.experiment for outcome in self.outcomes]))

    def summary(self, epsilon: float = EPSILON) -> Summary:
        """Summarize the results so far, those of earlier confirmations too."""
        found = summarize(self.folder, self.folder.joined(self.plan), epsilon)
        return replace(found, steps=self.steps)


@arguments(
    configs=CONFIGS,
    runs=PATH,
    overrides=TEXTS,
    schedules=SCHEDULES,
    name=TEXT | NOTHING,
    zoom=ZOOM,
    device=TEXT | NOTHING,
    track=TRACKS,
    confirm=WHOLE,
    watch=FUNCTION,
)
def sweep(
    configs: Iterable[str | Path | RunConfig],
    *,
    runs: str | Path = "runs",
    overrides: Iterable[str] = (),
    lr: float | str | Sequence[float] | Mapping[str, Any] | None = None,
    seeds: int | Sequence[int] | None = None,
    schedules: Sequence[str | Mapping[str, Any]] = (),
    name: str | None = None,
    device: str | None = None,
    jobs: int | None = None,
    executor: str | Callable[[int], Executor] = "local",
    stack: str = "no",
    prune: Prune | None = None,
    retries: int = 0,
    again: bool = False,
    max_failures: int | None = None,
    zoom: Zoom | float | bool | None = None,
    confirm: int = 0,
    track: str | Mapping[str, Any] | Sequence[Any] | None = None,
    watch: Watch = silent,
) -> Sweep:
    """Train the cells of a grid that are not finished yet. The plan and the summary are under `runs/sweeps/`.

    Args:
        configs: YAML files, with or without a `sweep:` block, or experiments.
        runs: the folder that holds the runs; created if missing.
        overrides: `key=value`, as for `load_config`, for files only; `key=16,32` or `key=1e-4:1e-1:4` is an axis.
        lr: learning rates instead of the block's: a number, a list, `{"log": [1e-5, 1], "points": 11}`,
            `"1e-5:1:11"` or `"auto"`.
        seeds: the number of seeds, counted up from the config's own, or a list of seeds.
        schedules: names or blocks, instead of the block's.
        name: the name of the sweep's folder; by default the config's name.
        device: instead of the configs' own.
        jobs: runs at once; by default one per core or GPU.
        executor: see `RunOptions`.
        stack: see `RunOptions`.
        prune: end hopeless runs early.
        retries: how many times to retry a failed run.
        again: repeat runs that are already finished.
        max_failures: start no more runs after this many have failed.
        zoom: add learning rates until the interval of each line's optimum is at most this many decades wide; True
            for the default, `Zoom(width, max_runs)` with a limit.
        confirm: finally train the best learning rate of each line with this many fresh seeds, the same for all, which
            had no part in choosing it. `Sweep.summary().confirmation` compares the lines by them alone.
        track: the tools that follow the runs, instead of the configs' own; see `lrbench.run`.
        watch: called with progress events.

    Raises:
        ConfigError, DataError, UsageError: the request is invalid; nothing was trained.
    """
    options = RunOptions(
        jobs=jobs, executor=executor, stack=stack, prune=prune, retries=retries, again=again, max_failures=max_failures
    )
    wanted = Zoom.asked(zoom)
    asked = ask(
        configs, {"lr": lr, "seeds": seeds, "schedule": list(schedules) or None}, runs=runs, overrides=overrides,
        name=name, device=device, track=track, options=options, watch=watch,
    )  # fmt: skip
    return carry_out(asked, options, zoom=wanted, confirm=confirm, watch=watch)


def ask(
    configs: Iterable[str | Path | RunConfig],
    given: Mapping[str, Any] | None = None,
    *,
    runs: str | Path = "runs",
    overrides: Iterable[str] = (),
    name: str | None = None,
    device: str | None = None,
    track: str | Mapping[str, Any] | Sequence[Any] | None = None,
    options: RunOptions | None = None,
    many: bool = True,
    train: bool = True,
    watch: Watch = silent,
) -> Sweep:
    """Plan a sweep and look up its finished runs. Nothing is written or trained, except a range test for `lr: auto`.

    Args:
        given: `lr`, `seeds` and `schedule` instead of the block's; None leaves one as it is.
        options: how the runs would be executed.
        many: allow more than 1,000 runs.
        train: allow the range test of `lr: auto`; if False, the config's learning rate stands in for the unknown ones.

    The other arguments and the errors raised are those of `sweep`.
    """
    root, overrides, options = Path(runs).absolute(), as_axes(overrides), options or RunOptions(jobs=None)
    nearest(root)
    axes = {axis: value for axis, value in (given or {}).items() if value is not None}
    instead = {"device": device, "track": track}
    grids = [_grid(config, overrides, axes, instead) for config in configs]
    size = sum(grid.size for grid in grids)
    if UNASKED < size <= MOST and not many:
        allow, show = option("--yes", "many=True"), option("--dry-run", "train=False")
        raise UsageError(f"the grid has {size:,} runs; {allow} allows more than {UNASKED:,}, {show} lists them")
    unknown: list[str] = []
    cells, duplicates = all_cells(grids, _rates_finder(root, options, watch, train, unknown))
    if name is None:
        name = "+".join(dict.fromkeys(cell.experiment.name for cell in cells))[:80].rstrip(" .")
    folder = SweepFolder.of(root, name)
    outcomes = [look(root, cell.experiment, options.kind_of(cell.experiment), options.again) for cell in cells]
    rows = zip(cells, series_of(cells), outcomes, strict=True)
    planned = tuple(Planned.of(cell, series, outcome.path.name) for cell, series, outcome in rows)
    asked = Sweep(folder, Plan(name, planned), cells, outcomes, duplicates, tuple(dict.fromkeys(unknown)))
    add_again(asked, options)
    return asked


def _grid(
    config: str | Path | RunConfig, overrides: Sequence[str], given: Mapping[str, Any], instead: Mapping[str, Any]
) -> Grid:
    read = Config(config.plain(), {}, config.name) if isinstance(config, RunConfig) else read_config(config, overrides)
    for key, value in instead.items():
        if value is not None:
            read = replace(read, plain={**read.plain, key: value}, places={**read.places, (key,): option(f"--{key}")})
    return Grid.of(read, given)


def _rates_finder(root: Path, options: RunOptions, watch: Watch, train: bool, unknown: list[str]) -> FindRates:
    """Return the function that finds the learning rates of `lr: auto`: those around the suggestion of a range test.

    It runs a missing test, or without `train` notes the config's name in `unknown`. It raises RunError if the test has
    no suggestion.
    """
    options = replace(options, prune=None, again=False)
    said: set[str] = set()

    def find(config: RunConfig) -> Sequence[float]:
        experiment = own(config, "`lr: auto` needs a range test in lrbench's own loop; give learning rates instead")
        name = experiment.name
        test = (
            find_lr(experiment, runs=root, options=options, watch=watch) if train else known_finding(experiment, root)
        )
        if test is None:
            unknown.append(name)
            return (experiment.lr or 1.0,)
        if isinstance(test.advice, Refusal):
            raise RunError(
                f"lr: auto: no suggestion from the range test of {name}: {test.advice}; give {option('--lr')} instead"
            )
        rates = around(test.advice.initial)
        middle = f"around {test.advice.initial:.2g}, which its range test suggests"
        text = f"{name}: learning rates {rates[0]:.2g} … {rates[-1]:.2g}, {middle}"
        if text not in said:
            watch(message(text))
        said.add(text)
        return rates

    return find
