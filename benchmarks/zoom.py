"""How many runs `sweep --zoom` takes to come near the best learning rate, beside grids and Optuna's samplers.

    pip install optuna
    python benchmarks/zoom.py --runs runs/dense --seeds 3

The searches are replayed on the dense sweeps (benchmarks/dense_sweeps.py): nothing is trained. At a learning rate
between the 17, each seed's log loss is that of the straight line between its neighbours. So the true curve is a
polygon, whose lowest corner is one of the 17, and every search sees the seeds that it is judged by.

Everyone searches the four decades of the dense sweep and pays a run for each seed of a learning rate. A search is there
when the learning rate that it would recommend has a mean loss within 2% of the lowest, and stays there. `--zoom`
begins with five or nine learning rates. It and a grid recommend the best learning rate tried, or (in rows of their own)
the minimum of the curve through all of them. The samplers recommend their best trial, and get the mean log loss, or
the highest of the sweep if a seed diverged. The corners of the polygon are partly noise: what is measured rewards a
search that tries one of the 17, as grids of 9 and 17 do, and punishes a curve that smooths them out. So the last column
counts, at the end of a search, the sweeps in which it is more than 2% above the lowest place of the smoothing spline of
benchmarks/optimum.py. Samplers end when they are there, by the polygon.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import dense_sweeps
from optimum import VAL_LOSS, Dense, dense, family

from lrbench.analysis import Family, NoOptimum, optimum
from lrbench.sweeps.zoom import WIDTH, next_step

WITHIN = math.log(1.02)
MOST = 60  # learning rates
Search = Callable[["Landscape"], Iterator[tuple[int, float]]]
"""Yields the number of learning rates tried and log₁₀ of the one recommended then."""


@dataclass(frozen=True)
class Landscape:
    """A dense sweep, read between its learning rates."""

    sweep: Dense

    def costs(self, places: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return the log losses, (n, seeds); NaN where a seed diverged."""
        return np.array([np.interp(places, self.sweep.x, seed) for seed in self.sweep.costs.T]).T

    @property
    def lowest(self) -> float:
        """The lowest mean."""
        return float(np.nanmin(self.sweep.costs.mean(axis=1)))

    def near(self, place: float) -> bool:
        """Whether the mean there is within 2% of the lowest."""
        return bool(self.costs([place]).mean() <= self.lowest + WITHIN)

    def family(self, places: Sequence[float] | np.ndarray) -> Family:
        """The results of these learning rates."""
        places = np.sort(np.asarray(places))
        return family(places, self.costs(places))

    def recommended(self, made: Family, by_curve: bool) -> float:
        """log₁₀ of the best learning rate tried, or of the minimum of the curve, if it has one."""
        found, best = optimum(made, VAL_LOSS), made.best(VAL_LOSS)
        if by_curve and not isinstance(found, NoOptimum):
            return math.log10(found.lr)
        return float(self.sweep.x[0]) if best is None else math.log10(best.rate)


def zoomed(points: int, by_curve: bool) -> Search:
    """`--zoom`, after a grid of this many learning rates."""

    def search(land: Landscape) -> Iterator[tuple[int, float]]:
        places = [float(place) for place in np.linspace(land.sweep.x[0], land.sweep.x[-1], points)]
        grid = [10**place for place in places]
        while len(places) <= MOST:
            made = land.family(places)
            yield len(places), land.recommended(made, by_curve)
            added = [math.log10(lr) for lr in next_step(made, VAL_LOSS, grid, WIDTH).rates]
            added = [place for place in added if land.sweep.x[0] <= place <= land.sweep.x[-1]]
            if not added:
                return
            places += added

    return search


def plain(points: int, by_curve: bool) -> Search:
    """A grid, which is there only when it is complete."""

    def search(land: Landscape) -> Iterator[tuple[int, float]]:
        made = land.family(np.linspace(land.sweep.x[0], land.sweep.x[-1], points))
        yield points, land.recommended(made, by_curve)

    return search


def sampled(name: str, seed: int) -> Search:
    """One of Optuna's samplers."""

    def search(land: Landscape) -> Iterator[tuple[int, float]]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(sampler=getattr(optuna.samplers, name)(seed=seed))
        low, high = (10 ** float(place) for place in land.sweep.x[[0, -1]])
        worst = float(np.nanmax(land.sweep.costs))
        for count in range(1, MOST + 1):
            trial = study.ask()
            lr = trial.suggest_float("lr", low, high, log=True)
            cost = float(land.costs([math.log10(lr)]).mean())
            study.tell(trial, cost if math.isfinite(cost) else worst)
            yield count, math.log10(study.best_params["lr"])
            if land.near(math.log10(study.best_params["lr"])):
                return  # the best trial only gets better

    return search


@dataclass
class Count:
    """How a search fared on all sweeps."""

    needed: list[float] = field(default_factory=list)
    total: list[int] = field(default_factory=list)
    regret: list[float] = field(default_factory=list)
    smooth: list[float] = field(default_factory=list)

    def add(self, land: Landscape, search: Search) -> float:
        """Replay it; return the runs until it was there to stay, infinite for never."""
        seeds, since, used, place = land.sweep.costs.shape[1], math.inf, 0, math.nan
        for used, place in search(land):
            if not land.near(place):
                since = math.inf
            elif math.isinf(since):
                since = used * seeds
        self.needed.append(since)
        self.total.append(used * seeds)
        self.regret.append(float(land.costs([place]).mean()) - land.lowest)
        self.smooth.append(land.sweep.truth.regret(place))
        return since

    def words(self) -> str:
        """A row of the table."""
        low, middle, high = (
            f"{value:.0f}" if math.isfinite(value) else "–"
            for value in np.quantile(self.needed, (0.25, 0.5, 0.75), method="inverted_cdf")
        )
        never = sum(map(math.isinf, self.needed))
        return (
            f"{middle} ({low} … {high}) | {never} of {len(self.needed)} | {statistics.median(self.total):.0f} | "
            f"{100 * math.expm1(max(self.regret)):.1f} % | {sum(one > WITHIN for one in self.smooth)}"
        )


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="runs/dense", help="of benchmarks/dense_sweeps.py")
    parser.add_argument("--seeds", type=int, default=3, help="of the dense sweeps, at most")
    parser.add_argument("--sampler-seeds", type=int, default=3)
    parser.add_argument(
        "--sampler", action="append", choices=("TPESampler", "GPSampler", "none"), help="both by default"
    )
    asked = parser.parse_args()
    searches: dict[str, list[Search]] = {}
    for made, words, sizes in ((zoomed, "zoom from", (5, 9)), (plain, "grid of", (9, 17))):
        for n, by_curve in itertools.product(sizes, (False, True)):
            searches[f"{words} {n}{', its curve' if by_curve else ''}"] = [made(n, by_curve)]
    for name in asked.sampler or ("TPESampler", "GPSampler"):
        if name != "none":
            searches[f"Optuna {name}"] = [sampled(name, seed) for seed in range(asked.sampler_seeds)]
    counts = {name: Count() for name in searches}
    for one in dense(asked.runs, asked.seeds, dense_sweeps.EVERY):
        land, told = Landscape(one), []
        for name, several in searches.items():
            needed = [counts[name].add(land, search) for search in several]
            told.append(f"{name} {statistics.median(needed):.0f} of {counts[name].total[-1]}")
        print(f"{one.name} ({one.costs.shape[1]} seeds): {', '.join(told)}", flush=True)
    print(
        "\n| | runs until within 2 %, median (quartiles) | never | runs when it ended | worst then | off the spline |"
    )
    print("|" + " --- |" * 6)
    for name, count in counts.items():
        print(f"| {name} | {count.words()} |")


if __name__ == "__main__":
    main()
