"""What the other learning rates of a family make of a verdict on one's own curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lrbench.analysis.verdicts.words import Verdict


@dataclass(frozen=True)
class Other:
    """Another learning rate of the family: how its runs ended, compared with one's own.

    Attributes:
        lr: the learning rate.
        better: whether its runs ended better.
        sure: whether that is decided over the seeds, with a correction for the number of learning rates.
        notable: whether it is better by more than a tenth.
        words: the two values: `val loss 0.0831 instead of 0.122, over 3 seeds`.
    """

    lr: float
    better: bool
    sure: bool = False
    notable: bool = False
    words: str = ""


@dataclass(frozen=True)
class Beside:
    """The other learning rates of a family, the best first, beside one's own."""

    lr: float
    others: Sequence[Other]

    def tried(self, factor: float) -> list[Other]:
        """Return the others on the way to `factor` times the learning rate, and a little further."""
        reach = self.lr * (1.5 * factor if factor > 1 else factor / 1.5)
        low, high = sorted((self.lr, reach))
        return [other for other in self.others if low <= other.lr <= high and other.lr != self.lr]


def revised(verdict: Verdict, beside: Beside) -> Verdict:
    """Return the verdict that the other learning rates leave: what they show goes before what the curves suggest.

    If another one is surely better, it is the advice. Advice that the runs beside it contradict is withdrawn.
    """
    best = next((other for other in beside.others if other.better), None)
    if verdict.label == "diverged" and best is None:
        return verdict
    if best is None:
        return _unbeaten(verdict, beside)
    if not best.sure and not best.notable:
        return _consistent(verdict, beside)
    shown = f"in this report, {best.lr:.3g}, {_times(best.lr / beside.lr)}, has a {best.words}"
    evidence = f"{verdict.evidence}; {shown}"
    if not best.sure:
        unsure = replace(verdict, evidence=f"{evidence}, which is not decided")
        if verdict.label in ("converged", "undecided"):
            return replace(unsure, label="undecided", advice=f"more seeds tell whether {best.lr:.3g} is better")
        return _consistent(unsure, beside)
    factor = best.lr / beside.lr
    wrong_way = verdict.factor is not None and (verdict.factor > 1) != (factor > 1)
    label = verdict.label
    if wrong_way or (label in ("converged", "undecided") and best.notable):
        label = "rate too small" if factor > 1 else "rate too large"
    return Verdict(label, evidence, f"use {best.lr:.3g}", factor)


def _unbeaten(verdict: Verdict, beside: Beside) -> Verdict:
    """Judge the best learning rate of its family."""
    rates = [other.lr for other in beside.others]
    inside = min(rates) < beside.lr < max(rates)
    said = f"the best of the {len(rates) + 1} learning rates in this report"
    if verdict.label == "undecided":
        label: Literal["converged", "undecided"] = "converged" if inside else "undecided"
        advice = "" if inside else f"try {'smaller' if beside.lr < min(rates) else 'larger'} ones: it is at their end"
        return Verdict(label, f"{verdict.evidence}; it is {said}", advice)
    return _consistent(replace(verdict, evidence=f"{verdict.evidence}; it is {said}"), beside)


def _consistent(verdict: Verdict, beside: Beside) -> Verdict:
    """Withdraw a factor that the runs beside it contradict. What is a little better than guessing is still stuck."""
    if verdict.factor is None:
        return verdict
    tried, stuck = beside.tried(verdict.factor), verdict.label.startswith("stuck")
    if not tried or any(other.notable if stuck else other.better for other in tried):
        return verdict
    way = "larger" if verdict.factor > 1 else "smaller"
    instead = {"too slow": "train longer", "oscillating": "decay the learning rate"}.get(verdict.label, "")
    found = f"{verdict.evidence}; {way} ones in this report are no better"
    return replace(verdict, evidence=found, advice=instead, factor=None)


def _times(factor: float) -> str:
    """`3.2 times larger`, `18 times smaller`."""
    ratio = max(factor, 1 / factor)
    return f"{ratio:.{0 if ratio >= 10 else 2 if ratio < 1.1 else 1}f} times {'larger' if factor > 1 else 'smaller'}"
