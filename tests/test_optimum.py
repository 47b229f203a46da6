"""The best learning rate between those tried: the curve, its minimum and interval, and when there is none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lrbench.analysis import Family, Group, NoOptimum, Optimum, Point, optimum
from lrbench.analysis.curve import CLIFF, HEIGHTS, LENGTHS, Minimum, _factors, _merged, _process, minimum
from lrbench.components import Measure, measures
from lrbench.components.metrics import ACCURACY, LOSS

MEASURES = measures((LOSS, ACCURACY))
VAL_LOSS, VAL_ACCURACY = MEASURES["val_loss"], MEASURES["val_accuracy"]
Make = Callable[..., Group]


@pytest.fixture
def family(group_at: Make) -> Callable[..., Family]:
    """A family of the given values by learning rate; a list is one value a seed, text a status."""

    def make(values: dict[float, list[Any]], measure: Measure = VAL_LOSS) -> Family:
        return Family("line", tuple(Point(lr, group_at(lr, *one, key=measure.name)) for lr, one in values.items()))

    return make


def bowl(lr: float, at: float = 0.02, curved: float = 0.4) -> float:
    """A parabola of the log loss over decades."""
    return 0.1 * math.exp(curved * (math.log10(lr) - math.log10(at)) ** 2)


RATES = [10 ** (k / 2) for k in range(-8, 1)]
NOISE = (-0.01, 0.0, 0.01)


def test_the_minimum_of_a_parabola_lies_between_the_points(family: Callable[..., Family]) -> None:
    values = {lr: [bowl(lr) * math.exp(noise) for noise in NOISE] for lr in RATES}
    found = optimum(family(values), VAL_LOSS)
    assert isinstance(found, Optimum)
    assert math.log10(found.lr) == pytest.approx(math.log10(0.02), abs=0.04)
    assert found.low < 0.02 < found.high and 0 < found.decades < 0.4
    assert found.value == pytest.approx(0.1, rel=0.02) and found.seeds == 3
    assert found.rates == pytest.approx(RATES)
    assert min(value for _, value in found.curve) == pytest.approx(found.value)


def test_what_a_seed_adds_everywhere_moves_nothing(family: Callable[..., Family]) -> None:
    """Three seeds that differ by a factor of 2 at all learning rates, and by 1% at each."""
    draws = np.random.default_rng(0)
    each = [[bowl(lr) * 2**seed * math.exp(draws.normal(0, 0.01)) for seed in range(3)] for lr in RATES]
    paired = optimum(family(dict(zip(RATES, each, strict=True))), VAL_LOSS)
    shuffled = [one[k % 3 :] + one[: k % 3] for k, one in enumerate(each)]
    apart = optimum(family(dict(zip(RATES, shuffled, strict=True))), VAL_LOSS)
    assert isinstance(paired, Optimum) and paired.decades < 0.4
    assert isinstance(apart, NoOptimum) or apart.decades > 2 * paired.decades


def test_more_noise_and_wider_spacing_widen_the_interval(family: Callable[..., Family]) -> None:
    def width(noise: float, step: int) -> float:
        rates = RATES[::step]
        found = optimum(family({lr: [bowl(lr) * math.exp(s * noise * (-1) ** k) for s in (-1, 0, 1)]
                                for k, lr in enumerate(rates)}), VAL_LOSS)  # fmt: skip
        assert isinstance(found, Optimum)
        return found.decades

    assert width(0.005, 1) < width(0.05, 1) < width(0.2, 1)
    assert width(0.005, 1) < width(0.005, 2)


def test_accuracy_has_its_optimum_where_the_error_is_least(family: Callable[..., Family]) -> None:
    values = {lr: [1 - bowl(lr) * math.exp(noise) for noise in NOISE] for lr in RATES}
    found = optimum(family(values, VAL_ACCURACY), VAL_ACCURACY)
    assert isinstance(found, Optimum)
    assert found.lr == pytest.approx(0.02, rel=0.1) and found.value == pytest.approx(0.9, abs=0.003)


def test_values_that_have_no_logarithm(family: Callable[..., Family]) -> None:
    """A likelihood may be below 0."""
    values = {lr: [(math.log10(lr) + 1.7) ** 2 - 3 + noise for noise in NOISE] for lr in RATES}
    found = optimum(family(values), VAL_LOSS)
    assert isinstance(found, Optimum)
    assert found.low < 0.02 < found.high and found.value == pytest.approx(-3, abs=0.05)


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("no value", {0.1: ["diverged"], 0.2: ["diverged"]}, "no learning rate has a value"),
        ("few rates", {0.1: [1.0, 1.1], 0.2: [2.0, 2.1]}, "2 learning rates are too few"),
        ("lowest", {0.1: [1.0, 1.1], 0.2: [2.0, 2.1], 0.4: [3.0, 3.1]}, "the lowest learning rate tried: try lower"),
        ("highest", {0.1: [3.0, 3.1], 0.2: [2.0, 2.1], 0.4: [1.0, 1.1]}, "the highest learning rate tried"),
        ("few seeds", {0.1: [3.0], 0.2: [1.0], 0.4: [2.0]}, "the noise of a single seed is unknown"),
        ("few seeds", {0.1: [3.0], 0.2: [1.0, 1.1], 0.4: [2.0, 2.1]}, "0.1 has a single seed, whose noise is unknown"),
        ("flat", {0.1: [0.7, 0.94], 0.2: [0.24, 0.15], 0.4: [1.0, 1.12]}, "covers all learning rates tried, 0.1 … 0.4"),
        (
            "diverged",
            {0.1: [3.0, 3.1], 0.2: [1.0, 1.1], 0.4: [2.0, "diverged"], 0.8: [4.0, 4.0]},
            "1 of 2 seeds diverged or failed at 0.4, next to the best, 0.2: try learning rates between",
        ),
        ("diverged", {0.1: [3.0, 3.1], 0.2: [1.0, 1.1], 0.4: ["diverged", "diverged"]}, "2 of 2 seeds"),
    ],
)
def test_refusals(family: Callable[..., Family], kind: str, values: dict[float, list[Any]], words: str) -> None:
    found = optimum(family(values), VAL_LOSS)
    assert isinstance(found, NoOptimum)
    assert found.kind == kind and words in found.reason


def test_where_the_minimum_may_be_among_diverged_seeds(family: Callable[..., Family]) -> None:
    """Learning rates beyond the last one with a result were tried, so nobody is sent to try them again."""
    values: dict[float, list[Any]] = {lr: [bowl(lr, at=0.2) * math.exp(8 * noise) for noise in NOISE] for lr in RATES}
    values |= {RATES[-1]: ["diverged"] * 3}
    found = optimum(family(values), VAL_LOSS)
    assert isinstance(found, NoOptimum) and found.kind == "diverged"
    assert found.reason.endswith(": try learning rates between") and "the highest" not in found.reason


def test_few_seeds_tell_little_of_the_noise() -> None:
    """The same spread is less sure with two degrees of freedom than without any doubt."""
    x = np.linspace(-3, -1, 5)
    widths = [minimum(x, 0.4 * (x + 1.9) ** 2, np.full(5, 0.0005), freedom) for freedom in (2, math.inf)]
    few, known = (one.interval[2] - one.interval[0] for one in widths if isinstance(one, Minimum))
    assert few > 1.02 * known
    assert _factors(2) == pytest.approx([0.4808, 1.0195, 2.1276, 7.4888], abs=1e-3), "2 / χ² of 2 degrees, by hand"


def test_many_learning_rates_are_averaged_with_their_neighbours() -> None:
    """400 in four decades tell as much as their noise allows, and in no more time."""
    x, draws = np.linspace(-4, 0, 400), np.random.default_rng(0)
    costs = 0.4 * (x + 1.7) ** 2 + draws.normal(0, 0.03, 400)
    found = minimum(x, costs, np.full(400, 0.03**2))
    assert isinstance(found, Minimum)
    low, middle, high = found.interval
    assert low < -1.7 < high and abs(middle + 1.7) < 0.1 and high - low < 0.3
    assert [len(part) for part in _merged(x, costs, x**2)] == [40, 40, 40]
    merged = _merged(np.array([0.0, 0.001, *(np.arange(1, 40) + 0.5)]), np.arange(41.0), np.ones(41))
    assert (merged[0][0], merged[1][0], merged[2][0]) == (0.0005, 0.5, 0.5)
    assert merged[1][1:].tolist() == [*range(2, 41)] and set(merged[2][1:]) == {1.0}


def test_two_minima_and_flat_curves_are_refused() -> None:
    x = np.linspace(-4, 0, 9)
    two = np.minimum(0.4 * (x + 3.2) ** 2, 0.4 * (x + 0.8) ** 2)
    found = minimum(x, two, np.full(9, 0.001))
    assert isinstance(found, NoOptimum) and found.kind == "two minima"
    assert "near 0.0006" in found.reason and "near 0.1" in found.reason
    flat = minimum(x, 0.001 * (x + 2) ** 2, np.full(9, 0.01))
    assert isinstance(flat, NoOptimum) and flat.kind == "flat"
    slope = minimum(x, np.where(np.arange(9) == 1, 0.0, 0.02 * (x + 4)), np.full(9, 0.001))
    assert isinstance(slope, NoOptimum) and slope.kind == "lowest"


def test_a_cliff_does_not_bend_the_curve() -> None:
    """Ten or a thousand times worse: beyond the cliff, it makes no difference."""
    x = np.linspace(-4, 0, 9)
    costs = 0.3 * (x + 1.7) ** 2
    ends = []
    for height in (3.0, 8.0):
        found = minimum(x, np.where(x > -0.8, height, costs), np.full(9, 1e-4))
        assert isinstance(found, Minimum)
        ends.append(found.interval)
    assert ends[0] == pytest.approx(ends[1], abs=0.1)


@pytest.mark.parametrize("step", [0.25, 0.5])
@pytest.mark.parametrize("slope", [0.3, 1.0, 2.0])
def test_a_cliff_may_be_anywhere_between_two_learning_rates(slope: float, step: float) -> None:
    """The loss falls up to a cliff at 0, where every run fails to learn: the interval reaches over the gap."""
    draws = np.random.default_rng(0)
    for offset in np.linspace(0.05, 0.45, 5):
        x = np.arange(-5, 4) * step + 2 * step * offset
        costs = np.where(x <= 0, -slope * x, 3.0) + draws.normal(0, 0.01, 9)
        found = minimum(x, costs, np.full(9, 1e-4))
        assert isinstance(found, NoOptimum) or found.interval[0] <= 0 <= found.interval[2]


def test_an_interval_ends_at_the_last_one_tried_only_before_a_cliff() -> None:
    """Elsewhere the minimum may lie beyond, so that there is none; docs/sweep.md says the same."""
    x = np.arange(7) / 2 - 3
    for last, noise in ((0.15, 0.0001), (0.15, 0.05), (3.0, 0.0001), (3.0, 0.05)):
        found = minimum(x, np.append(0.5 * (x[:-1] - x[5]) ** 2, last), np.full(7, noise))
        if last > CLIFF:
            assert isinstance(found, Minimum) and found.interval[2] == x[-1]
        else:
            assert isinstance(found, NoOptimum) or found.interval[2] < x[-1]


def test_a_curve_that_misses_the_best_one_tried_does_not_leave_it() -> None:
    """Noisy seeds, and a loss that falls steadily by orders of magnitude up to a cliff."""
    x = np.arange(9) / 4 - 3
    costs = np.log([0.28, 0.056, 0.015, 0.0056, 0.0022, 0.0012, 0.00045, 0.00022, 0.95])
    found = minimum(x, costs, np.full(9, 0.3), 4.0)
    assert isinstance(found, NoOptimum) or found.interval[0] <= x[7] <= found.interval[2]


def test_the_curve_is_that_of_textbook_formulas() -> None:
    """One length and height at a time, by an inverse and a determinant; mixed by the likelihood."""
    x, y = np.array([-3.0, -2.0, -1.5, -0.5]), np.array([0.3, 0.0, 0.1, 0.4])
    variance, places = np.array([0.01, 0.02, 0.01, 0.03]), np.array([-2.5, -1.7])
    mean, drawn = _process(x, y, variance, places, np.ones(1))
    total, weights = np.zeros(2), 0.0
    for length in LENGTHS:
        for height in HEIGHTS:

            def k(a: float, b: float, length: float = length, height: float = height) -> float:
                r = math.sqrt(5) * abs(a - b) / length
                line = 100 * (1 + (a - x.mean()) * (b - x.mean()))
                return float(height**2 * (1 + r + r * r / 3) * math.exp(-r) + line)

            whole = np.array([[k(a, b) for b in x] for a in x]) + np.diag(variance)
            centred = y - y.mean()
            inverse = np.linalg.inv(whole)
            likelihood = math.exp(-centred @ inverse @ centred / 2) / math.sqrt(np.linalg.det(whole))
            total += likelihood * np.array([[k(p, a) for a in x] for p in places]) @ inverse @ centred
            weights += likelihood
    assert mean == pytest.approx(total / weights + y.mean(), abs=1e-6)
    assert drawn.mean(axis=0) + y.mean() == pytest.approx(mean, abs=0.03)


@given(st.lists(st.floats(-5, 5), min_size=5, max_size=9), st.floats(-3, 3), st.floats(1e-5, 0.3))
@example([1.0, 2.0, 5.6e-102, 0.0, 0.0], 0.0, 1e-5)
def test_any_costs(costs: list[float], shift: float, noise: float) -> None:
    """Only differences between costs matter, and the learning rates' places only move along."""
    x = np.arange(len(costs)) / 2
    one = minimum(x, np.array(costs), np.full(len(x), noise))
    other = minimum(x + shift, np.array(costs) + 7.0, np.full(len(x), noise))
    assert type(one) is type(other)
    if isinstance(one, Minimum) and isinstance(other, Minimum):
        assert x[0] <= one.interval[0] <= one.interval[1] <= one.interval[2] <= x[-1]
        ends = [np.array(found.interval)[[0, 2]] for found in (one, other)]
        assert ends[1] - shift == pytest.approx(ends[0], abs=0.1)
