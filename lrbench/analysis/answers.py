"""What differences show, judged together: better, worse, a tie or undecided, corrected for their number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lrbench.analysis.looks import weight
from lrbench.analysis.seed_numbers import MoreSeeds, more_seeds
from lrbench.analysis.statistics import ALPHA, Difference, Word, t_test


@dataclass(frozen=True)
class Answer:
    """What a difference shows.

    Attributes:
        word: better or worse if the corrected p is below 0.04, probably so if only the uncorrected p is, tie if the
            interval is within the margin, also corrected for the number of comparisons, else undecided. An arm that
            lost a larger share of its seeds is never better or tied by the others, and one that lost a smaller share
            never worse.
        p: corrected for the number of comparisons and of looks.
        more_seeds: how many more seeds would decide; None if decided, or for more than a thousand.
    """

    word: Word
    p: float
    more_seeds: MoreSeeds | None = None

    @property
    def more(self) -> int | None:
        """About how many more seeds would decide with 80% power."""
        return None if self.more_seeds is None else self.more_seeds.count


def answers(
    differences: Sequence[Difference],
    *,
    comparisons: float | None = None,
    lower: bool = True,
    ps: Sequence[float] | None = None,
    looks: int = 1,
) -> list[Answer]:
    """Judge differences together.

    Args:
        differences: the differences.
        comparisons: number of comparisons to correct for; the number of differences if None.
        lower: whether less is better.
        ps: the corrected p of each, if it is known by other comparisons; by Holm's method if None.
        looks: how often seeds were added so far and compared, this time included.
    """
    total = max(comparisons or 0, len(differences))
    tied_with = total if ps is None else len(differences)
    ties = holm([_tie_p(d) for d in differences], tied_with)
    told = zip(differences, ps or corrected(differences, comparisons, lower), ties, strict=True)
    counts, then = weight(looks), weight(looks + 1)
    found = []
    for d, p, tie_p in told:
        better, own = _shown(d, lower)
        p, tied = min(1.0, counts * p), counts * tie_p < ALPHA and _within(d)
        word: Word = "tie" if tied else _word(better, own, p)
        decided = word in ("better", "tie", "worse")
        more = None if decided else _more(d, lower, ALPHA / total / then, ALPHA / tied_with / then)
        found.append(Answer(word, p, more))
    return found


def corrected(
    differences: Sequence[Difference],
    comparisons: float | None,
    lower: bool,
    ranges: Sequence[float | None] | None = None,
) -> list[float]:
    """Return the p of each difference, corrected for their number by Holm's method, or less if `ranges` say so.

    Args:
        differences: the differences.
        comparisons: number of comparisons to correct for; the number of differences if None.
        lower: whether less is better.
        ranges: of all pairs of arms, the p by the studentized range, where it holds.
    """
    found = holm([_shown(d, lower)[1] for d in differences], comparisons)
    if ranges is None:
        return found
    told = zip(differences, found, ranges, strict=True)
    return [p if other is None or (d.failures and d.failures.excess) else min(p, other) for d, p, other in told]


def says_worse(d: Difference, p: float, lower: bool) -> bool | None:
    """Whether a difference with a corrected p says that the arm is worse; None if it says neither."""
    return not _shown(d, lower)[0] if p < ALPHA else None


def _shown(d: Difference, lower: bool) -> tuple[bool, float]:
    """Return whether a difference points to better, and its p.

    Of two arms that lost different shares of their seeds, only the one that lost less can be better: by the shares, or
    by the other seeds if they agree.
    """
    better = (d.mean < 0) == lower
    if d.failures is None or not d.failures.excess:
        return better, d.p
    fails_less = d.failures.excess < 0
    return fails_less, min(d.failures.p, d.p if better == fails_less else 1.0)


def _word(better: bool, p: float, p_corrected: float) -> Word:
    if p_corrected < ALPHA:
        return "better" if better else "worse"
    if p < ALPHA:
        return "probably better" if better else "probably worse"
    return "undecided"


def _within(d: Difference) -> bool:
    low, high = d.within
    return low < d.low and d.high < high and not (d.failures and d.failures.excess)


def _tie_p(d: Difference) -> float:
    """Return the p of the test that the difference lies outside of the margin: the larger of two one-sided ones."""
    if not d.n or not math.isfinite(d.mean):
        return 1.0
    low, high = d.within
    nearest = min(d.mean - low, high - d.mean)
    if nearest <= 0 or not d.error:
        return float(nearest <= 0)
    return t_test(nearest / d.error, d.freedom) / 2


def _more(d: Difference, lower: bool, level: float, tie_level: float) -> MoreSeeds | None:
    """Return the seeds to add until the mean is likely to differ from 0 or to be within the margin.

    None where different shares of lost seeds contradict the mean, or there is none: more seeds of the same kind decide
    nothing by it.
    """
    if not d.n or not math.isfinite(d.mean):
        return None
    if d.failures is not None and d.failures.excess and ((d.mean < 0) == lower) != (d.failures.excess < 0):
        return None
    spread, tie_level = d.error * math.sqrt(d.n), min(ALPHA / 2, tie_level)
    within = None if d.failures is not None and d.failures.excess else d.within
    return more_seeds(d.mean, spread, d.n, freedom=d.freedom, level=level, within=within, tie_level=tie_level)


def holm(ps: Sequence[float], comparisons: float | None = None) -> list[float]:
    """Correct p values for their number by Holm's step-down method (Holm 1979).

    Args:
        ps: the values, in any order.
        comparisons: the total number, if these are the smallest of more.
    """
    total = max(comparisons or 0, len(ps))
    found, largest = [0.0] * len(ps), 0.0
    for done, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min((total - done) * ps[index], 1.0))
        found[index] = largest
    return found


def rank_ranges(worse: Sequence[Sequence[bool]]) -> list[tuple[int, int]]:
    """Return each arm's best and worst possible rank; `worse[i][j]` says whether arm i is worse than j.

    The best rank is 1 + the number of arms that are better; the worst is the number of arms that are not worse.
    """
    count = len(worse)
    beaten = [sum(row) for row in worse]
    beats = [sum(worse[i][j] for i in range(count)) for j in range(count)]
    return [(1 + lost, count - won) for lost, won in zip(beaten, beats, strict=True)]
