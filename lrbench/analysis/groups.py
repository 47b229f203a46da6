"""A group: runs that differ only in their seed, and what they show together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lrbench.analysis.bands import Band, band_of
from lrbench.analysis.estimates import standing
from lrbench.analysis.evaluations import Axis
from lrbench.analysis.lengths import planned_epochs, planned_steps, steps_per_epoch
from lrbench.analysis.measures import measures_of
from lrbench.analysis.once import once
from lrbench.analysis.plateaus import on_plateau
from lrbench.analysis.records import Record
from lrbench.analysis.spread import Spread
from lrbench.analysis.statistics import Values
from lrbench.analysis.verdicts import Beside, Verdict, revised
from lrbench.components import Measure
from lrbench.errors import counted
from lrbench.runs import Status, listed, tally


class Judged(NamedTuple):
    """A group's verdict, the run whose curves gave it, how many runs have it, and how many have one."""

    verdict: Verdict
    record: Record
    having: int
    of: int


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed, with a label that is unique in the report, and the report's measures.

    `part` says what tells it from other groups of the same experiment: the version of the user's code, or that it
    confirms. `axis` is what the report's curves are drawn over. `beside` is what the report's other learning rates of
    the same family show. `short` is the label in words, without what all groups of the report share (`batch size 16,
    lr 0.00949`), and `told` has the same as texts by key (`batch size` → `16`), for columns.
    """

    label: str
    records: tuple[Record, ...]
    measures: Mapping[str, Measure] = field(default_factory=dict, repr=False, compare=False)
    part: str = ""
    axis: Axis = field(default="epoch", compare=False)
    beside: Beside | None = field(default=None, repr=False, compare=False)
    short: str = field(default="", compare=False)
    told: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    _values: dict[str, tuple[Values, Values]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _reached: dict[str, dict[int | str, float]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _spreads: dict[str, Spread | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    _standing: dict[tuple[str, int], tuple[float, float]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not self.short:
            object.__setattr__(self, "short", self.label)

    @property
    def first(self) -> Record:
        """The run with the lowest seed."""
        return self.records[0]

    @property
    def foreign(self) -> bool:
        """Whether another program trained the runs."""
        return self.first.foreign

    def values(self, metric: str) -> Values:
        """Return the metric by seed, of the runs that reached their end and neither diverged nor are on a plateau.

        A run of an unknown seed, or of one that another has, is named by its folder, so that it pairs with none.
        """
        return self._split(metric)[0]

    def plateau(self, metric: str) -> Values:
        """Return the metric by seed, of the runs that ended on a plateau far from the others."""
        return self._split(metric)[1]

    def _split(self, metric: str) -> tuple[Values, Values]:
        """Return the values of runs that are not on a plateau, and of those that are; computed once."""
        if metric not in self._values:
            found, known = self.reached(metric), self.measures or measures_of(self.records)
            stuck = on_plateau(found, lower=known[metric].lower) if metric in known else frozenset()
            kept = {seed: value for seed, value in found.items() if seed not in stuck}
            self._values[metric] = kept, {seed: value for seed, value in found.items() if seed in stuck}
        return self._values[metric]

    def reached(self, metric: str) -> dict[int | str, float]:
        """Return the metric by seed, of all runs that reached their end without diverging and have it."""
        if metric not in self._reached:
            found: dict[int | str, float] = {}
            for record in self.records:
                value = record.metric(metric) if record.status.complete else None
                if value is not None:
                    seed = record.plain.get("seed", None if record.foreign else 0)
                    found[str(record.folder.path) if seed is None or seed in found else seed] = value
            self._reached[metric] = found
        return dict(self._reached[metric])

    def by_ratio(self, metric: str) -> bool:
        """Whether the values of a metric are averaged by their geometric mean."""
        known = self.measures or measures_of(self.records)
        return metric in known and known[metric].by_ratio

    @cached_property
    def pruned(self) -> int:
        """Number of pruned seeds, also those dropped by hand: the others are a selection, of which no mean is told."""
        return sum(record.status is Status.PRUNED for record in self.records)

    @property
    def selection(self) -> str:
        """Say why there is no mean: `1 of its 3 seeds was dropped, so the others are a selection`."""
        pruned = [(r.status, r.result) for r in self.records if r.status is Status.PRUNED]
        how = " or ".join(tally(pruned))
        were = "was" if len(pruned) == 1 else "were"
        share = f"{len(pruned)} of its {counted(len(self.records), 'seed')} {were} {how}"
        return share if len(pruned) == len(self.records) else f"{share}, so the others are a selection"

    def counted(self, metric: str) -> Values:
        """Return the values that means and comparisons are made of: those of `values`, none if a seed was pruned."""
        return {} if self.pruned else self.values(metric)

    def spread(self, metric: str) -> Spread | None:
        """Summarise the values of a metric; None if a seed was pruned."""
        if metric not in self._spreads:
            self._spreads[metric] = Spread.of(self.counted(metric).values(), logs=self.by_ratio(metric))
        return self._spreads[metric]

    def lost(self, metric: str) -> int:
        """Count the seeds that diverged, failed, ended on a plateau, or without a finite value of the metric."""
        return sum(r.status.lost or r.lacks(metric) for r in self.records) + len(self.plateau(metric))

    def standing(self, measure: Measure) -> tuple[float, float]:
        """Return what groups are ordered by, the best first: the share of lost seeds, then the centre.

        Infinite without a value, and if a seed was pruned.
        """
        name = measure.name
        if (name, measure.sign) not in self._standing:
            values, lost = list(self.counted(name).values()), self.lost(name)
            self._standing[name, measure.sign] = standing(values, lost, logs=self.by_ratio(name), sign=measure.sign)
        return self._standing[name, measure.sign]

    def seconds(self) -> Spread | None:
        """Summarise the training time, without evaluation."""
        return Spread.of(record.result.seconds for record in self.records if record.result is not None)

    @property
    def reference(self) -> dict[str, Any]:
        """The published result of the first run that has one."""
        return next((r.plain["reference"] for r in self.records if r.plain.get("reference")), {})

    def status(self) -> str:
        """Describe the status of the runs in a few words."""
        texts = [_status(record) for record in self.records]
        if len(set(texts)) == 1:
            return texts[0]
        counts = tally((record.status, record.result) for record in self.records)
        return listed(counts)

    def verdict(self) -> Judged | None:
        """Return the most common verdict on the curves, as other learning rates of the family leave it.

        None before the end of all runs. What the family shows is of all seeds.
        """
        return self._judged

    @cached_property
    def _judged(self) -> Judged | None:
        found = [(record.verdict, record) for record in self.records if record.verdict is not None]
        if not found:
            return None
        label, count = Counter(one.label for one, _ in found).most_common(1)[0]
        verdict, record = next((one, record) for one, record in found if one.label == label)
        if self.beside is None:
            return Judged(verdict, record, count, len(found))
        final = revised(verdict, self.beside)
        return Judged(final, record, count if final.label == label else len(found), len(found))

    def curve(self, column: str) -> Band:
        """Return a column of `epochs.csv` over the seeds, without places for which no seed has a number."""
        return once(self.records, ("band", column, self.axis), lambda: band_of(self.records, column, self.axis))

    def rates(self, *, closely: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Return the places and the learning rates of the first run's steps, or only of its evaluations.

        Seeds share the schedule. If not `closely`, `steps.csv` is not read.
        """
        record, rows = self.first, self.first.epochs
        steps, rates = record.rates() if closely else (rows["step"].astype(float), rows["lr"].astype(float))
        if not self.foreign:
            return (steps / steps_per_epoch(record), rates) if self.axis == "epoch" else (steps, rates)
        places, known = record.places(self.axis), record.places("step")
        if places is None or not len(places):
            return np.empty(0), np.empty(0)
        if self.axis == "step":
            at = steps
        elif known is None:
            at, rates = places, rows["lr"].astype(float)
        else:
            at = np.interp(steps, np.append(0, known), np.append(0, places))
        there = np.isfinite(rates) & np.isfinite(at)
        return at[there], rates[there]

    @property
    def last(self) -> float:
        """The place of the last evaluation; 0 without one."""
        found = [places for r in self.records if (places := r.places(self.axis)) is not None and len(places)]
        return max((float(places[-1]) for places in found), default=0.0)

    @property
    def planned(self) -> int:
        """How long the longest run is meant to be, on the axis; 0 if that is unknown."""
        ask = {"epoch": planned_epochs, "step": planned_steps}.get(self.axis)
        return 0 if ask is None else max((ask(record) or 0 for record in self.records), default=0)


def axis_of(records: Sequence[Record]) -> Axis:
    """Return what the curves of runs are drawn over: epochs if all runs know them, else steps, else evaluations."""
    foreign = [record for record in records if record.foreign and len(record.epochs)]
    axes: tuple[Axis, ...] = ("epoch", "step")
    return next((axis for axis in axes if all(r.places(axis) is not None for r in foreign)), "evaluation")


def _status(record: Record) -> str:
    result, status = record.result, record.status
    if status is Status.DIVERGED and result is not None:
        return "diverged" if result.steps is None else f"diverged at update {result.steps}"
    if status is Status.STOPPED_EARLY and result is not None and result.epochs is not None:
        return f"stopped early after {counted(result.epochs, 'epoch')}"
    if status in (Status.INTERRUPTED, Status.RUNNING):
        return f"{status.words}, {_done(record)}"
    return status.words


def _done(record: Record) -> str:
    """`3 of 10 epochs done`, `300 steps done`, `2 evaluations done`."""
    axis = axis_of([record])
    places = record.places(axis)
    done = 0.0 if places is None or not len(places) else places.max()
    total = {"epoch": planned_epochs, "step": planned_steps}.get(axis, lambda _: None)(record)
    return f"{done:.4g}{f' of {total}' if total else ''} {axis}s done"
