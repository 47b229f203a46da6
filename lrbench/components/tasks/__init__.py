"""Tasks by name: what a batch, its loss and its metrics are. Importing this is cheap; building one imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lrbench.components.metrics import NAMED
from lrbench.components.tasks.base import Task
from lrbench.errors import ConfigError, DataError
from lrbench.registry import Catalog
from lrbench.types import Part, load_object

if TYPE_CHECKING:
    from lrbench.components.data.batches import Data
    from lrbench.components.losses import Loss

OF_TASK = "task"
"""The name of a loss, a model or a data set that the task brings along."""


def classification() -> None:
    """One class for each example, or for each of its positions. Loss: cross-entropy; measured by accuracy.

    Outputs are (n, classes) for targets (n,), or (n, classes, …) for targets (n, …).
    """


def regression() -> None:
    """Numbers for each example, (n,) or (n, …). Loss: mean squared error; measured by MAE, RMSE and R²."""


def multilabel() -> None:
    """Several labels for each example, targets (n, labels) of 0 and 1. Loss: `bce`; measured by F1 and mAP."""


def segmentation() -> None:
    """A class for each pixel. Loss: cross-entropy that ignores 255; measured by mean IoU and the pixels' accuracy.

    Outputs are (n, classes, height, width), targets (n, height, width).
    """


def language_model() -> None:
    """The next token at each position, outputs (n, tokens, vocabulary). Loss: cross-entropy; measured by perplexity.

    Also measures bits per byte, if the data set tells the bytes of a token.
    """


def hf() -> None:
    """A model of transformers, which computes its own loss. Batches are mappings with `labels`."""


TASKS = Catalog(
    kind="task",
    entries={
        "classification": classification,
        "hf": hf,
        "language_model": language_model,
        "multilabel": multilabel,
        "regression": regression,
        "segmentation": segmentation,
    },
)


def _described(name: str, summary: str) -> Any:
    def factory() -> str:
        return name

    factory.__doc__ = summary
    return factory


METRICS = Catalog(
    kind="metrics",
    entries={
        name: _described(name, summary)
        for name, summary in {
            "accuracy": "Fraction of right classes, of examples or positions.",
            "average_precision": "Mean average precision over the labels (multilabel).",
            "bits_per_byte": "Cross-entropy in bits per byte of text.",
            "calibration_error": "Expected calibration error, 15 bins (Guo et al. 2017).",
            "f1": "F1, averaged over the classes or labels (macro).",
            "mae": "Mean absolute error.",
            "mean_iou": "Intersection over union, averaged over the classes.",
            "perplexity": "exp(mean cross-entropy).",
            "pixel_accuracy": "Fraction of right classes of the pixels.",
            "r2": "Coefficient of determination, averaged over the outputs.",
            "rmse": "Root of the mean squared error.",
            "top5_accuracy": "Fraction of examples whose class is among the five highest outputs.",
        }.items()
    },
)

_USUAL_LOSS = {
    "classification": Part("cross_entropy"),
    "language_model": Part("cross_entropy"),
    "multilabel": Part("bce"),
    "regression": Part("mse"),
    "segmentation": Part("cross_entropy", {"ignore_index": 255}),
}
_MEASURED = {
    "classification": ("accuracy",),
    "language_model": ("perplexity",),
    "multilabel": ("f1", "average_precision"),
    "regression": ("mae", "rmse", "r2"),
    "segmentation": ("mean_iou", "pixel_accuracy"),
}
_FITTING = {
    "classification": ("accuracy", "calibration_error", "f1", "top5_accuracy"),
    "language_model": ("accuracy", "bits_per_byte", "perplexity", "top5_accuracy"),
    "multilabel": ("average_precision", "f1"),
    "regression": ("mae", "r2", "rmse"),
    "segmentation": ("f1", "mean_iou", "pixel_accuracy"),
}
"""The metrics that each task can have."""


_TARGETS = {
    "language_model": (2, "(n, tokens)"),
    "multilabel": (2, "(n, labels) of 0 and 1"),
    "segmentation": (3, "(n, height, width)"),
}
"""The dimensions of each task's targets."""


def usual_loss(name: str) -> Part:
    """Return the loss of a task whose config names none."""
    return _USUAL_LOSS.get(name, Part(OF_TASK))


def task_hooks(part: Part | None, wanted: Mapping[str, str]) -> dict[str, Callable[..., Any]]:
    """Return optional methods of the user's task.

    Args:
        part: the `task:` block.
        wanted: the names of the methods, each with the config's key that needs it.

    Raises:
        ConfigError: it has no such method.
    """
    found = {}
    for name, key in wanted.items():
        hook = None if part is None or not part.imported else imported_task(part).hook(name)
        if hook is None:
            known = "this config has no task" if part is None else f"'{part.name}' has no method {name}"
            raise ConfigError(f"is missing, and {known} to make it", key=key)
        found[name] = hook
    return found


def imported_task(part: Part, metrics: Sequence[Part] = ()) -> Any:
    """Return the user's task that an import string names. Raises ConfigError, UserCodeError."""
    from lrbench.components.tasks.own import own_task

    found = load_object(part.name, "task")
    if isinstance(found, type):
        found = TASKS.build(part)
    elif part.params:
        raise ConfigError("a function or object takes no parameters; name a class", key="task")
    return own_task(part, found, metrics)


def suited(part: Part | None, data: Data) -> Data:
    """Return the data as the task sees it: targets of a regression or of several labels are numbers.

    Raises ConfigError or DataError if a task on pairs can't use the data.
    """
    if part is not None and (part.imported or part.name == "hf"):
        return data
    if not data.pairs:
        problem = f"{data.name} gives {data.gives}, not pairs (input, target)"
        raise ConfigError(f"{problem}; name a task that takes them: hf, or your own 'package.module:Task'", key="task")
    if data.unknown and (part is None or part.name == "classification"):
        raise DataError(data.unknown)
    if part is not None and part.name in _TARGETS:
        dimensions, shape = _TARGETS[part.name]
        targets = next(iter(data.train.batches(1)))[1]
        if targets.dim() != dimensions:
            found = f"({', '.join(['n', *map(str, targets.shape[1:])])}{',' if targets.dim() == 1 else ''})"
            problem = f"{part.name} needs targets {shape}; those of {data.name} have the shape {found}"
            raise ConfigError(problem, key="task")
    numbers = part is not None and part.name in ("regression", "multilabel")
    return replace(data, numbers=True, classes=None, positions=False) if numbers else data


def build_task(
    part: Part | None, metrics: Sequence[Part], *, data: Data, loss: Loss, model: Any, classes: int | None
) -> Task:
    """Build the task of a `task:` block, or that which suits the data.

    Args:
        part: the block; None for classification, or for numbers as targets a regression measured only by its loss.
        metrics: the `metrics:` to measure besides the task's own.
        data: what it is trained on.
        loss: the loss, if the task does not compute its own.
        model: the model.
        classes: the number of classes or labels; None if unknown.

    Raises:
        ConfigError: data or metrics do not suit the task.
        UserCodeError: the user's task raised.
    """
    if part is not None and part.imported:
        own: Task = imported_task(part, metrics)
        return own
    if part is not None and part.name == "hf":
        from lrbench.components.tasks.hf import HuggingFace

        if metrics:
            raise ConfigError("task: hf takes no other metrics; write a task of your own for them", key="metrics")
        task: Task = HuggingFace(model)
        return task
    from lrbench.components.tasks.build import pair_task

    name = None if part is None else part.name
    usual = () if name is None else _MEASURED[name]
    if name == "language_model" and data.bytes_per_token is not None:
        usual = (*usual, "bits_per_byte")
    _check(name, metrics)
    return pair_task(name, usual, metrics, data=data, loss=loss, classes=classes)


def _check(task: str | None, metrics: Sequence[Part]) -> None:
    names = [metric.params.get("as", metric.name) for metric in metrics]
    if (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
        raise ConfigError(f"'{twice}' is named twice", key="metrics")
    fitting = _FITTING[task or "classification"]
    for metric in metrics:
        if metric.name in NAMED and metric.name not in fitting and task is not None:
            problem = f"'{metric.name}' does not suit task: {task}, which has {', '.join(fitting)}"
            raise ConfigError(problem, key="metrics")
