"""Build a task on pairs from its name, its metrics and what the data tells."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lrbench.components.data.batches import Data
from lrbench.components.losses import IGNORED, Loss
from lrbench.components.tasks import class_meters, number_meters
from lrbench.components.tasks.meters import Facts, Meter
from lrbench.components.tasks.pairs import LanguageModel, PairTask
from lrbench.components.tasks.torchmetrics import AveragePrecision, Imported, as_metric
from lrbench.registry import Catalog
from lrbench.types import Part

_METERS: dict[str, type[Meter]] = {
    "average_precision": AveragePrecision,
    "bits_per_byte": number_meters.BitsPerByte,
    "calibration_error": class_meters.CalibrationError,
    "f1": class_meters.F1,
    "mae": number_meters.Mae,
    "mean_iou": class_meters.MeanIou,
    "perplexity": number_meters.Perplexity,
    "pixel_accuracy": class_meters.PositionAccuracy,
    "r2": number_meters.R2,
    "rmse": number_meters.Rmse,
    "top5_accuracy": class_meters.Top5,
}


def pair_task(
    name: str | None, usual: Sequence[str], metrics: Sequence[Part], *, data: Data, loss: Loss, classes: int | None
) -> PairTask:
    """Build a task; see `build_task`. Raises ConfigError."""
    targets = next(iter(data.train.batches(1)))[1]
    facts = _facts(data, loss, targets, classes)
    if name is None:  # what data and loss suggest
        single = data.classes is not None and not data.positions
        usual = ("accuracy",) if single or (data.positions and loss.by_class) else ()
    wanted = [*map(Part, usual), *(metric for metric in metrics if metric.name not in usual)]
    found = [_meter(name, metric, facts) for metric in wanted]
    return (LanguageModel if name == "language_model" else PairTask)(loss, found)


def _facts(data: Data, loss: Loss, targets: Tensor, classes: int | None) -> Facts:
    labels, size = data.train.labels(), targets[0].numel()
    numbers = data.numbers or (labels is not None and labels.is_floating_point())
    classes = classes or (size if targets.dim() == 2 and not data.positions else None)
    center = labels.double().reshape(len(labels), -1).mean(0) if numbers and labels is not None else torch.zeros(size)
    return Facts(loss, classes, size, center, data.bytes_per_token, data.positions)


def _meter(task: str | None, part: Part, facts: Facts) -> Meter:
    if part.imported:
        own = {key: value for key, value in part.params.items() if key != "as"}
        made = Catalog("metrics", {}).build(Part(part.name, own), "metrics")
        shown = str(part.params.get("as") or _snake(part.name.rpartition(":")[2].rpartition(".")[2]))
        return Imported(as_metric(shown, made), made)
    if part.name == "accuracy":
        ignoring = facts.positions or task == "language_model" or facts.loss.ignored not in (None, IGNORED)
        return (class_meters.PositionAccuracy if ignoring else class_meters.Accuracy)(part.name, facts)
    return (class_meters.LabelF1 if part.name == "f1" and task == "multilabel" else _METERS[part.name])(
        part.name, facts
    )


def _snake(name: str) -> str:
    """Return `BinaryF1Score` as `binary_f1_score`."""
    parts = (f"_{c.lower()}" if c.isupper() and not name[i - 1].isupper() else c.lower() for i, c in enumerate(name))
    return "".join(parts).removeprefix("_")
