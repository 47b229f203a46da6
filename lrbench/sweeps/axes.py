"""The axes of a `sweep:` block: lists, ranges on a log or linear scale, numbers of seeds."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from lrbench.config import MAX_POINTS, NOT_VARIED, RANGE, kind_of, short_axes
from lrbench.errors import ConfigError
from lrbench.types import whole

AUTO = "auto"  # learning rates around the suggestion of find-lr
AUTO_POINTS = 7
_DIGITS = 12  # significant digits; points that two grids share must be equal, so that they share runs
_RANGE = ("log", "linear", "points")


@dataclass(frozen=True)
class Axis:
    """A config's dotted key and its values."""

    key: str
    values: tuple[Any, ...]  # numbers, strings, or whole blocks as mappings
    where: str = ""  # the file and line, or the option, that set them
    auto: bool = False  # a range test will determine the values

    @property
    def block(self) -> bool:
        """True for a key of a whole block, such as `schedule`, rather than a value in it."""
        return "." not in self.key and self.key != "seed"


@dataclass(frozen=True)
class Keys:
    """The keys that a config's axes may have.

    Attributes:
        short: short keys, and what they stand for.
        fields: the keys of a config of this kind.
        others: what other keys are keys of: a command's parameters.
    """

    short: Mapping[str, str]
    fields: frozenset[str]
    others: str = ""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Keys:
        """Return the keys of a config's axes."""
        kind = kind_of(plain)
        others = "params" if "params" in kind.model_fields else ""
        return cls(short_axes(plain), frozenset(kind.model_fields), others)

    @property
    def rate(self) -> str:
        """The key of the learning rate."""
        return self.short["lr"]

    def full(self, key: str, block: tuple[str, ...] = ()) -> str:
        """Write a key in full: `lr` is `optimizer.lr`, and one that no config has is one of the block's own."""
        if key in self.short:
            return self.short[key]
        if key.partition(".")[0] in self.fields:
            return key
        return ".".join(filter(None, (*block, self.others, key)))


def read_axes(
    block: object, places: Mapping[tuple[str, ...], str], path: tuple[str, ...], first_seed: int, keys: Keys
) -> dict[str, Axis]:
    """Parse the axes of a `sweep:` block, by key.

    Args:
        block: a mapping from keys (dotted, or nested as in the config) to values.
        places: where keys were set.
        path: `("sweep",)`, or `("sweep", "optimizer")` for the axes in an entry of `optimizer:`, where `momentum` is
            short for `optimizer.momentum`.
        first_seed: the first seed if only the number of seeds is given.
        keys: the keys of the config.

    Raises:
        ConfigError: invalid values.
    """
    if not isinstance(block, Mapping):
        problem = "must map keys to values, such as `optimizer.lr: {log: [1e-5, 1], points: 11}`"
        raise ConfigError(problem, key=".".join(path), where=_place(places, path))
    axes: dict[str, Axis] = {}
    for key, value, inner in _flat(block, path):
        if value is None:  # drops an axis of the extended config
            continue
        full, where = keys.full(key, path[1:]), _place(places, inner)
        if full in axes:
            raise ConfigError(f"sets {full} twice", key=".".join(inner), where=where)
        try:
            axes[full] = axis(full, value, where, first_seed, keys.rate)
        except ValueError as error:
            raise ConfigError(str(error), key=".".join(inner), where=where) from None
    return axes


def axis(key: str, value: object, where: str = "", first_seed: int = 0, rate: str = "optimizer.lr") -> Axis:
    """Parse the value of a key in a `sweep:` block; `rate` is the key of the learning rate. Raises ValueError."""
    if key in NOT_VARIED:
        raise ValueError(f"can't be varied: '{key}' does not change what is trained")
    if isinstance(value, str):
        value = from_text(value) if key == rate else _from_numbers(value)
    if key == rate and value == AUTO:
        return Axis(key, (), where, auto=True)
    value = whole(value) if key == "seed" else value
    if key == "seed" and isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MAX_POINTS:
            raise ValueError(f"the number of seeds must be 1 to {MAX_POINTS:,} (got {value})")
        return Axis(key, tuple(range(first_seed, first_seed + value)), where)
    if isinstance(value, Mapping) and "name" not in value:
        return Axis(key, spaced(**_range_of(value)), where)
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise ValueError("must have at least one value")
    for one in values if key == rate else ():
        if not _is_number(one) or not 0 < one < math.inf:  # type: ignore[operator]
            raise ValueError(f"a learning rate must be a number greater than 0 (got {one!r:.40})")
    return Axis(key, tuple(values), where)


def from_text(text: str) -> object:
    """Parse `--lr`: `1e-5:1:11` (from:to:points on a log scale), `1e-3,1e-2`, a number or `auto`.

    Returns the value that a config would contain. Raises ValueError.
    """
    pieces = text.split(":")
    if text == AUTO:
        return text
    if len(pieces) == 3 and re.fullmatch(r"\d+", pieces[2]):
        return {"log": [_number(piece) for piece in pieces[:2]], "points": int(pieces[2])}
    if len(pieces) > 1:
        raise ValueError(f"must be from:to:points, such as 1e-5:1:11 (got {text!r:.60})")
    return [_number(piece) for piece in text.split(",")]


def _from_numbers(text: str) -> object:
    """Parse the text of another axis: from:to:points, or numbers with commas; any other text is a value as it is."""
    if RANGE.fullmatch(text.strip()):
        low, high, *points = text.split(":")
        if len(points) != 1 or not points[0].strip().isdigit():
            problem = "must be from:to:points, such as 1e-4:1e-1:4; to use text with colons, write it as a list"
            raise ValueError(f"{problem} (got {text!r:.60})")
        return {"log": [float(low), float(high)], "points": int(points[0])}
    with contextlib.suppress(ValueError):
        return [whole(float(piece)) for piece in text.split(",")] if "," in text else text
    return text


def spaced(scale: str, low: float, high: float, points: int) -> tuple[float, ...]:
    """Return numbers from `low` to `high`, evenly spaced on a `log` or `linear` scale; integers stay integers.

    Raises ValueError for an invalid range.
    """
    if not all(math.isfinite(bound) for bound in (low, high)):
        raise ValueError(f"bounds must be finite numbers (got {low:g} and {high:g})")
    if low >= high:
        raise ValueError(f"the first bound must be below the second (got {low:g} and {high:g})")
    if scale == "log" and low <= 0:
        raise ValueError(f"bounds on a log scale must be greater than 0 (got {low:g})")
    if not 2 <= points <= MAX_POINTS:
        raise ValueError(f"points must be 2 to {MAX_POINTS:,} (got {points})")
    fractions = [index / (points - 1) for index in range(1, points - 1)]
    if scale == "log":
        inner = [math.exp((1 - at) * math.log(low) + at * math.log(high)) for at in fractions]
    else:
        inner = [(1 - at) * low + at * high for at in fractions]
    values = (low, *(float(f"{value:.{_DIGITS}g}") for value in inner), high)
    whole = scale == "linear" and isinstance(low, int) and isinstance(high, int)
    if whole and all(float(value).is_integer() for value in values):
        return tuple(int(value) for value in values)
    return tuple(float(value) for value in values)


def around(rate: float) -> tuple[float, ...]:
    """Return the learning rates of `lr: auto`: half a decade apart, with `rate` in the middle."""
    exact = float(f"{rate:.2g}")  # as printed by find-lr; further digits are noise
    decades = [(index - AUTO_POINTS // 2) / 2 for index in range(AUTO_POINTS)]
    return tuple(float(f"{exact * 10**up:.{_DIGITS}g}") for up in decades)


def _flat(block: Mapping[str, Any], path: tuple[str, ...]) -> list[tuple[str, Any, tuple[str, ...]]]:
    """Return (dotted key, value, path) of each axis; `optimizer: {lr: […]}` becomes `optimizer.lr: […]`."""
    found = []
    for key, value in block.items():
        inner = (*path, key)
        if isinstance(value, Mapping) and not _looks_like_range(value) and "name" not in value:
            found += [(f"{key}.{rest}", v, place) for rest, v, place in _flat(value, inner)]
        else:
            found.append((key, value, inner))
    return found


def _looks_like_range(value: Mapping[str, Any]) -> bool:
    return any(get_close_matches(key, _RANGE, n=1, cutoff=0.7) for key in value) or not value


def _range_of(value: Mapping[str, Any]) -> dict[str, Any]:
    scales = [key for key in ("log", "linear") if key in value]
    unknown = [key for key in value if key not in _RANGE]
    if unknown or len(scales) != 1 or "points" not in value:
        raise ValueError(f"must be {{log: [1e-5, 1], points: 11}}, or linear instead of log (got {dict(value)!r:.80})")
    bounds, points = value[scales[0]], value["points"]
    if not isinstance(bounds, list) or len(bounds) != 2 or not all(_is_number(bound) for bound in bounds):
        raise ValueError(f"{scales[0]} must be two numbers, [from, to] (got {bounds!r:.60})")
    if not isinstance(points, int) or isinstance(points, bool):
        raise ValueError(f"points must be a whole number (got {points!r:.40})")
    return {"scale": scales[0], "low": bounds[0], "high": bounds[1], "points": points}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str) -> float:
    try:
        return float(text if text.isascii() else "")
    except ValueError:
        raise ValueError(f"a learning rate must be a number greater than 0 (got {text!r:.40})") from None


def _place(places: Mapping[tuple[str, ...], str], path: tuple[str, ...]) -> str:
    return next((places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in places), "")
