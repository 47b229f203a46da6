"""Turn a source into training, validation and test data: split, reduce, normalise and check it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from lrbench.components.data.any_batches import gives_pairs, makes_batches, notes_on, of_batches
from lrbench.components.data.batches import Data, Split, Tensors
from lrbench.components.data.collate import as_pair, stacked
from lrbench.components.data.drawing import drawn_apart
from lrbench.components.data.loaders import Iterated, Loader, in_memory, known_targets
from lrbench.components.data.options import DatasetRules, Normalize, Validation
from lrbench.components.data.sampling import sampler_of
from lrbench.components.data.sources import Source
from lrbench.components.data.streams import Collate, Stream
from lrbench.errors import ConfigError, DataError, UserCodeError, counted
from lrbench.types import Part

_HOW_TO_RETURN = (
    "a data set must be (train, test), (train, validation, test) or a mapping with these keys and optionally "
    "`classes`, the number of classes; each split is a pair of tensors (inputs, targets) or a map-style Dataset"
)
_SPLITS = ("train", "validation", "test")


def as_source(made: Any, part: Part, collate: Collate | None = None) -> Source:
    """Convert what a dataset factory returned to a `Source`. Raises DataError for any other form.

    `collate` makes batches of the examples of a Dataset.
    """
    if isinstance(made, Source):
        return made
    if isinstance(made, tuple | list) and len(made) in (2, 3):
        made = dict(zip(("train", "test") if len(made) == 2 else _SPLITS, made, strict=True))
    if not isinstance(made, Mapping) or made.get("train") is None:
        raise DataError(f"{part.name} returned {type(made).__name__}; {_HOW_TO_RETURN}")
    strange = set(made) - {*_SPLITS, "classes"}
    if strange:
        raise DataError(f"{part.name} returned unknown keys {sorted(map(str, strange))}; {_HOW_TO_RETURN}")
    splits = {w: None if made.get(w) is None else _split(made[w], f"{part.name}: {w}", collate) for w in _SPLITS}
    train = splits["train"]
    assert train is not None
    if collate is not None and isinstance(train, Tensors):
        raise ConfigError("has no effect on tensors, only on the examples of a Dataset", key="dataset.collate")
    classes, unknown = made.get("classes"), ""
    what = f"{part.name}: train"
    if classes is None and gives_pairs(train, what) and not makes_batches(train) and _class_shape(train, what) == ():
        classes = _count_classes(splits.values())
        unknown = "" if classes is not None else f"{part.name}: {_UNKNOWN_CLASSES}"
    return Source(part.name, train, splits["validation"], splits["test"], classes, unknown=unknown)


def prepare(source: Source, rules: DatasetRules) -> Data:
    """Split off validation data, apply `train_size` and normalisation, and check the examples.

    Raises:
        ConfigError: the rules ask for something that this data set does not support.
        DataError: examples differ in shape, inputs are not finite, or labels are out of range.
    """
    if rules.workers is not None:
        source = _read_by(rules.workers, source)
    train, validation = _with_validation(source, rules.validation)
    if rules.train_size is not None:
        if rules.train_size > len(train):
            problem = f"is more than the {len(train):,} training examples of {source.name}"
            raise ConfigError(problem, key="dataset.train_size")
        kept, _ = _draw(train, len(train) - rules.train_size, rules.validation.seed)
        train = train.subset(kept)
    what = f"{source.name}: the training data"
    told: dict[str, Any] = {"bytes_per_token": source.bytes_per_token, "unknown": source.unknown}
    told["draw"] = None if rules.sampler is None else sampler_of(rules.sampler, train)
    told["notes"] = (*source.notes, *notes_on(source.name, train))
    if not gives_pairs(train, what) or makes_batches(train):
        return replace(of_batches(source, rules, train, validation, what), **told)
    shape = _shape(train, what)
    positions = bool(_class_shape(train, source.name))
    for which, split in (("validation", validation), ("test", source.test), ("training", train)):
        if split is not None:
            _check(split, shape, None if positions else source.classes, f"{source.name}: the {which} data")
    if not shape:
        problem = "inputs must have at least one dimension, such as (n, 1), but are single numbers"
        raise DataError(f"{source.name}: {problem}")
    if rules.augment and len(shape) != 3:
        problem = f"needs images (channels, height, width); {source.name} has inputs of shape {shape}"
        raise ConfigError(problem, key="dataset.augment")
    sizes: dict[str, Any] = {"shape": shape, "classes": source.classes, "positions": positions}
    sizes["bytes_per_token"] = source.bytes_per_token
    data = Data(source.name, train, validation, source.test, augment=tuple(rules.augment), **sizes)
    return _normalized(replace(data, **told), rules.normalize)


def _read_by(workers: int, source: Source) -> Source:
    """Return the source with its streams read by so many processes. Raises ConfigError if the user's code decides."""
    splits = {name: getattr(source, name) for name in _SPLITS}
    for name, split in splits.items():
        if split is not None and not split.shuffles:
            problem = f"is for map-style Datasets, and {name} sets its own order"
            raise ConfigError(f"{problem}; give your own DataLoader num_workers", key="dataset.workers")
    changed: dict[str, Any] = {n: replace(s, workers=workers) for n, s in splits.items() if isinstance(s, Stream)}
    return replace(source, **changed)


def _split(value: Any, what: str, collate: Collate | None) -> Split:
    if isinstance(value, Split):
        return value
    value = in_memory(value)
    if isinstance(value, DataLoader) and isinstance(value.dataset, IterableDataset):
        collate = None if value.collate_fn is default_collate else value.collate_fn
        value = value.dataset
    if isinstance(value, DataLoader):
        return Loader(value)
    if isinstance(value, IterableDataset):
        iterated = Iterated(value, collate)
        if iterated.endless and not what.endswith("train"):
            raise DataError(f"{what} is an IterableDataset without a length; give it __len__")
        return iterated
    if isinstance(value, Dataset):
        return Stream(value, targets=known_targets(value), collate=collate)
    if isinstance(value, tuple | list) and len(value) == 2:
        try:
            inputs, targets = (_whole(v, kind) for v, kind in zip(value, ("input", "target"), strict=True))
        except DataError as error:
            raise DataError(f"{what}: {error}") from None
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"{what} can't be converted to tensors: {error}; {_HOW_TO_RETURN}") from error
        if len(inputs) != len(targets) or len(inputs) == 0:
            raise DataError(f"{what}: {len(inputs)} inputs and {len(targets)} targets; need the same number, above 0")
        integral = not targets.is_floating_point()
        whole = inputs if inputs.dtype in (torch.uint8, torch.int64) else inputs.float()
        return Tensors(whole, targets.long() if integral else targets.float())
    raise DataError(f"{what} is a {type(value).__name__}; {_HOW_TO_RETURN}")


def _whole(value: Any, what: str) -> Tensor:
    """Convert one array, or a list with a tensor for each example."""
    tensors = isinstance(value, tuple | list) and all(isinstance(v, Tensor) for v in value)
    return stacked(value, what) if tensors and value else torch.as_tensor(value)


def _example(split: Split, index: int, what: str) -> tuple[Tensor, Tensor]:
    if isinstance(split, Tensors):
        return split.inputs[index], split.targets[index]
    try:
        return as_pair(split.dataset[index])  # type: ignore[attr-defined]
    except DataError as error:
        raise DataError(f"{what}: {error}") from error.__cause__
    except Exception as error:
        raise UserCodeError.of(f"{what}: reading example {index}", error) from error


def _shape(split: Split, what: str) -> tuple[int, ...]:
    """Return the shape of the inputs; of streamed data, about three examples are compared."""
    some = range(1) if isinstance(split, Tensors) else range(0, len(split), max(len(split) // 2, 1))
    inputs, targets = zip(*(_example(split, index, what) for index in some), strict=True)
    try:
        stacked(targets, "target")
        return tuple(stacked(inputs, "input").shape[1:])
    except DataError as error:
        raise DataError(f"{what}: {error}") from None


def _class_shape(split: Split, what: str) -> tuple[int, ...] | None:
    """Return the shape of an example's class indices: () for a single class; None for numbers that are no classes."""
    target = _example(split, 0, what)[1]
    return None if target.is_floating_point() else tuple(target.shape)


def _class_labels(split: Split) -> Tensor | None:
    """Return the class of every example; None if it is unknown or there is none."""
    labels = split.labels()
    return None if labels is None or labels.is_floating_point() or labels.dim() != 1 else labels


_UNKNOWN_CLASSES = (
    "the number of classes is unknown; give the Dataset an attribute `targets`, or return "
    "{'train': …, 'test': …, 'classes': 10}"
)


def _count_classes(splits: Any) -> int | None:
    """Return the number of classes by the highest label; None if no split knows its labels."""
    labels = [s.labels() for s in splits if s is not None]
    return max((int(label.max()) + 1 for label in labels if label is not None), default=None)


def _with_validation(source: Source, rule: Validation) -> tuple[Split, Split]:
    how = rule.how
    if how == "auto":
        drawn = "stratified" if source.classes is not None and _class_labels(source.train) is not None else "random"
        how = "own" if source.validation is not None else drawn  # type: ignore[assignment]
    if how == "own":
        if source.validation is None:
            problem = f"{source.name} has no validation set; choose tail, stratified or random"
            raise ConfigError(problem, key="dataset.validation.how")
        return source.train, source.validation
    n = len(source.train)
    held = int(n * rule.fraction + 0.5)
    if not 0 < held < n:
        parts = f"{n - held} for training and {held} for validation"
        problem = f"splits {counted(n, 'example')} into {parts}; both need at least 1"
        raise ConfigError(problem, key="dataset.validation.fraction")
    if how == "tail":
        kept, out = torch.arange(n - held), torch.arange(n - held, n)
    else:
        kept, out = _draw(source.train, held, rule.seed, by_class=how == "stratified")
    return source.train.subset(kept), source.train.subset(out)


def _draw(split: Split, out: int, seed: int, by_class: bool | None = None) -> tuple[Tensor, Tensor]:
    """Return (kept, drawn) indices in stored order, drawn by class if labels are known and `by_class` is not False."""
    labels = _class_labels(split)
    if by_class and labels is None:
        raise ConfigError("needs class labels; choose random or tail", key="dataset.validation.how")
    if out == 0:
        return torch.arange(len(split)), torch.arange(0)
    stratify = None if labels is None or by_class is False else labels.cpu().numpy()
    try:
        kept, drawn = drawn_apart(len(split), out, seed, stratify)
    except ValueError as error:
        names, counts = np.unique([] if stratify is None else stratify, return_counts=True)
        sizes = f"{len(split) - out} and {out} of {len(split)} examples by class"
        single = f": class {names[counts.argmin()]} has only one example" if 1 in counts else ""
        problem = f"can't draw {sizes}{single or f': each split needs at least {len(names)}, one for each class'}"
        advice = "use validation: {how: random} or tail" if by_class else "remove train_size"
        raise ConfigError(f"{problem}; {advice}", key="dataset") from error
    return torch.from_numpy(kept), torch.from_numpy(drawn)


def _check(split: Split, shape: tuple[int, ...], classes: int | None, what: str) -> None:
    if len(split) == 0:
        raise DataError(f"{what} is empty")
    found = _shape(split, what)
    if found != shape:
        raise DataError(f"{what} has inputs of shape {found}; the training data has {shape}")
    if isinstance(split, Tensors) and split.inputs.is_floating_point() and not bool(split.inputs.isfinite().all()):
        bad = int((~split.inputs.flatten(1).isfinite().all(1)).nonzero()[0])
        raise DataError(f"{what} has NaN or infinite inputs, first in example {bad}")
    labels = split.labels()
    if labels is None:
        return
    if classes is not None and (int(labels.min()) < 0 or int(labels.max()) >= classes):
        wrong = f"{int(labels.min())} … {int(labels.max())}"
        raise DataError(f"{what} has labels {wrong}; with {counted(classes, 'class')} they must be 0 … {classes - 1}")
    if labels.is_floating_point() and not bool(labels.isfinite().all()):
        raise DataError(f"{what} has NaN or infinite targets")


def _normalized(data: Data, rule: bool | Normalize) -> Data:
    if rule is False:
        return data
    channels = data.shape[0] if data.shape else 1
    width = [channels] + [1] * (len(data.shape) - 1)
    if isinstance(rule, Normalize):
        if len(rule.mean) != channels or len(rule.std) != channels:
            problem = f"mean and std need one number for each of the {channels} channels"
            raise ConfigError(problem, key="dataset.normalize")
        mean, std = torch.tensor(rule.mean), torch.tensor(rule.std)
    else:
        mean, std = _statistics(data, channels)
    return replace(data, mean=mean.float().view(width), std=std.float().view(width))


def _statistics(data: Data, channels: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the training data per channel, computed in float64 batch by batch."""
    total, squares, count = torch.zeros(channels).double(), torch.zeros(channels).double(), 0
    for inputs, _ in data.train.batches(1000):
        values = data.prepare(inputs, torch.device("cpu")).double().transpose(0, 1).reshape(channels, -1)
        total += values.sum(1)
        squares += values.square().sum(1)
        count += values.shape[1]
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    return mean, torch.where(std > 1e-8, std, torch.ones_like(std))  # a constant channel is only centred
