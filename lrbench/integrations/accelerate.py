"""accelerate: `Accelerator(log_with=LrbenchTracker())`, and then `init_trackers`, `log` and `end_training` as usual."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from accelerate.tracking import GeneralTracker

from lrbench.integrations.processes import rank
from lrbench.integrations.recorder import Recorder
from lrbench.integrations.session import Session
from lrbench.integrations.values import split_name, word

_RATE = re.compile(r"(?:train/|train_)?(?:lr|learning_rate)(?:[/_-](.+))?")


class LrbenchTracker(GeneralTracker):
    """Records what a program logs by its accelerator.

    `lr` and `learning_rate`, also with a group's name, are learning rates, `loss` and `train_loss` the step's loss;
    `val_…`, `eval_…` and `test_…` are evaluations. Steps may count from 0 or 1. After `watch(optimizer)`, the learning
    rates are those that the steps really used, whatever is logged.

    Args:
        options: `name`, `config`, `seed`, `runs`, `metrics` and `best_by`, as of `lrbench.record`.
    """

    name = "lrbench"
    requires_logging_directory = False
    main_process_only = True

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._session = Session("accelerate", **options)
        self._known: dict[str, Any] = {}
        self._optimizers: tuple[Any, ...] = ()
        self._offset: int | None = None
        self._started = False

    @property
    def tracker(self) -> Recorder | None:
        """The recorder; None before anything was logged."""
        return self._session.run

    def start(self) -> None:
        """Be ready; the run begins once its settings are known."""
        self._started = True

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Take the settings; `seed` among them is the seed."""
        self._known |= values
        self._begin()

    def watch(self, *optimizers: Any) -> None:
        """Read the learning rates of every step from torch optimizers as they step, prepared by accelerate or not."""
        self._optimizers = optimizers
        if self._session.run is not None:
            self._session.run.watch(*optimizers)
        elif self._started:
            self._begin()

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Take values of a step or an evaluation."""
        if self._session.run is None:
            self._begin()
        done = self._session.done + 1 if step is None else step + self._from_one(step)
        own, rates, evaluated = _sorted(values)
        if own or rates:
            self._session.step(done, self._used(rates), **own)
        elif step is not None:
            self._session.done = max(done if self._session.done else step, self._session.done)
        if evaluated:
            self._session.evaluate(evaluated, epoch=values.get("epoch"))

    def finish(self) -> None:
        """End the run."""
        self._session.end()
        self._session.close()

    def _begin(self) -> None:
        run = self._session.begin(self._known, rank=rank()[0])
        if self._optimizers:
            run.watch(*self._optimizers)

    def _used(self, rates: dict[str, Any]) -> Any:
        """Return the learning rates of a step: None if the optimizer is watched or the program logs none."""
        run = self._session.run
        if not rates or run is None or run.used is not None:
            return None
        run.note("learning rates are as the program logged them")
        return rates[""] if set(rates) == {""} else rates

    def _from_one(self, step: int) -> int:
        """Return 1 if the program counts its steps from 0."""
        if self._offset is None:
            self._offset = 1 if step == 0 else 0
        return self._offset


def _sorted(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the values of a step by column, learning rates by group, and the values of an evaluation."""
    own: dict[str, Any] = {}
    rates: dict[str, Any] = {}
    evaluated: dict[str, Any] = {}
    for name, value in values.items():
        found = split_name(name, "train")
        rate = _RATE.fullmatch(name)
        if rate is not None:
            rates[rate[1] or ""] = value
        elif found.startswith(("val_", "test_")):
            evaluated[found] = value
        elif name not in ("epoch", "step"):
            own["loss" if found == "train_loss" else word(name)] = value
    return own, rates, evaluated
