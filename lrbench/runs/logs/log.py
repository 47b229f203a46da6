"""The rows of a log, and what of the file is no number: texts, and lines and values that were left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lrbench.errors import FolderError, counted
from lrbench.types import number_of

MOST_ROWS, MOST_NUMBERS = 5_000_000, 50_000_000
_LONGEST_SHOWN = 40  # characters of a text


class Log(list[dict[str, float]]):
    """Rows, in order, of the numbers that a program logged, by its own names.

    Attributes:
        texts: columns without any number, each with an example of what they have.
        faults: what of the file was left out or does not fit, in words.
    """

    def __init__(self, rows: Iterable[dict[str, float]] = ()) -> None:
        super().__init__(rows)
        self.texts: dict[str, str] = {}
        self.faults: list[str] = []


class Odd:
    """Lines that don't fit, by their numbers."""

    def __init__(self, singular: str, plural: str, unit: str = "line") -> None:
        self.singular, self.plural, self.unit, self.count, self.first = singular, plural, unit, 0, 0

    def at(self, number: int) -> None:
        """Count a line."""
        self.first = self.first or number
        self.count += 1

    @property
    def told(self) -> list[str]:
        """Return `2 lines are no JSON objects, the first is line 7`; nothing without such lines."""
        if not self.count:
            return []
        if self.count == 1:
            return [f"{self.unit} {self.first} {self.singular}"]
        return [f"{counted(self.count, self.unit)} {self.plural}, the first is {self.unit} {self.first}"]


class Values:
    """The values of a log: numbers, and what else its columns have.

    Args:
        unit: what rows are counted in.
    """

    def __init__(self, unit: str = "line") -> None:
        self.unit = unit
        self.numeric: set[str] = set()
        self.others: dict[str, tuple[int, int, object]] = {}
        """The number of values of a column that are none, where the first is, and that one."""

    def numbers(self, row: Mapping[Any, Any], at: int) -> dict[str, float]:
        """Return the values of a row that are numbers, and remember the others but for empty ones."""
        found: dict[str, float] = {}
        for key, value in row.items():
            name, number = str(key), read_number(value)
            if number is not None:
                found[name] = number
            elif value is not None and (not isinstance(value, str) or value.strip()):
                count, first, example = self.others.get(name, (0, at, value))
                self.others[name] = count + 1, first, example
        self.numeric.update(found)
        return found

    @property
    def texts(self) -> dict[str, str]:
        """Return the columns without any number that have texts, each with an example."""
        return {
            name: value.strip()
            for name, (_, _, value) in self.others.items()
            if name and name not in self.numeric and isinstance(value, str)
        }

    @property
    def told(self) -> list[str]:
        """Say which values of columns with numbers were left out; empty if none was."""
        lost = {name: told for name, told in self.others.items() if name in self.numeric}
        if not lost:
            return []
        name, (_, at, value) = min(lost.items(), key=lambda one: one[1][1])
        count = sum(count for count, _, _ in lost.values())
        example = f"{value!r:.{_LONGEST_SHOWN}} for {name} in {self.unit} {at}"
        if count == 1:
            return [f"1 value is not a number: {example}"]
        return [f"{count:,} values are not numbers, the first is {example}"]


def read_number(value: object) -> float | None:
    """Return a number, or text that is one, as a float; None for anything else."""
    if not isinstance(value, str):
        return number_of(value)
    try:
        return float(value)
    except ValueError:
        return None


def numbers_in(values: Mapping[Any, Any]) -> dict[str, float]:
    """Return the values that are numbers."""
    return {str(name): found for name, value in values.items() if (found := read_number(value)) is not None}


def kept(rows: Iterable[dict[str, float]]) -> Log:
    """Return the rows that have numbers. Raises FolderError if they are too many."""
    found, numbers = Log(), 0
    for row in rows:
        if row:
            found.append(row)
            numbers += len(row)
        if len(found) > MOST_ROWS or numbers > MOST_NUMBERS:
            raise FolderError(f"a log has more than {MOST_ROWS:,} rows or {MOST_NUMBERS:,} numbers")
    return found
