"""Metrics: which way is better and how a value is written. Everything that shows or compares values asks here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Better = Literal["lower", "higher"]
Form = Literal["number", "percent"]


@dataclass(frozen=True)
class Metric:
    """What a task measures over a split, averaged over its examples.

    Args:
        name: as in `val_<name>`.
        better: which way is better.
        form: how a value is written: `number` with four digits, `percent` for a part of 1.
    """

    name: str
    better: Better = "lower"
    form: Form = "number"

    @property
    def lower(self) -> bool:
        """True where less is better."""
        return self.better == "lower"

    @property
    def sign(self) -> int:
        """What a value is multiplied by so that less is better."""
        return 1 if self.lower else -1

    def text(self, value: float) -> str:
        """A value as it is shown: `0.0286`, `99.19 %`."""
        return percent(value) if self.form == "percent" else number(value)

    def short(self, value: float) -> str:
        """A value where there is little room: `0.029`, `99.2`."""
        return f"{100 * value:.1f}" if self.form == "percent" else f"{value:.3g}"

    def plain(self) -> dict[str, str]:
        """What a run's folder says of it."""
        return {"better": self.better, "form": self.form}


LOSS = Metric("loss")
ACCURACY = Metric("accuracy", "higher", "percent")
KNOWN: Mapping[str, Metric] = {metric.name: metric for metric in (LOSS, ACCURACY)}
"""Metrics of folders that do not say what theirs are."""


def metrics_of(recorded: object) -> dict[str, Metric]:
    """The metrics that a folder has recorded, by name, the loss first; those of KNOWN where it has recorded none."""
    if not isinstance(recorded, Mapping):
        return dict(KNOWN)
    found = {"loss": LOSS}
    for name, said in recorded.items():
        told = said if isinstance(said, Mapping) else {}
        better: Better = "higher" if told.get("better") == "higher" else "lower"
        form: Form = "percent" if told.get("form") == "percent" else "number"
        found[str(name)] = Metric(str(name), better, form)
    return found


def number(value: float) -> str:
    """Four significant digits, so that 0.0286 and 2.319 read alike."""
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.3g}"


def percent(value: float) -> str:
    """A part of 1 as a percentage."""
    return f"{100 * value:.2f} %"


@dataclass(frozen=True)
class Measure:
    """A metric at one point of a run, under the name that tables and options use: `best_val_loss`, `test_accuracy`.

    Attributes:
        name: the whole name.
        metric: what is measured.
        section: where a result has it: `final`, `best`, `test` or `test_best`.
        key: the key in that section.
        words: the name in words.
    """

    name: str
    metric: Metric
    section: str
    key: str
    words: str

    @property
    def lower(self) -> bool:
        """True where less is better."""
        return self.metric.lower

    @property
    def sign(self) -> int:
        """What a value is multiplied by so that less is better."""
        return self.metric.sign

    @property
    def name_in_short(self) -> str:
        """`val loss`, `test accuracy of the best epoch`: for lines that name it often."""
        if self.section == "test_best":
            return f"test {self.metric.name.replace('_', ' ')} of the best epoch"
        return self.name.replace("_", " ")

    @property
    def per_epoch(self) -> bool:
        """True where every evaluation measures it."""
        return self.section == "final"

    @property
    def on_validation(self) -> bool:
        """True where it is measured on the validation data at the end."""
        return self.per_epoch and self.key.startswith("val_")

    def text(self, value: float) -> str:
        """A value as it is shown."""
        return self.metric.text(value)


# Prefix of the whole name, section of the result, prefix of the key there, words.
_POINTS = (
    ("train_", "final", "train_", "training {}"),
    ("val_", "final", "val_", "validation {}"),
    ("best_val_", "best", "val_", "validation {} at its best epoch"),
    ("test_", "test", "", "test {}"),
    ("test_best_", "test_best", "", "test {} of the best epoch's weights"),
)


def measures(metrics: Iterable[Metric]) -> dict[str, Measure]:
    """Every measure of these metrics by its name: training, validation and test, at the end and at the best epoch."""
    metrics = list(metrics)
    found: dict[str, Measure] = {}
    for prefix, section, key, words in _POINTS:
        for metric in metrics:
            name = prefix + metric.name
            found[name] = Measure(name, metric, section, key + metric.name, words.format(metric.name.replace("_", " ")))
    return found


def place(name: str) -> tuple[str, str]:
    """The section of a result and the key there that hold the measure of that name.

    >>> place("best_val_loss"), place("test_best_accuracy"), place("val_f1")
    (('best', 'val_loss'), ('test_best', 'accuracy'), ('final', 'val_f1'))
    """
    fitting = [point for point in _POINTS if name.startswith(point[0])]
    if not fitting:
        return ("best", name.removeprefix("best_")) if name.startswith("best_") else ("final", name)
    prefix, section, key, _ = max(fitting, key=lambda point: len(point[0]))
    return section, key + name.removeprefix(prefix)


def epoch_columns(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """The columns of `epochs.csv` for a task's metrics beside its loss."""
    pairs = [f"{split}_{metric.name}" for metric in metrics for split in ("train", "val")]
    return ("epoch", "step", "lr", "train_loss", "val_loss", *pairs, "seconds", "examples_per_second")


def recorded(metrics: Iterable[Metric]) -> dict[str, Any]:
    """What `env.json` says of a task's metrics."""
    return {metric.name: metric.plain() for metric in metrics}
