"""skorch: `NeuralNetClassifier(…, callbacks=[LrbenchCallback()])`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skorch.callbacks import Callback

from lrbench.integrations.processes import rank
from lrbench.integrations.session import Session, brief

_KEPT = ("lr", "batch_size", "max_epochs")


class LrbenchCallback(Callback):
    """Records every `fit` of a net: its parameters, learning rates of all groups, losses, and scores of the epochs.

    The learning rates are those that the optimizer's steps really used.

    Args:
        name, config, seed, runs, metrics, best_by: as of `lrbench.record`; scikit-learn must see them one by one.
    """

    def __init__(
        self,
        name: str | None = None,
        config: Any = None,
        seed: int | None = None,
        runs: str = "runs",
        metrics: Mapping[str, str] | None = None,
        best_by: str | None = None,
    ) -> None:
        self.name, self.config, self.seed = name, config, seed
        self.runs, self.metrics, self.best_by = runs, metrics, best_by

    def initialize(self) -> LrbenchCallback:
        """Start without a run."""
        self._session = Session("skorch", **self.get_params(deep=False))
        return self

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Begin a run."""
        run = self._session.begin(_known(net), rank=rank()[0])
        run.watch(net.optimizer_)

    def on_batch_end(self, net: Any, batch: Any = None, training: Any = None, **kwargs: Any) -> None:
        """Take a step."""
        if training:
            self._session.step(self._session.done + 1, loss=kwargs.get("loss"))

    def on_epoch_end(self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any) -> None:
        """Take the scores of an epoch."""
        row = net.history[-1]
        values = {name: value for name, value in row.items() if _is_score(name, value)}
        self._session.evaluate(values, epoch=len(net.history))

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """End the run."""
        epochs = len(net.history)
        early = 0 < epochs < net.max_epochs
        self._session.end(self._session.done // epochs * net.max_epochs if early else None)


def _is_score(name: str, value: Any) -> bool:
    """Return whether a value of the history is a score of the epoch, not a time or a mark."""
    known = name.startswith(("train_", "valid_")) and not name.endswith(("_best", "_batch_count"))
    return known and not isinstance(value, bool)


def _known(net: Any) -> dict[str, Any]:
    """Return the settings that skorch knows."""
    params = net.get_params(deep=False)
    parts = {name: getattr(params.get(name), "__name__", None) for name in ("module", "criterion", "optimizer")}
    own = {
        name: value for name, value in params.items() if name in _KEPT or name.startswith(("optimizer__", "module__"))
    }
    return {**parts, **brief(own)}
