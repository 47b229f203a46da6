"""Groups side by side: which is best, which may be as good, and which are worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.analysis import Comparison, Group, Row, measures_of
from lrbench.components import Measure, in_words
from lrbench.reports.prose.parts import Told, lost_runs, so_far
from lrbench.reports.prose.phrases import capital, counted, number_word, sureness, value
from lrbench.reports.prose.standings import standing, superlative

if TYPE_CHECKING:
    from lrbench.reports.sections import Section


def told(section: Section) -> Told:
    """Compare groups side by side."""
    assert section.comparison is not None  # else nothing has a value
    groups = section.question.groups
    return Told.of(sentences(section.comparison, groups), [lost_runs(groups)])


def sentences(comparison: Comparison, groups: tuple[Group, ...] = ()) -> list[str]:
    """Say which group is best, and how the others compare with it or with the user's baseline.

    Args:
        comparison: the comparison.
        groups: all groups, also those without a value, to tell how many runs are still to end.
    """
    best, measure = comparison.best, comparison.measure
    begun = so_far(groups)
    if _all_equal(comparison):
        first = f"all {number_word(len(comparison.rows))} runs have the same {measure.words}, {_whole(best, measure)}."
    else:
        said = superlative(comparison, best.group.short)
        first = f"{said}{'' if said.endswith(' of') else ','} {_whole(best, measure)}."
    first = f"{begun}{first}" if begun else capital(first) if first.startswith("all ") else first
    if len(comparison.rows) == 1 or _all_equal(comparison):
        return [first]
    reference = "it" if comparison.against is best else comparison.against.group.short
    return [first, standing(comparison, lambda row: row.group.short, reference=reference)]


def _all_equal(comparison: Comparison) -> bool:
    valued = [row.centre for row in comparison.rows if row.n]
    shares = {row.lost / row.ended for row in comparison.rows}
    return len(comparison.rows) > 1 and len(shares) == 1 and max(valued) == min(valued)


def _whole(row: Row, measure: Measure) -> str:
    """`0.0619 (95% interval 0.035 to 0.11, three seeds) and a test accuracy of 98.43%`."""
    apart = row.group.plateau(measure.name)
    test = on_test(row.group, measure)
    stuck = f"; {counted(len(apart), 'seed')} ended on a plateau" if apart else ""
    return f"{value(measure, row.centre)} ({sureness(row, measure)}{stuck}){f', and a {test}' if test else ''}"


def on_test(group: Group, measure: Measure) -> str:
    """`test accuracy of 98.43%`: of the weights that validation chose, the best epoch's or the final ones."""
    if not measure.key.startswith("val_"):
        return ""
    point = "test_best" if measure.section == "best" else "test"
    known = measures_of(group.records)
    metrics = [one.metric for one in known.values() if one.section == point]
    for metric in sorted(metrics, key=lambda metric: metric.name == "loss"):  # a metric tells more than the loss
        found = group.spread(f"{point}_{metric.name}")
        if found is not None:
            return f"test {in_words(metric.name)} of {metric.text(found.centre).replace(' %', '%')}"
    return ""
