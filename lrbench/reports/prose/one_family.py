"""The best learning rate of one family: where it is, how good, and what is nearly as good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lrbench.analysis import Family, NoOptimum, Point, estimate, optimum, width_text, within_text
from lrbench.components import Measure
from lrbench.reports.confirmation import confirmed
from lrbench.reports.prose.parts import Told, open_text, so_far
from lrbench.reports.prose.phrases import (
    FEW,
    WIDE,
    capital,
    counted,
    interval,
    joined,
    number_word,
    rate,
    value,
)
from lrbench.reports.prose.standings import extreme

if TYPE_CHECKING:
    from lrbench.reports.sections import Section


def told(section: Section) -> Told:
    """Say which learning rate is best, whether a better one may lie beyond, and where seeds diverge."""
    question, measure = section.question, section.question.measure
    (family,) = question.families
    assert measure is not None  # there is a family of it
    best = family.best(measure)
    if best is None:
        return Told.of([open_text(question.groups), lost(family, measure)])
    begun = so_far(question.groups)
    alone = len({point.lr for point in family.points if point.values(measure) or point.lost(measure)}) == 1
    return Told.of(
        [
            _first(family, best, measure, begun, alone),
            edge_text(family, measure),
            *_fresh(section),
            passed_over(family, measure),
            lost(family, measure),
            "" if alone else _good(family, measure),
            "" if alone else _no_optimum(family, measure),
        ]
    )


def _first(family: Family, best: Point, measure: Measure, begun: str, alone: bool) -> str:
    the = f"{begun}the" if begun else "The"
    found, whole = optimum(family, measure), centre(best, measure)
    lr = rate(best.lr) + (f" with {best.group.part}" if best.group.part else "")
    if alone:
        return f"{the} only learning rate with a result is {lr}: a {measure.words} of {whole}."
    if isinstance(found, NoOptimum):
        return f"{the} best learning rate tried is {lr}, with a {measure.words} of {whole}."
    about = f"{the} best learning rate is about {rate(found.lr)} (95% interval {rate(found.low)} to {rate(found.high)})"
    if found.decades > WIDE:
        seeds = counted(found.seeds, "seed")
        about = (
            f"{seeds if begun else capital(seeds)} locate the best learning rate only between {rate(found.low)} and "
        )
        tried = f"of those tried, {lr} has the {extreme(measure)} {measure.words}, {whole}"
        return f"{begun}{about}{rate(found.high)}; {tried}."
    if rate(found.lr) == lr:
        return f"{about}, with a {measure.words} of {whole}."
    return f"{about}; of those tried, {lr} has the {extreme(measure)} {measure.words}, {whole}."


def centre(point: Point, measure: Measure) -> str:
    """`0.2268 (95% interval 0.075 to 0.69, three seeds)`."""
    values = point.values(measure)
    found = estimate(values, logs=measure.by_ratio)
    assert found is not None  # a best one has values
    seeds = counted(found.n, "seed")
    if found.low is None or found.high is None or found.n < FEW:
        return f"{value(measure, found.centre)} ({seeds})"
    return f"{value(measure, found.centre)} ({interval(measure, found.low, found.centre, found.high)}, {seeds})"


def edge_text(family: Family, measure: Measure) -> str:
    """Say that the best is at an end of those tried; empty if it is not."""
    end = family.edge(measure)
    if not end:
        return ""
    way = "higher" if end == "highest" else "lower"
    return f"It is the {end} tried, so a {way} one may be better."


def _fresh(section: Section) -> list[str]:
    """Say what fresh seeds show of the best learning rate."""
    found = None if section.best is None else section.best.fresh
    if found is None:
        return []
    each = [confirmed(one, found.measure) for one in found.finalists if one.fresh is not None and not one.waiting]
    return [text for _, text in each]


def passed_over(family: Family, measure: Measure, name: str = "") -> str:
    """Tell of a learning rate with a better centre that is not the best, since seeds of it were lost or pruned.

    Args:
        family: the learning rates.
        measure: the metric that decides.
        name: the family's name, if there are several.
    """
    best = family.best(measure)
    least = None if best is None else best.standing(measure)
    found = []
    for point in family.points:
        out = point.lost(measure) or point.pruned
        known = estimate(point.values(measure), logs=measure.by_ratio) if out else None
        if known is not None and least is not None and measure.sign * known.centre < least[1]:
            found.append((measure.sign * known.centre, point, known.centre))
    if not found:
        return ""
    _, point, middle = min(found, key=lambda one: one[0])
    runs = point.group.records
    if point.pruned:
        how = f"{_share(point.pruned, len(runs))} {'was' if point.pruned == 1 else 'were'} pruned or dropped there"
    else:
        how = f"{_share(point.lost(measure), len(runs))} {_how([point], [0])} there"
    way = "lower" if measure.lower else "higher"
    whose = f"{capital(name)} has" if name else "There is"
    return f"{whose} a {way} {measure.words} at {rate(point.lr)}, {value(measure, middle)}, but {how}."


def lost(family: Family, measure: Measure) -> str:
    """`From 10 up, nine of 12 runs diverged.`; empty if none was lost."""
    points = [point for point in family.points if point.lr]
    bad = [at for at, point in enumerate(points) if point.lost(measure)]
    if not bad:
        return ""
    upper = bad == list(range(bad[0], len(points))) and bad[0] > 0
    rates = list(dict.fromkeys(rate(points[at].lr) for at in bad))
    if len(rates) < FEW:
        where = f"at {joined(rates)}"
    else:
        where = f"from {rates[0]} up" if upper else f"at {len(rates)} learning rates from {rates[0]} to {rates[-1]}"
    total = sum(len(points[at].group.records) for at in bad)
    return f"{capital(where)}, {_share(sum(points[at].lost(measure) for at in bad), total)} {_how(points, bad)}."


def _how(points: Sequence[Point], bad: Sequence[int]) -> str:
    """`diverged`, `diverged or failed`; a plateau has neither status."""
    kinds = {r.status for at in bad for r in points[at].group.records if r.status.lost}
    return " or ".join(sorted(kind.words for kind in kinds)) or "gave no result"


def _share(count: int, total: int) -> str:
    if count == total:
        return "the run" if total == 1 else f"all {number_word(total)} runs"
    return f"{number_word(count)} of {counted(total, 'run')}"


def _good(family: Family, measure: Measure) -> str:
    good = family.good(measure)
    if good is None:
        return ""
    within = within_text(good, measure, family.epsilon).replace(" %", "%")
    if good.low == good.high:
        return f"No neighbour is {within} of it."
    return f"Learning rates from {rate(good.low)} to {rate(good.high)} are {within} of it ({width_text(good)})."


def _no_optimum(family: Family, measure: Measure) -> str:
    """Say why no minimum between those tried is known, unless the edge says it."""
    found = optimum(family, measure)
    if not isinstance(found, NoOptimum) or family.edge(measure):
        return ""
    return f"The curve through the learning rates tried has no certain minimum, since {found.reason}."
