"""The learning rates of the maximal update parametrization (μP), relative to the base width. No torch import.

After Yang et al. 2022, "Tensor Programs V", table 8. Optimizers that divide the gradient by its size (Adam's family)
need learning rates that fall as 1/fan_in in weights whose two sides both grow with the width; SGD needs ones that grow
with the width in the others. Muon's orthogonal updates of matrices have the right size already: they meet the spectral
condition (Yang et al. 2023, "A Spectral Condition for Feature Learning").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lrbench.errors import ConfigError
from lrbench.types import Part

if TYPE_CHECKING:
    from torch import nn

    from lrbench.components.models.mup import Growth

_DECOUPLED = ("adamw", "muon", "sgd")  # whose weights decay by lr·weight_decay in a step, whatever the gradient


def _adam(growth: Growth) -> float:
    return 1.0 if growth.output else 1 / growth.fan_in


def _sgd(growth: Growth) -> float:
    return growth.fan_in if growth.output else growth.fan_out / growth.fan_in


_RULES: dict[str, Callable[[Growth], float]] = {
    **dict.fromkeys(("adagrad", "adam", "adamax", "adamw", "muon", "nadam", "radam", "rmsprop"), _adam),
    "sgd": _sgd,
}


def width_factors(part: Part, model: nn.Module) -> dict[str, float]:
    """Return the factor of each weight's learning rate in a model with `parametrization: mup`; empty if all are 1.

    Args:
        part: the optimizer, without the rules of parameter groups.
        model: the model; only built-in ones know how much their weights grew.

    Raises:
        ConfigError: no rule is known for the optimizer or for its weight decay.
    """
    growth: Mapping[str, Growth] = getattr(model, "growth", {})
    if not growth:
        return {}
    rule = _RULES.get(part.name)
    if rule is None:
        problem = f"has no known rule under `parametrization: mup`; use one of {', '.join(sorted(_RULES))}"
        raise ConfigError(f"{part.name} {problem}", key="optimizer.name")
    _check(part)
    exempt = _muons(model) if part.name == "muon" else set()
    factors = {n: 1.0 if id(weight) in exempt else rule(growth[n]) for n, weight in model.named_parameters()}
    return factors if any(factor != 1 for factor in factors.values()) else {}


def _muons(model: nn.Module) -> set[int]:
    from lrbench.components.optimizers.muon import hidden_matrices

    return hidden_matrices(model)


def _check(part: Part) -> None:
    decays = bool(part.params.get("weight_decay", 0.0))
    if decays and part.name not in _DECOUPLED and not part.params.get("decoupled_weight_decay", False):
        how = "adamw" if part.name not in ("nadam", "radam") else f"adamw, or {part.name} with decoupled_weight_decay"
        problem = f"is part of the gradient in {part.name}, for which no rule is known under `parametrization: mup`"
        raise ConfigError(f"{problem}; use {how}", key="optimizer.weight_decay")
    if part.name == "muon" and part.params.get("adjust_lr_fn") not in (None, "original"):
        problem = "grows with the width, against `parametrization: mup`; remove it, or use 'original'"
        raise ConfigError(problem, key="optimizer.adjust_lr_fn")


def keep_decay(groups: list[dict[str, Any]]) -> None:
    """Divide each group's weight decay by the factor of its learning rate, so that weights decay as at the base width.

    A weight decays by lr·weight_decay in a step; this stays what it is at the base width (independent weight decay).
    """
    for group in groups:
        factor = group.pop("width_factor", 1.0)
        if group.get("weight_decay"):
            group["weight_decay"] /= factor
