"""Overrides, `key=value` as after `--set`: one value of a config, or several, which are an axis of a sweep."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from lrbench.config import yaml_source
from lrbench.config.merge import PARTS, merge, normal
from lrbench.config.old_keys import modern_key
from lrbench.errors import ConfigError, option, shortened

_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
RANGE = re.compile(rf"{_NUMBER}(:{_NUMBER})+")
"""Numbers with colons between them, meant as from:to:points."""
_TEXTS = ("name", "reference", "extends", "folder", "command", "device", "timeout", "stall", "memory")
"""Keys that no sweep varies, or whose text may well have commas."""


def override(text: str) -> tuple[dict[str, Any], yaml_source.Places]:
    """Return what a config file would write for `key=value`, and its place. Raises ConfigError."""
    key, value_text = _split(text)
    path = tuple(key.split("."))
    if path[0] == "extends":
        raise ConfigError("can't be set; run the other config instead", key="extends", where=option("--set"))
    if path[0] != "sweep" and _are_several(key, value_text):
        problem = f"must be one value; `lrbench sweep` trains several (got {value_text.strip()!r:.60}"
        raise ConfigError(f"{problem}; for a text, put it in quotes)", key=key, where=option("--set"))
    value, _ = yaml_source.parse(value_text, f"{option('--set')} {key}")
    for piece in reversed(path):
        value = {piece: value}
    return normal(value), {path: option("--set")}


def check_once(overrides: Iterable[str]) -> None:
    """Check that no key is given two values. Raises ConfigError."""
    seen: dict[str, str] = {}
    for text in overrides:
        key, value = (piece.strip() for piece in _split(text))
        if seen.setdefault(key, value) != value:
            problem = f"is given twice, as {shortened(seen[key], 60)} and as {shortened(value, 60)}; give it once"
            raise ConfigError(problem, key=key, where=option("--set"))


def overriding(overrides: Iterable[str]) -> dict[str, Any]:
    """Return overrides as a config file would write them. Raises ConfigError."""
    whole: dict[str, Any] = {}
    overrides = list(overrides)
    check_once(overrides)
    for text in overrides:
        whole = merge(whole, override(text)[0])
    return whole


def as_axes(overrides: Iterable[str]) -> list[str]:
    """Return overrides with those that have several values as axes of the `sweep:` block. Raises ConfigError.

    >>> as_axes(["batch_size=16,32", "epochs=3", "model.hidden=[64, 64]"])
    ['sweep.batch_size=[16,32]', 'epochs=3', 'model.hidden=[64, 64]']
    """
    return [_as_axis(text) for text in overrides]


def _as_axis(text: str) -> str:
    key, value_text = _split(text)
    if key == "name" and "," in value_text and value_text.strip()[:1] not in ("'", '"'):
        problem = f"is what the runs are called, so it has one value (got {value_text.strip()!r:.60}; for a name with a"
        raise ConfigError(f"{problem} comma, put it in quotes)", key=key, where=option("--set"))
    axis = key if key.startswith("sweep.") else f"sweep.{key}"
    if len(_values(key, value_text)) > 1:
        return f"{axis}=[{value_text.strip()}]"
    return f"{axis}={value_text.strip()}" if _is_range(key, value_text) else text


def _split(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise ConfigError(f"must be key=value, such as optimizer.lr=0.01 (got {text!r:.80})", where=option("--set"))
    return modern_key(key.strip()), value


def _values(key: str, text: str) -> Sequence[Any]:
    """Return the values that commas separate, those in brackets and quotes aside; one if the key holds a text."""
    if "," not in text or key.partition(".")[0] in _TEXTS:
        return [text]
    try:
        found, _ = yaml_source.parse(f"[{text.strip()}]", option("--set"))
    except ConfigError:  # not a list, so YAML of another kind, or a mistake that is told when it is read
        return [text]
    return found if isinstance(found, list) else [text]


def _is_range(key: str, text: str) -> bool:
    return key.partition(".")[0] not in _TEXTS and RANGE.fullmatch(text.strip()) is not None


def _are_several(key: str, text: str) -> bool:
    """Return whether a text must mean several values: numbers, or names of a part; other text may be one value."""
    values = _values(key, text)
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
    return _is_range(key, text) or (len(values) > 1 and (numbers or key in PARTS))
