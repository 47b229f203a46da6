"""Losses by name. A loss takes (outputs, targets) and returns the mean over the batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from lrbench.errors import ConfigError, UserCodeError
from lrbench.registry import Catalog, load_object
from lrbench.types import Part, Probability

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(*, label_smoothing: Probability = 0.0) -> Callable[..., Tensor]:
    """Softmax cross-entropy of logits (n, classes) and class indices (n,).

    Args:
        label_smoothing: fraction of the target spread evenly over all classes, also in validation and test loss.
    """
    from torch.nn import functional

    return partial(functional.cross_entropy, label_smoothing=label_smoothing)


def mse() -> Callable[..., Tensor]:
    """Mean squared error; class indices become one-hot vectors."""
    from torch.nn.functional import mse_loss, one_hot

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if not targets.is_floating_point():
            targets = one_hot(targets, outputs.shape[-1]).to(outputs.dtype)
        # (n, 1) and (n,) would silently broadcast to (n, n).
        return mse_loss(outputs.reshape(targets.shape), targets)

    return loss


LOSSES = Catalog(kind="loss", entries={"cross_entropy": cross_entropy, "mse": mse})


def build_loss(part: Part) -> Callable[[Tensor, Tensor], Tensor]:
    """Build the function that a `loss:` block names.

    An import string names a class such as `torch.nn:HuberLoss`, created with the parameters, or a function of
    (outputs, targets), which gets the parameters in every call.

    Raises:
        ConfigError: unknown name or invalid parameters.
    """
    if not part.imported:
        made: Callable[[Any, Any], Any] = LOSSES.build(part)
        return made
    target = load_object(part.name, "loss.name")
    if isinstance(target, type):
        return _guarded(part.name, LOSSES.build(part))
    if not callable(target):
        raise ConfigError(f"'{part.name}' is not a function or a class", key="loss.name")
    return _guarded(part.name, lambda outputs, targets: target(outputs, targets, **part.params))


def _guarded(name: str, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def call(outputs: Any, targets: Any) -> Any:
        try:
            return function(outputs, targets)
        except Exception as error:
            raise UserCodeError.of(f"loss '{name}'", error) from error

    return call
