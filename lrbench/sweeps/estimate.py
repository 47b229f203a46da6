"""Estimate how long the rest of a sweep takes, from its finished runs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence

from lrbench.config import Experiment, canonical
from lrbench.training import Outcome, pending

_IGNORED = ("seed", "schedule", "warmup", "plateau", "early_stopping", "best_by")


def expected_seconds(outcomes: Sequence[Outcome], jobs: int) -> float | None:
    """Estimate the training time left with `jobs` runs at once; None unless a run of each size has finished."""
    known: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.result is not None and outcome.status.complete and outcome.result.seconds:
            known.setdefault(_size(outcome.experiment), []).append(outcome.result.seconds)
    wanted = [_size(outcome.experiment) for outcome in pending(outcomes)]
    if not all(size in known for size in wanted):
        return None
    each = [statistics.median(known[size]) for size in wanted]
    return max(sum(each) / jobs, max(each, default=0.0))


def _size(experiment: Experiment) -> str:
    """Return a key that is equal for runs that should take equally long."""
    plain = {key: value for key, value in canonical(experiment).items() if key not in _IGNORED}
    return json.dumps({**plain, "optimizer": plain["optimizer"]["name"]}, sort_keys=True)
