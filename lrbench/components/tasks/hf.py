"""Models of transformers: a batch is a mapping of the model's arguments, and the model computes its own loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lrbench.components.data.nested import examples_in
from lrbench.components.losses import IGNORED
from lrbench.components.metrics import NAMED, Metric
from lrbench.components.tasks.base import Model
from lrbench.errors import ConfigError, UserCodeError

_SHIFTED = ("ForCausalLM", "LMHead")
_LANGUAGE = (*_SHIFTED, "ForMaskedLM", "ForConditionalGeneration")


class HuggingFace:
    """The loss that a model of transformers returns for `model(**batch)`, averaged by labels.

    Language models are measured by perplexity, all others with class labels by accuracy. Labels of −100 don't count.
    """

    recordable = replayable = False

    def __init__(self, model: Any) -> None:
        kind = str(getattr(_innermost(model), "loss_type", None) or "")
        name = f"{kind} {type(_innermost(model)).__name__}"
        self.shifted = any(word in name for word in _SHIFTED)
        self.language = any(word in name for word in _LANGUAGE)
        problem_type = getattr(getattr(model, "config", None), "problem_type", None)
        labels = getattr(getattr(model, "config", None), "num_labels", 2)
        regression = problem_type == "regression" or (problem_type is None and labels == 1)
        several = problem_type == "multi_label_classification"
        measured = ("perplexity",) if self.language else () if regression or several else ("accuracy",)
        self.metrics: tuple[Metric, ...] = tuple(NAMED[each] for each in measured)

    def examples(self, batch: Any) -> int:
        """See `Task`."""
        return examples_in(batch)

    def count(self, batch: Any) -> Tensor | int:
        """Count the labels that the loss averages over."""
        labels = batch["labels"]
        if labels.is_floating_point() or labels.dim() < 2:
            return len(labels)
        counted: Tensor = ((labels[:, 1:] if self.shifted else labels) != IGNORED).sum()
        return counted

    def measure(self, model: Model, batch: Any, *, whole: bool = False) -> tuple[Tensor, Tensor]:
        """See `Task`. Raises ConfigError, UserCodeError."""
        if not isinstance(batch, Mapping) or "labels" not in batch:
            got = ", ".join(map(str, batch)) if isinstance(batch, Mapping) else f"a {type(batch).__name__}"
            problem = f"hf needs batches that are mappings with 'labels' and the model's other arguments (got {got})"
            raise ConfigError(problem, key="task")
        outputs = model(**batch)
        loss = outputs["loss"] if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
        if not isinstance(loss, Tensor):
            raise UserCodeError(f"the model returned a {type(outputs).__name__} without a loss, which task: hf needs")
        if not self.metrics or self.language:
            return loss, loss.new_empty(0)
        logits = outputs["logits"] if isinstance(outputs, Mapping) else outputs.logits
        used = batch["labels"] != IGNORED
        right = (logits.detach().argmax(-1) == batch["labels"]) & used
        return loss, torch.stack([right.sum(), used.sum()])

    def begin(self) -> None:
        """See `Task`."""

    def values(
        self, sums: Sequence[float], examples: int, loss: float | None, *, whole: bool = False
    ) -> dict[str, float]:
        """See `Task`."""
        if self.language and loss is not None:
            return {"perplexity": float(torch.tensor(loss, dtype=torch.float64).exp())}
        return {"accuracy": sums[0] / sums[1]} if sums and sums[1] else {}

    def evaluate(self, model: Model, batches: Iterable[Any]) -> dict[str, float] | None:
        """See `Task`."""
        return None


def _innermost(model: Any) -> Any:
    """Return the model inside wrappers such as peft's."""
    inner = getattr(model, "get_base_model", None)
    return inner() if callable(inner) else model
