"""The range test: a kind of work on the training loop that raises the learning rate until the loss rises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrbench.lr_finder.curves import Rise
from lrbench.lr_finder.folder import steps_of
from lrbench.lr_finder.settings import Ramp
from lrbench.training import Ended, LoopKind, Observer

if TYPE_CHECKING:
    from lrbench.components import Split
    from lrbench.training import Training

VALIDATION_EXAMPLES = 2000


@dataclass(frozen=True)
class RampedTraining(LoopKind):
    """Training with a rising learning rate, for the losses in `steps.csv`.

    The result's status is `finished`, with a reason if the loss rose before the end of the ramp, or `diverged`.
    """

    ramp: Ramp
    accepts_pruned = False

    def prepare(self, training: Training) -> Observer:
        """See `Kind`."""
        return RampObserver(training, self.ramp)


class RampObserver(Observer):
    """End the run when the loss has risen, without evaluations.

    With `validation`, the loss of a sample of the validation data after each step replaces the batch's.
    """

    tests = False

    def __init__(self, training: Training, ramp: Ramp) -> None:
        super().__init__(training)
        self.rise = Rise(ramp.smoothing, ramp.stop_factor)
        _, losses, _ = steps_of(training.folder)
        for loss in losses[: training.state.step]:  # those before a resumption
            self.rise.update(loss)
        self.sample = _sample(training.parts.data.validation) if ramp.validation else None

    def updated(self) -> None:
        """See `Observer`."""
        from lrbench.training import evaluate_split

        if self.sample is not None:
            loss = evaluate_split(self.training.parts, self.sample)["loss"]
            self.training.parts.training()
            self.training.pending.replace_loss(loss)

    def limit(self, step: int, lr: float, loss: float) -> Ended | None:
        """See `Observer`."""
        reason = self.rise.ends(step, lr, loss)
        return Ended(reason) if reason else None

    def measure(self) -> dict[str, Any]:
        """See `Observer`. Nothing is evaluated; the row has only the mean training loss."""
        return {"train_loss": self.training.train_loss} if self.sample is None else {}


def _sample(validation: Split) -> Split:
    """Return at most `VALIDATION_EXAMPLES` examples, the same for all seeds, since they are evaluated at each step."""
    import torch

    if len(validation) <= VALIDATION_EXAMPLES:
        return validation
    order = torch.randperm(len(validation), generator=torch.Generator().manual_seed(0))
    return validation.subset(order[:VALIDATION_EXAMPLES].sort().values)
