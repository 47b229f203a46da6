"""Families of learning rates, each at its own best one: which is best, and how the best learning rate depends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lrbench.analysis import Comparison, Finalist, Group, NoOptimum, Question, Row, optimum
from lrbench.components import Measure
from lrbench.reports.prose.one_family import passed_over
from lrbench.reports.prose.parts import Told, open_text, so_far
from lrbench.reports.prose.phrases import (
    WIDE,
    capital,
    counted,
    listed,
    number_word,
    rate,
    sureness,
    value,
)
from lrbench.reports.prose.several import Families, kinds
from lrbench.reports.prose.standings import standing, superlative
from lrbench.reports.prose.trends import MOST_LISTED, trend

if TYPE_CHECKING:
    from lrbench.reports.sections import Section


def told(section: Section) -> Told:
    """Say which family is best at its best learning rate, how the others compare, and how the optimum depends."""
    question, comparison, best = section.question, section.comparison, section.best
    assert best is not None and question.measure is not None  # there are families
    if comparison is None:
        only = [one for one in best.finalists if one.chosen is not None]
        return Told.of([open_text(question.groups)] if not only else [_alone(question, only[0], best.measure)])
    found = Families(question, comparison, best, best.measure)
    begun, how = so_far(question.groups), trend(found)
    leads = question.kind == "lengths" and how
    how = f"{begun}{how[0].lower()}{how[1:]}" if leads and begun else how
    first, others, beside = _first(found, "" if leads else begun), _standing(found), _beside(found)
    tuned = "" if begun else _tuning(found)
    equal = _equally(found.chosen)
    over = [passed_over(one.family, found.measure, found.name(one)) for one in found.chosen]
    if question.kind == "lengths":
        said = [how, first, others, *over, beside, tuned]
    elif question.kind == "grid":
        said = [first, how, others, *over, beside, tuned]
    else:
        said = [first, others, *over, "" if equal else tuned, _edges(found), beside, tuned if equal else "", how]
    return Told.of(said, [_flattered(found)])


def _alone(question: Question, one: Finalist, measure: Measure) -> str:
    """Tell of the only family that has a result."""
    assert one.chosen is not None
    middle = one.chosen.centre(measure)
    assert middle is not None
    begun = so_far(question.groups)
    text = f"only {one.label} has a result: a {measure.words} of {value(measure, middle)} at {rate(one.chosen.lr)}."
    return f"{begun}{text}" if begun else capital(text)


def _first(found: Families, begun: str) -> str:
    """Say which family is best, how good it is, and at which learning rate."""
    one, row, kind = found.first, found.comparison.best, found.question.kind
    assert one.chosen is not None  # it is compared
    lead = f"on {_seeds(found.comparison)} fresh seeds each, " if found.best.by_fresh_seeds else ""
    lead = f"{begun}{lead}" if begun else capital(lead)
    name = found.name(one, start=not lead)
    whole, at = value(found.measure, row.centre), rate(one.chosen.lr)
    if kind == "lengths":
        lowest = superlative(found.comparison, "").removeprefix(" has ").removeprefix(" ")
        if lowest.startswith("the "):
            the = "the" if lead else "The"
            return f"{lead}{the}{lowest[3:]}, {whole}, is reached with {name} at a learning rate of {at}."
    said = superlative(found.comparison, name)
    comma = "," if said.endswith(found.measure.words) else ""
    if kind == "grid":
        return f"{lead}{said}{comma} {whole}{comma} at a learning rate of {at}{_interval(one, found.measure)}."
    return f"{lead}{said}{comma} {whole} ({sureness(row, found.measure)}){comma} at its best learning rate, {at}."


def _seeds(comparison: Comparison) -> str:
    counts = sorted({row.ended for row in comparison.rows})
    few = number_word(counts[0])
    return few if len(counts) == 1 else f"{few} to {number_word(counts[-1])}"


def _interval(one: Finalist, measure: Measure) -> str:
    """` (95% interval 0.003 to 0.006)` of the optimum; empty if it is unknown."""
    known = optimum(one.family, measure)
    if isinstance(known, NoOptimum):
        return f", the {one.edge} tried" if one.edge else ""
    if known.decades > WIDE:
        seeds = counted(known.seeds, "seed")
        return f" ({seeds} locate the optimum only between {rate(known.low)} and {rate(known.high)})"
    return f" (95% interval of the optimum {rate(known.low)} to {rate(known.high)})"


def _standing(found: Families) -> str:
    def name(row: Row) -> str:
        return found.name(found.finalists[row.group.label])

    reference = "it" if found.comparison.against is found.comparison.best else found.comparison.against.group.label
    return found.begun(standing(found.comparison, name, found.word, kind=kinds(found.question), reference=reference))


def _edges(found: Families) -> str:
    """Say whose best learning rate is at an end of those tried, so that a better one may lie beyond."""
    said = []
    for end, way in (("highest", "higher"), ("lowest", "lower")):
        at = [one for one in found.chosen if one.edge == end]
        if at:
            names = "all of them" if len(at) == len(found.chosen) else listed([found.name(one) for one in at])
            said.append(f"for {names}, the best is the {end} learning rate tried: try {way} ones")
    return f"{capital('; '.join(said))}." if said else ""


def _beside(found: Families) -> str:
    """Tell of a run beside the families that is better than all of them."""
    measure, best = found.measure, found.comparison.best
    better = [
        group
        for group in found.question.beside
        if group.counted(measure.name) and group.standing(measure) < best.group.standing(measure)
    ]
    if not better or found.best.by_fresh_seeds:
        return ""
    first = min(better, key=lambda group: group.standing(measure))
    return f"{first.short}, which is not part of the sweep, is even better: {value(measure, _centre(first, measure))}."


def _centre(group: Group, measure: Measure) -> float:
    spread = group.spread(measure.name)
    assert spread is not None  # it has values
    return spread.centre


def _equally(ones: Sequence[Finalist]) -> bool:
    return len({(one.tuning.rates, one.tuning.runs) for one in ones}) == 1


def _tuning(found: Families) -> str:
    """Say how the learning rates were tuned."""
    ones = found.chosen
    if all(one.tuning.rates == 1 for one in ones):
        return ""
    if _equally(ones):
        return f"Each was tuned over {_spent(ones[0])}."
    more = len(ones) - MOST_LISTED
    told = [f"{found.name(one)} over {_spent(one)}" for one in ones[:MOST_LISTED]]
    return f"They were tuned unequally: {'; '.join(told)}{f'; and {more} more' if more > 0 else ''}."


def _flattered(found: Families) -> str:
    """Say what choosing and comparing by the same seeds does."""
    if found.best.by_fresh_seeds or found.comparison.single:
        return ""
    return (
        "The seeds compared here also chose each learning rate, so all values look a little better than they are. "
        "Fresh seeds (lrbench sweep --confirm) avoid this."
    )


def _spent(one: Finalist) -> str:
    tuning = one.tuning
    return f"{counted(tuning.rates, 'learning rate')} with {counted(tuning.runs, 'run')}"
