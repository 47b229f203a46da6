"""The tasks on which the finder's methods are compared: data × model × optimizer, small enough to sweep in full."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.datasets as sets
import torch
from torch import Tensor, nn

import lrbench
from lrbench.components.models import build_model
from lrbench.types import Part

RATES = [10 ** (k / 2) for k in range(-12, 3)]  # 1e-6 … 10, two to the decade
# log₁₀ of the rates swept of tasks that take long: the loss falls up to the first, and explodes at the last
NARROWED = {
    "mnist cnn sgd": (-2.0, 0.5),
    "mnist cnn momentum": (-3.0, -0.5),
    "tutorial adam": (-6.0, -1.5),
    "tutorial sgd": (-1.5, 0.5),
    "tutorial momentum": (-2.5, -0.5),
    "gpt small adamw": (-4.0, -1.0),
    "gpt larger adamw": (-4.0, -1.0),
    "gpt small muon": (-3.5, -0.5),
    "counting gpt adam": (-4.5, -1.0),
    "counting gpt longer": (-4.0, -1.0),
    "copying gpt adam": (-4.5, -1.0),
    "friedman mlp adam": (-4.0, -0.5),
    "friedman mlp momentum": (-4.0, -0.5),
    "shapes conv adam": (-4.0, -1.0),
    "topics mlp adam": (-4.0, -0.5),
    "tuned cnn adam": (-5.0, -1.5),
    "tuned cnn momentum": (-4.0, -0.5),
    "tuned gpt adamw": (-5.0, -1.0),
    "lora gpt adamw": (-4.5, -0.5),
}

SGD: dict[str, Any] = {"name": "sgd"}
MOMENTUM: dict[str, Any] = {"name": "sgd", "momentum": 0.9}
NESTEROV: dict[str, Any] = {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
ADAM: dict[str, Any] = {"name": "adam"}
ADAMW: dict[str, Any] = {"name": "adamw", "weight_decay": 0.05}
RMSPROP: dict[str, Any] = {"name": "rmsprop"}

DIGITS: dict[str, Any] = {"dataset": "digits", "batch_size": 32, "epochs": 8}
MNIST: dict[str, Any] = {"dataset": {"name": "mnist", "train_size": 5000}, "batch_size": 64, "epochs": 4}
SMALL: dict[str, Any] = {"dataset": {"name": "mnist", "train_size": 2000}, "batch_size": 50, "epochs": 4}
CANCER: dict[str, Any] = {"dataset": "calibration_tasks:cancer", "batch_size": 16, "epochs": 10}
DIABETES: dict[str, Any] = {"dataset": "calibration_tasks:diabetes", "batch_size": 16, "epochs": 20, "loss": "mse"}

CNN: dict[str, Any] = {"name": "cnn", "padding": 1}
LENET: dict[str, Any] = {"name": "lenet"}
MLP: dict[str, Any] = {"name": "mlp", "hidden": [128, 64]}

TASKS: dict[str, dict[str, Any]] = {
    "digits cnn adam": {**DIGITS, "model": CNN, "optimizer": ADAM},
    "digits cnn sgd": {**DIGITS, "model": CNN, "optimizer": SGD},
    "digits cnn momentum": {**DIGITS, "model": CNN, "optimizer": MOMENTUM},
    "digits logistic sgd": {**DIGITS, "model": "logistic", "optimizer": SGD},
    "digits vit adamw": {**DIGITS, "model": "vit", "optimizer": ADAMW},
    "mnist lenet adam": {**MNIST, "model": LENET, "optimizer": ADAM},
    "mnist lenet sgd": {**MNIST, "model": LENET, "optimizer": SGD},
    "mnist lenet momentum": {**MNIST, "model": LENET, "optimizer": NESTEROV},
    "mnist mlp rmsprop": {**MNIST, "model": MLP, "optimizer": RMSPROP},
    "mnist mlp momentum": {**MNIST, "model": MLP, "optimizer": MOMENTUM},
    "mnist cnn sgd": {**SMALL, "model": "cnn", "optimizer": SGD},
    "mnist cnn momentum": {**SMALL, "model": "cnn", "optimizer": MOMENTUM},
    "cancer mlp adam": {**CANCER, "model": MLP, "optimizer": ADAM},
    "cancer logistic sgd": {**CANCER, "model": "logistic", "optimizer": SGD},
    "diabetes mlp adamw": {**DIABETES, "model": MLP, "optimizer": ADAMW},
    "diabetes mlp sgd": {**DIABETES, "model": MLP, "optimizer": SGD},
}

TUTORIAL: dict[str, Any] = {
    "dataset": {"name": "mnist", "train_size": 10_000},
    "model": "cnn",
    "batch_size": 250,
    "epochs": 5,
}
HELD_OUT: dict[str, dict[str, Any]] = {
    "digits mlp adam": {"dataset": "digits", "model": "mlp", "optimizer": ADAM, "epochs": 5},
    "digits mlp sgd": {"dataset": "digits", "model": "mlp", "optimizer": SGD, "epochs": 5},
    "digits mlp momentum": {"dataset": "digits", "model": "mlp", "optimizer": MOMENTUM, "epochs": 5},
    "tutorial adam": {**TUTORIAL, "optimizer": {"name": "adam", "eps": 1e-7}},
    "tutorial sgd": {**TUTORIAL, "optimizer": SGD},
    "tutorial momentum": {**TUTORIAL, "optimizer": MOMENTUM},
}
"""Not looked at when the method was chosen."""

GPT: dict[str, Any] = {"name": "gpt", "layers": 1, "width": 32, "heads": 2}
DECAYED: dict[str, Any] = {"name": "adamw", "weight_decay": 0.1, "decay_biases_and_norms": False}
TEXT: dict[str, Any] = {"dataset": "calibration_tasks:plays", "batch_size": 16, "epochs": 4, "task": "language_model"}
PUZZLE: dict[str, Any] = {"model": GPT, "optimizer": ADAM, "batch_size": 32, "epochs": 8, "task": "language_model"}
FRIEDMAN: dict[str, Any] = {
    "dataset": "calibration_tasks:friedman",
    "model": {"name": "mlp", "hidden": [64, 64]},
    "task": "regression",
    "batch_size": 32,
    "epochs": 15,
}
SHAPES: dict[str, Any] = {
    "dataset": "calibration_tasks:shapes",
    "model": "calibration_tasks:Convolutions",
    "task": "segmentation",
    "batch_size": 16,
    "epochs": 12,
}
TOPICS: dict[str, Any] = {
    "dataset": "calibration_tasks:topics",
    "model": {"name": "mlp", "hidden": [64]},
    "task": "multilabel",
    "batch_size": 32,
    "epochs": 12,
}
TUNED: dict[str, Any] = {"dataset": "calibration_tasks:high_digits", "model": CNN, "batch_size": 32, "epochs": 6}
PROSE: dict[str, Any] = {**TEXT, "dataset": "calibration_tasks:descriptions", "epochs": 8}

OTHER_KINDS: dict[str, dict[str, Any]] = {
    "gpt small adamw": {**TEXT, "model": GPT, "optimizer": DECAYED},
    "gpt larger adamw": {**TEXT, "model": {**GPT, "layers": 3, "width": 96, "heads": 4}, "optimizer": DECAYED},
    "gpt small muon": {**TEXT, "model": GPT, "optimizer": {**DECAYED, "name": "muon"}},
    "counting gpt adam": {**PUZZLE, "dataset": "calibration_tasks:counting"},
    "counting gpt longer": {**PUZZLE, "dataset": "calibration_tasks:counting", "epochs": 32},
    "copying gpt adam": {**PUZZLE, "dataset": "calibration_tasks:copying"},
    "friedman mlp adam": {**FRIEDMAN, "optimizer": ADAM},
    "friedman mlp momentum": {**FRIEDMAN, "optimizer": MOMENTUM},
    "shapes conv adam": {**SHAPES, "optimizer": ADAM},
    "topics mlp adam": {**TOPICS, "optimizer": ADAM},
    "tuned cnn adam": {**TUNED, "optimizer": ADAM},
    "tuned cnn momentum": {**TUNED, "optimizer": MOMENTUM},
    "tuned gpt adamw": {**PROSE, "model": GPT, "optimizer": DECAYED},
    "lora gpt adamw": {**PROSE, "model": {"name": "calibration_tasks:lora", "rank": 4}, "optimizer": ADAMW},
}
"""Kinds that had no part in choosing the method: all were first measured after it was fixed."""

PRETRAINED: dict[str, dict[str, Any]] = {
    "tuned cnn": {
        "dataset": "calibration_tasks:low_digits",
        "model": CNN,
        "optimizer": {"name": "adam", "lr": 0.003},
        "batch_size": 32,
        "epochs": 8,
    },
    "gpt": {**TEXT, "model": GPT, "optimizer": {**DECAYED, "lr": 0.005}, "epochs": 16},
}
BASES = {
    "tuned cnn adam": "tuned cnn",
    "tuned cnn momentum": "tuned cnn",
    "tuned gpt adamw": "gpt",
    "lora gpt adamw": "gpt",
}
"""Which of `PRETRAINED` a task starts from."""


def rates(task: str) -> list[float]:
    """The rates of a task's sweep."""
    low, high = NARROWED.get(task, (-6.0, 1.0))
    return [rate for rate in RATES if 0.99 * 10**low <= rate <= 1.01 * 10**high]


def started(task: str, plain: dict[str, Any], base: Path) -> dict[str, Any]:
    """Return a task's config with the run folder that it starts from; LoRA takes it as an argument of its model."""
    if task.startswith("lora"):
        return {**plain, "model": {**plain["model"], "base": str(base)}}
    return {**plain, "init_from": str(base)}


def cancer() -> dict[str, Any]:
    """The 569 tumours of scikit-learn's breast cancer data, 30 measurements each, standardised."""
    bunch = sets.load_breast_cancer()
    return _split(bunch.data, torch.from_numpy(bunch.target).long())


def diabetes() -> dict[str, Any]:
    """The 442 patients of scikit-learn's diabetes data: a regression, inputs and targets standardised."""
    bunch = sets.load_diabetes()
    targets = torch.from_numpy(bunch.target).float()
    return _split(bunch.data, (targets - targets.mean()) / targets.std())


def friedman() -> dict[str, Any]:
    """Friedman's first function (1991) of ten inputs, five of which matter, with noise; standardised."""
    inputs, targets = sets.make_friedman1(1000, noise=1.0, random_state=0)
    return _split(inputs, torch.from_numpy((targets - targets.mean()) / targets.std()).float())


def topics() -> dict[str, Any]:
    """Bags of thirty words, each about some of five topics; standardised."""
    words, labels = sets.make_multilabel_classification(1000, n_features=30, n_classes=5, random_state=0)
    return _split(words, torch.from_numpy(labels).long())


def shapes() -> dict[str, Any]:
    """Discs and squares on noise, 20×20: a class for each pixel; the border does not count."""
    size, draws = 20, torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    centers = torch.randint(6, size - 6, (250, 2, 1, 1), generator=draws)
    down, right = (rows - centers[:, 0]).abs(), (columns - centers[:, 1]).abs()
    square = torch.rand(250, 1, 1, generator=draws) < 0.5
    distance = torch.where(square, torch.maximum(down, right), (down.square() + right.square()).float().sqrt())
    masks = torch.where(distance < 4, 1 + square.long(), 0)  # 0 background, 1 disc, 2 square
    images = (masks > 0).float() + 0.5 * torch.randn(250, size, size, generator=draws)
    masks[(distance >= 4) & (distance < 5)] = 255
    return _parts(images.unsqueeze(1), masks)


class Convolutions(nn.Sequential):
    """Three convolutions that keep the size of the image."""

    def __init__(self, num_classes: int) -> None:
        first, second = nn.Conv2d(1, 16, 5, padding=2), nn.Conv2d(16, 16, 5, padding=2)
        super().__init__(first, nn.ReLU(), second, nn.ReLU(), nn.Conv2d(16, num_classes, 5, padding=2))


def low_digits() -> dict[str, Any]:
    """Scikit-learn's digits 0 … 4."""
    return _digits(0)


def high_digits() -> dict[str, Any]:
    """Scikit-learn's digits 5 … 9, as classes 0 … 4."""
    return _digits(5)


def _digits(first: int) -> dict[str, Any]:
    bunch = sets.load_digits()
    chosen = (bunch.target >= first) & (bunch.target < first + 5)
    images = torch.from_numpy(bunch.images[chosen]).float().unsqueeze(1) / 16
    return _parts(images, torch.from_numpy(bunch.target[chosen]).long() - first)


def plays() -> dict[str, Any]:
    """The first 64,000 bytes of lrbench's text, in windows of 32."""
    file = Path(lrbench.__file__).parent / "components" / "data" / "shakespeare.txt.gz"
    return _windows(gzip.decompress(file.read_bytes())[:64_000])


def descriptions() -> dict[str, Any]:
    """Scikit-learn's descriptions of its data sets, some 15,000 bytes of technical English."""
    names = ("iris", "wine", "breast_cancer", "diabetes", "digits", "linnerud")
    return _windows("".join(getattr(sets, f"load_{name}")().DESCR for name in names).encode())


def counting() -> dict[str, Any]:
    """Sequences of 24 letters of four; at each place, how many of the letter there have occurred so far."""
    letters = torch.randint(0, 4, (1000, 24), generator=torch.Generator().manual_seed(0))
    seen = nn.functional.one_hot(letters, 4).cumsum(1)
    return _parts(letters, seen.gather(2, letters[:, :, None]).squeeze(2)) | {"classes": 25}


def copying() -> dict[str, Any]:
    """Twelve letters of eight, then the same again; only the second half counts."""
    letters = torch.randint(0, 8, (1000, 12), generator=torch.Generator().manual_seed(0))
    whole = torch.cat([letters, letters], 1)
    targets = whole[:, 1:].clone()
    targets[:, :11] = -100
    return _parts(whole[:, :-1].contiguous(), targets) | {"classes": 8}


def lora(base: str, rank: int, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return the GPT of a run with low-rank adapters beside its attention; only these are trained. It needs peft."""
    from peft import LoraConfig, get_peft_model

    params = {key: value for key, value in GPT.items() if key != "name"}
    model = build_model(Part("gpt", params), input_shape=input_shape, outputs=classes, classes=classes)
    model.load_state_dict(torch.load(Path(base) / "best.pt", weights_only=True))
    adapters: nn.Module = get_peft_model(model, LoraConfig(r=rank, target_modules=["qkv", "project"]))
    return adapters


def _windows(content: bytes) -> dict[str, Any]:
    codes = torch.from_numpy(np.frombuffer(content, np.uint8).copy()).long().clamp(max=127)
    count = (len(codes) - 1) // 32
    inputs, targets = codes[: count * 32].view(count, 32), codes[1 : count * 32 + 1].view(count, 32)
    return _parts(inputs, targets) | {"classes": 128}


def _split(inputs: Any, targets: Tensor) -> dict[str, Any]:
    whole = torch.from_numpy(inputs).float()
    whole = (whole - whole.mean(0)) / whole.std(0)
    return _parts(whole, targets)


def _parts(inputs: Tensor, targets: Tensor) -> dict[str, Any]:
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    test, train = order[: len(order) // 5], order[len(order) // 5 :]
    return {"train": (inputs[train], targets[train]), "test": (inputs[test], targets[test])}
