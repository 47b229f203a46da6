"""Types of config values: parts, durations and strict numbers; how values are checked."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails

from lrbench.errors import ConfigError, counted, nearest

if TYPE_CHECKING:
    pass

# Strict: strings and booleans are not numbers; an integer is accepted as a float.
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]
PositiveFraction = Annotated[float, Field(gt=0, le=1, strict=True)]
ProperFraction = Annotated[float, Field(gt=0, lt=1, strict=True)]
Probability = Annotated[float, Field(ge=0, lt=1, strict=True)]


def whole(value: Any) -> Any:
    """Return a float such as 3.0 or 1e2 as an integer; anything else is unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, Field(ge=1, lt=2**63, strict=True), BeforeValidator(whole)]
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63, strict=True), BeforeValidator(whole)]
Natural = Annotated[int, Field(ge=0, lt=2**63, strict=True), BeforeValidator(whole)]


_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def _bytes(value: object) -> int | Literal["auto"]:
    """Parse a size of memory: `2GB` is 2 × 10⁹ bytes, `2GiB` 2 × 2³⁰. Raises ValueError."""
    if value == "auto":
        return "auto"
    text = str(value).strip().lower() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?i?b|)", text)
    if not match or match[2] not in _UNITS or float(match[1]) * _UNITS[match[2]] >= 2**63:
        raise ValueError(f"must be a size such as 2GB or 500MB, 0 or auto (got {value!r:.60})")
    return int(float(match[1]) * _UNITS[match[2]])


_AMOUNT = {"type": ["number", "string"], "minimum": 0, "pattern": r"^\s*(auto|[0-9.]+\s*[kKmMgGtT]?[iI]?[bB]?)\s*$"}
Size = Annotated[int | Literal["auto"], PlainValidator(_bytes), WithJsonSchema(_AMOUNT)]
"""Bytes of memory, or `auto`."""


_LEAST_MEMORY, _MOST_MEMORY = 1_000_000, 10**15


def _memory(value: object) -> int:
    """Parse the memory of a process. Raises ValueError, also for less than any process has: its unit was forgotten."""
    size: int | str | float
    try:
        size = _bytes(value)
    except ValueError:
        size = math.nan
    if isinstance(size, int) and _LEAST_MEMORY <= size <= _MOST_MEMORY:
        return size
    hint = "; a number alone is bytes"
    if not isinstance(size, int) or not 0 < size < _LEAST_MEMORY:
        text = str(value).strip().lower()
        hint = _beyond(text, math.nan if isinstance(size, str) else size, f"{_MOST_MEMORY // 10**12:,}TB")
    raise ValueError(f"must be a size of memory such as 8GB or 500MB (got {value!r:.60}){hint}")


Memory = Annotated[
    int,
    PlainValidator(_memory),
    WithJsonSchema({
        "type": ["number", "string"], "minimum": _LEAST_MEMORY, "pattern": r"^\s*[0-9.]+\s*[kKmMgGtT]?[iI]?[bB]?\s*$",
        "examples": ["8GB", "500MB"],
    }),
]  # fmt: skip
"""Bytes of memory, written as `8GB` or a number."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = 3650 * 86_400
_NO_LIMIT = ("inf", "infinity", ".inf", "none", "never", "no", "off", "unlimited", "false")
_TIME = r"([0-9]+(?:\.[0-9]+)?)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|)"


def _seconds(value: object) -> float:
    """Parse `2h`, `90 min` or seconds. Raises ValueError."""
    text = str(value).strip().lower() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    found = re.fullmatch(_TIME, text)
    seconds = float(found[1]) * _SECONDS[found[2][:1] or "s"] if found else math.nan
    if 0 < seconds <= _LONGEST:
        return seconds
    hint = "; 1:30 is written as 1.5h or as 90 s" if ":" in text else _beyond(text, seconds, "3,650 days")
    raise ValueError(f"must be a time such as 2h, 90 min or 3600 (seconds) (got {value!r:.40}){hint}")


def _beyond(text: str, amount: float, most: str) -> str:
    """Return what is right instead of a limit that is none, zero or negative, or larger than `most`."""
    if amount == 0 or text.startswith("-") or text in _NO_LIMIT:
        return "; leave it out for no limit"
    return f"; the most is {most}" if amount > 0 else ""


Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema({"type": ["number", "string"], "exclusiveMinimum": 0, "pattern": rf"^\s*{_TIME}\s*$"}),
]
"""Seconds of wall time, written as `2h`, `90 min` or a number."""


@dataclass(frozen=True)
class Part:
    """A named part of a config: `{name: step, factor: 0.5}` or the bare name."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, value: object) -> Part:
        """Parse a config value. Raises ValueError."""
        if isinstance(value, Part):
            return value
        block = {"name": value} if isinstance(value, str) else value
        if not isinstance(block, Mapping):
            raise ValueError(f"must be a name or a mapping {{name: …, parameters…}} (got {value!r:.60})")
        if "name" not in block:
            raise ValueError("has no `name`; write {name: …, parameters…}, or the name alone")
        name = block["name"]
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"`name` must be text (got {name!r:.60})")
        return cls(name, {str(key): param for key, param in block.items() if key != "name"})

    @property
    def imported(self) -> bool:
        """True if the name is an import string such as `mypkg.nets:build`."""
        return ":" in self.name

    def plain(self) -> dict[str, Any]:
        """Return the mapping that a config would contain."""
        return {"name": self.name, **self.params}


_DURATION = r"((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)\s*(epochs?|steps?|%|)"


@dataclass(frozen=True)
class Duration:
    """A length of training: `15 epochs`, `300 steps` or `10%` (of the run)."""

    amount: float
    unit: Literal["epochs", "steps", "percent"]

    def __str__(self) -> str:
        amount = repr(self.amount).removesuffix(".0")  # exact, so that it reads back as the same length
        return f"{amount}%" if self.unit == "percent" else f"{amount} {self.unit}"

    def told(self, steps: int) -> str:
        """`5 epochs, 150 steps`; only the steps if that is its unit."""
        told = counted(steps, "step")
        return told if self.unit == "steps" else f"{self}, {told}"

    def steps(self, *, total_steps: int, steps_per_epoch: int) -> int:
        """Return the length in steps, rounded; at least 1 unless the length is 0."""
        exact = self.exact(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        return max(int(exact + 0.5), 1 if self.amount > 0 else 0)

    def exact(self, *, total_steps: int, steps_per_epoch: int) -> float:
        """Return the length in steps, not rounded, for comparing two durations."""
        return self.amount * {"epochs": steps_per_epoch, "steps": 1, "percent": total_steps / 100}[self.unit]

    @classmethod
    def parse(cls, value: object, bare: Literal["epochs", "steps"]) -> Duration:
        """Parse `value`; a bare number has the unit `bare`. Raises ValueError."""
        if isinstance(value, Duration):
            return value
        text = str(value).strip() if isinstance(value, str | int | float) and value is not True else ""
        match = re.fullmatch(_DURATION, text)
        if not match or float(match[1]) >= 1e12:
            raise ValueError(f"must be a duration such as '15 epochs', '300 steps' or '10%' (got {value!r})")
        units: dict[str, Literal["epochs", "steps", "percent"]]
        units = {"e": "epochs", "s": "steps", "%": "percent", "": bare}
        return cls(float(match[1]), units[match[2][:1]])


_as_text = PlainSerializer(str, return_type=str)


def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return pydantic's adapter for a type, cached because building one takes a millisecond."""
    try:
        return _cached_adapter(kind)
    except TypeError:  # unhashable type
        return TypeAdapter(kind)


_cached_adapter = functools.cache(TypeAdapter)


def _metric_name(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"val_\w+", value):
        return value
    near = nearest(value, ("val_loss", "val_accuracy"))
    problem = "must be val_loss, or val_ and a metric's name, such as val_accuracy"
    raise ValueError(f"{problem}{near and f'; {near.strip()}'} (got {value!r:.60})")


_ANY_LETTER = r"\w\u0080-\uffff"  # `\w` alone is ASCII in editors
MetricName = Annotated[
    str, PlainValidator(_metric_name), WithJsonSchema({"type": "string", "pattern": f"^val_[{_ANY_LETTER}]+$"})
]
"""The name of a validation metric; whether the task has it is checked once the data is loaded."""

_LENGTH = WithJsonSchema({
    "type": ["number", "string"], "minimum": 0, "exclusiveMaximum": 1e12, "pattern": rf"^\s*{_DURATION}\s*$",
    "examples": ["15 epochs", "300 steps", "10%"],
})  # fmt: skip
Epochs = Annotated[Duration, PlainValidator(lambda v: Duration.parse(v, "epochs")), _LENGTH, _as_text]
Steps = Annotated[Duration, PlainValidator(lambda v: Duration.parse(v, "steps")), _LENGTH, _as_text]


def part_of(value: object, key: str) -> Part:
    """Parse a config value. Raises ConfigError, naming the key."""
    try:
        return Part.of(value)
    except ValueError as error:
        raise ConfigError(str(error), key=key) from None


def block_of(kind: type, given: Mapping[str, Any], key: str) -> Any:
    """Parse a config's block, such as `warmup:`, into its dataclass. Raises ConfigError, naming the key."""
    if not isinstance(given, Mapping):
        raise ConfigError(f"must be a mapping of keys to values (got {given!r:.60})", key=key)
    try:
        return adapter(kind).validate_python(dict(given))
    except ValidationError as error:
        where = ".".join((key, *map(str, first_of(error)["loc"])))
        known = ", ".join(adapter(kind).json_schema()["properties"])
        raise ConfigError(f"{problem_of(error)} (known: {known})", key=where) from None


def first_of(error: ValidationError) -> ErrorDetails:
    """Return the first problem of a pydantic error; missing keys come last, as they may only be misspelled."""
    return min(error.errors(include_url=False), key=lambda details: details["type"] == "missing")


def problem_of(error: ValidationError) -> str:
    """Describe the first problem of a pydantic error and the value that caused it, to follow a key in a sentence."""
    first = first_of(error)
    text = first["msg"].removeprefix("Value error, ")
    text = text.replace("Input should", "must").replace("must be a valid boolean", "must be true or false")
    text = text.replace("must be a valid integer", "must be a whole number").replace("must be a valid", "must be a")
    text = re.sub(r"must be an? (dictionary|object).*", "must be a mapping of keys to values", text)
    text = text.replace("must be a array", "must be a list").replace("must be a tuple", "must be a list")
    text = text.replace("must be a string", "must be text")
    text = text.replace("Tuple should have", "must have").replace("List should have", "must have")
    text = text.replace(" after validation", "").replace("Field required", "is missing")
    text = text.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")
    inside = ".".join(str(piece) for piece in first["loc"] if isinstance(piece, int))
    shown = "" if "got " in text else f" (got {first['input']!r:.80})"
    return f"{'item ' + inside + ' ' if inside else ''}{text}{shown}"


def checked(value: Any, kind: TypeAdapter[Any], key: str) -> Any:
    """Return a config's value as one of the adapter's type. Raises ConfigError, naming the key."""
    # Pydantic's strict JSON mode suits configs: it accepts lists as tuples and integers as floats, but neither
    # strings nor booleans as numbers.
    try:
        text = json.dumps(value, default=str)
        return kind.validate_json(text, strict=True)
    except ValidationError as error:
        raise ConfigError(problem_of(error), key=key) from None


def number_of(value: object) -> float | None:
    """Return a value as a number; None if it is none, or has hundreds of digits."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return None
