"""Exceptions that end a run before its budget is spent, and their messages."""

from __future__ import annotations

import math

from lrbench.runs import Status


class Ended(Exception):
    """The run ended before its budget was spent."""

    status = Status.FINISHED


class Diverged(Ended):
    """The loss or the gradient is no longer finite."""

    status = Status.DIVERGED


class Hopeless(Ended):
    """The run was still at chance at the pruning point."""

    status = Status.PRUNED


def not_finite(step: int, lr: float, loss: float, norm: float, last: float | None) -> Diverged | None:
    """Return Diverged if the loss or the gradient norm of a step is not finite, else None.

    `last` is the last finite loss before it; None if there is none.
    """
    if math.isfinite(loss) and math.isfinite(norm):
        return None
    what = "loss" if not math.isfinite(loss) else "gradient"
    return Diverged(f"the {what} was not finite at update {step}, at a rate of {lr:.4g}{_known(last)}")


def too_many_skipped(limit: int, step: int, lr: float, last: float | None) -> Diverged:
    """Return Diverged for a run with more than `limit` skipped steps."""
    many = f"more than {limit} updates were not finite, the last of them update {step}"
    return Diverged(f"{many}, at a rate of {lr:.4g}{_known(last)}")


def _known(last: float | None) -> str:
    return "" if last is None else f"; the last finite loss was {last:.4g}"
