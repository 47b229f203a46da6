"""Reading run folders. An unreadable one becomes a record that says so."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrbench.analysis.verdicts import Curves, Verdict, verdict
from lrbench.components import KNOWN, LOSS, Measure, Metric, epoch_columns, measures, metrics_of
from lrbench.config import PARTS, RunConfig, canonical, group, identity, run_name
from lrbench.errors import FolderError, LrbenchError, UsageError
from lrbench.runs import UNKNOWN, Environment, RunFolder, RunResult, Status, find_runs, read_csv
from lrbench.types import PATHS, arguments

if TYPE_CHECKING:
    import pandas as pd

CLASSES = {**dict.fromkeys(("digits", "mnist", "fashion_mnist", "kmnist", "cifar10"), 10), "cifar100": 100}
"""Number of classes of the built-in data sets, for runs whose `env.json` does not have it."""

MOST_STEPS = 2**53  # what a float counts exactly


@dataclass(frozen=True)
class Record:
    """A run as read from its folder.

    `status` is that of `RunFolder.status`, or `damaged`, with the reason in `problem`, or `copy` of another run in the
    report. `epochs` has the readable rows, perhaps none. `confirms` marks a fresh seed of a sweep's winner, which had
    no part in the choice.
    """

    folder: RunFolder
    status: Status
    problem: str = ""
    experiment: RunConfig | None = None
    plain: dict[str, Any] = field(default_factory=dict)
    result: RunResult | None = None
    environment: Environment = field(default_factory=Environment)
    epochs: pd.DataFrame = field(default_factory=lambda: _no_epochs())
    confirms: bool = False

    @property
    def name(self) -> str:
        """The config's name; the folder's without a config."""
        return str(self.plain.get("name", self.folder.name))

    def called(self, name: str) -> Record:
        """Return the record under another name of the same experiment."""
        return replace(self, plain={**self.plain, "name": name}) if self.plain else self

    @cached_property
    def group(self) -> str:
        """The identity without the seed; a damaged run is alone in its group."""
        return group(self.experiment) if self.experiment else f"damaged {self.folder.name}"

    @cached_property
    def identity_fields(self) -> dict[str, Any]:
        """The flat canonical config: `optimizer.lr` → 0.001."""
        return flatten(canonical(self.experiment)) if self.experiment else {}

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The run's metrics by name, the loss first.

        A folder that does not record them (format 1, or not started) has those of KNOWN that it has values of.
        """
        told = self.environment.metrics
        return {k: v for k, v in KNOWN.items() if self._has(v)} if told is None else metrics_of(told)

    def _has(self, metric: Metric) -> bool:
        columns = [f"{split}_{metric.name}" for split in ("train", "val", "best_val", "test")]
        values = [self.metric(column) for column in columns]
        curves = (name in self.epochs and bool(self.epochs[name].notna().any()) for name in columns)
        return metric == LOSS or any(value is not None for value in values) or any(curves)

    @cached_property
    def verdict(self) -> Verdict | None:
        """What the run's curves show; None before its end."""
        if self.result is None or not (self.status.ended or self.status is Status.PRUNED):
            return None
        lr, train_loss, val_loss = (self.epochs[name].tolist() for name in ("lr", "train_loss", "val_loss"))
        unit = "evaluation" if self.plain.get("eval_every") else "epoch"
        reason, chance = self.result.reason, self._chance()
        return verdict(Curves(lr, train_loss, val_loss, self.status, reason, chance, unit, self.peak_lr))

    @property
    def peak_lr(self) -> float | None:
        """The learning rate that the config gives; None if it leaves that to the optimizer."""
        lr = None if self.experiment is None else self.identity_fields.get(self.experiment.lr_key)
        return float(lr) if isinstance(lr, int | float) else None

    def _chance(self) -> float | None:
        """Return the loss of guessing among equally frequent classes; None if their number is unknown."""
        classes = self.environment.sizes.classes
        if classes == UNKNOWN:
            classes = CLASSES.get((self.plain.get("dataset") or {}).get("name", ""))
        loss = (self.plain.get("loss") or {}).get("name", "cross_entropy")
        return math.log(classes) if loss == "cross_entropy" and classes and classes > 1 else None

    def metric(self, name: str) -> float | None:
        """Return a value of the result, such as `val_loss`; None if it has none."""
        return None if self.result is None else self.result.metric(name)

    def rates(self) -> pd.DataFrame:
        """Return `step` and `lr` of every step, or only of evaluations if `steps.csv` can't be read."""
        import pandas as pd

        with contextlib.suppress(FolderError):
            table = read_csv(self.folder.steps.path)
            if {"step", "lr"} <= table.keys():
                return pd.DataFrame({"step": table["step"], "lr": table["lr"]}).dropna()
        return self.epochs[["step", "lr"]]


def measures_of(records: Iterable[Record]) -> dict[str, Measure]:
    """Return every measure that a run has, by name; those of KNOWN if no run records its metrics.

    A measure is `signed` if a complete run has a value of it below 0.
    """
    records = list(records)
    metrics: dict[str, Metric] = {}
    told = False
    for record in records:
        metrics |= {name: metric for name, metric in record.metrics.items() if name not in metrics}
        told = told or record.result is not None or len(record.epochs) > 0 or record.environment.metrics is not None
    found = measures((metrics if told else KNOWN).values())
    complete = [record for record in records if record.status.complete]
    signed = {name for name in found for r in complete if (value := r.metric(name)) is not None and value < 0}
    return {name: replace(measure, signed=name in signed) for name, measure in found.items()}


def measure_named(records: Iterable[Record], name: str) -> Measure:
    """Return the measure of that name. Raises UsageError if no run has it."""
    known = measures_of(records)
    if name not in known:
        raise UsageError(f"--metric {name}: no such metric; known: {', '.join(known)}")
    return known[name]


def read_runs(paths: Iterable[Path]) -> list[Record]:
    """Read every run among and directly under `paths`, and mark copies of a run.

    Of several complete ones, the original is the folder with the run's own name.

    Raises:
        UsageError: a path does not exist.
    """
    seen: dict[str, Record] = {}
    records = []
    for record in sorted((read_one(folder) for folder in find_runs(list(paths))), key=_less_original):
        if record.experiment is not None:
            first = seen.setdefault(identity(record.experiment), record)
            if first is not record:
                record = replace(record, status=Status.COPY, problem=f"a copy of {first.folder.path}; left out")
        records.append(record)
    return sorted(records, key=lambda r: r.folder.path)


def _less_original(record: Record) -> tuple[bool, bool]:
    return not record.status.complete, record.experiment is None or record.folder.name != run_name(record.experiment)


def read_one(folder: RunFolder) -> Record:
    """Read one folder. Never raises for its contents."""
    problems: list[str] = []

    def attempt(reader: Callable[[], Any]) -> Any:
        try:
            return reader()
        except (LrbenchError, OSError, ValueError) as error:
            problems.append(str(error))
            return None

    def verified() -> RunConfig:
        experiment = folder.config(file)
        folder.verify(experiment, environment, result)
        return experiment

    file = attempt(folder.config_file)
    environment: Environment = attempt(folder.environment) or Environment()
    result: RunResult | None = attempt(folder.result)
    experiment: RunConfig | None = None if file is None else attempt(verified)
    epochs = attempt(lambda: _epochs(folder))
    if result is not None:
        problems += _inconsistent(folder, result, experiment, epochs)
    status = attempt(lambda: folder.status(result))
    return Record(
        folder,
        Status.DAMAGED if problems else status,
        problems[0] if problems else "",
        experiment,
        {} if file is None else file.plain if experiment is not None else _usable(file.plain),
        result,
        environment,
        _no_epochs() if epochs is None else epochs,
    )


def _usable(plain: dict[str, Any]) -> dict[str, Any]:
    """Return an invalid config without blocks that are none, since all that reads blocks expects mappings."""
    return {key: value for key, value in plain.items() if key not in PARTS or isinstance(value, Mapping)}


def _inconsistent(
    folder: RunFolder, result: RunResult, experiment: RunConfig | None, epochs: pd.DataFrame | None
) -> list[str]:
    """Return contradictions between a result and the other files of its folder."""
    found = []
    if experiment is not None and result.identity not in ("", identity(experiment)):
        found.append(f"{folder.name}: its result.json belongs to another run")
    if result.status.complete and not result.final:
        found.append(f"{folder.name}: its result.json is damaged: a finished run has final values")
    told, unit = (result.epochs, "epochs") if result.format == 1 else (result.evaluations, "evaluations")
    if told is not None and epochs is not None and len(epochs) != told:
        found.append(f"{folder.epochs.path} has {len(epochs)} usable rows for {told} {unit}")
    return found


@arguments(paths=PATHS)
def load_runs(*paths: str | Path) -> pd.DataFrame:
    """Read all runs into a table with one row per run.

    Args:
        paths: run folders, or folders that contain them; `runs` by default.

    Returns:
        Columns: `name`, `folder`, `seed`, `state`, `problem`, `group`, `epochs`, `steps`, `seconds`,
        `effective_lr`, `verdict`, `evidence`, `advice`, the metrics (`val_loss`, `best_val_loss`, `test_accuracy`, …;
        NaN if missing), the published `reference_test_loss` and `reference_test_accuracy`, and a `config.…` column for
        each key.

    Raises:
        UsageError: a path does not exist.
    """
    import pandas as pd

    return pd.DataFrame(run_rows(read_runs([Path(p) for p in paths or ("runs",)])))


def run_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return records as the rows of `load_runs`."""
    records = list(records)
    known = measures_of(records)
    return [_row(record, known) for record in records]


def _row(record: Record, known: Mapping[str, Measure]) -> dict[str, Any]:
    result, verdict = record.result, record.verdict
    reference = record.plain.get("reference") or {}
    best_epoch = record.metric("best_epoch")
    published = [name for name, measure in known.items() if measure.section == "test"]
    return {
        "name": record.name,
        "folder": str(record.folder.path),
        "seed": record.plain.get("seed"),
        "state": record.status.value,
        "problem": record.problem,
        "group": record.group,
        "epochs": len(record.epochs) if result is None else result.epochs,
        "steps": result and result.steps,
        "seconds": result and result.seconds,
        "effective_lr": result and result.effective_lr,
        "verdict": verdict and verdict.label,
        "evidence": verdict and verdict.evidence,
        "advice": verdict and verdict.advice,
        "best_epoch": int(best_epoch) if best_epoch is not None and best_epoch.is_integer() else best_epoch,
        **{name: record.metric(name) for name in known},
        **{f"reference_{name}": reference.get(name) for name in published},
        **{f"config.{k}": v for k, v in flatten(record.plain).items() if k not in ("name", "seed")},
    }


def flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted keys."""
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            flat |= flatten(inner, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = inner
    return flat


def _no_epochs() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns=list(epoch_columns(())))


def _epochs(folder: RunFolder) -> pd.DataFrame:
    """Read the rows of `epochs.csv` that have an epoch, a step and a learning rate. Raises FolderError, ValueError."""
    import pandas as pd

    found = read_csv(folder.epochs.path)
    if not found:
        return _no_epochs()
    wanted = epoch_columns(())
    missing = set(wanted) - found.keys()
    if missing:
        raise ValueError(f"{folder.epochs.path} lacks the columns {', '.join(sorted(missing))}")
    kept = ~np.isnan(np.array([found[name] for name in ("epoch", "step", "lr")])).any(axis=0)
    columns = {name: values[kept] for name, values in found.items()}
    for name in ("epoch", "step"):
        if (wrong := np.abs(columns[name]) > MOST_STEPS).any():
            raise ValueError(f"{folder.epochs.path}: impossible {name} {columns[name][wrong][0]:g}")
        if (columns[name] == np.floor(columns[name])).all():
            columns[name] = columns[name].astype(int)
    return pd.DataFrame(columns)
