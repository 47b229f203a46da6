"""What guessing would score, where that is known."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lrbench.analysis.verdicts.curves import Score


def chance_loss(rows: Mapping[str, np.ndarray], classes: int | None, loss: str) -> float | None:
    """Return the validation loss of the best answer that ignores the input; None if unknown.

    `rows` are the columns of the evaluations.

    Of equally frequent classes it is the logarithm of their number. A mean squared error is 1 - R² times the variance
    of the targets, which is the error of their mean.
    """
    if loss == "cross_entropy" and classes and classes > 1:
        return math.log(classes)
    if loss == "mse" and "val_r2" in rows and len(rows["val_r2"]):
        error, explained = float(rows["val_loss"][-1]), float(rows["val_r2"][-1])
        found = error / (1 - explained) if explained < 1 else math.nan
        return found if 0 < found < math.inf else None
    return None


def scores(rows: Mapping[str, np.ndarray], classes: int | None) -> tuple[Score, ...]:
    """Return the metrics in the columns of evaluations whose value for guessing is known."""
    levels = {"val_r2": 0.0}
    if classes and classes > 1:
        levels["val_accuracy"] = 1 / classes
    return tuple(Score(name, rows[name].tolist(), level) for name, level in levels.items() if name in rows)
