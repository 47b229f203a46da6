"""Words and numbers in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from lrbench.analysis import Difference, Row, rate_text
from lrbench.components import Measure

NAMED = 3
"""Names in a list of many, before the number of the others."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
FEW = 3
"""With fewer seeds, an interval says little."""
MANY_TIMES = 10
"""Ratios above it are told without digits that nobody needs."""


def number_word(count: int) -> str:
    """`two`; `12`, from eleven on in digits.

    >>> number_word(2), number_word(12)
    ('two', '12')
    """
    return _NUMBERS[count] if 0 <= count < len(_NUMBERS) else f"{count:,}"


def counted(count: int, noun: str) -> str:
    """`two seeds`, `one seed`."""
    return f"{number_word(count)} {noun}{'s' * (count != 1)}"


def joined(names: Sequence[str], last: str = "and") -> str:
    """List all names: `a, b and c`.

    >>> joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    *others, final = names
    return f"{', '.join(others)} {last} {final}" if others else final


def listed(names: Sequence[str], most: int = NAMED, noun: str = "other") -> str:
    """List the first of many names: `a, b, c and two others`."""
    rest = len(names) - most
    return joined(names) if rest < 2 else joined([*names[:most], counted(rest, noun)])


def capital(text: str) -> str:
    """Return a sentence with a capital."""
    return text[:1].upper() + text[1:]


def value(measure: Measure, number: float) -> str:
    """`0.1795`, `98.43%`."""
    return measure.text(number).replace(" %", "%")


def brief(measure: Measure, number: float) -> str:
    """`0.18`, `98.4%`: with fewer digits, for the ends of an interval."""
    return f"{measure.short(number)}{'%' * (measure.form == 'percent')}"


def sureness(row: Row, measure: Measure) -> str:
    """`one seed`, `two seeds`, `95% interval 0.034 to 0.11, three seeds`: the interval of two tells nothing."""
    found = row.estimate
    seeds = counted(row.n, "seed")
    if found is None or found.low is None or found.high is None or row.n < FEW:
        return seeds
    return f"95% interval {brief(measure, found.low)} to {brief(measure, found.high)}, {seeds}"


def by(found: Difference, measure: Measure) -> str:
    """How much two differ, without a sign: `12%`, `0.35 points`, `0.12`; empty if only lost seeds are compared."""
    if not found.n:
        return ""
    if found.logs:
        times = 1 + found.relative[0]
        return _times(times)
    amount = abs(found.mean)
    if measure.form != "percent":
        return f"{amount:.2g}"
    points = f"{100 * amount:.2g}"
    return f"{points} point{'s' * (points != '1')}"


def _times(times: float) -> str:
    """`12%`, `a factor of 3.4`."""
    part = times - 1 if times > 1 else 1 - times
    if times >= 2:
        return f"a factor of {times:.2g}" if times < MANY_TIMES else f"a factor of {_round(times)}"
    return f"{100 * part:.2g}%" if part >= 0.001 else "less than 0.1%"


def _round(times: float) -> str:
    return f"{float(f'{times:.1g}'):,.0f}" if times < 1e6 else "more than a million"


def rate(lr: float | None) -> str:
    """A learning rate in three digits at most."""
    return rate_text(lr)
