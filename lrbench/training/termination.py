"""The exception that ends a run before its budget is spent, and what divergence says."""

from __future__ import annotations

import math

from lrbench.errors import counted
from lrbench.runs import Status


class Ended(Exception):
    """The run ended with this status before its budget was spent."""

    def __init__(self, reason: str, status: Status = Status.FINISHED) -> None:
        super().__init__(reason)
        self.status = status


def not_finite(step: int, lr: float, loss: float, norm: float, last: float | None) -> Ended | None:
    """Return why the run diverged if the loss or the gradient norm of a step is not finite, else None.

    `last` is the last finite loss before it; None if there is none.
    """
    if math.isfinite(loss) and math.isfinite(norm):
        return None
    what = "loss" if not math.isfinite(loss) else "gradient"
    return _diverged(f"the {what} was not finite at update {step}", lr, last)


def too_many_skipped(limit: int, step: int, lr: float, last: float | None) -> Ended:
    """Return why a run with more than `limit` skipped steps diverged."""
    many = f"{counted(limit, 'update')} {'was' if limit == 1 else 'were'}"
    return _diverged(
        f"more than {many} not finite, the last of them update {step}",
        lr,
        last,
    )


def not_scalable(scale: float, step: int, lr: float, last: float | None) -> Ended:
    """Return why a run whose gradients are not finite in float16, even if the loss is not scaled up, diverged."""
    return _diverged(
        f"the gradient was not finite in fp16 even with a loss scale of {scale:g}, at update {step}", lr, last
    )


def _diverged(what: str, lr: float, last: float | None) -> Ended:
    known = "" if last is None else f"; the last finite loss was {last:.4g}"
    return Ended(f"{what}, at a rate of {lr:.4g}{known}", Status.DIVERGED)
