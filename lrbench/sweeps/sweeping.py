"""`lrbench sweep`: plan a grid of runs, execute the pending ones, summarize."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lrbench.config import CONFIGS, Config, RunConfig, as_axes, own, read_config
from lrbench.errors import RunError, UsageError, counted, option
from lrbench.events import Watch, message, silent
from lrbench.lr_finder import Refusal, find_lr, known_finding
from lrbench.runs import nearest
from lrbench.sweeps.additions import add_again
from lrbench.sweeps.asked import Sweep
from lrbench.sweeps.axes import around
from lrbench.sweeps.execution import UNASKED, carry_out
from lrbench.sweeps.grid import MOST, FindRates, Grid, all_cells
from lrbench.sweeps.plan import Plan, Planned, SweepFolder, series_of
from lrbench.sweeps.zoom import ZOOM, Zoom
from lrbench.training import Executor, Prune, RunOptions, look, tools_of
from lrbench.types import FUNCTION, NOTHING, PATH, TEXT, TEXTS, TRACKS, WHOLE, Kind, Listed, arguments

SCHEDULES = Listed("schedules", Kind("a schedule's name or block", lambda value: isinstance(value, str | Mapping)))


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
    address: str | None = None,
    slurm: str | None = None,
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
        lr: learning rates instead of the block's: numbers, `{"log": [1e-5, 1], "points": 11}`, `"1e-5:1:11"`, `"auto"`.
        seeds: the number of seeds, counted up from the config's own, or a list of seeds.
        schedules: names or blocks, instead of the block's.
        name: the sweep's folder; by default the config's name.
        device: instead of the configs' own.
        jobs: runs at once; by default one per core or GPU.
        executor: `local`, `ray`, `slurm` or a function that creates an executor for n runs.
        address: the address of a Ray cluster; None starts one on this machine.
        slurm: what each job asks of Slurm, such as `partition=gpu,time=4:00:00`.
        stack: see `RunOptions`.
        prune: end hopeless runs early.
        retries: how many times to retry a failed run.
        again: repeat runs that are already finished.
        max_failures: start no more runs after this many have failed.
        zoom: add learning rates until each line's optimum is known to this many decades; or True, or a `Zoom`.
        confirm: finally train each line's best learning rate with this many fresh seeds, and compare these alone.
        track: the tools that follow the runs, instead of the configs' own; see `lrbench.run`.
        watch: called with progress events.

    Raises:
        ConfigError, DataError, UsageError: the request is invalid; nothing was trained.
    """
    options = RunOptions(
        jobs=jobs, executor=executor, address=address, slurm=slurm, stack=stack, prune=prune, retries=retries,
        again=again, max_failures=max_failures,
    )  # fmt: skip
    wanted, given = Zoom.asked(zoom), {"lr": lr, "seeds": seeds, "schedule": list(schedules) or None}
    others: dict[str, Any] = {"overrides": overrides, "name": name, "device": device, "track": track}
    asked = ask(configs, given, runs=runs, options=options, watch=watch, **others)
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
    progress = Progress(size, watch)
    cells, duplicates = all_cells(grids, _rates_finder(root, options, watch, train, unknown), progress.planned)
    if name is None:
        name = "+".join(dict.fromkeys(cell.experiment.name for cell in cells))[:80].rstrip(" .")
    folder = SweepFolder.of(root, name)
    if not train:  # else it is checked before training
        for experiment in {repr(cell.experiment.track): cell.experiment for cell in cells}.values():
            tools_of(experiment, root, imported=False)
    outcomes = []
    for cell in cells:
        outcomes.append(look(root, cell.experiment, options.kind_of(cell.experiment), options.again))
        progress.looked_up(len(outcomes))
    rows = zip(cells, series_of(cells), outcomes, strict=True)
    planned = tuple(Planned.of(cell, series, outcome.path.name) for cell, series, outcome in rows)
    asked = Sweep(folder, Plan(name, planned), cells, outcomes, duplicates, tuple(dict.fromkeys(unknown)))
    add_again(asked, options)
    return asked


class Progress:
    """Tells from time to time how far the plan of a large grid is."""

    EVERY_SECONDS = 5.0

    def __init__(self, size: int, watch: Watch) -> None:
        self.size, self.watch, self.told = size, watch, time.monotonic()

    def planned(self, count: int) -> None:
        """Hear how many runs are planned."""
        self._tell("planning", count)

    def looked_up(self, count: int) -> None:
        """Hear how many runs were looked up."""
        self._tell("looking up finished runs", count)

    def _tell(self, doing: str, count: int) -> None:
        if time.monotonic() - self.told >= self.EVERY_SECONDS:
            self.watch(message(f"{doing}: {count:,} of {counted(self.size, 'run')}"))
            self.told = time.monotonic()


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
