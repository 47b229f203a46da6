"""What a task is: the loss of a batch and what is measured besides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from lrbench.components.metrics import Metric

if TYPE_CHECKING:
    from torch import Tensor

Model = Callable[..., Any]


class Task(Protocol):
    """Says how the loss of a batch is computed and what is measured besides.

    Measurements are sums that add up over batches, so only the sums have to be kept. A batch is what the data gives,
    on the device: (inputs, targets), or any nesting of tensors.
    """

    metrics: tuple[Metric, ...]
    recordable: bool
    """Whether every batch of a shape does the same work on the device, so that it can be recorded there."""
    replayable: bool
    """Whether loss and sums are the same operations for every batch of a shape, so that a CPU can replay them."""

    def examples(self, batch: Any) -> int:
        """Return the number of examples in a batch."""

    def count(self, batch: Any) -> Tensor | int:
        """Return what the batch's mean loss divides by, such as examples or tokens, without a device sync."""

    def measure(self, model: Model, batch: Any, *, whole: bool = False) -> tuple[Tensor, Tensor]:
        """Return the mean loss of a batch and its sums, shape (sums,), of the same length for every batch.

        With `whole`, metrics that need a whole split at once take note of the batch; see `begin`.
        """

    def begin(self) -> None:
        """Begin a split: forget what `measure` noted with `whole`."""

    def values(
        self, sums: Sequence[float], examples: int, loss: float | None, *, whole: bool = False
    ) -> dict[str, float]:
        """Compute the metrics by name from the sums over all batches, their number of examples and the mean loss.

        Without `whole`, metrics that need a whole split are left out.
        """

    def evaluate(self, model: Model, batches: Iterable[Any]) -> dict[str, float] | None:
        """Evaluate a split in the task's own way: the loss and the metrics by name. None if it has none."""
