"""Parameter groups: weights without weight decay, frozen, or with a multiple of the learning rate. No torch import.

A group's `lr_factor` is the ratio of its learning rate to the schedule's; the loop and `torch_scheduler` apply it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, StrictBool, ValidationError

from lrbench.components.optimizers.stages import UNFREEZE, WARMUP
from lrbench.errors import ConfigError
from lrbench.types import (
    NOTHING,
    NUMBER,
    SWITCH,
    Duration,
    Epochs,
    Kind,
    NonNegative,
    Part,
    PositiveFraction,
    adapter,
    arguments,
    first_of,
    problem_of,
)

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

_TIMED = ("freeze", UNFREEZE, WARMUP)
_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")


@dataclass(frozen=True)
class GroupRules:
    """The keys of an `optimizer:` block that divide the weights into groups, as in `parameter_groups`."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    decay_biases_and_norms: StrictBool = True
    layer_decay: PositiveFraction | None = None
    lr_factors: Annotated[dict[str, NonNegative], Field(min_length=1)] | None = None
    freeze: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    unfreeze: Annotated[dict[str, Epochs], Field(min_length=1)] | None = None
    group_warmup: Annotated[dict[str, Epochs], Field(min_length=1)] | None = None

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

    @classmethod
    def written_out(cls, part: Part) -> Part:
        """Write patterns in one order and durations in one form, so that a run has one identity. Raises ConfigError."""
        given = part.params
        if not {"freeze", UNFREEZE, WARMUP} & given.keys():
            return part
        one = {"freeze": [given["freeze"]]} if isinstance(given.get("freeze"), str) else {}
        _, rules = cls.split(Part(part.name, {**given, **one}))
        plain = {key: value for key, value in _plain(rules).items() if key in given}
        return Part(part.name, {k: v for k, v in given.items() if k in plain or k not in _TIMED} | plain)

    @classmethod
    def at_start(cls, part: Part) -> Part:
        """Return the optimizer with the weights frozen for good that are frozen at the start, and no warm-up."""
        rules = cls.split(part)[1]
        later = {pattern for pattern, when in (rules.unfreeze or {}).items() if when.amount > 0}
        frozen = sorted({*(rules.freeze or ()), *later})
        now = {pattern: str(when) for pattern, when in (rules.unfreeze or {}).items() if pattern not in later}
        kept = {key: value for key, value in part.params.items() if key not in _TIMED}
        changed = {"freeze": frozen, UNFREEZE: now}
        return Part(part.name, kept | {key: value for key, value in changed.items() if value})

    @property
    def arguments(self) -> dict[str, Any]:
        """The rules that differ from the defaults, as arguments of `parameter_groups`."""
        default = type(self)()
        return {k: v for k in self.__dataclass_fields__ if (v := getattr(self, k)) != getattr(default, k)}


def _plain(rules: GroupRules) -> dict[str, Any]:
    """Return the rules about time as a config would write them, in one order; those that are not set are left out."""
    plain: dict[str, Any] = {"freeze": sorted(set(rules.freeze))} if rules.freeze else {}
    for key, durations in ((UNFREEZE, rules.unfreeze), (WARMUP, rules.group_warmup)):
        if durations:
            plain[key] = {pattern: str(duration) for pattern, duration in sorted(durations.items())}
    return plain


MODULE = Kind("a torch module", lambda value: callable(getattr(value, "named_parameters", None)))


@arguments(model=MODULE, lr=NUMBER, decay_biases_and_norms=SWITCH, layer_decay=NUMBER | NOTHING)
def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    decay_biases_and_norms: bool = True,
    layer_decay: float | None = None,
    lr_factors: Mapping[str, float] | None = None,
    freeze: Sequence[str] | None = None,
    unfreeze: Mapping[str, Duration | str] | None = None,
    group_warmup: Mapping[str, Duration | str] | None = None,
    width_factors: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Return parameter groups for your own optimizer: `torch.optim.AdamW(groups, lr=lr)`.

    Args:
        model: the model, whose parameters that require gradients are grouped.
        lr: the learning rate that the factors multiply.
        decay_biases_and_norms: False gives biases and one-dimensional weights (those of norms) `weight_decay` 0.
        layer_decay: ratio of each layer's learning rate to the next layer's; the last layer has the full one. A layer
            is a module that is not a container and holds no list of layers; a norm belongs to the layer before it.
        lr_factors: pattern of parameter names (`conv*`, `*.bias`) → factor of their learning rate. Matches multiply.
        freeze: patterns of parameters that don't train; they no longer require gradients.
        unfreeze: pattern → when matching parameters begin to train, such as `2 epochs`; the earliest match counts.
            Only lrbench's own loop follows it; `parameter_groups` only groups them.
        group_warmup: pattern → length of their own warm-up, from when they begin to train; the longest match counts.
            Only lrbench's own loop follows it.
        width_factors: name of a parameter → factor of its learning rate, which its group has as `width_factor` too.

    Raises:
        ConfigError: a pattern matches no parameter.
    """
    freeze_parameters(model, freeze or (), unfreeze or {})
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    names = [name for name, _ in named]
    _check_patterns(lr_factors or {}, names, "lr_factors")
    _check_patterns(unfreeze or {}, names, UNFREEZE)
    _check_patterns(group_warmup or {}, names, WARMUP)
    layers = _layers(model)
    last = max(layers.values(), default=0)
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, parameter in named:
        factor = 1.0 if layer_decay is None else layer_decay ** (last - layers[name])
        for pattern, ratio in (lr_factors or {}).items():
            factor *= ratio if fnmatchcase(name, pattern) else 1.0
        width = (width_factors or {}).get(name, 1.0)
        factor *= width
        plain = not decay_biases_and_norms and (parameter.ndim <= 1 or name.endswith(".bias"))
        timed = {UNFREEZE: _matching(unfreeze, name), WARMUP: _matching(group_warmup, name)}
        key = (factor, width, plain, *(tuple(found) for found in timed.values()))
        if key not in groups:
            more: dict[str, Any] = {"weight_decay": 0.0} if plain else {}
            more |= {which: found for which, found in timed.items() if found}
            more |= {} if width_factors is None else {"width_factor": width}
            groups[key] = {"params": [], "lr": lr * factor, "lr_factor": factor, **more}
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
    peak = float(configured or next(peaks, 0.0))
    usual = float(optimizer.defaults.get("lr", peak))
    peak = usual if math.isclose(peak, usual, rel_tol=1e-6) else peak  # without the noise of the division

    def ratio(rate: float, factor: float | None) -> float:
        if factor is not None and math.isclose(rate, peak * factor, rel_tol=1e-6):
            return float(factor)
        return rate / peak if peak else 1.0

    return peak, [ratio(rate, factor) for rate, factor in zip(rates, factors, strict=True)]


def freeze_parameters(model: nn.Module, freeze: Sequence[str], unfreeze: Mapping[str, Any]) -> None:
    """Make the parameters that match `freeze` require no gradients, unless they match `unfreeze`.

    Raises ConfigError if a pattern matches no parameter.
    """
    names = [name for name, _ in model.named_parameters()]
    _check_patterns(freeze, names, "freeze")
    for name, parameter in model.named_parameters():
        if _matching(dict.fromkeys(freeze), name) and not _matching(unfreeze, name):
            parameter.requires_grad_(False)


def _matching(patterns: Mapping[str, object] | None, name: str) -> dict[str, str]:
    """Return the patterns that match a parameter's name, with their values as text."""
    return {pattern: str(value) for pattern, value in sorted((patterns or {}).items()) if fnmatchcase(name, pattern)}


def _layers(model: nn.Module) -> dict[str, int]:
    """Return the layer number of each parameter, in the order in which the model registers layers.

    A weight that several layers share counts in the first.
    """
    found: dict[str, int] = {}
    known = {name for name, _ in model.named_parameters()}
    layer = -1
    for prefix, module, whole in _modules(model, ""):
        names = [prefix + name for name, _ in module.named_parameters(recurse=whole)]
        own = [name for name in names if name in known]
        is_norm = "norm" in type(module).__name__.lower()  # BatchNorm2d, LayerNorm, RMSNorm, GroupNorm, …
        if own and (layer < 0 or not is_norm):
            layer += 1
        found |= dict.fromkeys(own, layer)
    for name in known:  # the model's own, such as a class token, go with the first layer
        found.setdefault(name, 0)
    return found


def _modules(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module, bool]]:
    """Yield modules with the prefixes of their parameters' names, and whether they are taken whole, as layers.

    Not taken whole are containers, and what holds a list of layers, such as the encoder of a Transformer.
    """
    of_list = type(module).__name__ == "ModuleList"
    for name, child in module.named_children():
        parted = type(child).__name__ in _CONTAINERS or (not of_list and _holds_layers(child))
        yield f"{prefix}{name}.", child, not parted
        if parted:
            yield from _modules(child, f"{prefix}{name}.")


def _holds_layers(module: nn.Module) -> bool:
    lists = (inner for inner in module.modules() if type(inner).__name__ == "ModuleList")
    return any(sum(1 for _ in layers.children()) > 1 for layers in lists)


def _check_patterns(patterns: Iterable[str], names: list[str], key: str) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
            raise ConfigError(f"'{pattern}' matches no parameter; the model has {shown}", key=f"optimizer.{key}")
