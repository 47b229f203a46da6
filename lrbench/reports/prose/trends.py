"""How the best learning rate depends on what differs between families."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from lrbench.analysis import Finalist, Optimum, optimum
from lrbench.reports.prose.phrases import joined, listed, rate
from lrbench.reports.prose.several import Families, key_named, kinds

MOST_LISTED = 6
"""Learning rates that are listed one by one; of more, those at the ends."""
_LEAST_OF_A_LAW = 3
"""With fewer sizes, nothing shows that it is a power."""
_ALIKE = 1.2
"""Learning rates that differ by a smaller factor are told as one."""
_SAME = 1.0001  # learning rates that differ by rounding


def trend(found: Families) -> str:
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


def _over_numbers(found: Families, ones: Sequence[Finalist]) -> str:
    kind, key = found.question.kind, found.question.keys[0]
    what = "the length of training" if kind == "lengths" else key_named(found.question)
    optima = [optimum(one.family, found.measure) for one in ones]
    known = [one for one in optima if isinstance(one, Optimum)]
    between = len(known) == len(ones)
    rates = [one.lr for one in known] if between else [_lr(one) for one in ones]
    subject = "The best learning rate" if between else "The best learning rate tried"
    texts, places = [rate(lr) for lr in rates], [_place(key, found.values(one)[0]) for one in ones]
    if max(rates) < _ALIKE * min(rates):
        about = "" if len(set(texts)) == 1 else "about "
        return f"{subject} is {about}{texts[0]} for all {kinds(found.question)}{_at_ends(found, ones)}."
    unit = f" {'epochs' if 'epoch' in key else 'steps'}" if kind == "lengths" else ""
    pairs = _pairs(texts, places, unit)
    power = _power(found, ones) if between else ""
    way = _way(rates)
    if way == "":
        return f"{subject} neither rises nor falls steadily with {what}: {pairs}{_at_ends(found, ones)}."
    sure = between and _apart(known[0], known[-1])
    verb = f"{way}s" if sure or not between else f"seems to {way}"
    return f"{subject} {verb} with {what}{power}: {pairs}{_at_ends(found, ones)}."


def _power(found: Families, ones: Sequence[Finalist]) -> str:
    """`, roughly as its power -0.5 (95% interval -0.7 to -0.3)`; empty if the sizes tried don't tell it so well."""
    from lrbench.transfers import Fitted, sized  # takes a moment

    key, each = found.question.keys[0], tuple(sized(one.family, found.measure) for one in ones)
    axes = [name for name, size in each[0].sizes.items() if key in size.keys]
    scaled = any(one.factor != 1 for one in each)
    if scaled or len(ones) < _LEAST_OF_A_LAW or not axes or not all(axes[0] in one.sizes for one in each):
        return ""
    (law,) = Fitted(each, (axes[0],)).exponents
    if law.bend or law.low <= 0 <= law.high or law.high - law.low > 1:
        return ""
    return f", roughly as its power {law.value:.2g} (95% interval {law.low:.2g} to {law.high:.2g})"


def _lr(one: Finalist) -> float:
    assert one.chosen is not None and one.chosen.lr is not None
    return one.chosen.lr


def _place(key: str, number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:.3g}"


def _pairs(texts: Sequence[str], places: Sequence[str], unit: str) -> str:
    """`0.0042, 0.009 and 0.021 for 16, 64 and 256`; of many, the two ends."""
    if len(texts) > MOST_LISTED:
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


def _at_ends(found: Families, ones: Sequence[Finalist]) -> str:
    """Say which of them are at an end of those tried: `; 0.3 is the highest tried, so a higher one may be better`."""
    told = []
    for end, way in (("lowest", "lower"), ("highest", "higher")):
        at = [one for one in ones if one.edge == end]
        rates = list(dict.fromkeys(rate(_lr(one)) for one in at))
        if not at:
            continue
        if any(rate(_lr(one)) in rates for one in ones if one.edge != end):
            is_it = f"for {listed([found.name(one) for one in at])} that is"
        else:
            is_it = f"{joined(rates)} {'is' if len(rates) == 1 else 'are'}"
        better = f"a {way} one" if len(rates) == 1 else f"{way} ones"
        told.append(f"; {is_it} the {end} tried, so {better} may be better")
    return "".join(told)


def _over_names(found: Families, ones: Sequence[Finalist]) -> str:
    """Say which learning rate is best for which family."""
    rates: dict[str, list[str]] = {}
    for one in sorted(ones, key=_lr):
        rates.setdefault(rate(_lr(one)), []).append(found.name(one))
    if len(rates) == 1:
        all_of_them = f"for all {kinds(found.question)}"
        return f"The best learning rate tried is {next(iter(rates))} {all_of_them}{_at_ends(found, ones)}."
    if len(ones) > MOST_LISTED:
        low, *_, high = ((text, listed(names, 1)) for text, names in rates.items())
        return f"The best learning rates tried range from {low[0]} ({low[1]}) to {high[0]} ({high[1]})."
    told = [f"{text} for {joined(names)}" for text, names in rates.items()]
    return f"The best learning rate tried is {joined(told)}{_at_ends(found, ones)}."
