"""The figures of a report: their files, and their pictures in the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from lrbench.analysis import family_words
from lrbench.reports import targets
from lrbench.reports.drawn import Drawn
from lrbench.reports.figures import arrivals, kinds, overview, seeds, sensitivity
from lrbench.reports.figures.style import write_both
from lrbench.reports.shown import Shown
from lrbench.reports.svg import inline


def draw_main(shown: Shown, folder: Path) -> list[Path]:
    """Draw the main figure of at least one group into a folder, and return its files. Raises FolderError."""
    return write_both(overview.draw(shown.groups, shown.against), folder / "report")


def draw(shown: Shown, folder: Path) -> list[Drawn]:
    """Draw the others: every seed's value, the sensitivity to the learning rate and the time to the target.

    Those that the runs do not allow are left out. Raises FolderError if `folder` can't be written.
    """
    return [
        Drawn(
            name, heading, inline(figure, name, " ".join((heading, *words))), write_both(figure, folder / name), words
        )
        for name, heading, figure, words in _figures(shown)
    ]


def _figures(shown: Shown) -> Iterator[tuple[str, str, Figure, Sequence[str]]]:
    if shown.comparison is not None:
        measure = shown.comparison.measure
        yield "seeds", f"Every seed: {measure.words}", kinds.draw("seeds", shown), ()
        if found := shown.families:
            words = [family_words(family, measure) for family in found]
            yield "rates", "Sensitivity to the learning rate", sensitivity.draw(found, measure), words
    if shown.target is not None and (times := seeds.times(shown.groups, shown.target)) is not None:
        yield "target", f"Time to {shown.target.words}", times, ()
        curves, profile = arrivals.draw(shown.groups, shown.target), targets.profile(shown.target, shown.groups)
        if curves is not None:
            yield "arrivals", f"Seeds that have reached {shown.target.words}", curves, profile
