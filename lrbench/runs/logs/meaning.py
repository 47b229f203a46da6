"""What a program's columns mean: steps, learning rates, and training, validation and test values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from lrbench.components import Metric
from lrbench.errors import FolderError, choices
from lrbench.runs.recorded import Recorded, finite, metrics_in

_EXACT = {
    "step": ("step", "global_step", "trainer/global_step", "_step", "iteration", "iter", "num_updates", "steps"),
    "epoch": ("epoch", "train/epoch", "trainer/epoch", "current_epoch", "epochs"),
    "lr": ("lr", "learning_rate", "train/learning_rate", "train/lr", "optim/lr", "lr/train"),
    "loss": ("train_loss_step", "train/loss_step", "loss_step"),
    "train_loss": ("train_loss", "train/loss", "train_loss_epoch", "train/loss_epoch", "training_loss", "loss/train"),
    "grad_norm": ("grad_norm", "train/grad_norm", "gradient_norm"),
    "wall_time": ("wall_time", "_timestamp"),
}
"""Names of which only these forms count, the likeliest first."""
_SPLITS = {
    "val": "val", "valid": "val", "validation": "val", "eval": "val", "dev": "val", "train": "train",
    "training": "train", "test": "test",
}  # fmt: skip
_SHORT = {
    "acc": "accuracy",
    "top1": "accuracy",
    "ppl": "perplexity",
    "epoch_loss": "loss",
    "epoch_accuracy": "accuracy",
}
_NO_METRIC = re.compile(
    r"runtime|.*_per_(second|sec|step)|total_flos|.*time.*|steps?|epochs?|samples|lr|learning_rate|grad_norm|batch"
)
_OF_FORMATS = {"trainer_state": {"train_loss": "loss"}}  # its train_loss is a mean over the whole run
_LR = re.compile(r"(train/)?(lr|learning_rate)[-_/](.+)")


def guessed(columns: Iterable[str]) -> dict[str, str]:
    """Return the columns whose usual names tell what they are, by our names.

    >>> guessed(["epoch", "eval/loss", "loss", "eval_acc", "lr-AdamW/pg1", "eval_runtime"])
    {'epoch': 'epoch', 'val_loss': 'eval/loss', 'val_accuracy': 'eval_acc', 'lr': 'lr-AdamW/pg1', 'train_loss': 'loss'}
    """
    names = list(dict.fromkeys(columns))
    lower = {name.lower(): name for name in reversed(names)}
    found = {
        ours: lower[next(form for form in forms if form in lower)]
        for ours, forms in _EXACT.items()
        if any(form in lower for form in forms)
    }
    for name in names:
        if name in found.values():
            continue
        group, ours = _LR.fullmatch(name.lower()), _split(name)
        if group is not None:
            ours = "lr" if "lr" not in found else f"lr_{_plain(group[3])}"
        if ours is not None:
            found.setdefault(ours, name)
    for name in ("loss", "accuracy", "acc"):  # Keras and plain scripts: that of the training data
        if name in lower and lower[name] not in found.values():
            found.setdefault(f"train_{_SHORT.get(name, name)}", lower[name])
    return found


def _split(name: str) -> str | None:
    """Return `val_accuracy` for `eval/acc`, `accuracy/val` or `validation/epoch_accuracy`; None for other names."""
    pieces = re.split(r"[/_.\- ]", name.lower(), maxsplit=1)
    turned = re.split(r"[/]", name.lower())
    for split, metric in ([(pieces[0], pieces[1])] if len(pieces) == 2 else []) + (
        [(turned[-1], "_".join(turned[:-1]))] if len(turned) > 1 else []
    ):
        short = _plain(metric)
        if split in _SPLITS and short and not _NO_METRIC.fullmatch(short):
            return f"{_SPLITS[split]}_{_SHORT.get(short, short)}"
    return None


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_")


@dataclass(frozen=True)
class Meaning:
    """What a program's rows mean in ours.

    Attributes:
        steps: rows of `steps.csv`: step, lr, loss.
        evaluations: rows of `epochs.csv`, one for each that has a validation value; without any, one for each that has
            a training value.
        recorded: what else is known.
        columns: the column of each of our names.
        faults: what of the rows was left out, in words.
    """

    steps: Sequence[Mapping[str, float]]
    evaluations: Sequence[Mapping[str, float]]
    recorded: Recorded
    columns: Mapping[str, str] = field(default_factory=dict)
    faults: Sequence[str] = ()

    @classmethod
    def of(
        cls, log: Sequence[Mapping[str, float]], given: Mapping[str, str | None], known: Mapping[str, Metric], by: str
    ) -> Meaning:
        """Interpret a log.

        Args:
            log: its rows.
            given: the column of some of our names; None where it is to be guessed, if it is there.
            known: directions of metrics.
            by: its format.

        Raises FolderError for a column that the log does not have.
        """
        first: dict[str, float] = {}
        for row in log:
            first.update(row)
        there = list(first)
        columns = guessed(there)
        usual = {ours: theirs for ours, theirs in _OF_FORMATS.get(by, {}).items() if theirs in there}
        for ours, theirs in {**usual, **given}.items():
            wanted = theirs or columns.get(ours) or ours
            if wanted not in there:
                if theirs is None:
                    continue
                raise FolderError(f"the log has no column '{wanted}' for {ours}; {choices(wanted, there)}")
            columns = {name: column for name, column in columns.items() if column != wanted} | {ours: wanted}
        key = next((name for name in ("step", "epoch") if name in columns), "")
        rows, faults = _merged(
            ({n: _whole(n, row[c]) for n, c in columns.items() if c in row and _is(n, row[c])} for row in log), key
        )
        if unknown := sum(row.get(columns.get(key, ""), 0) != row.get(columns.get(key, ""), 0) for row in log):
            faults.append(f"{unknown:,} of its rows {'has' if unknown == 1 else 'have'} NaN as the {key}")
        values = [name for name in columns if name.startswith(("train_", "val_", "test_"))]
        tested = {n.removeprefix("test_"): _last(rows, n) for n in values if n.startswith("test_")}
        recorded = Recorded(
            by=by,
            metrics={name: _of_100(metric, rows) for name, metric in metrics_in(values, known).items()},
            test={name: finite(value) for name, value in tested.items() if value is not None},
            lost=_lost(rows),
        )
        return cls(_steps(rows, columns), _evaluations(rows, columns), recorded, columns, faults)


def _is(ours: str, value: float) -> bool:
    """Return whether a value says something: a step or an epoch that is NaN says nothing."""
    return ours not in ("step", "epoch") or value == value


def _whole(ours: str, value: float) -> float:
    """Return a whole step or epoch as an integer."""
    return int(value) if ours in ("step", "epoch") and value.is_integer() else value


def _of_100(metric: Metric, rows: Iterable[Mapping[str, float]]) -> Metric:
    """Return the metric as a number if it was recorded as 93.2 and not as 0.932."""
    names = [f"{split}_{metric.name}" for split in ("train", "val", "test")]
    if metric.form == "percent" and any(1 < row.get(name, 0) < math.inf for row in rows for name in names):
        return replace(metric, form="number")
    return metric


_AT = {"step", "epoch", "wall_time"}
"""What says where a row belongs, and is no value."""


def _merged(rows: Iterable[dict[str, float]], key: str) -> tuple[list[dict[str, float]], list[str]]:
    """Merge the rows of one step, or without steps those of one epoch, which loggers write apart.

    Returns the rows, and which values are lost by this.
    """
    found: list[dict[str, float]] = []
    again: list[float] = []
    for row in rows:
        at = row.get(key)
        if found and at is not None and found[-1].get(key) == at:
            if any(name not in _AT and _other(found[-1].get(name, value), value) for name, value in row.items()):
                again.append(at)
            found[-1] |= row
        elif not row.keys() <= _AT:
            found.append(row)
    faults = []
    if again:
        rows_have = "1 row has" if len(again) == 1 else f"{len(again):,} rows have"
        first = "" if len(again) == 1 else f", first for {key} {again[0]:g}"
        faults.append(f"{rows_have} other values than the row before for the same {key}{first}; the last row counts")
    back = next(((a["step"], b["step"]) for a, b in pairwise(_stepped(found)) if a["step"] > b["step"]), None)
    if key != "step" or back is None:
        return found, faults
    kept = _resumed(found)
    lost = "1 row is" if len(found) - len(kept) == 1 else f"{len(found) - len(kept):,} rows are"
    faults.append(f"its steps go back, first from {back[0]:g} to {back[1]:g}; {lost} left out for those written later")
    return kept, faults


def _other(value: float, now: float) -> bool:
    return value != now and not (math.isnan(value) and math.isnan(now))


def _stepped(rows: Iterable[dict[str, float]]) -> Iterator[dict[str, float]]:
    return (row for row in rows if "step" in row)


def _resumed(rows: Iterable[dict[str, float]]) -> list[dict[str, float]]:
    """Drop the rows that a resumed program wrote again: those after the step to which it went back."""
    kept: list[dict[str, float]] = []
    for row in rows:
        if "step" in row:
            while kept and kept[-1].get("step", -math.inf) >= row["step"]:
                kept.pop()
        kept.append(row)
    return kept


def _steps(rows: Sequence[Mapping[str, float]], columns: Iterable[str]) -> list[dict[str, float]]:
    """Return rows of `steps.csv`: those with a step and its learning rate or loss."""
    found = []
    names = [name for name in columns if name == "grad_norm" or re.fullmatch(r"lr(_.+)?", name)]
    for row in rows:
        loss = row.get("loss", row.get("train_loss"))
        values = {name: row[name] for name in names if name in row}
        values |= {} if loss is None else {"loss": loss}
        if "step" in row and values:
            found.append({"step": row["step"], **values})
    return found


def _evaluations(rows: Sequence[Mapping[str, float]], columns: Iterable[str]) -> list[dict[str, float]]:
    prefix = "val_" if any(name.startswith("val_") for name in columns) else "train_"
    found: list[dict[str, float]] = []
    losses: list[float] = []
    lr: float | None = None
    before = next((row["wall_time"] for row in rows if "wall_time" in row), math.nan)
    for row in rows:
        lr = row.get("lr", lr)
        loss = row.get("train_loss", row.get("loss"))
        losses += [] if loss is None else [loss]
        if any(name.startswith(prefix) for name in row):
            made = {
                n: v for n, v in row.items() if n.startswith(("train_", "val_")) or n in ("step", "epoch", "seconds")
            }
            if "train_loss" not in made and losses:
                made["train_loss"] = sum(losses) / len(losses)
            if "seconds" not in made and (taken := row.get("wall_time", math.nan) - before) >= 0:
                made["seconds"], before = taken, row["wall_time"]
            found.append(made if lr is None else {**made, "lr": lr})
            losses = []
    return found


def _last(rows: Sequence[Mapping[str, float]], name: str) -> float | None:
    return next((row[name] for row in reversed(rows) if name in row), None)


def _lost(rows: Sequence[Mapping[str, float]]) -> str:
    """Describe the last loss if it is not finite."""
    last: dict[str, Any] = {name: _last(rows, name) for name in ("val_loss", "train_loss", "loss")}
    wrong = [name for name, value in last.items() if value is not None and not math.isfinite(value)]
    what = "validation loss" if wrong == ["val_loss"] else "loss"
    return f"the last {what} was not finite" if wrong else ""
