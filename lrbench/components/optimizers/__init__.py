"""Optimizers by name: torch's first-order ones, and learning-rate-free ones from their authors' packages.

Parameters, defaults and checks are those of the class. The keys of `GroupRules` are allowed besides them.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lrbench.components.optimizers.catalog import (
    AVERAGES,
    DEFAULT_LR,
    OPTIMIZERS,
    SETS_ITS_OWN_RATE,
    known_defaults,
)
from lrbench.components.optimizers.mup import keep_decay, width_factors
from lrbench.components.optimizers.param_groups import (
    MODULE,
    GroupRules,
    freeze_parameters,
    parameter_groups,
    peak_and_ratios,
)
from lrbench.components.optimizers.parameters import check_parameters, kinds_of
from lrbench.components.optimizers.stages import Stage, Stages
from lrbench.errors import ConfigError
from lrbench.types import Part, arguments, part_of

if TYPE_CHECKING:
    from torch import nn
    from torch.nn import Parameter
    from torch.optim import Optimizer

_ADAM_FAMILY = ("adam", "adamax", "adamw", "nadam", "radam")  # β₂ is 0.999 by default


def adam_beta2(part: Part) -> float | None:
    """Return β₂ of an Adam-like optimizer; None for others, or if `betas` is not a pair of numbers."""
    betas = part.params.get("betas", (0.9, 0.999) if part.name in _ADAM_FAMILY else None)
    if not isinstance(betas, list | tuple) or len(betas) != 2 or isinstance(betas[1], bool):
        return None
    return float(betas[1]) if isinstance(betas[1], int | float) else None


@arguments(model=MODULE)
def build_optimizer(part: Part | Mapping[str, Any] | str, model: nn.Module) -> Optimizer:
    """Build the optimizer that a config's `optimizer:` block names.

    Built-in ones use torch's fused kernels where available.

    Args:
        part: `{"name": "adamw", "lr": 0.001, "layer_decay": 0.8}`. An imported class or function gets what it asks for
            among `params` (the weights, or their groups), `model`, and `model_or_params`.
        model: the model to train, without parameters that require no gradients.

    Raises:
        ConfigError: unknown name, or parameters that the class rejects.
    """
    from lrbench.components.optimizers.compiler import put_off_compiler

    part, rules = GroupRules.split(GroupRules.written_out(part_of(part, "optimizer")))
    check_parameters(part)
    freeze_parameters(model, rules.freeze or (), rules.unfreeze or {})
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ConfigError("has no parameters to train", key="model")
    groups = _grouped(part, rules, model, trained)
    either = groups if rules.arguments else model
    put_off_compiler()
    made: Optimizer = OPTIMIZERS.build(
        part, params=groups, model=model, model_or_params=either, **_fused(part, trained)
    )
    keep_decay(getattr(made, "param_groups", []))
    if not hasattr(made, "param_groups"):
        raise ConfigError(f"'{part.name}' returned a {type(made).__name__}, not an optimizer", key="optimizer.name")
    if not all("lr" in group for group in made.param_groups):
        problem = f"'{part.name}' returned an optimizer without a learning rate, `lr`, in its parameter groups"
        raise ConfigError(problem, key="optimizer.name")
    name = type(made).__name__.lower()
    if name in OPTIMIZERS.refused:
        raise ConfigError(f"{part.name} can't be used: {OPTIMIZERS.refused[name]}", key="optimizer.name")
    return made


def _grouped(
    part: Part, rules: GroupRules, model: nn.Module, trained: list[Parameter]
) -> list[Parameter] | list[dict[str, Any]]:
    """Return the weights as one list, or in groups if the config or the optimizer needs them."""
    grouping = {key: value for key, value in rules.arguments.items() if key != "freeze"}  # which is done
    if widths := width_factors(part, model):
        grouping["width_factors"] = widths
    if not grouping:
        groups: list[dict[str, Any]] = [{"params": trained}]
    else:
        _check_rules(part, rules)
        groups = parameter_groups(model, lr=configured_rate(part), **grouping)
    if part.name == "muon":
        from lrbench.components.optimizers.muon import marked

        own = part.params.get("adamw_lr")
        return marked(model, groups, ratio=1.0 if own is None else own / configured_rate(part))
    return groups if grouping else trained


def _check_rules(part: Part, rules: GroupRules) -> None:
    known = inspect.signature(OPTIMIZERS.factory(part)).parameters
    if part.imported and not {"params", "model_or_params"} & known.keys():
        problem = f"'{part.name}' gets the model and creates the parameter groups itself"
        raise ConfigError(f"{problem}; remove {', '.join(rules.arguments)}", key="optimizer")
    if not rules.decay_biases_and_norms and "weight_decay" not in known and not part.imported:
        raise ConfigError(f"{part.name} has no weight decay", key="optimizer.decay_biases_and_norms")
    several = [key for key in ("layer_decay", "lr_factors", "group_warmup") if getattr(rules, key) is not None]
    if part.name == "prodigy" and several:
        key = several[0]
        raise ConfigError("prodigy estimates one learning rate for all weights", key=f"optimizer.{key}")


def configured_rate(part: Part) -> float:
    """Return an optimizer's learning rate or known default. Raises ConfigError if only the class knows the default."""
    lr = part.params.get("lr", DEFAULT_LR.get(part.name))
    if lr is None:
        raise ConfigError("is required, because the default of an imported optimizer is unknown", key="optimizer.lr")
    return float(lr)


def at_rate(part: Part, lr: float) -> Part:
    """Return the optimizer with another learning rate; Muon's `adamw_lr` keeps its ratio to it. Raises ConfigError."""
    changed = {**part.params, "lr": lr}
    if part.name == "muon" and part.params.get("adamw_lr") is not None:
        check_parameters(GroupRules.split(part)[0])
        changed["adamw_lr"] = part.params["adamw_lr"] * (lr / configured_rate(part))
    return Part(part.name, changed)


def _fused(part: Part, trained: list[Parameter]) -> dict[str, Any]:
    devices = {p.device.type for p in trained}
    kinds = {"sgd", "adam", "adamw"} | ({"adagrad"} if devices == {"cpu"} else set())
    floating = all(p.is_floating_point() for p in trained)
    return {"fused": True} if part.name in kinds and devices <= {"cpu", "cuda", "mps"} and floating else {}
