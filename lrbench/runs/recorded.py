"""Runs of other programs: what they say of themselves, and the result that follows from the rows they recorded."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lrbench.components import NAMED, Metric, metrics_of
from lrbench.runs.csv_columns import Columns, latest, read
from lrbench.runs.csv_thinned import read_thinned
from lrbench.runs.folder import RunFolder
from lrbench.runs.result import RunResult, Status

Values = dict[str, float | int | None]
SPLITS = ("train", "val", "test")
_HIGHER = re.compile(
    r"(acc(uracy)?|auc|auprc|auroc|ap|bleu|dice|f1|iou|jaccard|kappa|map|match|matthews|ndcg|pearson|precision|psnr|r2|recall"
    r"|reward|rouge\w{0,2}|score|sensitivity|spearman|specificity|ssim)"
)
"""Words in the names of metrics that are better when higher."""


@dataclass(frozen=True)
class Recorded:
    """What a program says of its run, besides its rows; in `recorded.json`.

    Attributes:
        by: what recorded it, such as `lrbench.record` or `transformers`.
        metrics: what it measures besides the loss, by name.
        test: values on the test data, by metric.
        params: its settings, as far as it tells them.
        total_steps: the length of the run in steps; None if unknown.
        lost: why the run diverged, if its last loss was not finite.
        notes: what weakens a comparison, in words, such as smoothed values.
    """

    by: str = ""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    test: Mapping[str, float | None] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    total_steps: int | None = None
    lost: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Recorded:
        """Parse the contents of `recorded.json`; what has the wrong type is left out."""
        test, params, total, notes = (plain.get(key) for key in ("test", "params", "total_steps", "notes"))
        return cls(
            by=str(plain.get("by", ""))[:100],
            metrics={name: metric for name, metric in metrics_of(plain.get("metrics") or {}).items() if name != "loss"},
            test={str(k): finite(v) for k, v in test.items()} if isinstance(test, Mapping) else {},
            params=params if isinstance(params, Mapping) else {},
            total_steps=total if isinstance(total, int) and not isinstance(total, bool) and total > 0 else None,
            lost=str(plain.get("lost") or "")[:500],
            notes=tuple(str(note)[:500] for note in notes[:20]) if isinstance(notes, list) else (),
        )

    def plain(self) -> dict[str, Any]:
        """Return the contents of `recorded.json`."""
        return {
            "by": self.by,
            "metrics": {name: metric.plain() for name, metric in self.metrics.items()},
            "test": dict(self.test),
            "params": dict(self.params),
            "total_steps": self.total_steps,
            "lost": self.lost,
            "notes": list(self.notes),
        }


def finite(value: object) -> float | None:
    """Return a finite number as a float; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def metrics_in(names: Iterable[str], known: Mapping[str, Metric] | None = None) -> dict[str, Metric]:
    """Return the metrics that columns such as `val_f1` are of, besides the loss.

    One that is neither in `known` nor one of lrbench's own counts as better when lower, unless a word of its name says
    otherwise, such as `auc`.
    """
    found: dict[str, Metric] = {}
    for name in names:
        split, _, short = name.partition("_")
        if split in SPLITS and short and short != "loss":
            found.setdefault(short, (known or {}).get(short) or usual_metric(short))
    return found


def usual_metric(name: str) -> Metric:
    """Return a metric with the direction and form that its name suggests."""
    if name in NAMED:
        return NAMED[name]
    words = name.lower().split("_")
    if "loss" in words or "error" in words or not any(map(_HIGHER.fullmatch, words)):
        return Metric(name)
    return Metric(name, "higher", "percent" if {"acc", "accuracy"} & set(words) else "number")


def conclude(
    folder: RunFolder,
    recorded: Recorded,
    *,
    status: Status = Status.FINISHED,
    reason: str = "",
    best_by: str = "val_loss",
    seconds: float | None = None,
) -> RunResult:
    """Return the result that a run's rows show. It diverged if its last loss was not finite.

    Args:
        folder: the run's folder.
        recorded: what the program said.
        status: how the program ended.
        reason: why, unless the status says it all.
        best_by: the metric of the best evaluation; the first validation metric there is if it is missing.
        seconds: how long it took; by default, the sum of the evaluations' seconds.

    Raises FolderError if the rows can't be read.
    """
    evaluations, steps = _told(read(folder.epochs.path)), read_thinned(folder.steps.path, ("step", "lr"))
    if recorded.lost and status in (Status.FINISHED, Status.FAILED):
        status, reason = Status.DIVERGED, f"{recorded.lost}{reason and f' ({reason})'}"
    count = max(map(len, evaluations.values()), default=0)
    if best_by not in evaluations or not np.isfinite(evaluations[best_by]).any():
        best_by = next((name for name in evaluations if name.startswith("val_") and _known(evaluations, name)), best_by)
    best = _best(evaluations, best_by, recorded)
    epochs = _last(evaluations, "epoch")
    reached = [step for step in (_last(steps, "step"), _last(evaluations, "step")) if step is not None]
    rates = [rate for table in (steps, evaluations) for rate in _known(table, "lr")]
    taken = _known(evaluations, "seconds")
    return RunResult(
        status=status,
        reason=reason,
        epochs=None if epochs is None else int(epochs),
        steps=int(max(reached)) if reached else None,
        evaluations=count,
        seconds=float(sum(taken)) if seconds is None and taken else seconds,
        effective_lr=max(rates, default=None),
        final=_final(evaluations, count, latest(folder.epochs.path)) if count else None,
        best=None if best is None else _values(evaluations, best),
        test=dict(recorded.test) or None,
    )


def ended_well(result: RunResult) -> RunResult:
    """Return the result; a failed one instead if a finished run recorded nothing that can be compared."""
    known = [*(result.final or {}).items(), *(result.test or {}).items()]
    if result.status is Status.FINISHED and all(
        value is None for name, value in known if name not in ("epoch", "step")
    ):
        problem = "it ended with exit code 0 but recorded no values to compare"
        advice = "record them with lrbench.record, or set `read` to the file with its metrics"
        return replace(result, status=Status.FAILED, reason=f"{problem}; {advice}")
    return result


def _told(table: Columns) -> Columns:
    """Return the rows that hold a number, which are those that count as evaluations."""
    if not table:
        return table
    kept = ~np.isnan(np.array(list(table.values()))).all(axis=0)
    return {name: values[kept] for name, values in table.items()}


def _best(table: Columns, by: str, recorded: Recorded) -> int | None:
    """Return the index of the best evaluation; None if none has a finite value."""
    values = table.get(by)
    if values is None or not np.isfinite(values).any():
        return None
    short = by.partition("_")[2]
    sign = (recorded.metrics.get(short) or usual_metric(short)).sign
    return int(np.argmin(np.where(np.isfinite(values), sign * values, np.inf)))


def _known(table: Columns, name: str) -> list[float]:
    values = table.get(name)
    return [] if values is None else values[np.isfinite(values)].tolist()


def _last(table: Columns, name: str) -> float | None:
    return next(reversed(_known(table, name)), None)


def _final(table: Columns, count: int, latest: Mapping[str, float]) -> Values:
    """Return the last evaluation on validation data; for what it lacks, the last value that was recorded.

    Without any, the last row. A last value that is not finite stays unknown.
    """
    validated = [np.isfinite(values) for name, values in table.items() if name.startswith("val_")]
    rows = np.flatnonzero(np.any(validated, axis=0)) if validated else np.empty(0, int)
    found = _values(table, int(rows[-1]) if len(rows) else count - 1)
    lacking = [name for name, value in found.items() if value is None and name.startswith(("train_", "val_"))]
    return found | {name: finite(latest.get(name)) for name in lacking}


def _values(table: Columns, row: int) -> Values:
    """Return the epoch, step and metrics of an evaluation, as in a result."""
    found: Values = {}
    for name in ("epoch", "step"):
        value = finite(float(table[name][row])) if name in table else None
        found[name] = int(value) if value is not None and value.is_integer() else value
    return found | {
        name: finite(float(values[row])) for name, values in table.items() if name.startswith(("train_", "val_"))
    }
