"""Data sets by name. Importing this is cheap; the first `load` imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from lrbench.components.data.options import DatasetRules, Normalize, Validation
from lrbench.errors import ConfigError
from lrbench.registry import Catalog
from lrbench.types import Count, Part, Size, load_object

if TYPE_CHECKING:
    from lrbench.components.data.batches import Data
    from lrbench.components.data.sources import Source

Memory = bool | Literal["auto"]


def digits() -> Source:
    """scikit-learn's 1,797 handwritten digits, 8×8, no download; 20% of each class are the test set."""
    from lrbench.components.data import sources

    return sources.digits()


def _torchvision(class_name: str, summary: str) -> Callable[[], Source]:
    def factory() -> Source:
        from lrbench.components.data import sources

        return sources.torchvision_set(class_name)

    factory.__doc__ = summary
    return factory


def image_folder(
    *,
    path: str,
    size: Count = 32,
    channels: Literal[1, 3] = 3,
    in_memory: Memory = "auto",
    cache: Size = "auto",
) -> Source:
    """Your own images: train/<class>/*.png, test/<class>/*.png and optionally val/<class>/*.png.

    Args:
        path: the folder that contains train/ and test/.
        size: resize the shorter side of every image to this length and crop it to a square.
        channels: 1 (grey) or 3 (RGB).
        in_memory: `auto` loads the images as tensors if they take less than a quarter of the free memory, else
            streams them through a DataLoader.
        cache: how much memory streamed images may take once they are decoded, such as `2GB`; those that do not fit are
            decoded in every epoch. `auto` is a quarter of the free memory, 0 keeps none. It changes no result.
    """
    from lrbench.components.data import images

    return images.image_folder(path, size, channels, in_memory, cache)


def of_task() -> None:
    """What the method `data` of your task returns; the default if a config with such a task names no data set."""


def _text(*, path: str | None = None, tokens: Literal["bytes", "characters"] = "bytes", context: Count = 64) -> Source:
    """A text for language models, your own or eight embedded plays by Shakespeare; the last 10% are the test data.

    Args:
        path: a file in UTF-8, or a folder whose *.txt files are joined in the order of their names.
        tokens: `bytes` (a vocabulary of 256) or `characters` (those that occur in the text).
        context: tokens in an example. Examples don't overlap.
    """
    from lrbench.components.data.text import text

    return text(path, tokens, context)


DATASETS = Catalog(
    kind="dataset",
    entries={
        "digits": digits,
        "mnist": _torchvision("MNIST", "70,000 handwritten digits, 28×28, grey; downloaded if missing."),
        "fashion_mnist": _torchvision("FashionMNIST", "70,000 images of clothing, 28×28, grey, 10 classes."),
        "kmnist": _torchvision("KMNIST", "70,000 Japanese characters, 28×28, grey, 10 classes."),
        "cifar10": _torchvision("CIFAR10", "60,000 colour images, 32×32, 10 classes."),
        "cifar100": _torchvision("CIFAR100", "60,000 colour images, 32×32, 100 classes."),
        "image_folder": image_folder,
        "task": of_task,
        "text": _text,
    },
)


def load(part: Part, rules: DatasetRules, of_task: Callable[[], Any] | None = None) -> Data:
    """Load a data set, split and ready for batches.

    Args:
        part: the data set.
        rules: the rules of any data set.
        of_task: returns the data set, in the same forms as an imported one, if the task brings it along.

    Raises:
        ConfigError: the config asks for something that this data set does not support.
        DataError: files are missing or unusable.
        UserCodeError: an imported data set raised.
    """
    from lrbench.components.data import splits

    collate = None if rules.collate is None else load_object(rules.collate, "dataset.collate")
    if not callable(collate or str):
        raise ConfigError(f"'{rules.collate}' is not a function", key="dataset.collate")
    made = DATASETS.build(part) if of_task is None else of_task()
    return splits.prepare(splits.as_source(made, part, collate), rules)
