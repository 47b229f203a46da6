"""Range tests in the report, in words and figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.analysis import fits
from lrbench.errors import FolderError
from lrbench.lr_finder import Advice, FinderFolder, Finding, find_tests, load_finding

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Tested:
    """A range test as read from its folder: its finding, or what is wrong with the folder."""

    folder: FinderFolder
    finding: Finding | None
    problem: str = ""

    @property
    def name(self) -> str:
        """The config's name, or the folder's."""
        return self.finding.experiment.name if self.finding else self.folder.name

    def words(self) -> list[str]:
        """Describe the suggested learning rates and why, or why there are none."""
        if self.finding is None:
            return [f"damaged: {self.problem}"]
        advice, count, ramp = self.finding.advice, len(self.finding.curves), self.finding.ramp
        measured = ", validation loss" * ramp.validation + ", linear" * (ramp.shape == "linear")
        over = f"{ramp.start:g} … {ramp.end:g} over {ramp.iterations:,} steps{measured}"
        how = f"{count} {ramp.repeats if count > 1 else ramp.repeat}, {over}; {self.folder.name}"
        if not isinstance(advice, Advice):
            return [f"no suggestion ({how}): {advice}."]
        found = self.finding.suggestions.items()
        methods = ", ".join(f"{name} {one.median:.2g}" for name, one in found if one.median is not None)
        return [
            f"{advice.initial:.2g} constant, or as the start of a decay ({how}): {advice.how['initial']}.",
            f"{advice.maximum:.2g} as the maximum of one_cycle: {advice.how['maximum']}.",
            f"{advice.low:.2g} … {advice.high:.2g} as the bounds of a cyclical schedule: {advice.how['low']}.",
            f"By method (median over {ramp.repeats}): {methods}.",
            *(f"Note: {note}." for note in advice.notes),
        ]

    def figure(self) -> Figure | None:
        """Draw the figure; None if there is nothing to draw."""
        from lrbench.reports.figures import range_test

        return None if self.finding is None else range_test.draw(self.finding)


def read_tests(paths: Iterable[Path]) -> list[Tested]:
    """Read the range tests among `paths` and in folders of runs."""
    tests = []
    for folder in find_tests(paths):
        try:
            tests.append(Tested(folder, load_finding(folder)))
        except FolderError as error:
            tests.append(Tested(folder, None, str(error)))
    return tests


def kept_tests(tests: Sequence[Tested], filters: Sequence[str]) -> list[Tested]:
    """Return the range tests whose configs match all filters; a damaged one matches none."""

    def matches(test: Tested, text: str) -> bool:
        return test.finding is not None and fits(test.finding.experiment.plain(), (test.name, test.folder.name), text)

    return [test for test in tests if all(matches(test, text) for text in filters)]
