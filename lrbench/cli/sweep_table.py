"""Sweeps in the terminal: a live table by learning rate and line, or plain lines; plan, summary and status."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lrbench.analysis import Spread, duration
from lrbench.cli.progress import Lines, ending, told_metrics
from lrbench.cli.tables import show_found
from lrbench.components import KNOWN, LOSS
from lrbench.events import Event
from lrbench.reports import summary_words
from lrbench.runs import Status
from lrbench.sweeps import AUTO_POINTS, Board, Planned, Summary, SweepFolder, board_of

if TYPE_CHECKING:
    from lrbench.sweeps import Sweep

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
LEGEND = "● finished  ▸ running  ‖ waiting  · pending  ◌ interrupted  ✕ diverged  ✂ pruned  ! failed"
SHOWN_SECONDS = 0.25


def table_of(board: Board, height: int | None = None) -> RenderableType:
    """Build the table: a row per learning rate, a column per line; cells show a mark per seed and the mean loss."""
    places: dict[tuple[float | None, str], list[Planned]] = {}
    for cell in board.plan.cells:
        places.setdefault((cell.lr, _line(cell)), []).append(cell)
    lines = list(dict.fromkeys(_line(cell) for cell in board.plan.cells))
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("rate", justify="right", no_wrap=True)
    for line in lines:
        table.add_column(escape(line), overflow="fold", min_width=8)
    rates = _rates(board, height)
    for lr in rates:
        row = [_cell(board, places.get((lr, line), [])) for line in lines]
        table.add_row("default" if lr is None else f"{lr:.3g}", *row)
    hidden = len(board.plan.rates) - len(rates)
    note = f"  ({hidden} more rates are not shown)" if hidden else ""
    return Group(table, Text(LEGEND + note, style="dim"))


def _rates(board: Board, height: int | None) -> list[float | None]:
    """Return all learning rates, or those that fit the screen, preferring those with running runs."""
    rates, room = board.plan.rates, max(height or 0, 4)
    if height is None or len(rates) <= room:
        return rates
    busy = {cell.lr for cell in board.plan.cells if board.state[cell.run] is Status.RUNNING}
    first = [lr for lr in rates if lr in busy] + [lr for lr in rates if lr not in busy]
    return [lr for lr in rates if lr in first[:room]]


def _cell(board: Board, cells: Sequence[Planned]) -> Text:
    text = Text()
    for cell in cells:
        mark, style = MARKS[board.state[cell.run]]
        text.append(mark, style)
    losses = [board.loss[c.run] for c in cells if board.state[c.run].over and c.run in board.loss]
    running = [c.run for c in cells if board.state[c.run] is Status.RUNNING]
    if (spread := Spread.of(losses, logs=min(losses, default=0) > 0)) is not None:
        text.append(f" {LOSS.text(spread.centre)}")
    if running:
        fraction = sum(board.done.get(run, 0.0) for run in running) / len(running)
        now = [board.loss[run] for run in running if run in board.loss]
        text.append(f" {fraction:.0%}" + (f" {LOSS.text(now[0])}" if now else ""), "cyan")
    return text


def _line(cell: Planned) -> str:
    return f"{cell.series} (confirmation)" if cell.confirms else cell.series


class LiveTable:
    """A table on a terminal, redrawn as events arrive."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.board: Board | None = None
        self.metrics = dict(KNOWN)
        self.live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self.drawn = 0.0

    def __enter__(self) -> LiveTable:
        return self

    def __exit__(self, *_: Any) -> None:
        self.live.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.kind == "message":
            self.live.console.print(str(event.values["text"]), style="dim", markup=False, highlight=False)
        if event.kind == "plan" and "plan" in event.values:
            self.board = _board(event)
            self.live.start()
        if self.board is None:
            return
        self.board.hear(event)
        self.metrics |= told_metrics(event)
        if event.kind == "end" and event.values["result"].status is Status.FAILED:
            self.live.console.print(
                f"[red]{escape(event.run)}:[/] {escape(ending(event.values['result'], self.metrics))}", highlight=False
            )
        if event.kind in ("plan", "end") or time.monotonic() - self.drawn > SHOWN_SECONDS:
            self.drawn = time.monotonic()
            room = self.console.size.height - 8
            head = Text(f"{self.board.tally()}{_left(self.board)}", style="bold")
            self.live.update(Group(head, table_of(self.board, room)), refresh=True)


class SweepLines:
    """A line for each ended run, with the count and the time left; for output that is not a terminal."""

    def __init__(self, console: Console) -> None:
        self.console, self.lines = console, Lines(console)
        self.board: Board | None = None
        self.metrics = dict(KNOWN)

    def __enter__(self) -> SweepLines:
        return self

    def __exit__(self, *_: Any) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.kind == "plan":
            self.board = _board(event) if "plan" in event.values else self.board
            return
        if self.board is None or event.run not in self.board.state:
            self.lines(event)
            return
        self.board.hear(event)
        self.metrics |= told_metrics(event)
        if event.kind == "end":
            over = sum(status.over for status in self.board.state.values())
            count = f"{over}/{len(self.board.state)}"
            text = f"{count} {event.run}: {ending(event.values['result'], self.metrics)}{_left(self.board)}"
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _board(event: Event) -> Board:
    """Return the board of a starting sweep, with the results found."""
    board = Board(event.values["plan"])
    for run, result in event.values["results"].items():
        board.ended(run, result)
    return board


def _left(board: Board) -> str:
    seconds = board.seconds_left
    return "" if seconds is None else f"; about {duration(seconds)} left"


def display(console: Console) -> LiveTable | SweepLines:
    """Return the table for a terminal, plain lines otherwise."""
    return LiveTable(console) if console.is_terminal else SweepLines(console)


def show_status(console: Console, folder: SweepFolder) -> None:
    """Print a sweep's progress. Raises FolderError if it has no plan."""
    plan = folder.plan()
    board = board_of(folder, plan)
    results = [folder.run(cell).result() for cell in plan.cells if board.state[cell.run].complete]
    seconds = [result.seconds for result in results if result is not None and result.seconds]
    left = ""
    if seconds and board.left and board.count(Status.RUNNING):
        each = statistics.median(seconds)
        left = f"; about {duration(each * board.left / board.count(Status.RUNNING))} left"
    console.print(f"[bold]{escape(folder.name)}[/]  {escape(board.tally())}{left}", highlight=False)
    console.print(table_of(board))


def show_plan(console: Console, asked: Sweep, seconds: float | None) -> None:
    """Print a dry run: the sweep's runs, their budgets, which are finished, and the expected time."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for heading in ("run", "line", "rate", "seed", "budget", ""):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("rate", "seed") else "left")
    for cell, planned, outcome in zip(asked.cells, asked.plan.cells, asked.outcomes, strict=True):
        experiment = cell.experiment
        length, unit = (experiment.epochs, "epoch") if experiment.epochs else (experiment.steps or 0, "step")
        budget = f"{length:,} {unit}{'s' * (length != 1)}"
        rate = "default" if planned.lr is None else f"{planned.lr:.3g}"
        rate = "auto" if experiment.name in asked.auto else rate
        failed = outcome.status is Status.FAILED
        state = f"[red]{escape(outcome.message)}[/]" if failed else "finished" if outcome.found else "pending"
        table.add_row(planned.run, escape(planned.series), rate, str(planned.seed), budget, state)
    console.print(table)
    twice = f" (duplicates left out: {asked.duplicates})" if asked.duplicates else ""
    done = len(asked.cells) - len(asked.todo)
    plural = "s" * (len(asked.cells) != 1)
    console.print(f"{len(asked.cells)} run{plural}{twice}, {done} already finished.", highlight=False)
    if asked.auto:
        names = ", ".join(asked.auto)
        text = f"lr: auto: first a range test of {names}, then {AUTO_POINTS} learning rates around its suggestion."
        console.print(text, markup=False, highlight=False)
    if asked.todo and seconds is not None:
        console.print(
            f"Expected time: about {duration(seconds)}, from finished runs of the same size.", highlight=False
        )
    elif asked.todo:
        console.print("Expected time: unknown until a run of each size has finished.", highlight=False)


def show_outcome(console: Console, done: Sweep, summary: Summary) -> None:
    """Print the summary, warnings and failures."""
    for line in summary_words(summary):
        console.print(line, markup=False, highlight=False)
    show_found(console, done.outcomes)
    warned = Counter(warning for outcome in done.outcomes for warning in outcome.warnings)
    for warning, count in warned.items():
        console.print(f"[yellow]{count} run{'s' * (count > 1)}:[/] {escape(warning)}", highlight=False)
    alike: dict[str, list[tuple[str, str]]] = {}
    for outcome in done.outcomes:
        if outcome.undone:
            text = outcome.message.removeprefix(f"{outcome.path.name}: ")
            alike.setdefault(text.partition("\n")[0], []).append((outcome.path.name, text))
    for failures in alike.values():
        name, text = failures[0]
        others = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
        console.print(f"[red]{escape(name)}{others}:[/] {escape(text)}", highlight=False, soft_wrap=True)
