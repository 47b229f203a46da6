"""The progress of a sweep's cells, from training events or from the run folders, and how long the rest takes."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from lrbench.components import LOSS
from lrbench.config import RunConfig, canonical, own_share, without_rate
from lrbench.errors import LrbenchError
from lrbench.events import Event
from lrbench.runs import RunResult, Status, last_row, metrics_in
from lrbench.sweeps.plan import Plan, SweepFolder
from lrbench.training import Outcome, pending

_NO_MATTER = ("seed", "schedule", "warmup", "plateau", "early_stopping", "best_by")  # for the time that a run takes


class Board:
    """The status, the value and the fraction done of each cell of a plan; `results` are those of runs that ended.

    The value is the validation loss, or else the first validation metric that a run has; see `metric`.
    """

    def __init__(self, plan: Plan, results: Mapping[str, RunResult] | None = None) -> None:
        self.plan = plan
        self.state: dict[str, Status] = {cell.run: Status.PENDING for cell in plan.cells}
        self.metric, self._settled = LOSS, False
        self.value: dict[str, float] = {}
        self.done: dict[str, float] = {}
        self.began: tuple[float, float] | None = None
        for run, result in (results or {}).items():
            self.ended(run, result)

    def hear(self, event: Event) -> None:
        """Update the board with a training event."""
        if event.run not in self.state:
            return
        if event.kind == "end":
            self.ended(event.run, event.values["result"])
            return
        if event.kind == "pause":
            self.state[event.run] = Status.PAUSED
        if event.kind == "start" and self.began is None:
            self.began = (time.monotonic(), self.left)
        if event.kind in ("start", "progress", "epoch"):
            self.state[event.run] = Status.RUNNING
            self.done[event.run] = event.step / event.total_steps if event.total_steps else 0.0
            self.show(event.run, event.values, ("val_", "train_"))

    def ended(self, run: str, result: RunResult) -> None:
        """Note a run's result."""
        self.state[run], self.done[run] = result.status, 1.0
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
        """The work left, in runs."""
        return sum(1 - self.done.get(run, 0.0) for run, state in self.state.items() if not state.over)

    def tally(self) -> str:
        """Return the number of cells in each state as text."""
        counts = {
            "done": self.count(Status.FINISHED, Status.STOPPED_EARLY),
            "diverged": self.count(Status.DIVERGED),
            "pruned": self.count(Status.PRUNED),
            "failed": self.count(Status.FAILED, Status.DAMAGED),
            "running": self.count(Status.RUNNING),
            "waiting": self.count(Status.PAUSED),
            "interrupted": self.count(Status.INTERRUPTED),
            "pending": self.count(Status.PENDING),
        }
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count or what == "done")
        return f"{len(self.state)} run{'s' * (len(self.state) != 1)}: {said}"

    @property
    def seconds_left(self) -> float | None:
        """The time left at the speed since the first run started; None while too little is done to tell."""
        if self.began is None:
            return None
        since, at_first = self.began
        done = at_first - self.left
        return (time.monotonic() - since) * self.left / done if done > 0.05 and self.left > 0 else None


def board_of(folder: SweepFolder, plan: Plan) -> Board:
    """Return the board of a sweep from its run folders; damaged ones are marked, not raised."""
    board = Board(plan)
    for cell in plan.cells:
        run = folder.run(cell)
        try:
            result = run.result()
            board.state[cell.run] = run.status(result)
            if result is not None:
                board.ended(cell.run, result)
                continue
            row = last_row(run.epochs.path)
            board.show(cell.run, row)
            total = run.environment().sizes.total_steps
            board.done[cell.run] = row["step"] / total if "step" in row and total else 0.0
        except (LrbenchError, OSError, ValueError):
            board.state[cell.run] = Status.DAMAGED
    return board


def expected_seconds(outcomes: Sequence[Outcome], jobs: int) -> float | None:
    """Estimate the training time left with `jobs` runs at once; None unless a run of each size has finished."""
    known: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.result is not None and outcome.status.complete and outcome.result.seconds:
            known.setdefault(_size(outcome.experiment), []).append(outcome.result.seconds)
    wanted = [(_size(outcome.experiment), own_share(outcome.experiment)) for outcome in pending(outcomes)]
    if not all(size in known for size, _ in wanted):
        return None
    each = [statistics.median(known[size]) * share for size, share in wanted]
    return max(sum(each) / jobs, max(each, default=0.0))


def _size(experiment: RunConfig) -> str:
    """Return a key that is equal for runs that should take equally long."""
    plain = {key: value for key, value in canonical(experiment).items() if key not in _NO_MATTER}
    if "optimizer" not in plain:
        return without_rate(experiment)
    return json.dumps({**plain, "optimizer": plain["optimizer"]["name"]}, sort_keys=True)
