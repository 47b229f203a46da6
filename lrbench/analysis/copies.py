"""Copies of a run: of several folders with one identity, one counts, and the others are left out."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from dataclasses import replace

from lrbench.analysis.audits import audited
from lrbench.analysis.records import Record
from lrbench.config import run_name
from lrbench.errors import LrbenchError
from lrbench.runs import Status


def without_copies(found: Iterable[Record]) -> list[Record]:
    """Order runs by folder and mark copies of a run.

    Of several, a complete and intact one counts; of several such ones, that with the run's own name.
    """
    records, alike = [*found], dict[str, list[Record]]()
    for record in records:
        if record.experiment is not None:
            alike.setdefault(record.identity, []).append(record)
    copies: dict[int, Record] = {}
    for same in alike.values():
        if len(same) > 1:
            copies |= _copies(same)
    return sorted((copies.get(id(record), record) for record in records), key=lambda record: record.folder.path)


def _copies(same: list[Record]) -> dict[int, Record]:
    """Return all but the first of the same runs as copies, by the `id` of the record."""
    doubts = {id(record): doubt(record) for record in same}

    def less_original(record: Record) -> tuple[bool, ...]:
        damaged, named = record.status is Status.DAMAGED, record.experiment is not None and run_name(record.experiment)
        return damaged, not record.status.complete, bool(doubts[id(record)]), record.folder.name != named

    first, *others = sorted(same, key=less_original)
    found = {}
    for record in others:
        why = doubts[id(record)]
        told = "" if not why or doubts[id(first)] else f", and {why}"
        problem = f"a copy of {first.folder.path}{told}"
        found[id(record)] = replace(record, status=Status.COPY, problem=problem)
    return found


def doubt(record: Record) -> str:
    """Say why a run's files can't be trusted: they are damaged, contradict each other, or fail their audit."""
    if record.status is Status.DAMAGED:
        return f"it can't be read: {record.problem}"
    if (value := _contradicted(record)) is not None:
        return f"its result.json has another {value} than its epochs.csv"
    with contextlib.suppress(LrbenchError):
        if (audit := audited(record, briefly=True)).wrong:
            return f"it fails its audit: {audit.faults[0].words}"
    return ""


def _contradicted(record: Record) -> str | None:
    """Return the first final value that is not that of the last evaluation."""
    if record.result is None or not record.result.final or not len(record.epochs):
        return None
    for name, told in record.result.final.items():
        if name not in record.epochs or not isinstance(told, int | float) or not math.isfinite(told):
            continue
        logged = float(record.epochs[name][-1])
        if math.isfinite(logged) and not math.isclose(logged, told, rel_tol=1e-6, abs_tol=1e-12):
            return name
    return None
