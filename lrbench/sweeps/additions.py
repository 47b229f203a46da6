"""Runs that a sweep plans after its grid, by what the grid showed: rounds of `--zoom`, and fresh seeds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from lrbench.analysis import rate_text
from lrbench.events import Watch, message
from lrbench.sweeps.grid import Cell
from lrbench.sweeps.plan import Planned
from lrbench.sweeps.zoom import Step, Zoom, next_step
from lrbench.training import Outcome, RunOptions, look

if TYPE_CHECKING:
    from lrbench.sweeps.sweeping import Sweep


def zoom_in(asked: Sweep, zoom: Zoom, options: RunOptions, watch: Watch) -> bool:
    """Add the next round of learning rates to the plan; return whether there is one."""
    summary, last = asked.summary(), max(cell.zoom for cell in asked.plan.cells)
    grid = [cell.lr for cell in asked.plan.cells if cell.lr and not cell.zoom]
    steps = {line.label: next_step(line, summary.measure, grid, zoom.width) for line in summary.lines}
    rows = list(asked.plan.cells)
    left = math.inf if zoom.max_runs is None else zoom.max_runs - len(rows)
    for rank in range(max(len(step.rates) for step in steps.values())):
        for line, step in steps.items():
            alike = {cell.seed: made for cell, made in zip(rows, asked.cells, strict=True) if cell.series == line}
            if rank >= len(step.rates):
                continue
            if len(alike) > left:
                full = f", but --max-runs {zoom.max_runs} leaves no more"
                steps[line] = Step(step.rates[:rank], step.reason + (full if rank == 0 else ""))
                continue
            left -= len(alike)
            for made in alike.values():
                cell = made.at_rate(step.rates[rank], "--zoom")
                rows.append(Planned.of(cell, line, _added(asked, cell, options).path.name, zoom=last + 1))
    asked.steps = steps
    added = len(rows) > len(asked.plan.cells)
    asked.plan = replace(asked.plan, cells=tuple(rows))
    for line, step in steps.items() if added else ():
        if step.rates:
            rates = ", ".join(rate_text(lr) for lr in step.rates)
            watch(message(f"zoom {last + 1}, {line}: {step.reason}; next: {rates}"))
    return added


def add_confirmation(done: Sweep, confirm: int, options: RunOptions) -> list[Outcome]:
    """Add runs of each line's best learning rate to the plan, with the same fresh seeds, and return their outcomes."""
    summary, grid = done.summary(), list(zip(done.cells, done.plan.cells, strict=True))
    rows = list(done.plan.cells)
    outcomes: list[Outcome] = []
    fresh = 1 + max(cell.experiment.seed for cell in done.cells)
    chosen = [(line, best) for line in summary.lines if (best := line.best(summary.measure)) is not None]
    for seed in range(fresh, fresh + confirm):
        for line, best in chosen:
            like = next(cell for cell, row in grid if (row.series, row.lr) == (line.label, best.lr))
            cell = replace(like, experiment=like.experiment.replace(seed=seed))
            outcomes.append(_added(done, cell, options))
            rows.append(Planned.of(cell, line.label, outcomes[-1].path.name, confirms=True))
    done.plan = replace(done.plan, cells=tuple(rows))
    return outcomes


def _added(asked: Sweep, cell: Cell, options: RunOptions) -> Outcome:
    """Add a cell to a sweep; return what is known of its run."""
    outcome = look(asked.folder.root, cell.experiment, options.kind_of(cell.experiment), options.again)
    asked.cells.append(cell)
    asked.outcomes.append(outcome)
    return outcome
