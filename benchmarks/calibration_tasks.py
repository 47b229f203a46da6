"""The tasks on which the finder's methods are compared: data × model × optimizer, small enough to sweep in full."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.datasets import load_breast_cancer, load_diabetes

RATES = [10 ** (k / 2) for k in range(-12, 3)]  # 1e-6 … 10, two to the decade
# log₁₀ of the rates swept of tasks that take long: the loss falls up to the first, and explodes at the last
NARROWED = {
    "mnist cnn sgd": (-2.0, 0.5),
    "mnist cnn momentum": (-3.0, -0.5),
    "tutorial adam": (-6.0, -1.5),
    "tutorial sgd": (-1.5, 0.5),
    "tutorial momentum": (-2.5, -0.5),
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


def rates(task: str) -> list[float]:
    """The rates of a task's sweep."""
    low, high = NARROWED.get(task, (-6.0, 1.0))
    return [rate for rate in RATES if 0.99 * 10**low <= rate <= 1.01 * 10**high]


def cancer() -> dict[str, Any]:
    """The 569 tumours of scikit-learn's breast cancer data, 30 measurements each, standardised."""
    bunch = load_breast_cancer()
    return _split(bunch.data, torch.from_numpy(bunch.target).long())


def diabetes() -> dict[str, Any]:
    """The 442 patients of scikit-learn's diabetes data: a regression, inputs and targets standardised."""
    bunch = load_diabetes()
    targets = torch.from_numpy(bunch.target).float()
    return _split(bunch.data, (targets - targets.mean()) / targets.std())


def _split(inputs: Any, targets: torch.Tensor) -> dict[str, Any]:
    whole = torch.from_numpy(inputs).float()
    whole = (whole - whole.mean(0)) / whole.std(0)
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))
    test, train = order[: len(order) // 5], order[len(order) // 5 :]
    return {"train": (whole[train], targets[train]), "test": (whole[test], targets[test])}
