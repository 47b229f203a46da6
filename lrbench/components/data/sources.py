"""Sources of data: scikit-learn's digits and torchvision's sets."""

from __future__ import annotations

import importlib.util
import math
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch

from lrbench.components.data import idx
from lrbench.components.data.batches import Split, Tensors
from lrbench.components.data.drawing import drawn_apart
from lrbench.errors import DataError, counted


@dataclass(frozen=True)
class Source:
    """A data set before validation is split off.

    Attributes:
        classes: None for a regression, or if only the user knows it.
        bytes_per_token: the mean length of a token of text.
        unknown: why the number of classes is unknown although the targets are classes.
        notes: what a user should know about how it is read.
    """

    name: str
    train: Split
    validation: Split | None
    test: Split | None
    classes: int | None
    bytes_per_token: float | None = None
    unknown: str = ""
    notes: tuple[str, ...] = ()


def digits() -> Source:
    """Return scikit-learn's digits as (1, 8, 8) images in 0 … 1; 20% of each class are test data (seed 0)."""
    table = _digits_table()
    inputs = torch.from_numpy(table[:, :-1]).float().div_(16).view(-1, 1, 8, 8)
    targets = torch.from_numpy(table[:, -1]).long()
    rest, test = drawn_apart(len(table), math.ceil(0.2 * len(table)), 0, targets.numpy())
    return Source("digits", Tensors(inputs[rest], targets[rest]), None, Tensors(inputs[test], targets[test]), 10)


def _digits_table() -> np.ndarray:
    """Return a row for each of scikit-learn's digits: 64 pixels in 0 … 16, then the class."""
    package = importlib.util.find_spec("sklearn")
    where = [] if package is None else list(package.submodule_search_locations or ())
    for file in (Path(folder) / "datasets" / "data" / "digits.csv.gz" for folder in where):
        if file.is_file():  # importing scikit-learn takes as long as importing torch
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    return np.column_stack(load_digits(return_X_y=True))


def data_root() -> Path:
    """Return the folder of data sets: LRBENCH_DATA, else the platform's cache folder."""
    named = os.environ.get("LRBENCH_DATA")
    return Path(named).expanduser().absolute() if named else Path(platformdirs.user_cache_dir("lrbench")) / "data"


_FILES = {
    "MNIST": "MNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte",
    "FashionMNIST": "FashionMNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte",
    "KMNIST": "KMNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte",
    "CIFAR10": "cifar-10-batches-py/{data_batch_1…5,test_batch,batches.meta}",
    "CIFAR100": "cifar-100-python/{train,test,meta}",
}


def torchvision_set(class_name: str) -> Source:
    """Load one of torchvision's small image sets as uint8 tensors; download it if it is missing.

    Raises:
        DataError: it is missing and cannot be downloaded, or its files are unusable.
    """
    root = data_root()
    raw = root / class_name / "raw"
    try:
        known = class_name in idx.SETS and idx.complete(raw)
        train, test = idx.read(raw) if known else _by_torchvision(class_name, root)
    except DataError:
        raise
    except Exception as error:  # torchvision raises many kinds for a damaged file
        problem = f"its files ({root / _FILES[class_name]}) cannot be read: {error}"
        raise DataError(f"{class_name}: {problem}. Delete them to download them again.") from error
    classes = int(max(train.targets.max(), test.targets.max())) + 1
    return Source(class_name, train, None, test, classes)


def _by_torchvision(class_name: str, root: Path) -> list[Tensors]:
    """Read training and test data. Raises DataError if they can't be downloaded, or what torchvision raises."""
    import torchvision

    factory = getattr(torchvision.datasets, class_name)
    if not _present(factory, root):
        _download(factory, class_name, root)
    return [_picture_tensors(factory(root, train=train, download=False)) for train in (True, False)]


def _present(factory: Any, root: Path) -> bool:
    try:
        factory(root, train=True, download=False)
    except Exception as error:  # a damaged or truncated file is there, which the caller reports
        return not (isinstance(error, RuntimeError) and "not found" in str(error))
    return True


def _download(factory: Any, class_name: str, root: Path) -> None:
    timeout = socket.getdefaulttimeout()
    try:
        root.mkdir(parents=True, exist_ok=True)
        socket.setdefaulttimeout(30)
        factory(root, train=True, download=True)
    except Exception as error:
        raise DataError(
            f"{class_name} is not at {root / _FILES[class_name]} and could not be downloaded "
            f"({str(error).strip() or type(error).__name__}). Connect to the internet, put the files "
            "there, or set LRBENCH_DATA to a folder that has them."
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


def _picture_tensors(dataset: Any) -> Tensors:
    pictures = torch.as_tensor(np.asarray(dataset.data))
    pictures = pictures.unsqueeze(1) if pictures.dim() == 3 else pictures.permute(0, 3, 1, 2).contiguous()
    targets = torch.as_tensor(np.asarray(dataset.targets)).long()
    if len(pictures) != len(targets):
        raise ValueError(f"{counted(len(pictures), 'image')} but {counted(len(targets), 'label')}")
    return Tensors(pictures, targets)
