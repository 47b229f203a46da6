"""How often comparisons are wrong, and how often they see what is there: simulated tables of arms, before and after.

Every row is a kind of table: arms, seeds, and how losses spread over seeds (5 % unless said otherwise). `before` is
what lrbench did until 0.1: Student's t of each pair by its own spread, corrected by Holm's method for twice the number
of arms. `after` is what it does. "errors": equal arms, of which one is called better or worse, with the best of them as
the reference, or with a baseline. "power": one arm is truly 10 % worse, and is called worse. The vectorized version of
the tests equals the real one (tests/test_power.py).

python benchmarks/power.py [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from scipy import special

from lrbench.analysis.answers import Answer, answers
from lrbench.analysis.comparison import Row, judged_rows
from lrbench.analysis.estimates import estimate
from lrbench.analysis.looks import weight
from lrbench.analysis.moderation import ALIKE, APART, range_p, trigamma_inverse
from lrbench.analysis.plateaus import on_plateau
from lrbench.analysis.statistics import ALPHA, difference
from lrbench.components import LOSS, measures

SPREAD = 0.05
EFFECT = np.log(1.1)
SHAPES = ("normal", "skewed", "bimodal", "heavy", "seeds 0.5", "seeds 0.9", "1:20", "one noisy", "one quiet", "half")
VAL_LOSS = measures([LOSS])["val_loss"]


def drawn(rng: np.random.Generator, shape: str, tables: int, arms: int, seeds: int) -> np.ndarray:
    """Draw logarithms of losses: tables × arms × seeds, with a mean of 0 and, of most shapes, a deviation of 1."""
    size = (tables, arms, seeds)
    if shape == "skewed":
        return rng.exponential(1, size) - 1
    if shape == "heavy":
        return rng.standard_t(3, size) / np.sqrt(3)
    if shape == "bimodal":
        return 0.4 * rng.standard_normal(size) + 2 * (rng.random(size) < 0.3) - 0.6
    found = rng.standard_normal(size)
    if shape.startswith("seeds"):  # hard seeds are hard for all arms
        shared = float(shape.split()[1])
        return np.sqrt(1 - shared) * found + np.sqrt(shared) * rng.standard_normal((tables, 1, seeds))
    return found * deviations(shape, arms)[:, None]


def deviations(shape: str, arms: int) -> np.ndarray:
    """Return the arms' standard deviations; the largest variance is 20 times the smallest."""
    large, found = np.sqrt(20), np.ones(arms)
    if shape == "1:20":
        return np.exp(np.linspace(-0.25, 0.25, arms) * np.log(20))
    if shape == "one noisy":
        found[0] = large
    if shape == "one quiet":
        found[1:] = large
    if shape == "half":
        found[: (arms + 1) // 2] = large
    return found


def before(x: np.ndarray, reference: np.ndarray, *, chosen: bool) -> np.ndarray:
    """Return which arms are called better or worse: tables × arms."""
    tables, arms, seeds = x.shape
    at = np.arange(tables)
    pairs = x - x[at, reference][:, None]
    with np.errstate(all="ignore"):
        t = pairs.mean(-1) * np.sqrt(seeds) / pairs.std(-1, ddof=1)
    p = 2 * special.stdtr(seeds - 1, -np.abs(t))
    p[at, reference] = 9
    total = arms - 1 if chosen else min(arms * (arms - 1) // 2, 2 * (arms - 1))
    return step_down(p, total) < ALPHA


def step_down(p: np.ndarray, total: int) -> np.ndarray:
    """Correct each row of p by Holm's method."""
    order = np.argsort(p, 1)
    weights = np.maximum(total - np.arange(p.shape[1]), 1)
    corrected = np.maximum.accumulate(np.take_along_axis(p, order, 1) * weights, 1)
    found = np.empty_like(p)
    np.put_along_axis(found, order, corrected, 1)
    return found


def after(x: np.ndarray, reference: np.ndarray, *, chosen: bool, level: float = ALPHA) -> np.ndarray:
    """Return the same by `judged_rows`, for arms of equal seeds without lost ones."""
    tables, arms, seeds = x.shape
    at, own, (one, two) = np.arange(tables), seeds - 1, np.triu_indices(arms, 1)
    means, apart = x.mean(-1), x - x.mean(-1, keepdims=True)
    products = np.einsum("tis,tjs->tij", apart, apart) / own
    variances = np.einsum("tii->ti", products)
    variance = (variances[:, :, None] + variances[:, None] - 2 * products)[:, one, two]
    mean, freedom = np.abs(means[:, one] - means[:, two]), np.full((tables, len(one)), float(own))
    alike = np.zeros(tables, bool)
    if len(one) >= 3:
        variance, freedom, alike = moderated(variance, one, two, arms, own)
    t = mean / np.sqrt(variance / seeds)
    p = 2 * special.stdtr(freedom, -t)
    if chosen:
        with_it = (one == reference[0]) | (two == reference[0])
        said = np.where(with_it, step_down(np.where(with_it, p, 9), arms - 1) < level, False)
    else:
        said = step_down(p, len(one)) < level
        pooled = np.where(alike, freedom.max(1), 0)
        for table in np.flatnonzero(alike):
            said[table] |= (freedom[table] > own) & (t[table] > critical(arms, pooled[table], level))
    found = np.zeros((tables, arms, arms), bool)
    found[:, one, two] = said
    return (found | found.transpose(0, 2, 1))[at, reference]


def moderated(
    variance: np.ndarray, one: np.ndarray, two: np.ndarray, arms: int, own: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the moderated variances, their degrees of freedom and whether the range's distribution holds."""
    centred = np.log(variance) - special.digamma(own / 2) + np.log(own / 2)
    shared = 0.25 * 2 * (arms - 2) / (len(one) - 1)
    excess = centred.var(1, ddof=1) / (1 - shared) - special.polygamma(1, own / 2)
    prior = np.array([min(2 * trigamma_inverse(e), 1e6) if e > 0 else 1e6 for e in excess])
    centre = np.exp(centred.mean(1) + special.digamma(prior / 2) - np.log(prior / 2))
    levels = np.stack([centred[:, (one == arm) | (two == arm)].mean(1) for arm in range(arms)], 1)
    noisy = levels - np.median(levels, axis=1, keepdims=True) > np.log(APART)
    alone = noisy[:, one] | noisy[:, two]
    shrunk = (prior[:, None] * centre[:, None] + own * variance) / (prior[:, None] + own)
    freedom = np.minimum(prior + own, own * (arms - 1))[:, None]
    return np.where(alone, variance, shrunk), np.where(alone, own, freedom), prior > ALIKE * own


_CRITICAL: dict[tuple[int, float], tuple[np.ndarray, np.ndarray]] = {}


def critical(arms: int, freedom: float, level: float) -> float:
    """Return the |t| at which the range's p is the level, interpolated."""
    if (arms, level) not in _CRITICAL:
        inverse = np.linspace(1e-6, 0.35, 36)
        _CRITICAL[arms, level] = inverse, np.array([_solved(arms, 1 / one, level) for one in inverse])
    return float(np.interp(1 / freedom, *_CRITICAL[arms, level]))


def _solved(arms: int, freedom: float, level: float) -> float:
    low, high = 0.0, 60.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if range_p(middle, arms, freedom) > level else (low, middle)
    return high


def table_row(arms: int, seeds: int, shape: str, tables: int) -> str:
    """Simulate one kind of table."""
    x = SPREAD * drawn(np.random.default_rng([arms, seeds]), shape, tables, arms, seeds)
    worse, first = x.copy(), np.zeros(tables, int)
    worse[:, -1] += EFFECT
    cells = []
    for rule in (before, after):
        errors = rule(x, x.mean(-1).argmin(1), chosen=False).any(1).mean()
        baseline = rule(x, first, chosen=True).any(1).mean()
        power = rule(worse, worse.mean(-1).argmin(1), chosen=False)[:, -1].mean()
        cells += [f"{errors:.1%}", f"{baseline:.1%}", f"{power:.0%}"]
    return f"| {arms} | {seeds} | {shape} | {' | '.join(cells)} |"


def looking(tables: int, weights: bool) -> float:
    """Return how often two equal arms are told apart by one of ten looks, after 3, 5, … 21 seeds."""
    x = np.random.default_rng(1).standard_normal((tables, 21))
    wrong = np.zeros(tables, bool)
    for look, seeds in enumerate(range(3, 22, 2), start=1):
        part = x[:, :seeds]
        t = part.mean(1) * np.sqrt(seeds) / part.std(1, ddof=1)
        wrong |= 2 * special.stdtr(seeds - 1, -np.abs(t)) * (weight(look) if weights else 1) < ALPHA
    return float(wrong.mean())


def following(effect: float, seeds: int, tables: int) -> tuple[float, float]:
    """Return how often a comparison of two arms is undecided, and how often adding `more_seeds` decides it then."""
    rng, open_, decided = np.random.default_rng(seeds), 0, 0
    for _ in range(tables):
        arms = [dict(enumerate(np.exp(rng.normal(mean, SPREAD, 1000)).tolist())) for mean in (0, effect)]
        (first,) = _told(arms, seeds, 1)
        if first.more_seeds is not None:
            open_ += 1
            (then,) = _told(arms, seeds + first.more_seeds.count, 2)
            decided += then.word in ("better", "tie", "worse")
    return open_ / tables, decided / max(open_, 1)


def _told(arms: Sequence[dict[int, float]], seeds: int, looks: int) -> list[Answer]:
    found = difference(*({seed: arm[seed] for seed in range(seeds)} for arm in arms))
    assert found is not None
    return answers([found], looks=looks)


def false_ties(seeds: int, tables: int) -> float:
    """Return how often one of nine arms that are truly 5.5 % worse is called a tie with the best one."""
    rng, wrong = np.random.default_rng(seeds), 0
    for _ in range(tables):
        x = rng.normal(0, SPREAD / 2, (10, seeds)) + np.log(1.055) * (np.arange(10) > 0)[:, None]
        wrong += any(row.answer is not None and row.answer.word == "tie" for row in real(np.exp(x))[1:])
    return wrong / tables


def real(losses: np.ndarray, reference: int | None = None) -> list[Row]:
    """Judge arms × seeds by lrbench's own code, the best first unless there is a reference."""
    values = [dict(enumerate(map(float, arm))) for arm in losses]
    rows = [Row(None, one, estimate(list(one.values())), 0) for one in values]  # type: ignore[arg-type]
    against = min(rows, key=lambda row: row.centre) if reference is None else rows[reference]
    if reference is None:
        rows.sort(key=lambda row: row.centre)
    return judged_rows(rows, against, VAL_LOSS, chosen=reference is not None, looked=1)[0]


def coverage(seeds: int, draws: int) -> tuple[float, float]:
    """Return how often the 95% interval covers: of all seeds, the mean of all; of those not on a plateau, theirs.

    One seed in ten ends on a plateau at 2.3; the others at 0.03.
    """
    rng, whole, rest = np.random.default_rng(seeds), 0, 0
    for _ in range(draws):
        good = 0.03 * np.exp(rng.normal(0, SPREAD, seeds))
        values = dict(enumerate(np.where(rng.random(seeds) < 0.1, 2.3, good).tolist()))
        stuck = on_plateau(values)
        kept = [value for seed, value in values.items() if seed not in stuck]
        whole += _covers(list(values.values()), 0.03**0.9 * 2.3**0.1)
        rest += _covers(kept, 0.03)
    return whole / draws, rest / draws


def _covers(values: Sequence[float], centre: float) -> bool:
    found = estimate(values)
    assert found is not None
    return found.low is not None and found.high is not None and found.low <= centre <= found.high


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer arms, seeds and draws")
    quick = parser.parse_args().quick
    tables = 1000 if quick else 4000
    print("| arms | seeds | spread | before: errors | baseline | power | after: errors | baseline | power |")
    for arms in (3, 10) if quick else (2, 3, 5, 10, 27):
        for seeds in (3, 5, 10) if quick else (3, 5, 8, 10, 20):
            for shape in SHAPES:
                print(table_row(arms, seeds, shape, tables if arms < 20 else tables // 2), flush=True)
    for weights in (False, True):
        print(f"ten looks{', weighted' * weights}: {looking(10 * tables, weights):.1%}")
    for seeds in (3, 5, 10, 20):
        print(f"{seeds} seeds: coverage {' '.join(f'{part:.1%}' for part in coverage(seeds, tables))}", flush=True)
    for effect in (0.0, 0.03, 0.06, 0.1):
        for seeds in (3, 5, 10):
            open_, decided = following(effect, seeds, tables // 10)
            print(f"{effect:.0%} apart, {seeds} seeds: undecided {open_:.0%}, then decided {decided:.0%}", flush=True)
    for seeds in (5, 10, 20):
        print(f"{seeds} seeds: a false tie in {false_ties(seeds, tables // 10):.1%} of tables", flush=True)


if __name__ == "__main__":
    main()
