"""Torch's fused optimizers without their bookkeeping in Python: one kernel for all weights of a parameter group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

STATES: dict[type[Optimizer], tuple[str, ...]] = {
    SGD: ("momentum_buffer",),
    Adam: ("exp_avg", "exp_avg_sq"),
    AdamW: ("exp_avg", "exp_avg_sq"),
}
"""The optimizers that this covers, and what each keeps for a weight."""
_OFF = ("maximize", "amsgrad", "capturable", "differentiable")


def has_kernel(optimizer: Optimizer) -> bool:
    """Return whether the optimizer is SGD, Adam or AdamW, fused, without an exotic switch."""
    groups = optimizer.param_groups
    return type(optimizer) in STATES and all(
        group.get("fused") and not any(group.get(name) for name in _OFF) for group in groups
    )


def fused_update(
    kind: type[Optimizer],
    group: Mapping[str, Any],
    weights: list[Tensor],
    gradients: list[Tensor],
    states: Sequence[list[Tensor]],
    steps: list[Tensor],
    *,
    first: bool = False,
) -> None:
    """Change weights by their gradients, in one call.

    Args:
        kind: the optimizer's class.
        group: its settings, a parameter group.
        weights: what is changed.
        gradients: as many.
        states: for each of `STATES`, as many tensors; they are changed too.
        steps: for Adam, a tensor for each weight with the number of this step, from 1.
        first: for SGD with momentum, whether the buffers are still empty.
    """
    if kind is SGD:
        torch._fused_sgd_(
            weights,
            gradients,
            states[0] if states else [],
            lr=float(group["lr"]),
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=False,
            is_first_step=first,
        )
        return
    beta1, beta2 = group["betas"]
    decoupled = group.get("decoupled_weight_decay", kind is AdamW)
    update: Callable[..., None] = torch._fused_adamw_ if decoupled else torch._fused_adam_
    update(
        weights,
        gradients,
        *states,
        [],
        steps,
        lr=float(group["lr"]),
        beta1=beta1,
        beta2=beta2,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=False,
        maximize=False,
    )


class FusedStep:
    """The step of an optimizer that has done one already, with the same kernels on the same tensors.

    Args:
        optimizer: one that `has_kernel`.
        weights: those it trains, in the order of its groups.
    """

    def __init__(self, optimizer: Optimizer, weights: Sequence[Tensor]) -> None:
        self.kind = type(optimizer)
        self.counts: list[Tensor] = []
        trained = {id(weight) for weight in weights}
        self.groups: list[tuple[Any, list[Tensor], list[list[Tensor]], list[Tensor]]] = []
        for group in optimizer.param_groups:
            own = [weight for weight in group["params"] if id(weight) in trained]
            names = STATES[self.kind] if self.kind is not SGD or group["momentum"] else ()
            states = [[optimizer.state[weight][name] for weight in own] for name in names]
            if own:
                self.groups.append((group, own, states, self._steps(optimizer, own)))

    def _steps(self, optimizer: Optimizer, weights: Sequence[Tensor]) -> list[Tensor]:
        """Make the step counts of weights views of one tensor, so that one operation counts all of them."""
        if self.kind is SGD:
            return []
        counts = torch.stack([optimizer.state[weight]["step"] for weight in weights])
        self.counts.append(counts)
        steps = list(counts.unbind())
        for weight, step in zip(weights, steps, strict=True):
            optimizer.state[weight]["step"] = step
        return steps

    @classmethod
    def of(cls, optimizer: Optimizer, weights: Sequence[Tensor]) -> FusedStep | None:
        """Return the step of an optimizer; None if it has no kernel, or no state yet."""
        hooks = getattr(optimizer, "_optimizer_step_pre_hooks", None) or getattr(
            optimizer, "_optimizer_step_post_hooks", None
        )
        if hooks or not has_kernel(optimizer):
            return None
        try:
            return cls(optimizer, weights)
        except KeyError:
            return None

    def __call__(self, gradients: Sequence[Tensor]) -> None:
        """Do a step with these gradients, in the order of the weights."""
        at = 0
        for counts in self.counts:
            counts.add_(1)
        for group, weights, states, steps in self.groups:
            own = list(gradients[at : at + len(weights)])
            at += len(weights)
            fused_update(self.kind, group, weights, own, states, steps)
