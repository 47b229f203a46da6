from __future__ import annotations

import hashlib
import struct
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from lrbench.components import data as datasets
from lrbench.components.data import idx
from lrbench.components.data.batches import Data, Tensors, augmented, epoch_order, mix
from lrbench.components.data.drawing import drawn_apart
from lrbench.components.data.options import DatasetRules
from lrbench.components.data.streams import Stream
from lrbench.errors import ConfigError, DataError, UserCodeError
from lrbench.training.build import build
from lrbench.types import Part

CPU = torch.device("cpu")


def rules(name: str = "", **given: Any) -> DatasetRules:
    return TypeAdapter(DatasetRules).validate_python({**DatasetRules.defaults(name), **given})


def load(function: Callable[[], Any] | str, **given: Any) -> Data:
    """A data set by name, or one that a function of this file makes, by its import string."""
    name = function if isinstance(function, str) else f"{__name__}:{function.__name__}"
    own = {k: given.pop(k) for k in ("path", "size", "channels", "in_memory", "cache") if k in given}
    return datasets.load(Part(name, own), rules(name, **given))


def held(split: Any) -> Tensors:
    assert isinstance(split, Tensors)
    return split


# -- what imported data sets return


def numbered(n: int = 50) -> tuple[Tensor, Tensor]:
    """Inputs that say their own index; classes 0, 1, 2, 0, …"""
    return torch.arange(n).float().view(n, 1), torch.arange(n) % 3


def pairs() -> Any:
    return numbered(), numbered(6)


def triple() -> Any:
    return numbered(), numbered(9), numbered(6)


def mapping() -> Any:
    return {"train": numbered(), "test": numbered(6), "classes": 7}


def without_test() -> Any:
    return {"train": numbered(), "test": None}


def of_arrays() -> Any:
    train, test = numbered(), numbered(6)
    return tuple(part.numpy() for part in train), tuple(part.numpy() for part in test)


def tensor_datasets() -> Any:
    return TensorDataset(*numbered()), TensorDataset(*numbered(6))


def regression() -> Any:
    x = torch.arange(20.0)
    return (x.view(20, 1), 2 * x), (x.view(20, 1), 2 * x)


class Pairs(Dataset[Any]):
    def __init__(self, n: int) -> None:
        self.inputs, self.answers = numbered(n)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Any:
        return self.inputs[index], int(self.answers[index])


class PairsWithTargets(Pairs):
    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.targets = self.answers.tolist()


def streams() -> Any:
    return PairsWithTargets(50), PairsWithTargets(6)


def streams_without_targets() -> Any:
    return Pairs(50), Pairs(6)


def test_a_classification_needs_to_know_the_number_of_classes(tiny: Any) -> None:
    experiment = tiny(dataset=f"{__name__}:streams_without_targets")
    with pytest.raises(DataError, match="number of classes is unknown; give the Dataset an attribute `targets`"):
        build(experiment, torch.device("cpu"))


def streams_with_classes() -> Any:
    return {"train": Pairs(50), "test": Pairs(6), "classes": 3}


def raising_stream() -> Any:
    class Broken(PairsWithTargets):
        def __getitem__(self, index: int) -> Any:
            raise LookupError("lost on the disk")

    return Broken(50), Broken(6)


def a_number() -> Any:
    return 7


def a_list_of_words() -> Any:
    return "train", "test"


def unknown_key() -> Any:
    return {"train": numbered(), "tset": numbered()}


def no_train() -> Any:
    return {"test": numbered()}


def other_lengths() -> Any:
    inputs, targets = numbered()
    return (inputs, targets[:-1]), numbered(6)


def no_examples() -> Any:
    return numbered(0), numbered(6)


def not_tensors() -> Any:
    return ([object()], [1]), numbered(6)


def nan_inputs() -> Any:
    inputs, targets = numbered()
    inputs[47] = float("nan")
    return (inputs, targets), numbered(6)


def infinite_test_inputs() -> Any:
    inputs, targets = numbered(6)
    inputs[2] = float("inf")
    return numbered(), (inputs, targets)


def nan_targets() -> Any:
    x = torch.arange(20.0)
    return (x.view(20, 1), x * float("nan")), (x.view(20, 1), x)


def negative_labels() -> Any:
    inputs, targets = numbered()
    return (inputs, targets - 1), numbered(6)


def too_many_labels() -> Any:
    return {"train": numbered(), "test": numbered(6), "classes": 2}


def other_shape_in_test() -> Any:
    return numbered(), (torch.zeros(6, 2), torch.zeros(6).long())


def raises() -> Any:
    raise LookupError("no such table")


# -- splits


def test_digits_are_split_60_20_20_by_class() -> None:
    data = load("digits")
    splits = [held(data.train), held(data.validation), held(data.test)]
    assert [len(s) for s in splits] == [1078, 359, 360]  # of 1797
    assert data.shape == (1, 8, 8) and data.classes == 10
    rows = [s.inputs.flatten(1) for s in splits]
    assert float(torch.cat(rows).max()) == 1.0 and float(torch.cat(rows).min()) == 0.0
    from sklearn.datasets import load_digits

    counts = np.bincount(load_digits().target)
    for split, part in zip(splits, (0.6, 0.2, 0.2), strict=True):
        expected = torch.from_numpy(counts) * part
        assert ((torch.bincount(split.targets, minlength=10) - expected).abs() <= 1.5).all()
    whole = {tuple(row) for r in rows for row in r.tolist()}
    assert len(whole) == 1797, "no picture is in two splits (they are all different)"


@settings(max_examples=200)
@given(st.data())
def test_drawn_splits_are_scikit_learn_s(data: st.DataObject) -> None:
    from sklearn.model_selection import train_test_split

    sizes = data.draw(st.lists(st.integers(2, 60), min_size=1, max_size=7))
    classes = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    n, seed = len(classes), data.draw(st.integers(0, 2**32 - 1))
    out = data.draw(st.integers(1, n - 1))
    by_class = classes if min(out, n - out) >= len(sizes) and data.draw(st.booleans()) else None
    kept, drawn = train_test_split(np.arange(n), test_size=out, stratify=by_class, random_state=seed)
    for found, expected in zip(drawn_apart(n, out, seed, by_class), (kept, drawn), strict=True):
        assert found.tolist() == sorted(expected)


def test_a_split_by_hand() -> None:
    """Half of 4 and 2 examples are 2 and 1, in whatever order they are stored."""
    classes = np.array([7, 5, 7, 7, 5, 7])
    for seed in range(5):
        kept, drawn = drawn_apart(6, 3, seed, classes)
        assert sorted([*kept, *drawn]) == [*range(6)] and sorted(classes[drawn]) == [5, 7, 7]
    assert [len(part) for part in drawn_apart(5, 2, seed=0)] == [3, 2]
    for classes, problem in (([0, 0, 1, 1, 2], "only one example"), ([0, 0, 1, 1, 2, 2], "fewer examples than the 3")):
        with pytest.raises(ValueError, match=problem):
            drawn_apart(len(classes), 2, seed=0, classes=np.array(classes))


def test_the_split_follows_its_own_seed_only() -> None:
    torch.manual_seed(1)
    first = load("digits")
    torch.manual_seed(2)
    again = load("digits")
    assert torch.equal(held(first.train).inputs, held(again.train).inputs)
    other = load("digits", validation={"fraction": 0.25, "how": "stratified", "seed": 1})
    assert not torch.equal(held(first.train).inputs, held(other.train).inputs)
    assert torch.equal(held(first.test).inputs, held(other.test).inputs)


def test_tail_is_exactly_the_last_fifth() -> None:
    data = load(pairs, validation={"how": "tail"})
    assert held(data.train).inputs.flatten().tolist() == list(range(40))
    assert held(data.validation).inputs.flatten().tolist() == list(range(40, 50))
    assert held(data.test).inputs.flatten().tolist() == list(range(6))


@pytest.mark.parametrize("how", ["stratified", "random"])
def test_drawn_splits_are_disjoint_and_whole(how: str) -> None:
    data = load(pairs, validation={"how": how, "fraction": 0.3})
    train, out = held(data.train).inputs.flatten().tolist(), held(data.validation).inputs.flatten().tolist()
    assert len(out) == 15 and sorted(train + out) == list(range(50))
    assert train == sorted(train) and out == sorted(out)
    if how == "stratified":
        assert torch.bincount(held(data.validation).targets).tolist() == [5, 5, 5]


def test_random_ignores_the_classes() -> None:
    counts = set()
    for seed in range(5):
        data = load(pairs, validation={"how": "random", "seed": seed})
        counts.add(tuple(torch.bincount(held(data.validation).targets, minlength=3).tolist()))
    assert len(counts) > 1


def test_auto_takes_its_own_else_by_class_else_random() -> None:
    own = load(triple)
    assert (len(own.train), len(own.validation)) == (50, 9)
    by_class = load(pairs, validation={"how": "auto", "fraction": 0.3})
    assert torch.bincount(held(by_class.validation).targets).tolist() == [5, 5, 5]
    drawn = load(regression)
    assert drawn.classes is None and (len(drawn.train), len(drawn.validation)) == (16, 4)
    assert held(drawn.validation).inputs.flatten().tolist() != [16, 17, 18, 19]


def test_the_validation_set_is_not_joined_to_training_when_another_is_asked_for() -> None:
    data = load(triple, validation={"how": "tail"})
    assert (len(data.train), len(data.validation)) == (40, 10)


@pytest.mark.parametrize(
    ("function", "validation", "key"),
    [
        (pairs, {"how": "own"}, "dataset.validation.how"),
        (regression, {"how": "stratified"}, "dataset.validation.how"),
        (pairs, {"fraction": 0.001}, "dataset.validation.fraction"),
        (pairs, {"fraction": 0.999}, "dataset.validation.fraction"),
    ],
)
def test_impossible_splits_are_config_errors(function: Any, validation: Any, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(function, validation=validation)
    assert caught.value.key == key


def test_train_size_keeps_the_classes_proportions_and_the_other_splits() -> None:
    whole, part = load("digits"), load("digits", train_size=200)
    assert len(part.train) == 200
    assert ((torch.bincount(held(part.train).targets) - 20).abs() <= 1).all()
    assert torch.equal(held(whole.validation).inputs, held(part.validation).inputs)
    rows = {tuple(r) for r in held(whole.train).inputs.flatten(1).tolist()}
    assert all(tuple(r) in rows for r in held(part.train).inputs.flatten(1).tolist())
    assert len(load("digits", train_size=1078).train) == 1078
    with pytest.raises(ConfigError, match=r"dataset.train_size: is more than the 1,078"):
        load("digits", train_size=1079)
    with pytest.raises(ConfigError, match="by class"):
        load("digits", train_size=3)


# -- normalisation


def colours() -> Any:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (60, 3, 4, 4), generator=generator, dtype=torch.uint8)
    inputs[:, 2] = 9  # a constant channel
    inputs[:, 1] //= 4
    return (inputs, torch.arange(60) % 2), (inputs[:6], torch.arange(6) % 2)


def test_normalize_true_centres_the_training_data_per_channel() -> None:
    data = load(colours, normalize=True)
    prepared = data.prepare(held(data.train).inputs, CPU)
    mean, std = prepared.mean((0, 2, 3)), prepared.std((0, 2, 3), correction=0)
    assert mean.abs().max() < 1e-5
    assert (std[:2] - 1).abs().max() < 1e-5 and float(std[2]) == 0, "a constant channel is only centred"
    validation = data.prepare(held(data.validation).inputs, CPU).mean((0, 2, 3))
    assert validation[:2].abs().max() > 1e-4, "the validation data's own mean isn't used"


def test_normalize_with_numbers_is_in_units_of_scaled_pixels() -> None:
    data = load(colours, normalize={"mean": [0.5, 0.1, 0.0], "std": [0.25, 1.0, 2.0]})
    raw = held(data.train).inputs[0]
    got = data.prepare(held(data.train).inputs, CPU)[0]
    for channel, (mean, std) in enumerate(((0.5, 0.25), (0.1, 1.0), (0.0, 2.0))):
        expected = (raw[channel].double() / 255 - mean) / std
        assert torch.allclose(got[channel].double(), expected, atol=1e-6)
    with pytest.raises(ConfigError, match=r"dataset\.normalize: mean and std .* 3 channels"):
        load(colours, normalize={"mean": [0.5], "std": [0.5]})


def test_floats_are_not_scaled_and_raw_data_is_never_written_to() -> None:
    data = load(pairs, normalize=True)
    before = held(data.train).inputs.clone()
    data.prepare(held(data.train).inputs, CPU)
    assert torch.equal(held(data.train).inputs, before)
    assert torch.equal(load(pairs).prepare(before, CPU), before)


# -- augmentation


def slowly_augmented(inputs: Tensor, how: tuple[str, ...], seed: int) -> Tensor:
    """One picture and one pixel after the other: shift with zeros coming in, then mirror."""
    generator = torch.Generator().manual_seed(seed)
    n, channels, height, width = inputs.shape
    mirrored = torch.rand(n, generator=generator) < 0.5 if "flip" in how else [False] * n
    down, right = [0] * n, [0] * n
    if "crop" in how:
        most = (max(height // 8, 1), max(width // 8, 1))
        down = torch.randint(-most[0], most[0] + 1, (n,), generator=generator).tolist()
        right = torch.randint(-most[1], most[1] + 1, (n,), generator=generator).tolist()
    out = torch.zeros_like(inputs)
    for i in range(n):
        for channel in range(channels):
            for y in range(height):
                for x in range(width):
                    from_y, from_x = y + down[i], x + right[i]
                    if 0 <= from_y < height and 0 <= from_x < width:
                        to_x = width - 1 - x if mirrored[i] else x
                        out[i, channel, y, to_x] = inputs[i, channel, from_y, from_x]
    return out


@pytest.mark.parametrize("how", [("crop",), ("flip",), ("crop", "flip"), ("flip", "crop")])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_augmentation_equals_the_slow_reference(how: tuple[str, ...], kind: torch.dtype) -> None:
    # One index a picture in memory: distinct values show every wrong move.
    inputs = (torch.arange(5 * 2 * 6 * 17) % 251 + 1).view(5, 2, 6, 17).to(kind)
    for seed in range(6):
        got = augmented(inputs, how, seed)
        assert got.dtype == kind
        # randint of (n, 1) and of (n,) draw the same numbers
        assert torch.equal(got, slowly_augmented(inputs, how, seed))


def test_flip_mirrors_about_half_and_crop_moves_by_an_eighth() -> None:
    inputs = torch.zeros(2000, 1, 16, 16)
    inputs[:, 0, 8, 5] = 1
    flipped = augmented(inputs, ("flip",), 3)[:, 0, 8]
    assert 0.45 < float(flipped[:, 10].mean()) < 0.55
    assert torch.equal(flipped[:, 10] + flipped[:, 5], torch.ones(2000))
    cropped = augmented(inputs, ("crop",), 3).sum((0, 1))
    rows, columns = cropped.sum(1).nonzero().flatten().tolist(), cropped.sum(0).nonzero().flatten().tolist()
    assert rows == [6, 7, 8, 9, 10] and columns == [3, 4, 5, 6, 7]


def test_augmentation_depends_on_seed_epoch_and_batch_alone() -> None:
    data = load("digits", train_size=60, augment=["crop", "flip"])
    first = [x for x, _ in data.training_batches(20, seed=1, epoch=2)]
    torch.manual_seed(99)
    assert all(torch.equal(a, b) for a, (b, _) in zip(first, data.training_batches(20, 1, 2), strict=True))
    resumed = [x for x, _ in data.training_batches(20, 1, 2, start=2)]
    assert len(resumed) == 1 and torch.equal(resumed[0], first[2])
    picture = held(data.train).inputs[:1].expand(20, 1, 8, 8)
    made = {
        tuple(augmented(picture, data.augment, mix(*key)).flatten().tolist())
        for key in ((1, 2, 0), (1, 2, 1), (1, 3, 0), (2, 2, 0))
    }
    assert len(made) == 4
    validation = torch.cat([x for x, _ in data.validation.batches(100)])
    assert torch.equal(validation, held(data.validation).inputs), "only training data is augmented"


def test_augmentation_is_for_pictures() -> None:
    with pytest.raises(ConfigError, match=r"dataset.augment: needs images .* \(1,\)"):
        load(pairs, augment=["flip"])


# -- order and batches


@given(n=st.integers(1, 300), seed=st.integers(0, 2**40), epoch=st.integers(0, 500))
@settings(max_examples=30, deadline=None)
def test_epoch_order_is_a_permutation_by_seed_and_epoch_alone(n: int, seed: int, epoch: int) -> None:
    order = epoch_order(n, seed, epoch)
    assert sorted(order.tolist()) == list(range(n))
    torch.rand(3)
    assert torch.equal(order, epoch_order(n, seed, epoch))


def test_epoch_orders_differ_by_seed_and_by_epoch_and_stay_as_they_are() -> None:
    orders = {tuple(epoch_order(100, s, e).tolist()) for s in range(5) for e in range(5)}
    assert len(orders) == 25
    assert epoch_order(8, 0, 0).tolist() == [4, 2, 6, 1, 0, 7, 3, 5], "old runs could not be repeated"


def test_mix_is_a_fixed_function_of_all_its_parts() -> None:
    # The first 8 bytes of `printf 1/2/order | sha256sum`, halved.
    assert mix(1, 2, "order") == int(hashlib.sha256(b"1/2/order").hexdigest()[:16], 16) // 2
    assert mix(1, 2) != mix(12) and mix(1, 2) != mix(2, 1)
    assert 0 <= mix("x") < 2**63


@given(n=st.integers(1, 60), size=st.integers(1, 25))
@settings(max_examples=30, deadline=None)
def test_batches_cover_everything_once_and_go_on_from_any(n: int, size: int) -> None:
    data = Data("x", Tensors(*numbered(n)), Tensors(*numbered(1)), None, (1,), 3)
    batches = list(data.training_batches(size, seed=5, epoch=1))
    sizes = [len(x) for x, _ in batches]
    assert sizes == [size] * (n // size) + ([n % size] if n % size else [])
    seen = torch.cat([x for x, _ in batches]).flatten().long()
    assert torch.equal(seen, epoch_order(n, 5, 1))
    assert torch.equal(torch.cat([y for _, y in batches]), seen % 3), "targets stay with their inputs"
    for start in range(len(batches) + 1):
        rest = list(data.training_batches(size, 5, 1, start=start))
        assert len(rest) == len(batches) - start
        for (x, y), (a, b) in zip(rest, batches[start:], strict=True):
            assert torch.equal(x, a) and torch.equal(y, b)


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_equal_those_in_memory(workers: int) -> None:
    inputs = torch.arange(23 * 2).view(23, 2)
    memory = Tensors(inputs, torch.arange(23) % 4)
    stream = Stream(TensorDataset(inputs, torch.arange(23) % 4), workers=workers, targets=torch.arange(23) % 4)
    chosen = torch.tensor([5, 1, 22, 9, 13, 2, 17])
    order = epoch_order(7, 0, 0)
    for start in (0, 1, 3):
        for a, b in ((memory, stream), (memory.subset(chosen), stream.subset(chosen))):
            wanted = None if len(a) == 23 else order
            expected, got = list(a.batches(3, wanted, start)), list(b.batches(3, wanted, start))
            assert len(expected) == len(got)
            for (x, y), (u, v) in zip(expected, got, strict=True):
                assert torch.equal(x, u) and torch.equal(y, v)
    assert stream.subset(chosen).labels().tolist() == [1, 1, 2, 1, 1, 2, 1]  # type: ignore[union-attr]


def test_neighbours_share_memory_and_others_do_not() -> None:
    memory = Tensors(*numbered(10))
    view = memory.subset(torch.arange(2, 5))
    assert view.inputs.flatten().tolist() == [2, 3, 4]
    assert view.inputs.data_ptr() == memory.inputs[2:].data_ptr()
    assert memory.subset(torch.tensor([2, 4, 3])).inputs.flatten().tolist() == [2, 4, 3]
    assert memory.subset(torch.tensor([2, 2, 4])).inputs.flatten().tolist() == [2, 2, 4]


# -- imported data sets


@pytest.mark.parametrize("function", [pairs, of_arrays, tensor_datasets, streams])
def test_forms_of_imported_data_sets_agree(function: Any) -> None:
    data = load(function, validation={"how": "tail"})
    assert data.shape == (1,) and data.classes == 3
    assert (len(data.train), len(data.validation), len(data.test or [])) == (40, 10, 6)
    inputs, targets = next(iter(data.validation.batches(4)))
    assert data.prepare(inputs, CPU).flatten().tolist() == [40, 41, 42, 43]
    assert targets.dtype == torch.int64 and targets.tolist() == [1, 2, 0, 1]


def test_a_mapping_says_its_classes_and_may_lack_a_test_set() -> None:
    assert load(mapping).classes == 7
    assert load(without_test).test is None


def test_a_streamed_set_is_stratified_by_its_targets() -> None:
    data = load(streams, validation={"how": "stratified", "fraction": 0.3})
    assert torch.bincount(torch.cat([y for _, y in data.validation.batches(50)])).tolist() == [5, 5, 5]
    drawn = load(streams_with_classes)
    assert drawn.classes == 3 and len(drawn.validation) == 10
    with pytest.raises(ConfigError, match="needs class labels"):
        load(streams_with_classes, validation={"how": "stratified"})


def test_float_targets_are_a_regression() -> None:
    data = load(regression, validation={"how": "tail"})
    assert data.classes is None
    assert held(data.validation).targets.tolist() == [32, 34, 36, 38]
    assert held(data.validation).targets.dtype == torch.float32


@pytest.mark.parametrize(
    ("function", "fragment"),
    [
        (a_number, "returned int; a data set must be"),
        (a_list_of_words, "train is a str; a data set must be"),
        (unknown_key, "unknown keys ['tset']"),
        (no_train, "returned dict; a data set must be"),
        (other_lengths, "train: 50 inputs and 49 targets"),
        (no_examples, "train: 0 inputs and 0 targets"),
        (not_tensors, "train can't be converted to tensors"),
        (
            nan_inputs,
            "has NaN or infinite inputs, first in example 7",
        ),  # of the validation data, the last ten
        (infinite_test_inputs, "the test data has NaN or infinite inputs, first in example 2"),
        (nan_targets, "has NaN or infinite targets"),
        (negative_labels, "has labels -1 … 1; with 3 classes they must be 0 … 2"),
        (too_many_labels, "has labels 0 … 2; with 2 classes they must be 0 … 1"),
        (other_shape_in_test, "the test data has inputs of shape (2,); the training data has (1,)"),
    ],
)
def test_wrong_data_is_named(function: Any, fragment: str) -> None:
    with pytest.raises(DataError) as caught:
        load(function, validation={"how": "tail"})
    assert fragment in str(caught.value)
    assert f"{__name__}:{function.__name__}" in str(caught.value)


def test_users_exceptions_show_their_frames() -> None:
    with pytest.raises(UserCodeError, match="LookupError: no such table") as caught:
        load(raises)
    assert "in raises" in str(caught.value)
    with pytest.raises(UserCodeError, match="LookupError: lost on the disk"):
        load(raising_stream)


# -- folders of pictures


def make_pictures(root: Path, splits: dict[str, list[str]], mode: str = "RGB", each: int = 3) -> Path:
    for split, classes in splits.items():
        for number, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for index in range(each):
                colour: Any = (50 * number, 10 * index, 200) if mode == "RGB" else 50 * number + index
                Image.new(mode, (12, 8), colour).save(root / split / name / f"{index}.png")
    return root


def test_image_folder(tmp_path: Path) -> None:
    make_pictures(tmp_path, {"train": ["cat", "dog"], "val": ["cat", "dog"], "test": ["cat", "dog"]})
    data = load("image_folder", path=str(tmp_path), size=6)
    assert data.shape == (3, 6, 6) and data.classes == 2
    assert (len(data.train), len(data.validation), len(data.test or [])) == (6, 6, 6)
    train = held(data.train)
    assert train.inputs.dtype == torch.uint8 and train.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert train.inputs[4, :, 0, 0].tolist() == [50, 10, 200]
    assert data.prepare(train.inputs, CPU)[4, :, 5, 5].tolist() == pytest.approx([50 / 255, 10 / 255, 200 / 255])


def test_image_folder_in_grey_without_val_is_split_by_class(tmp_path: Path) -> None:
    make_pictures(tmp_path, {"train": ["a", "b"], "test": ["a", "b"]}, mode="L", each=5)
    data = load("image_folder", path=str(tmp_path), size=4, channels=1)
    assert data.shape == (1, 4, 4)
    assert held(data.validation).targets.tolist() == [0, 1]
    assert sorted(held(data.train).inputs[:, 0, 0, 0].tolist() + held(data.validation).inputs[:, 0, 0, 0].tolist()) == [
        *range(5),
        *range(50, 55),
    ]


def test_streamed_pictures_equal_those_in_memory(tmp_path: Path) -> None:
    make_pictures(tmp_path, {"train": ["a", "b"], "test": ["a", "b"]}, each=5)
    memory = load("image_folder", path=str(tmp_path), size=6, in_memory=True, normalize=True)
    stream = load("image_folder", path=str(tmp_path), size=6, in_memory=False, normalize=True)
    assert isinstance(stream.train, Stream) and isinstance(memory.train, Tensors)
    assert memory.mean is not None and stream.mean is not None and torch.equal(memory.mean, stream.mean)
    expected, got = list(memory.training_batches(3, 1, 0)), list(stream.training_batches(3, 1, 0))
    assert len(expected) == len(got) == 3
    for (x, y), (u, v) in zip(expected, got, strict=True):
        assert torch.equal(x, u) and torch.equal(y, v)


def test_image_folder_errors(tmp_path: Path) -> None:
    make_pictures(tmp_path, {"train": ["cat", "dog"], "test": ["cat", "dgo"]})
    with pytest.raises(DataError, match="have different classes: dgo, dog"):
        load("image_folder", path=str(tmp_path))
    (tmp_path / "test" / "dgo").rename(tmp_path / "test" / "dog")
    (tmp_path / "test" / "dog" / "1.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"dog.1\.png cannot be read as an image"):
        load("image_folder", path=str(tmp_path))
    whole = (tmp_path / "test" / "dog" / "2.png").read_bytes()
    (tmp_path / "test" / "dog" / "1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"dog.1\.png cannot be read as an image"):
        load("image_folder", path=str(tmp_path))
    (tmp_path / "train").rename(tmp_path / "training")
    with pytest.raises(DataError, match=r"needs images at .*train.<class>"):
        load("image_folder", path=str(tmp_path))
    with pytest.raises(DataError, match="needs images at"):
        load("image_folder", path=str(tmp_path / "nowhere"))


# -- torchvision's sets


def write_idx(path: Path, values: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def fake_mnist(root: Path) -> Path:
    raw = root / "MNIST" / "raw"
    for which, n in (("train", 50), ("t10k", 10)):
        pictures = np.arange(n)[:, None, None] * np.ones((1, 28, 28))
        write_idx(raw / f"{which}-images-idx3-ubyte", pictures)
        write_idx(raw / f"{which}-labels-idx1-ubyte", np.arange(n) % 10)
    return raw


def test_mnist_is_read_as_bytes_with_the_tail_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_mnist(tmp_path)
    monkeypatch.setenv("LRBENCH_DATA", str(tmp_path))
    data = load("mnist")
    assert data.shape == (1, 28, 28) and data.classes == 10
    train, validation, test = held(data.train), held(data.validation), held(data.test)
    assert train.inputs.dtype == torch.uint8 and train.inputs.shape == (40, 1, 28, 28)
    assert train.inputs[:, 0, 3, 3].tolist() == list(range(40))
    assert validation.inputs[:, 0, 27, 27].tolist() == list(range(40, 50))
    assert validation.targets.tolist() == list(range(10)) and len(test) == 10
    assert float(data.prepare(train.inputs, CPU)[39, 0, 0, 0]) == pytest.approx(39 / 255)


def test_mnist_s_files_are_read_as_by_torchvision(tmp_path: Path) -> None:
    from torchvision.datasets import MNIST

    raw, numbers = tmp_path / "MNIST" / "raw", np.random.default_rng(0)
    for which, n in (("train", 7), ("t10k", 3)):
        write_idx(raw / f"{which}-images-idx3-ubyte", numbers.integers(0, 256, (n, 5, 300)))
        write_idx(raw / f"{which}-labels-idx1-ubyte", numbers.integers(0, 10, n))
    assert idx.complete(raw)
    for train, found in zip((True, False), idx.read(raw), strict=True):
        theirs = MNIST(tmp_path, train=train)
        assert torch.equal(found.inputs[:, 0], theirs.data) and torch.equal(found.targets, theirs.targets)
        assert found.inputs.dtype == torch.uint8 and found.targets.dtype == torch.int64
    (raw / "t10k-labels-idx1-ubyte").unlink()
    assert not idx.complete(raw)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte", "train-labels-idx1-ubyte"])
@pytest.mark.parametrize("left", [0, 7, 20])
def test_a_truncated_mnist_is_named(name: str, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = fake_mnist(tmp_path)
    monkeypatch.setenv("LRBENCH_DATA", str(tmp_path))
    (raw / name).write_bytes((raw / name).read_bytes()[:left])
    with pytest.raises(DataError) as caught:
        load("mnist")
    assert "cannot be read" in str(caught.value) and "Delete them to download them again" in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_images_and_labels_of_different_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = fake_mnist(tmp_path)
    monkeypatch.setenv("LRBENCH_DATA", str(tmp_path))
    write_idx(raw / "train-labels-idx1-ubyte", np.arange(49) % 10)
    with pytest.raises(DataError, match="50 images but 49 labels"):
        load("mnist")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_absent_and_no_network_says_what_is_missing_where(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(DataError) as caught:
        load(name)
    text = str(caught.value)
    files = {
        "mnist": "MNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte",
        "cifar10": "cifar-10-batches-py/{data_batch_1…5,test_batch,batches.meta}",
    }
    assert files[name] in text
    assert str(tmp_path / "cache" / "lrbench" / "data") in text, "the platform's cache folder"
    assert "LRBENCH_DATA" in text and "could not be downloaded" in text


@pytest.mark.slow
@pytest.mark.usefixtures("real_mnist")
def test_the_real_mnist() -> None:
    data = load("mnist")
    assert (len(data.train), len(data.validation), len(data.test or [])) == (48_000, 12_000, 10_000)
    assert held(data.train).targets[:5].tolist() == [5, 0, 4, 1, 9]  # as every MNIST begins
    mean = float(data.prepare(held(data.train).inputs, CPU).mean())
    assert mean == pytest.approx(0.1307, abs=0.001)
