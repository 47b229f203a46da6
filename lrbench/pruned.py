"""Training that ends where it is hopeless: a kind of training on the same loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from lrbench.config import Experiment
from lrbench.ends import Hopeless
from lrbench.events import Watch
from lrbench.parts import Parts
from lrbench.pruning import Prune
from lrbench.runs import RunFolder
from lrbench.train import Training
from lrbench.train import train as usual


def train(
    folder: RunFolder, experiment: Experiment, *, watch: Watch, stop: Callable[[], bool], prune: Prune
) -> dict[str, Any]:
    """As `lrbench.train.train`, with a result whose status is `pruned` where `prune` has ended it."""
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
        return training

    def end_epoch(self) -> None:
        """See `Training`; raises Hopeless where the run is hopeless, with a checkpoint to go on from."""
        super().end_epoch()
        state, total = self.state, self.parts.total_steps
        loss = (state.final or {}).get("val_loss")
        if self.chance is None or loss is None or state.stopped or not self.prune.after * total <= state.step < total:
            return
        if loss >= self.chance * (1 - self.prune.margin):
            self.checkpoint()
            done = f"after {state.step / total:.0%} of the run"
            raise Hopeless(f"validation loss {loss:.4g} {done}, where chance is {self.chance:.4g}")


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
