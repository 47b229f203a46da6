"""How often a program that tries equal arms says that one is better: with and without what lrbench does about it.

Every arm has the same distribution of losses, so each "better" is wrong. The statistics are those of `lrbench compare`.

python benchmarks/many_tries.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

import numpy as np

from lrbench.analysis.answers import answers
from lrbench.analysis.statistics import difference

Arm = Mapping[int, float]
SPREAD = 0.1  # standard deviation of the logarithm of a loss over seeds
FIRST, LAST = 3, 20  # seeds of a program that looks after each


def drawn(rng: np.random.Generator, seeds: int, first: int = 0) -> Arm:
    """Draw an arm's losses by seed."""
    return dict(enumerate(map(float, 0.1 * np.exp(rng.normal(0, SPREAD, seeds))), start=first))


def best(arms: list[Arm]) -> Arm:
    """Return the arm with the lowest geometric mean."""
    return min(arms, key=lambda arm: float(np.log(list(arm.values())).mean()))


def better(arm: Arm, baseline: Arm, tries: int = 1) -> bool:
    """Whether `lrbench compare --tries` says "better"."""
    found = difference(arm, baseline)
    return found is not None and answers([found], comparisons=tries)[0].word == "better"


def wrong_claims(arms: int, seeds: int, draws: int) -> dict[str, float]:
    """Return how often equal arms lead to the claim that one is better than a baseline, which is another equal arm.

    `best`: the best of all is compared; `any`: each is compared, and one that is called better is kept. Both without
    a correction and with `--tries`.
    """
    rng = np.random.default_rng(arms * 1000 + seeds)
    counts = dict.fromkeys(("best", "best, --tries", "any", "any, --tries"), 0)
    for _ in range(draws):
        tried, baseline = [drawn(rng, seeds) for _ in range(arms)], drawn(rng, seeds)
        for end, tries in (("", 1), (", --tries", arms)):
            counts[f"best{end}"] += better(best(tried), baseline, tries)
            counts[f"any{end}"] += any(better(arm, baseline, tries) for arm in tried)
    return {name: count / draws for name, count in counts.items()}


def fresh_seeds(rng: np.random.Generator) -> bool:
    """Choose the best of 20 arms by 5 seeds, then compare 5 fresh ones of it."""
    best([drawn(rng, 5) for _ in range(20)])  # its fresh seeds know nothing of why it was chosen
    return better(drawn(rng, 5, first=5), drawn(rng, 5))


def looking_after_each_seed(rng: np.random.Generator) -> bool:
    """Add seeds one by one and stop at the first "better"."""
    arm, baseline = drawn(rng, LAST), drawn(rng, LAST)
    return any(
        better({k: arm[k] for k in range(n)}, {k: baseline[k] for k in range(n)}) for n in range(FIRST, LAST + 1)
    )


def picking_seeds(rng: np.random.Generator) -> bool:
    """Keep the 3 lowest losses of 6 seeds, and compare them with 3 seeds of the baseline."""
    losses = sorted(drawn(rng, 6).values())[:3]
    return better(dict(enumerate(losses)), drawn(rng, 3))


def one_comparison(rng: np.random.Generator) -> bool:
    """Decide once, on 5 seeds that were fixed before."""
    return better(drawn(rng, 5), drawn(rng, 5))


WAYS: tuple[Callable[[np.random.Generator], bool], ...] = (
    one_comparison, fresh_seeds, looking_after_each_seed, picking_seeds,
)  # fmt: skip


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=4000)
    draws = parser.parse_args().draws
    print("| equal arms | seeds | best | best, --tries | any | any, --tries |")
    for arms in (5, 20):
        for seeds in (3, 5, 10):
            found = wrong_claims(arms, seeds, draws)
            print(f"| {arms} | {seeds} | {' | '.join(f'{share:.1%}' for share in found.values())} |", flush=True)
    for way in WAYS:
        rng = np.random.default_rng(0)
        print(f"{sum(way(rng) for _ in range(draws)) / draws:6.1%}  {(way.__doc__ or '').strip()}")


if __name__ == "__main__":
    main()
