"""What the other learning rates of a family make of a verdict on one's own curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

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
    """The other learning rates of a family, beside one's own.

    Attributes:
        lr: one's own learning rate.
        rates: the learning rates of the family, the best first; one's own may be among them.
        other: returns what the learning rate at an index of `rates` shows. A family of thousands has millions of pairs,
            of which few are looked at.
    """

    lr: float
    rates: NDArray[np.float64]
    other: Callable[[int], Other]

    @cached_property
    def others(self) -> NDArray[np.float64]:
        """The other learning rates, the best first."""
        found: NDArray[np.float64] = self.rates[self.rates != self.lr]
        return found

    def better(self) -> Other | None:
        """Return the best of the others if it is better than one's own."""
        best = self.other(int(np.argmax(self.rates != self.lr)))
        return best if best.better else None

    def tried(self, factor: float) -> Other | None:
        """Return the best of the others on the way to `factor` times the learning rate, and a little further."""
        reach = self.lr * (1.5 * factor if factor > 1 else factor / 1.5)
        low, high = sorted((self.lr, reach))
        inside = (low <= self.rates) & (self.rates <= high) & (self.rates != self.lr)
        return self.other(int(np.argmax(inside))) if inside.any() else None


def revised(verdict: Verdict, beside: Beside) -> Verdict:
    """Return the verdict that the other learning rates leave: what they show goes before what the curves suggest.

    If another one is surely better, it is the advice. Advice that the runs beside it contradict is withdrawn.
    """
    best = beside.better()
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
    rates = beside.others
    inside = bool(rates.min() < beside.lr < rates.max())
    said = f"the best of the {len(rates) + 1} learning rates in this report"
    if verdict.label == "undecided":
        label: Literal["converged", "undecided"] = "converged" if inside else "undecided"
        advice = "" if inside else f"try {'smaller' if beside.lr < rates.min() else 'larger'} ones: it is at their end"
        return Verdict(label, f"{verdict.evidence}; it is {said}", advice)
    return _consistent(replace(verdict, evidence=f"{verdict.evidence}; it is {said}"), beside)


def _consistent(verdict: Verdict, beside: Beside) -> Verdict:
    """Withdraw a factor that the runs beside it contradict. What is a little better than guessing is still stuck."""
    if verdict.factor is None:
        return verdict
    best, stuck = beside.tried(verdict.factor), verdict.label.startswith("stuck")
    if best is None or (best.notable if stuck else best.better):
        return verdict
    way = "larger" if verdict.factor > 1 else "smaller"
    instead = {"too slow": "train longer", "oscillating": "decay the learning rate"}.get(verdict.label, "")
    found = f"{verdict.evidence}; {way} ones in this report are no better"
    return replace(verdict, evidence=found, advice=instead, factor=None)


def _times(factor: float) -> str:
    """`3.2 times larger`, `18 times smaller`."""
    ratio = max(factor, 1 / factor)
    return f"{ratio:.{0 if ratio >= 10 else 2 if ratio < 1.1 else 1}f} times {'larger' if factor > 1 else 'smaller'}"
