"""The figures of a report: the main one and the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from lrbench.analysis import families
from lrbench.analysis import family_words as sensitivity_words
from lrbench.reports.figures import overview, seeds
from lrbench.reports.figures.sensitivity import draw as draw_sensitivity
from lrbench.reports.figures.style import drawing
from lrbench.reports.shown import Shown


@dataclass(frozen=True)
class Drawn:
    """A figure of a report.

    Attributes:
        name: name of its files.
        heading: its heading.
        figure: the figure.
        words: what it shows, in sentences.
    """

    name: str
    heading: str
    figure: Figure
    words: Sequence[str] = ()


def main(shown: Shown) -> Figure:
    """Draw the main figure for at least one group."""
    with drawing():
        return overview.draw(shown.groups, None if shown.comparison is None else shown.comparison.against.group)


def draw(shown: Shown) -> list[Drawn]:
    """Draw every seed's value, the sensitivity to the learning rate and the time to the target, as far as possible."""
    drawn = []
    with drawing():
        if shown.comparison is not None:
            measure = shown.comparison.measure
            heading = f"Every seed: {measure.words}"
            drawn.append(Drawn("seeds", heading, seeds.final_values(shown.comparison)))
            found = families([row for row in shown.groups if not row.first.confirms], measure)
            if found:
                words = [sensitivity_words(family, measure) for family in found]
                drawn.append(
                    Drawn("rates", "Sensitivity to the learning rate", draw_sensitivity(found, measure), words)
                )
        if shown.target is not None and (times := seeds.times(shown.groups, shown.target)) is not None:
            drawn.append(Drawn("target", f"Time to {shown.target.words}", times))
    return drawn


def save(drawn: Sequence[Drawn], folder: Path) -> list[Path]:
    """Save each figure as PNG and SVG."""
    return [path for one in drawn for path in write(one.figure, folder / one.name)]


def write(drawn: Figure, path: Path) -> list[Path]:
    """Save a figure as PNG and SVG, reproducibly."""
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    with drawing():
        drawn.savefig(paths[0], dpi=150)
        drawn.savefig(paths[1], metadata={"Date": None})
    return paths
