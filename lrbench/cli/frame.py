"""What `lrbench watch` shows: a sweep's progress, its families, the cells under way, failures, and what is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lrbench.analysis import Family, Finalist, Record, RunsReader, at_best, rate_text
from lrbench.cli.columns import show_more, show_table
from lrbench.cli.tables import sparkline
from lrbench.cli.terminal import inline
from lrbench.errors import counted, printable
from lrbench.reports import Column, families_table
from lrbench.runs import Status
from lrbench.server import CellShown, Plans, SweepShown, sweeps_shown
from lrbench.sweeps import Summary, decided, summarize

FAMILIES, CELLS, FAILURES, LINES, DECIDED = 10, 12, 3, 3, 6
"""Most families, cells under way, failures, last lines of each, and decided learning rates that are shown."""
SHOWN = ("series", "lr", "optimum", "chosen", "fresh", "difference")
"""The columns of the report's table of families that are shown."""
BAR, SPARK, WIDE = 24, 16, 100  # characters; from the last on, there is room for more values


@dataclass
class Watched:
    """The runs that are watched; `look` reads what has changed.

    Attributes:
        plans: the sweeps of each folder of runs.
        reader: reads the runs.
        only: the name of the only sweep to show; None for all.
    """

    plans: Sequence[Plans]
    reader: RunsReader
    only: str | None = None
    sweeps: Sequence[SweepShown] = ()
    summaries: dict[tuple[int, str], Summary] = field(default_factory=dict)
    _version: int = -1

    def look(self) -> None:
        """Read what has changed."""
        self.reader.look()
        shown = sweeps_shown(self.plans, self.reader.records)
        self.sweeps = [one for one in shown if self.only is None or one.name == self.only]
        if self.reader.version != self._version:
            self._version = self.reader.version
            self.summaries = {(one.root, one.name): made for one in self.sweeps if (made := self._summary(one))}

    def _summary(self, shown: SweepShown) -> Summary | None:
        if not shown.name:
            return None
        root = self.plans[shown.root]
        plan = next((plan for folder, plan in root.read() if folder.name == shown.name), None)
        folder = root.named(shown.name)
        if plan is None or folder is None:
            return None
        mine = {one.folder.path.name: one for one in self.reader.records if one.folder.path.parent == root.root}
        return summarize(folder, plan, records=mine)

    @property
    def records(self) -> Mapping[str, Record]:
        """The runs by the names of their folders."""
        return {record.folder.path.name: record for record in self.reader.records}


def show_frame(console: Console, watched: Watched, *, most: int = 5) -> None:
    """Print all of it: the `most` latest sweeps, those under way first."""
    sweeps = sorted(watched.sweeps, key=lambda one: (one.over, not one.running))
    if not sweeps:
        where = ", ".join(str(plans.root) for plans in watched.plans)
        console.print(inline(f"No sweep or run is under way in {where}."), style="dim")
    records = watched.records
    for number, shown in enumerate(sweeps[:most]):
        if number:
            console.print()
        _show(console, shown, watched.summaries.get((shown.root, shown.name)), records)
    show_more(console, len(sweeps) - most, "sweep", "name one to see it")


def _show(console: Console, shown: SweepShown, summary: Summary | None, records: Mapping[str, Record]) -> None:
    _show_head(console, shown)
    if summary is not None and summary.families:
        _show_families(console, summary)
    _show_running(console, shown, records)
    _show_failed(console, shown)
    if summary is not None and not shown.over:
        _show_decided(console, summary, shown)


def _show_head(console: Console, shown: SweepShown) -> None:
    """Print the name, a bar, how many runs have ended, the time left, and what was asked."""
    if shown.name:
        line = Table.grid(padding=(0, 2))
        line.add_row(
            Text(printable(shown.name), style="bold", overflow="ellipsis", no_wrap=True),
            ProgressBar(shown.total, shown.done, width=BAR, complete_style="green", finished_style="green"),
            f"{shown.done:,} of {counted(shown.total, 'run')}",
            f"[cyan]{inline(shown.left)}[/]" if shown.left else "",
        )
        console.print(line)
    else:
        console.print("Runs outside sweeps", style="bold")
    said = [", ".join(shown.counts), *shown.asked]
    if shown.stopping and not shown.over:
        said.append("stopping after the current runs")
    begun = shown.done or any(Status.INTERRUPTED.words in text for text in shown.counts)
    if begun and shown.to_do and not shown.running:
        said.append("no process is training them; the same command resumes")
    if any(said):
        console.print(inline("; ".join(filter(None, said))), style="dim")


def _show_families(console: Console, summary: Summary) -> None:
    """Print the families, the best first; they are compared once no run is missing."""
    found = at_best(summary.families, summary.measure, summary.confirmation)
    table = families_table(found)
    known = {
        column.key(one): column
        for one in table.rows[:1]
        for column in table.columns
        if not (column.decides and summary.missing)
    }
    wanted = [_on_one_line(known[name]) for name in SHOWN if name in known]
    ended = [Column[Finalist]("runs ended", lambda one: _ended(one.family), lambda one: {})] if summary.missing else []
    table = replace(table, columns=[*wanted, *ended], same="")
    rows = list(table.rows)
    show_table(console, replace(table, rows=rows[:FAMILIES]))
    show_more(console, len(rows) - FAMILIES, "family", "lrbench report shows all")
    if summary.missing and len(rows) > 1:
        console.print("Results so far. Families are compared once all runs have ended.", style="dim")


def _on_one_line(column: Column[Finalist]) -> Column[Finalist]:
    """Return a column without the second lines of its values: a screen has few."""
    return column if column.decides else replace(column, short=lambda one: column.lines(one)[:1])


def _ended(family: Family) -> str:
    """`7/15`."""
    statuses = [record.status for point in family.points for record in point.group.records]
    return f"{sum(status.over for status in statuses)}/{len(statuses)}"


def _show_running(console: Console, shown: SweepShown, records: Mapping[str, Record]) -> None:
    """Print the cells under way: how far, the last values, and the curve of the loss."""
    if not shown.running:
        return
    console.print(f"\n[bold]Under way[/] [dim]({len(shown.running)})[/]")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(overflow="fold")
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="ellipsis", no_wrap=True)
    wide = console.width >= WIDE
    for cell in shown.running[:CELLS]:
        values = cell.words if wide else cell.words.partition(", ")[0]
        grid.add_row(f"  {inline(cell.label)}", _place(cell, wide), _curve(records.get(cell.run)), inline(values))
    console.print(grid)
    show_more(console, len(shown.running) - CELLS, "cell", "")


def _place(cell: CellShown, wide: bool) -> str:
    """`step 120/600`, or `20 %` where there is little room."""
    if cell.step is None:
        return "starting"
    if cell.total and not wide:
        return f"{cell.step / cell.total:.0%}".replace("%", " %")
    return f"step {cell.step:,}{f'/{cell.total:,}' if cell.total else ''}"


def _curve(record: Record | None) -> str:
    """The losses of a run's evaluations as a sparkline, those on validation data if there are any."""
    if record is None:
        return ""
    for name in ("val_loss", "train_loss"):
        values = record.epochs.known(name).tolist()
        if len(values) > 1:
            return sparkline(values, SPARK)
    return ""


def _show_failed(console: Console, shown: SweepShown) -> None:
    """Print why cells failed, with the last lines of their logs."""
    alike: dict[str, list[CellShown]] = {}
    for cell in shown.failed:
        alike.setdefault(cell.words.replace(cell.run, ""), []).append(cell)
    if alike:
        console.print()
    for cells in list(alike.values())[:FAILURES]:
        first, others = cells[0], f" and {len(cells) - 1} more" * (len(cells) > 1)
        console.print(f"[red]! {inline(first.label)}{others}:[/] {inline(first.words)}")
        lines = [line for line in first.lines if line.strip(" ~^") and line.strip() not in first.words]
        for line in lines[-LINES:]:
            console.print(f"    {inline(line)}", style="dim", overflow="ellipsis", no_wrap=True)
    show_more(console, sum(map(len, list(alike.values())[FAILURES:])), "failure", "")


def _show_decided(console: Console, summary: Summary, shown: SweepShown) -> None:
    """Print what could be dropped, but for what is to be dropped already."""
    found = [one for one in decided(summary) if not shown.dropped.issuperset(one.runs)]
    if not found:
        return
    console.print("\n[bold]Could be dropped[/] [dim](unlikely to become the best of their family)[/]")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(overflow="fold", max_width=32)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for one in found[:DECIDED]:
        count = f"{counted(len(one.runs), 'run')}"
        names = ", ".join(one.runs[:2]) + ("" if len(one.runs) < 3 else ", …")
        place = f"  {inline(one.series)} at {rate_text(one.lr)}"
        grid.add_row(place, count, f"{inline(one.reason)}\n[dim]{inline(names)}[/]")
    console.print(grid)
    show_more(console, len(found) - DECIDED, "learning rate", "")
