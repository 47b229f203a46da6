"""Pruned training: a kind of work that ends where a run is hopeless, or waits to be compared with others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.errors import Paused, UsageError
from lrbench.training.kinds import Observer

if TYPE_CHECKING:
    from lrbench.config import Experiment
    from lrbench.training.build import Parts
    from lrbench.training.loop import Training


RUNGS = (0.25, 0.5)
"""The fractions of the budget after which the worse half of the learning rates is dropped (successive halving)."""


@dataclass(frozen=True)
class Prune:
    """When a run is ended before its budget is spent, or made to wait.

    Chance is the loss of the best constant answer: of the training classes' frequencies for cross-entropy, of the mean
    target for mse. A loss that is not finite ends a run anyway.

    Args:
        after: end runs whose validation loss is at chance once they have done that fraction of their updates, above 0
            and below 1; None for never.
        margin: a loss less than that fraction below chance is at chance.
        halve: drop the worse half of each schedule's learning rates at each of `RUNGS`.
        pause: wait, with a checkpoint, at the first evaluation after that fraction is done.

    Raises:
        UsageError: values outside these bounds.
    """

    after: float | None = 0.25
    margin: float = 0.02
    halve: bool = False
    pause: float | None = None

    def __post_init__(self) -> None:
        if self.after is not None and not (math.isfinite(self.after) and 0 < self.after < 1):
            raise UsageError(f"--prune must be a fraction of the run, above 0 and below 1 (got {self.after:g})")

    @classmethod
    def asked(cls, after: float | None, halve: bool) -> Prune | None:
        """The rule of `--prune` and `--halve`; None where neither is given."""
        return None if after is None and not halve else cls(after=after, halve=halve)


@dataclass(frozen=True)
class PrunedTraining:
    """Training that a rule may end, or make wait."""

    prune: Prune
    accepts_pruned = True

    def prepare(self, training: Training) -> Observer:
        """See `Kind`."""
        observer = PruningObserver(training, self.prune)
        if observer.waits:
            raise Paused(f"{training.folder.name} waits after update {training.state.step}")
        return observer


class PruningObserver(Observer):
    """Looks after each evaluation whether there is still hope.

    Attributes:
        prune: the rule.
        chance: the validation loss of the best constant answer, None where that is not known.
    """

    def __init__(self, training: Training, prune: Prune) -> None:
        super().__init__(training)
        self.prune, self.chance = prune, chance(training.experiment, training.parts)

    @property
    def waits(self) -> bool:
        """True where the run is as far as it should go for now."""
        state, pause = self.training.state, self.prune.pause
        return pause is not None and state.evaluations > 0 and pause <= self._done < 1

    @property
    def _done(self) -> float:
        return self.training.state.step / self.training.parts.total_steps

    def evaluated(self) -> None:
        """See `Observer`; the exceptions leave a checkpoint to go on from."""
        from lrbench.training.termination import Hopeless

        state = self.training.state
        if state.stopped or self._done >= 1:
            return
        loss = (state.final or {}).get("val_loss")
        if self.hopeless(loss):
            self.training.checkpoint()
            done = f"after {self._done:.0%} of the run"
            raise Hopeless(f"validation loss {loss:.4g} {done}, where chance is {self.chance:.4g}")
        if self.waits:
            self.training.checkpoint()
            raise Paused(f"{self.training.folder.name} waits after update {state.step}")

    def hopeless(self, loss: float | None) -> bool:
        """True where the run has had its chance, and is still at chance."""
        after = self.prune.after
        total = self.training.parts.total_steps
        if self.chance is None or loss is None or after is None or self.training.state.step < after * total:
            return False
        return loss >= self.chance * (1 - self.prune.margin)


def chance(experiment: Experiment, parts: Parts) -> float | None:
    """The validation loss of the best constant answer; None for losses and data for which that is not known."""
    import torch

    known, goal, classes = parts.data.train.labels(), parts.data.validation.labels(), parts.data.classes
    if known is None or goal is None:
        return None
    if experiment.loss.name == "mse":
        return float((goal.float() - known.float().mean(0)).square().mean())
    if experiment.loss.name != "cross_entropy" or classes is None:
        return None
    shares = torch.bincount(known.flatten().cpu(), minlength=classes).double() / known.numel()
    outputs = shares.clamp_min(1e-12).log().float().expand(len(goal), classes)
    return float(parts.loss(outputs.to(parts.device), goal.to(parts.device)))
