"""What is under way in folders of runs: each sweep's progress, its running, failed and pending cells, and requests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lrbench.analysis import Record
from lrbench.components import LOSS, in_words
from lrbench.errors import FolderError, LrbenchError, UsageError, counted
from lrbench.runs import Status, last_row, tally
from lrbench.sweeps import (
    Decided,
    Plan,
    Requests,
    SweepFolder,
    as_planned,
    decided,
    find_sweeps,
    left_words,
    requests_of,
    summarize,
    time_left,
)

MOST_LISTED = 50
"""Cells of a kind that are listed; a thousand pending ones are only counted."""
LINES = 12
"""Last lines that are shown of what a failed run left."""


@dataclass(frozen=True)
class CellShown:
    """A run of a sweep, or of none: what tells it from others, how far it is, and what it left if it failed."""

    run: str
    label: str
    step: int | None = None
    total: int | None = None
    words: str = ""
    lines: Sequence[str] = ()
    log: str = ""


@dataclass(frozen=True)
class SweepShown:
    """A sweep, or runs of no sweep that are under way (without a name).

    Attributes:
        root: the number of the folder of runs among those that are shown.
        name: the sweep's name.
        done: runs that have ended, in whatever way, of `total`.
        counts: the number of cells in each state that there is, in words.
        left: the time left in words; empty if it can't be told.
        running: the cells under way.
        failed: those that failed or are damaged; `lost` counts them in words.
        pending: those to do.
        asked: other requests, in words.
        stopping: whether it was asked to start no more runs.
        dropped: the runs that are to be dropped.
        left_out: those that ended because a person had them dropped.
        families: the names of its lines.
        decided: the cells that can hardly change the answer, with the reason.
    """

    root: int
    name: str
    done: int
    total: int
    counts: Sequence[str]
    left: str = ""
    running: Sequence[CellShown] = ()
    failed: Sequence[CellShown] = ()
    pending: Sequence[CellShown] = ()
    to_do: int = 0
    asked: Sequence[str] = ()
    stopping: bool = False
    dropped: frozenset[str] = frozenset()
    left_out: Sequence[CellShown] = ()
    families: Sequence[str] = ()
    decided: Sequence[CellShown] = ()
    lost: Sequence[str] = ()

    @property
    def over(self) -> bool:
        """Whether all runs have ended."""
        return self.done == self.total

    @property
    def open(self) -> bool:
        """Whether there is something to watch or to decide: runs that have not ended, or were dropped."""
        return not self.over or bool(self.left_out)


@dataclass
class Plans:
    """The sweeps of a folder of runs; a plan is read again only if its file has changed.

    Raises UsageError if `root` is a file.
    """

    root: Path
    _known: dict[Path, tuple[int, Plan | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.root.is_file():
            raise UsageError(f"{self.root} is a file; name a folder of runs")

    def read(self) -> list[tuple[SweepFolder, Plan]]:
        """Return the sweeps with their plans, the most recent first, without damaged ones."""
        found = []
        for folder in self._sweeps():
            stamp = folder.planned_at
            known = self._known.get(folder.path)
            if known is None or known[0] != stamp:
                known = self._known[folder.path] = (stamp, _plan(folder))
            if known[1] is not None:
                found.append((folder, known[1]))
        return found

    def named(self, name: str) -> SweepFolder | None:
        """Return the sweep of this name; None if there is none."""
        return next((folder for folder in self._sweeps() if folder.name == name), None)

    def _sweeps(self) -> list[SweepFolder]:
        try:
            return find_sweeps(self.root)
        except OSError:  # gone while it was looked at
            return []


def _plan(folder: SweepFolder) -> Plan | None:
    try:
        return folder.plan()
    except (LrbenchError, OSError):
        return None


def sweeps_shown(
    roots: Sequence[Plans], records: Iterable[Record], settled: Mapping[Path, Sequence[Decided]] | None = None
) -> list[SweepShown]:
    """Return the sweeps of all folders, and the other runs under way.

    Args:
        roots: the folders of runs.
        records: the runs in them.
        settled: what is decided in each sweep; see `settled_in`.
    """
    by_path = _by_path(records)
    found: list[SweepShown] = []
    planned: set[str] = set()
    for number, plans in enumerate(roots):
        for folder, plan in plans.read():
            runs = _of_plan(plans, plan, by_path)
            planned.update(str(record.folder.path) for record in runs.values() if record is not None)
            found.append(_sweep(number, folder, plan, runs, (settled or {}).get(folder.path, ())))
    alone = [one for path, one in by_path.items() if one.status is Status.RUNNING and path not in planned]
    if alone:
        shown = [_running(record, record.folder.name) for record in alone[:MOST_LISTED]]
        found.append(SweepShown(-1, "", 0, len(alone), _counts(alone), running=shown))
    return found


def settled_in(roots: Sequence[Plans], records: Iterable[Record]) -> dict[Path, list[Decided]]:
    """Return by folder what is decided in the sweeps that are not done; it takes as long as a sweep's summary."""
    by_path = _by_path(records)
    found = {}
    for plans in roots:
        for folder, plan in plans.read():
            runs = {run: record for run, record in _of_plan(plans, plan, by_path).items() if record is not None}
            if any(not record.status.over for record in runs.values()):
                with contextlib.suppress(LrbenchError):
                    found[folder.path] = decided(summarize(folder, plan, records=runs))
    return found


def _by_path(records: Iterable[Record]) -> dict[str, Record]:
    """Return the runs by their paths as text: to join and hash thousands of paths each second takes too long."""
    return {str(record.folder.path): record for record in records}


def _of_plan(plans: Plans, plan: Plan, by_path: Mapping[str, Record]) -> dict[str, Record | None]:
    """Return the run of each cell; None for one without a folder."""
    before = str(plans.root / "x").removesuffix("x")  # not `./`, which paths leave out
    return {
        cell.run: None if (record := by_path.get(f"{before}{cell.run}")) is None else as_planned(cell, record)
        for cell in plan.cells
    }


def _sweep(
    number: int, folder: SweepFolder, plan: Plan, runs: Mapping[str, Record | None], settled: Sequence[Decided]
) -> SweepShown:
    states = {run: Status.PENDING if record is None else record.status for run, record in runs.items()}
    label = plan.labels
    there = [(run, record) for run, record in runs.items() if record is not None]
    running = [_running(record, label[run]) for run, record in there if states[run] is Status.RUNNING]
    failed = [_failed(record, label[run]) for run, record in there if states[run] in (Status.FAILED, Status.DAMAGED)]
    to_do = [run for run, state in states.items() if state.to_do]
    asked = _asked(folder, plan)
    return SweepShown(
        number,
        folder.name,
        done=sum(state.over for state in states.values()),
        total=len(states),
        counts=_counts(runs.values()),
        lost=_counts(record for _, record in there if record.status in (Status.FAILED, Status.DAMAGED)),
        left=_left([record for _, record in there], running, to_do, asked.dropped),
        running=running[:MOST_LISTED],
        failed=failed[:MOST_LISTED],
        pending=[CellShown(run, label[run], words=states[run].words) for run in to_do[:MOST_LISTED]],
        to_do=len(to_do),
        asked=[f"asked for {one.words}" for one in asked.seeds],
        stopping=asked.stop,
        dropped=asked.dropped,
        left_out=[
            _left_out(record, label[run], run in asked.dropped)
            for run, record in there
            if record.result is not None and record.result.dropped and states[run].over
        ][:MOST_LISTED],
        families=plan.series,
        decided=[
            CellShown(run, label[run], words=one.reason)
            for one in settled
            for run in one.runs
            if run in label and not states[run].over
        ],
    )


def _asked(folder: SweepFolder, plan: Plan) -> Requests:
    try:
        return requests_of(folder, plan)
    except (FolderError, OSError):
        return Requests()


def _counts(records: Iterable[Record | None]) -> list[str]:
    told = tally((Status.PENDING, None) if record is None else (record.status, record.result) for record in records)
    return [f"{count:,} {words}" for words, count in told.items()]


def _running(record: Record, label: str) -> CellShown:
    """Return how far a run is by its last step, or else its last evaluation."""
    last: Mapping[str, float] = {}
    for path in (record.folder.steps.path, record.folder.epochs.path):
        with contextlib.suppress(LrbenchError, OSError, ValueError):
            last = last or last_row(path)
    step = int(last["step"]) if "step" in last else None
    total = record.recorded.total_steps or record.environment.sizes.total_steps
    columns = {f"val_{name}": metric for name, metric in record.metrics.items() if f"val_{name}" in record.epochs}
    found = {name: record.epochs.known(name) for name in columns}
    values = [f"{in_words(name)} {columns[name].text(float(row[-1]))}" for name, row in found.items() if len(row)]
    if not values and "loss" in last:
        values = [f"training loss {LOSS.text(last['loss'])}"]
    return CellShown(record.folder.name, label, step, total, ", ".join(values[:2]))


def _left_out(record: Record, label: str, dropped: bool) -> CellShown:
    """Return how far a dropped run got, and whether it stays dropped."""
    steps = 0 if record.result is None else record.result.steps or 0
    words = f"dropped after {counted(steps, 'step')}" if steps else "dropped before it started"
    return CellShown(record.folder.name, label, words=words if dropped else f"{words}; to be trained after all")


def _failed(record: Record, label: str) -> CellShown:
    """Return why a run failed and the last lines that it left."""
    lines: Sequence[str] = []
    log = ""
    for path in filter(None, (record.folder.error_log, record.folder.output, record.folder.job_log)):
        if lines := record.folder.last_lines(path, LINES):
            log = path.name
            break
    reason = record.problem or (record.result.reason if record.result is not None else "")
    return CellShown(record.folder.name, label, words=reason.partition("\n")[0], lines=lines, log=log)


def _left(
    records: Iterable[Record], running: Sequence[CellShown], to_do: Sequence[str], dropped: frozenset[str]
) -> str:
    """Tell the time left, in which nothing is done of runs that are to be dropped; empty if it can't be told."""
    kept = [cell for cell in running if cell.run not in dropped]
    parts = [1 - cell.step / cell.total for cell in kept if cell.step is not None and cell.total]
    work = len(set(to_do) - dropped) + sum(parts) + (len(kept) - len(parts)) / 2
    seconds = (r.result.seconds for r in records if r.result is not None and r.status.complete and r.result.seconds)
    return left_words(time_left(seconds, work, len(running)))
