"""A sweep in the terminal: a live table of its cells by rate and line, or plain lines; its summary; its status."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lrbench.analysis.format import duration, loss, percent
from lrbench.cli.progress import Lines, ending
from lrbench.events import Event
from lrbench.sweeps.plan import Planned, SweepFolder
from lrbench.sweeps.status import OVER, Board, board_of
from lrbench.sweeps.summary import Curve, Summary
from lrbench.sweeps.words import words

if TYPE_CHECKING:
    from types import TracebackType

    from lrbench.sweeps.estimate import Estimate
    from lrbench.sweeps.sweep import Sweep

MARKS = {
    "new": ("·", "dim"),
    "interrupted": ("◌", "dim"),
    "running": ("▸", "cyan"),
    "paused": ("‖", "cyan"),
    "finished": ("●", "green"),
    "stopped_early": ("●", "green"),
    "diverged": ("✕", "red"),
    "pruned": ("✂", "yellow"),
    "failed": ("!", "bold red"),
    "damaged": ("!", "bold red"),
}
LEGEND = "● finished  ▸ running  ‖ waiting  · to do  ◌ interrupted  ✕ diverged  ✂ pruned  ! failed"
SHOWN_SECONDS = 0.25


def table_of(board: Board, height: int | None = None) -> RenderableType:
    """Rates down, lines across; in each cell a mark for each seed, and the median loss."""
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
    """All rates; where they are too many for the screen, first those at which runs are under way."""
    rates, room = board.plan.rates, max(height or 0, 4)
    if height is None or len(rates) <= room:
        return rates
    busy = {cell.lr for cell in board.plan.cells if board.state[cell.run] == "running"}
    first = [lr for lr in rates if lr in busy] + [lr for lr in rates if lr not in busy]
    return [lr for lr in rates if lr in first[:room]]


def _cell(board: Board, cells: Sequence[Planned]) -> Text:
    text = Text()
    for cell in cells:
        mark, style = MARKS[board.state[cell.run]]
        text.append(mark, style)
    losses = [board.loss[c.run] for c in cells if board.state[c.run] in OVER and c.run in board.loss]
    running = [c.run for c in cells if board.state[c.run] == "running"]
    if losses:
        text.append(f" {loss(statistics.median(losses))}")
    if running:
        part = sum(board.done.get(run, 0.0) for run in running) / len(running)
        now = [board.loss[run] for run in running if run in board.loss]
        text.append(f" {part:.0%}" + (f" {loss(now[0])}" if now else ""), "cyan")
    return text


def _line(cell: Planned) -> str:
    return f"{cell.series} (confirmation)" if cell.confirms else cell.series


class LiveTable:
    """The board, redrawn as events come; on a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.board: Board | None = None
        self.live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self.drawn = 0.0

    def __enter__(self) -> LiveTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        if event.kind == "end" and event.values.get("status") == "failed":
            self.live.console.print(f"[red]{escape(event.run)}:[/] {escape(ending(event.values))}", highlight=False)
        if event.kind in ("plan", "end") or time.monotonic() - self.drawn > SHOWN_SECONDS:
            self.drawn = time.monotonic()
            room = self.console.size.height - 8
            head = Text(f"{self.board.tally()}{_left(self.board)}", style="bold")
            self.live.update(Group(head, table_of(self.board, room)), refresh=True)


class SweepLines:
    """A line for each run that is over, with the count and the time left; where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console, self.lines = console, Lines(console)
        self.board: Board | None = None

    def __enter__(self) -> SweepLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        if event.kind == "end":
            count = f"{self.board.count(*OVER)}/{len(self.board.state)}"
            text = f"{count} {event.run}: {ending(event.values)}{_left(self.board)}"
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _board(event: Event) -> Board:
    """The board of a sweep as it begins, with what was found done."""
    board = Board(event.values["plan"])
    for run, result in event.values["results"].items():
        board.ended(run, result)
    return board


def _left(board: Board) -> str:
    seconds = board.seconds_left
    return "" if seconds is None else f"; about {duration(seconds)} left"


def display(console: Console) -> LiveTable | SweepLines:
    """The table on a terminal, lines elsewhere."""
    return LiveTable(console) if console.is_terminal else SweepLines(console)


def show_status(console: Console, folder: SweepFolder) -> None:
    """Where a sweep stands. Raises FolderError where it has no plan."""
    plan = folder.plan()
    board = board_of(folder, plan)
    seconds = [
        float(result["seconds"])
        for cell in plan.cells
        if board.state[cell.run] in ("finished", "stopped_early")
        and (result := folder.run(cell).result())
        and result.get("seconds")
    ]
    left = ""
    if seconds and board.left and board.count("running"):
        each = statistics.median(seconds)
        left = f"; about {duration(each * board.left / board.count('running'))} left"
    console.print(f"[bold]{escape(folder.name)}[/]  {escape(board.tally())}{left}", highlight=False)
    console.print(table_of(board))


def show_plan(console: Console, asked: Sweep, expected: Estimate) -> None:
    """The runs of a sweep that is only thought of, what they cost, what is done already."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for heading in ("run", "line", "rate", "seed", "budget", ""):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("rate", "seed") else "left")
    for cell, planned, outcome in zip(asked.cells, asked.plan.cells, asked.outcomes, strict=True):
        experiment = cell.experiment
        budget = f"{experiment.epochs} epochs" if experiment.epochs else f"{experiment.steps:,} steps"
        rate = "default" if planned.lr is None else f"{planned.lr:.3g}"
        state = {"found": "done", "interrupted": "to do"}.get(outcome.how, f"[red]{escape(outcome.message)}[/]")
        table.add_row(planned.run, escape(planned.series), rate, str(planned.seed), budget, state)
    console.print(table)
    were = "was" if asked.duplicates == 1 else "were"
    twice = f" ({asked.duplicates} more {were} the same as another)" if asked.duplicates else ""
    done = len(asked.cells) - len(asked.todo)
    plural = "s" * (len(asked.cells) != 1)
    console.print(f"{len(asked.cells)} run{plural}{twice}, {done} of them done already.", highlight=False)
    if asked.todo:
        cost = f"{expected.updates:,} updates in {len(asked.todo)} runs, {expected.jobs} at a time"
        console.print(f"{cost}: about {duration(expected.seconds)} here.", highlight=False)
    tests = ", and the range tests of lr: auto" if asked.auto else ""
    console.print(f"Nothing was trained but a trial of two seconds for each kind of run{tests}.", style="dim")


def show_outcome(console: Console, done: Sweep, summary: Summary) -> None:
    """The summary, and what went wrong."""
    show_summary(console, summary)
    found = sum(outcome.how == "found" for outcome in done.outcomes)
    if found:
        were = "was" if found == 1 else "were"
        text = f"{found} of {len(done.outcomes)} {were} done already (--again trains anew)."
        console.print(text, highlight=False)
    warned = Counter(warning for outcome in done.outcomes for warning in outcome.warnings)
    for warning, count in warned.items():
        console.print(f"[yellow]{count} run{'s' * (count > 1)}:[/] {escape(warning)}", highlight=False)
    alike: dict[str, list[tuple[str, str]]] = {}
    for outcome in done.outcomes:
        if outcome.how in ("failed", "elsewhere"):
            text = outcome.message.removeprefix(f"{outcome.path.name}: ")
            alike.setdefault(text.partition("\n")[0], []).append((outcome.path.name, text))
    for failures in alike.values():
        name, text = failures[0]
        others = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
        console.print(f"[red]{escape(name)}{others}:[/] {escape(text)}", highlight=False, soft_wrap=True)


def show_summary(console: Console, summary: Summary) -> None:
    """The best rate of each line, and what is to be known of it, in sentences."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    longest = max((len(curve.series) for curve in summary.curves), default=0)
    table.add_column("", overflow="fold", min_width=min(longest, 12))
    diverged = any(point.count("diverged") for curve in summary.curves for point in curve.points)
    headings = ["best rate", "validation loss", "test accuracy", "seeds", "rates near it"]
    for heading in headings + ["diverged"] * diverged:
        table.add_column(heading.replace(" ", "\n"), justify="right", no_wrap=True)
    for curve in summary.curves:
        table.add_row(escape(curve.series), *_summed(curve, summary.epsilon)[: len(table.columns) - 1])
    console.print(table)
    for line in words(summary):
        console.print(line, markup=False, highlight=False)


def _summed(curve: Curve, epsilon: float) -> tuple[str, ...]:
    """A line of the summary's table."""
    best = curve.best
    bad = sum(point.count("diverged") > 0 for point in curve.points)
    lost = f"at {bad} of {len(curve.points)}"
    value = best.spread("val_loss") if best is not None else None
    if best is None or value is None:
        return ("–", "–", "–", "–", "–", lost)
    accuracy, error, near = best.spread("test_accuracy"), best.spread("test_loss"), curve.near(epsilon)
    tested = "–" if error is None else f"loss {loss(error.median)}"
    return (
        "default" if best.lr is None else f"{best.lr:.3g}{' (edge)' if curve.edge else ''}",
        f"{loss(value.median)}\n[dim]{value.low:.3g}–{value.high:.3g}[/]" if value.n > 1 else loss(value.median),
        tested if accuracy is None else percent(accuracy.median),
        f"{value.n} of {len(best.cells)}" if value.n < len(best.cells) else str(value.n),
        "–" if near is None or near[0] == near[1] else f"{math.log10(near[1] / near[0]):.1f} decades",
        lost,
    )
