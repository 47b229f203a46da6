"""The optimizers of stacked runs: torch's fused kernels on whole rows of weights, each with its run's learning rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

_STATES: dict[type[Optimizer], tuple[str, ...]] = {
    SGD: ("momentum_buffer",),
    Adam: ("exp_avg", "exp_avg_sq"),
    AdamW: ("exp_avg", "exp_avg_sq"),
}
_LEFT_OUT = ("params", "foreach", "fused", "capturable", "differentiable", "initial_lr", "lr_factor")


def supported(optimizer: Optimizer) -> bool:
    """Return whether a stack can take the optimizer: SGD, Adam or AdamW with one group and no exotic switch."""
    groups = optimizer.param_groups
    plain = type(optimizer) in _STATES and len(groups) == 1 and bool(groups[0].get("fused"))
    return plain and not groups[0].get("maximize") and not groups[0].get("amsgrad")


class StackedOptimizer:
    """The optimizers of the runs of a stack.

    Args:
        optimizers: one for each run, all of one class; what they keep of earlier steps is taken over.
        spans: where each of their parameters lies in a row of weights.
        width: the weights in a row.
    """

    def __init__(self, optimizers: Sequence[Optimizer], spans: Sequence[slice], width: int) -> None:
        self.optimizers, self.spans = list(optimizers), list(spans)
        first = self.optimizers[0]
        device = first.param_groups[0]["params"][0].device
        self.kind = type(first)
        momentum = self.kind is not SGD or first.param_groups[0]["momentum"] != 0
        self.names = _STATES[self.kind] if momentum else ()
        self.begun = all(optimizer.state for optimizer in self.optimizers)
        self.states = {name: torch.zeros(len(self.optimizers), width, device=device) for name in self.names}
        self.steps = torch.zeros(len(self.optimizers), device=device)
        for row, optimizer in enumerate(self.optimizers):
            self._take(row, optimizer)

    def _take(self, row: int, optimizer: Optimizer) -> None:
        for parameter, span in zip(optimizer.param_groups[0]["params"], self.spans, strict=True):
            state = optimizer.state.get(parameter, {})
            for name in self.names:
                if state.get(name) is not None:
                    self.states[name][row, span] = state[name].reshape(-1)
            if "step" in state:
                self.steps[row] = state["step"]

    def hand_back(self, row: int) -> None:
        """Give a run's own optimizer a copy of its state, as if it had done the steps."""
        optimizer = self.optimizers[row]
        if not self.begun:
            return
        for parameter, span in zip(optimizer.param_groups[0]["params"], self.spans, strict=True):
            found = {name: self.states[name][row, span].view(parameter.shape).clone() for name in self.names}
            if self.kind is not SGD:
                found = {"step": self.steps[row].clone(), **found}
            if found:
                optimizer.state[parameter] = found

    def keep(self, rows: Tensor) -> None:
        """Keep only some rows."""
        self.optimizers = [self.optimizers[row] for row in rows.tolist()]
        self.states = {name: state[rows] for name, state in self.states.items()}
        self.steps = self.steps[rows]

    def step(self, weights: Tensor, gradients: Tensor) -> None:
        """Change weights (runs, width) by gradients of that shape; neighbours with equal settings in one call."""
        self.steps.add_(1)
        settings = [_settings(optimizer.param_groups[0]) for optimizer in self.optimizers]
        at = 0
        for setting, run in groupby(settings):
            rows = slice(at, at := at + len(list(run)))
            states = [[self.states[name][rows]] for name in self.names]
            self._update([weights[rows]], [gradients[rows]], states, dict(setting), self.steps[rows.start])
        self.begun = True

    def _update(
        self, weights: list[Tensor], gradients: list[Tensor], states: list[list[Tensor]], setting: Any, step: Tensor
    ) -> None:
        if self.kind is SGD:
            first = bool(states) and not self.begun
            buffers = states[0] if states else []
            torch._fused_sgd_(weights, gradients, buffers, **setting, is_first_step=first)
        else:
            beta1, beta2 = setting.pop("betas")
            decoupled = setting.pop("decoupled_weight_decay", self.kind is AdamW)
            update: Callable[..., None] = torch._fused_adamw_ if decoupled else torch._fused_adam_
            update(weights, gradients, *states, [], [step], **setting, beta1=beta1, beta2=beta2)


def _settings(group: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return the kernel's arguments."""
    return tuple(
        (name, float(value) if name == "lr" else value) for name, value in group.items() if name not in _LEFT_OUT
    )
