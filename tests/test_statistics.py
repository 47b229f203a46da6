"""Statistics of comparisons: hand-written numbers, peers, and simulations of what is claimed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lrbench.analysis.answers import Answer, answers, holm, rank_ranges
from lrbench.analysis.estimates import centre, estimate
from lrbench.analysis.statistics import Difference, Failures, difference, permutation_p

DRAWS = 1000
SIZES = (3, 5, 8, 20)


def seeds(values: np.ndarray) -> dict[int, float]:
    return dict(enumerate(map(float, values)))


# -- numbers by hand


def test_an_estimate_by_hand() -> None:
    found = estimate([1.0, 2.0, 4.0])
    assert found is not None and (found.n, found.centre, found.median) == (3, 2.0, 2.0)
    assert found.iqm == pytest.approx(7 / 3), "a quarter of three values is none"
    # logs 0, ln 2, 2 ln 2: mean ln 2, standard deviation ln 2; t(0.975, 2) = 4.302653
    half = 4.302653 * math.log(2) / math.sqrt(3)
    assert found.low == pytest.approx(2 * math.exp(-half), rel=1e-6)
    assert found.high == pytest.approx(2 * math.exp(half), rel=1e-6)


def test_the_interquartile_mean_leaves_the_outer_quarters_out() -> None:
    found = estimate([0.1, 1, 2, 3, 4, 5, 6, 1000])
    assert found is not None and found.iqm == pytest.approx(3.5)


def test_one_value_has_no_interval_and_none_no_estimate() -> None:
    found = estimate([0.5])
    assert found is not None and (found.median, found.low, found.high) == (0.5, None, None)
    assert estimate([]) is None


def test_values_that_are_not_above_zero_have_the_interval_of_their_mean() -> None:
    found = estimate([-1.0, 0.0, 1.0])
    assert found is not None and found.low == pytest.approx(-4.302653 / math.sqrt(3), rel=1e-6)


def test_a_paired_difference_by_hand() -> None:
    found = difference({0: 2.0, 1: 4.0, 2: 2.0, 9: 7.0}, {0: 1.0, 1: 1.0, 2: 1.0, 5: 3.0})
    assert found is not None and found.paired and found.logs and found.n == 3
    assert found.mean == pytest.approx(math.log(16) / 3)
    values = np.log([2, 4, 2])
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.96)
    assert (found.low, found.high) == (pytest.approx(wanted.low), pytest.approx(wanted.high))
    assert found.relative[0] == pytest.approx(16 ** (1 / 3) - 1)


def test_seeds_that_do_not_pair_are_compared_by_welchs_test() -> None:
    a, b = {0: 1.0, 1: 1.2, 2: 1.1}, {3: 2.0, 4: 2.4}
    found = difference(a, b)
    wanted = stats.ttest_ind(np.log(list(a.values())), np.log(list(b.values())), equal_var=False)
    assert found is not None and not found.paired and found.p == pytest.approx(wanted.pvalue)


@pytest.mark.parametrize(("a", "b"), [({0: 1.0}, {0: 2.0}), ({}, {0: 1.0, 1: 2.0}), ({0: 1.0, 1: 2.0}, {5: 1.0})])
def test_too_few_values_are_not_compared(a: dict[int, float], b: dict[int, float]) -> None:
    assert difference(a, b) is None


def test_equal_arms_are_equal() -> None:
    same = {0: 1.0, 1: 2.0, 2: 3.0}
    found = difference(same, same)
    assert found is not None and (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert answers([found])[0].word == "tie"


def test_seeds_that_change_nothing_count_as_one() -> None:
    """Whether they pair or not; one seed that differs is enough to tell a spread."""
    assert difference({0: 0.5, 1: 0.5, 2: 0.5}, {0: 0.6, 1: 0.6, 2: 0.6}) is None
    assert difference({0: 1.0, 1: 1.0}, {5: 1.0, 6: 1.0}) is None
    assert difference({0: 0.5, 1: 0.5, 2: 0.5}, {0: 0.6, 1: 0.6, 2: 0.61}) is not None


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.01], comparisons=10) == pytest.approx([0.1])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_corrects_upwards_and_keeps_the_order(ps: list[float]) -> None:
    corrected = holm(ps)
    assert all(p <= c <= 1 for p, c in zip(ps, corrected, strict=True))
    assert [c for _, c in sorted(zip(ps, corrected, strict=True))] == sorted(corrected)


def test_permutations_by_hand() -> None:
    apart = {seed: 2.0 + seed / 100 for seed in range(8)}
    base = dict.fromkeys(range(8), 1.0)
    assert permutation_p(apart, base) == pytest.approx(2 / 2**8)
    assert permutation_p(base, apart) == pytest.approx(2 / 2**8)
    assert permutation_p({k: apart[k] for k in range(5)}, base) is None


def made(mean: float, low: float, high: float, p: float, *, spread: float = 0.1, n: int = 5) -> Difference:
    return Difference(n, True, True, mean, low, high, p, spread)


@pytest.mark.parametrize(
    ("found", "lower", "word"),
    [
        (made(-0.5, -0.6, -0.4, 1e-4), True, "better"),
        (made(0.5, 0.4, 0.6, 1e-4), True, "worse"),
        (made(0.5, 0.4, 0.6, 1e-4), False, "better"),
        (made(0.0, -0.04, 0.04, 0.9), True, "tie"),
        (made(0.01, 0.005, 0.015, 1e-4), True, "tie"),
        (made(0.1, -0.1, 0.3, 0.2), True, "undecided"),
    ],
)
def test_what_a_difference_says(found: Difference, lower: bool, word: str) -> None:
    assert answers([found], lower=lower)[0].word == word


def test_many_comparisons_say_less() -> None:
    telling = made(-0.5, -0.9, -0.1, 0.01)
    assert answers([telling])[0].word == "better"
    faint = made(-0.5, -1.2, 0.2, 0.05)
    assert answers([faint])[0].word == "undecided", "not even alone"
    assert answers([telling], comparisons=10)[0] == Answer(
        "probably better", pytest.approx(0.1), answers([telling], comparisons=10)[0].more_seeds
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lost", "other", "mean", "word"),
    [
        ((8, 20), (0, 20), -0.5, "worse"),  # Fisher's exact p 0.003, whatever the survivors say
        ((2, 5), (0, 5), -0.5, "undecided"),  # p 0.44, and the survivors can't make it better
        ((2, 5), (0, 5), 0.5, "worse"),  # by the survivors too
        ((2, 5), (0, 5), 0.0, "undecided"),  # no tie
        ((0, 5), (2, 5), 0.5, "undecided"),
        ((0, 5), (2, 5), -0.5, "better"),
        ((2, 5), (2, 5), -0.5, "better"),  # equal shares: the others decide
        ((4, 10), (2, 5), 0.0, "tie"),
    ],
)
def test_survivors_alone_make_no_arm_better(
    lost: tuple[int, int], other: tuple[int, int], mean: float, word: str
) -> None:
    failures = Failures(*lost, *other)
    assert failures.p == pytest.approx(
        stats.fisher_exact([[lost[0], lost[1] - lost[0]], [other[0], other[1] - other[0]]]).pvalue
    )
    found = replace(made(mean, mean - 0.04, mean + 0.04, 1e-4 if mean else 0.9), failures=failures)
    assert answers([found])[0].word == word


def test_how_many_more_seeds() -> None:
    """Four pairs with a mean of 0.1, a deviation of 0.2: the mean of N has Student's t around 0.1."""
    half = stats.t.ppf(0.98, 3) * 0.1
    found = Difference(4, True, True, 0.1, 0.1 - half, 0.1 + half, 0.39, 0.2)
    (answer,) = answers([found])
    more = answer.more_seeds
    assert answer.word == "undecided" and more is not None and answer.more == more.count

    def power(n: int) -> float:
        rng = np.random.default_rng(n)
        mean = 0.1 + 0.2 * math.sqrt(1 / 4 - 1 / n) * rng.standard_t(3, 400_000)
        error = 0.2 / math.sqrt(n)  # the next look is the second, where p counts four times
        apart = np.abs(mean) > stats.t.ppf(1 - 0.04 / 4 / 2, n - 1) * error
        half = stats.t.ppf(1 - 0.04 / 4, n - 1) * error
        tie = (mean - half > math.log(0.95)) & (mean + half < math.log(1.05))
        return float((apart | tie).mean())

    for count, wanted in ((more.count, 0.8), (more.low, 0.5), (more.high, 0.95)):
        assert count is not None and power(4 + count) == pytest.approx(wanted, abs=0.02)
    assert answers([made(0.02, -0.05, 0.09, 0.5, n=990)])[0].more is None, "beyond a thousand"


def test_accuracies_are_compared_by_their_differences() -> None:
    a, b = {0: 0.991, 1: 0.992, 2: 0.9915}, {0: 0.981, 1: 0.982, 2: 0.9812}
    found = difference(a, b, logs=False, margin=0.002)
    assert found is not None and not found.logs and found.mean == pytest.approx(0.0101, abs=1e-6)
    assert answers([found], lower=False)[0].word == "better"


def test_rank_ranges_by_hand() -> None:
    # 0 beats 2 and 3; 1 beats 3; nothing else is shown
    worse = [[False] * 4, [False] * 4, [True, False, False, False], [True, True, False, False]]
    assert rank_ranges(worse) == [(1, 2), (1, 3), (2, 4), (3, 4)]


# -- simulations


def drawn(kind: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """Losses around 0.03 with a standard deviation of a tenth of that."""
    if kind == "normal":
        return rng.normal(0.03, 0.003, size)
    return 0.027 + rng.exponential(0.003, size)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("kind", "least"), [("normal", 0.92), ("skewed", 0.88)])
def test_intervals_cover(kind: str, least: float, n: int) -> None:
    rng = np.random.default_rng(n)
    centre = math.exp(np.log(drawn(kind, 1_000_000, rng)).mean())
    found = [estimate(list(drawn(kind, n, rng))) for _ in range(DRAWS)]
    covered = np.mean([e is not None and e.low is not None and e.low <= centre <= e.high for e in found])  # type: ignore[operator]
    assert least <= covered <= 0.98


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_equals_are_rarely_told_apart(kind: str, n: int) -> None:
    rng = np.random.default_rng(100 + n)
    said = [word(drawn(kind, n, rng), drawn(kind, n, rng)) for _ in range(DRAWS)]
    assert np.mean([w in ("better", "worse") for w in said]) <= 0.05


@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_a_difference_of_three_deviations_is_seen_with_eight_seeds(kind: str) -> None:
    rng = np.random.default_rng(200)
    said = [word(drawn(kind, 8, rng) - 0.009, drawn(kind, 8, rng)) for _ in range(DRAWS)]
    assert np.mean([w == "better" for w in said]) >= 0.8


@pytest.mark.parametrize("n", SIZES)
def test_a_tie_is_said_only_where_the_interval_lies_within_the_margin(n: int) -> None:
    rng = np.random.default_rng(300 + n)
    ties = 0
    for _ in range(DRAWS):
        found = difference(seeds(drawn("normal", n, rng) * 1.1), seeds(drawn("normal", n, rng)))
        assert found is not None
        (answer,) = answers([found])
        if answer.word == "tie":
            ties += 1
            assert found.relative[1] > -0.05 and found.relative[2] < 0.05
    assert ties <= 0.05 * DRAWS, "arms that differ by a tenth"


def word(a: np.ndarray, b: np.ndarray) -> str:
    found = difference(seeds(a), seeds(b))
    assert found is not None
    return answers([found])[0].word


@pytest.mark.parametrize("n", [5, 20])
@pytest.mark.parametrize(("share", "other", "gain"), [(0.4, 0.0, 0.9), (0.4, 0.4, 1.0), (0.2, 0.2, 1.0)])
def test_an_arm_that_fails_more_is_rarely_called_better(n: int, share: float, other: float, gain: float) -> None:
    """Its survivors are 10 % lower and it fails in 40 % of seeds; or both arms are alike."""
    rng = np.random.default_rng(400 + n)
    said = []
    for _ in range(DRAWS):
        arms = []
        for rate, scale in ((share, gain), (other, 1.0)):
            kept = rng.random(n) >= rate
            arms.append({k: v for k, v in seeds(drawn("normal", n, rng) * scale).items() if kept[k]})
        failures = Failures(n - len(arms[0]), n, n - len(arms[1]), n)
        found = difference(*arms, failures=failures)
        said += [] if found is None else [answers([found])[0].word]
    assert said.count("better") <= 0.05 * DRAWS
    if share == other:
        assert said.count("better") + said.count("worse") <= 0.05 * DRAWS


def test_seeds_of_one_arm_alone_do_not_contradict_the_order() -> None:
    """In each pair `q` is 20 % lower; with two harder seeds its mean is higher, by which arms are ordered."""
    r, q = {0: 0.5, 1: 0.6, 2: 0.7}, {0: 0.4, 1: 0.48, 2: 0.56, 3: 0.9, 4: 0.95}
    found, logs = difference(q, r), [np.log(list(arm.values())) for arm in (q, r)]
    assert found is not None and not found.paired and found.n == 3
    assert found.mean == pytest.approx(logs[0].mean() - logs[1].mean())
    assert found.p == pytest.approx(stats.ttest_ind(*logs, equal_var=False).pvalue)
    assert answers([found])[0].word == "undecided"
    agreeing = difference({seed: 0.8 * value for seed, value in q.items()}, r)
    assert agreeing is not None and agreeing.paired and agreeing.relative[0] == pytest.approx(0.64 - 1)


@pytest.mark.parametrize("more", [1, 2, 5])
def test_equal_arms_with_unequal_seeds_are_rarely_told_apart(more: int) -> None:
    """Seeds are as hard for both arms, so that values in pairs are alike."""
    rng = np.random.default_rng(more)
    wrong = 0
    for _ in range(DRAWS):
        hard = rng.normal(0, 0.1, 3 + more)
        a, b = (np.exp(hard + rng.normal(0, 0.05, 3 + more)) for _ in range(2))
        found = difference(seeds(a[:3]), seeds(b))
        assert found is not None
        wrong += answers([found])[0].word in ("better", "worse")
    assert wrong <= 0.05 * DRAWS


def test_values_whose_sum_or_squares_overflow() -> None:
    assert centre([1.5e308, 1.3e308], logs=False) == pytest.approx(1.4e308)
    assert centre([1.5e308, 1.3e308], logs=True) == pytest.approx(1.3964240e308)
    found = estimate([-1e200, 0.0, 1e200])
    assert found is not None and found.centre == 0.0 and found.high == pytest.approx(2.484e200, rel=1e-3)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([0.4, 0.4], [0.5, 0.6]),
        ([0.3, 0.3 + 1e-16], [0.3, 0.3]),
        ([1e-170, 2e-170], [1e-171, 1e-171]),
        ([1e200, 2e200], [1.0, 1.0]),
    ],
)
def test_unpaired_values_of_any_size_are_compared_without_a_warning(a: list[float], b: list[float]) -> None:
    one, other = dict(enumerate(a)), dict(enumerate(b, start=10))
    for logs in (True, False):
        found = difference(one, other, logs=logs)
        assert found is not None and 0 <= found.p <= 1 and found.low <= found.mean <= found.high


def test_unpaired_values_have_welchs_interval() -> None:
    a, b = [0.5, 0.61, 0.48, 0.55], [0.4, 0.42, 0.39]
    found = difference(dict(enumerate(a)), dict(enumerate(b, start=10)), logs=False)
    right = stats.ttest_ind(a, b, equal_var=False)
    interval = right.confidence_interval(0.96)
    assert found is not None and found.p == pytest.approx(right.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
