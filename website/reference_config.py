"""Every key of a config, from the models that check configs and the schema that editors get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reference_text import code, table

from lrbench.components import DatasetRules
from lrbench.config import CommandConfig, Experiment, schema
from lrbench.config.json_schema.values import described, schema_of
from lrbench.types import documented

_PARTS = {
    "dataset": "data-sets", "model": "models", "optimizer": "optimizers", "task": "tasks", "loss": "losses"
}  # fmt: skip
_HIDDEN = {"identity", "folder", "law"}  # only the resolved config of a run has them
_BLOCKS = schema()["$defs"]  # with the short forms of their values


def config() -> str:
    """Return the keys of configs that lrbench trains, then those of each block."""
    return _keys(Experiment, Experiment.blocks, {("dataset",): DatasetRules})


def command_config() -> str:
    """Return the keys of configs that start a command."""
    return _keys(CommandConfig, CommandConfig.blocks, {})


def _keys(model: Any, blocks: Mapping[tuple[str, ...], Any], more: Mapping[tuple[str, ...], Any]) -> str:
    whole = {**more, **blocks}
    text = _table(model, (), {path for path in whole if len(path) == 1})
    for path in sorted(whole):
        dotted = ".".join(path)
        kind = whole[path]
        about = "\n\n".join(documented(kind)[0])
        inner = {found for found in whole if found[:-1] == path}
        text += f"\n### `{dotted}:` {{: #{_anchor(path)} }}\n\n{about}\n\n{_table(kind, path, inner)}"
    return text


def _table(kind: Any, path: tuple[str, ...], blocks: set[tuple[str, ...]]) -> str:
    made = described(schema_of(kind, {}), kind)
    rows = []
    for key, field in _BLOCKS.get(kind.__name__, made)["properties"].items():
        if key in _HIDDEN:
            continue
        default = "required" if key in made.get("required", ()) else code(_plain(field.get("default")))
        values = _values(key, field, (*path, key) if (*path, key) in blocks else (), path)
        rows.append([code(key), values, default, field.get("description", "")])
    return table(["key", "value", "default", "meaning"], rows)


def _values(key: str, field: Mapping[str, Any], block: tuple[str, ...], path: tuple[str, ...]) -> str:
    if not path and key in _PARTS:
        also = " with [these keys](#keys-of-dataset) too" if key == "dataset" else ""
        return f"a [name](catalogue.md#{_PARTS[key]}), or a block{also}"
    if not path and key == "schedule":
        return "a [name](schedules.md#lrbenchs-schedules), or a block"
    if block:
        return f"a [block](#{_anchor(block)})"
    return _words(field)


def _words(field: Mapping[str, Any]) -> str:
    """Return what a JSON schema allows, in words."""
    if "anyOf" in field:
        kinds = [_words(one) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind))
    if "enum" in field:
        return ", ".join(code(value) for value in field["enum"])
    if "const" in field:
        return code(field["const"])
    if "epochs" in str(field.get("pattern", "")):
        return "duration"
    if isinstance(field.get("type"), list):
        return " or ".join(dict.fromkeys(_words({"type": kind}) for kind in field["type"] if kind != "null"))
    kind = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "string": "text",
            "array": "list", "object": "mapping"}.get(str(field.get("type", "")), "")  # fmt: skip
    return f"{kind}{_range(field)}"


def _range(field: Mapping[str, Any]) -> str:
    low = [f"≥ {field['minimum']:g}"] if "minimum" in field else []
    low += [f"> {field['exclusiveMinimum']:g}"] if "exclusiveMinimum" in field else []
    high = [f"≤ {field['maximum']:g}"] if "maximum" in field else []
    high += [f"< {field['exclusiveMaximum']:g}"] if field.get("exclusiveMaximum", 1e18) < 1e18 else []
    return f" {', '.join([*low, *high])}" if low or high else ""


def _anchor(path: tuple[str, ...]) -> str:
    return "keys-of-" + "-".join(path).replace("_", "-")


def _plain(value: object) -> str:
    if value is None or value == [] or value == {}:
        return ""
    if isinstance(value, Mapping):
        if "name" in value and not value.get("params"):
            return str(value["name"])
        return ", ".join(f"{key}: {_plain(inner)}" for key, inner in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)
