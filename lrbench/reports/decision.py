"""Decisions: what `lrbench compare` found, as Python users get it and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lrbench._version import __version__
from lrbench.analysis import ALPHA, Comparison, MoreSeeds, Row, TargetTest
from lrbench.analysis import Target as Aim
from lrbench.reports import sentences, targets
from lrbench.reports.caveats import Caveat
from lrbench.runs import finite

FORMAT = 1
EXIT_CODES = {"better": 0, "passes": 0, "worse": 1, "fails": 1, "tie": 3}
UNDECIDED = 4


@dataclass(frozen=True)
class Side:
    """One of the groups.

    Attributes:
        label: its label in a report.
        n: seeds that count.
        seeds: these seeds.
        lost: seeds that diverged, failed or ended on a plateau.
        plateau: those of them that ended on a plateau.
        centre: the geometric mean of losses, the mean of other metrics; None without a value.
        low: lower end of the centre's 95% interval; None with fewer than two seeds.
        high: upper end.
    """

    label: str
    n: int
    seeds: tuple[int, ...]
    lost: int
    plateau: int
    centre: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, row: Row, metric: str) -> Side:
        """Return a row's side."""
        found = row.estimate
        centre, low, high = (None, None, None) if found is None else (found.centre, found.low, found.high)
        seeds = sorted(seed for seed in row.values if isinstance(seed, int))  # the others are unknown
        stuck = len(row.group.plateau(metric))
        return cls(row.group.label, row.n, tuple(seeds), row.lost, stuck, centre, low, high)


@dataclass(frozen=True)
class Effect:
    """A relative to B with its 96% interval: A divided by B (`ratio`), or A minus B (`difference`)."""

    scale: Literal["ratio", "difference"]
    value: float
    low: float
    high: float


class _Told:
    """What both kinds of decision share."""

    word: str
    text: str
    warnings: tuple[Caveat, ...]

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 0 better or passes, 1 worse or fails, 3 tie, 4 undecided."""
        return EXIT_CODES.get(self.word, UNDECIDED)

    def plain(self) -> dict[str, Any]:
        """Return what `--json` prints; docs/automation.md describes it. Nothing in it is NaN or infinite."""
        head = {"format": FORMAT, "lrbench": __version__, "word": self.word, "exit_code": self.exit_code}
        warnings = [caveat._asdict() for caveat in self.warnings]
        told: dict[str, Any] = finite({**head, **asdict(self), "warnings": warnings})  # type: ignore[call-overload]
        return told

    def json(self) -> str:
        """Return `plain` as one line of text."""
        return json.dumps(self.plain(), allow_nan=False)

    def __str__(self) -> str:
        return "\n".join([self.text, *(f"Warning: {caveat.text}" for caveat in self.warnings)])


@dataclass(frozen=True)
class Decision(_Told):
    """Whether group A is better than group B.

    Attributes:
        word: better, probably better, tie, undecided, probably worse or worse: A, compared with B. It is decided by
            the corrected p; "probably" holds for one comparison alone, but not corrected for `tries`.
        metric: what is compared.
        better: whether `lower` or `higher` is better.
        a: the group that is judged.
        b: what it is compared with.
        effect: A relative to B; None where only the shares of lost seeds can be compared, or there are too few seeds.
        paired: whether equal seeds are compared in pairs.
        pairs: number of pairs; of runs in the smaller group if they are not paired.
        p: two-sided p of the t-test; None without `effect`.
        p_lost: p of Fisher's exact test of the shares of lost seeds; None if no seed was lost.
        p_permutation: p of a permutation test, which decides nothing; None with fewer than six pairs.
        p_corrected: the p that decides, times `tries`.
        alpha: the level of `p_corrected`, below which A is better or worse.
        tries: the number of attempts among which A was chosen.
        margin: a tie is an interval within this of B: as a fraction of B with a ratio, else in the metric's unit.
        more_seeds: how many more seeds each group needs for a decision with 80% power; None if it is decided, or would
            need more than a thousand.
        more_seeds_range: the same for 50% and for 95% power.
        looks: how often seeds were added to the groups, as far as the runs tell; p is corrected for it.
        text: one sentence.
        warnings: what weakens the comparison.
    """

    word: str
    metric: str
    better: Literal["lower", "higher"]
    a: Side
    b: Side
    effect: Effect | None
    paired: bool
    pairs: int
    p: float | None
    p_lost: float | None
    p_permutation: float | None
    p_corrected: float | None
    alpha: float
    tries: int
    margin: float | None
    more_seeds: int | None
    more_seeds_range: tuple[int, int | None] | None
    looks: int
    text: str
    warnings: tuple[Caveat, ...]

    @classmethod
    def of(cls, comparison: Comparison, row: Row, tries: int, warnings: Sequence[Caveat]) -> Decision:
        """Return the decision on the row of A, compared with the other row of `comparison`."""
        other, measure, found, answer = comparison.against, comparison.measure, row.difference, row.answer
        known = found if found is not None and found.n else None
        return cls(
            word="undecided" if answer is None else answer.word,
            metric=measure.name,
            better=measure.better,
            a=Side.of(row, measure.name),
            b=Side.of(other, measure.name),
            effect=None if known is None else _effect(known.logs, known.mean, known.low, known.high),
            paired=known is not None and known.paired,
            pairs=0 if known is None else known.n,
            p=None if known is None else known.p,
            p_lost=None if found is None or found.failures is None else found.failures.p,
            p_permutation=row.permutation,
            p_corrected=None if answer is None else answer.p,
            alpha=ALPHA,
            tries=tries,
            margin=None if known is None else known.margin,
            more_seeds=_lacking(row, other) if answer is None else answer.more,
            more_seeds_range=None if answer is None else _range(answer.more_seeds),
            looks=comparison.looks,
            text=sentences.decided(comparison, row, tries),
            warnings=tuple(warnings),
        )


def _lacking(row: Row, other: Row) -> int | None:
    """Return how many seeds the smaller group lacks; None if seeds were pruned, since more do not replace them."""
    pruned = row.group.pruned or other.group.pruned
    return None if pruned else max(3 - min(row.n, other.n), 0) or None


def _range(more: MoreSeeds | None) -> tuple[int, int | None] | None:
    return None if more is None else (more.low, more.high)


def _effect(logs: bool, *values: float) -> Effect:
    if logs:
        return Effect("ratio", *(math.exp(min(value, 709.7)) for value in values))
    return Effect("difference", *values)


@dataclass(frozen=True)
class TargetSide(Side):
    """A group that was tested against a target.

    Attributes:
        word: passes, undecided or fails.
        p: that its mean at the end of the runs reaches the target only by chance, times `tries`.
        p_fails: the same for missing it.
        first: the first evaluation at which it passes: `step`, `epoch`, `seconds` of training, `centre`, `p`.
        more_seeds: how many more seeds would decide with 80% power.
        more_seeds_range: the same for 50% and for 95% power.
        time: how long each seed takes to the target, and the distribution of these times; docs/automation.md has the
            keys. None if the runs lack the metric.
    """

    word: str
    p: float | None
    p_fails: float | None
    first: dict[str, float | None] | None
    more_seeds: int | None
    more_seeds_range: tuple[int, int | None] | None
    time: dict[str, Any] | None

    @classmethod
    def tested(cls, test: TargetTest, aim: Aim) -> TargetSide:
        """Return a test's side."""
        first, time = None if test.first is None else asdict(test.first), targets.told(aim, test.row.group)
        more = test.more_seeds
        return cls(
            **vars(Side.of(test.row, aim.measure.name)),
            word=test.word,
            p=test.p,
            p_fails=test.p_fails,
            first=first,
            more_seeds=None if more is None else more.count,
            more_seeds_range=_range(more),
            time=time,
        )


def _target_words(aim: Aim, test: TargetTest) -> tuple[str, str]:
    return sentences.reached(aim, test), targets.brief(aim, test.row.group)


@dataclass(frozen=True)
class TargetDecision(_Told):
    """Whether group A reaches a target.

    Attributes:
        word: `passes` if its mean over the seeds at the end of the runs reaches the target with p below `alpha`,
            `fails` if it misses it as surely, else `undecided`.
        metric: what is to reach the target.
        better: whether `lower` or `higher` is better.
        target: the value to reach.
        a: the group that is judged.
        b: another group, shown beside it; it changes nothing.
        alpha: the level of p.
        tries: the number of attempts among which A was chosen.
        more_seeds: how many more seeds A needs for a decision with 80% power.
        text: a sentence on the test, and one on the time to the target.
        warnings: what weakens the test.
    """

    word: str
    metric: str
    better: Literal["lower", "higher"]
    target: float
    a: TargetSide
    b: TargetSide | None
    alpha: float
    tries: int
    more_seeds: int | None
    text: str
    warnings: tuple[Caveat, ...]

    @classmethod
    def of(
        cls, aim: Aim, tests: Sequence[TargetTest], level: float, tries: int, warnings: Sequence[Caveat]
    ) -> TargetDecision:
        """Return the decision on the first test; a second one is shown beside it."""
        sides = [TargetSide.tested(test, aim) for test in tests]
        return cls(
            word=sides[0].word,
            metric=aim.measure.name,
            better=aim.measure.better,
            target=aim.value,
            a=sides[0],
            b=sides[1] if len(sides) > 1 else None,
            alpha=level,
            tries=tries,
            more_seeds=sides[0].more_seeds,
            text=" ".join(text for test in tests for text in _target_words(aim, test) if text),
            warnings=tuple(warnings),
        )
