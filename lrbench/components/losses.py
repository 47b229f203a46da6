"""Losses by name. A loss takes (outputs, targets) and returns the mean over what it counts."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from lrbench.errors import ConfigError, UserCodeError, counted
from lrbench.registry import Catalog
from lrbench.types import Part, Positive, Probability, Whole, load_object, with_tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor


IGNORED = -100
"""Torch's default `ignore_index`. Data with one class per example has no such label."""


@dataclass(frozen=True)
class Loss:
    """A loss function and what its mean is taken over, by which batches are averaged.

    Attributes:
        function: of (outputs, targets).
        ignored: the target that it leaves out, its `ignore_index`; None if it has none.
        weight: weights of the classes, used with `ignored`; or None.
        count: the function's own `count(targets)`, or None.
        by_class: whether targets are class indices and outputs have the classes second.
    """

    function: Callable[[Any, Any], Any]
    ignored: int | None = None
    weight: Tensor | None = None
    count: Callable[[Any], Any] | None = None
    by_class: bool = False

    def __call__(self, outputs: Any, targets: Any) -> Any:
        """Return the loss of a batch; NaN for most functions if it counts nothing."""
        return self.function(outputs, targets)

    def mean(self, outputs: Any, targets: Any, counted: Tensor | float) -> Any:
        """Return the loss of a batch, given what it is `counted` over; 0, with a gradient of 0, if that is nothing."""
        import torch

        loss = self(outputs, targets)
        if not isinstance(counted, torch.Tensor) and counted > 0:
            return loss
        some = torch.as_tensor(counted, device=loss.device) > 0
        if outputs.requires_grad:
            outputs.register_hook(lambda grad: torch.where(some, grad, 0.0))  # that of 0/0 is NaN
        return torch.where(some, loss, 0.0)

    def counted(self, targets: Tensor) -> Tensor | int:
        """Return what the mean over these targets divides by, without a device sync: examples, tokens, weights."""
        if self.count is not None:
            counted: Tensor | int = self.count(targets)
            return counted
        plain = self.weight is None and targets.dim() == 1 and self.ignored == IGNORED
        if self.ignored is None or targets.is_floating_point() or plain:
            return len(targets)
        used = targets != self.ignored
        if self.weight is None:
            return used.sum()
        used, targets = used.to(self.weight.device), targets.to(self.weight.device)
        return (self.weight[targets * used] * used).sum()


def cross_entropy(
    *,
    label_smoothing: Probability = 0.0,
    weight: list[Positive] | Literal["balanced"] | None = None,
    ignore_index: Whole | None = None,
    labels: Any = None,
    classes: int | None = None,
) -> Callable[..., Tensor]:
    """Softmax cross-entropy of logits (n, classes) and class indices (n,), or (n, classes, …) and (n, …).

    Args:
        label_smoothing: fraction of the target spread evenly over all classes, also in validation and test loss.
        weight: a weight for each class, or `balanced`: n / (classes × n_c) for n_c of n training examples.
        ignore_index: the target that marks positions without a class, often 255 in masks; −100 by default, as in torch.
    """
    import torch
    from torch.nn import functional

    ignored = IGNORED if ignore_index is None else ignore_index
    loss = partial(functional.cross_entropy, label_smoothing=label_smoothing, ignore_index=ignored)
    if weight is None:
        return loss
    weights = _balanced(labels, classes, ignored) if weight == "balanced" else torch.tensor(weight)
    if classes and len(weights) != classes:
        raise ConfigError(
            f"needs one number for each of the {counted(classes, 'class')} (got {len(weights)})", key="loss.weight"
        )
    return partial(loss, weight=weights)


def _balanced(labels: Tensor | None, classes: int | None, ignored: int) -> Tensor:
    if labels is None:
        problem = "balanced needs all training targets: give the Dataset an attribute `targets`, or a list here"
        raise ConfigError(problem, key="loss.weight")
    counts = labels[(labels >= 0) & (labels != ignored)].bincount(minlength=classes or 0)
    if not bool(counts.all()):
        absent = int((counts == 0).nonzero()[0])
        problem = f"balanced needs examples of every class; there are none of class {absent}{void_hint(len(counts))}"
        raise ConfigError(problem, key="loss.weight")
    return counts.sum() / (len(counts) * counts)


def void_hint(classes: int | None) -> str:
    """Return the remedy if 255, the usual mark of pixels without a class, may have been counted as a class."""
    return "; if 255 marks positions without a class, set loss.ignore_index: 255" if classes == 256 else ""


def mse() -> Callable[..., Tensor]:
    """Mean squared error; class indices become one-hot vectors."""
    from torch.nn.functional import mse_loss, one_hot

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if not targets.is_floating_point():
            targets = one_hot(targets, outputs.shape[-1]).to(outputs.dtype)
        # (n, 1) and (n,) would silently broadcast to (n, n).
        return mse_loss(outputs.reshape(targets.shape), targets)

    return loss


def bce(*, pos_weight: list[Positive] | None = None) -> Callable[..., Tensor]:
    """Binary cross-entropy of logits (n, labels) and targets (n, labels) of 0 and 1.

    Args:
        pos_weight: a weight for the positive examples of each label.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    def loss(outputs: Tensor, targets: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        # (n, 1) and (n,) would silently broadcast to (n, n).
        goal = targets.to(outputs.dtype)
        return binary_cross_entropy_with_logits(outputs.reshape(targets.shape), goal, pos_weight=pos_weight)

    return loss if pos_weight is None else partial(loss, pos_weight=torch.tensor(pos_weight))


def of_task() -> Callable[..., Tensor]:
    """The task's own loss; set by itself for a task that computes one."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        raise AssertionError("the task computes the loss")

    return loss


LOSSES = Catalog(
    kind="loss",
    entries={"bce": bce, "cross_entropy": cross_entropy, "mse": mse, "task": of_task},
    context=frozenset({"labels", "classes"}),
)


def build_loss(
    part: Part, *, labels: Tensor | None = None, classes: int | None = None, device: torch.device | str = "cpu"
) -> Loss:
    """Build the function that a `loss:` block names.

    An import string names a class such as `torch.nn:HuberLoss`, created with the parameters, a function of
    (outputs, targets), which gets the parameters in every call, or a module, which is copied.

    Args:
        part: the block.
        labels: the training targets, if known.
        classes: the number of classes, if known.
        device: where its tensors belong.

    Raises:
        ConfigError: unknown name or invalid parameters.
    """
    if part.params.get("reduction", "mean") != "mean":
        problem = "must be mean, because batches differ in size and are averaged"
        raise ConfigError(f"{problem} (got {part.params['reduction']!r})", key="loss.reduction")
    target = load_object(part.name, "loss.name") if part.imported else None
    if isinstance(target, type) or not part.imported:
        made = LOSSES.build(part, labels=labels, classes=classes)
    elif _is_module(target):
        if part.params:
            raise ConfigError("an object takes no parameters; name its class", key="loss")
        made = copy.deepcopy(target)  # it moves to the device
    elif callable(target):
        made = partial(target, **with_tensors(target, part.params, "loss"))
    else:
        raise ConfigError(f"'{part.name}' is not a function or a class", key="loss.name")
    if callable(move := getattr(made, "to", None)):
        made = move(device)
    if isinstance(made, partial):
        made = partial(made.func, **{k: v.to(device) if hasattr(v, "to") else v for k, v in made.keywords.items()})
    function = _guarded(part.name, made) if part.imported else made
    ignored, weight, count = (_setting(made, name) for name in ("ignore_index", "weight", "count"))
    own_name = getattr(target, "__name__", type(target).__name__) if part.imported else part.name
    return Loss(function, ignored, weight, count, _is_by_class(own_name))


def _is_module(target: Any) -> bool:
    return not isinstance(target, type) and callable(getattr(target, "named_parameters", None))


def _is_by_class(name: str) -> bool:
    return name.lower().replace("_", "").endswith(("crossentropy", "crossentropyloss")) and "binary" not in name


def _setting(loss: Any, name: str) -> Any:
    """Return an attribute of a loss; of a function, the parameter."""
    if not isinstance(loss, partial):
        return getattr(loss, name, None)
    parameter = inspect.signature(loss.func).parameters.get(name)
    default = None if parameter is None or parameter.default is parameter.empty else parameter.default
    return loss.keywords.get(name, getattr(loss.func, name, default))


def _guarded(name: str, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def call(outputs: Any, targets: Any) -> Any:
        try:
            return function(outputs, targets)
        except Exception as error:
            raise UserCodeError.of(f"loss '{name}'", error) from error

    return call
