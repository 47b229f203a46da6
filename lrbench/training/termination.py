"""Why a run is over before its budget is spent: exceptions that the loop ends on, and their words."""

from __future__ import annotations

import math

from lrbench.runs import Status


class Ended(Exception):
    """The run is over before its budget is spent."""

    status = Status.FINISHED


class Diverged(Ended):
    """The loss or the gradient is no longer finite."""

    status = Status.DIVERGED


class Hopeless(Ended):
    """The run was still at chance where it was looked at."""

    status = Status.PRUNED


def not_finite(step: int, lr: float, loss: float, norm: float, last: float | None) -> Diverged | None:
    """The end of a run whose update `step`, at rate `lr`, had that loss and gradient norm; None if both are finite.

    `last` is the last loss before it, None where there was none.
    """
    if math.isfinite(loss) and math.isfinite(norm):
        return None
    what = "loss" if not math.isfinite(loss) else "gradient"
    return Diverged(f"the {what} was not finite at update {step}, at a rate of {lr:.4g}{_known(last)}")


def too_many_skipped(limit: int, step: int, lr: float, last: float | None) -> Diverged:
    """The end of a run that had to leave out more than `limit` updates."""
    many = f"more than {limit} updates were not finite, the last of them update {step}"
    return Diverged(f"{many}, at a rate of {lr:.4g}{_known(last)}")


def _known(last: float | None) -> str:
    return "" if last is None else f"; the last finite loss was {last:.4g}"
