"""Words and numbers in sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lrbench.analysis import Difference, Row, rate_text
from lrbench.components import Measure
from lrbench.errors import plural
from lrbench.reports.sentences import times_text

NAMED = 3
"""Names in a list of many, before the number of the others."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
FEW = 3
"""With fewer seeds, an interval says little."""
WIDE = 1.0
"""An interval of an optimum that is wider, in decades, says no more than where it may be."""
FACTOR = 1.995
"""From this ratio on, a difference is told as a factor."""


def number_word(count: int) -> str:
    """`two`; `12`, from eleven on in digits.

    >>> number_word(2), number_word(12)
    ('two', '12')
    """
    return _NUMBERS[count] if 0 <= count < len(_NUMBERS) else f"{count:,}"


def counted(count: int, noun: str) -> str:
    """`two seeds`, `one seed`."""
    return f"{number_word(count)} {noun if count == 1 else plural(noun)}" if noun else number_word(count)


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


def qualified(name: str) -> str:
    """Return a name so that it can stand in a list: `sgd with momentum 0.9`.

    >>> qualified("sgd, momentum 0.9, no warm-up"), qualified("sgd, no momentum"), qualified("cosine")
    ('sgd with momentum 0.9 without warm-up', 'sgd without momentum', 'cosine')
    """
    first, *others = name.split(", ")
    lacking = [text.removeprefix("no ") for text in others if text.startswith("no ")]
    having = [text for text in others if not text.startswith("no ")]
    first += f" with {joined(having)}" if having else ""
    return first + (f" without {joined(lacking, 'or')}" if lacking else "")


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
    return f"{interval(measure, found.low, found.centre, found.high)}, {seeds}"


def interval(measure: Measure, low: float, middle: float, high: float) -> str:
    """`95% interval 0.0341 to 0.112`; with the middle's digits where fewer would leave it outside."""
    ends = [brief(measure, low), brief(measure, high)]
    first, shown, last = (float(text.rstrip("%")) for text in (ends[0], value(measure, middle), ends[1]))
    if not first <= shown <= last:
        ends = [value(measure, low), value(measure, high)]
    return f"95% interval {ends[0]} to {ends[1]}"


def by(found: Difference, measure: Measure, *, ends: bool = False) -> str:
    """How much two differ, without a sign: `12%`, `a factor of 3.4`, `0.35 points`, `0.12`.

    Args:
        found: the difference, of values rather than of lost seeds alone.
        measure: what differs.
        ends: whether to add the interval: `12% (3% to 22%)`. It has a sign where it reaches to the other side.
    """
    if found.logs:
        times = [1 + part for part in found.relative]
        if times[0] >= FACTOR:
            middle, low, high = map(times_text, times)
            return f"a factor of {middle}" + (f" ({low} to {high})" if ends else "")
        return _signless([time - 1 for time in times], _percent, ends)
    values = [found.mean, found.low, found.high]
    if measure.form != "percent":
        return _signless(values, lambda part: f"{part:.2g}", ends)
    amount = _signless([100 * part for part in values], lambda part: f"{part:.2g}", ends)
    middle, bracket, rest = amount.partition(" (")
    return f"{middle} point{'s' * (middle != '1')}{bracket}{rest}"


def _signless(values: Sequence[float], text: Callable[[float], str], ends: bool) -> str:
    """Turn a mean and the ends of its interval so that the mean is above 0."""
    middle, *others = values if values[0] >= 0 else [-part for part in (values[0], values[2], values[1])]
    return text(middle) + (f" ({text(others[0])} to {text(others[1])})" if ends else "")


def _percent(part: float) -> str:
    percent = 100 * part
    return f"{percent:,.0f}%" if abs(percent) >= 10 else f"{percent:.2g}%"


def rate(lr: float | None) -> str:
    """A learning rate in three digits at most."""
    return rate_text(lr)
