"""Filters that select the runs of a report."""

from __future__ import annotations

import contextlib
import difflib
import fnmatch
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lrbench.analysis.labels import value_text
from lrbench.analysis.records import Record
from lrbench.config import flat, short_axes
from lrbench.errors import ConfigError, UsageError, nearest, option


def kept(
    records: Sequence[Record],
    filters: Sequence[str],
    labels: Mapping[Path, Sequence[str]] | None = None,
    *,
    named: bool = True,
) -> list[Record]:
    """Return the runs that match all filters.

    Args:
        records: all runs.
        filters: a pattern of names or labels (`base*`, `base lr=0.1*`), or a config's `key=value`
            (`schedule.name=cosine`, `epochs=25`; for short `schedule=cosine`, `lr=0.1`, and any parameter of another
            program by its name) or `key!=value`; numbers also take `>=`, `<=`, `>`, `<` (`optimizer.lr<=0.01`).
            `a|b` matches what matches a or b.
        labels: the labels of each run in the report, by its folder.
        named: whether errors call it a filter; what else takes the same texts does not.

    Raises:
        UsageError: a filter or one of its alternatives matches no run, or names a key that no run has.
    """
    known: dict[Path, tuple[str, ...]] = {record.folder.path: (record.name, record.folder.name) for record in records}
    for path, more in (labels or {}).items():
        known[path] = (*known[path], *more)
    for number, text in enumerate(filters):
        for one in text.split("|"):
            _check(one.strip(), f"{option('--filter')} {text}" if named else text)
            if not any(fits(record.plain, known[record.folder.path], one) for record in records):
                before = " that matches the filters before it" if number else ""
                called = f"{option('--filter')} {text}" if named else text
                raise UsageError(f"{called}: {_why(records, one.strip(), before)}")
        records = [record for record in records if fits(record.plain, known[record.folder.path], text)]
    return list(records)


def check_filters(filters: Iterable[str]) -> None:
    """Raise UsageError for a filter that can match no run at all."""
    for text in filters:
        for one in text.split("|"):
            _check(one.strip(), f"{option('--filter')} {text}")


_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


def _split(text: str) -> tuple[str, str, str] | None:
    """Split into key, sign and value; None for a pattern of names."""
    found = re.fullmatch(r"([^=<>!]*)(!=|>=|<=|==?|>|<)(.*)", text, flags=re.DOTALL)
    return None if found is None else (found[1].strip(), found[2].replace("==", "="), found[3].strip())


def _check(text: str, called: str) -> None:
    """Raise UsageError for a filter, or one of its alternatives, that can match nothing."""
    if not text:
        what = "has nothing on one side of |" if "|" in called else "is empty"
        raise UsageError(f"{called.strip()}: {what}; write a name, a pattern such as base*, or key=value")
    parts = _split(text)
    if parts is None:
        return
    key, sign, value = parts
    if not key or re.match(r"[=<>!]", value):
        raise UsageError(f"{called}: must be key=value, or with !=, >=, <=, > or < between them, such as lr<=0.01")
    if sign in _SIGNS and _number(value) is None:
        raise UsageError(f"{called}: {sign} needs a number after it (got {value!r:.40})")


def fits(plain: Mapping[str, Any], names: Sequence[str], text: str) -> bool:
    """Whether a config or one of the run's names matches a filter."""
    return any(_fits(plain, names, one.strip()) for one in text.split("|"))


def _fits(plain: Mapping[str, Any], names: Sequence[str], text: str) -> bool:
    if any(fnmatch.fnmatchcase(name, text) for name in names) or spelled(plain, text):
        return True
    parts = _split(text)
    if parts is None:
        return False
    key, sign, value = parts
    found = _found(plain, key)
    if found is _NOTHING:
        return False
    if sign in _SIGNS:
        numbers = _number(found), _number(value)
        return None not in numbers and _SIGNS[sign](*numbers)  # type: ignore[arg-type]
    return _same(found, value) == (sign == "=")


def spelled(plain: Mapping[str, Any], text: str) -> bool:
    """Whether a text is a config's name and keys with their values, in any order, rounded to the digits given.

    So a label finds its group also as it was written with other digits, or with other keys beside other runs.
    """
    head, *pairs = re.split(r" (?=[^\s=]+=)", text)
    if not pairs or head != plain.get("name"):
        return False
    values = flat(plain)
    for key, _, value in (pair.partition("=") for pair in pairs):
        found = _found(plain, key)
        if found is _NOTHING:
            ends = [one for name, one in values.items() if name.endswith((f".{key}", f".{key}.name", f".{key}.for"))]
            found = ends[0] if len(ends) == 1 else None
        if not (_same(found, value) or value in (value_text(found), value_text(found, 3)) or _rounded(found, value)):
            return False
    return True


def _rounded(found: Any, value: str) -> bool:
    digits = re.fullmatch(r"-?([\d.]+)(e[-+]?\d+)?", value)
    number = None if digits is None else _number(found)
    if digits is None or number is None or _number(value) is None:
        return False
    significant = max(len(digits[1].replace(".", "").lstrip("0")), 1)
    return significant > 2 and float(f"{number:.{significant}g}") == float(value)


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


_NOTHING = object()


def _found(plain: Mapping[str, Any], key: str) -> Any:
    values = flat(plain)
    full = f"{key}.name"
    with contextlib.suppress(ConfigError):  # of a run whose config is damaged
        full = short_axes(plain).get(key, full)
    names = (key, full, f"params.{key}", f"params.{key}.name")
    return next((values[name] for name in names if name in values), _NOTHING)


def _same(found: Any, value: str) -> bool:
    """Whether a config's value equals the typed one, as numbers if possible."""
    try:
        return float(found) == float(value)
    except (TypeError, ValueError):
        with contextlib.suppress(yaml.YAMLError):
            value = yaml.safe_load(value) if found != value else value
        return bool(found == value)


def _why(records: Sequence[Record], text: str, before: str) -> str:
    parts = _split(text)
    if parts is None:
        names = sorted({record.name for record in records})
        if not names:
            return f"there are no runs{before} to choose from"
        meant = nearest(text, names)
        return f"no run{before} has this name; {meant}{'Known' if meant else 'known'}: {_listed(names)}"
    key = parts[0]
    values = {str(found) for record in records if (found := _found(record.plain, key)) is not _NOTHING}
    if not values:
        keys = sorted({name for record in records for name in flat(record.plain)})
        near = difflib.get_close_matches(key, keys, n=3, cutoff=0.4)
        hint = f"did you mean {_listed(near)}?" if near else f"known: {_listed(keys)}"
        return f"no run's config has the key '{key}'; {hint}"
    return f"no run{before} matches; '{key}' is {_listed(sorted(values))}"


def _listed(values: Sequence[str]) -> str:
    return ", ".join(values[:12]) + (f" and {len(values) - 12} more" if len(values) > 12 else "")
