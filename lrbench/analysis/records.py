"""A run as read from its folder."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from lrbench.analysis.evaluations import Axis, Evaluations, places
from lrbench.analysis.verdicts import Curves, Verdict, chance_loss, scores, verdict
from lrbench.components import KNOWN, LOSS, Metric, metrics_of
from lrbench.config import RunConfig, canonical, flat, group, identity
from lrbench.errors import FolderError
from lrbench.runs import (
    UNKNOWN,
    Environment,
    Recorded,
    RunFolder,
    RunResult,
    Status,
    metrics_in,
    read_thinned,
    state_words,
)
from lrbench.types import number_of

CLASSES = {**dict.fromkeys(("digits", "mnist", "fashion_mnist", "kmnist", "cifar10"), 10), "cifar100": 100}
"""Number of classes of the built-in data sets, for runs whose `env.json` does not have it."""
MOST_NAME = 300
"""Letters of a name that is shown. No run of ours has so many; a damaged or hostile folder may have a million."""


@dataclass(frozen=True)
class Record:
    """A run as read from its folder.

    `status` is that of `RunFolder.status`, or `damaged`, with the reason in `problem`, or `copy` of another run in the
    report. `epochs` has the readable rows, perhaps none. `recorded` is what another program said of its run. `confirms`
    marks a fresh seed of a sweep's winner, which had no part in the choice. `made` is what `once` made of it.
    """

    folder: RunFolder
    status: Status
    problem: str = ""
    experiment: RunConfig | None = None
    plain: dict[str, Any] = field(default_factory=dict)
    result: RunResult | None = None
    environment: Environment = field(default_factory=Environment)
    epochs: Evaluations = field(default_factory=Evaluations)
    recorded: Recorded = field(default_factory=Recorded)
    confirms: bool = False
    made: dict[Hashable, tuple[tuple[Any, ...], Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def name(self) -> str:
        """The config's name, shortened if it is too long to be one; the folder's without a config."""
        name = str(self.plain.get("name", self.folder.name))
        return name if len(name) <= MOST_NAME else f"{name[: MOST_NAME - 1]}…"

    @property
    def foreign(self) -> bool:
        """Whether another program trains or trained the run."""
        return self.experiment is not None and bool(self.experiment.foreign)

    @property
    def source(self) -> str:
        """What trains or trained the run, if not lrbench: `a command`, or what recorded it."""
        return "" if self.experiment is None else self.experiment.source

    @property
    def state(self) -> str:
        """What became of the run, in words."""
        return state_words(self.status, self.result)

    def called(self, name: str) -> Record:
        """Return the record under another name of the same experiment."""
        return replace(self, plain={**self.plain, "name": name}) if self.plain else self

    @cached_property
    def group(self) -> str:
        """The identity without the seed; a damaged run is alone in its group."""
        return group(self.experiment) if self.experiment else f"damaged {self.folder.name}"

    @cached_property
    def identity(self) -> str:
        """The run's identity; empty without a valid config."""
        return identity(self.experiment) if self.experiment else ""

    @cached_property
    def identity_fields(self) -> dict[str, Any]:
        """The flat canonical config: `optimizer.lr` → 0.001; with the model's defaults that it leaves out."""
        if not self.experiment:
            return {}
        model = {} if self.foreign else flat({"model": self.experiment.plain()["model"]})
        return {key: value for key, value in model.items() if value is not None} | flat(canonical(self.experiment))

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The run's metrics by name, the loss first.

        A folder that does not record them (format 1, or not started) has those of KNOWN that it has values of. Of
        another program's run, they are those that it has values of.
        """
        told = self.environment.metrics
        if self.foreign:
            tested = [f"test_{name}" for name in {**((self.result and self.result.test) or {}), **self.recorded.test}]
            names = [*(name for name in self.epochs if self.epochs.measured(name).any()), *tested]
            loss = {LOSS.name: LOSS} if any(name.partition("_")[2] == LOSS.name for name in names) else {}
            return loss | metrics_in(names, {**metrics_of(told), **self.recorded.metrics})
        return {k: v for k, v in KNOWN.items() if self._has(v)} if told is None else metrics_of(told)

    def _has(self, metric: Metric) -> bool:
        columns = [f"{split}_{metric.name}" for split in ("train", "val", "best_val", "test")]
        values = [self.metric(column) for column in columns]
        curves = (bool(self.epochs.measured(name).any()) for name in columns)
        return metric == LOSS or any(value is not None for value in values) or any(curves)

    @cached_property
    def verdict(self) -> Verdict | None:
        """What the run's curves show; None before its end."""
        if self.result is None or not (self.status.ended or self.status is Status.PRUNED):
            return None
        rows = self.epochs
        if self.foreign:
            rows = rows.where(rows.measured("val_loss"))
            if not len(rows) and self.status is not Status.DIVERGED:
                return None
        lr = _carried_on(rows["lr"]) if self.foreign and len(rows) else rows["lr"]
        return verdict(
            Curves(
                [] if np.isnan(lr).any() else lr.tolist(),
                rows["train_loss"].tolist(),
                rows["val_loss"].tolist(),
                self.status,
                self.result.reason,
                self.chance,
                "epoch" if self.by_epoch else "evaluation",
                self.peak_lr,
                not self.foreign,
                scores(rows.columns, self._classes()),
                self.environment.sizes.validation_examples,
            )
        )

    @property
    def by_epoch(self) -> bool:
        """Whether the run is evaluated once at the end of each epoch."""
        if not self.foreign:
            return not self.plain.get("eval_every")
        found = self.epochs["epoch"][self.epochs.measured("val_loss")]
        return bool(np.array_equal(found, np.arange(1, len(found) + 1)))

    @property
    def epochs_done(self) -> int | None:
        """The number of epochs done; None if another program does not tell."""
        if not self.foreign:
            return len(self.epochs)
        done = self.epochs.known("epoch")
        return int(done.max()) if len(done) else None

    def places(self, axis: Axis) -> np.ndarray | None:
        """Return where the evaluations are on an axis; None if that is unknown."""
        return places(self.epochs, axis)

    def measured(self, name: str) -> bool:
        """Whether the run has a value of a measure: at its end or, if every evaluation measures it, at any."""
        found = self.metric(name)
        return found is not None or bool(self.epochs.measured(name).any())

    def lacks(self, name: str) -> bool:
        """Whether the run has reached its end without a value that it should have: it was not finite."""
        if not self.status.complete or self.metric(name) is not None:
            return False
        return not self.foreign or self.measured(name)

    @property
    def peak_lr(self) -> float | None:
        """The learning rate that the config gives; None if it leaves that to the optimizer."""
        lr = None if self.experiment is None else self.identity_fields.get(self.experiment.lr_key)
        return None if isinstance(lr, str) else number_of(lr)

    def _classes(self) -> int | None:
        """Return the number of classes; None if it is unknown or there are none."""
        if self.foreign:
            return None
        known = self.environment.sizes.classes
        return CLASSES.get((self.plain.get("dataset") or {}).get("name", "")) if known == UNKNOWN else known

    @property
    def chance(self) -> float | None:
        """The validation loss of the best answer that ignores the input; None if unknown."""
        loss = "" if self.foreign else (self.plain.get("loss") or {}).get("name", "cross_entropy")
        return chance_loss(self.epochs.columns, self._classes(), loss)

    def metric(self, name: str) -> float | None:
        """Return a value of the result, such as `val_loss`; None if it has none."""
        return None if self.result is None else self.result.metric(name)

    @cached_property
    def has_negative(self) -> bool:
        """Whether any value of the result is below 0."""
        result = self.result
        sections = () if result is None else (result.final, result.best, result.test, result.test_best)
        return any(value is not None and value < 0 for section in sections for value in (section or {}).values())

    def rates(self) -> tuple[np.ndarray, np.ndarray]:
        """Return step and learning rate of the steps, or only of evaluations if `steps.csv` can't be read.

        Of a long run, they are those of the thinned steps, which have all jumps and extremes.
        """
        with contextlib.suppress(FolderError):
            table = read_thinned(self.folder.steps.path, ("step", "lr"))
            if {"step", "lr"} <= table.keys():
                there = ~(np.isnan(table["step"]) | np.isnan(table["lr"]))
                if there.any() or not self.foreign:
                    return table["step"][there], table["lr"][there]
        return self.epochs["step"].astype(float), self.epochs["lr"].astype(float)


def _carried_on(values: np.ndarray) -> np.ndarray:
    """Return values with the last known one in place of unknown ones."""
    known = np.where(np.isnan(values), 0, np.arange(len(values)))
    carried: np.ndarray = values[np.maximum.accumulate(known)]
    return carried
