"""What became of a run: its status, and the result that `result.json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError

from lrbench.components import place
from lrbench.registry import problem_of
from lrbench.types import adapter

FORMAT = 2
"""Of run folders. 1 has `images_per_second`, its accuracy columns beside the losses, and no number of its own."""

# Strict: text is not a number, and neither are true and false; an integer is a fine float.
Whole = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Text = Annotated[str, Field(strict=True)]
Values = Mapping[str, Whole | Number | None]


class Status(StrEnum):
    """Where a run stands.

    `pending` runs are to be done, `interrupted` ones were begun and go on from their checkpoint, `paused` ones wait to
    be compared with others. The others are over, but for `running`; `damaged` is a folder that can't be read.
    """

    PENDING = "pending"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED_EARLY = "stopped_early"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"
    DAMAGED = "damaged"
    COPY = "copy"

    @property
    def to_do(self) -> bool:
        """True where the run is still to be done, or to go on."""
        return self in (Status.PENDING, Status.INTERRUPTED, Status.PAUSED)

    @property
    def complete(self) -> bool:
        """True where the run went to its end, and so counts in medians."""
        return self in (Status.FINISHED, Status.STOPPED_EARLY)

    @property
    def ended(self) -> bool:
        """True where its training came to an end of its own: complete, or diverged."""
        return self.complete or self is Status.DIVERGED

    @property
    def over(self) -> bool:
        """True where nothing more happens to it by itself."""
        return not self.to_do and self is not Status.RUNNING

    @property
    def words(self) -> str:
        """`stopped early`."""
        return self.value.replace("_", " ")


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        status: finished, stopped_early, diverged, pruned or failed.
        reason: why, where that is not plain.
        epochs: whole epochs done.
        steps: updates done.
        evaluations: rows of `epochs.csv`; not in folders of format 1, where they are the epochs.
        seconds: of training, evaluation not counted.
        effective_lr: the peak learning rate after batch-size scaling.
        final: `epoch`, `step` and every `train_` and `val_` value of the last evaluation.
        best: the same of the best evaluation.
        test: the loss and every metric on the test data, with the final weights.
        test_best: with the best ones.
        skipped: updates left out because they were not finite, where that was allowed.
        identity: of the run.
        group: the identity without the seed.
        format: of the folder.
    """

    __pydantic_config__ = ConfigDict(extra="ignore")

    status: Status
    reason: Text = ""
    epochs: Whole | None = None
    steps: Whole | None = None
    evaluations: Whole | None = None
    seconds: Number | None = None
    effective_lr: Number | None = None
    final: Values | None = None
    best: Values | None = None
    test: Values | None = None
    test_best: Values | None = None
    skipped: Whole | None = None
    identity: Text = ""
    group: Text = ""
    format: Whole = 1

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> RunResult:
        """Read what `result.json` holds. Raises ValueError where it is no run's result."""
        known = {field.name for field in fields(cls)}
        kept = {key: value for key, value in plain.items() if key in known}
        try:
            result: RunResult = adapter(RunResult).validate_python({**kept, "status": _status(plain.get("status"))})
        except ValidationError as error:
            where = ".".join(str(piece) for piece in error.errors()[0]["loc"])
            raise ValueError(f"'{where}' {problem_of(error)}") from error
        return result

    def metric(self, name: str) -> float | None:
        """A value by its name, such as `val_loss`, `best_val_accuracy` or `test_loss`; None where there is none."""
        section, key = place(name)
        values: Values = getattr(self, section) or {}
        value = values.get(key)
        return None if value is None else float(value)

    def made_for(self, identity: str, group: str) -> RunResult:
        """The same of the run with that identity, in today's format."""
        return replace(self, identity=identity, group=group, format=FORMAT)

    def plain(self) -> dict[str, Any]:
        """What `result.json` holds."""
        values = {**asdict(self), "status": self.status.value}
        if self.skipped is None:
            del values["skipped"]
        return values


def _status(value: object) -> Status:
    """The status of a result, which is over. Raises ValueError."""
    status = Status(value)  # type: ignore[arg-type]
    if status not in (Status.FINISHED, Status.STOPPED_EARLY, Status.DIVERGED, Status.PRUNED, Status.FAILED):
        raise ValueError(f"'status' must be that of a run that is over (got {value!r:.40})")
    return status
