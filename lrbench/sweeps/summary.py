"""The summary of a sweep: a family per line of the grid and, separately, the confirmation runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from lrbench.analysis import (
    DEFAULT_METRIC,
    EPSILON,
    Axis,
    Confirmation,
    Family,
    NoOptimum,
    Optimum,
    Point,
    Record,
    Spread,
    axis_of,
    confirmation,
    default_metric,
    measures_of,
    optimum,
    parts,
    rate_text,
    read_one,
    texts_of,
)
from lrbench.components import Measure
from lrbench.runs import Status, tally
from lrbench.sweeps.plan import Plan, Planned, SweepFolder
from lrbench.sweeps.status import as_planned
from lrbench.sweeps.zoom import Step, told


@dataclass(frozen=True)
class Summary:
    """A sweep's result so far.

    Attributes:
        plan: the sweep's runs.
        measure: what learning rates are compared by: the final validation loss, or what another program measures.
        lines: a family of learning rates per line, in the order given.
        records: the records of the grid's runs.
        fresh: the fresh seeds of the lines' best learning rates, which had no part in choosing them, each with its
            line. More than one of a line if its best learning rate or the user's code changed.
        pending: line and learning rate of each fresh seed that was not begun.
        steps: of a zoom, the last step with each line.
    """

    plan: Plan
    measure: Measure
    lines: tuple[Family, ...]
    records: tuple[Record, ...]
    fresh: tuple[tuple[str, Point], ...] = ()
    pending: tuple[tuple[str, float | None], ...] = ()
    steps: Mapping[str, Step] = field(default_factory=dict)

    @property
    def zoomed(self) -> list[str]:
        """How a zoom into each line ended, in words."""
        runs = Counter(cell.series for cell in self.plan.grid)
        return [told(line, runs[line.label], self.steps[line.label]) for line in self.lines if line.label in self.steps]

    @property
    def families(self) -> tuple[Family, ...]:
        """The lines with at least one ended run, the best first."""
        ended = [
            line for line in self.lines if any(_over(record) for point in line.points for record in point.group.records)
        ]
        return tuple(sorted(ended, key=lambda family: (family.standing(self.measure), family.label)))

    @property
    def optima(self) -> dict[str, Optimum | NoOptimum]:
        """The minimum of each line's curve, or why there is none, the best line first."""
        return {family.label: optimum(family, self.measure) for family in self.families}

    @property
    def winner(self) -> tuple[Family, Point] | None:
        """The family and the best point; None if there is none."""
        found = [(family, best) for family in self.families if (best := family.best(self.measure)) is not None]
        return min(found, key=lambda pair: pair[1].standing(self.measure), default=None)

    @property
    def everything(self) -> list[Record]:
        """The records of all runs."""
        return [*self.records, *(record for _, point in self.fresh for record in point.group.records)]

    @property
    def confirmation(self) -> Confirmation | None:
        """The lines at their best learning rates, compared by fresh seeds alone; None without any."""
        best = {(line.label, point.lr) for line in self.lines if (point := line.best(self.measure)) is not None}
        groups, pending = [point.group for _, point in self.fresh], sum(cell in best for cell in self.pending)
        return confirmation(self.lines, groups, self.measure, pending=pending)

    @property
    def missing(self) -> int:
        """The number of the grid's runs without a result."""
        return sum(self.missing_as.values())

    @property
    def missing_as(self) -> dict[str, int]:
        """The grid's runs without a result, counted by what became of them."""
        return tally((record.status, record.result) for record in self.records if not _over(record))

    @property
    def dropped(self) -> int:
        """The number of the grid's runs that were dropped by hand."""
        return sum(record.result is not None and record.result.dropped for record in self.records)

    @property
    def without(self) -> dict[str, dict[str, int]]:
        """The lines without an ended run, and their runs counted by what became of them."""
        ended = {family.label for family in self.families}
        return {
            line.label: tally((r.status, r.result) for point in line.points for r in point.group.records)
            for line in self.lines if line.label not in ended
        }  # fmt: skip

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each line, learning rate and version of the user's code, and those of the confirmation."""
        known = measures_of(self.everything)
        for family in self.lines:
            best, good = family.best(self.measure), family.good(self.measure)
            for point in family.points:
                near = good is not None and point.lr is not None and good.low <= point.lr <= good.high
                edge = family.edge(self.measure) if point is best else ""
                marks: dict[str, Any] = {"best": int(point is best), "near": int(near), "edge": edge}
                marks |= _optimum(family, self.measure) if point is best else dict.fromkeys(_OPTIMUM, "")
                yield {"series": _named(family.label, point), **_row(point, known, self.measure), **marks}
        for line, point in self.fresh:
            yield {"series": _named(f"{line} (confirmation)", point), **_row(point, known, self.measure)}


def summarize(
    folder: SweepFolder,
    plan: Plan,
    epsilon: float = EPSILON,
    records: Mapping[str, Record] | None = None,
    failed: Collection[str] = (),
) -> Summary:
    """Read the runs of a plan. Unreadable ones are marked damaged and excluded from means.

    Args:
        folder: the sweep's folder.
        plan: its runs.
        epsilon: see `Family`.
        records: the runs' records by name, instead of reading them: one that lacks is pending.
        failed: the names of runs that failed without a result in their folders, such as jobs that could not start.
    """
    grid: dict[str, dict[float | None, list[Record]]] = {}
    fresh: dict[str, dict[float | None, list[Record]]] = {}
    for cell in plan.cells:
        lines = fresh if cell.confirms else grid
        lines.setdefault(cell.series, {}).setdefault(cell.lr, []).append(_read(folder, cell, records, failed))
    everything = [record for line in (*grid.values(), *fresh.values()) for found in line.values() for record in found]
    measures = measures_of(everything)
    measure = measures.get(default_metric(everything)) or measures_of([])[DEFAULT_METRIC]
    points = partial(_points, measures=measures, axis=axis_of(everything))
    made = tuple(Family(series, points(runs), epsilon) for series, runs in grid.items())
    its_own = tuple(record for family in made for point in family.points for record in point.group.records)
    begun = {series: {lr: _begun(found) for lr, found in runs.items()} for series, runs in fresh.items()}
    confirming = tuple((series, _of(series, point)) for series, runs in begun.items() for point in points(runs))
    pending = [
        (series, lr)
        for series, runs in fresh.items()
        for lr, found in runs.items()
        for _ in found[len(begun[series][lr]) :]
    ]
    return Summary(plan, measure, made, its_own, confirming, tuple(pending))


def _of(series: str, point: Point) -> Point:
    label = f"{series} at {point.group.label}"
    return replace(point, group=replace(point.group, label=label, short=label))


def _begun(records: list[Record]) -> list[Record]:
    return [record for record in records if record.status is not Status.PENDING]


def _points(
    runs: Mapping[float | None, list[Record]], measures: Mapping[str, Measure], axis: Axis
) -> tuple[Point, ...]:
    """Return the points of a line, by ascending learning rate."""
    rates = sorted(runs, key=lambda lr: lr or 0.0)
    labels = [rate_text(None) if lr is None else text for lr, text in zip(rates, texts_of(rates, "lr"), strict=True)]
    named = zip(rates, labels, strict=True)
    return tuple(Point(lr, part) for lr, label in named for part in parts(label, runs[lr], measures, axis=axis))


def _named(series: str, point: Point) -> str:
    return f"{series} ({point.group.part})" if point.group.part else series


_OPTIMUM = ("optimum", "optimum_low", "optimum_high", "no_optimum")


def _optimum(family: Family, measure: Measure) -> dict[str, Any]:
    """The minimum of the curve and its 95% interval, or why there is none."""
    found = optimum(family, measure)
    if isinstance(found, NoOptimum):
        return dict(zip(_OPTIMUM, ("", "", "", found.reason), strict=True))
    return dict(zip(_OPTIMUM, (repr(found.lr), repr(found.low), repr(found.high), ""), strict=True))


def _over(record: Record) -> bool:
    """Whether the run counts; a failed one is tried again."""
    return record.status.ended or record.status is Status.PRUNED


def _read(folder: SweepFolder, cell: Planned, records: Mapping[str, Record] | None, failed: Collection[str]) -> Record:
    run, record = folder.run(cell), None
    if (run.name in records) if records is not None else run.is_run:
        record = as_planned(cell, read_one(run) if records is None else records[run.name])
    record = record or Record(run, Status.PENDING)
    return replace(record, status=Status.FAILED) if run.name in failed and record.status.to_do else record


def _row(point: Point, known: dict[str, Measure], compared: Measure) -> dict[str, Any]:
    states = [record.status for record in point.group.records]
    row: dict[str, Any] = {
        "lr": "" if point.lr is None else repr(point.lr),
        "seeds": len(states),
        "finished": sum(state.complete for state in states),
        "diverged": states.count(Status.DIVERGED),
        "pruned": states.count(Status.PRUNED),
        "failed": sum(state in (Status.FAILED, Status.DAMAGED) for state in states),
        "missing": sum(not state.over for state in states),
    }
    for name, measure in known.items():
        if not name.startswith(("train_", "best_", "test_best_")):
            spread = _spread(point, measure, compared)
            for which in ("centre", "median", "low", "high"):
                key = name if which == "centre" else f"{name}_{which}"
                row[key] = "" if spread is None else repr(getattr(spread, which))
    return row


def _spread(point: Point, measure: Measure, compared: Measure) -> Spread | None:
    """Summarise the ended seeds; None if any was pruned, since the others are a biased selection.

    A lost seed counts as the worst value of the compared metric in the median.
    """
    if point.pruned:
        return None
    lost = point.lost(measure) if measure.name == compared.name else 0
    return Spread.ranked([*point.values(measure), *[None] * lost], logs=measure.by_ratio, lower=measure.lower)
