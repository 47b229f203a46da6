"""Where another program leaves its metrics, and what its columns are called here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema, model_validator

SOURCES = ("csv", "jsonl", "tensorboard", "trainer_state", "stdout")
"""Where a program leaves its metrics, if it does not record them itself."""
_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "trainer_state"}
OUR_COLUMN = re.compile(r"step|epoch|seconds|lr(_\w+)?|(train|val|test)_\w+")
"""The names that another program's columns can have here."""
TEXT = {"type": "string", "minLength": 1}
TEXTS = {"anyOf": [TEXT, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
"""JSON schemas of a text that is not empty, and of one or several."""


def _source(value: object) -> object:
    """Write out `read: logs/metrics.csv` as `{csv: logs/metrics.csv}`. Raises ValueError."""
    found = value
    if isinstance(value, str):
        usual = "" if Path(value).suffix else "tensorboard"
        found = {_SUFFIXES.get(Path(value).suffix.lower(), usual): value}
    if not isinstance(found, Mapping) or len(found) != 1 or next(iter(found)) not in SOURCES:
        problem = f"must be a .csv, .tsv, .jsonl or .json file, or one of {', '.join(f'{{{s}: …}}' for s in SOURCES)}"
        raise ValueError(f"{problem} (got {value!r:.80})")
    patterns = found.get("stdout")
    if isinstance(patterns, list) and patterns and all(isinstance(one, str) and one.strip() for one in patterns):
        return {"stdout": "\n".join(patterns)}
    return found


_SOURCE = {
    "type": "object",
    "properties": {**dict.fromkeys(SOURCES, TEXT), "stdout": TEXTS},
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}
Source = Annotated[
    dict[str, Annotated[str, Field(min_length=1)]],
    BeforeValidator(_source),
    WithJsonSchema({"anyOf": [TEXT, _SOURCE]}),
]
"""Where a program leaves its metrics, `{csv: logs/metrics.csv}`; of a file with a usual suffix, its path alone."""


class Column(BaseModel, frozen=True, extra="forbid"):
    """Where a metric is: the column (or tag, or key) of the program's log; and which direction is better.

    Attributes:
        column: the column, tag or key in the program's log.
        better: `lower` or `higher`; by default that of lrbench's metric of this name, else lower.
        form: `number`, or `percent` for a fraction.
    """

    column: Annotated[str, Field(min_length=1)] | None = None
    better: Annotated[str, WithJsonSchema({"enum": ["lower", "higher"]})] | None = None
    form: Annotated[str, WithJsonSchema({"enum": ["number", "percent"]})] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _known(self) -> Column:
        for name, known in (("better", ("lower", "higher")), ("form", ("number", "percent"))):
            if (given := getattr(self, name)) is not None and given not in known:
                raise ValueError(f"{name} must be {' or '.join(known)} (got {given!r:.40})")
        return self
