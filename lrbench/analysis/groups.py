"""Groups of runs that differ only in their seed, ranked and labelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from lrbench.analysis.code_versions import version_of, versions
from lrbench.analysis.estimates import standing
from lrbench.analysis.labels import labels_of
from lrbench.analysis.records import Record, measures_of
from lrbench.analysis.spread import Spread
from lrbench.analysis.verdicts import Verdict
from lrbench.components import OF_TASK, Measure
from lrbench.runs import Status


class Band(NamedTuple):
    """A column of `epochs.csv` over the seeds: median, minimum and maximum of each epoch, all of one length."""

    epochs: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def where(self, wanted: np.ndarray) -> Band:
        """Keep the epochs for which `wanted` is true."""
        return Band(*(part[wanted] for part in self))


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed, with a label that is unique in the report, and the report's measures.

    `part` says what tells it from other groups of the same experiment: the version of the user's code, or that it
    confirms.
    """

    label: str
    records: tuple[Record, ...]
    measures: Mapping[str, Measure] = field(default_factory=dict, repr=False, compare=False)
    part: str = ""
    _bands: dict[str, Band] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def first(self) -> Record:
        """The run with the lowest seed."""
        return self.records[0]

    def values(self, metric: str) -> dict[int, float]:
        """Return the metric by seed, of the runs that reached their end without diverging and have it."""
        found = {r.plain.get("seed") or 0: r.metric(metric) for r in self.records if r.status.complete}
        return {seed: value for seed, value in found.items() if value is not None}

    def by_ratio(self, metric: str) -> bool:
        """Whether the values of a metric are averaged by their geometric mean."""
        known = self.measures or measures_of(self.records)
        return metric in known and known[metric].by_ratio

    def spread(self, metric: str) -> Spread | None:
        """Summarise the values of a metric."""
        return Spread.of(self.values(metric).values(), logs=self.by_ratio(metric))

    def lost(self, metric: str) -> int:
        """Count the seeds that diverged, failed, or ended without a finite value of the metric."""
        return sum(r.status.lost or (r.status.complete and r.metric(metric) is None) for r in self.records)

    def standing(self, measure: Measure) -> tuple[float, float]:
        """Return what groups are ordered by, the best first: the share of lost seeds, then the centre."""
        values, name = list(self.values(measure.name).values()), measure.name
        return standing(values, self.lost(name), logs=self.by_ratio(name), sign=measure.sign)

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
        kinds = [record.status for record in self.records]
        return ", ".join(f"{kinds.count(kind)} {kind.words}" for kind in dict.fromkeys(kinds))

    def verdict(self) -> tuple[Verdict, int, int] | None:
        """Return the most common verdict, how many runs have it, and how many have one."""
        found = [record.verdict for record in self.records if record.verdict is not None]
        if not found:
            return None
        label, count = Counter(one.label for one in found).most_common(1)[0]
        return next(one for one in found if one.label == label), count, len(found)

    def curve(self, column: str) -> Band:
        """Return a column of `epochs.csv` over the seeds, without epochs for which no seed has a number."""
        if column not in self._bands:
            self._bands[column] = self._band(column)
        return self._bands[column]

    def _band(self, column: str) -> Band:
        told = [r.epochs for r in self.records if len(r.epochs) and column in r.epochs]
        parts = [np.column_stack([one["epoch"].to_numpy(float), one[column].to_numpy(float)]) for one in told]
        whole = np.concatenate([np.empty((0, 2)), *parts])
        whole = whole[~np.isnan(whole).any(axis=1)]
        epochs, places = np.unique(whole[:, 0], return_inverse=True)
        if not len(epochs):
            return Band(*[np.empty(0)] * 4)
        order = np.lexsort((whole[:, 1], places))
        values, starts = whole[order, 1], np.searchsorted(places[order], np.arange(len(epochs) + 1))
        low, high = values[starts[:-1]], values[starts[1:] - 1]
        counts = np.diff(starts)
        one, other = values[starts[:-1] + (counts - 1) // 2], values[starts[:-1] + counts // 2]
        middle = np.where(one == other, one, one / 2 + other / 2)  # a sum may overflow
        return Band(epochs, middle, low, high)


def grouped(records: Sequence[Record], metric: str = "val_loss", pool_code: bool = False) -> list[Group]:
    """Group runs, the best by a metric first (`Group.standing`), then those without it: unfinished, lost, damaged.

    Runs that differ only in their seed are one group, except that confirmations are apart, and so are runs trained with
    different versions of the user's code, unless `pool_code`.
    """
    members: dict[str, list[Record]] = {}
    for record in records:
        if record.status is not Status.COPY:
            members.setdefault(record.group, []).append(record)
    for group in members.values():
        group.sort(key=lambda r: (r.plain.get("seed") or 0, r.folder.name))
    labels = labels_of(list(members.values()))
    measures = measures_of(records)
    groups = [
        part
        for label, group in zip(labels, members.values(), strict=True)
        for part in parts(label, group, measures, pool_code)
    ]
    return sorted(groups, key=lambda group: (*_rank(group, measures.get(metric)), group.label))


def parts(
    label: str, records: Sequence[Record], measures: Mapping[str, Measure], pool_code: bool = False
) -> list[Group]:
    """Group the runs of one experiment by the version of the user's code, unless `pool_code`; confirmations apart."""
    names = {} if pool_code else versions(records)
    found: dict[str, tuple[Record, ...]] = {}
    for record in records:
        told = [names.get(version_of(record), ""), "confirmation" if record.confirms else ""]
        part = ", ".join(filter(None, told))
        found[part] = (*found.get(part, ()), record)
    return [Group(f"{label} ({part})" if part else label, group, measures, part) for part, group in found.items()]


_ORDER = list(Status)


def _rank(group: Group, measure: Measure | None) -> tuple[float, ...]:
    if measure is not None and group.values(measure.name):
        return 0, *group.standing(measure)
    return (1 + max(_ORDER.index(record.status) for record in group.records),)


def _status(record: Record) -> str:
    result, status = record.result, record.status
    if status is Status.DIVERGED and result is not None:
        return f"diverged at update {result.steps}"
    if status is Status.STOPPED_EARLY and result is not None:
        return f"stopped early after {result.epochs} epochs"
    if status in (Status.INTERRUPTED, Status.RUNNING):
        total, done = planned_epochs(record), record.epochs["epoch"].max() if len(record.epochs) else 0
        return f"{status.words}, {done:.4g}{f' of {total}' if total else ''} epochs done"
    return status.words


def task(group: Group) -> str:
    """Return what must be equal to compare losses: the data set and the loss, or the task that computes it."""
    plain = group.first.plain
    data, loss, own = ((plain.get(key) or {}).get("name", "?") for key in ("dataset", "loss", "task"))
    return f"{data} with {own if loss == OF_TASK else loss}"


def planned_epochs(record: Record) -> int | None:
    """Return the number of epochs in the run's budget."""
    sizes = record.environment.sizes
    if sizes.steps_per_epoch and sizes.total_steps:
        return -(-sizes.total_steps // sizes.steps_per_epoch)
    epochs = record.plain.get("epochs")
    return epochs if isinstance(epochs, int) else None
