"""The maximal update parametrization (μP): initial weights that suit any width, and how much each weight grew.

After Yang et al. 2022, "Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer",
table 8. Initial variances fall as 1/fan_in in weights whose two sides both grow with the width; all others keep those
of the base width. The output layer divides its inputs by their growth. Attention divides by d instead of √d. The
learning rates are in `components.optimizers.mup`. At the base width, all is as in the standard parametrization.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Size, Tensor, nn

Deviation = Callable[[Size], float]
"""The standard deviation of initial weights as a function of the layer's weight shape, up to a constant."""


def by_fan_in(shape: Size) -> float:
    """torch's own initial weights and biases: 1/√fan_in."""
    return 1 / math.sqrt(math.prod(shape[1:]))


def by_both_fans(shape: Size) -> float:
    """Glorot's: √(2 / (fan_in + fan_out))."""
    return math.sqrt(2 / (shape[0] + shape[1]) / math.prod(shape[2:]))


def constant(shape: Size) -> float:
    """The same for every shape, as GPT-2's."""
    return 1.0


@dataclass(frozen=True)
class Growth:
    """How many times as large as at the base width a weight's sides are.

    Args:
        fan_in: inputs of a dense layer or a convolution; 1 for embeddings, biases, norms and other vectors.
        fan_out: outputs.
        output: whether it is the weight of the output layer, which divides its inputs by `fan_in`.
    """

    fan_in: float
    fan_out: float
    output: bool = False


class OutputLayer(nn.Linear):
    """A dense layer whose inputs are divided by their growth."""

    def __init__(self, before: int, after: int, growth: float, *, bias: bool = True) -> None:
        super().__init__(before, after, bias)
        self.growth = growth

    def forward(self, x: Tensor) -> Tensor:
        """(…, before) → (…, after)."""
        return super().forward(x / self.growth)


def output_layer(before: int, after: int, growth: float = 1.0, *, bias: bool = True) -> nn.Linear:
    """Return the output layer for inputs that are `growth` times as wide as at the base width."""
    return nn.Linear(before, after, bias) if growth == 1 else OutputLayer(before, after, growth, bias=bias)


def attention_scale(size: int, growth: float = 1.0) -> float | None:
    """Return what attention multiplies its scores with: √d₀/d, where a head had d₀ dimensions at the base width.

    None, which is torch's 1/√d, without growth.
    """
    return None if growth == 1 else 1 / math.sqrt(size * growth)


def parametrized(model: nn.Module, base: Callable[[], nn.Module], deviation: Deviation) -> nn.Module:
    """Rescale a model's standard initial weights to μP's, and note as `growth` how much each weight grew.

    Args:
        model: as built, with the output layer and the attention of μP.
        base: builds the same model at the base width; called on torch's meta device, so that it costs nothing.
        deviation: of the standard initial weights; biases have that of their layer's weights, or are 0.
    """
    with torch.device("meta"):
        shapes = {name: parameter.shape for name, parameter in base().named_parameters()}
    growth = {name: _growth(model, name, shapes[name]) for name, _ in model.named_parameters()}
    model.growth = growth  # type: ignore[assignment]
    for name, parameter in model.named_parameters():
        layer = name.rpartition(".")[0]
        if not _multiplies(model.get_submodule(layer)):
            continue
        weight = f"{layer}.weight"
        factor = deviation(shapes[weight]) / deviation(model.get_parameter(weight).shape)
        if name == weight and not growth[name].output:
            factor /= math.sqrt(growth[name].fan_in)
        with torch.no_grad():
            parameter.mul_(factor)
    return model


def _multiplies(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | nn.Conv2d)


def _growth(model: nn.Module, name: str, base: Size) -> Growth:
    owner, _, own = name.rpartition(".")
    module, shape = model.get_submodule(owner), model.get_parameter(name).shape
    if own == "weight" and _multiplies(module):
        return Growth(shape[1] / base[1], shape[0] / base[0], isinstance(module, OutputLayer))
    return Growth(1.0, math.prod(shape) / math.prod(base))
