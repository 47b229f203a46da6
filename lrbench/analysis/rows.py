"""Runs as the rows of a table, and the optima of their families."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.analysis.curve import NoOptimum
from lrbench.analysis.frames import selected
from lrbench.analysis.grouping import grouped
from lrbench.analysis.measures import default_metric, measure_named, measures_of
from lrbench.analysis.optimum import Optimum, optimum
from lrbench.analysis.reader import read_runs
from lrbench.analysis.records import Record
from lrbench.analysis.second_process import no_collections
from lrbench.analysis.sensitivity import families
from lrbench.components import Measure
from lrbench.config import flat
from lrbench.runs import RunFolder, Status
from lrbench.types import NOTHING, PATHS, TEXT, TEXTS, Paths, arguments, paths_in

if TYPE_CHECKING:
    import pandas as pd


@arguments(paths=PATHS, filters=TEXTS)
@no_collections()
def load_runs(*paths: Paths, filters: Sequence[str] = ()) -> pd.DataFrame:
    """Read all runs into a table with one row per run.

    Args:
        paths: run folders, folders that contain them, or lists of these; `runs` by default.
        filters: patterns of names, or `key=value` of configs, as for `report`; runs must match all.

    Returns:
        Columns: `name`, `folder`, `source` (what trained or recorded the run), `seed`, `state`, `problem`, `group`,
        `epochs`, `steps`, `seconds`, `effective_lr`, `verdict`, `evidence`, `advice`, the metrics (`val_loss`,
        `best_val_loss`, `test_accuracy`, …; NaN if missing), the published `reference_test_loss` and
        `reference_test_accuracy`, and a `config.…` column for each key.

    Raises:
        UsageError: a path does not exist, or a filter matches nothing.
    """
    import pandas as pd

    found = run_rows(selected(paths, filters)[0])
    return pd.DataFrame(found) if found else pd.DataFrame(columns=list(_row(NO_RUN, measures_of([]))))


@arguments(paths=PATHS, metric=TEXT | NOTHING)
def optima(*paths: Paths, metric: str | None = None) -> dict[str, Optimum | NoOptimum]:
    """Find the best learning rate between those tried, for each family of runs that differ in nothing else.

    Args:
        paths: run folders, folders that contain them, or lists of these; `runs` by default.
        metric: what learning rates are compared by; the final validation loss by default.

    Returns:
        By the family's label as in a report, the best first: an `Optimum` with the learning rate `lr`, its 95% interval
        from `low` to `high`, and the fitted metric `value` there, or a `NoOptimum` with the `reason` why none is told.
        Families have at least three learning rates; confirmations are left out.

    Raises:
        UsageError: a path does not exist, or no run has the metric.
    """
    records = read_runs(paths_in(paths or ("runs",)))
    measure = measure_named(records, metric or default_metric(records))
    found = families([group for group in grouped(records, measure.name) if not group.first.confirms], measure)
    return {family.label: optimum(family, measure) for family in found}


NO_RUN = Record(RunFolder(Path()), Status.PENDING)
"""A run of which nothing is known: its row has the columns that all have."""


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
        "source": record.source or "lrbench",
        "seed": record.plain.get("seed"),
        "state": record.status.value,
        "problem": record.problem,
        "group": record.group,
        "epochs": record.epochs_done if result is None else result.epochs,
        "steps": result and result.steps,
        "seconds": result and result.seconds,
        "effective_lr": result and result.effective_lr,
        "verdict": verdict and verdict.label,
        "evidence": verdict and verdict.evidence,
        "advice": verdict and verdict.advice,
        "best_epoch": int(best_epoch) if best_epoch is not None and best_epoch.is_integer() else best_epoch,
        **{name: record.metric(name) for name in known},
        **{f"reference_{name}": reference.get(name) for name in published},
        **{f"config.{k}": v for k, v in flat(record.plain).items() if k not in ("name", "seed")},
    }
