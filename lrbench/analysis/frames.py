"""Steps and evaluations of many runs as tidy tables: one row for each, with what tells the runs apart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lrbench.analysis.filters import kept
from lrbench.analysis.grouping import grouped
from lrbench.analysis.groups import Group
from lrbench.analysis.measures import default_metric, measures_of
from lrbench.analysis.reader import read_runs
from lrbench.analysis.records import Record
from lrbench.analysis.sensitivity import families
from lrbench.components import epoch_columns
from lrbench.config import flat
from lrbench.errors import FolderError
from lrbench.runs import STEP_COLUMNS, Columns, Status, read_csv
from lrbench.types import PATHS, TEXTS, Paths, arguments, paths_in

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["steps", "evaluations"]

ABOUT = ("run", "name", "label", "family", "group", "seed", "peak_lr")
"""The columns that tell runs apart, which are there even without a run."""


@dataclass(frozen=True)
class Described:
    """A run whose rows are wanted: what its rows say of it, and its config's values by key."""

    record: Record
    about: Mapping[str, Any]
    config: Mapping[str, Any]


@arguments(paths=PATHS, filters=TEXTS)
def load_steps(*paths: Paths, filters: Sequence[str] = ()) -> pd.DataFrame:
    """Read the steps of all runs into a table with one row per step: every one, of long runs too.

    Args:
        paths: run folders, folders that contain them, or lists of these; `runs` by default.
        filters: patterns of names, or `key=value` of configs, as for `report`; runs must match all.

    Returns:
        Columns: `run` (the folder), `name`, `label` and `family` (as in a report), `group` (the same for runs that
        differ only in their seed), `seed`, `peak_lr` (the config's learning rate), a `config.…` column for each key in
        which the runs differ; then `step` (from 1), `lr`, `momentum`, `loss`, `grad_norm` and what else was recorded;
        NaN if missing. Text is categorical. Runs that are damaged or copies of others have no rows.

    Raises:
        UsageError: a path does not exist, or a filter matches nothing.
    """
    return frame(_described(paths, filters), "steps")


@arguments(paths=PATHS, filters=TEXTS)
def load_evaluations(*paths: Paths, filters: Sequence[str] = ()) -> pd.DataFrame:
    """Read the evaluations of all runs into a table with one row per evaluation.

    Args:
        paths: run folders, folders that contain them, or lists of these; `runs` by default.
        filters: as for `load_steps`.

    Returns:
        The columns that tell runs apart, as of `load_steps`; then `step`, `epoch`, `lr`, `train_loss`, `val_loss` and
        the other metrics, `seconds` and `examples_per_second`; NaN if missing. An evaluation of an unknown step has its
        number instead.

    Raises:
        UsageError: a path does not exist, or a filter matches nothing.
    """
    return frame(_described(paths, filters), "evaluations")


def selected(paths: Sequence[Paths], filters: Sequence[str]) -> tuple[list[Record], list[Group]]:
    """Return the runs that match all filters, and the groups of all runs, by which filters know their labels."""
    records = read_runs(paths_in(paths or ("runs",)))
    if not filters:
        return records, []
    groups = grouped(records)
    labels = {record.folder.path: group.label for group in groups for record in group.records}
    return kept(records, filters, labels), groups


def _described(paths: Sequence[Paths], filters: Sequence[str]) -> list[Described]:
    """Describe the runs that match, with the labels that they have among all."""
    records, groups = selected(paths, filters)
    groups = groups or grouped(records)
    everything = [record for group in groups for record in group.records]
    measure = measures_of(everything)[default_metric(everything)]
    labels = {record.folder.path: group.label for group in groups for record in group.records}
    named = {
        record.folder.path: family.label
        for family in families(groups, measure, least=0)
        for point in family.points
        for record in point.group.records
    }
    return [
        Described(
            record,
            {
                "run": record.folder.name,
                "name": record.name,
                "label": labels.get(record.folder.path),
                "family": named.get(record.folder.path),
                "group": record.group,
                "seed": record.plain.get("seed"),
                "peak_lr": record.peak_lr,
            },
            {key: value for key, value in flat(record.plain).items() if key not in ("name", "seed")},
        )
        for record in records
        if record.status not in (Status.DAMAGED, Status.COPY)
    ]


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values are not the same in all configs."""
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if len({repr(config.get(key)) for config in configs}) > 1]


def frame(runs: Sequence[Described], kind: Kind) -> pd.DataFrame:
    """Return the steps or the evaluations of runs, below each other, with what is said of each run in every row.

    Text is categorical, which takes a byte or two a row.
    """
    import pandas as pd

    parts = [_rows(one.record, kind) for one in runs]
    lengths = np.array([len(part["step"]) for part in parts], dtype=int)
    keys = differing([one.config for one in runs])
    about = [{**one.about, **{f"config.{key}": one.config.get(key) for key in keys}} for one in runs]
    usual = epoch_columns(()) if kind == "evaluations" else STEP_COLUMNS
    spent = [name for name in usual if name in ("seconds", "examples_per_second")]
    found = dict.fromkeys(("step", *usual, *(name for part in parts for name in part)))
    names = [*(name for name in found if name not in spent), *spent]
    told = about[0] if about else ABOUT
    columns: dict[str, Any] = {name: _repeated(name, [one[name] for one in about], lengths) for name in told}
    columns |= {name: _stacked([part.get(name) for part in parts], lengths) for name in names}
    columns["step"] = columns["step"].astype(np.int64)
    return pd.DataFrame(columns)


def _rows(record: Record, kind: Kind) -> Columns:
    """Return a run's rows by column, each with a step; none if they can't be read."""
    if kind == "evaluations":
        found = {name: values.astype(float) for name, values in record.epochs.columns.items()}
        count = len(record.epochs)
        step = found.get("step", np.full(count, np.nan))
        return {**found, "step": np.where(np.isfinite(step), step, np.arange(1, count + 1))}
    found = {}
    with contextlib.suppress(FolderError):  # of one run, which must not hide the others
        found = read_csv(record.folder.steps.path)
    step = found.get("step", np.empty(0))
    there = np.isfinite(step)
    return {**{name: values[there] for name, values in found.items() if len(values) == len(step)}, "step": step[there]}


def _stacked(parts: Iterable[np.ndarray | None], lengths: np.ndarray) -> np.ndarray:
    told = [np.full(n, np.nan) if part is None else part for part, n in zip(parts, lengths, strict=True)]
    return np.concatenate(told) if told else np.empty(0)


def _repeated(name: str, values: Sequence[Any], lengths: np.ndarray) -> Any:
    """Return each run's value in each of its rows: the seed, the learning rate and configs' numbers as such, else text.

    Text is categorical; an unknown value is missing.
    """
    import pandas as pd

    known = [value for value in values if value is not None]
    whole = [value for value in known if isinstance(value, int) and abs(value) < 2**63]
    if name == "seed":
        return pd.array([v if isinstance(v, int) and abs(v) < 2**63 else pd.NA for v in values], "Int64").repeat(
            lengths
        )
    if known and name.startswith("config.") and not any(isinstance(value, bool) for value in known):
        if len(whole) == len(values):
            return np.repeat(np.array(values, dtype=np.int64), lengths)
        if all(isinstance(value, int | float) for value in known):
            return np.repeat(np.array([np.nan if value is None else value for value in values], dtype=float), lengths)
    if name == "peak_lr":
        return np.repeat(np.array([np.nan if value is None else value for value in values], dtype=float), lengths)
    texts = [None if value is None else str(value) for value in values]
    kinds = {text: at for at, text in enumerate(dict.fromkeys(text for text in texts if text is not None))}
    codes = np.array([-1 if text is None else kinds[text] for text in texts], dtype=np.int32)
    return pd.Categorical.from_codes(np.repeat(codes, lengths), categories=pd.Index(list(kinds), dtype=object))
