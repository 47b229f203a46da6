"""Tasks on batches of (inputs, targets): the loss compares the model's predictions with the targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lrbench.components.losses import Loss
from lrbench.components.metrics import Metric
from lrbench.components.tasks.base import Model
from lrbench.components.tasks.meters import Meter


@dataclass
class PairTask:
    """Predict the targets from the inputs.

    Attributes:
        loss: compares predictions and targets.
        meters: what else is measured.
        recordable: see `Task`.
    """

    loss: Loss
    meters: Sequence[Meter] = ()
    recordable: bool = True
    replayable: bool = True
    metrics: tuple[Metric, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = tuple(meter.metric for meter in self.meters)
        self._adding = [meter for meter in self.meters if not meter.whole]
        self._whole = [meter for meter in self.meters if meter.whole]
        self.recordable = self.recordable and all(meter.length == 1 for meter in self.meters)

    def examples(self, batch: Any) -> int:
        """See `Task`."""
        return len(batch[1])

    def count(self, batch: Any) -> Tensor | int:
        """See `Task`."""
        return self.loss.counted(batch[1])

    def compared(self, model: Model, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the model's predictions and the targets in the shapes that the loss compares."""
        inputs, targets = batch
        return predictions(model(inputs)), targets

    def measure(self, model: Model, batch: Any, *, whole: bool = False) -> tuple[Tensor, Tensor]:
        """See `Task`."""
        outputs, targets = self.compared(model, batch)
        seen = outputs.detach()
        if whole:
            self.note(seen, targets)
        sums = self.sums(seen, targets)  # before the loss, which may change the targets
        return self.loss.mean(outputs, targets, self.count(batch)), sums

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the sums of a batch, shape (sums,)."""
        found = [meter.sums(outputs, targets) for meter in self._adding]
        return found[0] if len(found) == 1 else torch.cat(found) if found else outputs.new_empty(0)

    def note(self, outputs: Tensor, targets: Tensor) -> None:
        """Have the metrics that need a whole split take note of a batch."""
        for meter in self._whole:
            meter.note(outputs, targets)  # type: ignore[attr-defined]

    def begin(self) -> None:
        """See `Task`."""
        for meter in self._whole:
            meter.begin()  # type: ignore[attr-defined]

    def values(
        self, sums: Sequence[float], examples: int, loss: float | None, *, whole: bool = False
    ) -> dict[str, float]:
        """See `Task`."""
        values: dict[str, float | None] = {}
        at = 0
        for meter in self.meters:
            if meter.whole and not whole:
                continue
            values[meter.metric.name] = meter.value(sums[at : at + meter.length], examples, loss)
            at += meter.length
        return {name: value for name, value in values.items() if value is not None}

    def evaluate(self, model: Model, batches: Iterable[Any]) -> dict[str, float] | None:
        """See `Task`."""
        return None


class LanguageModel(PairTask):
    """Predict the next token: targets (n, tokens) are the inputs shifted by one, outputs (n, tokens, vocabulary)."""

    def compared(self, model: Model, batch: Any) -> tuple[Tensor, Tensor]:
        """Return all tokens in one row: outputs (n · tokens, vocabulary), which is much faster to compare."""
        outputs, targets = super().compared(model, batch)
        if outputs.shape[:-1] != targets.shape:
            shapes = f"outputs {tuple(outputs.shape)} for targets {tuple(targets.shape)}"
            raise ValueError(f"a language model needs outputs (n, tokens, vocabulary): {shapes}")
        return outputs.flatten(0, -2), targets.flatten()


def predictions(outputs: Any) -> Any:
    """Return a model's predictions: a tensor, `logits` (transformers), `out` (torchvision) or the first of several."""
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, Mapping):
        return next((outputs[key] for key in ("logits", "out") if key in outputs), outputs)
    if hasattr(outputs, "logits"):
        return outputs.logits
    return outputs[0] if isinstance(outputs, tuple | list) and outputs else outputs
