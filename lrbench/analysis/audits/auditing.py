"""Audits of runs: does the learning rate that ran equal the schedule that was meant?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lrbench.analysis.audits import groups, shape
from lrbench.analysis.audits.diagnosis import diagnosed
from lrbench.analysis.audits.faults import Answer, Fault
from lrbench.analysis.audits.meant import Meant, stated
from lrbench.analysis.audits.own import meant_by, scale_of
from lrbench.analysis.audits.recorded import Recorded, recorded_in
from lrbench.analysis.audits.side_by_side import SideBySide
from lrbench.analysis.once import once
from lrbench.analysis.reading import read_one
from lrbench.analysis.records import Record
from lrbench.config import Experiment
from lrbench.errors import ArgumentError, ConfigError, FolderError, LrbenchError, UsageError, option
from lrbench.runs import find_runs, no_runs, read_csv
from lrbench.types import AT_LEAST_1, NOTHING, NUMBER, PATHS, Duration, arguments, part_of

MOST_STEPS = 100_000_000
"""The longest schedule that is computed."""
_BRIEF = "audit"  # what `once` calls it


@dataclass(frozen=True)
class Audit:
    """Whether the learning rates of a run were those that were meant.

    Attributes:
        name: the run folder's name.
        folder: the run folder.
        faults: what is wrong; empty for a run that did what was meant.
        notes: what differs without being wrong.
        meant: the schedule that was meant, in words; empty if unknown.
        steps: recorded learning rates.
        problem: why the run could not be audited; empty if it was.
    """

    name: str
    folder: Path
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    meant: str = ""
    steps: int = 0
    problem: str = ""

    @property
    def wrong(self) -> bool:
        """Whether a mistake was found."""
        return bool(self.faults)

    def plain(self) -> dict[str, Any]:
        """Return the fields as plain values, for JSON."""
        faults = [fault.plain() for fault in self.faults]
        return {**vars(self), "folder": str(self.folder), "faults": faults, "notes": list(self.notes)}


@dataclass(frozen=True)
class Stated:
    """What the user says about the schedule of foreign runs; see `audit`."""

    schedule: Any = None
    lr: float | None = None
    warmup: Any = None
    total_steps: int | None = None
    steps_per_epoch: int | None = None


@arguments(runs=PATHS, lr=NUMBER | NOTHING, total_steps=AT_LEAST_1 | NOTHING, steps_per_epoch=AT_LEAST_1 | NOTHING)
def audit(
    runs: Iterable[str | Path] = ("runs",),
    *,
    schedule: Mapping[str, Any] | str | None = None,
    lr: float | None = None,
    warmup: Mapping[str, Any] | str | float | None = None,
    total_steps: int | None = None,
    steps_per_epoch: int | None = None,
) -> list[Audit]:
    """Compare the learning rates that ran with the schedule that was meant.

    lrbench's own runs are compared with their config; runs of other programs with the schedule given here. Without
    one, only the course of their learning rates is checked.

    Args:
        runs: run folders, or folders that contain them.
        schedule: the schedule that was meant, `"hf/cosine"` or a config's `schedule:` block.
        lr: its peak; the highest learning rate recorded by default.
        warmup: its warm-up, `"5%"` or `"100 steps"`, as a parameter of the schedule if it has one; or a config's
            `warmup:` block.
        total_steps: steps in the run; by default what the run recorded, or its last step.
        steps_per_epoch: steps in an epoch; by default what the run recorded.

    Returns:
        One `Audit` per run.

    Raises:
        UsageError: a path does not exist or has no runs, or the schedule can't be built.
    """
    found = find_runs([Path(path) for path in runs])
    if not found:
        raise no_runs(map(Path, runs))
    if schedule is None and (lr, warmup) != (None, None):
        raise UsageError(
            f"{option('--lr')} and {option('--warmup')} describe a schedule; give {option('--schedule')} too"
        )
    if lr is not None and not 0 < lr < float("inf"):
        raise ArgumentError(f"lr must be greater than 0 (got {lr!r})")
    said = Stated(
        None if schedule is None else part_of(schedule, "schedule"), lr, _length(warmup), total_steps, steps_per_epoch
    )
    records = [read_one(folder) for folder in found]
    _check_lengths(records, said)
    return [audited(record, said) for record in records]


def _check_lengths(records: Sequence[Record], said: Stated) -> None:
    """Raise UsageError for lengths that are too long to check, or that no run needs."""
    if said.total_steps is not None and said.total_steps > MOST_STEPS:
        raise UsageError(f"{option('--total-steps')} must be at most {MOST_STEPS:,} (got {said.total_steps:,})")
    lengths = {option("--total-steps"): said.total_steps, option("--steps-per-epoch"): said.steps_per_epoch}
    given = " and ".join(name for name, value in lengths.items() if value is not None)
    if given and said.schedule is None and all(isinstance(record.experiment, Experiment) for record in records):
        raise UsageError(f"{given}: these runs record their own lengths; give {option('--schedule')} too")


def _length(warmup: object) -> Any:
    """Return the length of a warm-up, or a block. Raises ConfigError."""
    if warmup is None or isinstance(warmup, Mapping):
        return warmup
    try:
        return Duration.parse(warmup, "steps")
    except ValueError as error:
        raise ConfigError(str(error), key=option("--warmup")) from None


def audited(record: Record, said: Stated | None = None, *, briefly: bool = False) -> Audit:
    """Audit one run.

    Args:
        record: the run.
        said: what the user says about its schedule.
        briefly: look only at the learning rates of evaluations, which are read already, and import nothing; those of
            every step are read if these are wrong.

    Raises:
        ConfigError: the stated schedule can't be built.
    """
    if briefly and said is None:
        return once([record], _BRIEF, lambda: _audited(record, Stated(), briefly))
    return _audited(record, said or Stated(), briefly)


def remember(record: Record, found: Audit) -> None:
    """Note what a brief audit of a run found."""
    record.made[_BRIEF] = (), found


def _audited(record: Record, said: Stated, briefly: bool) -> Audit:
    audit = Audit(record.folder.name, record.folder.path)
    if record.experiment is None and record.problem:
        return replace(audit, problem=record.problem)
    try:
        run = _at_evaluations(record) if briefly else _at_steps(record)
    except (FolderError, OSError) as error:
        return replace(audit, problem=str(error))
    if run is None:
        return replace(audit, problem="no learning rates are recorded")
    audit = replace(audit, steps=len(run))
    if said.schedule is not None:
        return _against(audit, run, _stated_for(record, run, said))
    if isinstance(record.experiment, Experiment):
        return _own(audit, record, run, briefly)
    audit = _by_shape(audit, record, run, said)
    return audit if briefly else replace(audit, faults=audit.faults + tuple(groups.resting(run)))


def _at_steps(record: Record) -> Recorded | None:
    table = read_csv(record.folder.steps.path)
    found = recorded_in(table, scaled=record.plain.get("precision") == "fp16")
    return found if found is not None else _at_evaluations(record)


def _at_evaluations(record: Record) -> Recorded | None:
    return recorded_in({name: record.epochs[name].astype(float) for name in ("step", "lr")})


def _sizes(record: Record, run: Recorded, said: Stated) -> tuple[int, bool, int | None]:
    """Return the steps in a run, whether that is known, and the steps in an epoch if known."""
    sizes, last = record.environment.sizes, int(run.steps[-1])
    total = said.total_steps or sizes.total_steps
    per_epoch = said.steps_per_epoch or sizes.steps_per_epoch
    if per_epoch is None and len(record.epochs):
        step, epoch = (float(record.epochs[name][-1]) for name in ("step", "epoch"))
        whole = step / epoch if epoch > 0 else 0.0
        per_epoch = int(whole) if whole >= 1 and whole.is_integer() else None
    return total or last, total is not None or record.status.complete, per_epoch


def _stated_for(record: Record, run: Recorded, said: Stated) -> Meant:
    sizes = _sizes(record, run, said)
    return stated(said.schedule, lr=said.lr, warmup=said.warmup, sizes=sizes, peak=run.peak)


def _against(audit: Audit, run: Recorded, meant: Meant) -> Audit:
    """Compare a run with a stated schedule; where its peak is not stated, with its shape."""
    pair = SideBySide(run, meant)
    found = diagnosed(pair)
    if found.faults and not meant.lr_known and (factor := pair.factor()) is not None:
        found = diagnosed(SideBySide(run, replace(meant, lr=meant.lr * factor)))
    found += Answer(tuple(groups.resting(run)))
    return replace(audit, faults=found.faults, notes=found.notes, meant=meant.words)


def _own(audit: Audit, record: Record, run: Recorded, briefly: bool) -> Audit:
    """Compare a run of lrbench with its config."""
    try:
        meant = meant_by(record, run, importing=not briefly)
        if meant is None:
            return replace(
                audit, problem=f"its schedule is an import, which is not run here; name it with {option('--schedule')}"
            )
        scale = scale_of(record, meant, run)
        pair = SideBySide(replace(run, rates=run.rates / scale), meant, slack=0)
        if briefly:
            apart = np.abs(pair.run.rates - meant.rates(run.positions))
            near = (apart <= pair.run.rounding).all() or (apart <= pair.tolerance).all()
            return replace(audit, meant=meant.words) if near else audited(record)
        found = diagnosed(pair)
    except LrbenchError as error:
        return replace(audit, problem=f"its schedule can't be built: {str(error).splitlines()[0]}")
    rows = np.searchsorted(run.steps, [fault.step for fault in found.faults])
    faults = [
        replace(fault, found=float(run.rates[row]), expected=(fault.expected or 0.0) * float(scale[row]))
        for fault, row in zip(found.faults, rows.tolist(), strict=True)
    ]
    told: Sequence[Mapping[str, Any]] = record.environment.plain.get("groups") or ()
    faults += groups.of_stages(run, told, meant.start)
    return replace(audit, faults=tuple(faults), notes=found.notes, meant=meant.words)


def _by_shape(audit: Audit, record: Record, run: Recorded, said: Stated) -> Audit:
    total, known, _ = _sizes(record, run, said)
    ended = known and run.steps[-1] >= 0.98 * total
    name = shape.named_schedule(record.plain)
    resumed = bool(record.environment.resumed)
    found = shape.judged(shape.Curve(run, total, bool(ended), resumed, name, shape.has_floor(record.plain)))
    return replace(audit, faults=found.faults, notes=found.notes)
