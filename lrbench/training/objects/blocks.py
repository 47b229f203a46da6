"""Turn objects into the blocks of a config: names where there are any, else import strings of held objects."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lrbench.components import read_by
from lrbench.errors import ConfigError
from lrbench.training import isolated
from lrbench.training.objects.fingerprint import fingerprint, installed
from lrbench.training.objects.known import hold
from lrbench.training.objects.unchanged import copied
from lrbench.types import Part, load_object

Block = dict[str, Any]


def written(value: Any) -> Any | None:
    """Return a name, a block or a part as a config has it; None for any other object."""
    if isinstance(value, Part):
        return value.plain()
    return dict(value) if isinstance(value, Mapping) else value if isinstance(value, str) else None


def name_of(value: Any) -> str:
    """Return a short name of an object: that of a function or class, or of an object's class."""
    own: str = getattr(value, "__name__", type(value).__name__)
    return "function" if own == "<lambda>" else own


def import_string(value: Any) -> str | None:
    """Return the import string of a function or class of an installed package; None for anything else."""
    module, path = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not module or not path or not installed(module) or not (isinstance(value, type) or inspect.isroutine(value)):
        return None
    try:
        found = load_object(f"{module}:{path}", "")
    except ConfigError:  # local to a function
        return None
    return f"{module}:{path}" if found is value else None


def block_of(value: Any, key: str) -> Any:
    """Return the block of a name, a function, a class or an object, of which each import gets a copy."""
    given = written(value)
    if given is not None:
        return given
    if not callable(value) and not callable(getattr(value, "loss", None)):
        raise ConfigError(f"is a {type(value).__name__}: {_WANTED[key]}", key=key)
    if (known := import_string(value)) is not None:
        return {"name": known}
    if isinstance(value, type) or inspect.isroutine(value):
        return {"name": hold(name_of(value), fingerprint(value), lambda: value)}
    copied(value, key)  # now, rather than when a run asks for it
    return {"name": hold(name_of(value), fingerprint(value), lambda: copied(value, key))}


_WANTED = {
    "loss": "it must be a name, a function of (outputs, targets) or an nn.Module",
    "task": "it must be a name, an object with a method loss(model, batch), or a function of (model, batch)",
    "schedule": "it must be a name, a block such as {'name': 'one_cycle'}, or a function of the step",
}


# -- losses

_LOSSES: dict[Any, str] = {
    nn.CrossEntropyLoss: "cross_entropy",
    functional.cross_entropy: "cross_entropy",
    nn.MSELoss: "mse",
    functional.mse_loss: "mse",
    nn.BCEWithLogitsLoss: "bce",
    functional.binary_cross_entropy_with_logits: "bce",
}
"""Torch's losses that lrbench has under a name."""


def loss_block(loss: Any) -> Any:
    """Return the `loss:` block; torch's losses as they are by default have lrbench's names."""
    kind = type(loss)
    plain = isinstance(loss, nn.Module) and kind in _LOSSES and fingerprint(loss) == fingerprint(kind())
    name = _LOSSES.get(kind if plain else loss) if plain or inspect.isroutine(loss) or isinstance(loss, type) else None
    return block_of(loss, "loss") if name is None else {"name": name}


# -- models


class Copies:
    """Makes copies of a model for the runs."""

    def __init__(self, model: nn.Module, digits: str) -> None:
        self.model, self.digits = model, digits

    def __call__(self) -> nn.Module:
        """Return a copy. Raises ConfigError if the model was trained or changed since."""
        if fingerprint(self.model) != self.digits:
            problem = f"the {type(self.model).__name__} has changed since the call that created this experiment"
            raise ConfigError(f"{problem}; call lrbench.run again with the new model", key="model")
        made: nn.Module = copied(self.model, "model")
        return made


class Fresh:
    """Makes models with a function of the user's; runs get copies, since it may return one that others hold."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make
        self.__signature__ = inspect.signature(make)

    def __call__(self, **context: Any) -> Any:
        """Return a model. What the data tells comes as `context`; see `build_model`."""
        made = self.make(**context)
        try:
            return copy.deepcopy(made)
        except Exception:
            return made


def sample_of(model: Any) -> nn.Module | None:
    """Return the model, or one that a function makes without arguments; None if neither is to be had."""
    if isinstance(model, nn.Module):
        return model
    if not callable(model):
        return None
    with isolated(), contextlib.suppress(Exception):  # building it will say what is wrong
        torch.manual_seed(0)
        made = model()
        return made if isinstance(made, nn.Module) else None
    return None


def model_block(model: Any, sample: nn.Module | None) -> Any:
    """Return the `model:` block of a name, a module or a function or class that makes one, such as the `sample`."""
    given = written(model)
    if given is not None:
        return given
    if isinstance(model, nn.Module):
        digits = fingerprint(model)
        copied(model, "model")
        return {"name": hold(name_of(model), digits, lambda: Copies(model, digits))}
    if not callable(model):
        problem = f"is a {type(model).__name__}: it must be an nn.Module or a function that makes one"
        raise ConfigError(problem, key="model")
    if (known := import_string(model)) is not None:
        return {"name": known}
    shown = name_of(model) if isinstance(model, type) or sample is None else name_of(sample)
    return {"name": hold(shown, fingerprint(model, sample), lambda: Fresh(model))}


# -- data

_SPLITS = ("train", "validation", "test")
_FORMS = (
    "it must be a name, a DataLoader, a pair of tensors (inputs, targets), a Dataset, or several of these as "
    "{'train': …, 'validation': …, 'test': …}"
)


def data_block(data: Any, *, divided: bool) -> tuple[Any, Block]:
    """Return the `dataset:` block and the keys that a DataLoader sets.

    Args:
        data: what the user gave.
        divided: whether validation data is needed, and split off if it is missing.

    Raises:
        ConfigError: it has another form.
    """
    given = None if isinstance(data, Mapping) and "train" in data else written(data)
    if given is not None:
        return given, {}
    splits = _splits(data)
    first = splits["train"]
    read = {name: _read(name, value) for name, value in splits.items()}
    if isinstance(first, DataLoader | IterableDataset) and read.get("validation") is None and not divided:
        read["validation"] = read["train"]  # a range test never evaluates it
    keys: Block = {}
    if isinstance(first, DataLoader) and first.batch_size is not None:
        keys = {"batch_size": first.batch_size, **({"drop_last": True} if first.drop_last else {})}
    shown = name_of(getattr(first, "dataset", first)) if not _is_pair(first) else "tensors"
    return {"name": hold(shown, fingerprint(splits), lambda: lambda: read)}, keys


def _splits(data: Any) -> Block:
    """Return data as a mapping of its splits. Raises ConfigError."""
    if isinstance(data, Mapping):
        return {str(name): value for name, value in data.items()}
    if _is_pair(data):
        return {"train": tuple(data)}
    if isinstance(data, tuple | list) and len(data) in (2, 3):
        return dict(zip(("train", "test") if len(data) == 2 else _SPLITS, data, strict=True))
    if isinstance(data, DataLoader | Dataset):
        return {"train": data}
    raise ConfigError(f"is a {type(data).__name__}: {_FORMS}", key="data")


def _is_pair(value: Any) -> bool:
    """Return whether a value is a pair of tensors or arrays."""
    return isinstance(value, tuple | list) and len(value) == 2 and all(hasattr(one, "shape") for one in value)


def _read(name: str, value: Any) -> Any:
    return read_by(value, shuffled=name == "train") if isinstance(value, DataLoader) else value
