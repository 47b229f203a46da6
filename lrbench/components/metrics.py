"""Metrics: which direction is better and how to format a value. All code that shows or compares values asks here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

Better = Literal["lower", "higher"]
Form = Literal["number", "percent"]


@dataclass(frozen=True)
class Metric:
    """What a task measures on a split, averaged over its examples.

    Args:
        name: as in `val_<name>`.
        better: `lower` or `higher`.
        form: `number`, written with four digits, or `percent`, for a fraction.
    """

    name: str
    better: Better = "lower"
    form: Form = "number"

    @property
    def lower(self) -> bool:
        """Whether less is better."""
        return self.better == "lower"

    @property
    def sign(self) -> int:
        """Factor that makes less better."""
        return 1 if self.lower else -1

    def text(self, value: float) -> str:
        """Format a value: `0.0286`, `99.19 %`."""
        return f"{100 * value:.2f} %" if self.form == "percent" else number(value)

    def short(self, value: float) -> str:
        """Format a value briefly: `0.029`, `99.2`."""
        return f"{100 * value:.1f}" if self.form == "percent" else f"{value:.3g}"

    def plain(self) -> dict[str, str]:
        """Return what a run folder records about it."""
        return {"better": self.better, "form": self.form}


LOSS = Metric("loss")
ACCURACY = Metric("accuracy", "higher", "percent")
KNOWN: Mapping[str, Metric] = {metric.name: metric for metric in (LOSS, ACCURACY)}
"""Metrics of folders that record none."""

NAMED: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        ACCURACY,
        Metric("average_precision", "higher", "percent"),
        Metric("bits_per_byte"),
        Metric("calibration_error", "lower", "percent"),
        Metric("f1", "higher", "percent"),
        Metric("mae"),
        Metric("mean_iou", "higher", "percent"),
        Metric("perplexity"),
        Metric("pixel_accuracy", "higher", "percent"),
        Metric("r2", "higher"),
        Metric("rmse"),
        Metric("top5_accuracy", "higher", "percent"),
    )
}
"""The metrics that a config can name."""


def metrics_of(recorded: object) -> dict[str, Metric]:
    """Return the metrics that a folder records, by name, the loss first; KNOWN if it records none."""
    if not isinstance(recorded, Mapping):
        return dict(KNOWN)
    found = {"loss": LOSS}
    for name, said in recorded.items():
        told = said if isinstance(said, Mapping) else {}
        better: Better = "higher" if told.get("better") == "higher" else "lower"
        form: Form = "percent" if told.get("form") == "percent" else "number"
        found[str(name)] = Metric(str(name), better, form)
    return found


_IN_WORDS = {
    "auroc": "AUROC",
    "f1": "F1",
    "iou": "IoU",
    "kl": "KL",
    "mae": "MAE",
    "psnr": "PSNR",
    "r2": "R²",
    "rmse": "RMSE",
}


def in_words(name: str) -> str:
    """Return a metric's or measure's name as text shows it.

    >>> in_words("test_mean_iou"), in_words("val_loss")
    ('test mean IoU', 'val loss')
    """
    return " ".join(_IN_WORDS.get(word, word) for word in name.split("_"))


def number(value: float) -> str:
    """Format with four significant digits."""
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.3g}"


@dataclass(frozen=True, kw_only=True)
class Measure(Metric):
    """A metric at one point of a run; its name is that in tables and options: `best_val_loss`, `test_accuracy`.

    Attributes:
        metric: what is measured.
        section: the section of a result: `final`, `best`, `test` or `test_best`.
        key: the key in that section.
        words: the name in words.
        signed: whether a value is below 0, so that ratios mean nothing.
    """

    metric: Metric
    section: str
    key: str
    words: str
    signed: bool = False

    @property
    def by_ratio(self) -> bool:
        """Whether values are compared by ratios and averaged by geometric means; percentages never are."""
        return self.form != "percent" and not self.signed

    @property
    def name_in_short(self) -> str:
        """A short name: `val loss`, `test accuracy of the best epoch`."""
        if self.section == "test_best":
            return f"test {in_words(self.metric.name)} of the best epoch"
        return in_words(self.name)

    @property
    def per_epoch(self) -> bool:
        """Whether every evaluation measures it."""
        return self.section == "final"

    @property
    def on_validation(self) -> bool:
        """Whether it is measured on the validation data at the end of the run."""
        return self.per_epoch and self.key.startswith("val_")


# Prefix of the full name, section of the result, prefix of the key there, words.
_POINTS = (
    ("train_", "final", "train_", "training {}"),
    ("val_", "final", "val_", "validation {}"),
    ("best_val_", "best", "val_", "validation {} at its best epoch"),
    ("test_", "test", "", "test {}"),
    ("test_best_", "test_best", "", "test {} of the best epoch's weights"),
)


def measures(metrics: Iterable[Metric]) -> dict[str, Measure]:
    """Return every measure of these metrics by name: training, validation and test, at the end and the best epoch."""
    return dict(_measures(tuple(metrics)))


@cache
def _measures(metrics: tuple[Metric, ...]) -> dict[str, Measure]:
    found = {}
    for prefix, section, key, words in _POINTS:
        for metric in metrics:
            name = prefix + metric.name
            said = words.format(in_words(metric.name))
            point: dict[str, Any] = {"section": section, "key": key + metric.name, "words": said}
            found[name] = Measure(name, metric.better, metric.form, metric=metric, **point)
    return found


@cache
def place(name: str) -> tuple[str, str]:
    """Return the section of a result and the key in it that hold a measure.

    >>> place("best_val_loss"), place("test_best_accuracy"), place("val_f1")
    (('best', 'val_loss'), ('test_best', 'accuracy'), ('final', 'val_f1'))
    """
    fitting = [point for point in _POINTS if name.startswith(point[0])]
    if not fitting:
        return ("best", name.removeprefix("best_")) if name.startswith("best_") else ("final", name)
    prefix, section, key, _ = max(fitting, key=lambda point: len(point[0]))
    return section, key + name.removeprefix(prefix)


def epoch_columns(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Return the columns of `epochs.csv` for a task's metrics, besides the loss."""
    pairs = [f"{split}_{metric.name}" for metric in metrics for split in ("train", "val")]
    return ("epoch", "step", "lr", "train_loss", "val_loss", *pairs, "seconds", "examples_per_second")


def recorded(metrics: Iterable[Metric]) -> dict[str, Any]:
    """Return what `env.json` records about a task's metrics."""
    return {metric.name: metric.plain() for metric in metrics}
