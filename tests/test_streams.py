"""Data that is read during training: map-style Datasets in any number of workers, and folders of images."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from test_train import after, assert_same_run, go
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import datasets as torchvision_sets
from torchvision import transforms

import lrbench
from lrbench.components import data as datasets
from lrbench.components.data import images
from lrbench.components.data.batches import Data, Tensors
from lrbench.components.data.images import DecodedImages, StreamedImages
from lrbench.components.data.options import DatasetRules
from lrbench.components.data.streams import Stream
from lrbench.config import identity
from lrbench.errors import ConfigError, DataError, Interrupted, LrbenchError, UserCodeError
from lrbench.training import build
from lrbench.training.executors import shared_data
from lrbench.types import Part

EACH = 3 * 6 * 6
"""Bytes of a decoded image."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 images for training and 4 for testing, in 2 classes, no two alike."""
    root, chance = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(28):
        kind, split = "ab"[number % 2], "train" if number < 20 else "test"
        (root / split / kind).mkdir(parents=True, exist_ok=True)
        pixels = chance.integers(0, 256, (9, 7 + number % 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / split / kind / f"{number:02}.png")
    return root


def folder(path: Path, workers: int | None = None, **given: Any) -> Data:
    rules = TypeAdapter(DatasetRules).validate_python({"workers": workers})
    return datasets.load(Part("image_folder", {"path": str(path), "size": 6, "in_memory": False, **given}), rules)


def epochs(data: Data, count: int = 3, start: int = 0) -> list[tuple[Tensor, Tensor]]:
    return [batch for epoch in range(count) for batch in data.training_batches(3, 1, epoch, start=start)]


def assert_equal(some: Any, others: Any) -> None:
    assert len(some) == len(others) > 0
    assert all(torch.equal(a, b) and torch.equal(x, y) for (a, x), (b, y) in zip(some, others, strict=True))


# -- decoded images


@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("kept", ["auto", 9, 0])
def test_kept_images_equal_decoded_ones(pictures: Path, kept: Any, start: int) -> None:
    plain = epochs(folder(pictures, 0, in_memory=True), start=start)
    data = folder(pictures, 0, cache=kept if kept == "auto" else kept * EACH)
    assert isinstance(data.train, StreamedImages)
    assert_equal(epochs(data, start=start), plain)
    evaluated = list(data.validation.batches(500))
    assert_equal(evaluated, list(folder(pictures, 0, in_memory=True).validation.batches(500)))


def test_kept_images_are_those_that_torchvision_gives(pictures: Path) -> None:
    steps = [transforms.Resize(6), transforms.CenterCrop(6), transforms.PILToTensor()]
    theirs = torchvision_sets.ImageFolder(str(pictures / "test"), transforms.Compose(steps))
    data = folder(pictures, 0)
    assert data.test is not None
    for _ in range(2):
        assert_equal(list(data.test.batches(3)), list(DataLoader(theirs, batch_size=3)))


def test_loader_processes_decode_what_is_not_kept(pictures: Path) -> None:
    assert_equal(epochs(folder(pictures, 2, cache=9 * EACH), 2), epochs(folder(pictures, 0, cache=0), 2))


def test_an_image_is_opened_once_if_it_is_kept(pictures: Path, tmp_path: Path) -> None:
    for kept in (28, 20, 7):
        root = shutil.copytree(pictures, tmp_path / str(kept))
        data = folder(root, 0, cache=kept * EACH)
        first = epochs(data, 1), list(data.validation.batches(5))
        for file in root.glob("train/*/*.png"):
            file.unlink()
        if kept >= 20:
            assert_equal(epochs(data, 1), first[0])
            assert_equal(list(data.validation.batches(5)), first[1])
        else:
            with pytest.raises(DataError, match=r"train.[ab].\d\d\.png cannot be read as an image"):
                epochs(data, 1)


def test_an_example_drawn_twice_is_the_same_image(pictures: Path) -> None:
    data = folder(pictures, 0, cache=5 * EACH)
    order = torch.tensor([0, 1, 1, 0, 7, 7, 2, 0])
    for _ in range(2):
        (got,) = data.train.batches(8, order)
        assert torch.equal(got[0], torch.stack([data.train.dataset[int(i)][0] for i in order]))  # type: ignore[attr-defined]
        assert got[1].tolist() == [data.train.dataset[int(i)][1] for i in order]  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_told_with_its_path(pictures: Path, tmp_path: Path, workers: int) -> None:
    root = shutil.copytree(pictures, tmp_path / "damaged")
    file = root / "train" / "b" / "05.png"
    data = folder(root, workers)
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(DataError) as caught:
        epochs(data, 1)
    assert str(caught.value).startswith(f"{file} cannot be read as an image") and "\n" not in str(caught.value)


def test_results_are_the_same_with_and_without_kept_images_and_resumed(
    pictures: Path, tmp_path: Path, tiny: Any
) -> None:
    block = {"name": "image_folder", "path": str(pictures), "size": 6, "in_memory": False, "workers": 0}
    runs = []
    for name, cache in (("all", "auto"), ("some", f"{9 * EACH}B"), ("none", 0)):
        experiment = tiny(dataset={**block, "cache": cache}, batch_size=3, epochs=3)
        runs.append(go(tmp_path / name, experiment)[0])
    for number, cache in enumerate((0, "auto")):
        experiment = tiny(dataset={**block, "cache": cache}, batch_size=3, epochs=3)
        with pytest.raises(Interrupted):
            go(tmp_path / f"resumed{number}", experiment, after(8))
        build.held.clear()  # as in a new process
        runs.append(go(tmp_path / f"resumed{number}", experiment)[0])
    for other in runs[1:]:
        assert_same_run(runs[0], other)


def test_how_much_is_kept_is_said_at_the_start(pictures: Path) -> None:
    assert folder(pictures, in_memory="auto").notes == ()
    (every,) = folder(pictures).notes
    assert every.startswith("image_folder: streams 28 images; they are decoded once and kept in memory (3.02 kB, ")
    (some,) = folder(pictures, cache=7 * EACH + 5).notes
    assert "; 7 of them are kept in memory once decoded (756 B, " in some
    assert folder(pictures, cache=0).notes == (
        "image_folder: streams 28 images; every epoch decodes them again, since none is kept",
    )


@pytest.mark.parametrize(
    ("size", "wanted"),
    [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("500 mb", 5 * 10**8), ("7B", 7), (0, 0), (10_000, 10_000)],
)
def test_sizes(size: Any, wanted: int) -> None:
    assert datasets.DATASETS.complete(Part("image_folder", {"path": "x", "cache": size})).params["cache"] == wanted


@pytest.mark.parametrize("size", ["2 apples", -1, "-2GB", True, None, "", "1e3GB", [1], "9999999999GB"])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(ConfigError, match=r"^dataset\.cache: must be a size such as 2GB or 500MB, 0 or auto \(got"):
        datasets.DATASETS.complete(Part("image_folder", {"path": "x", "cache": size}))


def test_a_size_beyond_all_memory_takes_no_more_than_the_images(pictures: Path) -> None:
    data = folder(pictures, cache=10**15)
    assert isinstance(data.train, StreamedImages) and data.train.cache.pixels.nbytes == 28 * EACH


def test_processes_of_a_machine_share_what_they_decode(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path(images.SHARED).is_dir():
        pytest.skip("no shared memory here")
    monkeypatch.setattr(shared_data, "LEAST_BYTES", 1)
    mine = folder(pictures, 0)
    monkeypatch.setattr(build, "held", {("some", "cpu"): mine, ("some", "cuda:0"): mine})
    pickled = shared_data.offered()
    assert pickled is not None
    build.held.clear()
    shared_data.accept(pickled)
    assert list(build.held) == [("some", "cpu")], "a worker moves it to its own device"
    theirs = build.held["some", "cpu"]
    assert isinstance(theirs.train, StreamedImages) and isinstance(mine.train, StreamedImages)
    assert theirs.train.cache is not mine.train.cache and not theirs.train.cache.done.any()
    expected = epochs(mine, 1)
    assert theirs.train.cache.has(theirs.train.numbers).all()
    assert_equal(epochs(theirs, 1), expected)


@pytest.mark.slow
def test_worker_processes_use_what_the_command_has_decoded(
    pictures: Path, tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`normalize: true` decodes the training images in the check; they are gone before the workers begin."""
    if not Path(images.SHARED).is_dir():
        pytest.skip("no shared memory here")
    monkeypatch.setattr(shared_data, "LEAST_BYTES", 1)
    root = shutil.copytree(pictures, tmp_path / "images")
    shutil.copytree(root / "test", root / "val")
    block = {"name": "image_folder", "path": str(root), "size": 6, "in_memory": False, "normalize": True}

    def watch(event: Any) -> None:
        if "workers" in str(event):
            for file in root.glob("train/*/*.png"):
                file.unlink(missing_ok=True)

    outcomes = lrbench.run([tiny(dataset=block)], seeds=2, jobs=2, runs=tmp_path / "runs", watch=watch)
    assert [outcome.status.value for outcome in outcomes] == ["finished"] * 2
    assert not list(root.glob("train/*/*.png"))


def test_without_shared_memory_each_process_keeps_its_own(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = epochs(folder(pictures, 0, cache=0))
    monkeypatch.setattr(images, "SHARED", "/absent")
    data = folder(pictures, 0)
    assert data.notes[0].endswith("in each process)") and data.train.tensors() == []
    assert_equal(epochs(data), expected)


def test_own_memory_stops_growing_when_little_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "SHARED", "/absent")
    picture, numbers = torch.ones(1, 3, 6, 6, dtype=torch.uint8), torch.tensor([1])
    for least, kept in ((0, True), (2 * psutil.virtual_memory().total, False)):
        cache = DecodedImages(4, (3, 6, 6), 10**6, least)
        cache.add(numbers, picture)
        assert cache.has(torch.arange(4)).tolist() == [False, kept, False, False]


def test_a_container_s_limit_counts_as_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "CONTAINER", tmp_path)
    assert images.free_memory() > 10**6, "the machine's, without cgroups"
    (tmp_path / "memory.current").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("anon 3000\ninactive_file 1500\n")
    for limit, free in (("9000", 5500), ("2000", 0)):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert images.free_memory() == free
    (tmp_path / "memory.max").write_text("max\n")
    assert images.free_memory() > 10**6


# -- datasets of one's own


class Jittered(Dataset[Any]):
    """Examples with noise from all three generators."""

    def __init__(self, n: int) -> None:
        self.targets = torch.arange(n) % 3

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Any:
        noise = [float(torch.rand(())), float(np.random.rand()), random.random()]
        return torch.tensor([float(index), *noise]), self.targets[index]


def jittered() -> Any:
    return Jittered(24), Jittered(6)


def loaders() -> Any:
    return [DataLoader(TensorDataset(torch.rand(8, 2), torch.arange(8) % 2), batch_size=32)] * 3


def in_memory() -> Any:
    return (torch.rand(30, 2), torch.arange(30) % 3), (torch.rand(3, 2), torch.arange(3))


class Refusing(Jittered):
    def __init__(self, n: int, error: BaseException, at: int = 7) -> None:
        super().__init__(n)
        self.error, self.at = error, at

    def __getitem__(self, index: int) -> Any:
        if index == self.at:
            raise self.error
        return super().__getitem__(index)


def test_workers_change_no_result(tmp_path: Path, tiny: Any) -> None:
    found = []
    for workers in (None, 0, 2):
        block = {"name": f"{__name__}:jittered"} | ({} if workers is None else {"workers": workers})
        found.append(go(tmp_path / str(workers), tiny(dataset=block, batch_size=8))[0])
    with pytest.raises(Interrupted):
        go(tmp_path / "resumed", tiny(dataset={**block, "workers": 1}, batch_size=8), after(4))
    found.append(go(tmp_path / "resumed", tiny(dataset={**block, "workers": 0}, batch_size=8))[0])
    for other in found[1:]:
        assert_same_run(found[0], other)


def test_noise_differs_between_epochs_batches_and_seeds_and_leaves_the_generators_alone() -> None:
    data = datasets.load(Part(f"{__name__}:jittered"), DatasetRules())
    torch.manual_seed(3)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    noise = [
        tuple(row[1:].tolist())
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
        for inputs, _ in data.training_batches(4, seed, epoch)
        for row in inputs
    ]
    assert len(set(noise)) == len(noise) == 3 * len(data.train)
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()
    assert before[2] == np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    whole = list(data.training_batches(4, 0, 1))
    assert_equal(list(data.training_batches(4, 0, 1, start=2)), whole[2:])


def test_neither_workers_nor_kept_images_are_part_of_the_identity(tiny: Any) -> None:
    def of(**block: Any) -> str:
        return identity(tiny(dataset=block))

    assert of(name="mine:load") == of(name="mine:load", workers=3)
    assert of(name="mine:load", cache="auto") != of(name="mine:load"), "the function's own"
    # As it was before both keys were there.
    pinned = "7912d4a7c7b7a81affaee81aff05fd262b0ddb7f87dd8de8af52afc20e17d291"
    assert of(name="image_folder", path="x") == of(name="image_folder", path="x", cache="2GB", workers=0) == pinned
    plain = tiny(dataset={"name": "image_folder", "path": "x"}).plain()["dataset"]
    assert not {"cache", "workers"} & set(plain)
    kept = tiny(dataset={"name": "image_folder", "path": "x", "cache": "2GB", "workers": 1}).plain()["dataset"]
    assert (kept["cache"], kept["workers"]) == (2_000_000_000, 1)


@pytest.mark.parametrize("workers", [-1, 1.5, "2", True, 2000])
def test_numbers_of_workers_that_are_refused(tiny: Any, workers: Any) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.workers"):
        tiny(dataset={"name": "mine:load", "workers": workers})


def test_workers_are_for_datasets_that_lrbench_reads() -> None:
    rules = DatasetRules(workers=2)
    with pytest.raises(ConfigError, match=r"^dataset\.workers: .*give your own DataLoader num_workers"):
        datasets.load(Part(f"{__name__}:loaders"), rules)
    data = datasets.load(Part(f"{__name__}:in_memory"), rules)
    assert isinstance(data.train, Tensors), "there is nothing to read"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (LookupError("lost on the disk"), "reading the data raised LookupError: lost on the disk"),
        (SystemExit("enough"), "reading the data raised SystemExit: enough"),
    ],
)
def test_an_error_in_a_worker_is_told_with_its_own_frames(error: BaseException, said: str) -> None:
    with pytest.raises(UserCodeError) as caught:
        list(Stream(Refusing(12, error), 1).batches(4))
    assert str(caught.value).startswith(said)
    assert "in __getitem__" in str(caught.value) and "DataLoader" not in str(caught.value)
    with pytest.raises(type(error), match=str(error)):  # as it was raised: the run tells it
        list(Stream(Refusing(12, error), 0).batches(4))


def test_an_error_of_lrbench_in_a_worker_stays_one_line() -> None:
    class Ragged(Jittered):
        def __getitem__(self, index: int) -> Any:
            return torch.zeros(1 + index % 2), 0

    for workers in (0, 1):
        with pytest.raises(DataError, match=r"^the inputs have different shapes, \(1,\), \(2,\); pad"):
            list(Stream(Ragged(6), workers).batches(3))


def test_a_worker_that_dies_fails_the_run() -> None:
    class Dying(Jittered):
        def __getitem__(self, index: int) -> Any:
            os._exit(3)

    with pytest.raises((LrbenchError, RuntimeError), match="exited unexpectedly"):
        list(Stream(Dying(6), 1).batches(3))


def test_batches_for_a_gpu_are_pinned() -> None:
    stream = Stream(Jittered(6))
    assert stream.to(torch.device("cuda")).pinned and not stream.to(torch.device("cpu")).pinned
