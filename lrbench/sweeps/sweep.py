"""`lrbench sweep`: a grid of runs at equal budget, planned on disk, done by many workers, summed up."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lrbench.config.load import Config, Experiment, read_config
from lrbench.errors import LockedError, RunError, UsageError
from lrbench.events import Event, Watch, message, silent
from lrbench.lr_finder.advice import Refusal
from lrbench.lr_finder.find import find_lr
from lrbench.sweeps.axes import around, from_option
from lrbench.sweeps.estimate import Estimate, estimate
from lrbench.sweeps.grid import MOST, Cell, Grid, all_cells
from lrbench.sweeps.halving import leave, loss_at, worse_half
from lrbench.sweeps.plan import Plan, Planned, SweepFolder, series_of
from lrbench.sweeps.summary import EPSILON, Summary, summarize
from lrbench.training.executors import Executor, Make, choose
from lrbench.training.options import RUNGS, Prune
from lrbench.training.outcome import Outcome, check, look, nearest
from lrbench.training.run_one import Terms
from lrbench.training.runner import Policy, do

UNASKED = 1000
"""More runs than that are begun only where that is asked for."""


@dataclass
class Sweep:
    """A sweep: its plan, and what there is of it.

    Attributes:
        folder: `runs/sweeps/<name>/`.
        plan: what it consists of.
        cells: what is to be trained, as the plan's cells.
        outcomes: what became of each cell, in the same order; before anything is done, what was found done.
        duplicates: how many cells of the grid were the same run as another.
        auto: whether rates were found by a range test.
    """

    folder: SweepFolder
    plan: Plan
    cells: list[Cell]
    outcomes: list[Outcome]
    duplicates: int = 0
    auto: bool = False

    @property
    def todo(self) -> list[Outcome]:
        """The runs that are not done yet."""
        return [outcome for outcome in self.outcomes if outcome.how == "interrupted"]

    def summary(self, epsilon: float = EPSILON) -> Summary:
        """What its finished cells say."""
        return summarize(self.folder, self.plan, epsilon)


def sweep(
    configs: Iterable[str | Path | Experiment],
    *,
    runs: str | Path = "runs",
    overrides: Iterable[str] = (),
    lr: float | str | Sequence[float] | Mapping[str, Any] | None = None,
    seeds: int | Sequence[int] | None = None,
    schedules: Sequence[str | Mapping[str, Any]] = (),
    name: str | None = None,
    device: str | None = None,
    jobs: int | None = None,
    executor: Make | None = None,
    policy: Policy | None = None,
    prune: Prune | None = None,
    retries: int = 0,
    confirm: int = 0,
    watch: Watch = silent,
) -> Sweep:
    """Train every cell of a grid that is not done yet; its plan and its summary are under `runs/sweeps/`.

    Args:
        configs: YAML files, with a `sweep:` block or without, or experiments.
        runs: the folder that holds the runs' folders; made if need be.
        overrides: `key=value`, as `load_config` takes them; for files only.
        lr: the rates instead of the block's: a number, a list, `{"log": [1e-5, 1], "points": 11}`, `"1e-5:1:11"` or
            `"auto"`.
        seeds: how many, counted up from the config's own, or which.
        schedules: names or whole blocks, instead of the block's.
        name: of the sweep's folder; by default the config's.
        device: instead of the configs' own.
        jobs: how many runs at once; by default one for each core, or for each GPU.
        executor: what does so many runs; by default worker processes on this machine.
        policy: what is done about failures and other processes' runs.
        prune: end hopeless runs early.
        retries: how often a failed run is tried again.
        confirm: train the winner anew with so many seeds that had no part in choosing it.
        watch: is told of progress.

    Raises:
        ConfigError, DataError, UsageError: something asked for can't be done; nothing was trained.
    """
    policy = policy or Policy()
    asked = ask(
        configs, runs=runs, overrides=overrides, lr=lr, seeds=seeds, schedules=schedules, name=name, device=device,
        again=policy.again, prune=prune, many=True, watch=watch,
    )  # fmt: skip
    return carry_out(
        asked, jobs=jobs, executor=executor, policy=policy, prune=prune, retries=retries, confirm=confirm, watch=watch
    )


def ask(
    configs: Iterable[str | Path | Experiment],
    *,
    runs: str | Path = "runs",
    overrides: Iterable[str] = (),
    lr: float | str | Sequence[float] | Mapping[str, Any] | None = None,
    seeds: int | Sequence[int] | None = None,
    schedules: Sequence[str | Mapping[str, Any]] = (),
    name: str | None = None,
    device: str | None = None,
    again: bool = False,
    prune: Prune | None = None,
    many: bool = False,
    watch: Watch = silent,
) -> Sweep:
    """A sweep's cells, and what of them is done already. Nothing is written or trained, but for `auto`'s range test.

    Args:
        again: count nothing as done.
        many: don't ask whether more than a thousand runs are meant.

    The others, and what is raised, are as for `sweep`.
    """
    root, overrides = Path(runs), tuple(overrides)
    nearest(root)
    if prune is not None and not isinstance(prune, Prune):
        raise UsageError(f"prune must be a lrbench.training.options.Prune (got {prune!r:.40})")
    given: dict[str, Any] = {}
    if lr is not None:
        given["lr"] = from_option(lr) if isinstance(lr, str) else lr
    if seeds is not None:
        given["seeds"] = seeds
    if schedules:
        given["schedule"] = list(schedules)
    grids = [_grid(config, overrides, given, device) for config in configs]
    size = sum(grid.size for grid in grids)
    if UNASKED < size <= MOST and not many:
        raise UsageError(f"the grid has {size:,} runs; --yes does so many, and --dry-run says how long they take")
    said: set[str] = set()
    cells, duplicates = all_cells(grids, lambda experiment: _around_found(experiment, root, watch, said))
    folder = SweepFolder.of(root, _name_of(cells) if name is None else name)
    outcomes = [look(root, cell.experiment, again, pruned=prune is not None) for cell in cells]
    rows = zip(cells, series_of(cells), outcomes, strict=True)
    planned = tuple(Planned.of(cell, series, outcome.path.name) for cell, series, outcome in rows)
    return Sweep(folder, Plan(folder.name, planned), cells, outcomes, duplicates, auto=bool(said))


def carry_out(
    asked: Sweep,
    *,
    jobs: int | None = None,
    executor: Make | None = None,
    policy: Policy | None = None,
    prune: Prune | None = None,
    retries: int = 0,
    confirm: int = 0,
    watch: Watch = silent,
) -> Sweep:
    """Do what of a sweep is not done yet; `asked` itself, brought up to date. Takes and raises what `sweep` does."""
    if (jobs is not None and jobs < 1) or confirm < 0:
        raise UsageError(f"--jobs must be at least 1, and --confirm at least 0 (got {jobs} and {confirm})")
    how, folder = policy or Policy(), asked.folder

    def usual(left: int, terms: Terms) -> Executor:
        return choose(jobs or default_jobs([cell.experiment for cell in asked.cells]), left, terms)

    def written() -> None:
        if asked.todo or not folder.holds(asked.plan):  # a sweep that is done can be shown from a read-only folder
            folder.write(asked.plan)
        watch(message(f"{len(asked.todo)} of {len(asked.cells)} runs to do; the plan is {folder.path / 'plan.json'}"))
        found = {outcome.path.name: outcome.result for outcome in asked.outcomes if outcome.result is not None}
        watch(Event("", "plan", values={"plan": asked.plan, "results": found}))

    def train(rule: Prune | None) -> None:
        terms = Terms(rule, retries)
        do(asked.outcomes, folder.root, lambda left: (executor or usual)(left, terms), how, watch, written)

    if prune is not None and prune.halve:
        for rung in RUNGS:
            train(replace(prune, pause=rung))
            how = replace(how, again=False)  # what was begun anew goes on from here
            if any(outcome.how == "interrupted" for outcome in asked.outcomes):
                return asked
            leave_worse_half(asked, rung, watch)
    train(prune)
    if confirm and all(outcome.how in ("trained", "found") for outcome in asked.outcomes):
        _add_confirmation(asked, confirm, how, prune)
        train(prune)
    return asked


def leave_worse_half(asked: Sweep, rung: float, watch: Watch) -> None:
    """At a rung, write `pruned` as the result of the runs that are left; the others are to be done again."""
    if all(outcome.how != "paused" for outcome in asked.outcomes):
        return
    by_run = {outcome.path.name: outcome for outcome in asked.outcomes}
    losses = {cell.run: loss_at(asked.folder.run(cell), rung) for cell in asked.plan.grid}
    pruned = [run for run, o in by_run.items() if o.result is not None and o.result["status"] == "pruned"]
    before = frozenset(run for run in pruned if math.isinf(losses.get(run, 0.0)))  # at an earlier rung
    for cell in worse_half(asked.plan, losses, before):
        outcome = by_run[cell.run]
        if outcome.how != "paused":
            continue  # it is done, or has failed
        with contextlib.suppress(LockedError):  # another command is at the same, and comes to the same
            outcome.result = leave(asked.folder.run(cell), outcome.experiment, rung, losses[cell.run])
            outcome.how = "trained"
            watch(Event(cell.run, "end", values=outcome.result))
    for outcome in asked.outcomes:
        if outcome.how == "paused":
            outcome.how = "interrupted"


def estimated(asked: Sweep, jobs: int | None = None) -> Estimate:
    """What the rest of a sweep will cost here, by a trial of two seconds for each kind of run.

    Raises ConfigError, DataError, RunError.
    """
    check(asked.todo, silent)
    experiments = [outcome.experiment for outcome in asked.todo]
    return estimate(experiments, min(jobs or default_jobs(experiments), max(len(experiments), 1)))


def default_jobs(experiments: Sequence[Experiment]) -> int:
    """One run at once for each GPU, where they are to be used, or else for each core that this process may use."""
    if any(experiment.device.startswith(("auto", "cuda")) for experiment in experiments):
        import torch

        if torch.cuda.is_available():
            return torch.cuda.device_count()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _add_confirmation(done: Sweep, confirm: int, policy: Policy, prune: Prune | None) -> None:
    """Add the winner's runs with fresh seeds to the plan."""
    winner = done.summary().winner
    if winner is None:
        return
    curve, best = winner
    chosen = next(c for c, p in zip(done.cells, done.plan.cells, strict=True) if p.group == best.cells[0].planned.group)
    fresh = 1 + max(cell.experiment.seed for cell in done.cells)
    rows = list(done.plan.cells)
    for seed in range(fresh, fresh + confirm):
        cell = replace(chosen, experiment=chosen.experiment.replace(seed=seed))
        outcome = look(done.folder.root, cell.experiment, policy.again, pruned=prune is not None)
        done.cells.append(cell)
        done.outcomes.append(outcome)
        rows.append(Planned.of(cell, curve.series, outcome.path.name, confirms=True))
    done.plan = replace(done.plan, cells=tuple(rows))


def _grid(
    config: str | Path | Experiment, overrides: Sequence[str], given: Mapping[str, Any], device: str | None
) -> Grid:
    """A config's grid, on the device that was asked for."""
    if isinstance(config, Experiment):
        return Grid.of(Config({**config.plain(), **({"device": device} if device else {})}, {}, config.name), given)
    read = read_config(config, overrides)
    if device is not None:
        read = replace(read, plain={**read.plain, "device": device}, places={**read.places, ("device",): "--device"})
    return Grid.of(read, given)


def _around_found(experiment: Experiment, root: Path, watch: Watch, said: set[str]) -> Sequence[float]:
    """The rates around what a range test recommends; `said` holds what has been told of that."""
    found = find_lr(experiment, runs=root, watch=watch)
    if isinstance(found.advice, Refusal):
        raise RunError(f"lr: auto: the range test of {experiment.name} has no suggestion: {found.advice}; give --lr")
    rates = around(found.advice.initial)
    centre = f"around {found.advice.initial:.2g}, by its range test"
    text = f"{experiment.name}: rates {rates[0]:.2g} … {rates[-1]:.2g}, {centre}"
    if text not in said:
        watch(message(text))
    said.add(text)
    return rates


def _name_of(cells: Sequence[Cell]) -> str:
    """The configs' names, as a folder's."""
    return "+".join(dict.fromkeys(cell.experiment.name for cell in cells))[:80].rstrip(" .")
