"""From objects to the experiment that trains copies of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from lrbench.config import Experiment, fits_folder
from lrbench.errors import ConfigError, UsageError
from lrbench.training.objects.blocks import block_of, data_block, loss_block, model_block, name_of, sample_of, written
from lrbench.training.objects.optimizers import optimizer_block


def experiment_of(
    objects: Mapping[str, Any],
    settings: Mapping[str, Any],
    seeds: int,
    *,
    lr: float | None,
    divided: bool,
) -> Experiment:
    """Return the experiment of some objects.

    Args:
        objects: `model`, `data`, `optimizer`, `loss`, `task` and `schedule`, None where the user gave none.
        settings: other keys of a config.
        seeds: how many seeds will train it.
        lr: the peak learning rate instead of the optimizer's own.
        divided: whether validation data is needed.

    Raises:
        ConfigError, UsageError: objects that are of no use as such, or an invalid key.
    """
    model, data = objects["model"], objects["data"]
    if isinstance(model, nn.Module) and seeds > 1:
        problem = f"{seeds} seeds need a fresh model each, and a {type(model).__name__} is one model"
        raise UsageError(f"{problem}: give a function or class that makes one, such as model=lambda: Net(…)")
    sample = sample_of(model)
    plain: dict[str, Any] = {"name": _name(objects, sample), **_device(model), **settings}
    if data is not None:
        rules = settings.get("dataset", {})
        if not isinstance(rules, Mapping) or "name" in rules:
            problem = "is given as `data`; here, write only rules such as {'validation': {'fraction': 0.1}}"
            raise ConfigError(problem, key="dataset")
        block, of_loader = data_block(data, divided=divided)
        plain["dataset"] = {**({"name": block} if isinstance(block, str) else block), **rules}
        for key, value in of_loader.items():
            if settings.get(key) not in (None, value):
                raise ConfigError(f"is {settings[key]}, but the DataLoader has {value}", key=key)
        plain |= of_loader
    if model is not None:
        plain["model"] = model_block(model, sample)
    if objects["optimizer"] is not None:
        plain["optimizer"] = optimizer_block(objects["optimizer"], model, sample, lr)
    if objects["loss"] is not None:
        plain["loss"] = loss_block(objects["loss"])
    plain |= {key: block_of(objects[key], key) for key in ("task", "schedule") if objects.get(key) is not None}
    return Experiment.of({key: value for key, value in plain.items() if value is not None}, {}, "")


def _name(objects: Mapping[str, Any], sample: nn.Module | None) -> str:
    """Return the name of the runs: that of the model's class, else that of the task's."""
    one = next((each for each in (sample, objects["model"], objects["task"]) if each is not None), None)
    given = written(one)
    name = given.get("name") if isinstance(given, dict) else given or name_of(one)
    return str(name) if fits_folder(str(name)) else "run"


def _device(model: Any) -> dict[str, str]:
    """Return the device of a model that its user has moved to one."""
    first = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return {} if first is None or first.device.type == "cpu" else {"device": str(first.device)}
