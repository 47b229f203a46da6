"""Training that ends where it is hopeless: a kind of training on the same loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from lrbench.config.load import Experiment
from lrbench.errors import Paused
from lrbench.events import Watch
from lrbench.runs.folder import RunFolder
from lrbench.training.build import Parts
from lrbench.training.loop import Training
from lrbench.training.loop import train as usual
from lrbench.training.options import Prune
from lrbench.training.termination import Hopeless


def train(
    folder: RunFolder, experiment: Experiment, *, watch: Watch, stop: Callable[[], bool], prune: Prune
) -> dict[str, Any]:
    """As `lrbench.training.loop.train`, with a result whose status is `pruned` where `prune` has ended it."""
    return usual(folder, experiment, watch=watch, stop=stop, begin=functools.partial(PruningTraining.under, prune))


@dataclass
class PruningTraining(Training):
    """Training that looks, after each epoch, whether there is still hope.

    Attributes:
        prune: the rule.
        chance: the validation loss of the best constant answer, None where that can't be told.
    """

    prune: Prune = field(default_factory=Prune)
    chance: float | None = None

    @classmethod
    def under(cls, prune: Prune, folder: RunFolder, experiment: Experiment, watch: Watch) -> PruningTraining:
        """Begin, or take up a checkpoint."""
        training = cls.begin(folder, experiment, watch)
        assert isinstance(training, PruningTraining)
        training.prune, training.chance = prune, chance(experiment, training.parts)
        if training.waits:
            raise Paused(f"{folder.name} waits after update {training.state.step}")
        return training

    @property
    def waits(self) -> bool:
        """True where the run is as far as it should go for now."""
        state, pause = self.state, self.prune.pause
        return pause is not None and state.epoch > 0 and pause <= state.step / self.parts.total_steps < 1

    def end_epoch(self) -> None:
        """See `Training`; raises Hopeless or Paused where that is called for, with a checkpoint to go on from."""
        super().end_epoch()
        state, total = self.state, self.parts.total_steps
        loss = (state.final or {}).get("val_loss")
        if state.stopped or state.step >= total:
            return
        if self.hopeless(loss):
            self.checkpoint()
            done = f"after {state.step / total:.0%} of the run"
            raise Hopeless(f"validation loss {loss:.4g} {done}, where chance is {self.chance:.4g}")
        if self.waits:
            self.checkpoint()
            raise Paused(f"{self.folder.name} waits after update {state.step}")

    def hopeless(self, loss: float | None) -> bool:
        """True where the run has had its chance, and is still at chance."""
        after = self.prune.after
        if self.chance is None or loss is None or after is None or self.state.step < after * self.parts.total_steps:
            return False
        return loss >= self.chance * (1 - self.prune.margin)


def chance(experiment: Experiment, parts: Parts) -> float | None:
    """The validation loss of the best constant answer; None for losses and data for which that is not known."""
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
