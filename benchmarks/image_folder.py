"""A streamed image folder beside torchvision's ImageFolder and a DataLoader: reading alone, and with a small CNN.

python benchmarks/image_folder.py --rounds 5

It draws its images (half PNG, half JPEG, sides of 96 to 256 pixels) into a temporary folder. The peer has the same
transforms, and 0, 1 and 2 workers that persist; the fastest of the three counts. Both take turns in this process, and
both begin each round anew. An epoch is the mean of those after the first, training only.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

import lrbench
from lrbench.components import DatasetRules, load_dataset
from lrbench.config import validate
from lrbench.training import build
from lrbench.types import Part

BATCH, CLASSES = 64, 10
WORKERS = (0, 1, 2)


def draw(root: str | Path, images: int) -> None:
    """Write images for training, and a few for validation and test."""
    chance = np.random.default_rng(0)
    for split, count in (("train", images), ("val", 100), ("test", 100)):
        for number in range(count):
            folder = Path(root) / split / f"class{number % CLASSES}"
            folder.mkdir(parents=True, exist_ok=True)
            width, height = (int(side) for side in chance.integers(96, 257, 2))
            coarse = chance.integers(0, 256, (height // 12 + 1, width // 12 + 1, 3), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            picture.save(folder / f"{number:05}.{'png' if number // CLASSES % 2 else 'jpg'}")


def small_cnn(num_classes: int) -> nn.Module:
    """Three convolutions and a mean over the image."""

    def layer(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()]

    layers = [*layer(3, 16), *layer(16, 32), *layer(32, 64)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))


def timed(epochs: int, epoch: Callable[[int], Iterable[object]]) -> list[float]:
    """Return the seconds of each epoch."""
    seconds = []
    for number in range(epochs):
        began = time.perf_counter()
        for _ in epoch(number):
            pass
        seconds.append(time.perf_counter() - began)
    return seconds


def read_by_lrbench(root: Path, size: int, epochs: int) -> list[float]:
    """Seconds of each epoch of reading."""
    block = {"path": str(root), "size": size, "in_memory": False}
    data = load_dataset(Part("image_folder", block), DatasetRules())
    return timed(epochs, lambda epoch: data.training_batches(BATCH, 0, epoch))


def trained_by_lrbench(root: Path, size: int, epochs: int) -> list[float]:
    """Seconds of each epoch of training, as `epochs.csv` has them."""
    build.held.clear()
    experiment = validate(
        {
            "name": "folder", "dataset": {"name": "image_folder", "path": str(root), "size": size, "in_memory": False},
            "model": f"{Path(__file__).stem}:small_cnn", "optimizer": {"name": "sgd", "lr": 0.01},
            "epochs": epochs, "batch_size": BATCH, "device": "cpu",
        },
        {},
        "benchmark",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as runs:
        (outcome,) = lrbench.run([experiment], runs=runs)
        lines = (outcome.path / "epochs.csv").read_text().splitlines()
    column = lines[0].split(",").index("seconds")
    return [float(line.split(",")[column]) for line in lines[1:]]


def loader_of(root: Path, size: int, workers: int) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """The peer's data."""
    steps = [transforms.Resize(size), transforms.CenterCrop(size), transforms.PILToTensor()]
    images = datasets.ImageFolder(str(root / "train"), transforms.Compose(steps))
    return DataLoader(images, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def read_by_torchvision(root: Path, size: int, epochs: int, workers: int) -> list[float]:
    """Seconds of each epoch of reading."""
    loader = loader_of(root, size, workers)
    return timed(epochs, lambda _: loader)


def trained_by_torch(root: Path, size: int, epochs: int, workers: int) -> list[float]:
    """Seconds of each epoch of a plain loop."""
    loader, model = loader_of(root, size, workers), small_cnn(CLASSES)
    optimizer, loss = torch.optim.SGD(model.parameters(), lr=0.01), nn.CrossEntropyLoss()

    def epoch(_: int) -> Iterable[object]:
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss(model(inputs.float() / 255), targets).backward()
            optimizer.step()
            yield None

    return timed(epochs, epoch)


def in_turn(
    ours: Callable[[], list[float]], theirs: Callable[[int], list[float]], turn: int
) -> tuple[list[float], float]:
    """Seconds of each of our epochs, and of the peer's later epochs with its best number of workers."""
    found: dict[int | None, list[float]] = {}
    for which in (None, *WORKERS)[:: 1 if turn % 2 else -1]:
        found[which] = ours() if which is None else theirs(which)
    return found[None], min(mean(found[workers][1:]) for workers in WORKERS)


def trained(folder: str, images: int, size: int, epochs: int) -> tuple[float, float]:
    """Images per second of training in epochs after the first: lrbench's, torchvision's."""
    root = Path(folder)
    ours, peer = in_turn(
        lambda: trained_by_lrbench(root, size, epochs), lambda workers: trained_by_torch(root, size, epochs, workers), 1
    )
    return images / mean(ours[1:]), images / peer


def compare(name: str, ours: Callable[[], list[float]], theirs: Callable[[int], list[float]], rounds: int) -> None:
    """Print a row: the epochs of both, and how many times as long the peer's take."""
    ratios, first, later, peer = [], [], [], []
    for number in range(rounds):
        own, best = in_turn(ours, theirs, number)
        first, later, peer = [*first, own[0]], [*later, mean(own[1:])], [*peer, best]
        ratios.append(best / later[-1])
    ratios.sort()
    times = f"{median(first):.2f} | {median(later):.3f} | {median(peer):.2f}"
    print(f"| {name} | {times} | {median(ratios):.1f} × ({ratios[0]:.1f} … {ratios[-1]:.1f}) |", flush=True)


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--size", type=int, default=64, help="side of the images that the model sees")
    parser.add_argument("--epochs", type=int, default=3)
    chosen = parser.parse_args()
    size, epochs = chosen.size, chosen.epochs
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, {chosen.images:,} images to {size} × {size}\n")
    print("| | first epoch, s | later epochs, s | torchvision's later epochs, s | torchvision / lrbench |")
    print("| --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        draw(root, chosen.images)
        rows: dict[str, tuple[Callable[..., list[float]], Callable[..., list[float]]]] = {
            "reading alone": (read_by_lrbench, read_by_torchvision),
            "training a small CNN": (trained_by_lrbench, trained_by_torch),
        }
        for name, (ours, theirs) in rows.items():

            def own(run: Callable[..., list[float]] = ours) -> list[float]:
                return run(root, size, epochs)

            def others(workers: int, run: Callable[..., list[float]] = theirs) -> list[float]:
                return run(root, size, epochs, workers)

            compare(name, own, others, chosen.rounds)


if __name__ == "__main__":
    main()
