"""Runs that a sweep plans after its grid: rounds of `--zoom`, fresh seeds, and seeds that people ask for."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lrbench.analysis import rate_text
from lrbench.errors import counted, option
from lrbench.events import Watch, message
from lrbench.runs import Status
from lrbench.sweeps.asked import Sweep
from lrbench.sweeps.grid import Cell
from lrbench.sweeps.plan import Planned
from lrbench.sweeps.zoom import Step, Zoom, next_step
from lrbench.training import Outcome, RunOptions, look

if TYPE_CHECKING:
    from lrbench.sweeps.requests import MoreSeeds


def zoom_in(asked: Sweep, zoom: Zoom, options: RunOptions, watch: Watch) -> bool:
    """Add the next round of learning rates to the plan; return whether there is one."""
    summary, last = asked.summary(), max(cell.zoom for cell in asked.plan.cells)
    grid = [cell.lr for cell in asked.plan.cells if cell.lr and not cell.zoom]
    steps = {line.label: next_step(line, summary.measure, grid, zoom.width) for line in summary.lines}
    rows = list(asked.plan.cells)
    left = math.inf if zoom.max_runs is None else zoom.max_runs - len(rows)
    for rank in range(max(len(step.rates) for step in steps.values())):
        for line, step in steps.items():
            alike = _each_seed(asked, rows, line)
            if rank >= len(step.rates):
                continue
            if len(alike) > left:
                full = f", but {option('--max-runs')} {zoom.max_runs} allows no more"
                steps[line] = Step(step.rates[:rank], step.reason + (full if rank == 0 else ""))
                continue
            left -= len(alike)
            for made in alike.values():
                cell = made.at_rate(step.rates[rank], option("--zoom"))
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
    known, by_hand = {row.run for row in rows}, {row.seed for row in rows if row.added}
    first = 1 + max(row.seed for row in rows if not (row.added or row.confirms))
    fresh = [seed for seed in range(first, first + confirm + len(by_hand)) if seed not in by_hand][:confirm]
    chosen = [(line, best) for line in summary.lines if (best := line.best(summary.measure)) is not None]
    for seed in fresh:
        for line, best in chosen:
            like = next(cell for cell, row in grid if (row.series, row.lr) == (line.label, best.lr))
            cell = _with_seed(like, seed)
            outcome = look(done.folder.root, cell.experiment, options.kind_of(cell.experiment), options.again)
            if outcome.path.name not in known:
                outcomes.append(outcome)
                _add(done, cell, outcome)
                rows.append(Planned.of(cell, line.label, outcome.path.name, confirms=True))
    done.plan = replace(done.plan, cells=tuple(rows))
    return outcomes


def plan_seeds(asked: Sweep, request: MoreSeeds, options: RunOptions, watch: Watch) -> bool:
    """Add the seeds of a request by hand to the plan; return whether there are any.

    A learning rate with a pruned run gets none: it has no mean, however many seeds it has.
    """
    summary, rows = asked.summary(), list(asked.plan.cells)
    number = 1 + max(row.added for row in rows)
    confirming = {row.seed for row in asked.folder.joined(asked.plan).cells if row.confirms}
    pruned = {(row.series, row.lr) for row, one in _grid(asked) if one.status is Status.PRUNED}
    added = 0
    for line in summary.lines:
        best = line.best(summary.measure)
        rates = list(dict.fromkeys(point.lr for point in line.points))
        if request.best:
            rates = [] if best is None else [best.lr]
        for lr in rates if request.family in (None, line.label) else ():
            alike = [row.seed for row in rows if (row.series, row.lr) == (line.label, lr) and not row.confirms]
            if (line.label, lr) in pruned or not alike:
                continue
            free = (seed for seed in itertools.count(max(alike) + 1) if seed not in confirming)
            for seed in itertools.islice(free, request.count):
                added += _add_seed(asked, rows, (line.label, lr), seed, number, options)
    asked.plan = replace(asked.plan, cells=tuple(rows))
    watch(message(f"{request.words}, as requested: {counted(added, 'run')} added"))
    return added > 0


def add_again(asked: Sweep, options: RunOptions, *, zoomed: bool = False) -> None:
    """Add what an earlier command with this plan was asked by hand to add.

    Args:
        asked: the sweep.
        options: how to execute it.
        zoomed: add the rounds of a zoom before them too, which saw the results without them.
    """
    known = asked.folder.known()
    last = max((at for at, row in enumerate(known) if row.added), default=-1)
    rows = list(asked.plan.cells)
    have = {row.run for row in rows}
    for row in known[: last + 1]:
        if row.run in have or row.confirms:
            continue
        if row.added:
            _add_seed(asked, rows, (row.series, row.lr), row.seed, row.added, options)
        elif row.zoom and zoomed and row.lr:
            alike = _each_seed(asked, rows, row.series)
            if row.seed in alike:
                cell = alike[row.seed].at_rate(row.lr, option("--zoom"))
                rows.append(Planned.of(cell, row.series, _added(asked, cell, options).path.name, zoom=row.zoom))
    asked.plan = replace(asked.plan, cells=tuple(rows))


def _add_seed(
    asked: Sweep, rows: list[Planned], place: tuple[str, float | None], seed: int, number: int, options: RunOptions
) -> bool:
    """Add a seed to a line's learning rate, unless it has it or there is no such learning rate; return whether."""
    alike = [cell for cell, row in zip(asked.cells, rows, strict=True) if (row.series, row.lr) == place]
    if not alike:
        return False
    cell = _with_seed(alike[0], seed)
    outcome = look(asked.folder.root, cell.experiment, options.kind_of(cell.experiment), options.again)
    if outcome.path.name in {row.run for row in rows}:
        return False
    outcome.added = number
    _add(asked, cell, outcome)
    rows.append(Planned.of(cell, place[0], outcome.path.name, added=number))
    return True


def _grid(asked: Sweep) -> Iterable[tuple[Planned, Outcome]]:
    return ((row, one) for row, one in zip(asked.plan.cells, asked.outcomes, strict=True) if not row.confirms)


def _each_seed(asked: Sweep, rows: Sequence[Planned], line: str) -> dict[int, Cell]:
    """Return a cell of a line for each of its seeds; one added by hand only if all learning rates have it."""
    alike = [
        (row, made) for row, made in zip(rows, asked.cells, strict=True) if row.series == line and not row.confirms
    ]
    rates = {row.lr for row, _ in alike}
    having = Counter(seed for seed, _ in {(row.seed, row.lr) for row, _ in alike})
    return {row.seed: made for row, made in alike if not row.added or having[row.seed] == len(rates)}


def _with_seed(cell: Cell, seed: int) -> Cell:
    return replace(cell, experiment=cell.experiment.replace(seed=seed))


def _added(asked: Sweep, cell: Cell, options: RunOptions) -> Outcome:
    """Add a cell to a sweep; return what is known of its run."""
    outcome = look(asked.folder.root, cell.experiment, options.kind_of(cell.experiment), options.again)
    _add(asked, cell, outcome)
    return outcome


def _add(asked: Sweep, cell: Cell, outcome: Outcome) -> None:
    asked.cells.append(cell)
    asked.outcomes.append(outcome)
