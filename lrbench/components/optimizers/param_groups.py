"""Parameter groups: weights without weight decay, or with a multiple of the learning rate. Does not import torch.

A group's `lr_factor` is the ratio of its learning rate to the schedule's; the loop and `torch_scheduler` apply it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, StrictBool, ValidationError

from lrbench.errors import ConfigError
from lrbench.types import NonNegative, Part, PositiveFraction, adapter, first_of, problem_of

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")


@dataclass(frozen=True)
class GroupRules:
    """The keys of an `optimizer:` block that divide the weights into groups, as in `parameter_groups`."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    decay_biases_and_norms: StrictBool = True
    layer_decay: PositiveFraction | None = None
    lr_factors: Annotated[dict[str, NonNegative], Field(min_length=1)] | None = None

    @classmethod
    def split(cls, part: Part) -> tuple[Part, GroupRules]:
        """Separate the optimizer's own parameters from the rules. Raises ConfigError."""
        given = {k: v for k, v in part.params.items() if k in cls.__dataclass_fields__}
        try:
            rules = adapter(cls).validate_python(given)
        except ValidationError as error:
            where = ".".join(("optimizer", *(str(piece) for piece in first_of(error)["loc"])))
            raise ConfigError(problem_of(error), key=where) from None
        return Part(part.name, {k: v for k, v in part.params.items() if k not in given}), rules

    @property
    def arguments(self) -> dict[str, Any]:
        """The rules that differ from the defaults, as arguments of `parameter_groups`."""
        default = type(self)()
        return {k: v for k in self.__dataclass_fields__ if (v := getattr(self, k)) != getattr(default, k)}


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    decay_biases_and_norms: bool = True,
    layer_decay: float | None = None,
    lr_factors: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Return parameter groups for your own optimizer: `torch.optim.AdamW(groups, lr=lr)`.

    Args:
        model: the model, whose parameters that require gradients are grouped.
        lr: the learning rate that the factors multiply.
        decay_biases_and_norms: False gives biases and one-dimensional weights (those of norms) `weight_decay` 0.
        layer_decay: ratio of each layer's learning rate to the next layer's; the last layer has the full one. A layer
            is a module that is not a container; a norm belongs to the layer before it.
        lr_factors: pattern of parameter names (`conv*`, `*.bias`) → factor of their learning rate. Matches multiply.

    Raises:
        ConfigError: a pattern matches no parameter.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    _check_patterns(lr_factors or {}, [name for name, _ in named])
    layers = _layers(model)
    last = max(layers.values(), default=0)
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in named:
        factor = 1.0 if layer_decay is None else layer_decay ** (last - layers[name])
        for pattern, ratio in (lr_factors or {}).items():
            factor *= ratio if fnmatchcase(name, pattern) else 1.0
        plain = not decay_biases_and_norms and (parameter.ndim <= 1 or name.endswith(".bias"))
        key = (factor, plain)
        if key not in groups:
            undecayed = {"weight_decay": 0.0} if plain else {}
            groups[key] = {"params": [], "lr": lr * factor, "lr_factor": factor, **undecayed}
        groups[key]["params"].append(parameter)
    return list(groups.values())


def peak_and_ratios(
    optimizer: Optimizer, key: str = "lr", *, configured: float | None = None
) -> tuple[float, list[float]]:
    """Return the peak learning rate of a schedule and each group's ratio to it.

    Args:
        optimizer: its groups' `lr_factor` is their ratio, unless their learning rates say otherwise.
        key: where a group has its learning rate at the peak, `lr` or torch's `initial_lr`.
        configured: the peak, if a config gives it; else the learning rate of the first group that has one.
    """
    rates = [float(group.get(key, group["lr"])) for group in optimizer.param_groups]
    factors = [group.get("lr_factor") for group in optimizer.param_groups]
    peaks = (rate / (factor or 1.0) for rate, factor in zip(rates, factors, strict=True) if rate > 0)
    peak = configured or next(peaks, 0.0)
    usual = float(optimizer.defaults.get("lr", peak))
    peak = usual if math.isclose(peak, usual, rel_tol=1e-6) else peak  # without the noise of the division

    def ratio(rate: float, factor: float | None) -> float:
        if factor is not None and math.isclose(rate, peak * factor, rel_tol=1e-6):
            return float(factor)
        return rate / peak if peak else 1.0

    return peak, [ratio(rate, factor) for rate, factor in zip(rates, factors, strict=True)]


def _layers(model: nn.Module) -> dict[str, int]:
    """Return the layer number of each parameter, in the order in which the model registers layers."""
    found: dict[str, int] = {}
    layer = -1
    for prefix, module in _modules(model, ""):
        own = [prefix + name for name, _ in module.named_parameters(recurse=not _is_container(module))]
        is_norm = "norm" in type(module).__name__.lower()  # BatchNorm2d, LayerNorm, RMSNorm, GroupNorm, …
        if own and (layer < 0 or not is_norm):
            layer += 1
        found |= dict.fromkeys(own, layer)
    for name, _ in model.named_parameters():  # the model's own, such as a class token, go with the first layer
        found.setdefault(name, 0)
    return found


def _modules(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        yield f"{prefix}{name}.", child
        if _is_container(child):
            yield from _modules(child, f"{prefix}{name}.")


def _is_container(module: nn.Module) -> bool:
    return type(module).__name__ in _CONTAINERS


def _check_patterns(patterns: Mapping[str, float], names: list[str]) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
            raise ConfigError(f"'{pattern}' matches no parameter; the model has {shown}", key="optimizer.lr_factors")
