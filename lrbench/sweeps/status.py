"""The progress of a sweep's cells, from training events or from the run folders, and how long the rest takes."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from lrbench.analysis import Record, duration, read_one
from lrbench.components import LOSS
from lrbench.config import RunConfig, canonical, own_share, without_rate
from lrbench.errors import FolderError, counted
from lrbench.events import Event
from lrbench.runs import RunResult, Status, find_runs, last_row, listed, metrics_in, tally
from lrbench.sweeps.plan import Plan, Planned, SweepFolder
from lrbench.sweeps.requests import requests_of
from lrbench.training import Outcome, pending

ENOUGH = 5  # runs that tell how long one of their size takes
_NO_MATTER = ("seed", "schedule", "warmup", "plateau", "early_stopping", "best_by")  # for the time that a run takes


class Board:
    """The status, the value and the fraction done of each cell of a plan; `results` are those of runs that ended.

    The value is the validation loss, or else the first validation metric that a run has; see `metric`. `dropped` are
    the runs that a person asks to drop: nothing of them is left to do.
    """

    def __init__(self, plan: Plan, results: Mapping[str, RunResult] | None = None, dropped: Iterable[str] = ()) -> None:
        self.plan = plan
        self.state: dict[str, Status] = {cell.run: Status.PENDING for cell in plan.cells}
        self.metric, self._settled = LOSS, False
        self.value: dict[str, float] = {}
        self.done: dict[str, float] = {}
        self.trained: dict[str, float] = {}
        self.results: dict[str, RunResult] = {}
        self.dropped = set(dropped)
        self.began: tuple[float, float] | None = None
        for run, result in (results or {}).items():
            self.ended(run, result)

    def hear(self, event: Event) -> None:
        """Update the board with a training event."""
        if event.run not in self.state:
            return
        if event.kind == "message" and event.values.get("dropped"):
            self.dropped.add(event.run)
        if event.kind == "end":
            self.ended(event.run, event.values["result"])
            return
        if event.kind == "pause":
            self.state[event.run] = Status.PAUSED
        if event.kind == "start" and self.began is None:
            self.began = (time.monotonic(), sum(self.trained.values()))
        if event.kind == "start":  # it is kept after all
            self.dropped.discard(event.run)
        if event.kind in ("start", "progress", "epoch"):
            self.state[event.run] = Status.RUNNING
            self.done[event.run] = event.step / event.total_steps if event.total_steps else 0.0
            self.trained[event.run] = self.done[event.run]
            self.show(event.run, event.values, ("val_", "train_"))

    def ended(self, run: str, result: RunResult) -> None:
        """Note a run's result."""
        self.state[run], self.done[run], self.results[run] = result.status, 1.0, result
        if result.status is Status.FINISHED:
            self.trained[run] = 1.0
        self.value.pop(run, None)
        if result.status.complete:
            self.show(run, result.final or {})

    def show(self, run: str, values: Mapping[str, Any], splits: Sequence[str] = ("val_",)) -> None:
        """Note a run's loss on the first of these splits; without one, its first metric there.

        The first value on validation data decides which metric all runs show.
        """
        known = [name for split in splits for name in (f"{split}loss", *values) if name.startswith(split)]
        name = next((name for name in known if values.get(name) is not None), None)
        if name is None:
            return
        metric = {LOSS.name: LOSS, **metrics_in([name])}[name.partition("_")[2]]
        if name.startswith("val_") and not self._settled:
            self._settled = True
            if metric != self.metric:
                self.metric, self.value = metric, {}
        if metric == self.metric:
            self.value[run] = float(values[name])

    def count(self, *states: Status) -> int:
        """Count the cells in any of these states."""
        return sum(state in states for state in self.state.values())

    @property
    def left(self) -> float:
        """The work left, in runs; nothing is left of runs that are over or to be dropped."""
        open_ones = (run for run, state in self.state.items() if not state.over and run not in self.dropped)
        return sum(1 - self.done.get(run, 0.0) for run in open_ones)

    def tally(self) -> str:
        """Return the number of cells in each state as text."""
        counts = tally((state, self.results.get(run)) for run, state in self.state.items())
        return f"{counted(len(self.state), 'run')}: {listed(counts)}"

    @property
    def seconds_left(self) -> float | None:
        """The time left at the speed since the first run started; None while too little is done to tell.

        A run that ended before its budget counts as much as it trained.
        """
        if self.began is None:
            return None
        since, at_first = self.began
        done = sum(self.trained.values()) - at_first
        return (time.monotonic() - since) * self.left / done if done > 0.05 and self.left > 0 else None


def as_planned(cell: Planned, record: Record) -> Record:
    """Return what a planned run's folder says of that run: it is damaged if it holds another one.

    Copies elsewhere in the folder of runs take nothing from the sweep.
    """
    if record.status is Status.COPY:
        record = read_one(record.folder)
    if record.result is not None and record.result.identity not in ("", cell.identity):
        return replace(record, status=Status.DAMAGED, problem=f"{cell.run} is not the run in the sweep's plan")
    return record


def board_of(folder: SweepFolder, plan: Plan) -> Board:
    """Return the board of a sweep from its run folders; damaged ones are marked, not raised."""
    board = Board(plan, dropped=requests_of(folder, plan).dropped)
    for cell in plan.cells:
        run = folder.run(cell)
        if not run.is_run:
            continue
        record = as_planned(cell, read_one(run))
        board.state[cell.run] = record.status
        if record.status is Status.DAMAGED:
            continue
        if record.result is not None:
            board.ended(cell.run, record.result)
        else:
            row = last_row(run.epochs.path)
            board.show(cell.run, row)
            total = record.environment.sizes.total_steps
            board.done[cell.run] = row["step"] / total if "step" in row and total else 0.0
    return board


def time_left(seconds: Iterable[float], work: float, at_once: int) -> float | None:
    """Estimate the time left from the training times of finished runs; None if none has finished or none runs.

    Args:
        seconds: the training time of each finished run.
        work: the work left, in runs.
        at_once: how many runs are under way.
    """
    known = list(seconds)
    return statistics.median(known) * work / at_once if known and work > 0 and at_once else None


def left_words(seconds: float | None) -> str:
    """Return `about 5:48 left`; empty if the time is unknown."""
    if seconds is None:
        return ""
    return f"about {duration(seconds)} left" if seconds >= 1 else "less than a second left"


def expected_seconds(outcomes: Sequence[Outcome], jobs: int, root: Path | None = None) -> float | None:
    """Estimate the training time left with `jobs` runs at once; None unless a run of each size has finished.

    Of a size that none of these runs has, other runs in the folder `root` tell, if it is given.
    """
    known: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.result is not None and outcome.status.complete and outcome.result.seconds:
            known.setdefault(_size(outcome.experiment), []).append(outcome.result.seconds)
    wanted = [(_size(outcome.experiment), own_share(outcome.experiment)) for outcome in pending(outcomes)]
    missing = {size for size, _ in wanted} - known.keys()
    if missing and root is not None:
        known |= _seconds_elsewhere(root, missing)
    if not missing <= known.keys():
        return None
    each = [statistics.median(known[size]) * share for size, share in wanted]
    return max(sum(each) / jobs, max(each, default=0.0))


def _seconds_elsewhere(root: Path, sizes: Set[str]) -> dict[str, list[float]]:
    """Return the training times of finished runs in a folder that have one of these sizes, `ENOUGH` of each."""
    found: dict[str, list[float]] = {}
    for run in find_runs([root]) if root.is_dir() else ():
        with contextlib.suppress(FolderError):
            result = run.result()
            if result is None or not result.status.complete or not result.seconds:
                continue
            size = _size(run.config())
            if size in sizes and len(found.setdefault(size, [])) < ENOUGH:
                found[size].append(result.seconds)
        if all(len(found.get(size, ())) == ENOUGH for size in sizes):
            break
    return found


def _size(experiment: RunConfig) -> str:
    """Return a key that is equal for runs that should take equally long."""
    plain = {key: value for key, value in canonical(experiment).items() if key not in _NO_MATTER}
    if "optimizer" not in plain:
        return without_rate(experiment)
    return json.dumps({**plain, "optimizer": plain["optimizer"]["name"]}, sort_keys=True)
