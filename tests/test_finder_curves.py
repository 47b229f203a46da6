"""What a range test's curves say, on curves whose answer is known."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrbench.errors import UsageError
from lrbench.lr_finder.advice import Advice, Refusal, advise
from lrbench.lr_finder.curves import Curve, Rise, trend
from lrbench.lr_finder.methods import delay_of, minimum_tenth, steepest, suggestions, trimmed, valley
from lrbench.lr_finder.settings import Ramp

RATES = np.logspace(-7, 1, 100)
X = np.log10(RATES)


def falling(x: Any) -> Any:
    """Level until 1e-4, then down for ever."""
    return 2.3 - 0.3 * np.clip(x + 4, 0, None)


def u_shaped(x: Any, lowest: float = -2.0) -> Any:
    """Level, down over two decades to the lowest, up again from a third of a decade later."""
    fall = 1.5 * np.clip((x - lowest + 2) / 2, 0, 1) ** 1.5
    return 2.3 - fall + 4 * np.clip(x - lowest - 0.3, 0, None) ** 2


def noisy(losses: Any, size: float, seed: int) -> Any:
    return losses + size * np.random.default_rng(seed).standard_normal(len(losses))


def with_spike(losses: Any, place: int, height: float) -> Any:
    return np.where(np.arange(len(losses)) == place, height, losses)


def nan_from(losses: Any, place: int) -> Any:
    return np.append(losses[:place], math.nan)


def of(*each: Any, momentum: float = 0.0) -> list[Curve]:
    """Curves of seeds 0, 1, …; those that are short have ended for a reason."""
    return [
        Curve(seed, RATES[: len(y)].tolist(), list(map(float, y)), momentum, "" if len(y) == 100 else "it ended")
        for seed, y in enumerate(each)
    ]


def three(losses: Any, size: float, momentum: float = 0.0) -> list[Curve]:
    return of(*(noisy(losses, size, seed) for seed in range(3)), momentum=momentum)


@pytest.mark.parametrize(
    ("curves", "low", "high"),
    [
        pytest.param(of(u_shaped(X)), 3e-3, 1e-2, id="U-shaped"),
        pytest.param(three(u_shaped(X), 0.05), 2e-3, 1.2e-2, id="noisy"),
        pytest.param(three(u_shaped(X), 0.3), 1e-3, 2e-2, id="very noisy"),
        pytest.param(three(u_shaped(X, 0.3), 0.05), 0.4, 2.1, id="optimum far to the right"),
        pytest.param(three(u_shaped(X, -4.5), 0.05), 6e-6, 3.5e-5, id="optimum far to the left"),
        pytest.param(of(with_spike(u_shaped(X), 25, 50.0)), 3e-3, 1e-2, id="spike"),
        pytest.param(of(*[with_spike(u_shaped(X), k, 0.0) for k in (10, 15, 20)]), 2e-3, 1.2e-2, id="lucky batches"),
        pytest.param(of(*[nan_from(u_shaped(X), k) for k in (64, 66, 65)]), 2e-3, 1.2e-2, id="NaN after the lowest"),
        pytest.param(of(*[nan_from(falling(X), k) for k in (64, 66, 65)]), 2e-3, 2e-2, id="falls until NaN"),
        pytest.param(of(nan_from(X, 3), *[u_shaped(X)] * 2), 2e-3, 1.2e-2, id="one seed fails early"),
        pytest.param(of(*[u_shaped(X) - 5] * 3), 2e-3, 1.2e-2, id="below zero"),
        pytest.param(of(*[1e-6 * u_shaped(X)] * 3), 2e-3, 1.2e-2, id="tiny numbers"),
        pytest.param(of(*[1e6 * u_shaped(X)] * 3), 2e-3, 1.2e-2, id="huge numbers"),
        pytest.param(three(u_shaped(X), 0.02, momentum=0.9), 3e-4, 3e-3, id="momentum shows it late"),
    ],
)
def test_the_rate_that_is_right(curves: list[Curve], low: float, high: float) -> None:
    advice = advise(curves, Ramp())
    assert isinstance(advice, Advice), advice
    assert low <= advice.initial <= high
    assert advice.low < advice.initial < advice.high
    assert advice.initial < advice.maximum
    assert set(advice.how) == {"initial", "maximum", "low", "high"}
    assert str(advice).startswith(f"{advice.initial:.3g}: {advice.how['initial']}")


@pytest.mark.parametrize(
    ("curves", "why", "again"),
    [
        pytest.param(of(falling(X)), "still falls at the highest learning rate", (1e-7, 1e4), id="falling"),
        pytest.param(of(np.full(100, 2.3)), "hardly changes", (10.0, 1e5), id="constant"),
        pytest.param(three(np.full(100, 2.3), 0.05), "hardly changes", (10.0, 1e5), id="level and noisy"),
        pytest.param(three(np.full(100, 2.3), 1.0), "hardly changes", (10.0, 1e5), id="nothing but noise"),
        pytest.param(of(np.zeros(100)), "hardly changes", (10.0, 1e5), id="zero"),
        pytest.param(of(2.3 + 0.2 * (X + 7)), "lowest at the lowest learning rates", (1e-11, 10.0), id="rising"),
        pytest.param(
            three(2.3 + np.clip(X, 0, None) ** 2, 0.02),
            "rises without falling first",
            (1.6e-4, 1.6),
            id="level, then up",
        ),
        pytest.param(
            of(*[nan_from(np.full(100, 2.3), 40)] * 3),
            "rises without falling first",
            (1e-7, RATES[39]),
            id="level until NaN",
        ),
        pytest.param(of(*[nan_from(u_shaped(X), 5)] * 3), "after 5 steps", (1e-11, RATES[5]), id="early NaN"),
        pytest.param(of(*[nan_from(X, 0)] * 3), "not finite at the first step", None, id="all NaN"),
        pytest.param(of(*[[math.inf]] * 3), "not finite at the first step", None, id="infinite"),
        pytest.param(of(u_shaped(X, -7.5)), "", None, id="lowest before the start"),
        pytest.param(of(u_shaped(X, -6.8)), "", None, id="lowest at the start"),
    ],
)
def test_there_is_no_suggestion_where_there_is_none(
    curves: list[Curve], why: str, again: tuple[float, float] | None
) -> None:
    advice = advise(curves, Ramp())
    assert isinstance(advice, Refusal), advice
    assert why in str(advice)
    if why:
        assert (advice.again or (0,)) == pytest.approx(again or (0,), rel=0.3)
    else:
        assert advice.again is not None and advice.again[0] < 1e-8


@pytest.mark.parametrize("count", [2, 5, 19])
def test_a_handful_of_updates_is_too_few(count: int) -> None:
    rates = np.logspace(-7, 1, count)
    curves = [Curve(seed, rates.tolist(), u_shaped(np.log10(rates)).tolist()) for seed in range(3)]
    advice = advise(curves, Ramp(iterations=count))
    assert isinstance(advice, Refusal) and f"{count} steps are too few" in str(advice)


def test_more_updates_sharpen_the_same_answer() -> None:
    rates = np.logspace(-7, 1, 10_000)
    losses = u_shaped(np.log10(rates))
    curves = [Curve(seed, rates.tolist(), noisy(losses, 0.3, seed).tolist()) for seed in range(3)]
    advice = advise(curves, Ramp(iterations=10_000))
    assert isinstance(advice, Advice) and 3e-3 < advice.initial < 9e-3


def test_a_linear_ramp_has_its_points_to_the_right() -> None:
    rates = np.linspace(1e-3, 1.0, 200)
    curves = [Curve(seed, rates.tolist(), u_shaped(np.log10(rates), -0.8).tolist()) for seed in range(3)]
    advice = advise(curves, Ramp(start=1e-3, end=1.0, iterations=200, shape="linear"))
    assert isinstance(advice, Advice) and 0.04 < advice.initial < 0.2


def test_a_flat_bottom_is_told_with_the_rate_at_which_most_of_the_fall_was_done() -> None:
    """From 2 to 1 between 1e-4 and 1e-3, slightly on down to 0.1, then up: 0.98 of the fall is done at 1e-3."""
    losses = np.interp(X, [-7, -4, -3, -1, 0], [2.0, 2.0, 1.02, 1.0, 3.0])
    advice = advise(of(*[losses] * 3), Ramp())
    assert isinstance(advice, Advice) and 0.02 < advice.initial < 0.06
    (note,) = advice.notes
    told = re.search(r"95 % of the fall of the loss was done at ([^:\s]+)", note)
    assert told and float(told[1]) == pytest.approx(1e-3, rel=0.5)


@pytest.mark.parametrize(("passes", "validation", "said"), [(13, False, True), (13, True, False), (9, False, False)])
def test_a_test_that_repeats_the_data_often_is_told_of_validation(passes: int, validation: bool, said: bool) -> None:
    curves = [dataclasses.replace(curve, passes=float(passes)) for curve in of(*[u_shaped(X)] * 3)]
    advice = advise(curves, Ramp(validation=validation))
    assert isinstance(advice, Advice)
    told = [note for note in advice.notes if "over the training data 13 times" in note and "--validation" in note]
    assert list(advice.notes) == told and bool(told) is said


def test_what_the_seeds_disagree_about_is_said() -> None:
    apart = advise(of(u_shaped(X, -1), u_shaped(X, -3), u_shaped(X, -2)), Ramp())
    alone = advise(of(u_shaped(X)), Ramp())
    level = advise(of(*[u_shaped(X)] * 3), Ramp())
    assert isinstance(apart, Advice) and "2.0 decades apart" in apart.notes[0]
    assert isinstance(alone, Advice) and "one seed" in alone.notes[0]
    assert isinstance(level, Advice) and level.notes == ()


@pytest.mark.parametrize("seeds", [1, 3])
def test_noise_alone_is_hardly_ever_taken_for_a_fall(seeds: int) -> None:
    """The smallest of a hundred noisy losses is always below the first; that must not be enough."""
    draws = [of(*(noisy(np.full(100, 2.3), 0.3, 3 * k + s) for s in range(seeds))) for k in range(200)]
    mistaken = sum(isinstance(advise(curves, Ramp()), Advice) for curves in draws)
    assert mistaken <= 4


# -- the peers' methods against plain computations


def slow_valley(rates: list[float], losses: list[float]) -> float | None:
    """The longest strictly decreasing subsequence by trying all pairs, as fastai's code does."""
    longest = [1] * len(losses)
    best, start = 0, 0
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and longest[i] < longest[j] + 1:
                longest[i] = longest[j] + 1
            if longest[best] < longest[i]:
                best, start = i, i - longest[i]
    third = (best - start) / 3
    return rates[start + int(third) + int(third / 2)] if longest[best] >= 3 else None


CURVES = [
    u_shaped(X),
    falling(X),
    2.3 + 0.2 * X,
    noisy(u_shaped(X), 0.3, 0),
    noisy(falling(X), 0.1, 1),
    np.full(100, 1.0),
]


@pytest.mark.parametrize("losses", CURVES)
def test_valley_is_fastai_s_on_the_synthetic_curves(losses: Any) -> None:
    for rates, values in ((RATES.tolist(), losses.tolist()), trimmed(RATES.tolist(), losses.tolist())):
        assert valley(rates, values) == slow_valley(list(rates), list(values))


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=40))
def test_valley_is_fastai_s_on_any_curve(losses: list[float]) -> None:
    rates = [float(k + 1) for k in range(len(losses))]
    assert valley(rates, losses) == slow_valley(rates, losses)


@pytest.mark.parametrize("losses", CURVES)
def test_steepest_is_where_the_slope_against_the_logarithm_is_least(losses: Any) -> None:
    rates, values = trimmed(RATES.tolist(), losses.tolist())
    x = [math.log10(rate) for rate in rates]
    slopes = [(values[1] - values[0]) / (x[1] - x[0])]
    slopes += [(values[k + 1] - values[k - 1]) / (x[k + 1] - x[k - 1]) for k in range(1, len(x) - 1)]
    slopes += [(values[-1] - values[-2]) / (x[-1] - x[-2])]
    least = min(slopes)
    found = steepest(rates, values)
    if least >= 0:
        assert found is None
    else:
        assert found is not None and slopes[list(rates).index(found)] == pytest.approx(least)


def test_the_slope_is_taken_against_the_logarithm() -> None:
    """Against the rate itself, the steepest point would be the first (Lightning issue 21141)."""
    rates = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    losses = [2.3, 2.2, 1.9, 1.0, 0.8]
    assert steepest(rates, losses) == 1e-2


def test_a_tenth_of_the_lowest() -> None:
    assert minimum_tenth([0.1, 1.0, 10.0], [3.0, 1.0, 2.0]) == 0.1
    assert minimum_tenth([0.1, 1.0], [1.0, 2.0]) is None


def test_the_peers_leave_out_the_first_tenth_and_the_last_five() -> None:
    rates, losses = trimmed(list(range(100)), list(range(100)))
    assert (rates[0], rates[-1], losses[0], losses[-1]) == (10, 94, 10, 94)


def test_every_seed_has_every_method_s_rate() -> None:
    found = suggestions(of(u_shaped(X), noisy(u_shaped(X), 0.05, 1), nan_from(u_shaped(X), 3)), 0.9)
    assert all(set(by_seed) == {0, 1, 2} for by_seed in found.values())
    assert all(by_seed[2] is None for by_seed in found.values()), "three losses say nothing"
    assert all(1e-4 < rate < 1e-1 for by_seed in found.values() for s, rate in by_seed.items() if s < 2 and rate)


# -- smoothing, the end, the trend, the delay


def test_the_moving_average_by_hand() -> None:
    curve = Curve(0, [1, 2, 3, 4], [4.0, 2.0, 1.0, math.nan])
    assert curve.smoothed(0.5) == pytest.approx([4.0, 8 / 3, 12 / 7])
    assert curve.smoothed(0.0) == [4.0, 2.0, 1.0]
    assert curve.usable == 3


def ends_at(losses: list[float], **settings: float) -> int | None:
    rise = Rise(**settings)
    return next((index for index, loss in enumerate(losses) if rise.update(loss)), None)


def test_the_end_by_hand() -> None:
    assert ends_at([2.0, 1.0, 3.9, 4.0, 4.1], smoothing=0.0) == 4
    assert ends_at([2.0, 1.0, 2.1], smoothing=0.0, factor=2.0) == 2
    assert ends_at([1.0, 100.0], smoothing=0.98) == 1
    assert ends_at([1.0, 4.0, 4.0], smoothing=0.5) is None  # 1, 3, 3.57
    assert ends_at([1.0, 4.0, 4.0, 9.0], smoothing=0.5) == 3
    assert ends_at([2.0, -1.0, 7.9, 8.1], smoothing=0.0) == 3, "below zero: 3 times the fall above the best"
    assert ends_at([1.0] * 50, smoothing=0.98) is None


def test_the_trend_goes_through_a_straight_line_and_has_no_delay() -> None:
    found = trend(of(2.0 - 0.1 * (X + 7)))
    assert found is not None
    assert found.losses[5:-5] == pytest.approx(2.0 - 0.1 * (np.log10(found.rates[5:-5]) + 7), abs=1e-3)
    lowest = trend(three(u_shaped(X), 0.02))
    assert lowest is not None and 10**-2.25 < lowest.rates[lowest.lowest] < 10**-1.6
    assert lowest.noise < 0.02


@pytest.mark.parametrize(("momentum", "updates"), [(0.0, 0), (0.5, 1), (0.9, 6.5788), (0.99, 68.968)])
def test_the_delay_of_momentum_is_its_half_life_on_the_ramp(momentum: float, updates: float) -> None:
    curves = of(u_shaped(X, 0.0), momentum=momentum)
    found = trend(curves)
    assert found is not None
    assert delay_of(curves, found) == pytest.approx(10 ** (updates * 8 / 99), rel=1e-3)


def test_the_delay_goes_back_to_the_first_rate_at_most() -> None:
    curves = of(u_shaped(X, -3.0), momentum=0.999)
    found = trend(curves)
    assert found is not None
    lowest = RATES[int(np.searchsorted(RATES, found.rates[found.lowest] * (1 - 1e-9)))]
    assert delay_of(curves, found) == pytest.approx(lowest / 1e-7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": 0.0}, "--start must be a learning rate from 1e-30 to 1e30"),
        ({"start": -1e-3}, "--start must be a learning rate from 1e-30 to 1e30 (got -0.001)"),
        ({"end": math.inf}, "--end must be a learning rate from 1e-30 to 1e30"),
        ({"end": math.nan}, "--end must be a learning rate from 1e-30 to 1e30"),
        ({"start": 1.0, "end": 1.0}, "--start must be less than --end (got 1 and 1)"),
        ({"start": 10.0, "end": 1e-7}, "--start must be less than --end"),
        ({"iterations": 1}, "--iterations must be 2 to"),
        ({"iterations": 10**9}, "--iterations must be 2 to"),
        ({"shape": "square"}, "--shape must be exponential or linear"),
        ({"smoothing": 1.0}, "--smoothing must be at least 0 and less than 1"),
        ({"stop_factor": 1.0}, "--stop-factor must be greater than 1"),
    ],
)
def test_ramps_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Ramp(**settings)
    assert message in str(caught.value)
