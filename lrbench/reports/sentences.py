"""Comparisons in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lrbench.analysis import (
    CONFIDENCE,
    POWER,
    Comparison,
    Difference,
    Group,
    MoreSeeds,
    Row,
    Target,
    TargetTest,
    budgets,
    mean_text,
    measures_of,
)
from lrbench.components import Measure, in_words

MOST_NAMED = 4


def sentences(comparison: Comparison) -> list[str]:
    """Describe the best group, and how the others compare with it or the baseline."""
    best, measure = comparison.best, comparison.measure
    by_value = sorted((row for row in comparison.rows if row.n), key=lambda row: measure.sign * row.centre)
    extreme, other = ("lowest", "highest") if measure.lower else ("highest", "lowest")
    whole = f"{measure.words}, {centre_text(best, measure)}{_on_test(best.group, measure)}"
    shares = [row.lost / row.ended for row in comparison.rows]
    if len(shares) > 1 and len(set(shares)) == 1 and by_value[0].centre == by_value[-1].centre:
        return [f"All groups have the same {whole}.", _others(comparison)]
    if by_value[0].centre == best.centre:
        first = f"{best.group.short} has the {extreme} {whole}"
    elif shares.count(shares[0]) > 1:
        least = "of the groups that lost the smallest share of their seeds"
        first = f"{best.group.short} is first: {least}, it has the {extreme} {whole}"
    else:
        first = f"{best.group.short} is first, since it lost the smallest share of its seeds; its "
        first += f"{measure.words} is {centre_text(best, measure)}{_on_test(best.group, measure)}"
    if len(comparison.rows) == 1:
        return [f"{first}."]
    last = by_value[-1]
    if last.centre != best.centre:
        first += f"; {last.group.short} has the {other}, {measure.text(last.centre)}"
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
            return f", with a test {in_words(metric.name)} of {metric.text(found.centre)}"
    return ""


def chosen_on_test(measure: Measure) -> str | None:
    """Return a warning if test data choose the best."""
    if not measure.section.startswith("test"):
        return None
    return "Compared by test data: the best of several looks better on it than it is, so choose by validation data."


def centre_text(row: Row, measure: Measure) -> str:
    """`0.0297 (geometric mean of 8 seeds; 95% interval 0.0287 … 0.0308)`."""
    middle, ends = measure.text(row.centre), interval(row, measure)
    if row.n == 1:
        return f"{middle} (one seed)"
    mean = mean_text(row.estimate is not None and row.estimate.logs)
    apart = f"; {lost_text(row, measure)}" if row.group.plateau(measure.name) else ""
    return f"{middle} ({mean} of {row.n} seeds; {CONFIDENCE:.0%} interval {ends}{apart})"


def interval(row: Row, measure: Measure) -> str:
    """`0.0287 … 0.0308`; a dash with fewer than two seeds."""
    found = row.estimate
    if found is None or found.low is None or found.high is None:
        return "–"
    return f"{measure.text(found.low)} … {measure.text(found.high)}"


_STARTS = {
    "better": "better",
    "probably better": "probably better",
    "tie": "a tie with",
    "undecided": "undecided",
    "probably worse": "probably worse",
    "worse": "worse",
}


def p_text(p: float, digits: int = 2) -> str:
    """`p = 0.002`; `p < 0.0001` for one that is too small to tell."""
    return f"p = {p:.{digits}g}" if p >= 0.0001 else "p < 0.0001"


def _others(comparison: Comparison) -> str:
    against = comparison.against.group.short
    if comparison.single:
        more = "use --seeds 3 or more"
        if all(row.group.first.plain.get("recorded") is not None for row in comparison.rows):
            more = "repeat the runs"
        return f"With one seed, small differences may be chance; {more} to see the spread."
    others = [row for row in comparison.rows if row is not comparison.against]
    parts = []
    for word, start in _STARTS.items():
        rows = [row for row in others if row.answer and row.answer.word == word]
        if rows and word.startswith("probably"):
            known = [_unproven(row, comparison) for row in rows]
            proof = f"{_fewest(rows)} seeds can't prove it among {len(comparison.rows)} groups"
            parts.append(f"{start}: {_listed(known)}, though {proof}")
        elif rows:
            parts.append(f"{start}: {named(rows, comparison.measure)}{_more(rows) if word == 'undecided' else ''}")
    open_ones = [row for row in others if row.answer is None]
    few = open_ones if comparison.against.n > 1 else []
    parts += [f"too few seeds: {named(few, comparison.measure)}"] if few else []
    if len(open_ones) > len(few):
        parts += [f"too few seeds of {against} to compare {named(open_ones, comparison.measure)} with it"]
    return f"Compared with {against}, {'; '.join(parts)}."


def _fewest(rows: Sequence[Row]) -> int:
    return min(row.difference.n or row.ended for row in rows if row.difference)


def _unproven(row: Row, comparison: Comparison) -> str:
    if row.difference is None or not row.difference.n:
        return f"{row.group.short} ({_shares(row, comparison)})"
    return f"{named([row], comparison.measure)} ({apart(row.difference, comparison.measure)})"


def named(rows: Sequence[Row], measure: Measure) -> str:
    """List the names of groups, the first few of many, with their lost seeds."""
    return _listed([row.group.short + (f" ({lost_text(row, measure)})" if row.lost else "") for row in rows])


def lost_text(row: Row, measure: Measure) -> str:
    """`2 of 8 seeds diverged`, `2 of 8 seeds diverged or failed`, `1 of 8 seeds ended on a plateau at 2.3`."""
    statuses = [record.status for record in row.group.records if record.status.lost]
    kinds, stuck = sorted({status.words for status in statuses}), row.group.plateau(measure.name).values()
    if stuck:
        ends = dict.fromkeys(measure.text(value) for value in (min(stuck), max(stuck)))
        kinds.append(f"ended on a plateau at {' … '.join(ends)}")
    kinds += [f"without a {measure.words}"] if row.lost > len(statuses) + len(stuck) else []
    return f"{row.lost} of {row.ended} seeds {' or '.join(kinds)}"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _more(rows: Sequence[Row]) -> str:
    """Describe how many more seeds would decide the first of these."""
    wanted = [row.answer.more_seeds for row in rows if row.answer and row.answer.more_seeds]
    if not wanted:
        return "" if any(row.lost for row in rows) else " (more than a thousand seeds)"
    each = " to decide the first" if len(rows) > 1 else ""
    return f" (about {_seeds(min(wanted, key=lambda more: more.count))}{each} with {POWER:.0%} power)"


def _seeds(more: MoreSeeds) -> str:
    """`8 more seeds (3 … 20)`; the range is of those for 50% and 95% power."""
    high = "more than a thousand" if more.high is None else str(more.high)
    ends = f" ({more.low} … {high})" if more.high != more.low else ""
    return f"{more.count} more seed{'s' * (more.count != 1)}{ends}"


def against(row: Row, comparison: Comparison) -> str:
    """`+59 % (41 … 79), worse`, `worse (6 of 6 diverged, p = 0.002)`; a dash for the group itself."""
    if row.difference is None or row.answer is None:
        return "–"
    if not row.difference.n:
        return f"{row.answer.word} ({_shares(row, comparison)})"
    more = f", {_seeds(row.answer.more_seeds)}" if row.answer.more_seeds else ""
    return f"{apart(row.difference, comparison.measure)}, {row.answer.word}{more}{_failures(row, comparison)}"


def _failures(row: Row, comparison: Comparison) -> str:
    """`; 8 of 20 seeds diverged, against 0 of 20 (Fisher's exact p 0.003)`, if the shares differ."""
    found, other = None if row.difference is None else row.difference.failures, comparison.against
    if found is None or not found.excess:
        return ""
    told = lost_text(row, comparison.measure) if row.lost else f"no seed of {row.ended} lost"
    return f"; {told}, against {other.lost} of {other.ended} (Fisher's exact p {found.p:.2g})"


def _shares(row: Row, comparison: Comparison) -> str:
    """`6 of 6 diverged, p = 0.002`, `5 of 6 diverged, against 1 of 6, p = 0.08` if the other group lost seeds too."""
    found, other = None if row.difference is None else row.difference.failures, comparison.against
    told = lost_text(row, comparison.measure).replace(" seeds", "") if row.lost else f"0 of {row.ended} lost"
    told += f", against {other.lost} of {other.ended}" if other.lost else ""
    return told if found is None else f"{told}, {p_text(found.p, 1)}"


def apart(found: Difference, measure: Measure) -> str:
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


_DECIDED = {
    "better": "{a} is better than {b}",
    "probably better": "{a} is probably better than {b}, which is not proven",
    "tie": "{a} and {b} are tied",
    "undecided": "It is undecided whether {a} is better than {b}",
    "probably worse": "{a} is probably worse than {b}, which is not proven",
    "worse": "{a} is worse than {b}",
}


def decided(comparison: Comparison, row: Row, tries: int = 1) -> str:
    """Describe how a group compares with the reference group, the best of `tries`, in one sentence."""
    other, measure, found, answer = comparison.against, comparison.measure, row.difference, row.answer
    start = _DECIDED["undecided" if answer is None else answer.word].format(a=row.group.label, b=other.group.label)
    said = f"{start}: {measure.words} {_value(row, measure)}, against {_value(other, measure)}"
    if found is None or answer is None:
        return f"{said}; too few seeds to compare."
    corrected = f", corrected for {tries} tries" if tries > 1 else ""
    if not found.n:
        return f"{said}; {_shares(row, comparison)}{corrected and f'{corrected}: {p_text(answer.p)}'}."
    wanted = answer.more_seeds
    more = f"; about {_seeds(wanted)} each would decide with {POWER:.0%} power" if wanted else ""
    return f"{said}; {apart(found, measure)}, {p_text(answer.p)}{corrected}{_failures(row, comparison)}{more}."


def _value(row: Row, measure: Measure) -> str:
    return centre_text(row, measure) if row.n else "unknown" if not row.lost else f"none ({lost_text(row, measure)})"


def reached(target: Target, test: TargetTest) -> str:
    """Describe whether a group passes a target, in one sentence."""
    row, p = test.row, test.p_fails if test.word == "fails" else test.p
    start = "It is undecided whether {} passes" if test.word == "undecided" else f"{{}} {test.word}"
    said = f"{start.format(row.group.label)} {target.words}: {_value(row, target.measure)}"
    said += f"; {lost_text(row, target.measure)}" if row.lost and row.n else ""
    said += "" if p is None else f", {p_text(p)}"
    if test.first is not None:
        epoch = "" if test.first.epoch is None else f" (epoch {test.first.epoch:.4g})"
        said += f"; it first passes at step {test.first.step:,}{epoch}"
    more = test.more_seeds
    return f"{said}; about {_seeds(more)} would decide with {POWER:.0%} power." if more else f"{said}."


def unequal(groups: Sequence[Group]) -> str | None:
    """Return a warning if groups had different training budgets."""
    found = budgets(groups)
    if len(found) < 2:
        return None
    parts = []
    for budget, members in found.items():
        whose = members[0].short if len(members) == 1 else f"{len(members)} groups"
        parts.append(f"{budget} ({whose})")
    return f"Unequal budgets: {'; '.join(parts)}. A lower loss may only be due to more training."


def code_mixed(found: Sequence[tuple[str, Mapping[str, Sequence[object]]]], pooled: bool) -> list[str]:
    """Return a warning for each experiment whose seeds were trained with different versions of the user's code."""
    apart = "each has a row of its own; lrbench report --pool-code joins them"
    then = "they share a row, as --pool-code asks" if pooled else apart
    lines = []
    for name, seeds in found:
        parts = [f"{version}: seed{'s' * (len(n) > 1)} {', '.join(map(str, n))}" for version, n in seeds.items()]
        lines.append(f"The imported code changed between the seeds of {name}: {'; '.join(parts)}. So {then}.")
    return list(dict.fromkeys(lines))
