"""A run's status and its result, as stored in `result.json`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import Field, PlainValidator, ValidationError

from lrbench.components import place
from lrbench.types import Finite, Natural, adapter, first_of, problem_of

FORMAT = 3
"""The format of run folders.

Format 1 has `images_per_second`, accuracy columns next to the losses and no number. Up to format 2, milestones counted
from the end of a warm-up; `config.load` keeps that meaning.
"""

DROPPED = "dropped by hand"
"""The reason of a run that was pruned because a person asked for it."""

Text = Annotated[str, Field(strict=True)]
Size = Annotated[int, Field(ge=0, le=10**15, strict=True)]
Seconds = Annotated[float, Field(ge=0, le=1e12, strict=True)]


def _number(value: object) -> object:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST):
        return value
    raise ValueError("must be a finite number")


MOST = sys.float_info.max
Values = Mapping[str, Annotated[float | None, PlainValidator(_number)]]
Kind = TypeVar("Kind")


def parsed(kind: type[Kind], plain: Mapping[str, Any]) -> Kind:
    """Parse a mapping from a file into a dataclass. Raises ValueError that names the first wrong key."""
    try:
        result: Kind = adapter(kind).validate_python(plain)
    except ValidationError as error:
        where = ".".join(str(piece) for piece in first_of(error)["loc"])
        raise ValueError(f"'{where}' {problem_of(error)}") from error
    return result


class NewerFormatError(ValueError):
    """A file was written by a later version of lrbench."""


def known_format(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the contents of a file whose format this version reads. Raises NewerFormatError."""
    found = plain.get("format")
    if isinstance(found, int | float) and found > FORMAT:
        raise NewerFormatError(f"written by a newer lrbench (format {found!r:.20})")
    return plain


class Status(StrEnum):
    """The status of a run.

    `pending` runs have not started, `interrupted` ones resume from their checkpoint, `paused` ones wait to be compared
    with others. All others except `running` are over; `damaged` means that the folder can't be read. The order is that
    of groups in a report.
    """

    FINISHED = "finished"
    STOPPED_EARLY = "stopped_early"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    PAUSED = "paused"
    PENDING = "pending"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"
    DAMAGED = "damaged"
    COPY = "copy"

    @property
    def to_do(self) -> bool:
        """True if the run must be started or resumed."""
        return self in (Status.PENDING, Status.INTERRUPTED, Status.PAUSED)

    @property
    def complete(self) -> bool:
        """True if training finished as planned, so that the run counts in means."""
        return self in (Status.FINISHED, Status.STOPPED_EARLY)

    @property
    def ended(self) -> bool:
        """True if training ended by itself: complete or diverged."""
        return self.complete or self is Status.DIVERGED

    @property
    def lost(self) -> bool:
        """True if training ended without a result: diverged or failed. Such a seed is worse than any complete one."""
        return self in (Status.DIVERGED, Status.FAILED)

    @property
    def over(self) -> bool:
        """True if the run is neither running nor to do."""
        return not self.to_do and self is not Status.RUNNING

    @property
    def words(self) -> str:
        """The status as words, such as `stopped early`."""
        return self.value.replace("_", " ")


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        status: finished, stopped_early, diverged, pruned or failed.
        reason: why, unless the status says it all.
        epochs: completed epochs.
        steps: steps done.
        evaluations: rows of `epochs.csv`; missing in format 1, which has one per epoch.
        seconds: training time without evaluations.
        effective_lr: the peak learning rate after batch-size scaling.
        final: `epoch`, `step` and every `train_` and `val_` value of the last evaluation.
        best: the same for the best evaluation.
        test: the loss and every metric on the test data, with the final weights.
        test_best: the same with the best weights.
        skipped: steps skipped because they were not finite, with `on_non_finite: skip`.
        identity: the run's identity.
        group: the identity without the seed.
        format: the folder's format.
    """

    status: Status
    reason: Text = ""
    epochs: Size | None = None
    steps: Size | None = None
    evaluations: Size | None = None
    seconds: Seconds | None = None
    effective_lr: Finite | None = None
    final: Values | None = None
    best: Values | None = None
    test: Values | None = None
    test_best: Values | None = None
    skipped: Size | None = None
    identity: Text = ""
    group: Text = ""
    format: Natural = 1

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> RunResult:
        """Parse the contents of `result.json`. Raises ValueError if they are invalid."""
        return parsed(cls, {**known_format(plain), "status": _status(plain.get("status"))})

    @property
    def dropped(self) -> bool:
        """True if a person had the run dropped. It stays so only as long as they ask for it."""
        return self.status is Status.PRUNED and self.reason == DROPPED

    def metric(self, name: str) -> float | None:
        """Return a value by its name, such as `val_loss`, `best_val_accuracy` or `test_loss`; None if missing."""
        section, key = place(name)
        values: Values = getattr(self, section) or {}
        value = values.get(key)
        return None if value is None else float(value)

    def plain(self) -> dict[str, Any]:
        """Return the contents of `result.json`."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
        values["status"] = self.status.value
        if self.skipped is None:
            del values["skipped"]
        return values


def state_words(status: Status, result: RunResult | None) -> str:
    """Return what became of a run in words: those of its status, or `dropped` for one that a person had dropped."""
    return "dropped" if status is Status.PRUNED and result is not None and result.dropped else status.words


def tally(runs: Iterable[tuple[Status, RunResult | None]]) -> dict[str, int]:
    """Count runs by what became of them, for everything that tells of several: `{"finished": 5, "dropped": 1}`.

    The words are in the order of `Status`.
    """
    order = list(Status)
    counts = Counter((order.index(status), state_words(status, result)) for status, result in runs)
    return {words: count for (_, words), count in sorted(counts.items())}


def listed(counts: Mapping[str, int]) -> str:
    """Return counts as text: `5 finished, 1 dropped`."""
    return ", ".join(f"{count:,} {words}" for words, count in counts.items())


def _status(value: object) -> Status:
    """Parse the status of a result. Raises ValueError."""
    status = Status(value)  # type: ignore[arg-type]
    known = (Status.FINISHED, Status.STOPPED_EARLY, Status.DIVERGED, Status.PRUNED, Status.FAILED)
    if status not in known:
        raise ValueError(f"'status' must be one of {', '.join(known)} (got {value!r:.40})")
    return status
