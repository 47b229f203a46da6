"""What runs can be compared by: the measures that they have, and the one that decides unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lrbench.analysis.once import once
from lrbench.analysis.records import Record
from lrbench.components import KNOWN, Measure, Metric, measures
from lrbench.errors import UsageError, nearest, option

DEFAULT_METRIC = "val_loss"


def default_metric(records: Iterable[Record]) -> str:
    """Return what runs are compared by unless told otherwise: the final validation loss, if a run has it.

    Other programs may not measure it. Then it is what chose their best evaluations or else the first that they have of
    the validation, training and test metrics.
    """
    records = list(records)
    foreign = [record for record in records if record.foreign]
    if not foreign or any(record.measured(DEFAULT_METRIC) for record in records):
        return DEFAULT_METRIC
    chosen = [str(record.plain.get("best_by")) for record in foreign]
    known = [name for name, one in measures_of(records).items() if not one.section.endswith("best")]
    known.sort(key=lambda name: not name.startswith("val_"))
    complete = [record for record in records if record.status.complete] or records
    found = (name for name in [*chosen, *known] if any(record.measured(name) for record in complete))
    return next(found, DEFAULT_METRIC)


def measures_of(records: Iterable[Record]) -> dict[str, Measure]:
    """Return every measure that a run has, by name; those of KNOWN if no run records its metrics.

    A measure is `signed` if a complete run has a value of it below 0.
    """
    records = list(records)
    return dict(once(records, "measures", lambda: _measures_of(records)) if records else _measures_of(()))


def _measures_of(records: Sequence[Record]) -> dict[str, Measure]:
    metrics: dict[str, Metric] = {}
    told = False
    for record in records:
        if not record.metrics.keys() <= metrics.keys():
            metrics |= {name: metric for name, metric in record.metrics.items() if name not in metrics}
        told = told or record.result is not None or len(record.epochs) > 0 or record.environment.metrics is not None
    found = measures((metrics if told and metrics else KNOWN).values())
    complete = [record for record in records if record.status.complete and record.has_negative]
    signed = {name for name in found if any((value := r.metric(name)) is not None and value < 0 for r in complete)}
    return {name: replace(measure, signed=True) if name in signed else measure for name, measure in found.items()}


def measure_named(records: Iterable[Record], name: str) -> Measure:
    """Return the measure of that name. Raises UsageError if no run has it."""
    records = list(records)
    known = measures_of(records)
    if name in known and name != DEFAULT_METRIC:
        complete = [record for record in records if record.status.complete]
        if complete and not any(record.measured(name) or record.lacks(name) for record in complete):
            having = [one for one in known if any(record.measured(one) for record in complete)]
            raise UsageError(f"{option('--metric')} {name}: no run has a value of it; known: {', '.join(having)}")
    if name not in known:
        near = nearest(name, known)
        listed = f"{near}{'Known' if near else 'known'}: {', '.join(known)}"
        raise UsageError(f"{option('--metric')} {name}: no such metric; {listed}")
    return known[name]
