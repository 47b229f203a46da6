"""The schema of a `sweep:` block: an axis for any key of the config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lrbench.config.json_schema.parts import Kind
from lrbench.config.json_schema.values import Schema, definition, either
from lrbench.config.sweep_block import MAX_POINTS, NOT_VARIED, SHORT_AXES

_NUMBER = r"\s*[0-9.]+([eE][+-]?[0-9]+)?\s*"
_RATES = rf"^(auto|{_NUMBER}:{_NUMBER}:\d+|{_NUMBER}(,{_NUMBER})*)$"
_POINTS = {
    "type": "integer",
    "minimum": 2,
    "maximum": MAX_POINTS,
    "description": "How many values, the bounds included.",
}
_NOT_NAMED = {"not": {"required": ["name"]}}


def _range(description: str, scale: str, **bound: object) -> Schema:
    bounds = {"type": "array", "items": {"type": "number", **bound}, "minItems": 2, "maxItems": 2}
    return {
        "type": "object",
        "description": description,
        "properties": {scale: bounds, "points": _POINTS},
        "required": [scale, "points"],
        "additionalProperties": False,
    }


_LOG = _range("Values evenly spaced on a log scale.", "log", exclusiveMinimum=0)
_LINEAR = _range("Values evenly spaced on a linear scale.", "linear")
_RATE = {"type": "number", "exclusiveMinimum": 0}
_SEED = {"type": "integer", "minimum": 0}
_SCALAR = {"type": ["number", "string", "boolean"]}
_NULL = {"type": "null"}

AXES: Mapping[str, Schema] = {
    "axis": {
        "description": "The values of a key: a list, a range {log: [1e-5, 1], points: 11}, or null to drop the axis.",
        **either(
            _SCALAR, {"type": "array", "minItems": 1}, _LOG, _LINEAR, _NULL, {"type": "object", "required": ["name"]},
            {"type": "object", "propertyNames": {"not": {"enum": ["log", "linear", "points"]}}, "minProperties": 1,
             "additionalProperties": definition("axis"), **_NOT_NAMED},
        ),
    },
    "axis.lr": {
        "description": "The peak learning rates: {log: [1e-5, 1], points: 11} or 1e-5:1:11, a list, or auto, which "
        "takes the suggestion of a range test as the middle.",
        **either(
            _RATE, {"type": "string", "pattern": _RATES, "examples": ["auto", "1e-5:1:11"]},
            {"type": "array", "items": _RATE, "minItems": 1}, _LOG, _LINEAR, _NULL,
        ),
    },
    "axis.seed": {
        "description": "How many seeds, or a list of them.",
        **either(
            {"type": "integer", "minimum": 1, "maximum": MAX_POINTS}, {"type": "array", "items": _SEED, "minItems": 1},
            _LINEAR, _NULL,
        ),
    },
}  # fmt: skip
"""The definitions of axes."""


def sweep_of_training(fields: Iterable[str], parts: Iterable[str]) -> Schema:
    """Return the schema of the block in a config of lrbench's own training.

    Args:
        fields: the config's keys.
        parts: those of its parts.
    """
    varied = [key for key in fields if key not in NOT_VARIED]
    axes = {key: _of_part(key) if key in parts else _of_value(key) for key in varied}
    known = {key: _short(full) for key, full in SHORT_AXES.items()}
    dotted = {rf"^{key}\.": definition("axis") for key in varied}
    return _block({**axes, **known, "seed": definition("axis.seed"), "optimizer.lr": definition("axis.lr")}, dotted)


def sweep_of_command() -> Schema:
    """Return the schema of the block in the config of a command, any key of which may be a parameter."""
    fixed = dict.fromkeys(NOT_VARIED, False)
    known = {key: _short(full) for key, full in SHORT_AXES.items()}
    return {
        **_block({**known, "seed": definition("axis.seed"), **fixed}, {}),
        "additionalProperties": definition("axis"),
    }


def _short(full: str) -> Schema:
    return definition("axis.seed" if full == "seed" else "axis.lr")


def _block(properties: Schema, dotted: Schema) -> Schema:
    return {
        "description": "The grid of runs that `lrbench sweep` trains: values of any key, all combinations of them.",
        "type": ["object", "null"],
        "properties": properties,
        "patternProperties": dotted,
        "additionalProperties": False,
    }


def _of_value(key: str) -> Schema:
    schema = definition(f"training/properties/{key}")
    listed = {"type": "array", "items": schema, "minItems": 1}
    nested = {"type": "object", "minProperties": 1, "additionalProperties": definition("axis"), **_NOT_NAMED}
    return either(schema, listed, _LOG, _LINEAR, nested, _NULL)


def _of_part(key: str) -> Schema:
    """A part, or several; or axes of the config's own part."""
    inner = {"type": "object", "properties": {"lr": definition("axis.lr")} if key == "optimizer" else {}}
    nested = {**inner, "minProperties": 1, "additionalProperties": definition("axis"), **_NOT_NAMED}
    part = definition(f"sweep.{key}")
    return either(part, {"type": "array", "items": part, "minItems": 1}, nested, _NULL)


def swept_part(kind: Kind) -> Schema:
    """Return the schema of a part in a sweep, which may have axes of its own."""
    own: dict[str, Schema] = {"sweep": {"type": "object", "additionalProperties": definition("axis")}}
    if kind.key in ("optimizer", "schedule"):
        own["lr"] = definition("axis.lr")
    return either(definition(f"{kind.key}.name"), {**kind.block(own), "required": ["name"]})
