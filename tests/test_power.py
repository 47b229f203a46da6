"""Moderated variances, looks and plateaus: published formulas, a slow reference, and what the benchmark simulates."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from lrbench.analysis import grouped, read_runs
from lrbench.analysis.answers import answers
from lrbench.analysis.comparison import Row, judged_rows
from lrbench.analysis.looks import looks, weight
from lrbench.analysis.moderation import Prior, effective_comparisons, range_p, range_ps, trigamma_inverse
from lrbench.analysis.plateaus import on_plateau
from lrbench.analysis.statistics import Difference, difference
from lrbench.reports.reporting import gather
from lrbench.reports.shown import summary

MakeRun = Callable[..., Path]


def _benchmark() -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / "power.py"
    spec = importlib.util.spec_from_file_location("power", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


power = _benchmark()


# -- the studentized range and Smyth's formulas


@pytest.mark.parametrize(("arms", "freedom", "upper"), [(3, 10, 3.877), (5, 20, 4.232), (10, 30, 4.824), (3, 5, 4.602)])
def test_the_range_has_the_values_of_printed_tables(arms: int, freedom: int, upper: float) -> None:
    """Upper 5% points of the studentized range, as in textbooks."""
    assert range_p(upper / math.sqrt(2), arms, freedom) == pytest.approx(0.05, rel=0.003)


def test_the_range_equals_scipys() -> None:
    ts = [0.5, 2.0, 3.5, 6.0]
    for arms, freedom in ((3, 2.0), (10, 18.0), (30, 1e6)):
        wanted = [stats.studentized_range.sf(t * math.sqrt(2), arms, freedom) for t in ts]
        assert range_ps(ts, arms, freedom) == pytest.approx(wanted, rel=0.01, abs=1e-7)
    assert effective_comparisons(2) == pytest.approx(1, rel=1e-3), "two arms are one comparison"


@pytest.mark.parametrize("x", [0.05, 1.0, 3.7, 500.0])
def test_trigamma_is_inverted(x: float) -> None:
    assert trigamma_inverse(float(special.polygamma(1, x))) == pytest.approx(x)


def test_a_prior_by_hand() -> None:
    """Three pairs of three arms with 4 degrees of freedom and the variances 1, 4 and 16 (Smyth 2004, section 6.2)."""
    pairs = {(1, 0): made(1.0), (2, 0): made(2.0), (2, 1): made(4.0)}
    found = Prior.of(pairs)
    assert found is not None
    logs = np.log([1.0, 4.0, 16.0])
    # digamma(2) = 1 − γ, trigamma(2) = π²/6 − 1; two pairs of three share an arm: a correlation of 1/4
    excess = logs.var(ddof=1) / 0.75 - (math.pi**2 / 6 - 1)
    freedom = 2 * trigamma_inverse(excess)
    centre = logs.mean() - (1 - 0.5772156649) + math.log(2) + special.digamma(freedom / 2) - math.log(freedom / 2)
    assert found.freedom == pytest.approx(freedom) and found.variance == pytest.approx(math.exp(centre))
    alone = Prior(2.0, 6.0, 5, frozenset(), alike=False, logs=True)
    got = alone.moderated(made(4.0), 0, 1)  # (6·2 + 4·16) / 10 = 7.6, with 10 degrees of freedom
    assert (got.spread**2, got.freedom) == (pytest.approx(7.6), 10)
    assert got.p == pytest.approx(2 * stats.t.sf(0.5 / math.sqrt(7.6 / 5), 10))
    assert Prior(2.0, 6.0, 5, frozenset({1}), alike=False, logs=True).moderated(made(4.0), 0, 1) == made(4.0)


def made(spread: float) -> Difference:
    half = stats.t.ppf(0.98, 4) * spread / math.sqrt(5)
    return Difference(5, True, True, 0.5, 0.5 - half, 0.5 + half, 0.3, spread)


# -- the benchmark's arrays equal the real code


@pytest.mark.parametrize("shape", ["normal", "one noisy", "half"])
@pytest.mark.parametrize(("arms", "seeds"), [(2, 4), (3, 3), (6, 3), (6, 8)])
def test_the_benchmark_equals_the_code(arms: int, seeds: int, shape: str) -> None:
    x = 0.05 * power.drawn(np.random.default_rng(arms), shape, 12, arms, seeds)
    x[:, -1] += 0.15
    best = power.after(x, x.mean(-1).argmin(1), chosen=False)
    chosen = power.after(x, np.zeros(12, int), chosen=True)
    for table in range(12):
        said = sorted(row.centre for row in power.real(np.exp(x[table])) if _apart(row))
        assert said == pytest.approx(sorted(np.exp(x[table].mean(-1))[best[table]]))
        assert [_apart(row) for row in power.real(np.exp(x[table]), reference=0)] == chosen[table].tolist()


def _apart(row: Row) -> bool:
    return row.answer is not None and row.answer.word in ("better", "worse")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_neither_order_nor_scale_matters(draw: int, scale: float) -> None:
    x = np.random.default_rng(draw).normal(0, 0.1, (4, 5)) + np.arange(4)[:, None] * 0.1
    order = np.random.default_rng(draw + 1).permutation(4)
    seeds = np.random.default_rng(draw + 2).permutation(5)
    one, two = power.real(np.exp(x)), power.real(scale * np.exp(x[order][:, seeds]))
    for a, b in zip(one, two, strict=True):
        assert b.centre == pytest.approx(scale * a.centre) and a.ranks == b.ranks
        if a.answer is not None and b.answer is not None:
            assert (a.answer.word, a.answer.p) == (b.answer.word, pytest.approx(b.answer.p, rel=1e-6, abs=1e-12))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_intervals_agree_with_the_words(draw: int) -> None:
    rng = np.random.default_rng(draw)
    for row in power.real(np.exp(rng.normal(0, 0.05, (5, 4)) + rng.normal(0, 0.1, (5, 1)))):
        d, answer = row.difference, row.answer
        if d is not None and answer is not None:
            word = answer.word
            assert (d.low > 0 or d.high < 0) or word in ("tie", "undecided")
            assert word != "tie" or (d.within[0] < d.low and d.high < d.within[1])
            assert word != "undecided" or d.low <= 0 <= d.high


def test_errors_and_power() -> None:
    rng = np.random.default_rng(0)
    for shape, arms, seeds, seen in (("normal", 10, 3, 0.15), ("normal", 10, 5, 0.5), ("one noisy", 10, 5, 0)):
        x = power.SPREAD * power.drawn(rng, shape, 1000, arms, seeds)
        assert power.after(x, x.mean(-1).argmin(1), chosen=False).any(1).mean() <= 0.05
        x[:, -1] += power.EFFECT
        assert power.after(x, x.mean(-1).argmin(1), chosen=False)[:, -1].mean() >= seen


# -- ties, looks and plateaus


def test_ties_are_corrected_for_their_number() -> None:
    a = {seed: 1 + 0.02 * math.sin(seed) for seed in range(6)}
    b = {seed: 1 + 0.02 * math.cos(3 * seed) for seed in range(6)}
    found = difference(a, b)
    assert found is not None and answers([found])[0].word == "tie"
    assert answers([found] * 40)[0].word != "tie"


def test_looks_after_every_other_seed_keep_the_error_below_five_percent() -> None:
    assert [weight(look) for look in (1, 2, 3)] == [1, 4, 9]
    assert power.looking(20_000, weights=False) > 0.12
    assert power.looking(20_000, weights=True) <= 0.05


def test_seeds_that_were_added_count_as_a_look(make_run: MakeRun, tmp_path: Path) -> None:
    for name, lr in (("a", 0.1), ("b", 0.2)):
        for seed in range(5):
            said = ["lrbench", "run", "c.yaml", "--seeds", "3" if seed < 3 else "5"]
            folder = make_run([0.5 * (1 + lr) + 0.01 * seed], name=name, lr=lr, seed=seed)
            text = (folder / "env.json").read_text()
            (folder / "env.json").write_text(_with_arguments(text, said))
    groups = grouped(read_runs([tmp_path / "runs"]))
    assert looks(groups) == 2
    shown = gather([tmp_path / "runs"])
    assert shown.comparison is not None and shown.comparison.looks == 2
    row = shown.comparison.rows[1]
    assert row.answer is not None and row.difference is not None
    assert row.answer.p == pytest.approx(4 * row.difference.p)
    assert shown.method is not None and "2 looks, since seeds were added (p times 4)" in shown.method


def _with_arguments(text: str, arguments: list[str]) -> str:
    return json.dumps({**json.loads(text), "arguments": arguments})


def test_a_plateau_is_told_and_the_others_have_an_interval(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, value in enumerate([0.030, 0.031, 2.3, 0.0305, 0.0295]):
        make_run([value], name="a", lr=0.1, seed=seed)
        make_run([0.05 + seed / 1000], name="b", lr=0.2, seed=seed)
    shown = gather([tmp_path / "runs"])
    assert shown.comparison is not None
    b, a = shown.comparison.rows
    assert (a.group.first.name, a.n, a.lost) == ("a", 4, 1), "a plateau is not hidden by the order"
    assert a.centre == pytest.approx(float(stats.gmean([0.030, 0.031, 0.0305, 0.0295])))
    assert a.estimate is not None and a.estimate.high is not None and a.estimate.high < 0.033
    assert "1 of 5 seeds ended on a plateau at 2.3" in " ".join(summary(shown))
    assert a.answer is not None and a.answer.word not in ("better", "tie")
    assert b.lost == 0
    (alone, *_) = summary(gather([tmp_path / "runs"], filters=["a"]))
    assert "four seeds; 1 of 5 seeds ended on a plateau at 2.3)" in alone


@pytest.mark.parametrize(
    ("values", "stuck"),
    [
        ([0.03, 0.031, 0.03, 2.3], {3}),
        ([0.03, 2.3], set()),  # too few
        ([0.03, 0.031, 2.3, 2.3], set()),  # more than a third
        ([0.03, 0.05, 0.09, 0.3], set()),  # a tail
        ([0.03, 0.031, 0.029, 0.08], set()),  # not three times as much
        ([2.3] * 5, set()),
        ([0.0, 0.1, 0.1, 5.0], set()),
    ],
)
def test_plateaus_by_hand(values: list[float], stuck: set[int]) -> None:
    assert on_plateau(dict(enumerate(values))) == stuck


def test_a_plateau_of_accuracies_is_one_of_errors() -> None:
    assert on_plateau({0: 0.98, 1: 0.981, 2: 0.979, 3: 0.1}, lower=False) == {3}
    assert not on_plateau({0: 0.98, 1: 0.981, 2: 0.979, 3: 0.96}, lower=False)


def test_intervals_of_mixtures_cover() -> None:
    for seeds in (3, 10):
        whole, rest = power.coverage(seeds, 1000)
        assert whole < 0.75 and rest > 0.92


def test_judged_rows_need_no_pairs() -> None:
    """Two arms have no prior."""
    rows = power.real(np.exp(np.random.default_rng(0).normal(0, 1, (2, 4))))
    assert judged_rows(rows, rows[0], power.VAL_LOSS, chosen=False, looked=1)[1] is None
