"""The choice between the standard parametrization and μP, for models that have a width. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

from lrbench.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

Parametrization = Literal["standard", "mup"]
_Width = TypeVar("_Width", int, list[int])


def parametrized(
    build: Callable[..., nn.Module], width: _Width, parametrization: Parametrization, base: _Width | None, initial: str
) -> nn.Module:
    """Build a model in the standard parametrization or in μP.

    Args:
        build: takes a width, or those of the hidden layers, and how much the last of them grew.
        width: the width to build.
        parametrization: `standard` or `mup`.
        base: the base width of μP.
        initial: the standard initial weights, a `Deviation` of `models.mup`.

    Raises:
        ConfigError: `mup` has no base width, or `standard` has one.
    """
    if parametrization == "standard":
        if base is not None:
            raise ConfigError("needs `parametrization: mup`", key="model.base_width")
        return build(width)
    if base is None:
        problem = "needs `base_width`, the width at which it equals the standard parametrization"
        raise ConfigError(f"mup {problem}: the one whose learning rate you know", key="model.parametrization")
    from lrbench.components.models import mup

    growth = _last(width) / _last(base)
    return mup.parametrized(build(width, growth), lambda: build(base), getattr(mup, initial))


def _last(width: int | list[int]) -> int:
    """Return the width that the output layer sees; 1 for a model without hidden layers."""
    return width if isinstance(width, int) else [1, *width][-1]


def check_heads(base_width: int | None, heads: int) -> None:
    """Raise ConfigError if a model of the base width could not have so many attention heads."""
    if base_width is not None and base_width % heads:
        raise ConfigError(f"must be a multiple of heads, {heads} (got {base_width})", key="model.base_width")
