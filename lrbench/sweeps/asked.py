"""A sweep that was asked for: its runs, and what has become of them so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lrbench.analysis import EPSILON
from lrbench.runs import Status
from lrbench.sweeps.grid import Cell
from lrbench.sweeps.plan import Plan, SweepFolder
from lrbench.sweeps.status import expected_seconds
from lrbench.sweeps.summary import Summary, summarize
from lrbench.sweeps.zoom import Step
from lrbench.training import Outcome, default_jobs, pending
from lrbench.types import Displayed


@dataclass
class Sweep(Displayed):
    """A sweep: its plan and the outcomes of its runs.

    Attributes:
        folder: `runs/sweeps/<name>/`.
        plan: the sweep's runs.
        cells: what to train, in the order of the plan's cells.
        outcomes: the outcome of each cell, in the same order; before execution, what was found.
        duplicates: the number of cells left out because they equal another one.
        auto: in a dry run, the names of configs whose `lr: auto` still needs a range test.
        steps: of a zoom, what each line's last step was, and why.
    """

    folder: SweepFolder
    plan: Plan
    cells: list[Cell]
    outcomes: list[Outcome]
    duplicates: int = 0
    auto: tuple[str, ...] = ()
    steps: dict[str, Step] = field(default_factory=dict)

    @property
    def todo(self) -> list[Outcome]:
        """The runs that are still pending."""
        return pending(self.outcomes)

    def expected_seconds(self, jobs: int | None) -> float | None:
        """Estimate how long the rest takes from finished runs; None if they can't tell."""
        at_once = jobs or default_jobs([outcome.experiment for outcome in self.outcomes])
        return expected_seconds(self.outcomes, at_once, self.folder.root)

    def summary(self, epsilon: float = EPSILON) -> Summary:
        """Summarize the results so far, those of earlier confirmations too."""
        failed = {outcome.path.name for outcome in self.outcomes if outcome.status is Status.FAILED}
        found = summarize(self.folder, self.folder.joined(self.plan), epsilon, failed=failed)
        return replace(found, steps=self.steps)
