"""Sweeps in the terminal: a live table by learning rate and line, or plain lines; plan, summary and status."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lrbench.analysis import Confirmation, Spread, at_best, duration, rate_text
from lrbench.cli.columns import MOST_ROWS, show_families, show_more
from lrbench.cli.progress import Display, Lines
from lrbench.cli.terminal import inline
from lrbench.components import LOSS, in_words
from lrbench.errors import counted
from lrbench.events import Event
from lrbench.runs import Status, relative
from lrbench.sweeps import (
    AUTO_POINTS,
    Board,
    Planned,
    RunJob,
    SweepFolder,
    board_of,
    jobs_of,
    left_words,
    time_left,
    unlucky,
)
from lrbench.training import expected_saving, job_words

if TYPE_CHECKING:
    from lrbench.sweeps import Sweep, Zoom

MARKS = {
    Status.PENDING: ("·", "dim"),
    Status.INTERRUPTED: ("◌", "dim"),
    Status.RUNNING: ("▸", "cyan"),
    Status.PAUSED: ("‖", "cyan"),
    Status.FINISHED: ("●", "green"),
    Status.STOPPED_EARLY: ("●", "green"),
    Status.DIVERGED: ("✕", "red"),
    Status.PRUNED: ("✂", "yellow"),
    Status.FAILED: ("!", "bold red"),
    Status.DAMAGED: ("!", "bold red"),
}
LEGEND = "● finished  ▸ running  ‖ paused  · pending  ◌ interrupted  ✕ diverged  ✂ pruned  ! failed or damaged"
SHOWN_SECONDS = 0.25
MOST_JOBS = 10  # named one by one


def table_of(board: Board, height: int | None = None) -> RenderableType:
    """Build the table: a row per learning rate, a column per line; cells show a mark per seed and the mean loss."""
    places: dict[tuple[float | None, str], list[Planned]] = {}
    for cell in board.plan.cells:
        places.setdefault((cell.lr, cell.line), []).append(cell)
    lines = list(dict.fromkeys(cell.line for cell in board.plan.cells))
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("rate", justify="right", no_wrap=True)
    for line in lines:
        table.add_column(inline(line), overflow="fold", min_width=8)
    rates = _rates(board, height)
    for lr in rates:
        row = [_cell(board, places.get((lr, line), [])) for line in lines]
        table.add_row("default" if lr is None else rate_text(lr), *row)
    hidden = len(board.plan.rates) - len(rates)
    note = f"  ({counted(hidden, 'more rate')} {'is' if hidden == 1 else 'are'} not shown)" if hidden else ""
    note += "" if board.metric == LOSS else f"  values: {in_words(board.metric.name)}"
    return Group(table, Text(LEGEND + note, style="dim"))


def _rates(board: Board, height: int | None) -> list[float | None]:
    """Return all learning rates, or those that fit the screen, preferring those with running runs."""
    rates, room = board.plan.rates, max(height or 0, 4)
    if height is None or len(rates) <= room:
        return rates
    busy = {cell.lr for cell in board.plan.cells if board.state[cell.run] is Status.RUNNING}
    first = sorted(rates, key=lambda lr: lr not in busy)[:room]
    return [lr for lr in rates if lr in first]


def _cell(board: Board, cells: Sequence[Planned]) -> Text:
    text = Text()
    for cell in cells:
        mark, style = MARKS[board.state[cell.run]]
        text.append(mark, style)
    values = [board.value[c.run] for c in cells if board.state[c.run].over and c.run in board.value]
    running = [c.run for c in cells if board.state[c.run] is Status.RUNNING]
    spread = Spread.of(values, logs=board.metric.form != "percent")
    if spread is not None and any(board.state[cell.run] is Status.PRUNED for cell in cells):
        text.append(" –")  # the other seeds are a selection
    elif spread is not None:
        text.append(f" {board.metric.text(spread.centre)}")
    if running:
        fraction = sum(board.done.get(run, 0.0) for run in running) / len(running)
        now = [board.value[run] for run in running if run in board.value]
        text.append(f" {fraction:.0%}" + (f" {board.metric.text(now[0])}" if now else ""), "cyan")
    return text


class LiveTable(Display):
    """A table on a terminal, redrawn as events arrive."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.board: Board | None = None
        self.live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self.drawn = 0.0

    def _stop(self) -> None:
        self.live.stop()

    def _show(self, event: Event) -> None:
        """Redraw the table, unless it is too recent."""
        if event.kind == "message":
            self.say(event.values["text"])
        if "plan" in event.values:
            self.board = Board(**event.values)
            self.live.start()
        if self.board is None:
            return
        self.board.hear(event)
        if event.kind == "end" and event.values["result"].status is Status.FAILED:
            self.console.print(f"[red]{inline(_named(self.board, event.run))}:[/] {inline(self.ending(event))}")
        if event.kind in ("plan", "end") or time.monotonic() - self.drawn > SHOWN_SECONDS:
            self.drawn = time.monotonic()
            room = self.console.size.height - 8
            head = Text(f"{self.board.tally()}{_left(self.board.seconds_left)}", style="bold")
            self.live.update(Group(head, table_of(self.board, room)), refresh=True)


class SweepLines(Lines):
    """A line for each ended run, with the count and the time left; for output that is not a terminal."""

    board: Board | None = None

    def _show(self, event: Event) -> None:
        """Print a line when a run ends; show the runs of a range test like those of `lrbench run`."""
        if "plan" in event.values:
            self.board = Board(**event.values)
        elif self.board is None or event.run not in self.board.state:
            super()._show(event)
        else:
            self.board.hear(event)
            if event.kind == "message":
                super()._show(event)
            if event.kind == "end":
                over = sum(status.over for status in self.board.state.values())
                count, left = f"{over}/{len(self.board.state)}", _left(self.board.seconds_left)
                self.say(f"{count} {_named(self.board, event.run)}: {self.ending(event)}{left}")


def _named(board: Board, run: str) -> str:
    """Return what tells a run from the others, and its folder; a range test has only the folder."""
    label = board.plan.labels.get(run)
    return f"{label} ({run})" if label else run


def _left(seconds: float | None) -> str:
    return f"; {words}" if (words := left_words(seconds)) else ""


def display(console: Console) -> Display:
    """Return the table for a terminal, plain lines otherwise."""
    return LiveTable(console) if console.is_terminal else SweepLines(console)


def show_status(console: Console, folder: SweepFolder) -> None:
    """Print a sweep's progress. Raises FolderError if it has no plan."""
    plan = folder.plan()
    board = board_of(folder, plan)
    seconds = (result.seconds for result in board.results.values() if result.status.complete and result.seconds)
    left = time_left(seconds, board.left, board.count(Status.RUNNING))
    console.print(f"[bold]{inline(folder.name)}[/]  {inline(board.tally())}{_left(left)}")
    console.print(table_of(board))
    _show_jobs(console, jobs_of(folder, plan, board), board)


def _show_jobs(console: Console, jobs: Sequence[RunJob], board: Board) -> None:
    """Print how many Slurm jobs are running and pending, and the logs of local ones and of those without a result."""
    if words := job_words(job.state for job in jobs if job.state is not None):
        console.print(f"Slurm jobs: {inline(words)}", soft_wrap=True)
    # Of Slurm's own, `squeue` tells; those on this machine are known by their logs alone.
    here = [job for job in jobs if job.local and board.state[job.run] is Status.RUNNING]
    for named in (here, unlucky(jobs, board)):
        for job in named[:MOST_JOBS]:
            console.print(f"{inline(job.run)}: {job.words}; log: {inline(str(relative(job.log)))}", soft_wrap=True)
        if len(named) > MOST_JOBS:
            console.print(f"and {counted(len(named) - MOST_JOBS, 'more job')}")


def show_fresh(console: Console, found: Confirmation) -> None:
    """Print the lines at their best learning rates: fresh seeds, those that chose, and what choosing took."""
    show_families(console, at_best((), found.measure, found), MOST_ROWS, "see confirmation.csv")


def show_plan(console: Console, asked: Sweep, seconds: float | None, zoom: Zoom | None, confirm: int) -> None:
    """Print a dry run: the sweep's runs, their budgets, which are finished, and the expected time."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for heading in ("run", "line", "rate", "seed", "budget", ""):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("rate", "seed") else "left")
    planned_runs = list(zip(asked.cells, asked.plan.cells, asked.outcomes, strict=True))
    for cell, planned, outcome in planned_runs[:MOST_ROWS]:
        experiment = cell.experiment
        rate = "default" if planned.lr is None else rate_text(planned.lr)
        rate = "auto" if experiment.name in asked.auto else rate
        failed = outcome.status is Status.FAILED
        state = f"[red]{inline(outcome.message)}[/]" if failed else "finished" if outcome.found else "pending"
        table.add_row(planned.run, inline(planned.series), rate, str(planned.seed), experiment.budget, state)
    console.print(table)
    show_more(console, len(planned_runs[MOST_ROWS:]), "run", "")
    twice = f" (duplicates left out: {asked.duplicates})" if asked.duplicates else ""
    done = len(asked.cells) - len(asked.todo)
    console.print(f"{counted(len(asked.cells), 'run')}{twice}, {done} already finished.")
    if zoom is not None:
        most = "" if zoom.max_runs is None else f", up to {counted(zoom.max_runs, 'run')} in all"
        console.print(f"Then --zoom adds learning rates{most}, depending on the results.")
    if confirm:
        lines, more = len(asked.plan.series), confirm * len(asked.plan.series)
        each = f"the best learning rate of each of the {lines} lines" if lines > 1 else "the best learning rate"
        console.print(f"Then {counted(confirm, 'fresh seed')} of {each}: up to {counted(more, 'more run')}.")
    if asked.auto:
        names = ", ".join(asked.auto)
        text = f"lr: auto: first a range test of {names}, then {AUTO_POINTS} learning rates around its suggestion."
        console.print(inline(text))
    if (saving := expected_saving(asked.outcomes)) is not None:
        console.print(f"{saving}.")
    if asked.todo:
        known = "" if seconds is None else f"about {duration(seconds)}, from finished runs of the same size"
        console.print(f"Expected time: {known or 'unknown until a run of each size has finished'}.")
