"""What users and frameworks give a recorder, as names and numbers that rows hold. Never imports a framework."""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from lrbench.components import Metric
from lrbench.errors import ArgumentError
from lrbench.runs import SPLITS, usual_metric

_SPLITS = {"training": "train", "valid": "val", "validation": "val", "eval": "val", "dev": "val"}
_MOST_LETTERS = 100


def number(value: Any) -> Any:
    """Return a value as a float or int, or None; one on a device as a copy there, which `settled` reads later.

    Raises TypeError, ValueError if it is not a single number.
    """
    if type(value) is float or value is None:
        return value
    if isinstance(value, bool | str | bytes):
        raise TypeError(f"{value!r:.40} is not a number")
    if isinstance(value, int):
        return int(value)
    if hasattr(value, "detach"):  # a torch tensor
        value = value.detach()
        if value.numel() != 1:
            raise ValueError(f"a tensor of shape {tuple(value.shape)} is not a single number")
        return value.clone() if value.device.type != "cpu" else float(value)
    if type(value).__module__.partition(".")[0] in ("jax", "jaxlib") and getattr(value, "size", 1) == 1:
        return value
    if callable(getattr(value, "item", None)):  # numpy
        value = value.item()
    return float(value)


def settled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of plain numbers: those on a device are read back, all of one device at once."""
    waiting = [(row, name) for row in rows for name, value in row.items() if not isinstance(value, float | int | None)]
    if not waiting:
        return rows
    for (row, name), value in zip(waiting, _read_back([row[name] for row, name in waiting]), strict=True):
        row[name] = value
    return rows


def _read_back(values: list[Any]) -> list[float | None]:
    torch = sys.modules.get("torch")
    try:
        if torch is not None and len({(getattr(v, "device", None), getattr(v, "dtype", None)) for v in values}) == 1:
            return list(map(float, torch.stack([value.reshape(()) for value in values]).tolist()))
    except Exception:
        pass  # one by one, since one of them may be wrong
    return [_float(value) for value in values]


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except Exception:  # such as an error of the device, which came before and is not ours
        return None


def rates(lr: Any) -> dict[str, Any]:
    """Return the learning rates by column: `lr`, that of the first group, and `lr_<group>` for each of several.

    Args:
        lr: a number, a list of one for each group, a mapping from groups to numbers, or a torch optimizer.

    Raises TypeError, ValueError if it is none of them.
    """
    if type(lr) is float or lr is None:
        return {"lr": lr}
    if hasattr(lr, "param_groups"):
        lr = by_group(lr)
    elif isinstance(lr, Sequence) and not isinstance(lr, str | bytes):
        lr = {str(index): value for index, value in enumerate(lr)}
    if not isinstance(lr, Mapping):
        return {"lr": number(lr)}
    if not lr:
        raise ValueError("there is no learning rate in it")
    values = {str(name): number(value) for name, value in lr.items()}
    first = next(iter(values.values()))
    return {"lr": first} | ({f"lr_{word(name)}": v for name, v in values.items()} if len(values) > 1 else {})


def by_group(*optimizers: Any) -> dict[str, Any]:
    """Return the learning rates that torch optimizers have now, by the groups' names, or else their numbers."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    names = [str(group.get("name", index)) for index, group in enumerate(groups)]
    if len(set(names)) < len(names):
        names = list(map(str, range(len(groups))))
    return {name: number(group["lr"]) for name, group in zip(names, groups, strict=True)}


@functools.lru_cache(maxsize=10_000)
def word(name: str) -> str:
    """Return a name of letters, digits and underscores: `eval/top-5` → `eval_top_5`. Raises ArgumentError."""
    found = re.sub(r"\W+", "_", str(name)).strip("_")[:_MOST_LETTERS]
    if not found:
        raise ArgumentError(f"a value's name must contain letters or digits (got {name!r:.60})")
    return found


def split_name(name: str, default: str = "val") -> str:
    """Return the column of a value: `eval/loss` → `val_loss`, and `accuracy` → `val_accuracy` if `default` is `val`."""
    found = word(name)
    if found in ("lr", "seconds"):
        return found
    split, _, rest = found.partition("_")
    split = _SPLITS.get(split.lower(), split.lower())
    return f"{split}_{rest}" if split in SPLITS and rest else f"{default}_{found}"


def directions(metrics: Mapping[str, str] | None) -> dict[str, Metric]:
    """Return metrics from `{"f1": "higher"}`. Raises ArgumentError."""
    if metrics is not None and not isinstance(metrics, Mapping):
        raise ArgumentError(f"metrics must be a mapping, such as {{'f1': 'higher'}} (got {metrics!r:.60})")
    found = {}
    for name, better in (metrics or {}).items():
        if better not in ("lower", "higher"):
            raise ArgumentError(
                f"metrics: {name} must be 'lower' or 'higher', whichever is better (got {better!r:.40})"
            )
        short = split_name(name).partition("_")[2]
        if short != "loss":
            found[short] = dataclasses.replace(usual_metric(short), better=better)  # type: ignore[arg-type]
    return found


def settings(config: Any) -> dict[str, Any]:
    """Return settings as nested plain values: of a mapping, an argparse namespace, a dataclass or a pydantic model.

    What is not a number, text, list or mapping becomes text. Raises ArgumentError if it has no names.
    """
    known = _mapping(config)
    if known is None:
        kinds = "a mapping, an argparse.Namespace or a dataclass"
        raise ArgumentError(f"config must be {kinds} (got {type(config).__name__})")
    return {_key(name): _plain(value) for name, value in known.items()}


def _mapping(value: Any) -> Mapping[Any, Any] | None:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type):
        return {name: v for name, v in vars(value).items() if not name.startswith("_") and not callable(v)}
    if callable(getattr(value, "model_dump", None)):
        return dict(value.model_dump())
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return dict(vars(value)) if hasattr(value, "__dict__") and not callable(value) else None


def _key(name: Any) -> str:
    return re.sub(r"[\s{}=.]+", "_", str(name)) or "_"


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return {_key(name): _plain(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if getattr(value, "size", None) == 1 and callable(getattr(value, "item", None)):  # a number of numpy
        return _plain(value.item())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return settings(value)
    named = getattr(value, "__qualname__", None)
    if named is not None:  # a function or class
        return f"{value.__module__}.{named}"
    text = str(value)
    return f"{type(value).__module__}.{type(value).__qualname__}" if re.search(r"\bat 0x[0-9a-f]+", text) else text
