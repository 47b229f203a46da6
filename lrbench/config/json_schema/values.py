"""JSON schemas of types, as pydantic makes them, with the texts of docstrings instead of titles."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from lrbench.types import adapter, documented

Schema = dict[str, Any]

_ORDINARY = re.compile(r"(?:a|[a-z]{2,})(?=[ -])")
"""An ordinary word at the start; others are symbols, values and names of functions."""


class _Documented(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def dict_schema(self, schema: Any) -> Schema:
        found = super().dict_schema(schema)
        return {**found, "additionalProperties": False} if "patternProperties" in found else found

    def dataclass_schema(self, schema: Any) -> Schema:
        return described(super().dataclass_schema(schema), schema["cls"])

    def model_schema(self, schema: Any) -> Schema:
        return described(super().model_schema(schema), schema["cls"])


def described(schema: Schema, what: Any) -> Schema:
    """Return the schema of a class's mapping with the texts of its docstring."""
    paragraphs, _ = documented(what)
    bases = [one for one in reversed(what.__mro__) if one.__module__.startswith("lrbench.")]
    meanings = {key: text for base in bases for key, text in documented(base)[1].items()}
    properties = {
        key: {**_without_null(value), **({"description": sentence(meanings[key])} if key in meanings else {})}
        for key, value in schema.get("properties", {}).items()
    }
    whole = {key: value for key, value in schema.items() if key != "title"}
    return {**whole, "description": paragraphs[0], "properties": properties}


def schema_of(kind: Any, into: Schema) -> Schema:
    """Return the schema of a type; those of the classes in it are added to the definitions `into`."""
    schema = adapter(kind).json_schema(schema_generator=_Documented)
    into |= schema.pop("$defs", {})
    return schema


def setting_schema(parameter: inspect.Parameter, meaning: str, into: Schema) -> Schema:
    """Return the schema of a factory's parameter, with its default and its meaning."""
    kind = Any if parameter.annotation is parameter.empty else parameter.annotation
    schema = schema_of(kind, into)
    if parameter.default is not parameter.empty and parameter.default is not None:
        schema["default"] = adapter(kind).dump_python(parameter.default, mode="json")
    return {**schema, "description": sentence(meaning)} if meaning else schema


def either(*schemas: Mapping[str, Any]) -> Schema:
    """Return the schema of what fits any of these."""
    return {"anyOf": [dict(one) for one in schemas]}


def definition(name: str) -> Schema:
    """Return a reference to a definition."""
    return {"$ref": f"#/$defs/{name}"}


def _without_null(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "default" or value is not None}


def sentence(text: str) -> str:
    """Return a docstring's meaning of a parameter as a sentence; symbols and values keep their case.

    >>> sentence("multiplies lr."), sentence("γ, below 1."), sentence("n, steps."), sentence("linear, cosine or sqrt.")
    ('Multiplies lr.', 'γ, below 1.', 'n, steps.', 'linear, cosine or sqrt.')
    """
    return f"{text[0].upper()}{text[1:]}" if _ORDINARY.match(text) else text
