"""Comparisons in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from lrbench.analysis import (
    ALPHA,
    CONFIDENCE,
    DEFAULT_METRIC,
    MARGIN,
    PERCENT_MARGIN,
    Comparison,
    Difference,
    Group,
    Row,
    budgets,
    mean_text,
    measures_of,
)
from lrbench.components import Measure
from lrbench.reports.tables import Column
from lrbench.runs import Status

MOST_NAMED = 4


def sentences(comparison: Comparison) -> list[str]:
    """Describe the best group, and how the others compare with it or the baseline."""
    best, measure = comparison.best, comparison.measure
    by_value = sorted(comparison.rows, key=lambda row: measure.sign * row.estimate.centre)
    extreme, other = ("lowest", "highest") if measure.lower else ("highest", "lowest")
    whole = f"{measure.words}, {centre_text(best, measure)}{_on_test(best.group, measure)}"
    if by_value[0].estimate.centre == best.estimate.centre:
        first = f"{best.group.label} has the {extreme} {whole}"
    else:
        first = f"{best.group.label} is first, having lost the smallest share of its seeds, with a {whole}"
    if len(by_value) == 1:
        return [f"{first}."]
    last = by_value[-1]
    if last is not best and last.estimate.centre != best.estimate.centre:
        first += f"; {last.group.label} has the {other}, {measure.text(last.estimate.centre)}"
    return [f"{first}.", _others(comparison)]


def _on_test(group: Group, measure: Measure) -> str:
    """Describe the test result of the weights that validation chose: the best epoch's or the final ones."""
    if not measure.key.startswith("val_"):
        return ""
    point = "test_best" if measure.section == "best" else "test"
    known = measures_of(group.records)
    metrics = [one.metric for one in known.values() if one.section == point]
    for metric in sorted(metrics, key=lambda metric: metric.name == "loss"):  # a metric tells more than the loss
        found = group.spread(f"{point}_{metric.name}")
        if found is not None:
            return f", with a test {metric.name.replace('_', ' ')} of {metric.text(found.centre)}"
    return ""


def chosen_on_test(comparison: Comparison) -> str | None:
    """Return a warning if test data choose the best."""
    if not comparison.measure.section.startswith("test"):
        return None
    return "Compared by test data: the best of several looks better on it than it is, so choose by validation data."


def centre_text(row: Row, measure: Measure) -> str:
    """`0.0297 (geometric mean of 8 seeds; 95% interval 0.0287 … 0.0308)`."""
    found, text = row.estimate, measure.text
    if found.low is None or found.high is None:
        return f"{text(found.centre)} (one seed)"
    interval = f"{CONFIDENCE:.0%} interval {text(found.low)} … {text(found.high)}"
    return f"{text(found.centre)} ({mean_text(measure)} of {found.n} seeds; {interval})"


_STARTS = {
    "better": "better",
    "probably better": "probably better",
    "tie": "a tie with",
    "undecided": "undecided",
    "probably worse": "probably worse",
    "worse": "worse",
    "": "too few seeds",
}


def _others(comparison: Comparison) -> str:
    against = comparison.against.group.label
    if all(row.estimate.n == 1 for row in comparison.rows):
        return "With one seed, small differences may be chance; use --seeds 3 or more to see the spread."
    others = [row for row in comparison.rows if row is not comparison.against]
    parts = []
    for word, start in _STARTS.items():
        rows = [row for row in others if (row.answer.word if row.answer else "") == word]
        if rows and word.startswith("probably"):
            known = [f"{named([row])} ({_apart(row.difference, comparison.measure)})" for row in rows if row.difference]
            proof = f"{_fewest(rows)} seeds can't prove it among {len(comparison.rows)} groups"
            parts.append(f"{start}: {_listed(known)}, though {proof}")
        elif rows:
            parts.append(f"{start}: {named(rows)}{_more(rows) if word == 'undecided' else ''}")
    return f"Compared with {against}, {'; '.join(parts)}."


def _fewest(rows: Sequence[Row]) -> int:
    return min(row.difference.n for row in rows if row.difference)


def named(rows: Sequence[Row]) -> str:
    """List the names of groups, the first few of many, with their lost seeds."""
    return _listed([row.group.label + (f" ({lost_text(row)})" if row.lost else "") for row in rows])


def lost_text(row: Row) -> str:
    """`2 of 8 seeds diverged`, `2 of 8 seeds diverged or failed`."""
    kinds = {record.status for record in row.group.records if record.status.lost} or {Status.DIVERGED}
    return f"{row.lost} of {row.ended} seeds {' or '.join(sorted(kind.words for kind in kinds))}"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _more(rows: Sequence[Row]) -> str:
    """Describe how many more seeds would decide the first of these."""
    wanted = [row.answer.more for row in rows if row.answer and row.answer.more]
    if not wanted:
        return "" if any(row.lost for row in rows) else " (more than a thousand seeds)"
    each = " to decide the first" if len(rows) > 1 else ""
    return f" (about {_seeds(min(wanted))}{each})"


def _seeds(count: int) -> str:
    return f"{count} more seed{'s' * (count != 1)}"


def against(row: Row, comparison: Comparison) -> str:
    """`+59 % (41 … 79), worse`; a dash for the group itself."""
    if row.difference is None or row.answer is None:
        return "–"
    more = f", {_seeds(row.answer.more)}" if row.answer.more else ""
    return f"{_apart(row.difference, comparison.measure)}, {row.answer.word}{more}{_failures(row, comparison)}"


def _failures(row: Row, comparison: Comparison) -> str:
    """`; 8 of 20 seeds diverged, against 0 of 20 (Fisher's exact p 0.003)`, if the shares differ."""
    found, other = None if row.difference is None else row.difference.failures, comparison.against
    if found is None or not found.excess:
        return ""
    told = lost_text(row) if row.lost else f"no seed of {row.ended} lost"
    return f"; {told}, against {other.lost} of {other.ended} (Fisher's exact p {found.p:.2g})"


def _apart(found: Difference, measure: Measure) -> str:
    """`+59 % (41 … 79)`, `-0.35 points (-0.6 … -0.1)`; `+0.12 (0.1 … 0.14)` if not all values are above 0."""
    if found.logs:
        middle, low, high = (_percent(value) for value in found.relative)
        return f"{middle} % ({low} … {high})"
    values = found.mean, found.low, found.high
    if measure.form != "percent":
        middle, low, high = (f"{value:+.3g}" for value in values)
        return f"{middle} ({low} … {high})"
    middle, low, high = (f"{100 * value:+.2f}" for value in values)
    return f"{middle} points ({low} … {high})"


def _percent(part: float) -> str:
    """Format a fraction as a signed percentage, without a power of ten."""
    percent = 100 * part
    return f"{percent:+.1f}" if abs(percent) < 10 else f"{percent:+,.0f}"


def columns(comparison: Comparison) -> list[Column]:
    """Return a comparison's columns: interval, interquartile mean, difference and answer, ranks."""
    if all(row.estimate.n == 1 for row in comparison.rows):
        return []
    measure, text, column = comparison.measure, comparison.measure.text, partial(_column, comparison)
    default = measure.name == DEFAULT_METRIC  # its means are always in the table
    asked_for = column(
        f"compared: {measure.words}",
        lambda row: text(row.estimate.centre),
        lambda row: {"metric": measure.name, "centre": row.estimate.centre, "median": row.estimate.median},
    )
    of, named = ("", "") if default else (f" of {measure.words}", f" in {measure.words}")
    difference = f"against {comparison.against.group.label}{named}"
    return [
        *([] if default else [asked_for]),
        column(f"95 % interval{of}", lambda row: _interval(row, measure), _interval_numbers),
        column(f"interquartile mean{of}", lambda row: text(row.estimate.iqm), lambda row: {"iqm": row.estimate.iqm}),
        column(difference, lambda row: against(row, comparison), _difference_numbers),
        *([column("rank", _rank, _rank_numbers)] if comparison.ranked else []),
    ]


def brief(comparison: Comparison) -> list[Column]:
    """Return only the answers, for a terminal."""
    if all(row.estimate.n == 1 for row in comparison.rows):
        return []
    heading = f"against {comparison.against.group.label}"
    return [_column(comparison, heading, lambda row: row.answer.word if row.answer else "–", _difference_numbers)]


def _column(
    comparison: Comparison, heading: str, text: Callable[[Row], str], numbers: Callable[[Row], dict[str, Any]]
) -> Column:
    def of(group: Group) -> str:
        row = comparison.row(group)
        return "–" if row is None else text(row)

    empty = dict.fromkeys(numbers(comparison.against))

    def numbers_of(group: Group) -> dict[str, Any]:
        row = comparison.row(group)
        return empty if row is None else numbers(row)

    return Column(heading, of, numbers_of)


def _interval(row: Row, measure: Measure) -> str:
    low, high = row.estimate.low, row.estimate.high
    return "–" if low is None or high is None else f"{measure.text(low)} … {measure.text(high)}"


def _interval_numbers(row: Row) -> dict[str, Any]:
    return {"n": row.estimate.n, "interval_low": row.estimate.low, "interval_high": row.estimate.high}


def _difference_numbers(row: Row) -> dict[str, Any]:
    ends = ("difference", "difference_low", "difference_high")
    numbers: dict[str, Any] = dict.fromkeys((*ends, "relative", "pairs", "p", "p_corrected", "p_lost", "answer"))
    if (found := row.difference) is not None:
        values = found.relative if found.logs else (found.mean, found.low, found.high)
        numbers |= {**dict(zip(ends, values, strict=True)), "relative": found.logs, "pairs": found.n, "p": found.p}
        numbers["p_lost"] = None if found.failures is None else found.failures.p
    if (answer := row.answer) is not None:
        numbers |= {"p_corrected": answer.p, "answer": answer.word}
    return {**numbers, "p_permutation": row.permutation, "lost": row.lost}


def _rank(row: Row) -> str:
    if row.ranks is None:
        return "–"
    low, high = row.ranks
    return str(low) if low == high else f"{low}–{high}"


def _rank_numbers(row: Row) -> dict[str, Any]:
    return dict(zip(("rank_best", "rank_worst"), row.ranks or (None, None), strict=True))


def method(comparison: Comparison) -> str | None:
    """Describe the statistical method."""
    if all(row.estimate.n == 1 for row in comparison.rows):
        return None
    ratios = comparison.measure.by_ratio
    scale = "logarithms" if ratios else "values"
    margin = f"{MARGIN:.0%}" if ratios else f"{100 * PERCENT_MARGIN:g} points"
    kinds = {row.difference.paired for row in comparison.rows if row.difference}
    paired = "pairs of equal seeds" if True in kinds else "independent seeds (Welch)"
    if kinds == {True, False}:
        paired += ", or all seeds (Welch) where too few pair or seeds of one group alone turn their order round"
    chosen = "their number" if comparison.chosen else "up to twice their number, since the same runs chose the best"
    compared = "ratios" if ratios else "differences"
    return (
        f"Values are {mean_text(comparison.measure)}s over the seeds that reached their end. Groups are ordered by the "
        "share of seeds that diverged or failed, then by this mean, and only a group that lost no larger share can be "
        "better; the shares themselves are compared by Fisher's exact test. "
        f"Intervals are Student's t on {scale}. Groups are compared by {compared} of {comparison.measure.words} "
        f"between {paired}, with {1 - ALPHA:.0%} intervals. A group is better or worse if p, corrected for {chosen} "
        f"(Holm), is below {ALPHA:g}, probably so if only the uncorrected p is, and a tie if the interval is within "
        f"±{margin}. {ALPHA:g} instead of 0.05 keeps wrong answers below 5% "
        "for skewed spreads too (simulated). Rank: the possible ranks, given the differences between all groups."
    )


def unequal(groups: Sequence[Group]) -> str | None:
    """Return a warning if groups had different training budgets."""
    found = budgets(groups)
    if len(found) < 2:
        return None
    parts = []
    for budget, members in found.items():
        whose = members[0].label if len(members) == 1 else f"{len(members)} groups"
        parts.append(f"{budget} ({whose})")
    return f"Unequal budgets: {'; '.join(parts)}. A lower loss may only be due to more training."


def code_mixed(found: Sequence[tuple[str, Mapping[str, Sequence[object]]]], pooled: bool) -> list[str]:
    """Return a warning for each experiment whose seeds were trained with different versions of the user's code."""
    then = "they share a row, as --pool-code asks" if pooled else "each has a row of its own; --pool-code joins them"
    lines = []
    for name, seeds in found:
        parts = [f"{version}: seed{'s' * (len(n) > 1)} {', '.join(map(str, n))}" for version, n in seeds.items()]
        lines.append(f"The imported code changed between the seeds of {name}: {'; '.join(parts)}. So {then}.")
    return lines
