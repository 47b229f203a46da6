"""Read run folders for reporting. Anything unreadable becomes a record that says so."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrbench.analysis.verdicts import Curves, Verdict, verdict
from lrbench.config.identity import canonical, group, identity
from lrbench.config.load import Experiment
from lrbench.errors import LrbenchError
from lrbench.runs.folder import EPOCH_COLUMNS, RunFolder
from lrbench.runs.runlist import find_runs

if TYPE_CHECKING:
    import pandas as pd

METRICS = {
    "train_loss": ("final", "train_loss"),
    "train_accuracy": ("final", "train_accuracy"),
    "val_loss": ("final", "val_loss"),
    "val_accuracy": ("final", "val_accuracy"),
    "best_epoch": ("best", "epoch"),
    "best_val_loss": ("best", "val_loss"),
    "best_val_accuracy": ("best", "val_accuracy"),
    "test_loss": ("test", "loss"),
    "test_accuracy": ("test", "accuracy"),
    "test_best_loss": ("test_best", "loss"),
    "test_best_accuracy": ("test_best", "accuracy"),
}
"""Column of `load_runs` → where `result.json` has it."""

CLASSES = {**dict.fromkeys(("digits", "mnist", "fashion_mnist", "kmnist", "cifar10"), 10), "cifar100": 100}
"""Of the built-in data sets, for runs whose `env.json` does not say."""


@dataclass(frozen=True)
class Record:
    """One run as its folder tells it.

    `state` is as `RunFolder.state` gives it, or `damaged`, and then `problem` says what is wrong. `epochs` holds
    the rows that could be read, perhaps none.
    """

    folder: RunFolder
    state: str
    problem: str = ""
    experiment: Experiment | None = None
    plain: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    epochs: pd.DataFrame = field(default_factory=lambda: _no_epochs())

    @property
    def name(self) -> str:
        """The config's name, or the folder's where there is no config."""
        return str(self.plain.get("name", self.folder.name))

    @cached_property
    def group(self) -> str:
        """What runs that differ only in the seed share; a damaged run is alone."""
        return group(self.experiment) if self.experiment else f"damaged {self.folder.name}"

    @cached_property
    def identity_fields(self) -> dict[str, Any]:
        """The canonical config, flat: `optimizer.lr` → 0.001."""
        return flatten(canonical(self.experiment)) if self.experiment else {}

    @property
    def counts(self) -> bool:
        """True where the run may enter a median: it went to its end without diverging."""
        return self.state in ("finished", "stopped_early")

    @cached_property
    def verdict(self) -> Verdict | None:
        """What the run's curves show; None for one that has not come to an end."""
        if not (self.counts or self.state in ("diverged", "pruned")):
            return None
        lr, train_loss, val_loss = (self.epochs[name].tolist() for name in ("lr", "train_loss", "val_loss"))
        reason = str(self.result.get("reason") or "")
        return verdict(Curves(lr, train_loss, val_loss, self.state, reason, self._chance()))

    def _chance(self) -> float | None:
        """The loss of guessing among equally frequent classes; None where their number is not known."""
        sizes = self.environment.get("sizes") or {}
        classes = sizes.get("classes", CLASSES.get((self.plain.get("dataset") or {}).get("name", "")))
        loss = (self.plain.get("loss") or {}).get("name", "cross_entropy")
        return math.log(classes) if loss == "cross_entropy" and isinstance(classes, int) and classes > 1 else None

    def metric(self, name: str) -> float | None:
        """A number of the result, None where it has none."""
        section, key = METRICS[name]
        value = (self.result.get(section) or {}).get(key)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

    def rates(self) -> pd.DataFrame:
        """`step` and `lr` of every update; of each epoch's last where `steps.csv` can't be read."""
        import pandas as pd

        try:
            return pd.read_csv(self.folder.steps.path, usecols=["step", "lr"]).dropna()
        except (OSError, ValueError, pd.errors.ParserError):
            return self.epochs[["step", "lr"]]


def read(paths: Iterable[Path]) -> list[Record]:
    """A record for every run among and directly under `paths`; copies of one run are marked as such.

    Raises UsageError for a path that is not there.
    """
    seen: dict[str, Record] = {}
    records = []
    for record in sorted((read_one(folder) for folder in find_runs(list(paths))), key=lambda r: not r.counts):
        if record.experiment is not None:
            first = seen.setdefault(identity(record.experiment), record)
            if first is not record:
                record = replace(record, state="copy", problem=f"the same run as {first.folder.path}; left out")
        records.append(record)
    return sorted(records, key=lambda r: r.folder.path)


def read_one(folder: RunFolder) -> Record:
    """The record of one folder; never raises for what is in it."""
    found: dict[str, Any] = {"state": "new"}
    problems = []
    readers = {
        "plain": folder.plain_config,
        "experiment": folder.verified_config,
        "environment": folder.environment,
        "result": lambda: folder.result() or {},
        "epochs": lambda: _epochs(folder),
        "state": folder.state,
    }
    for key, reader in readers.items():
        try:
            found[key] = reader()
        except (LrbenchError, OSError, ValueError) as error:
            problems.append(str(error))
    made_for, experiment = (found.get("result") or {}).get("identity"), found.get("experiment")
    if made_for is not None and experiment is not None and made_for != identity(experiment) and not problems:
        problems.append(f"{folder.name}: its result.json is of another run")
    rows, told = len(found.get("epochs", ())), (found.get("result") or {}).get("epochs")
    if isinstance(told, int) and rows != told and not problems:
        problems.append(f"{folder.epochs.path} holds {rows} usable rows of the {told} epochs that were done")
    if problems:
        found["state"] = "damaged"
    return Record(folder, problem=problems[0] if problems else "", **found)


def load_runs(*paths: str | Path) -> pd.DataFrame:
    """All runs as a table, one row a run: for notebooks, and for the report itself.

    Args:
        paths: run folders, or folders that hold them; `runs` if none is given.

    Returns:
        Columns: `name`, `folder`, `seed`, `state`, `problem`, `group`, `epochs`, `steps`, `seconds`,
        `effective_lr`, `verdict`, `evidence`, `advice`, the metrics (`val_loss`, `best_val_loss`, `test_accuracy`, …;
        NaN where there is none), the published `reference_test_loss` and `reference_test_accuracy`, and a `config.…`
        column for each key.

    Raises:
        UsageError: a path is not there.
    """
    return table(read([Path(p) for p in paths or ("runs",)]))


def table(records: Iterable[Record]) -> pd.DataFrame:
    """The records as `load_runs` gives them."""
    import pandas as pd

    return pd.DataFrame([_row(record) for record in records])


def _row(record: Record) -> dict[str, Any]:
    reference = record.plain.get("reference") or {}
    epochs = record.result.get("epochs") if record.result else len(record.epochs)
    return {
        "name": record.name,
        "folder": str(record.folder.path),
        "seed": record.plain.get("seed"),
        "state": record.state,
        "problem": record.problem,
        "group": record.group,
        "epochs": epochs,
        "steps": record.result.get("steps"),
        "seconds": record.result.get("seconds"),
        "effective_lr": record.result.get("effective_lr"),
        "verdict": record.verdict.label if record.verdict else None,
        "evidence": record.verdict.evidence if record.verdict else None,
        "advice": record.verdict.advice if record.verdict else None,
        **{metric: record.metric(metric) for metric in METRICS},
        "reference_test_loss": reference.get("test_loss"),
        "reference_test_accuracy": reference.get("test_accuracy"),
        **{f"config.{k}": v for k, v in flatten(record.plain).items() if k not in ("name", "seed")},
    }


def flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            flat |= flatten(inner, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = inner
    return flat


def _no_epochs() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns=list(EPOCH_COLUMNS))


def _epochs(folder: RunFolder) -> pd.DataFrame:
    import pandas as pd

    path = folder.epochs.path
    if not path.exists() or path.stat().st_size == 0:
        return _no_epochs()
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    whole = "\n".join(lines[:-1])  # a torn last row is no row
    if not whole:
        return _no_epochs()
    if lines[0] == ",".join(EPOCH_COLUMNS) and len(lines) > 2:
        with contextlib.suppress(ValueError):  # a missing number, or text: pandas knows what to do
            rows = np.array([[float(value) for value in line.split(",")] for line in lines[1:-1]])
            whole_numbers = {name: rows[:, i].astype(int) for i, name in enumerate(EPOCH_COLUMNS[:2])}
            return pd.DataFrame(whole_numbers | {n: rows[:, i] for i, n in enumerate(EPOCH_COLUMNS) if i > 1})
    frame = pd.read_csv(io.StringIO(whole))
    missing = set(EPOCH_COLUMNS) - set(frame.columns)
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(sorted(missing))}")
    numbers: pd.DataFrame = frame[list(EPOCH_COLUMNS)]
    if any(kind.kind not in "iuf" for kind in numbers.dtypes):  # text in it; else there is nothing to convert
        numbers = numbers.apply(pd.to_numeric, errors="coerce")
    return numbers.dropna(subset=["epoch", "step", "lr"])
