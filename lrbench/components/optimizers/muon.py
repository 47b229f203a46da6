"""Muon for whole models: torch's Muon for hidden matrices, AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from lrbench.errors import ConfigError

_ADAMW = ("lr", "weight_decay")  # what both take


class MuonWithAdamW(Optimizer):
    """torch.optim.Muon for hidden weight matrices, torch.optim.AdamW for all other weights.

    Muon is only defined for matrices (Jordan et al. 2024). Like its authors, this leaves embeddings, the output layer,
    biases and norms to AdamW, and also convolutions, whose filters have four dimensions. Muon takes the groups with
    `muon: True`. The arguments are those of torch's Muon, and `adamw_lr`, AdamW's peak learning rate, which is `lr` by
    default. A schedule multiplies both.
    """

    def __init__(self, params: list[dict[str, Any]], adamw_lr: float | None = None, **arguments: Any) -> None:
        matrices = [group for group in params if group["muon"]]
        others = [group for group in params if not group["muon"]]
        self.parts: list[Optimizer] = [torch.optim.Muon(matrices, **arguments)]
        if others:
            own = {} if adamw_lr is None else {"lr": adamw_lr}
            self.parts.append(AdamW(others, **{k: v for k, v in arguments.items() if k in _ADAMW} | own))
        super().__init__([group for part in self.parts for group in part.param_groups], self.parts[0].defaults)
        self._share()

    def _share(self) -> None:
        """Share groups and state with both optimizers."""
        for part, muon in zip(self.parts, (True, False), strict=False):
            part.param_groups = [group for group in self.param_groups if group["muon"] is muon]
            part.state = self.state

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step both optimizers."""
        loss = closure() if closure is not None else None
        for part in self.parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state for both optimizers."""
        super().load_state_dict(state_dict)
        self._share()


def marked(model: nn.Module, groups: list[dict[str, Any]], ratio: float) -> list[dict[str, Any]]:
    """Divide each group into Muon's weights and others. Raises ConfigError if Muon gets none.

    Args:
        model: the model with these weights.
        groups: parameter groups, with or without a learning rate of their own.
        ratio: the others' learning rate as a multiple of Muon's.
    """
    hidden = hidden_matrices(model)
    divided = []
    for group in groups:
        for muon in (True, False):
            chosen = [p for p in group["params"] if (id(p) in hidden) is muon]
            if chosen:
                divided.append({**group, **({} if muon else _scaled(group, ratio)), "params": chosen, "muon": muon})
    if not any(group["muon"] for group in divided):
        problem = "muon is for hidden weight matrices, and this model has none; use adamw"
        raise ConfigError(problem, key="optimizer.name")
    return divided


def _scaled(group: dict[str, Any], ratio: float) -> dict[str, Any]:
    """Return the group's learning rate times `ratio`, if it has one, and its ratio to the schedule's."""
    if ratio == 1.0:
        return {}
    rate = {"lr": group["lr"] * ratio} if "lr" in group else {}
    return {**rate, "lr_factor": group.get("lr_factor", 1.0) * ratio}


def hidden_matrices(model: nn.Module) -> set[int]:
    """Return the ids of two-dimensional weights outside embeddings and the output layer, which is the last one.

    An output layer that shares its weight with an embedding is the last one too.
    """
    embeddings = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    matrices: list[Tensor] = [p for _, p in model.named_parameters(remove_duplicate=False) if p.ndim == 2]
    return {id(p) for p in matrices[:-1] if p.requires_grad and id(p) not in embeddings}
