"""Folders of images: in memory, or streamed, with decoded images kept as far as they fit."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import tee
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lrbench.components.data.batches import Batch, Split, Tensors
from lrbench.components.data.sources import Source
from lrbench.components.data.streams import Stream, groups_of
from lrbench.errors import ConfigError, DataError, counted

SHARED = "/dev/shm"
CONTAINER = Path("/sys/fs/cgroup")
WORKERS = 2


def free_memory() -> int:
    """Return the bytes of memory that are free: in the machine, and in the container if cgroups limit it."""
    free = psutil.virtual_memory().available
    try:
        limit, used = (int((CONTAINER / f"memory.{name}").read_text()) for name in ("max", "current"))
        counts = dict(line.split() for line in (CONTAINER / "memory.stat").read_text().splitlines())
        return max(min(free, limit - used + int(counts["inactive_file"])), 0)  # cached files make room
    except (OSError, ValueError, KeyError):  # no cgroups of version 2, or no limit
        return free


class Images(Dataset[Any]):
    """The images in <class>/ as (channels, size, size) uint8, with their classes.

    Raises:
        DataError: there is none, or, from `[]`, it can't be decoded.
    """

    def __init__(self, folder: Path, size: int, channels: int) -> None:
        from torchvision import datasets, transforms

        self.shape = channels, size, size
        steps: list[Any] = [transforms.Resize(size), transforms.CenterCrop(size)]
        steps += [transforms.Grayscale()] if channels == 1 else []
        try:
            self.files = datasets.ImageFolder(str(folder), transforms.Compose([*steps, transforms.PILToTensor()]))
        except OSError as error:
            wanted = f"{folder}/<class>/*.png (or jpg, …)"
            raise DataError(f"image_folder needs images at {wanted}: {error}") from None
        self.targets = torch.tensor(self.files.targets)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        try:
            image, target = self.files[index]
        except Exception as error:  # Pillow raises many kinds for a damaged file
            raise DataError(f"{self.files.samples[index][0]} cannot be read as an image: {error}") from error
        return image, target

    @property
    def nbytes(self) -> int:
        """The size of all images decoded."""
        return len(self) * math.prod(self.shape)

    def decoded(self) -> Tensors:
        """Return all images, in memory."""
        pictures = torch.empty((len(self), *self.shape), dtype=torch.uint8)
        for index in range(len(self)):
            pictures[index] = self[index][0]
        return Tensors(pictures, self.targets)


class DecodedImages:
    """Decoded images by number, as far as they fit: the first `kept` of `count`.

    They lie in shared memory if it has room, so that all processes that train on this machine decode each image once.
    Otherwise each process has its own, which stops growing at half of the memory that was free.
    """

    def __init__(self, count: int, shape: tuple[int, int, int], limit: int, least_free: int) -> None:
        self.kept = min(count, limit // math.prod(shape))
        self.least_free = least_free
        self.pixels = _allocated((self.kept, *shape))
        self.done = _allocated((count,)).zero_()  # set after the pixels, which other processes may read then

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that other processes can use; none if they are not in shared memory."""
        both = [self.pixels, self.done]
        return both if all(t.is_shared() for t in both) else []  # type: ignore[no-untyped-call]

    def has(self, numbers: Tensor) -> Tensor:
        """Return for each number whether the image is there."""
        return self.done[numbers].bool()

    def take(self, numbers: Tensor) -> Tensor:
        """Return the images with these numbers, all of which are there."""
        return self.pixels.index_select(0, numbers)

    def add(self, numbers: Tensor, images: Tensor) -> None:
        """Keep the images that fit."""
        fits = numbers < self.kept
        if self.tensors or free_memory() > self.least_free:
            self.pixels[numbers[fits]] = images[fits]
            self.done[numbers[fits]] = 1


def _allocated(shape: tuple[int, ...]) -> Tensor:
    """Return uint8 memory, shared if that leaves half of the shared memory free. Raises ConfigError if there is none.

    torch reserves the pages of shared memory at once, so that filling it can't fail later.
    """
    size = math.prod(shape)
    try:
        if 0 < size < shutil.disk_usage(SHARED).free // 2:
            storage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
            return torch.empty(0, dtype=torch.uint8).set_(storage, 0, shape)  # type: ignore[call-overload, no-any-return]
    except (OSError, RuntimeError):  # no such folder, or no more room in it
        pass
    try:
        return torch.empty(shape, dtype=torch.uint8)
    except RuntimeError as error:
        raise ConfigError(f"{size:,} bytes can't be allocated; choose less", key="dataset.cache") from error


@dataclass(frozen=True, kw_only=True)
class StreamedImages(Stream):
    """Images of which only those are decoded, by workers, that were not kept before.

    `numbers` says which image of `cache` each example is.
    """

    targets: Tensor
    numbers: Tensor
    cache: DecodedImages

    def batches(self, size: int, order: Tensor | None = None, start: int = 0, seed: int = 0) -> Iterator[Batch]:
        """See `Split`."""
        order = torch.arange(len(self)) if order is None else order
        plan, again = tee(self._plan(enumerate(groups_of(order, size, start), seed + start)))
        decoded = self.read((number, group[absent]) for number, group, absent in plan if bool(absent.any()))
        for _, group, absent in again:
            yield self._images(group, absent, decoded), self.targets[group]

    def _plan(self, groups: Iterable[tuple[int, Tensor]]) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield the seed of each batch, its indices, and which of them have to be decoded."""
        for seed, group in groups:
            yield seed, group, ~self.cache.has(self.numbers[group])

    def _images(self, group: Tensor, absent: Tensor, decoded: Iterator[Batch]) -> Tensor:
        """Return the images of a batch; the absent ones are the next of `decoded`."""
        numbers = self.numbers[group]
        if not bool(absent.any()):
            images = self.cache.take(numbers)
            return images.pin_memory() if self.pinned else images
        fresh, _ = next(decoded)
        self.cache.add(numbers[absent], fresh)
        if bool(absent.all()):
            return fresh  # type: ignore[no-any-return]
        images = torch.empty((len(group), *fresh.shape[1:]), dtype=torch.uint8, pin_memory=self.pinned)
        images[absent], images[~absent] = fresh, self.cache.take(numbers[~absent])
        return images

    def subset(self, indices: Tensor) -> StreamedImages:
        """See `Split`."""
        part = super().subset(indices)
        assert isinstance(part, StreamedImages)
        return replace(part, numbers=self.numbers[indices])

    def tensors(self) -> list[Tensor]:
        """See `Split`."""
        return self.cache.tensors


def image_folder(
    path: str, size: int, channels: int, in_memory: bool | Literal["auto"], cache: int | Literal["auto"]
) -> Source:
    """Load images in train/<class>/, test/<class>/ and optionally val/<class>/ as (channels, size, size) uint8.

    Args:
        path: the folder.
        size: side in pixels.
        channels: 1 or 3.
        in_memory: `auto`: if they take less than a quarter of the free memory.
        cache: the bytes of decoded images to keep if they are streamed; `auto`: a quarter of the free memory.

    Raises:
        DataError: a folder is missing or empty, or its classes differ from those of train/.
    """
    folder = Path(path).expanduser().absolute()
    names = ["train", *(["val"] if (folder / "val").is_dir() else []), "test"]
    parts = {name: Images(folder / name, size, channels) for name in names}
    classes = parts["train"].files.classes
    for name, part in parts.items():
        if part.files.classes != classes:
            differ = sorted(set(part.files.classes) ^ set(classes))
            raise DataError(f"{folder / name} and {folder / 'train'} have different classes: {', '.join(differ)}")
    free = free_memory()
    whole = {
        name: in_memory is True or (in_memory == "auto" and part.nbytes < free / 4) for name, part in parts.items()
    }
    splits: dict[str, Split] = {name: part.decoded() for name, part in parts.items() if whole[name]}
    rest = {name: part for name, part in parts.items() if not whole[name]}
    notes = []
    if rest:
        streamed, note = _streamed(rest, cache, free)
        splits |= streamed
        notes.append(note)
    return Source("image_folder", splits["train"], splits.get("val"), splits["test"], len(classes), notes=tuple(notes))


def _streamed(parts: dict[str, Images], limit: int | Literal["auto"], free: int) -> tuple[dict[str, Split], str]:
    """Return the parts as streams with one cache, and what it keeps, in a sentence."""
    count = sum(map(len, parts.values()))
    shape = next(iter(parts.values())).shape
    auto = limit == "auto"
    cache = DecodedImages(count, shape, free // 4 if auto else int(limit), free // 2 if auto else 0)
    splits: dict[str, Split] = {}
    first = 0
    for name, part in parts.items():
        numbers = torch.arange(first, first + len(part))
        splits[name] = StreamedImages(part, WORKERS, targets=part.targets, numbers=numbers, cache=cache)
        first += len(part)
    return splits, f"image_folder: streams {counted(count, 'image')}; {_kept(cache, count)}"


_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))


def _kept(cache: DecodedImages, count: int) -> str:
    if cache.kept == 0:
        return "every epoch decodes them again, since none is kept"
    where = "shared by all processes" if cache.tensors else "in each process"
    size = next(f"{cache.pixels.nbytes / unit:.3g} {name}" for unit, name in _UNITS if cache.pixels.nbytes >= unit)
    if cache.kept == count:
        return f"they are decoded once and kept in memory ({size}, {where})"
    return (
        f"{cache.kept:,} of them are kept in memory once decoded ({size}, {where}), the others decoded in every epoch"
    )
