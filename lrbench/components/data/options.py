"""What can be asked of any data set: how validation is split off, normalisation, augmentation, a part of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictBool

from lrbench.types import Count, Positive

Augmentation = Literal["crop", "flip"]

_forbid = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Validation:
    """How the validation data is split off the training data; never by the run's seed.

    Args:
        fraction: of the training data.
        how: `tail`, the last ones, unshuffled, as Keras's validation_split; `stratified` or `random`, drawn
            with `seed`; `own`, the validation set that the data set brings; `auto`, its own if it brings one,
            else stratified by class, else (a regression) random.
        seed: of the draw. Runs that differ in their own seed share the split, so that they can be paired.
    """

    __pydantic_config__ = _forbid

    fraction: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.2
    how: Literal["auto", "tail", "stratified", "random", "own"] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = 0


@dataclass(frozen=True)
class Normalize:
    """Per-channel mean and standard deviation, in units of the scaled input (pixels are 0 … 1)."""

    __pydantic_config__ = _forbid

    mean: list[Annotated[float, Field(allow_inf_nan=False, strict=True)]]
    std: list[Positive]


@dataclass(frozen=True)
class DatasetRules:
    """The keys that every `dataset:` block understands beside the set's own parameters.

    Args:
        validation: how validation data is split off.
        normalize: true for the training data's own mean and deviation per channel, or the two as numbers.
        augment: for pictures, in training only: `crop` (a random shift by up to an eighth of the side, zeros
            coming in) and `flip` (left to right, every other picture on average).
        train_size: keep only that many training examples, drawn by class with the split's seed.
    """

    __pydantic_config__ = _forbid

    validation: Validation = Validation()
    normalize: StrictBool | Normalize = False
    augment: list[Augmentation] = field(default_factory=list)
    train_size: Count | None = None

    @staticmethod
    def defaults(name: str) -> dict[str, Any]:
        """What differs by data set: digits 60/20/20 by class, torchvision's sets the tail 20 %."""
        if name == "digits":
            return {"validation": {"fraction": 0.25, "how": "stratified"}}
        return {"validation": {"how": "tail"}} if name in TAIL else {}

    def training_examples(self, name: str) -> int | None:
        """How many training examples a built-in set leaves under these rules; None for a set of unknown size."""
        if self.train_size is not None:
            return self.train_size
        if name not in BEFORE_VALIDATION or self.validation.how == "own":
            return None
        whole = BEFORE_VALIDATION[name]
        return whole - int(whole * self.validation.fraction + 0.5)


BEFORE_VALIDATION = {
    "digits": 1437,
    "mnist": 60_000,
    "fashion_mnist": 60_000,
    "kmnist": 60_000,
    "cifar10": 50_000,
    "cifar100": 50_000,
}
"""Training examples of the built-in sets, validation included."""

TAIL = ("mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100")
