"""How often the interval of the fitted learning rate is right, and what the fitted learning rate costs.

    python benchmarks/optimum.py --runs runs/dense --seeds 3

Three counts, each by the number of seeds and by the distance of the learning rates:

- simulated: known curves (a parabola, an asymmetric one, cliffs, a valley with straight walls), learning rates at a
  random offset, noise of which a part is shared by all learning rates of a seed;
- resampled: the curve of each dense sweep, smoothed, is the truth; noise as large as that sweep's;
- thinned: 5 or 7 of the 17 learning rates of a dense sweep (benchmarks/dense_sweeps.py), at every shift that keeps the
  minimum inside. The minimum of all 17, of all seeds, is the truth; its own error is told.

The curve of a dense sweep is a smoothing spline of the mean logarithms over the seeds, its stiffness chosen by
generalized cross-validation: another method than the one that is measured. Regret is how much worse the loss on the
true curve is than at its minimum, at the fitted learning rate and at the best one tried.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.interpolate import BSpline, make_smoothing_spline

sys.path.insert(0, str(Path(__file__).parent))

import dense_sweeps

from lrbench.analysis import Family, Group, NoOptimum, Optimum, Point, families, grouped, optimum, read_runs
from lrbench.components.metrics import LOSS, measures

MEASURES = measures((LOSS,))
VAL_LOSS = MEASURES["val_loss"]
BEND = 0.25  # costs above the lowest are compressed for the spline, as a cliff would bend it
NEAR = 1.25  # decades around the lowest point through which the spline goes
Curve = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Known(Group):
    """A group of which only the values by seed are known."""

    found: Mapping[int, float] = field(default_factory=dict)
    failed: int = 0

    def values(self, metric: str) -> dict[int | str, float]:
        """Return the values."""
        return dict(self.found)

    def lost(self, metric: str) -> int:
        """Return the number of seeds that diverged."""
        return self.failed


def family(x: np.ndarray, costs: np.ndarray) -> Family:
    """A family of learning rates 10**x, (n,), and the log losses of seeds, (n, seeds); NaN for a diverged one."""
    points = []
    for place, row in zip(x, costs, strict=True):
        kept = {seed: math.exp(cost) for seed, cost in enumerate(row) if math.isfinite(cost)}
        points.append(Point(float(10**place), Known("", (), MEASURES, found=kept, failed=len(row) - len(kept))))
    return Family("", tuple(points))


@dataclass(frozen=True)
class Truth:
    """A true curve, the place of its minimum, and its value there."""

    curve: Curve
    place: float
    value: float

    @classmethod
    def of(cls, curve: Curve, low: float, high: float) -> Truth:
        """Find the minimum between two places."""
        x = np.linspace(low, high, 4001)
        y = curve(x)
        at = int(np.nanargmin(y))
        return cls(curve, float(x[at]), float(y[at]))

    def regret(self, place: float) -> float:
        """Return how much higher the curve is at a place."""
        return float(self.curve(np.array([place]))[0]) - self.value


@dataclass
class Count:
    """What became of the fits of one kind."""

    tried: int = 0
    answered: int = 0
    held: int = 0
    widths: list[float] = field(default_factory=list)
    regret: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    below: int = 0

    def add(self, fit: Optimum | NoOptimum, best: float, truth: Truth) -> None:
        """Add a fit to the family whose best learning rate tried is `best`."""
        self.tried += 1
        if not isinstance(fit, Optimum):
            self.refused[fit.kind] += 1
            return
        self.answered += 1
        low, high = math.log10(fit.low), math.log10(fit.high)
        self.held += low <= truth.place <= high
        self.below += truth.place < low
        self.widths.append(fit.decades)
        for kept, lr in ((self.regret, fit.lr), (self.best, best)):
            kept.append(truth.regret(math.log10(lr)))

    def words(self) -> str:
        """One line of the table."""
        if not self.answered:
            return f"{self.tried:6} tried, none answered {dict(self.refused)}"
        regret, best = (100 * np.expm1(np.mean(one)) for one in (self.regret, self.best))
        return (
            f"{self.tried:6} tried, {self.answered / self.tried:4.0%} answered, held "
            f"{self.held / self.answered:6.1%} (truth below {self.below}, above "
            f"{self.answered - self.held - self.below}), width {np.median(self.widths):.2f}, regret {regret:.2f} % "
            f"(best tried {best:.2f} %), refused {dict(self.refused.most_common())}"
        )


Counts = dict[tuple[str, ...], Count]


def fit(counts: Counts, made: Family, truth: Truth, kind: str, *keys: str) -> None:
    """Fit a family and count it by the kind, the kind and each key, and all of them."""
    found, best = optimum(made, VAL_LOSS), made.best(VAL_LOSS)
    assert best is not None and best.lr is not None
    for kept in dict.fromkeys([(kind,), *((kind, key) for key in keys), (kind, *keys)]):
        counts.setdefault(kept, Count()).add(found, best.lr, truth)


def shapes() -> dict[str, Curve]:
    """Log losses by decades from the minimum, which is at 0."""

    def straight(x: np.ndarray) -> np.ndarray:
        return np.log(np.exp(-0.8 * x) / 3 + np.exp(2.4 * x) / 9) + 0.0

    def cliff(x: np.ndarray) -> np.ndarray:
        return 0.2 * x**2 + np.where(x > 0.6, 2.0, 0.0)

    def diverging(x: np.ndarray) -> np.ndarray:
        return np.where(x > 1.1, np.nan, 0.2 * x**2)

    return {
        "parabola": lambda x: 0.4 * x**2,
        "flat parabola": lambda x: 0.1 * x**2,
        "asymmetric": lambda x: np.where(x < 0, 0.15, 0.8) * x**2,
        "straight walls": lambda x: straight(x + math.log(1) / 3.2),
        "cliff": cliff,
        "diverging": diverging,
        "plateau": lambda x: 0.5 * np.tanh(x**2),
    }


def simulate(counts: Counts, times: int, draws: np.random.Generator) -> None:
    """Fit noisy values of known curves."""
    for (name, curve), seeds, step, noise in itertools.product(
        shapes().items(), (2, 3, 5, 10), (0.25, 0.5, 1.0), (0.01, 0.04, 0.12)
    ):
        truth = Truth.of(curve, -1, 1)
        told = ("simulated", name, f"{seeds} seeds", f"{step} decades", f"noise {noise}")
        for _ in range(times):
            count = max(5, round(3 / step) + 1)
            x = np.arange(count) * step
            x = x - x.mean() + draws.uniform(-0.75, 0.75) * min(1.0, 1.5 * step) + truth.place
            each = draws.normal(0, noise, (count, seeds)) * (1 + np.abs(x - truth.place))[:, None]
            costs = curve(x)[:, None] + each + draws.normal(0, 3 * noise, seeds)
            fit(counts, family(x, costs), truth, *told)


@dataclass(frozen=True)
class Dense:
    """A dense sweep: log₁₀ of its learning rates, (17,), log losses, (17, seeds), its smooth curve, and the error of
    that curve's minimum, in decades.
    """

    name: str
    x: np.ndarray
    costs: np.ndarray
    truth: Truth
    error: float

    @classmethod
    def of(cls, name: str, x: np.ndarray, costs: np.ndarray) -> Dense:
        """Smooth a sweep; the error of its minimum is that of curves with fresh noise."""
        means = costs.mean(axis=1)
        truth = Truth.of(smooth(x, means), x[0], x[-1])
        noise = noise_of(costs) / math.sqrt(costs.shape[1])
        smoothed, draws = np.where(np.isfinite(means), truth.curve(x), np.nan), np.random.default_rng(0)
        fresh = (smoothed + noise * draws.normal(0, 1, len(x)) for _ in range(100))
        lows = [Truth.of(smooth(x, one), x[0], x[-1]).place for one in fresh]
        return cls(name, x, costs, truth, float(np.std(lows)))

    @property
    def usable(self) -> bool:
        """Whether the minimum is at no end, and its error at most a quarter of a decade."""
        return bool(self.x[0] + 0.25 < self.truth.place < self.x[-1] - 0.25 and self.error <= 0.25)


def smooth(x: np.ndarray, y: np.ndarray) -> Curve:
    """Return a smoothing spline near the lowest point, and straight lines between the points elsewhere."""
    finite = np.isfinite(y)
    at = int(np.nanargmin(y))
    base = float(y[at])
    bent = BEND * np.log1p((y - base) / BEND)
    near = finite & (np.abs(x - x[at]) <= NEAR)
    if near.sum() < 5:
        near = finite
    spline: BSpline = make_smoothing_spline(x[near], bent[near])
    ends = x[near][[0, -1]]

    def curve(where: np.ndarray) -> np.ndarray:
        inside = base + BEND * np.expm1(np.minimum(spline(np.clip(where, *ends)), 5) / BEND)
        lines = np.interp(where, x, np.where(finite, y, np.nan))
        return np.where((where >= ends[0]) & (where <= ends[1]), inside, lines)

    return curve


def noise_of(costs: np.ndarray) -> np.ndarray:
    """Return the standard deviation of a seed at each learning rate, without what a seed adds near the minimum."""
    near = np.argsort(np.nan_to_num(costs.mean(axis=1), nan=np.inf))[:5]
    left = costs - costs.mean(axis=1, keepdims=True)
    left = left - np.nanmean(left[near], axis=0)
    seeds = costs.shape[1]
    pooled = float(np.nansum(left[near] ** 2)) / ((seeds - 1) * (len(near) - 1))
    own = (left**2).sum(axis=1) / (seeds - 1)
    return np.sqrt(np.where(np.isnan(own), pooled, (own * (seeds - 1) + 4 * pooled) / (seeds + 3)))


def dense(runs: str, seeds: int, tasks: Iterable[str]) -> list[Dense]:
    """Read the dense sweeps of these tasks, with at most this many seeds and at least two."""
    names = {f"{task} {schedule}".replace(" ", "-") for task in tasks for schedule in dense_sweeps.SCHEDULES}
    found = []
    for one in families(grouped(read_runs([Path(runs)])), VAL_LOSS):
        name = one.points[0].group.first.name
        told = [point.group.values(VAL_LOSS.name) for point in one.points]
        ended = [len(values) + point.lost(VAL_LOSS) for values, point in zip(told, one.points, strict=True)]
        have = min(seeds, *ended)
        if name in names and len(told) == dense_sweeps.POINTS and have > 1:
            costs = np.log([[values.get(seed, math.nan) for seed in range(have)] for values in told])
            found.append(Dense.of(name, np.log10([point.rate for point in one.points]), costs))
    return found


def thinned(x: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the number of learning rates, their distance in places, and the places."""
    for count, step in ((7, 2), (5, 2), (5, 3), (5, 4)):
        for start in range(len(x) - (count - 1) * step):
            yield count, step, start + step * np.arange(count)


def thin(counts: Counts, one: Dense, kind: str) -> None:
    """Fit every thinned part of a dense sweep, with each choice of seeds."""
    for count, step, places in thinned(one.x):
        if not one.x[places[0]] < one.truth.place < one.x[places[-1]]:
            continue
        seeds = one.costs.shape[1]
        for size in range(2, seeds + 1):
            for kept in itertools.combinations(range(seeds), size):
                made = family(one.x[places], one.costs[np.ix_(places, kept)])
                fit(counts, made, one.truth, kind, one.name, f"{size} seeds", f"{count} by {step / 4:g}")


def resample(counts: Counts, one: Dense, kind: str, times: int, draws: np.random.Generator) -> None:
    """Fit fresh noise around a dense sweep's smooth curve."""
    inside = [part for part in thinned(one.x) if one.x[part[2][0]] < one.truth.place < one.x[part[2][-1]]]
    noise = noise_of(one.costs)
    smoothed = np.where(np.isfinite(one.costs.mean(axis=1)), one.truth.curve(one.x), np.nan)
    for seeds, _ in itertools.product((2, 3, 5, 10), range(times)):
        count, step, places = inside[draws.integers(len(inside))]
        each = draws.normal(0, 1, (count, seeds)) * noise[places, None]
        made = family(one.x[places], smoothed[places, None] + each)
        fit(counts, made, one.truth, kind, one.name, f"{seeds} seeds", f"{count} by {step / 4:g}")


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="runs/dense", help="of benchmarks/dense_sweeps.py")
    parser.add_argument("--seeds", type=int, default=3, help="of the dense sweeps, at most")
    parser.add_argument("--times", type=int, default=10, help="how often each simulation is repeated")
    parser.add_argument("--only", action="append", choices=("simulated", "resampled", "thinned"))
    parser.add_argument("--held-out", action="store_true", help="count the tasks that no rule was fitted to, too")
    asked = parser.parse_args()
    counts: Counts = {}
    kinds, draws = asked.only or ("simulated", "resampled", "thinned"), np.random.default_rng(1)
    if "simulated" in kinds:
        simulate(counts, asked.times, draws)
    groups = {"": dense_sweeps.TASKS, ", held out": dense_sweeps.HELD_OUT if asked.held_out else {}}
    for suffix, tasks in groups.items():
        for one in dense(asked.runs, asked.seeds, tasks) if set(kinds) - {"simulated"} else []:
            told = f"{one.costs.shape[1]} seeds, minimum at {10**one.truth.place:.3g}, error {one.error:.2f} decades"
            print(f"{one.name:32} {told}{'' if one.usable else ': not counted'}", flush=True)
            if one.usable and "thinned" in kinds:
                thin(counts, one, "thinned" + suffix)
            if one.usable and "resampled" in kinds:
                resample(counts, one, "resampled" + suffix, asked.times, draws)
    for keys, count in sorted(counts.items(), key=lambda pair: len(pair[0])):
        if len(keys) < 3:
            print(f"{', '.join(keys):50} {count.words()}")


if __name__ == "__main__":
    main()
