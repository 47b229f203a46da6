"""The range test: a kind of training, on the same loop, whose rate rises until the loss has risen."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lrbench.components.data.batches import Split
from lrbench.config.load import Experiment
from lrbench.events import Watch
from lrbench.lr_finder.curves import Rise
from lrbench.lr_finder.folder import updates
from lrbench.lr_finder.settings import Ramp
from lrbench.runs.folder import RunFolder
from lrbench.training.evaluate import evaluate
from lrbench.training.loop import Training, train
from lrbench.training.termination import Ended

VALIDATION_EXAMPLES = 2000


def range_test(
    folder: RunFolder, experiment: Experiment, *, watch: Watch, stop: Callable[[], bool], ramp: Ramp
) -> dict[str, Any]:
    """Train on a rising rate, as `ramp` has it, and record the losses in `steps.csv`; see `train`.

    The result's status is `finished`, with a reason where the loss rose before the ramp's end, or `diverged`.
    """
    return train(folder, experiment, watch=watch, stop=stop, begin=functools.partial(RangeTraining.on, ramp))


@dataclass
class RangeTraining(Training):
    """Training that evaluates nothing but what it is asked for, and ends when the loss has risen.

    Attributes:
        rise: tells when that is.
        sample: validation examples whose loss is measured after every update in place of the batch's.
    """

    rise: Rise = field(default_factory=Rise)
    sample: Split | None = None

    @classmethod
    def on(cls, ramp: Ramp, folder: RunFolder, experiment: Experiment, watch: Watch) -> RangeTraining:
        """Begin, or take up a checkpoint with the losses before it."""
        training = cls.begin(folder, experiment, watch)
        assert isinstance(training, RangeTraining)
        training.rise = Rise(ramp.smoothing, ramp.stop_factor)
        for _, loss, _ in updates(folder)[: training.state.step]:
            training.rise.update(loss)
        if ramp.validation:
            training.sample = _sample(training.parts.data.validation)
        return training

    def update(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        """See `Training`."""
        super().update(batches)
        if self.sample is not None:
            loss, _ = evaluate(self.parts, self.sample)
            self.parts.training()
            self.pending.replace_loss(loss)

    def ended(self, step: int, lr: float, loss: float, norm: float) -> Ended | None:
        """See `Training`."""
        ended = super().ended(step, lr, loss, norm)
        if ended is None and self.rise.update(loss):
            times = f"{self.rise.factor:g} times its best"
            ended = Ended(f"the smoothed loss rose to {times} at update {step}, at a rate of {lr:.4g}")
        return ended

    def end_epoch(self) -> None:
        """See `Training`. Nothing is evaluated; the epoch's row has a mean training loss and a rate."""
        state = self.state
        state.epoch += 1
        state.seconds += state.epoch_seconds
        loss = state.loss_sum / state.examples if state.examples and self.sample is None else None
        speed = state.examples / state.epoch_seconds if state.epoch_seconds > 0 else 0.0
        row = (state.epoch, state.step, self.rate(state.step - 1), loss, None, None, None, state.epoch_seconds, speed)
        self.folder.epochs.append([row])
        state.begin_epoch()

    def conclude(self, status: str, reason: str) -> dict[str, Any]:
        """See `Training`. The test data is not looked at."""
        state = self.state
        result: dict[str, Any] = {
            "status": status,
            "reason": reason,
            "epochs": state.epoch,
            "steps": state.step,
            "seconds": state.seconds + state.epoch_seconds,
            "effective_lr": self.parts.peak_lr,
            **dict.fromkeys(("final", "best", "test", "test_best")),
        }
        return self.folder.finish(self.experiment, result)


def _sample(validation: Split) -> Split:
    """So much of the validation data, drawn once for all seeds, that measuring it 300 times is no study of its own."""
    if len(validation) <= VALIDATION_EXAMPLES:
        return validation
    order = torch.randperm(len(validation), generator=torch.Generator().manual_seed(0))
    return validation.subset(order[:VALIDATION_EXAMPLES].sort().values)
