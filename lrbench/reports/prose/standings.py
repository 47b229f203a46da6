"""How the others compare with the best, or with what the user chose, in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lrbench.analysis import MARGIN, PERCENT_MARGIN, Comparison, Row
from lrbench.components import Measure
from lrbench.reports.prose.phrases import FEW, NAMED, by, capital, counted, listed
from lrbench.reports.sentences import lost_text

Name = Callable[[Row], str]
Words = Mapping[str, str | None]

DOUBTFUL = "doubtful"
"""Instead of an answer: worse at the learning rate that is compared, though perhaps not at another."""
_MOST_SEEDS = 100
"""More seeds than these are not worth telling."""
_ORDER = ("better", "probably better", "tie", "undecided", DOUBTFUL, "probably worse", "worse", "")
_NAMED = ("tie", "undecided", DOUBTFUL, "")
"""Of these answers, one is named even of many."""
_MANY = 6
"""Of more others, hardly any is named."""


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
        kept = "that lost the smallest share of their seeds" if share else "that lost no seed"
        return f"Of those {kept}, {name} has the {extreme(measure)} {measure.words}"
    why = "since it lost the smallest share of its seeds" if share else "since only it lost no seed"
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
        return f"{_with(comparison.rows)}the differences{among} may be chance."
    clauses = [_clause(key, found[key], comparison, name, reference) for key in _ORDER if key in found]
    text = "; ".join(clauses)
    if "undecided" in found and (lead := _with(comparison.rows)):
        return f"{lead}{text}."
    first = next(key for key in _ORDER if key in found)
    unnamed = len(others) > _MANY and len(found[first]) > 1 and first not in _NAMED
    return f"{capital(text) if unnamed else text}."


def _with(rows: Sequence[Row]) -> str:
    """`With two seeds each, `; empty if their numbers differ."""
    counts = {row.ended for row in rows}
    return f"With {counted(counts.pop(), 'seed')} each, " if len(counts) == 1 else ""


def _single(comparison: Comparison, name: Name) -> str:
    measure = comparison.measure
    ordered = [row for row in comparison.rows if row.n and row is not comparison.against]
    repeat = all(row.group.first.plain.get("recorded") is not None for row in comparison.rows)
    how = "repeat the runs with other seeds" if repeat else "train at least 3 seeds"
    chance = f"with one seed each, small differences may be chance: {how}"
    if not ordered:
        return f"{chance[:1].upper()}{chance[1:]}."
    return f"{name(ordered[0])} is next, {measure.text(ordered[0].centre).replace(' %', '%')}; {chance}."


def _clause(word: str, rows: Sequence[Row], comparison: Comparison, name: Name, reference: str) -> str:
    measure = comparison.measure
    many = len(comparison.rows) - 1 > _MANY
    are, have = ("is", "has") if len(rows) == 1 else ("are", "have")
    if word == "tie":
        margin = f"{100 * PERCENT_MARGIN:g} points" if measure.form == "percent" else f"{MARGIN:.0%}"
        as_good = "as good" if reference == "it" else f"as good as {reference}"
        return f"{_names(rows, measure, name, many)} {are} {as_good}, within {margin}"
    if word == "undecided":
        return f"{_names(rows, measure, name, many)} can't be distinguished from {reference}{_more(rows)}"
    if word == DOUBTFUL:
        names = _names(rows, measure, name, many)
        return f"{names} {are} worse at the learning rate compared, but may be as good at another one"
    if not word:
        names = _names(rows, measure, name, many)
        if comparison.against.n < 2:
            return f"{name(comparison.against)} has too few seeds to compare {names} with it"
        return f"{names} {have} too few seeds to compare"
    than = "" if reference == "it" else f" than {reference}"
    if many and len(rows) > 1:
        names = "all others" if len(rows) == len(comparison.rows) - 1 else counted(len(rows), "other")
    else:
        names = _names(rows, measure, name, amounts=True)
    return f"{names} {are} {word}{than}{_amount(rows, measure, many)}"


def _names(rows: Sequence[Row], measure: Measure, name: Name, many: bool = False, amounts: bool = False) -> str:
    """List names with their lost seeds and, of two or three that are worse, by how much; one of `many`."""
    several = amounts and 1 < len(rows) <= NAMED

    def of(row: Row) -> str:
        lost = f"{lost_text(row, measure)}" if row.lost else ""
        amount = f"by {by(row.difference, measure)}" if several and row.difference and row.difference.n else ""
        told = [text for text in (lost, amount) if text]
        return f"{name(row)} ({', '.join(told)})" if told else name(row)

    return listed([of(row) for row in rows], 1 if many else NAMED)


def _amount(rows: Sequence[Row], measure: Measure, many: bool) -> str:
    """`, by 32% (1.4% to 72%)`; of many, by how much at least."""
    known = [row.difference for row in rows if row.difference is not None and row.difference.n]
    if len(rows) == 1 and known:
        return f", by {by(known[0], measure, ends=known[0].n >= FEW)}"
    if len(rows) > (1 if many else NAMED) and len(known) == len(rows):
        least = min(known, key=lambda one: abs(one.mean))
        return f", by {by(least, measure)} or more"
    return ""


def _more(rows: Sequence[Row]) -> str:
    """` (about eight more seeds would decide)`, if there is one that is undecided."""
    wanted = [row.answer.more_seeds for row in rows if row.answer and row.answer.more_seeds]
    if len(rows) != 1 or not wanted or wanted[0].count > _MOST_SEEDS:
        return ""
    return f" (about {counted(wanted[0].count, 'more seed')} would decide)"
