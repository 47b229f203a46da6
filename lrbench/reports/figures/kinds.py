"""The kinds of figures, by name: what `lrbench figure`, the report and notebooks draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from lrbench.analysis import Family, at_best
from lrbench.components import Measure
from lrbench.errors import UsageError, counted, option
from lrbench.reports.figures import (
    arrivals,
    curves,
    heatmap,
    lengths,
    overview,
    range_test,
    seeds,
    sensitivity,
    story,
    tuned,
)
from lrbench.reports.figures.sheet import SCREEN, Sheet
from lrbench.reports.figures.swept import swept
from lrbench.reports.shown import Shown

MOST_NAMED = 8


@dataclass(frozen=True)
class Kind:
    """A kind of figure: what it shows, and the function that draws it.

    The function raises UsageError with the reason if there is nothing to draw. It takes what a report shows, the sheet,
    and the key of an axis, which only some kinds use.
    """

    words: str
    draw: Callable[[Shown, Sheet, str | None], Figure]


def _curves(shown: Shown, sheet: Sheet, axis: str | None) -> Figure:
    return curves.draw(_some(shown).groups, shown.against, shown.metric, sheet)


def _overview(shown: Shown, sheet: Sheet, axis: str | None) -> Figure:
    return overview.draw(_some(shown).groups, shown.against, shown.metric, sheet)


def _rates(shown: Shown, sheet: Sheet, axis: str | None) -> Figure:
    found, measure = families_in(shown)
    drawn = [family for family in found if all(point.lr is not None for point in family.points)]
    if not drawn:
        raise UsageError("a figure of learning rates needs runs at 3 or more of them that differ in nothing else")
    return sensitivity.draw(drawn, measure, sheet)


def _heatmap(shown: Shown, sheet: Sheet, axis: str | None) -> Figure:
    found, measure = families_in(shown)
    return heatmap.draw(swept(found, axis), measure, sheet)


def _lengths(shown: Shown, sheet: Sheet, axis: str | None) -> Figure:
    found, measure = families_in(shown)
    return lengths.draw(swept(found, axis, numeric=True, length=True), measure, sheet)


def _schedules(shown: Shown, sheet: Sheet, axis: str | None) -> Figure:
    found, measure = families_in(shown)
    return tuned.draw(at_best(found, measure, shown.confirmed), sheet)


def _seeds(shown: Shown, sheet: Sheet, axis: str | None) -> Figure:
    if shown.comparison is None:
        raise UsageError(
            f"a figure of seeds needs finished runs of one task; select one with {option('--filter')} dataset=…"
        )
    return seeds.final_values(shown.comparison, sheet)


def _target(shown: Shown, sheet: Sheet, axis: str | None) -> Figure:
    if shown.target is None:
        raise UsageError(f"a figure of times to a target needs {option('--target')}, such as val_accuracy=0.99")
    figure = seeds.times(shown.groups, shown.target, sheet)
    if figure is None:
        raise UsageError("no run has ended yet")
    return figure


def _arrivals(shown: Shown, sheet: Sheet, axis: str | None) -> Figure:
    if shown.target is None:
        raise UsageError(f"a figure of arrivals needs {option('--target')}, such as val_accuracy=0.99")
    figure = arrivals.draw(shown.groups, shown.target, sheet)
    if figure is None:
        raise UsageError(f"no run has reached {shown.target.words}")
    return figure


def _range_test(shown: Shown, sheet: Sheet, axis: str | None) -> Figure:
    known = [(test.name, test.finding) for test in shown.tests if test.finding is not None]
    if len(known) != 1:
        names = [f"{name} ({finding.folder.path.name})" for name, finding in known]
        listed = (
            f"; select one of {_listed(names)} with {option('--filter')}"
            if names
            else "; `lrbench find-lr CONFIG` makes one"
        )
        count = f"are {len(known)}" if known else "is none"
        raise UsageError(f"this figure draws one range test, and there {count}{listed}")
    return range_test.draw(known[0][1], sheet)


def _run(shown: Shown, sheet: Sheet, axis: str | None) -> Figure:
    if len(_some(shown).groups) != 1:
        labels = [group.label for group in shown.groups]
        how = f"name its folder, or select them with {option('--filter')} and one of these names"
        told = f"there are {counted(len(labels), 'group')}" if labels else "there is none"
        raise UsageError(
            f"this figure tells of one run, or of the seeds of one group, and {told}: {how}: {_listed(labels)}"
        )
    (group,) = shown.groups
    return story.draw(group, curves.curved([group], shown.metric), sheet)


KINDS: Mapping[str, Kind] = {
    "curves": Kind("curves of all runs together, with bands over the seeds", _curves),
    "rates": Kind("a metric against the learning rate, a line for each family, with optimum and interval", _rates),
    "heatmap": Kind("a metric by learning rate and another swept axis, with the ridge of optima", _heatmap),
    "lengths": Kind("how the best learning rate moves with training length or another number", _lengths),
    "schedules": Kind("families, such as schedules, each at its own best learning rate, with its tuning", _schedules),
    "seeds": Kind("every seed's value, with means and intervals", _seeds),
    "target": Kind("time to a target, every seed", _target),
    "arrivals": Kind("the share of seeds that have reached a target by a time", _arrivals),
    "range-test": Kind("a learning rate range test", _range_test),
    "run": Kind("one run: losses, learning rate, gradient norm", _run),
    "overview": Kind("curves of all runs, and a panel for each", _overview),
}
"""Every kind of figure, by the name that `lrbench figure` takes."""


def draw(kind: str, shown: Shown, sheet: Sheet = SCREEN, axis: str | None = None) -> Figure:
    """Draw a figure of a kind. Raises UsageError if there is nothing to draw, or no room."""
    with sheet.drawing():
        return KINDS[kind].draw(shown, sheet, axis)


def families_in(shown: Shown) -> tuple[list[Family], Measure]:
    """Return the families of learning rates of a report, without fresh seeds. Raises UsageError without results."""
    measure = shown.measure
    if measure is None:
        raise UsageError(
            f"no finished runs of one task; with runs of several tasks, select one with {option('--filter')} dataset=…"
        )
    return list(shown.families), measure


def _some(shown: Shown) -> Shown:
    if not shown.groups:
        raise UsageError("there are no runs to draw")
    return shown


def _listed(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
