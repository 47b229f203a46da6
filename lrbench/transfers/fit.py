"""A straight line in logarithms through optima with errors of their own, and by how much they depart from it.

log₁₀ lr* = a + Σ kⱼ log₁₀ xⱼ + u + e: the errors e of the optima are known, and the scatter u around the line, of
standard deviation τ, is not. τ is averaged over its posterior, so that with few families the intervals are as wide as
not knowing it makes them (Röver 2020, "Bayesian random-effects meta-analysis"; a random-effects meta-regression). The
prior of τ is half-Cauchy (Gelman 2006); that of a and k is flat. benchmarks/transfer.py measures how often the
intervals are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lrbench.analysis import CONFIDENCE

SCALE = 0.15
"""The median of τ before anything is known, in decades of the learning rate."""
_PLACES = 200  # values of τ, equally likely by its prior
LEAST_ERROR = 1e-3  # decades: no optimum is known better


@dataclass(frozen=True)
class Line:
    """A posterior of p coefficients, the offset first: a mixture of one normal distribution for each of t values of τ.

    Attributes:
        taus: the values of τ, in decades; (t,).
        weights: how likely each is; (t,), of sum 1.
        means: the coefficients for each; (t, p).
        covariances: their covariances; (t, p, p).
    """

    taus: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @property
    def coefficients(self) -> np.ndarray:
        """Their posterior means, (p,)."""
        found: np.ndarray = self.weights @ self.means
        return found

    @property
    def tau(self) -> float:
        """The posterior median of the scatter, in decades."""
        return float(self.taus[np.searchsorted(np.cumsum(self.weights), 0.5)])

    def at(self, row: np.ndarray) -> float:
        """Return the line's value at a row of the design, (p,)."""
        return float(row @ self.coefficients)

    def interval(self, row: np.ndarray, error: float | None = None) -> tuple[float, float]:
        """Return the 95% interval of a combination of the coefficients.

        Args:
            row: the combination, (p,).
            error: for the interval of a single optimum there, with the scatter: the optimum's own error; 0 for its
                true place. None for the line itself.
        """
        centres = self.means @ row
        variances = np.einsum("i,tij,j->t", row, self.covariances, row)
        if error is not None:
            variances = variances + self.taus**2 + error**2
        tail = (1 - CONFIDENCE) / 2
        spreads = np.sqrt(variances)
        return self._quantile(centres, spreads, tail), self._quantile(centres, spreads, 1 - tail)

    def _quantile(self, centres: np.ndarray, spreads: np.ndarray, share: float) -> float:
        from scipy import special

        low, high = float((centres - 60 * spreads).min()), float((centres + 60 * spreads).max())
        for _ in range(80):
            middle = (low + high) / 2
            below = float(self.weights @ special.ndtr((middle - centres) / spreads))
            low, high = (middle, high) if below < share else (low, middle)
        return (low + high) / 2


def design(x: np.ndarray) -> np.ndarray:
    """Return x, (n, axes), with a column of ones before it, (n, axes + 1)."""
    return np.column_stack([np.ones(len(x)), x])


def fit(rows: np.ndarray, y: np.ndarray, errors: Sequence[float] | np.ndarray) -> Line:
    """Fit a line.

    Args:
        rows: the design, (n, p), of rank p.
        y: log₁₀ of the optima; (n,).
        errors: their standard errors, in decades; (n,).
    """
    taus = SCALE * np.tan(np.pi / 2 * (np.arange(_PLACES) + 0.5) / _PLACES)
    variances = np.maximum(errors, LEAST_ERROR) ** 2 + taus[:, None] ** 2
    information = np.einsum("ni,tn,nj->tij", rows, 1 / variances, rows)
    covariances = np.linalg.inv(information)
    means = np.einsum("tij,nj,tn,n->ti", covariances, rows, 1 / variances, y)
    left = y - means @ rows.T
    logs = -0.5 * ((left**2 / variances).sum(1) + np.log(variances).sum(1) + np.linalg.slogdet(information)[1])
    weights = np.exp(logs - logs.max())
    return Line(taus, weights / weights.sum(), means, covariances)
