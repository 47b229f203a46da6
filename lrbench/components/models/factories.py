"""Factories of lrbench's models, which adapt to the data; the first call imports torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from lrbench.components.models.parametrization import Parametrization, check_heads, parametrized
from lrbench.errors import ConfigError
from lrbench.types import Count, Natural, Probability

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]


def cnn(
    *,
    padding: Natural = 0,
    dropout: Probability = 0.25,
    width: Count = 32,
    parametrization: Parametrization = "standard",
    base_width: Count | None = None,
    input_shape: Shape,
    outputs: int,
) -> nn.Module:
    """The tutorial's CNN: (conv 3×3, ReLU, max-pool 2, dropout) × 2, dense 256, dense; Keras's initial weights.

    32 and 64 filters; Glorot uniform weights, zero biases. 431,242 parameters for 28×28×1 and 10 classes.

    Args:
        padding: padding of both convolutions; 0 as in the tutorial. Images under 10×10 get more.
        dropout: probability of both dropout layers.
        width: filters of the first convolution; the second has twice as many, the dense layer 8 × width.
        parametrization: `mup` keeps the best learning rate of `base_width`, by its initial weights and learning rates.
        base_width: the width at which mup is the standard parametrization.
    """
    from lrbench.components.models import nets

    _pictures("cnn", input_shape)
    padding, side = padded("cnn", input_shape, padding)

    def build(width: int, growth: float = 1.0) -> nn.Module:
        return nets.Cnn(input_shape[0], side, outputs, padding, dropout, width, growth)

    return parametrized(build, width, parametrization, base_width, "by_both_fans")


def mlp(
    *,
    hidden: list[Count] = [64, 64],  # noqa: B006  (never changed)
    dropout: Probability = 0.0,
    activation: Literal["relu", "tanh", "gelu"] = "relu",
    parametrization: Parametrization = "standard",
    base_width: Count | list[Count] | None = None,
    input_shape: Shape,
    outputs: int,
) -> nn.Module:
    """Dense layers with activations; torch's initial weights.

    Args:
        hidden: width of each hidden layer.
        dropout: probability after each hidden layer.
        activation: `relu`, `tanh` or `gelu`.
        parametrization: `mup` keeps the best learning rate of `base_width`, by its initial weights and learning rates.
        base_width: the width of the hidden layers at which mup is the standard parametrization; a list for several.
    """
    from torch import nn

    from lrbench.components.models.mup import output_layer

    base = [base_width] * len(hidden) if isinstance(base_width, int) else base_width
    if base is not None and len(base) != len(hidden):
        problem = f"must be one number, or a list of as many as hidden has, {len(hidden)} (got {base_width})"
        raise ConfigError(problem, key="model.base_width")
    activations = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}

    def build(hidden: list[int], growth: float = 1.0) -> nn.Module:
        widths = [math.prod(input_shape), *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), activations[activation]()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        return nn.Sequential(*layers, output_layer(widths[-1], outputs, growth))

    return parametrized(build, hidden, parametrization, base, "by_fan_in")


def logistic(*, input_shape: Shape, outputs: int) -> nn.Module:
    """Multinomial logistic regression: one dense layer, initialised to zero (the loss is convex)."""
    from torch import nn

    dense = nn.Linear(math.prod(input_shape), outputs)
    nn.init.zeros_(dense.weight)
    nn.init.zeros_(dense.bias)
    return nn.Sequential(nn.Flatten(), dense)


def lenet(*, padding: Natural = 2, input_shape: Shape, outputs: int) -> nn.Module:
    """LeNet-5 (LeCun et al. 1998): two 5×5 convolutions with tanh and average pooling, dense 120, 84.

    Args:
        padding: padding of the first convolution; 2 turns 28×28 images into the paper's 32×32, 0 suits 32×32. Smaller
            images than the layers need get more.
    """
    from lrbench.components.models import nets

    _pictures("lenet", input_shape)
    padding, side = padded("lenet", input_shape, padding)
    return nets.LeNet(input_shape[0], side, outputs, padding)


def resnet20(*, width: Count = 16, input_shape: Shape, outputs: int) -> nn.Module:
    """The 20-layer ResNet for CIFAR (He et al. 2016, section 4.2), with parameter-free shortcuts.

    Args:
        width: channels of the first stage; the others have two and four times as many.
    """
    from lrbench.components.models import nets

    _pictures("resnet20", input_shape)
    return nets.ResNet20(input_shape[0], width, outputs)


def vit(
    *,
    patch: Count = 4,
    dim: Count = 64,
    depth: Count = 4,
    heads: Count = 4,
    mlp_ratio: Count = 2,
    dropout: Probability = 0.0,
    parametrization: Parametrization = "standard",
    base_width: Count | None = None,
    input_shape: Shape,
    outputs: int,
) -> nn.Module:
    """A small vision Transformer (Dosovitskiy et al. 2021): patches, pre-norm blocks, mean over patches.

    Args:
        patch: side of a patch; must divide the sides of the image.
        dim: width of the embedding; a multiple of `heads`.
        depth: number of blocks.
        heads: number of attention heads.
        mlp_ratio: width of a block's dense layer as a multiple of dim.
        dropout: probability after attention and dense layers.
        parametrization: `mup` keeps the best learning rate of `base_width`, by its initial weights and learning rates.
        base_width: the `dim` at which mup is the standard parametrization, with as many heads.
    """
    from lrbench.components.models import nets

    _pictures("vit", input_shape)
    if input_shape[1] % patch or input_shape[2] % patch:
        raise ConfigError(f"must divide the image sides, {input_shape[1]} and {input_shape[2]}", key="model.patch")
    if dim % heads:
        raise ConfigError(f"must be a multiple of heads, {heads} (got {dim})", key="model.dim")
    check_heads(base_width, heads)

    def build(dim: int, growth: float = 1.0) -> nn.Module:
        return nets.ViT(input_shape, patch, dim, depth, heads, mlp_ratio, dropout, outputs, growth)

    return parametrized(build, dim, parametrization, base_width, "by_fan_in")


def of_task() -> None:
    """What the method `build(seed)` of your task returns; set by itself if a config with such a task names no model."""


def gpt(
    *,
    layers: Count = 4,
    width: Count = 128,
    heads: Count = 4,
    context: Count | None = None,
    dropout: Probability = 0.0,
    parametrization: Parametrization = "standard",
    base_width: Count | None = None,
    input_shape: Shape,
    classes: int | None = None,
) -> nn.Module:
    """A decoder-only Transformer for language models: GPT-2 (Radford et al. 2019), its initial weights.

    Learned positions, pre-norm blocks of causal attention and a GELU layer of 4 × width, and an output layer that
    shares its weights with the token embedding. The vocabulary is that of the data. 0.83 million parameters for 256
    tokens and a context of 64.

    Args:
        layers: number of blocks.
        width: width of the embedding; a multiple of `heads`.
        heads: number of attention heads.
        context: longest sequence it can take; by default the length of the data's.
        dropout: probability after the embedding, in the attention, and after attention and dense layers.
        parametrization: `mup` keeps the best learning rate of `base_width`, by its initial weights and learning rates.
        base_width: the width at which mup is the standard parametrization, with as many heads.
    """
    if len(input_shape) != 1:
        raise ConfigError(f"gpt needs sequences of tokens (length,); this data has inputs of shape {input_shape}")
    if classes is None:
        raise ConfigError("gpt needs an int64 target at each position, the next token; this data has other targets")
    if width % heads:
        raise ConfigError(f"must be a multiple of heads, {heads} (got {width})", key="model.width")
    if context is not None and context < input_shape[0]:
        raise ConfigError(
            f"is less than the {input_shape[0]} tokens of an example (got {context})", key="model.context"
        )
    check_heads(base_width, heads)
    from lrbench.components.models.gpt import GPT

    vocabulary, longest = classes, context or input_shape[0]

    def build(width: int, growth: float = 1.0) -> nn.Module:
        return GPT(vocabulary, longest, layers, width, heads, dropout, growth)

    return parametrized(build, width, parametrization, base_width, "constant")


_SIDES: dict[str, Callable[[int, int], int]] = {
    "cnn": lambda n, p: ((n + 2 * p - 2) // 2 + 2 * p - 2) // 2,
    "lenet": lambda n, p: ((n + 2 * p - 4) // 2 - 4) // 2,
}
"""The side of a model's last features, for a side of the image and a padding."""


def padded(model: str, shape: Shape, padding: int) -> tuple[int, tuple[int, int]]:
    """Return the padding, raised until images of this shape leave features, and the height and width of these.

    Args:
        model: `cnn` or `lenet`.
        shape: channels, height and width of the images.
        padding: the least padding.
    """
    side = _SIDES[model]
    while min(side(n, padding) for n in shape[1:]) < 1:
        padding += 1
    return padding, (side(shape[1], padding), side(shape[2], padding))


def _pictures(name: str, shape: Shape) -> None:
    if len(shape) != 3:
        raise ConfigError(f"{name} needs images (channels, height, width); this data has inputs of shape {shape}")
