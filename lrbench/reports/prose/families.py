"""Families of learning rates, each at its own best one: which is best, and how the best learning rate depends."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lrbench.analysis import AtBest, Comparison, Finalist, Group, NoOptimum, Optimum, Question, Row, key_words, optimum
from lrbench.components import Measure
from lrbench.reports.prose.parts import Told, open_text, so_far
from lrbench.reports.prose.phrases import capital, counted, joined, listed, number_word, rate, sureness, value
from lrbench.reports.prose.standings import DOUBTFUL, standing, superlative

if TYPE_CHECKING:
    from lrbench.reports.sections import Section

_MOST_LISTED = 6
"""Learning rates that are listed one by one; of more, those at the ends."""
_SAME = 1.0001  # learning rates that differ by rounding


@dataclass(frozen=True)
class _Families:
    """What there is to tell of several families."""

    question: Question
    comparison: Comparison
    best: AtBest
    measure: Measure

    @cached_property
    def finalists(self) -> dict[str, Finalist]:
        return {one.label: one for one in self.best.finalists}

    @property
    def first(self) -> Finalist:
        """The best family."""
        return self.finalists[self.comparison.best.group.label]

    @property
    def chosen(self) -> list[Finalist]:
        """The families with a best learning rate."""
        return [one for one in self.best.finalists if one.chosen is not None]

    def values(self, one: Finalist) -> tuple[Any, ...]:
        return self.question.value(one.family)

    def name(self, one: Finalist, start: bool = False) -> str:
        """Return a family's name; a length is named in its unit."""
        if self.question.kind == "lengths":
            return length(self.question.keys[0], self.values(one)[0])
        plain = bool(self.question.keys) and one.label.startswith(key_words(self.question.keys[0]))
        return capital(one.label) if start and plain else one.label

    def word(self, row: Row) -> str | None:
        """Return what a row's difference shows."""
        told = self.best.word(self.finalists[row.group.label])
        return DOUBTFUL if row.answer is not None and told != row.answer.word else told


def told(section: Section) -> Told:
    """Say which family is best at its best learning rate, how the others compare, and how the optimum depends."""
    question, comparison, best = section.question, section.comparison, section.best
    assert best is not None and question.measure is not None  # there are families
    if comparison is None:
        only = [one for one in best.finalists if one.chosen is not None]
        return Told.of([open_text(question.groups)] if not only else [_alone(question, only[0], best.measure)])
    found = _Families(question, comparison, best, best.measure)
    trend = _trend(found)
    if question.kind == "lengths":
        said = [trend, _first(found), _standing(found), _edges(found)]
    elif question.kind == "grid":
        said = [_first(found), trend, _standing(found), _edges(found) if "tried" not in trend else ""]
    else:
        said = [_first(found), _standing(found), _edges(found), _beside(found), trend]
    said += [_beside(found)] if question.kind in ("lengths", "grid") else []
    return Told.of(said, [_tuning(found)])


def length(key: str, number: float) -> str:
    """`16 epochs`, `4,000 steps`."""
    unit = "epochs" if "epoch" in key else "steps"
    return f"{number:,} {unit if number != 1 else unit[:-1]}"


def _alone(question: Question, one: Finalist, measure: Measure) -> str:
    """Tell of the only family that has a result."""
    assert one.chosen is not None
    middle = one.chosen.centre(measure)
    assert middle is not None
    begun = so_far(question.groups)
    text = f"only {one.label} has a result: a {measure.words} of {value(measure, middle)} at {rate(one.chosen.lr)}."
    return f"{begun}{text}" if begun else capital(text)


def _first(found: _Families) -> str:
    """Say which family is best, how good it is, and at which learning rate."""
    one, row, kind = found.first, found.comparison.best, found.question.kind
    assert one.chosen is not None  # it is compared
    begun = so_far(found.question.groups)
    lead = f"on {_seeds(found.comparison)} fresh seeds each, " if found.best.by_fresh_seeds else ""
    lead = f"{begun}{lead}" if begun else capital(lead)
    name = found.name(one, start=not lead)
    whole, at = value(found.measure, row.centre), rate(one.chosen.lr)
    if kind == "lengths":
        lowest = superlative(found.comparison, "").removeprefix(" has ").removeprefix(" ")
        if lowest.startswith("the "):
            return f"{lead}{'the' if lead else 'The'}{lowest[3:]}, {whole}, is that of {name} at {at}."
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
    return f" (95% interval of the optimum {rate(known.low)} to {rate(known.high)})"


def _standing(found: _Families) -> str:
    def name(row: Row) -> str:
        return found.name(found.finalists[row.group.label])

    reference = "it" if found.comparison.against is found.comparison.best else found.comparison.against.group.label
    kinds = {"schedules": "schedules", "lengths": "lengths"}
    kind = kinds.get(found.question.kind, _plural(found.question.keys))
    return standing(found.comparison, name, found.word, kind=kind, reference=reference)


def _plural(keys: Sequence[str]) -> str:
    """`batch sizes`; `configurations` if several keys differ."""
    if len(keys) != 1:
        return "configurations"
    words = key_words(keys[0])
    return words if words.endswith("s") else f"{words}s"


def _trend(found: _Families) -> str:
    """Say how the best learning rate depends on what differs."""
    ones = found.chosen
    if len(ones) < 2 or any(one.chosen is None or not one.chosen.lr for one in ones):
        return ""
    keys = found.question.keys
    numbers = [found.values(one)[0] for one in ones] if keys else []
    if found.question.kind in ("grid", "lengths") and all(_is_number(number) for number in numbers):
        return _over_numbers(found, sorted(ones, key=lambda one: float(found.values(one)[0])))
    return _over_names(found, ones)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _over_numbers(found: _Families, ones: Sequence[Finalist]) -> str:
    kind, key = found.question.kind, found.question.keys[0]
    what = "length of training" if kind == "lengths" else key_words(key)
    optima = [optimum(one.family, found.measure) for one in ones]
    known = [one for one in optima if isinstance(one, Optimum)]
    between = len(known) == len(ones)
    rates = [one.lr for one in known] if between else [_lr(one) for one in ones]
    subject = "The best learning rate" if between else "The best learning rate tried"
    texts, places = [rate(lr) for lr in rates], [_place(key, found.values(one)[0]) for one in ones]
    if len(set(texts)) == 1:
        return f"{subject} is {texts[0]} for all {_plural([what])}{_at_ends(found, ones)}."
    unit = f" {'epochs' if 'epoch' in key else 'steps'}" if kind == "lengths" else ""
    pairs = _pairs(texts, places, unit)
    way = _way(rates)
    if way == "":
        return f"{subject} neither rises nor falls steadily with the {what}: {pairs}{_at_ends(found, ones)}."
    sure = between and _apart(known[0], known[-1])
    verb = f"{way}s" if sure or not between else f"seems to {way}"
    return f"{subject} {verb} with the {what}: {pairs}{_at_ends(found, ones)}."


def _lr(one: Finalist) -> float:
    assert one.chosen is not None and one.chosen.lr is not None
    return one.chosen.lr


def _place(key: str, number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:.3g}"


def _pairs(texts: Sequence[str], places: Sequence[str], unit: str) -> str:
    """`0.0042, 0.009 and 0.021 for 16, 64 and 256`; of many, the two ends."""
    if len(texts) > _MOST_LISTED:
        return f"from {texts[0]} for {places[0]} to {texts[-1]} for {places[-1]}{unit}"
    return f"{joined(texts)} for {joined(places)}{unit}"


def _way(rates: Sequence[float]) -> str:
    steps = list(itertools.pairwise(rates))
    if all(b > a / _SAME for a, b in steps):
        return "rise"
    return "fall" if all(b < a * _SAME for a, b in steps) else ""


def _apart(one: Optimum, other: Optimum) -> bool:
    """Whether the intervals of two optima do not overlap."""
    return one.high < other.low or other.high < one.low


def _at_ends(found: _Families, ones: Sequence[Finalist]) -> str:
    """Say of which of them the best learning rate is at an end of those tried."""
    told = []
    for end in ("lowest", "highest"):
        at = [one for one in ones if one.edge == end]
        if at:
            all_of_them = "for all" if len(at) == len(ones) else f"for {joined([_short(found, one) for one in at])}"
            told.append(f"{all_of_them} the {end} tried")
    way = {one.edge for one in ones if one.edge}
    beyond = "lower" if way == {"lowest"} else "higher" if way == {"highest"} else "lower or higher"
    return f" ({' and '.join(told)}, so {beyond} ones may be better)" if told else ""


def _short(found: _Families, one: Finalist) -> str:
    number = found.values(one)[0]
    return _place(found.question.keys[0], number) if _is_number(number) else found.name(one)


def _over_names(found: _Families, ones: Sequence[Finalist]) -> str:
    """Say which learning rate is best for which family."""
    rates: dict[str, list[str]] = {}
    for one in sorted(ones, key=_lr):
        rates.setdefault(rate(_lr(one)), []).append(found.name(one))
    if len(rates) == 1:
        return f"The best learning rate tried is {next(iter(rates))} for all of them{_at_ends(found, ones)}."
    if len(ones) > _MOST_LISTED:
        low, *_, high = ((text, listed(names, 1)) for text, names in rates.items())
        return f"The best learning rates tried range from {low[0]} ({low[1]}) to {high[0]} ({high[1]})."
    told = [f"{text} for {joined(names)}" for text, names in rates.items()]
    return f"The best learning rate tried is {joined(told)}{_at_ends(found, ones)}."


def _edges(found: _Families) -> str:
    """Say whose best learning rate is at an end of those tried, so that a better one may lie beyond."""
    said = []
    for end, way in (("highest", "higher"), ("lowest", "lower")):
        at = [one for one in found.chosen if one.edge == end]
        if at:
            names = "all of them" if len(at) == len(found.chosen) else listed([found.name(one) for one in at])
            said.append(f"for {names}, the best is the {end} learning rate tried: try {way} ones")
    return f"{capital('; '.join(said))}." if said else ""


def _beside(found: _Families) -> str:
    """Tell of a run beside the families that is better than all of them."""
    measure, best = found.measure, found.comparison.best
    better = [
        group
        for group in found.question.beside
        if group.values(measure.name) and group.standing(measure) < best.group.standing(measure)
    ]
    if not better or found.best.by_fresh_seeds:
        return ""
    first = min(better, key=lambda group: group.standing(measure))
    return f"{first.short}, which is no part of the sweep, is better still: {value(measure, _centre(first, measure))}."


def _centre(group: Group, measure: Measure) -> float:
    spread = group.spread(measure.name)
    assert spread is not None  # it has values
    return spread.centre


def _tuning(found: _Families) -> str:
    """Say how the learning rates were tuned, and what choosing by the same seeds does."""
    ones = found.chosen
    if len({(one.tuning.rates, one.tuning.runs) for one in ones}) == 1:
        each = f"Each was tuned by {_spent(ones[0])}"
    else:
        more = len(ones) - _MOST_LISTED
        told = [f"{found.name(one)} by {_spent(one)}" for one in ones[:_MOST_LISTED]]
        each = f"Tuned unequally: {'; '.join(told)}{f'; and {more} more' if more > 0 else ''}"
    if found.best.by_fresh_seeds:
        return f"{each}; fresh seeds, which chose none of the learning rates, compare them."
    return (
        f"{each}; the seeds that chose a learning rate compare it too, which flatters it: see lrbench sweep --confirm."
    )


def _spent(one: Finalist) -> str:
    tuning = one.tuning
    return f"{counted(tuning.rates, 'learning rate')} and {counted(tuning.runs, 'run')}"
