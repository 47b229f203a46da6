"""The files of MNIST and its likes, read without torchvision, whose import takes as long as torch's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lrbench.components.data.batches import Tensors
from lrbench.errors import counted

SETS = ("MNIST", "FashionMNIST", "KMNIST")
_PARTS = ("train", "t10k")


def complete(raw: Path) -> bool:
    """Return whether a folder has all four files."""
    return all(file.is_file() for part in _PARTS for file in _files(raw, part))


def read(raw: Path) -> list[Tensors]:
    """Read training and test data: images (n, 1, height, width) as uint8, and labels (n,). Raises OSError, ValueError.

    An idx file has two zeros, 8 for bytes, the number of dimensions, their sizes as big-endian integers, and the bytes.
    """
    found = []
    for part in _PARTS:
        images, labels = _files(raw, part)
        pictures, targets = _bytes_of(images, 3).unsqueeze(1), _bytes_of(labels, 1).long()
        if len(pictures) != len(targets):
            raise ValueError(f"{counted(len(pictures), 'image')} but {counted(len(targets), 'label')}")
        found.append(Tensors(pictures, targets))
    return found


def _files(raw: Path, part: str) -> tuple[Path, Path]:
    return raw / f"{part}-images-idx3-ubyte", raw / f"{part}-labels-idx1-ubyte"


def _bytes_of(file: Path, dimensions: int) -> Tensor:
    content = np.fromfile(file, np.uint8)
    if content[:4].tolist() != [0, 0, 8, dimensions]:
        raise ValueError(f"{file.name} does not begin as an idx file of bytes in {dimensions} dimensions")
    start = 4 + 4 * dimensions
    sizes = [int.from_bytes(content[at : at + 4].tobytes(), "big") for at in range(4, start, 4)]
    if len(content) != start + np.prod(sizes, dtype=object):
        raise ValueError(f"{file.name} has {counted(len(content), 'byte')}, which is not the size that it says")
    return torch.from_numpy(content[start:]).view(sizes)
