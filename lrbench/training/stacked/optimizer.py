"""The optimizers of stacked runs: torch's fused kernels on whole rows of weights, each with its run's learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from lrbench.training.fused import STATES, fused_update, has_kernel

_CHANGING = ("lr", "betas", "momentum")
_NO_SETTINGS = ("params", "foreach", "fused", "capturable", "differentiable", "initial_lr", "lr_factor")


def supported(optimizer: Optimizer) -> bool:
    """Return whether a stack can take the optimizer: SGD, Adam or AdamW with one group and no exotic switch."""
    return has_kernel(optimizer) and len(optimizer.param_groups) == 1


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
        self.names = STATES[self.kind] if momentum else ()
        self.begun = all(optimizer.state for optimizer in self.optimizers)
        self.states = {name: torch.zeros(len(self.optimizers), width, device=device) for name in self.names}
        self.steps = torch.zeros(len(self.optimizers), device=device)
        self.steady = [_steady(optimizer.param_groups[0]) for optimizer in self.optimizers]
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
        self.steady = [self.steady[row] for row in rows.tolist()]

    def step(self, weights: Tensor, gradients: Tensor) -> None:
        """Change weights (runs, width) by gradients of that shape; neighbours with equal settings in one call."""
        self.steps.add_(1)
        settings = [_changing(optimizer.param_groups[0]) for optimizer in self.optimizers]
        at = 0
        for _, run in groupby(zip(settings, self.steady, strict=True)):
            rows = slice(at, at := at + len(list(run)))
            states = [[self.states[name][rows]] for name in self.names]
            group = self.optimizers[rows.start].param_groups[0]
            first = bool(self.names) and not self.begun
            fused_update(
                self.kind, group, [weights[rows]], [gradients[rows]], states, [self.steps[rows.start]], first=first
            )
        self.begun = True


def _changing(group: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the settings that a schedule changes."""
    return tuple([group.get(name) for name in _CHANGING])


def _steady(group: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the other settings."""
    return tuple((name, value) for name, value in group.items() if name not in (*_CHANGING, *_NO_SETTINGS))
