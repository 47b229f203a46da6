"""Keras: `model.fit(…, callbacks=[LrbenchCallback()])`, with any of its backends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from lrbench.integrations.processes import rank
from lrbench.integrations.session import Session, brief

_RATES = ("learning_rate", "lr")  # what callbacks add to an epoch's values


class LrbenchCallback(keras.callbacks.Callback):
    """Records every `fit` of a model: the optimizer's settings, the learning rate of every step, and evaluations.

    The learning rate is that which the step used. Keras tells no step's own loss, only means over the epoch so far;
    the epoch's is its `train_loss`. `evaluate(…, callbacks=[the same])` after `fit` counts as the test data. A model
    that has been trained before goes on where it was, in the run of the same settings and seed.

    Args:
        options: `name`, `config`, `seed`, `runs`, `metrics` and `best_by`, as of `lrbench.record`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._session = Session("keras", **options)
        self._lr: Any = None
        self._step = 0
        self._fits = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin a run, or go on with one."""
        epochs, per_epoch = self.params.get("epochs"), self.params.get("steps")
        self._session.begin(
            _known(self.model, epochs),
            total_steps=epochs * per_epoch if epochs and per_epoch else None,
            done=self._done,
            rank=rank()[0],
            schedule=_watched(self.model.optimizer),
        )
        self._fits = True

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Read the learning rate of the step that comes."""
        self._step, self._lr = self._done + 1, float(self.model.optimizer.learning_rate)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Take the step, unless its gradients wait for more."""
        if self._done >= self._step:
            self._session.step(self._step, self._lr)
            self._session.done = self._done

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Take the values of an epoch."""
        values = {name: value for name, value in (logs or {}).items() if name not in _RATES}
        self._session.evaluate(values, epoch=epoch + 1, default="train")

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Take the values on the test data, if this is no validation."""
        if not self._fits:
            self._session.evaluate({f"test_{name}": value for name, value in (logs or {}).items()})

    def on_train_end(self, logs: Any = None) -> None:
        """End the run."""
        self._fits = False
        epochs, per_epoch = self.params.get("epochs"), self.params.get("steps")
        stopped = getattr(self.model, "stop_training", False) and epochs and per_epoch
        self._session.end(epochs * per_epoch if stopped else None)

    @property
    def _done(self) -> int:
        """The updates done."""
        optimizer = self.model.optimizer
        return int(getattr(optimizer, "inner_optimizer", optimizer).iterations)


def _known(model: Any, epochs: int | None) -> dict[str, Any]:
    """Return the settings that Keras knows."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    config = dict(optimizer.get_config())
    given = config.pop("learning_rate")
    schedule = brief(given["config"]) | {"name": given["class_name"]} if isinstance(given, Mapping) else None
    kept = (
        "weight_decay",
        "momentum",
        "beta_1",
        "beta_2",
        "gradient_accumulation_steps",
        "clipnorm",
        "global_clipnorm",
    )
    own = {name: config.get(name) for name in kept}
    return {
        "lr": _peak(given["config"]) if isinstance(given, Mapping) else float(given),
        "optimizer": config.get("name"),
        "schedule": schedule,
        "epochs": epochs,
        "model": type(model).__name__ if type(model) not in (keras.Model, keras.Sequential) else model.name,
        **{name: value for name, value in own.items() if value not in (None, 0)},
    }


def _watched(optimizer: Any) -> str | None:
    """Return the name of a schedule whose pace can be watched."""
    given = getattr(optimizer, "inner_optimizer", optimizer).get_config()["learning_rate"]
    name = given["class_name"] if isinstance(given, Mapping) else None
    return name if name in ("CosineDecay", "PolynomialDecay") else None


def _peak(schedule: Mapping[str, Any]) -> float | None:
    """Return the learning rate that a schedule starts from, or warms up to."""
    target = schedule.get("warmup_target")
    rate = target if target is not None else schedule.get("initial_learning_rate")
    return float(rate) if isinstance(rate, int | float) else None
