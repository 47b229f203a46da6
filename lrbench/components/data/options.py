"""Options of any data set: validation split, normalisation, augmentation and training size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool

from lrbench.types import Count, Finite, Part, Positive, ProperFraction, whole

Augmentation = Literal["crop", "flip"]

_forbid = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Validation:
    """How to split validation data off the training data. It does not depend on the run's seed.

    Args:
        fraction: fraction of the training data.
        how: `tail` takes the last examples, unshuffled, like Keras's validation_split; `stratified` and `random`
            draw with `seed`; `own` uses the data set's validation set; `auto` is `own` if there is one, else
            `stratified`, or `random` for a regression.
        seed: seed of the draw. Runs with different seeds share the split, so they can be paired.
    """

    __pydantic_config__ = _forbid

    fraction: ProperFraction = 0.2
    how: Literal["auto", "tail", "stratified", "random", "own"] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = 0


@dataclass(frozen=True)
class Normalize:
    """Per-channel mean and standard deviation, in units of the scaled input (pixels are 0 … 1).

    Args:
        mean: the mean of each channel, which is subtracted.
        std: the standard deviation of each channel, by which the difference is divided.
    """

    __pydantic_config__ = _forbid

    mean: list[Finite]
    std: list[Positive]


@dataclass(frozen=True)
class DatasetRules:
    """The keys of every `dataset:` block, besides the data set's own parameters.

    Args:
        validation: how to split off validation data.
        normalize: true uses the training data's mean and standard deviation per channel; or give both as numbers.
        augment: for images, in training only: `crop` (a random shift by up to an eighth of the side, padded with
            zeros) and `flip` (left to right, with probability ½).
        train_size: number of training examples to keep, drawn by class with the split's seed.
        sampler: `balanced` draws each class equally often; or an import string of a function of the training targets
            that returns a weight for each, or a sampler of indices.
        collate: import string of a function that makes a batch of a list of examples.
        workers: number of processes that read a map-style Dataset; by default 0 (this process), for streamed images 2.
            It changes no result: random numbers depend on the seed, the epoch and the batch. Each epoch starts them.
    """

    __pydantic_config__ = _forbid

    validation: Validation = Validation()
    normalize: StrictBool | Normalize = False
    augment: list[Augmentation] = field(default_factory=list)
    train_size: Count | None = None
    sampler: str | None = None
    collate: str | None = None
    workers: Annotated[int, Field(ge=0, le=1024, strict=True), BeforeValidator(whole)] | None = None

    @staticmethod
    def defaults(name: str) -> dict[str, Any]:
        """Return a data set's own defaults: digits 60/20/20 by class, torchvision's sets the last 20%, text 10%."""
        if name == "digits":
            return {"validation": {"fraction": 0.25, "how": "stratified"}}
        if name == "text":
            return {"validation": {"fraction": 0.1, "how": "tail"}}
        return {"validation": {"how": "tail"}} if name in BEFORE_VALIDATION else {}

    @staticmethod
    def reading(part: Part) -> set[str]:
        """Return the keys of a data set that say how it is read, which never changes a result."""
        return {"workers", "cache"} if part.name == "image_folder" else {"workers"}

    def training_examples(self, name: str) -> int | None:
        """Return a built-in set's number of training examples under these rules; None if its size is unknown."""
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
"""Training examples of the built-in sets, including validation."""
