"""Comparisons in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    return [f"{first}; {last.group.label} has the {other}, {measure.text(last.estimate.centre)}.", _others(comparison)]


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


def _others(comparison: Comparison) -> str:
    against = comparison.against.group.label
    if all(row.estimate.n == 1 for row in comparison.rows):
        return "With one seed, small differences may be chance; use --seeds 3 or more to see the spread."
    said: dict[str, list[Row]] = {word: [] for word in _STARTS}
    for row in comparison.rows:
        if row is not comparison.against:
            said[row.answer.word if row.answer else ""].append(row)
    parts = []
    for word, rows in said.items():
        if rows and word.startswith("probably"):
            known = [f"{named([row])} ({_apart(row.difference, comparison.measure)})" for row in rows if row.difference]
            proof = f"{_fewest(rows)} seeds can't prove it among {len(comparison.rows)} groups"
            parts.append(f"{_STARTS[word]} {_listed(known)}, though {proof}")
        elif rows:
            parts.append(f"{_STARTS[word]} {named(rows)}{_more(rows) if word == 'undecided' else ''}")
    return f"Compared with {against}, {'; '.join(parts)}."


_STARTS = {
    "better": "better:",
    "probably better": "probably better:",
    "tie": "a tie with:",
    "undecided": "undecided:",
    "probably worse": "probably worse:",
    "worse": "worse:",
    "": "too few seeds:",
}


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
    measure, name = comparison.measure, comparison.against.group.label
    named = "" if measure.name == DEFAULT_METRIC else f" in {measure.words}"
    of = "" if measure.name == DEFAULT_METRIC else f" of {measure.words}"
    found: list[Column] = [
        *_asked_for(comparison),
        _column(comparison, f"95 % interval{of}", lambda row: _interval(row, measure), _interval_numbers),
        _column(
            comparison,
            f"interquartile mean{of}",
            lambda row: measure.text(row.estimate.iqm),
            lambda row: {"iqm": row.estimate.iqm},
        ),
        _column(comparison, f"against {name}{named}", lambda row: against(row, comparison), _difference_numbers),
        _column(
            comparison,
            "rank",
            _rank,
            lambda row: dict(zip(("rank_best", "rank_worst"), row.ranks or (None,) * 2, strict=True)),
        ),
    ]
    return found if comparison.ranked else found[:-1]


def _asked_for(comparison: Comparison) -> list[Column]:
    """Return the centres of the compared metric, unless it is the default, which is always in the table."""
    measure = comparison.measure
    if measure.name == DEFAULT_METRIC:
        return []

    def numbers(row: Row) -> dict[str, Any]:
        return {"metric": measure.name, "centre": row.estimate.centre, "median": row.estimate.median}

    heading = f"compared: {measure.words}"
    return [_column(comparison, heading, lambda row: measure.text(row.estimate.centre), numbers)]


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

    return Column(heading, of, of, numbers_of)


def _interval(row: Row, measure: Measure) -> str:
    low, high = row.estimate.low, row.estimate.high
    return "–" if low is None or high is None else f"{measure.text(low)} … {measure.text(high)}"


def _interval_numbers(row: Row) -> dict[str, Any]:
    return {"n": row.estimate.n, "interval_low": row.estimate.low, "interval_high": row.estimate.high}


def _difference_numbers(row: Row) -> dict[str, Any]:
    found, answer = row.difference, row.answer
    failures = None if found is None else found.failures
    values = (None,) * 3 if found is None else found.relative if found.logs else (found.mean, found.low, found.high)
    return {
        **dict(zip(("difference", "difference_low", "difference_high"), values, strict=True)),
        "relative": None if found is None else found.logs,
        "pairs": None if found is None else found.n,
        "p": None if found is None else found.p,
        "p_corrected": None if answer is None else answer.p,
        "p_permutation": row.permutation,
        "lost": row.lost,
        "p_lost": None if failures is None else failures.p,
        "answer": None if answer is None else answer.word,
    }


def _rank(row: Row) -> str:
    if row.ranks is None:
        return "–"
    low, high = row.ranks
    return str(low) if low == high else f"{low}–{high}"


def method(comparison: Comparison) -> str | None:
    """Describe the statistical method."""
    if all(row.estimate.n == 1 for row in comparison.rows):
        return None
    ratios = comparison.measure.by_ratio
    scale = "logarithms" if ratios else "values"
    margin = f"{MARGIN:.0%}" if ratios else f"{100 * PERCENT_MARGIN:g} points"
    pairs = any(row.difference and row.difference.paired for row in comparison.rows)
    paired = "pairs of equal seeds" if pairs else "independent seeds (Welch)"
    chosen = (
        "as many comparisons" if comparison.chosen else "twice as many comparisons, since the same runs chose the best"
    )
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
    parts = [f"{budget} ({_counted(members)})" for budget, members in found.items()]
    return f"Unequal budgets: {'; '.join(parts)}. A lower loss may only be due to more training."


def _counted(members: Sequence[Group]) -> str:
    return members[0].label if len(members) == 1 else f"{len(members)} groups"


def code_mixed(found: Sequence[tuple[str, Mapping[str, Sequence[object]]]], pooled: bool) -> list[str]:
    """Return a warning for each experiment whose seeds were trained with different versions of the user's code."""
    then = "they share a row, as --pool-code asks" if pooled else "each has a row of its own; --pool-code joins them"
    lines = []
    for name, seeds in found:
        parts = [f"{version}: seed{'s' * (len(n) > 1)} {', '.join(map(str, n))}" for version, n in seeds.items()]
        lines.append(f"The imported code changed between the seeds of {name}: {'; '.join(parts)}. So {then}.")
    return lines
