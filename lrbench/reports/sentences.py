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
)
from lrbench.components import Measure
from lrbench.errors import counted, option

MOST_NAMED = 4


def chosen_on_test(measure: Measure) -> str | None:
    """Return a warning if test data choose the best."""
    if not measure.section.startswith("test"):
        return None
    return "Compared by test data, on which the best of several looks better than it is: choose by validation data."


def centre_text(row: Row, measure: Measure) -> str:
    """`0.0297 (geometric mean of 8 seeds; 95% interval 0.0287 … 0.0308)`."""
    middle, ends = measure.text(row.centre), interval(row, measure)
    if row.n == 1:
        return f"{middle} (one seed)"
    mean = mean_text(row.estimate is not None and row.estimate.logs)
    if row.n == 2:  # the interval of two may go from a hundredth to a hundred times the mean
        ends = " and ".join(measure.text(value) for value in sorted(row.values.values()))
        return f"{middle} ({mean} of 2 seeds, {ends}{_stuck(row, measure)})"
    return f"{middle} ({mean} of {row.n} seeds; {CONFIDENCE:.0%} interval {ends}{_stuck(row, measure)})"


def _stuck(row: Row, measure: Measure) -> str:
    return f"; {lost_text(row, measure)}" if row.group.plateau(measure.name) else ""


def interval(row: Row, measure: Measure) -> str:
    """`0.0287 … 0.0308`; a dash with fewer than two seeds."""
    found = row.estimate
    if found is None or found.low is None or found.high is None:
        return "–"
    return f"{measure.text(found.low)} … {measure.text(found.high)}"


def p_text(p: float, digits: int = 2) -> str:
    """`p = 0.002`; `p < 0.0001` for one that is too small to tell."""
    return f"p = {p:.{digits}g}" if p >= 0.0001 else "p < 0.0001"


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
    return f"{row.lost} of {counted(row.ended, 'seed')} {' or '.join(kinds)}"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _seeds(more: MoreSeeds) -> str:
    """`8 more seeds (3 … 20)`; the range is of those for 50% and 95% power."""
    high = "more than a thousand" if more.high is None else str(more.high)
    ends = f" ({more.low} … {high})" if more.high != more.low else ""
    return f"{counted(more.count, 'more seed')}{ends}"


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
        if found.relative[0] >= TENFOLD:
            middle, low, high = (times_text(1 + value) for value in found.relative)
            return f"× {middle} ({low} … {high})"
        middle, low, high = (_percent(value) for value in found.relative)
        return f"{middle} % ({low} … {high})"
    values = found.mean, found.low, found.high
    if measure.form != "percent":
        middle, low, high = (f"{value:+z.3g}" for value in values)
        return f"{middle} ({low} … {high})"
    middle, low, high = (f"{100 * value:+z.2f}" for value in values)
    return f"{middle} points ({low} … {high})"


def times_text(times: float) -> str:
    """Format a factor with two digits: `3.4`, `41`, `5,300`."""
    if times < 10:
        return f"{times:.2g}"
    return f"{float(f'{times:.2g}'):,.0f}" if times < 1e6 else "more than a million"


def _percent(part: float) -> str:
    """Format a fraction as a signed percentage, without a power of ten."""
    percent = 100 * part
    return f"{percent:+z.1f}" if abs(percent) < 10 else f"{percent:+,.0f}"


TENFOLD = 9.0
"""From ten times as much on, a difference is told as a factor rather than in percent."""
_DECIDED = {
    "better": "{a} is better than {b}",
    "probably better": "{a} is probably better than {b}, but this is not proven",
    "tie": "{a} and {b} are tied",
    "undecided": "It is undecided whether {a} is better than {b}",
    "probably worse": "{a} is probably worse than {b}, but this is not proven",
    "worse": "{a} is worse than {b}",
}


def decided(comparison: Comparison, row: Row, tries: int = 1) -> str:
    """Describe how a group compares with the reference group, the best of `tries`, in one sentence."""
    other, measure, found, answer = comparison.against, comparison.measure, row.difference, row.answer
    start = _DECIDED["undecided" if answer is None else answer.word].format(a=row.group.label, b=other.group.label)
    said = f"{start}: {measure.words} {_value(row, measure)}, against {_value(other, measure)}"
    if found is None or answer is None:
        pruned = row.group.pruned or other.group.pruned
        return f"{said}; {'a selection of seeds proves nothing' if pruned else 'too few seeds to compare'}."
    corrected = f", corrected for {tries} tries" if tries > 1 else ""
    if not found.n:
        return f"{said}; {_shares(row, comparison)}{corrected and f'{corrected}: {p_text(answer.p)}'}."
    wanted = answer.more_seeds
    more = f"; about {_seeds(wanted)} each would decide with {POWER:.0%} power" if wanted else ""
    return f"{said}; {apart(found, measure)}, {p_text(answer.p)}{corrected}{_failures(row, comparison)}{more}."


def _value(row: Row, measure: Measure) -> str:
    if row.n:
        return centre_text(row, measure)
    if row.group.pruned:
        return f"none ({row.group.selection})"
    return f"none ({lost_text(row, measure)})" if row.lost else "unknown"


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
    return f"Unequal budgets: {'; '.join(parts)}. More training alone may explain a lower loss."


def code_mixed(found: Sequence[tuple[str, Mapping[str, Sequence[object]]]], pooled: bool) -> list[str]:
    """Return a warning for each experiment whose seeds were trained with different versions of the user's code."""
    apart = f"each has a row of its own; {option('--pool-code')} joins them"
    then = f"they share a row, as {option('--pool-code')} asks" if pooled else apart
    lines = []
    for name, seeds in found:
        parts = [f"{version}: seed{'s' * (len(n) > 1)} {', '.join(map(str, n))}" for version, n in seeds.items()]
        lines.append(f"The imported code changed between the seeds of {name}: {'; '.join(parts)}. So {then}.")
    return list(dict.fromkeys(lines))
