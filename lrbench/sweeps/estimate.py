"""How long the rest of a sweep will take, by its runs that are finished already."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence

from lrbench.config import Experiment, canonical
from lrbench.training import Outcome, pending

_NO_MATTER = ("seed", "schedule", "warmup", "plateau", "early_stopping", "best_by")


def expected_seconds(outcomes: Sequence[Outcome], jobs: int) -> float | None:
    """The training time that is left, so many runs at once; None where no finished run has the size of one of them."""
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
    """What runs share that take as long as one another."""
    plain = {key: value for key, value in canonical(experiment).items() if key not in _NO_MATTER}
    return json.dumps({**plain, "optimizer": plain["optimizer"]["name"]}, sort_keys=True)
