"""The figures of a report besides the main one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from lrbench.analysis import family_words
from lrbench.reports import targets
from lrbench.reports.figures import arrivals, kinds, seeds, sensitivity
from lrbench.reports.shown import Shown


@dataclass(frozen=True)
class Drawn:
    """A figure of a report, the name of its files, and what it shows, in sentences."""

    name: str
    heading: str
    figure: Figure
    words: Sequence[str] = ()


def draw(shown: Shown) -> list[Drawn]:
    """Draw every seed's value, the sensitivity to the learning rate and the time to the target, as far as possible."""
    drawn = []
    if shown.comparison is not None:
        measure = shown.comparison.measure
        drawn.append(Drawn("seeds", f"Every seed: {measure.words}", kinds.draw("seeds", shown)))
        if found := shown.families:
            words = [family_words(family, measure) for family in found]
            drawn.append(Drawn("rates", "Sensitivity to the learning rate", sensitivity.draw(found, measure), words))
    if shown.target is not None and (times := seeds.times(shown.groups, shown.target)) is not None:
        drawn.append(Drawn("target", f"Time to {shown.target.words}", times))
        curves, words = arrivals.draw(shown.groups, shown.target), targets.profile(shown.target, shown.groups)
        if curves is not None:
            drawn.append(Drawn("arrivals", f"Seeds that have reached {shown.target.words}", curves, words))
    return drawn
