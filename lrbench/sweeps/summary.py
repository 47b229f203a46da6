"""What the finished cells of a sweep say: quality against the rate for each line, the best rate, how sure that is."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lrbench.analysis import sensitivity_rule
from lrbench.analysis.sensitivity_rule import Edge
from lrbench.analysis.spread import Spread
from lrbench.errors import LrbenchError
from lrbench.sweeps.plan import Plan, Planned, SweepFolder

EPSILON = sensitivity_rule.EPSILON

State = Literal["new", "running", "interrupted", "finished", "diverged", "stopped_early", "pruned", "failed", "damaged"]


@dataclass(frozen=True)
class Cell:
    """A cell as its run's folder tells it."""

    planned: Planned
    state: State
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """True where the run went to its end; a diverged one counts too, as worse than any."""
        return self.state in ("finished", "stopped_early", "diverged")

    def metric(self, section: str, name: str) -> float | None:
        """A number of the result, None where it has none."""
        value = (self.result.get(section) or {}).get(name)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


METRICS = {
    "val_loss": ("final", "val_loss"),
    "val_accuracy": ("final", "val_accuracy"),
    "test_loss": ("test", "loss"),
    "test_accuracy": ("test", "accuracy"),
}


@dataclass(frozen=True)
class Point:
    """One rate of one line, over its seeds."""

    lr: float | None
    cells: tuple[Cell, ...]

    def spread(self, metric: str) -> Spread | None:
        """Median and range over the seeds that ended; None where any was pruned, since the others are a choice.

        Of the validation loss a diverged run's is worse than any.
        """
        if self.count("pruned"):
            return None
        ended = [cell.metric(*METRICS[metric]) for cell in self.cells if cell.counts]
        return Spread.ranked(ended) if metric == "val_loss" else Spread.of(ended)

    @property
    def loss(self) -> float:
        """The median of the final validation loss; infinite where there is none, or most have diverged."""
        spread = self.spread("val_loss")
        return math.inf if spread is None else spread.median

    def count(self, *states: State) -> int:
        """How many of its seeds are in one of these states."""
        return sum(cell.state in states for cell in self.cells)

    @property
    def missing(self) -> int:
        """How many of its seeds have not come to an end."""
        return self.count("new", "running", "interrupted", "failed", "damaged")


@dataclass(frozen=True)
class Curve:
    """One line: quality against the rate."""

    series: str
    points: tuple[Point, ...]

    @property
    def best(self) -> Point | None:
        """The point with the lowest median of the final validation loss, of those that no pruning has cut."""
        at = sensitivity_rule.best(self._losses)
        return None if at is None else self.points[at]

    @property
    def neighbours(self) -> tuple[Point | None, Point | None]:
        """The points left and right of the best one."""
        at = sensitivity_rule.best(self._losses)
        if at is None:
            return None, None
        return self.points[at - 1] if at else None, self.points[at + 1] if at + 1 < len(self.points) else None

    @property
    def edge(self) -> Edge:
        """At which end of the grid the best rate lies, if it does."""
        return sensitivity_rule.edge(self._losses)

    def near(self, epsilon: float) -> tuple[float, float] | None:
        """The lowest and the highest rate, without a gap around the best one, whose loss is within ε of its loss."""
        best = self.best
        if best is None or best.lr is None:
            return None
        found = sensitivity_rule.near(self._losses, epsilon * abs(best.loss))
        assert found is not None  # there is a best one
        low, high = (self.points[at].lr for at in found)
        return None if low is None or high is None else (low, high)

    @property
    def _losses(self) -> list[float]:
        return [point.loss for point in self.points]


@dataclass(frozen=True)
class Summary:
    """A sweep's result so far.

    Attributes:
        plan: what it consists of.
        curves: its lines, in the order asked for.
        confirmation: the runs of the winner with fresh seeds, None where there are none.
        epsilon: see `Curve.near`.
    """

    plan: Plan
    curves: tuple[Curve, ...]
    confirmation: Point | None = None
    epsilon: float = EPSILON

    @property
    def winner(self) -> tuple[Curve, Point] | None:
        """The line and the point with the lowest median of the final validation loss."""
        found = [(curve, curve.best) for curve in self.curves]
        known = [(curve, best) for curve, best in found if best is not None]
        return min(known, key=lambda pair: pair[1].loss, default=None)

    @property
    def cells(self) -> list[Cell]:
        """All cells of the grid."""
        return [cell for curve in self.curves for point in curve.points for cell in point.cells]

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each line and rate, and one for the confirmation."""
        for curve in self.curves:
            best, near = curve.best, curve.near(self.epsilon)
            for point in curve.points:
                lr = point.lr
                marks = {
                    "best": int(point is best),
                    "near": int(near is not None and lr is not None and near[0] <= lr <= near[1]),
                    "edge": curve.edge if point is best else "",
                }
                yield {"series": curve.series, **_row(point), **marks}
        if self.confirmation is not None and self.winner is not None:
            yield {"series": f"{self.winner[0].series} (confirmation)", **_row(self.confirmation)}

    def csv(self) -> str:
        """The rows as CSV."""
        text = io.StringIO()
        rows = list(self.rows())
        table = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["series"], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        return text.getvalue()


def summarize(folder: SweepFolder, plan: Plan, epsilon: float = EPSILON) -> Summary:
    """Read the cells of a plan from their runs' folders. What can't be read is `damaged`, and in no median."""
    cells = [_read(folder, planned) for planned in plan.cells]
    curves = []
    for series in plan.series:
        mine = [cell for cell in cells if cell.planned.series == series and not cell.planned.confirms]
        curves.append(Curve(series, _points(mine)))
    fresh = tuple(cell for cell in cells if cell.planned.confirms)
    confirmation = Point(fresh[0].planned.lr, fresh) if fresh else None
    return Summary(plan, tuple(curve for curve in curves if curve.points), confirmation, epsilon)


def _points(cells: Sequence[Cell]) -> tuple[Point, ...]:
    rates = sorted({cell.planned.lr for cell in cells}, key=lambda lr: -1.0 if lr is None else lr)
    return tuple(Point(lr, tuple(cell for cell in cells if cell.planned.lr == lr)) for lr in rates)


def _read(folder: SweepFolder, planned: Planned) -> Cell:
    run = folder.run(planned)
    try:
        result = run.result()
        if result is not None and result.get("identity") not in (None, planned.identity):
            return Cell(planned, "damaged")
        return Cell(planned, run.state(), result or {})
    except (LrbenchError, OSError):
        return Cell(planned, "damaged")


def _row(point: Point) -> dict[str, Any]:
    row: dict[str, Any] = {
        "lr": "" if point.lr is None else repr(point.lr),
        "seeds": len(point.cells),
        "finished": point.count("finished", "stopped_early"),
        "diverged": point.count("diverged"),
        "pruned": point.count("pruned"),
        "failed": point.count("failed", "damaged"),
        "missing": point.count("new", "running", "interrupted"),
    }
    for metric in METRICS:
        spread = point.spread(metric)
        for part in ("median", "low", "high"):
            row[f"{metric}_{part}"] = "" if spread is None else repr(getattr(spread, part))
    return row
