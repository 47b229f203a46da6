"""How many classes the targets have, and how many numbers a model has to return for them."""

from __future__ import annotations

from torch import Tensor

from lrbench.components.data.batches import Data
from lrbench.components.losses import Loss
from lrbench.errors import ConfigError


def outputs_and_classes(data: Data, loss: Loss, *, imported: bool) -> tuple[int | None, int | None]:
    """Return the numbers of model outputs and of classes; None for what only the user knows.

    The size of a target is the number of outputs of a regression, and of classes where it is a vector, as for several
    labels. It says nothing about classes of positions: these come from the data set or the values of its targets.
    """
    if not data.pairs:
        return None, data.classes
    if data.positions:
        classes = position_classes(data, loss)
        size = next(iter(data.train.batches(1)))[1].numel()
        return classes if imported else size, classes
    if data.classes is not None:
        return data.classes, data.classes
    _, targets = next(iter(data.train.batches(1)))
    size = targets[0].numel()
    return size, size if targets.dim() <= 2 else None


def position_classes(data: Data, loss: Loss) -> int | None:
    """Return the number of classes of positions: the data set's word, else by the highest target; None if unknown.

    Raises ConfigError if the loss leaves out every target of a split.
    """
    splits = {"training": data.train, "validation": data.validation, "test": data.test}
    known = {which: labels for which, split in splits.items() if split and (labels := split.labels()) is not None}
    highest = {which: classes_in(labels, loss) for which, labels in known.items()}
    for which, classes in highest.items():
        if classes is None:
            raise ConfigError(f"leaves out every target of the {which} data ({loss.ignored})", key="loss.ignore_index")
    complete = len(known) == sum(split is not None for split in splits.values())
    return data.classes or (max(filter(None, highest.values())) if complete else None)


def classes_in(labels: Tensor, loss: Loss) -> int | None:
    """Return the number of classes by the highest label, without those that the loss leaves out; None without any."""
    used = labels[labels != loss.ignored]
    return int(used.max()) + 1 if used.numel() else None
