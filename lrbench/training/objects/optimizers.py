"""Turn optimizers into blocks: a class, an object with its settings, or a function of the parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrbench.components import OPTIMIZERS, peak_and_ratios
from lrbench.errors import ConfigError, reason_of
from lrbench.training.objects.blocks import Block, import_string, name_of, written
from lrbench.training.objects.fingerprint import fingerprint
from lrbench.training.objects.known import hold
from lrbench.types import Part, part_of

Parameters = Sequence[nn.Parameter]
KEY = "optimizer"


def optimizer_block(optimizer: Any, model: Any, sample: nn.Module | None, lr: float | None) -> Block:
    """Return the `optimizer:` block.

    Args:
        optimizer: a name or block, a class, an optimizer over the model's parameters, whose class and settings are
            taken, or a function of the parameters that returns one.
        model: what the user gave as the model.
        sample: a model as the runs will train it, if there is one.
        lr: the peak learning rate instead of the optimizer's own.

    Raises:
        ConfigError: it is none of these, or not over the model's parameters.
    """
    given = written(optimizer)
    if given is not None:
        part = part_of(given, KEY)
        block = part.plain()
    elif isinstance(optimizer, Optimizer):
        if not isinstance(model, nn.Module):
            problem = "an optimizer object is over one model's parameters; give that model, or the optimizer's class"
            raise ConfigError(problem, key=KEY)
        block = _of_object(optimizer, model)
    elif isinstance(optimizer, type):
        known = _catalogued(optimizer) or import_string(optimizer)
        block = {"name": known or hold(name_of(optimizer), fingerprint(optimizer), lambda: optimizer)}
    elif callable(optimizer):
        block = _of_function(optimizer, sample)
    else:
        problem = f"is a {type(optimizer).__name__}: it must be a name, a class, an optimizer or a function"
        raise ConfigError(f"{problem} of the parameters", key=KEY)
    return block if lr is None else {**block, "lr": float(lr)}


def _catalogued(kind: type) -> str | None:
    """Return the name that a config has for one of torch's optimizers."""
    homes = {name: entry for name, entry in OPTIMIZERS.entries.items() if getattr(entry, "home", "") == "torch.optim"}
    known = {getattr(torch.optim, entry.class_name, None): name for name, entry in homes.items()}  # type: ignore[attr-defined]
    name = known.get(kind)
    return None if name == "muon" else name  # lrbench's trains the other weights, too


# -- objects

_HOW = frozenset({"foreach", "fused"})  # how it computes, not what
_OF_SCHEDULERS = frozenset({"params", "param_names", "initial_lr"})


def _of_object(optimizer: Optimizer, model: nn.Module) -> Block:
    """Return the block of an optimizer's class and settings; its state stays behind."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    place = {id(parameter): index for index, parameter in enumerate(trained)}
    own = {id(parameter) for parameter in model.parameters()}
    groups, places = [], []
    for group in optimizer.param_groups:
        if any(id(parameter) not in own for parameter in group["params"]):
            raise ConfigError("has parameters that are not the model's; make it from model.parameters()", key=KEY)
        groups.append({k: _plain(v) for k, v in group.items() if k not in _OF_SCHEDULERS})
        places.append([place[id(parameter)] for parameter in group["params"] if id(parameter) in place])
    kind, whole = type(optimizer), len(groups) == 1 and places[0] == list(range(len(trained)))
    if whole and (block := _named(kind, groups[0])):
        return block
    rebuilt = Rebuilt(kind, {k: _plain(v) for k, v in optimizer.defaults.items()}, groups, places)
    peak, _ = peak_and_ratios(optimizer)
    digits = fingerprint(kind, rebuilt.defaults, groups, places)
    return {"name": hold(name_of(kind), digits, lambda: Scaled(rebuilt)), "lr": peak}


def _plain(value: Any) -> Any:
    """Return a setting with a learning rate that is a tensor as a number."""
    return float(value) if isinstance(value, Tensor) else value


def _named(kind: type[Optimizer], settings: Block) -> Block | None:
    """Return the settings as a config has them, without the class's defaults; None if a config can't have them."""
    name = _catalogued(kind)
    if name is None:
        return None
    known = inspect.signature(kind).parameters
    differing = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in settings.items()
        if key == "lr" or (key in known and key not in _HOW and value != known[key].default)
    }
    fits = not OPTIMIZERS.context & set(differing)
    return Part(name, differing).plain() if fits and all(map(_writable, differing.values())) else None


def _writable(value: Any) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, list) and all(map(_writable, value)))


class Rebuilt:
    """Makes an optimizer of a class, with groups of settings, over parameters by their places in the model."""

    def __init__(
        self, kind: type[Optimizer], defaults: Block, groups: Sequence[Block], places: Sequence[Sequence[int]]
    ) -> None:
        known = inspect.signature(kind).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
        self.kind, self.groups, self.places = kind, groups, places
        self.defaults = {k: v for k, v in defaults.items() if takes_any or k in known}

    def __call__(self, params: Parameters) -> Optimizer:
        """Return the optimizer. Raises ConfigError if the parameters are in groups already."""
        if any(isinstance(one, dict) for one in params):
            raise ConfigError("has its own parameter groups, which can't be combined with others", key=KEY)
        groups = zip(self.groups, self.places, strict=True)
        own = [{**settings, "params": [params[place] for place in places]} for settings, places in groups if places]
        return self.kind(own, **self.defaults)


# -- functions


class Scaled:
    """Makes an optimizer with a function of the parameters, at a peak learning rate; groups keep their ratios."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make

    def __call__(self, params: Any, lr: float | None = None) -> Any:
        """Return the optimizer. Raises ConfigError if it is over other parameters than those given."""
        params = list(params)
        made = self.make(params)
        if not isinstance(made, Optimizer):
            return made
        given = {id(one) for group in params for one in (group["params"] if isinstance(group, dict) else [group])}
        if any(id(one) not in given for group in made.param_groups for one in group["params"]):
            problem = "the function returned an optimizer over parameters other than those it was given"
            raise ConfigError(problem, key=KEY)
        peak, ratios = peak_and_ratios(made)
        if lr is not None and lr != peak:
            made.defaults["lr"] = lr
            for group, ratio in zip(made.param_groups, ratios, strict=True):
                group["lr"] = lr * ratio
        return made


def _of_function(make: Callable[..., Any], sample: nn.Module | None) -> Block:
    """Return the block of a function of the parameters, tried once for its learning rate."""
    weights = [p for p in sample.parameters() if p.requires_grad] if sample is not None else [torch.zeros(1, 1)]
    try:
        made = Scaled(make)([nn.Parameter(weight.detach()) for weight in weights])
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{name_of(make)} failed on the model's parameters: {reason_of(error)}", key=KEY) from error
    if not isinstance(made, Optimizer):
        problem = f"{name_of(make)} returned a {type(made).__name__}; it must return a torch.optim.Optimizer"
        raise ConfigError(problem, key=KEY)
    peak, _ = peak_and_ratios(made)
    settings = [{k: _plain(v) for k, v in group.items() if k not in _OF_SCHEDULERS} for group in made.param_groups]
    digits = fingerprint(make, type(made), settings)
    return {"name": hold(name_of(type(made)), digits, lambda: Scaled(make)), "lr": peak}
