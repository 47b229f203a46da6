"""How the others compare with the best, or with what the user chose, in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lrbench.analysis import MARGIN, PERCENT_MARGIN, Comparison, Difference, Row
from lrbench.components import Measure
from lrbench.reports.prose.phrases import FEW, NAMED, by, counted, listed
from lrbench.reports.sentences import lost_text

Name = Callable[[Row], str]
Words = Mapping[str, str | None]

_MOST_SEEDS = 100
"""More seeds than these are not worth telling."""
_ORDER = ("better", "probably better", "tie", "undecided", "", "probably worse", "worse")


def superlative(comparison: Comparison, name: str) -> str:
    """Return the beginning of a sentence: `cosine has the lowest validation loss`.

    If others have a lower one but lost more of their seeds: `cosine is first, since it lost the smallest share of its
    seeds: its validation loss is`.
    """
    measure, best = comparison.measure, comparison.best
    valued = [row for row in comparison.rows if row.n]
    first = min(valued, key=lambda row: measure.sign * row.centre)
    share = best.lost / best.ended
    if first.centre == best.centre:
        return f"{name} has the {extreme(measure)} {measure.words}"
    if sum(row.lost / row.ended == share for row in comparison.rows) > 1:
        kept = "which lost the smallest share of their seeds" if share else "of which no seed was lost"
        return f"Of those {kept}, {name} has the {extreme(measure)} {measure.words}"
    why = "since it lost the smallest share of its seeds" if share else "since it alone lost no seed"
    return f"{name} is first, {why}, with a {measure.words} of"


def extreme(measure: Measure) -> str:
    """`lowest` or `highest`: what is better."""
    return "lowest" if measure.lower else "highest"


def standing(
    comparison: Comparison,
    name: Name,
    word: Callable[[Row], str | None] | None = None,
    *,
    kind: str = "",
    reference: str = "it",
) -> str:
    """Say how all others compare with the reference; empty without others.

    Args:
        comparison: the comparison.
        name: the name of a row.
        word: what a row's difference shows; its own answer if None.
        kind: what is compared, in the plural: `schedules`; empty for runs.
        reference: the name of what they are compared with; `it` if the sentence before is about it.
    """
    others = [row for row in comparison.rows if row is not comparison.against]
    if not others:
        return ""
    if comparison.single:
        return _single(comparison, name)
    found: dict[str, list[Row]] = {}
    for row in others:
        known = word(row) if word is not None else row.answer.word if row.answer else None
        found.setdefault(known or "", []).append(row)
    if set(found) == {"undecided"} and len(others) > 1 and not any(row.lost for row in others):
        among = f" between {kind}" if kind else ""
        return f"{_with(comparison.rows)}the differences{among} can't be told from chance{_more(others)}."
    clauses = [_clause(key, found[key], comparison, name, reference) for key in _ORDER if key in found]
    lead = _with(comparison.rows) if "undecided" in found else ""
    return f"{lead}{'; '.join(clauses)}."


def _with(rows: Sequence[Row]) -> str:
    """`With two seeds each, `; empty if their numbers differ."""
    counts = {row.ended for row in rows}
    return f"With {counted(counts.pop(), 'seed')} each, " if len(counts) == 1 else ""


def _single(comparison: Comparison, name: Name) -> str:
    measure = comparison.measure
    ordered = [row for row in comparison.rows if row.n and row is not comparison.against]
    repeat = all(row.group.first.plain.get("recorded") is not None for row in comparison.rows)
    how = "repeat the runs with other seeds" if repeat else "use --seeds 3 or more"
    chance = f"with one seed each, small differences may be chance: {how}"
    if not ordered:
        return f"{chance[:1].upper()}{chance[1:]}."
    return f"{name(ordered[0])} is next, {measure.text(ordered[0].centre).replace(' %', '%')}; {chance}."


def _clause(word: str, rows: Sequence[Row], comparison: Comparison, name: Name, reference: str) -> str:
    measure = comparison.measure
    are = "is" if len(rows) == 1 else "are"
    if word == "tie":
        margin = f"{100 * PERCENT_MARGIN:g} points" if measure.form == "percent" else f"{MARGIN:.0%}"
        as_good = "as good" if reference == "it" else f"as good as {reference}"
        return f"{_names(rows, measure, name)} {are} {as_good}, within {margin}"
    if word == "undecided":
        return f"{_names(rows, measure, name)} can't be told from {reference}{_more(rows)}"
    if not word:
        if comparison.against.n < 2:
            return f"too few seeds of {name(comparison.against)} to compare {_names(rows, measure, name)} with it"
        return f"{_names(rows, measure, name)} {'has' if len(rows) == 1 else 'have'} too few seeds to compare"
    than = "" if reference == "it" else f" than {reference}"
    told = f"{_names(rows, measure, name, amounts=True)} {are} {word}{than}"
    return told + _amount(rows, measure)


def _names(rows: Sequence[Row], measure: Measure, name: Name, amounts: bool = False) -> str:
    """List names with their lost seeds and, of two or three that are worse, by how much."""
    several = amounts and 1 < len(rows) <= NAMED

    def of(row: Row) -> str:
        lost = f"{lost_text(row, measure)}" if row.lost else ""
        amount = f"by {by(row.difference, measure)}" if several and row.difference and row.difference.n else ""
        told = [text for text in (lost, amount) if text]
        return f"{name(row)} ({', '.join(told)})" if told else name(row)

    return listed([of(row) for row in rows])


def _amount(rows: Sequence[Row], measure: Measure) -> str:
    """`, by 32% (1.4% to 72%)`; of many, by how much at least."""
    known = [row.difference for row in rows if row.difference is not None and row.difference.n]
    if len(rows) == 1 and known:
        ends = f" ({_ends(known[0], measure)})" if known[0].n >= FEW else ""
        return f", by {by(known[0], measure)}{ends}"
    if len(rows) > NAMED and len(known) == len(rows):
        least = min(known, key=lambda one: abs(one.mean))
        return f", by {by(least, measure)} or more"
    return ""


def _ends(found: Difference, measure: Measure) -> str:
    """`1.4% to 72%`, `1.2 to 31`, `0.1 to 0.6`: the interval, in the unit and direction of `by`."""
    if not found.logs:
        unit = 100 if measure.form == "percent" else 1
        low, high = sorted((unit * found.low, unit * found.high), key=abs)
        turned = -1 if high < 0 else 1
        return f"{turned * low:.2g} to {turned * high:.2g}"
    ends = [1 + end for end in found.relative]
    factor = max(ends[0], 1 / ends[0]) >= 2
    turned = ends[0] < 1
    low, high = (ends[2], ends[1]) if turned else (ends[1], ends[2])
    if factor:
        low, high = (1 / low, 1 / high) if turned else (low, high)
        return f"{low:.2g} to {_large(high)}"
    low, high = (1 - low, 1 - high) if turned else (low - 1, high - 1)
    return f"{100 * low:.2g}% to {_large(100 * high)}%"


def _large(number: float) -> str:
    return f"{number:.2g}" if number < 100 else f"{float(f'{number:.2g}'):,.0f}"


def _more(rows: Sequence[Row]) -> str:
    """`; about 8 more seeds would decide`: how many would decide the first of these."""
    wanted = [row.answer.more_seeds for row in rows if row.answer and row.answer.more_seeds]
    least = min((more.count for more in wanted), default=0)
    if not 0 < least <= _MOST_SEEDS:
        return ""
    each = " the first of them" if len(rows) > 1 else ""
    return f" (about {counted(least, 'more seed')} would decide{each})"
