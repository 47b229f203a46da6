"""What is said of a family: its best and good learning rates, runs without a value, and the minimum of its curve."""

from __future__ import annotations

from lrbench.analysis.curve import NoOptimum
from lrbench.analysis.labels import rate_text
from lrbench.analysis.optimum import optimum
from lrbench.analysis.sensitivity import Family, Good
from lrbench.components import Measure
from lrbench.errors import counted
from lrbench.runs import Status


def words(family: Family, measure: Measure) -> str:
    """Describe the best and the good learning rates, an end, runs without a value, and the minimum between."""
    best, good = family.best(measure), family.good(measure)
    if best is None:
        return f"{family.label}: no learning rate has a {measure.name_in_short}{_lost(family, measure)}."
    middle, count = best.centre(measure), len(best.values(measure))
    assert middle is not None  # the best one has one
    geometric = measure.by_ratio and min(best.values(measure), default=0) > 0
    over = f"{mean_text(geometric)} of {count} seeds" if count > 1 else "one seed"
    value, rate = f"{measure.name_in_short} {measure.text(middle)}", rate_text(best.lr)
    rate += f" with {best.group.part}" if best.group.part else ""
    if good is None or len({point.lr for point in family.points}) == 1:
        return f"{family.label}: {value} ({over}) at {rate}, the only learning rate tried{_lost(family, measure)}."
    lines = [f"{family.label}: best at {rate} ({value}, {over})"]
    within = within_text(good, measure, family.epsilon)
    if good.low == good.high:
        lines.append(f"; no neighbour is {within} of it")
    else:
        lines.append(f", {within} of it from {rate_text(good.low)} to {rate_text(good.high)} ({width_text(good)})")
    if edge := family.edge(measure):
        way = "higher" if edge == "highest" else "lower"
        lines.append(f"; the best is the {edge} learning rate tried, so try {way} ones")
    return "".join([*lines, _lost(family, measure), ".", _between(family, measure)])


def _between(family: Family, measure: Measure) -> str:
    """Tell the minimum of the curve through the learning rates, or why there is none, unless that is said already."""
    found = optimum(family, measure)
    if not isinstance(found, NoOptimum):
        return f" Between the learning rates tried, the curve has its minimum at {found.words}."
    return (
        ""
        if family.edge(measure)
        else f" The minimum between the learning rates tried is unknown, since {found.reason}."
    )


def mean_text(geometric: bool) -> str:
    """Name the centre of several values."""
    return "geometric mean" if geometric else "mean"


def within_text(good: Good, measure: Measure, epsilon: float) -> str:
    """`within 10 %`, `within 0.2 points`."""
    percent = measure.metric.form == "percent"
    points = f"{100 * good.margin:.2g}"
    return f"within {points} point{'s' * (points != '1')}" if percent else f"within {100 * epsilon:g} %"


def width_text(good: Good) -> str:
    """`0.9 decades`, or `at least 0.9 decades` if the good learning rates reach an end of those tried."""
    return f"{'at least ' if good.open_below or good.open_above else ''}{good.decades:.1f} decades"


def _lost(family: Family, measure: Measure) -> str:
    """Describe the runs that are not in the means and their learning rates."""
    total = sum(len(point.group.records) for point in family.points)
    failed = [sum(record.status is Status.FAILED for record in point.group.records) for point in family.points]
    counts = {
        "diverged": [point.lost(measure) - n for point, n in zip(family.points, failed, strict=True)],
        "failed": failed,
        "pruned": [point.pruned for point in family.points],
        "not finished": [point.unfinished for point in family.points],
    }
    told = []
    for kind, found in counts.items():
        lost = (rate_text(point.lr) for point, count in zip(family.points, found, strict=True) if count)
        rates = list(dict.fromkeys(lost))
        if rates:
            range_text = f"{len(rates)} learning rates from {rates[0]} to {rates[-1]}"
            listed = ", ".join(rates) if len(rates) < 4 else range_text
            told.append(f"; {sum(found)} of {counted(total, 'run')} {kind} (at {listed})")
    return "".join(told)
