"""How long runs will take: a few seconds of training of each kind, in a folder that is thrown away."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lrbench.config.identity import canonical
from lrbench.config.load import Experiment
from lrbench.errors import Interrupted, RunError
from lrbench.events import Event
from lrbench.runs.folder import RunFolder
from lrbench.training.run_one import do_run

TRIED_SECONDS = 2.0
EVALUATION = 1.1  # for runs whose epochs are longer than the trial: what validation adds to training
SETTING_UP = 0.1  # seconds; folder, model, result
STARTING = 7.0  # seconds; importing torch


@dataclass(frozen=True)
class Estimate:
    """What runs will cost.

    Attributes:
        seconds: from the command's start to its end, roughly.
        updates: of all runs together.
        jobs: so many at once.
    """

    seconds: float
    updates: int
    jobs: int


@dataclass
class _Trial:
    """Watches a training, and stops it when its speed is known."""

    seen: list[tuple[float, int]] = field(default_factory=list)
    epochs: int = 0
    total: int = 0

    def watch(self, event: Event) -> None:
        if event.kind in ("progress", "epoch", "end"):
            self.total = event.total_steps or self.total
            self.epochs += event.kind == "epoch"
            if event.step:
                self.seen.append((time.monotonic(), event.step))

    def stop(self) -> bool:
        return bool(self.seen) and time.monotonic() - self.seen[0][0] > TRIED_SECONDS

    @property
    def seconds(self) -> float:
        """What the whole run takes."""
        (first, before), (last, after) = self.seen[0], self.seen[-1]
        each = (last - first) / (after - before) if after > before else 0.0
        return self.total * each * (1.0 if self.epochs else EVALUATION)


def estimate(experiments: Sequence[Experiment], jobs: int) -> Estimate:
    """Of training these, so many at once. Trains each kind for two seconds; nothing of that remains.

    Raises RunError where the training fails.
    """
    known: dict[str, _Trial] = {}
    threads = max((os.cpu_count() or 1) // jobs, 1)
    for experiment in experiments:
        if _kind(experiment) not in known:
            known[_kind(experiment)] = _tried(experiment, threads)
    trials = [known[_kind(experiment)] for experiment in experiments]
    work = sum(trial.seconds + SETTING_UP for trial in trials)
    longest = max((trial.seconds for trial in trials), default=0.0)
    together = max(work / jobs, longest)
    return Estimate(STARTING + together if trials else 0.0, sum(trial.total for trial in trials), jobs)


def _kind(experiment: Experiment) -> str:
    """What runs share that take as long as one another."""
    plain = canonical(experiment)
    left_out = ("seed", "schedule", "warmup", "plateau", "early_stopping", "best_by")
    optimizer = {"name": plain["optimizer"]["name"]}
    return json.dumps({**{k: v for k, v in plain.items() if k not in left_out}, "optimizer": optimizer}, sort_keys=True)


def _tried(experiment: Experiment, threads: int) -> _Trial:
    trial = _Trial()
    with tempfile.TemporaryDirectory(prefix="lrbench-") as place:
        folder = RunFolder(Path(place) / "trial")
        folder.create(experiment, {})
        try:
            result = do_run(folder.path, threads=threads, watch=trial.watch, stop=trial.stop)
        except Interrupted:
            return trial
        if result["status"] == "failed":
            raise RunError(f"{experiment.name}: {result['reason']}".replace(place, "…"))
        if not trial.seen:
            trial.seen.append((time.monotonic(), 0))
        return trial
