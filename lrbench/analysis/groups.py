"""Runs that differ only in their seed, taken together, ranked, and given names that tell them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lrbench.analysis.records import METRICS, Record
from lrbench.analysis.spread import Spread
from lrbench.analysis.verdicts import Verdict


class Band(NamedTuple):
    """A column of `epochs.csv` over the seeds: median, lowest and highest of each epoch, all of one length."""

    epochs: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def where(self, wanted: np.ndarray) -> Band:
        """Those epochs alone for which `wanted` is true."""
        return Band(*(part[wanted] for part in self))


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed, under a label that no other group of the report has."""

    label: str
    records: tuple[Record, ...]

    @property
    def first(self) -> Record:
        """The run with the lowest seed, for what all of them share."""
        return self.records[0]

    def spread(self, metric: str) -> Spread | None:
        """A metric over the runs that reached their end; a diverged run has none."""
        return Spread.of(record.metric(metric) for record in self.records if record.counts)

    def seconds(self) -> Spread | None:
        """Training time, evaluation not counted."""
        return Spread.of(record.result.get("seconds") for record in self.records)

    @property
    def reference(self) -> dict[str, Any]:
        """The published result, from the first run that has one."""
        return next((r.plain["reference"] for r in self.records if r.plain.get("reference")), {})

    def status(self) -> str:
        """`finished`, or what else became of the runs, in a few words."""
        texts = [_status(record) for record in self.records]
        if len(set(texts)) == 1:
            return texts[0]
        kinds = [record.state for record in self.records]
        return ", ".join(f"{kinds.count(kind)} {kind.replace('_', ' ')}" for kind in dict.fromkeys(kinds))

    def verdict(self) -> tuple[Verdict, int, int] | None:
        """The commonest verdict of the runs, as the first of them has it; how many have it, of how many."""
        found = [record.verdict for record in self.records if record.verdict is not None]
        if not found:
            return None
        label, count = Counter(one.label for one in found).most_common(1)[0]
        return next(one for one in found if one.label == label), count, len(found)

    def curve(self, column: str) -> Band:
        """A column of `epochs.csv` over the seeds; epochs for which no seed has a number are left out."""
        if column not in self._bands:
            self._bands[column] = self._band(column)
        return self._bands[column]

    @cached_property
    def _bands(self) -> dict[str, Band]:
        return {}

    def _band(self, column: str) -> Band:
        told = [r.epochs for r in self.records if len(r.epochs)]
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
        middle = (values[starts[:-1] + (counts - 1) // 2] + values[starts[:-1] + counts // 2]) / 2
        return Band(epochs, middle, low, high)


def grouped(records: Sequence[Record], metric: str = "val_loss") -> list[Group]:
    """Groups, best median of a metric first; then those without one: unfinished, diverged, damaged."""
    members: dict[str, list[Record]] = {}
    for record in records:
        if record.state != "copy":
            members.setdefault(record.group, []).append(record)
    for group in members.values():
        group.sort(key=lambda r: (r.plain.get("seed") or 0, r.folder.name))
    labels = _labels(list(members.values()))
    groups = [Group(label, tuple(group)) for label, group in zip(labels, members.values(), strict=True)]
    return sorted(groups, key=lambda group: _rank(group, metric))


def _rank(group: Group, metric: str) -> tuple[int, float, str]:
    found = group.spread(metric) if metric in METRICS else None
    sign = -1 if metric.endswith("accuracy") else 1
    order = (
        "finished",
        "stopped_early",
        "running",
        "interrupted",
        "new",
        "pruned",
        "diverged",
        "failed",
        "damaged",
    )
    worst = max(order.index(record.state) for record in group.records)
    return (0, sign * found.median, group.label) if found else (1 + worst, 0.0, group.label)


def _labels(members: Sequence[Sequence[Record]]) -> list[str]:
    """The names; where different groups share one, with what differs: `baseline lr=0.01`."""
    labels: list[str] = []
    named: dict[str, list[Sequence[Record]]] = {}
    for group in members:
        named.setdefault(group[0].name, []).append(group)
    for group in members:
        name = group[0].name
        others = [other for other in named[name] if other is not group]
        if others and group[0].experiment is None:
            labels.append(group[0].folder.name)
            continue
        known = [g[0] for g in others if g[0].experiment is not None]
        labels.append(f"{name} {_difference(group[0], known)}".strip() if known else name)
    taken: set[str] = set()
    for index, label in enumerate(labels):
        if label in taken:
            labels[index] = f"{label} ({members[index][0].folder.name})"
        taken.add(labels[index])
    return labels


def _difference(record: Record, others: Sequence[Record]) -> str:
    mine = record.identity_fields
    keys = [
        key
        for key in mine | {k: None for other in others for k in other.identity_fields}
        if key != "seed" and any(other.identity_fields.get(key) != mine.get(key) for other in others)
    ]
    renamed = {key.removesuffix("name") for key in keys if key.endswith(".name")}  # another schedule: its name says it
    keys = [k for k in keys if k.endswith((".name", ".lr")) or not any(k.startswith(part) for part in renamed)]
    keys.sort(key=lambda key: _FIRST.index(key.split(".")[0]) if key.split(".")[0] in _FIRST else len(_FIRST))
    return " ".join(f"{_short(key)}={value_text(mine.get(key))}" for key in keys[:4])


_FIRST = ("optimizer", "schedule", "warmup", "plateau", "batch_size", "model")  # what a reader looks for first


def _short(key: str) -> str:
    """`optimizer.lr` is `lr`, but `schedule.name` is `schedule`."""
    pieces = key.split(".")
    return pieces[-2] if pieces[-1] == "name" and len(pieces) > 1 else pieces[-1]


def value_text(value: Any) -> str:
    """A config's value in a few characters."""
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _status(record: Record) -> str:
    done, result = len(record.epochs), record.result
    if record.state == "diverged":
        return f"diverged at update {result.get('steps')}"
    if record.state == "stopped_early":
        return f"stopped early after {done} epochs"
    if record.state in ("interrupted", "running"):
        total = planned_epochs(record)
        return f"{record.state}, {done}{f' of {total}' if total else ''} epochs done"
    return "not begun" if record.state == "new" else record.state


def task(group: Group) -> str:
    """What must be equal for losses to be compared: the data set and the loss."""
    plain = group.first.plain
    names = [(plain.get(key) or {}).get("name", "?") for key in ("dataset", "loss")]
    return " with ".join(str(name) for name in names)


def planned_epochs(record: Record) -> int | None:
    """How many epochs the run was to have."""
    sizes = record.environment.get("sizes") or {}
    per_epoch, total = sizes.get("steps_per_epoch"), sizes.get("total_steps")
    if per_epoch and total:
        return -(-int(total) // int(per_epoch))
    epochs = record.plain.get("epochs")
    return epochs if isinstance(epochs, int) else None
