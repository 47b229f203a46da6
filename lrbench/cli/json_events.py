"""Progress as JSON lines: an event a line, for programs. docs/automation.md describes them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lrbench.analysis import at_best
from lrbench.cli import json_output
from lrbench.cli.progress import Display
from lrbench.cli.terminal import Terminal
from lrbench.events import Event
from lrbench.reports import family_rows
from lrbench.runs import finite

if TYPE_CHECKING:
    from lrbench.sweeps import Board, Summary, Sweep, SweepFolder
    from lrbench.training import Outcome

PROGRESS_SECONDS = 1.0  # the shortest time between two `progress` lines of a run


def _place(event: Event) -> dict[str, Any]:
    return {
        "run": event.run,
        "step": event.step,
        "total_steps": event.total_steps,
        "epoch": event.epoch,
        "epochs": event.epochs,
        "lr": event.lr,
    }


def _measured(event: Event) -> dict[str, Any]:
    return {**_place(event), "examples_per_second": event.examples_per_second, "values": event.values}


def _end(event: Event) -> dict[str, Any]:
    result = event.values["result"]
    told = {"run": event.run, "folder": event.values["folder"], "status": result.status, "reason": result.reason}
    return {**told, "result": result.plain()}


def _sweep(event: Event) -> dict[str, Any]:
    plan, results = event.values["plan"], event.values["results"]
    cells = [asdict(cell) | {"label": plan.labels[cell.run], "finished": cell.run in results} for cell in plan.cells]
    return {"sweep": plan.name, "cells": cells}


_LINES: Mapping[str, tuple[str, Callable[[Event], dict[str, Any]]]] = {
    "plan": ("plan", lambda event: {"runs": event.values["runs"]}),
    "sweep": ("sweep", _sweep),
    "start": ("start", lambda event: {**_place(event), "metrics": event.values.get("metrics")}),
    "progress": ("progress", _measured),
    "epoch": ("evaluation", _measured),
    "pause": ("pause", lambda event: {"run": event.run}),
    "end": ("end", _end),
    "message": ("message", lambda event: {"run": event.run or None, "text": event.values["text"]}),
}


class JsonEvents(Display):
    """A JSON line per event; `progress` at most once a second for each run."""

    def __init__(self, console: Terminal) -> None:
        super().__init__(console)
        self.stream = json_output.opened()
        self.said: dict[str, float] = {}

    def _show(self, event: Event) -> None:
        if event.kind == "progress":
            if time.monotonic() - self.said.get(event.run, -PROGRESS_SECONDS) < PROGRESS_SECONDS:
                return
            self.said[event.run] = time.monotonic()
        name, facts = _LINES["sweep" if "plan" in event.values else event.kind]
        self.stream.write(name, **facts(event))

    def tell(self, event: str, **facts: Any) -> None:
        """Write a line of what people see in tables."""
        self.stream.write(event, **facts)


def outcomes_told(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the runs of a command, and how many have each status."""
    runs = [
        {
            "run": outcome.path.name,
            "folder": outcome.path,
            "name": outcome.experiment.name,
            "seed": outcome.experiment.seed,
            "status": outcome.status,
            "already_finished": outcome.found,
            "message": outcome.message,
            "warnings": outcome.warnings,
        }
        for outcome in outcomes
    ]
    return {"counts": Counter(outcome.status.value for outcome in outcomes), "runs": runs}


def sweep_told(done: Sweep, summary: Summary, words: Sequence[str]) -> dict[str, Any]:
    """Return the runs of a sweep, its best cell and the summary in words.

    The best cell was chosen by the seeds whose centre is told, so that this looks better than it is.
    """
    won, measure = summary.winner, summary.measure
    best: dict[str, Any] | None = None
    if won is not None:
        line, point = won
        seeds = sorted(point.group.values(measure.name))
        best = {"series": line.label, "lr": point.lr, "group": point.group.first.group, "seeds": seeds}
        best |= {"metric": measure.name, "centre": point.centre(measure), "edge": line.edge(measure) or None}
        best["tries"] = sum(len(family.points) for family in summary.families)
    return {
        "sweep": done.plan.name,
        "folder": done.folder.path,
        "best": best,
        "confirmation": _confirmation_told(summary),
        "words": list(words),
        **outcomes_told(done.outcomes),
    }


def _confirmation_told(summary: Summary) -> dict[str, Any] | None:
    """Return the comparison by fresh seeds alone: a row for each line; None without any."""
    found = summary.confirmation
    if found is None:
        return None
    return {
        "waiting": found.waiting,
        "unequal_tuning": found.unequal,
        "lines": family_rows(at_best((), found.measure, found)),
    }


def status_told(folders: Sequence[SweepFolder]) -> str:
    """Return the status of sweeps as a line of JSON: each cell, how much of it is done, its last validation loss."""
    from lrbench.sweeps import board_of

    return json.dumps(finite({"sweeps": [_board_told(folder, board_of(folder, folder.plan())) for folder in folders]}))


def _jobs_told(folder: SweepFolder, board: Board) -> dict[str, dict[str, Any]]:
    """Return the job of each run that is not complete: its id and log, Slurm's word for its state, why it waits."""
    from lrbench.sweeps import jobs_of

    told = {}
    for job in jobs_of(folder, board.plan, board):
        state = {} if job.state is None else {"state": job.state.name, "reason": job.state.reason}
        told[job.run] = {"job": {"id": job.id, "log": job.log, **state}}
    return told


def _board_told(folder: SweepFolder, board: Board) -> dict[str, Any]:
    jobs = _jobs_told(folder, board)
    cells = [
        {**asdict(cell), "label": board.plan.labels[cell.run], "status": board.state[cell.run]}
        | {"done": board.done.get(cell.run, 0.0), f"val_{board.metric.name}": board.value.get(cell.run)}
        | jobs.get(cell.run, {})
        for cell in board.plan.cells
    ]
    counts = Counter(status.value for status in board.state.values())
    return {
        "sweep": folder.name,
        "folder": folder.path.absolute(),
        "counts": counts,
        "left": board.left,
        "cells": cells,
    }
