"""Pruned training: end hopeless runs early, or pause them to be compared with others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.errors import Paused, UsageError, option
from lrbench.runs import Status
from lrbench.training.kinds import LoopKind, Observer
from lrbench.training.termination import Ended

if TYPE_CHECKING:
    from lrbench.config import Experiment
    from lrbench.training.loop import Training
    from lrbench.training.parts import Parts


RUNGS = (0.25, 0.5)
"""Fractions of the budget after which the worse half of the learning rates is dropped (successive halving)."""


@dataclass(frozen=True)
class Prune:
    """When to end or pause a run before its budget is spent.

    Chance is the loss of the best constant prediction: the training classes' frequencies for cross-entropy, the mean
    target for mse. A loss that is not finite always ends a run.

    Args:
        after: end runs whose validation loss is still at chance after this fraction of their steps, above 0 and
            below 1; None for never.
        margin: a loss counts as chance unless it is lower by at least this fraction.
        halve: drop the worse half of each schedule's learning rates at each of `RUNGS`.
        pause: write a checkpoint and pause at the first evaluation after this fraction of the steps.

    Raises:
        UsageError: `after` is out of bounds.
    """

    after: float | None = 0.25
    margin: float = 0.02
    halve: bool = False
    pause: float | None = None

    def __post_init__(self) -> None:
        if self.after is not None and not (math.isfinite(self.after) and 0 < self.after < 1):
            name = option("--prune", "Prune.after")
            raise UsageError(f"{name} must be a fraction above 0 and below 1 (got {self.after:g})")

    @classmethod
    def asked(cls, after: float | None, halve: bool) -> Prune | None:
        """Return the rule of `--prune` and `--halve`; None if neither is given."""
        return None if after is None and not halve else cls(after=after, halve=halve)


@dataclass(frozen=True)
class PrunedTraining(LoopKind):
    """Training that a `Prune` rule may end or pause."""

    prune: Prune
    accepts_pruned = True

    def prepare(self, training: Training) -> Observer:
        """See `Kind`."""
        observer = PruningObserver(training, self.prune)
        if observer.waits:
            raise Paused(f"{training.folder.name} paused after step {training.state.step}")
        return observer


class PruningObserver(Observer):
    """Apply the rule after each evaluation.

    Attributes:
        prune: the rule.
        chance: the validation loss of the best constant prediction; None if unknown.
    """

    def __init__(self, training: Training, prune: Prune) -> None:
        super().__init__(training)
        self.prune, self.chance = prune, chance(training.experiment, training.parts)

    @property
    def waits(self) -> bool:
        """True if the run has reached the step at which it pauses."""
        state, pause = self.training.state, self.prune.pause
        return pause is not None and state.evaluations > 0 and pause <= self._done < 1

    @property
    def _done(self) -> float:
        return self.training.state.step / self.training.parts.total_steps

    def evaluated(self) -> None:
        """See `Observer`. A checkpoint is written before Ended or Paused is raised."""
        state = self.training.state
        if state.stopped or self._done >= 1:
            return
        loss = (state.final or {}).get("val_loss")
        if self.hopeless(loss):
            self.training.checkpoint()
            done = f"after {self._done:.0%} of the run"
            reason = f"validation loss {loss:.4g} {done}, where chance is {self.chance:.4g}"
            raise Ended(reason, Status.PRUNED)
        if self.waits:
            self.training.checkpoint()
            raise Paused(f"{self.training.folder.name} paused after step {state.step}")

    def hopeless(self, loss: float | None) -> bool:
        """Return whether the run is still at chance after the fraction `prune.after`."""
        after = self.prune.after
        total = self.training.parts.total_steps
        if self.chance is None or loss is None or after is None or self.training.state.step < after * total:
            return False
        return loss >= self.chance * (1 - self.prune.margin)


def chance(experiment: Experiment, parts: Parts) -> float | None:
    """Return the validation loss of the best constant prediction; None for streamed data and other losses."""
    import torch

    known, goal, classes = parts.data.train.labels(), parts.data.validation.labels(), parts.data.classes
    if known is None or goal is None:
        return None
    if experiment.loss.name == "mse":
        return float((goal.float() - known.float().mean(0)).square().mean())
    if experiment.loss.name != "cross_entropy" or classes is None or parts.data.positions:
        return None
    counts = torch.bincount(known.cpu(), minlength=classes).double()
    loss = parts.task.loss  # type: ignore[attr-defined]  # cross_entropy belongs to a task on pairs
    weighted = counts if loss.weight is None else counts * loss.weight.cpu()
    shares = weighted / weighted.sum()
    outputs = shares.clamp_min(1e-12).log().float().expand(len(goal), classes)
    return float(loss(outputs.to(parts.device), goal.to(parts.device)))
