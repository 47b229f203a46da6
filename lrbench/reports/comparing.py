"""`lrbench compare`: is one group of runs better than another, or does it reach a target?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from lrbench.analysis import (
    TARGET_LEVEL,
    Comparison,
    Group,
    Record,
    Row,
    Target,
    against_target,
    compare_two,
    default_metric,
    grouped,
    kept,
    labels_of,
    looks,
    measure_named,
    only,
    read_runs,
    select,
    tasks_of,
)
from lrbench.config import exists
from lrbench.errors import UsageError, counted, option
from lrbench.reports import caveats
from lrbench.reports.caveats import Caveat
from lrbench.reports.decision import Decision, TargetDecision
from lrbench.runs import Status, no_runs
from lrbench.sweeps import set_apart
from lrbench.types import AT_LEAST_1, NOTHING, NUMBER, PATH, PATHS, SWITCH, TEXT, TEXTS, arguments


@arguments(
    a=TEXT | PATH,
    b=TEXT | PATH | NOTHING,
    runs=PATHS,
    metric=TEXT | NOTHING,
    filters=TEXTS,
    target=TEXT | NOTHING,
    p=NUMBER | NOTHING,
    tries=AT_LEAST_1,
    pool_code=SWITCH,
)
def compare(
    a: str | Path,
    b: str | Path | None = None,
    *,
    runs: Iterable[str | Path] = ("runs",),
    metric: str | None = None,
    filters: Sequence[str] = (),
    target: str | None = None,
    p: float | None = None,
    tries: int = 1,
    pool_code: bool = False,
) -> Decision | TargetDecision:
    """Decide whether group A of runs is better than group B, by their seeds; or whether A reaches a target.

    Args:
        a: the group that is judged: its label in a report, its name, a filter that fits one group (`lr=0.1`,
            `schedule=cosine|name*`), or the path of a run folder or of a folder of runs.
        b: the group to compare with; with a target, shown beside A.
        runs: run folders, or folders that contain them, in which labels, names and filters are looked up.
        metric: what to compare by, a column of `load_runs`; val_loss by default.
        filters: as for `report`: only runs that match all are looked at.
        target: `val_loss=3.28`: test A against this value instead. Student's one-sided t-test over the seeds, on
            logarithms of losses, at the end of the runs and at every evaluation.
        p: the level of that test; 0.01 by default.
        tries: the number of attempts among which A was chosen by these runs; p is corrected for it (Bonferroni).
        pool_code: take seeds that were trained with different versions of imported code as one group.

    Returns:
        A `Decision`, or a `TargetDecision` with a target: its `word`, the numbers behind it, and `warnings`.

    Raises:
        UsageError: nothing or several groups match, a metric is missing, or the groups have different tasks.
    """
    if b is None and target is None:
        raise UsageError(f"give B, the group to compare with, or {option('--target')} METRIC=X")
    if target is None and p is not None:
        raise UsageError(f"{option('--p')} is the level of {option('--target')}; a comparison has its own, 0.04")
    if target is not None and metric is not None:
        raise UsageError(f"{option('--target')} names its metric, so leave out {option('--metric')}")
    level = TARGET_LEVEL if p is None else float(p)
    if not 0 < level < 0.5:
        raise UsageError(f"{option('--p')} must be above 0 and below 0.5 (got {level:g})")
    name = metric if target is None else target.partition("=")[0].strip()
    source = Source([Path(one) for one in runs], name, filters, pool_code)
    asked = [a] if b is None else [a, b]
    chosen = _apart([source.chosen(one) for one in asked])
    if target is not None:
        return _with_target(chosen, target, level, tries)
    return _two(chosen, name, tries)


@dataclass(frozen=True)
class Chosen:
    """A group that was asked for, with what was read beside it."""

    group: Group
    groups: Sequence[Group]
    records: Sequence[Record]
    unfiltered: Sequence[Group]

    @property
    def whole(self) -> Group:
        """The group with all of its seeds that were read, also those that a filter leaves out."""
        mine = {record.folder.path for record in self.group.records}
        return next(one for one in self.unfiltered if mine & {record.folder.path for record in one.records})


@dataclass(frozen=True)
class Source:
    """Where groups are looked up: `paths` are read once, and only if a selector is not a path itself."""

    paths: Sequence[Path]
    metric: str | None
    filters: Sequence[str]
    pool_code: bool
    unfiltered: list[Group] = field(default_factory=list)

    @cached_property
    def everything(self) -> tuple[list[Group], list[Record]]:
        """The groups and the records in `paths`."""
        return self._read(self.paths)

    def chosen(self, text: str | Path) -> Chosen:
        """Return the group that a selector means; see `compare`."""
        path = Path(text)
        written = isinstance(text, os.PathLike) or os.sep in str(text) or str(text).startswith(".")
        if exists(path) and path.is_dir() and (written or not self._names(str(text))):
            groups, records = self._read([path])
            usable = [group for group in groups if not all(r.status is Status.DAMAGED for r in group.records)]
            if not usable:
                raise UsageError(f"{path}: no usable run: {records[0].problem}")
            group = only([g for g in usable if not g.first.confirms] or usable, str(path))
            return Chosen(group, groups, records, self.unfiltered)
        if isinstance(text, os.PathLike) or (written and not self._readable):
            raise UsageError(f"{path}: no such run or folder of runs")
        groups, records = self.everything
        return Chosen(select(groups, str(text)), groups, records, self.unfiltered)

    @property
    def _readable(self) -> bool:
        return all(map(exists, self.paths))

    def _names(self, text: str) -> bool:
        """Whether a group has this label or name, so that a folder of the same name is not meant."""
        return self._readable and any(
            text in (group.label, group.short, group.first.name) for group in self.everything[0]
        )

    def _read(self, paths: Sequence[Path]) -> tuple[list[Group], list[Record]]:
        records = set_apart(read_runs(paths))
        if not records:
            raise no_runs(paths)
        every = grouped(records, self.metric, self.pool_code)
        self.unfiltered.extend(every)
        if not self.filters:
            return every, records
        records = kept(records, self.filters, labels_of(every))
        return grouped(records, self.metric, self.pool_code), records


def _apart(chosen: Sequence[Chosen]) -> list[Chosen]:
    """Return the same with different labels. Raises UsageError if they share runs."""
    folders = [{record.folder.path.resolve() for record in one.group.records} for one in chosen]
    if len(chosen) > 1 and (shared := folders[0] & folders[1]):
        raise UsageError(f"A and B share {counted(len(shared), 'run')}, such as {min(shared).name}")
    births = [{_birth(record): record.folder.name for record in one.group.records} for one in chosen]
    if len(chosen) > 1 and (copies := births[0].keys() & births[1].keys() - {None}):
        raise UsageError(f"A and B are copies of the same runs, such as {births[0][min(map(str, copies))]}")
    if len({one.group.label for one in chosen}) == len(chosen):
        return list(chosen)
    places = [min(folder).parent.name if len(folder) > 1 else min(folder).name for folder in folders]
    if len(set(places)) < len(places):
        places = [str(min(folder).parent) for folder in folders]
    return [
        replace(one, group=replace(one.group, label=(label := f"{one.group.label} in {place}"), short=label))
        for one, place in zip(chosen, places, strict=True)
    ]


def _birth(record: Record) -> str | None:
    """Return what only copies of a run share: its identity, its beginning and its seconds; None if unknown."""
    known, seconds = record.environment.plain, record.result and record.result.seconds
    found = known.get("identity"), known.get("started"), seconds
    return " ".join(map(str, found)) if all(found) else None


def _two(chosen: Sequence[Chosen], metric: str | None, tries: int) -> Decision:
    """Compare A with B."""
    a, b = (one.group for one in chosen)
    if len(tasks := tasks_of([a, b])) > 1:
        raise UsageError(f"{a.label} and {b.label} have different tasks ({'; '.join(tasks)}): not comparable")
    # Both at once, since whether ratios mean anything is a property of all values.
    records = [*a.records, *b.records]
    measure = measure_named(records, metric or default_metric(records))
    row, other = compare_two(a, b, measure, tries=tries)
    told = [
        *(caveat for one, read in zip((row, other), chosen, strict=True) for caveat in _of(one, read)),
        *caveats.of_pair(row, other),
        *caveats.of_programs([a, b], measure),
        *caveats.of_measure(measure),
        *caveats.of_choice(a, chosen[0].groups, measure, tries),
    ]
    return Decision.of(Comparison(measure, (row, other), other, chosen=True, looks=looks([a, b])), row, tries, told)


def _with_target(chosen: Sequence[Chosen], text: str, level: float, tries: int) -> TargetDecision:
    """Test A, and B beside it, against a target."""
    aim = Target.parse(text, [record for one in chosen for record in one.group.records])
    tests = [against_target(one.group, aim, level=level, tries=tries if one is chosen[0] else 1) for one in chosen]
    told = [
        *(caveat for test, read in zip(tests, chosen, strict=True) for caveat in _of(test.row, read)),
        *caveats.of_choice(chosen[0].group, chosen[0].groups, aim.measure, tries),
    ]
    return TargetDecision.of(aim, tests, level, tries, told)


def _of(row: Row, read: Chosen) -> list[Caveat]:
    return list(caveats.of_group(row, read.whole, read.records))
