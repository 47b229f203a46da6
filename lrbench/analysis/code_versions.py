"""Versions of the user's own code that runs of one experiment were trained with, by the hashes in `env.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from lrbench.analysis.records import Record
from lrbench.runs import Status


def version_of(record: Record) -> str:
    """Return a key of the code that trained a run, from its start and its resumption; empty if unknown or none."""
    told = [record.environment.user_code, record.environment.resumed_with.get("user_code")]
    return "\n".join(dict.fromkeys(json.dumps(one, sort_keys=True) for one in told if one))


def versions(records: Iterable[Record]) -> dict[str, str]:
    """Name the versions of runs, in the order of their first start: `code of 2026-11-20`; none if there is only one."""
    first: dict[str, str] = {}
    for record in records:
        version, started = version_of(record), record.environment.started or "unknown time"
        first[version] = min(first.get(version, started), started)
    if len(first.keys() - {""}) < 2:
        return {}
    for length in (10, 16, 19):  # the day, the minute, the second
        names = {version: f"code of {first[version][:length].replace('T', ' ')}" for version in first}
        if len(set(names.values())) == len(names):
            break
    else:
        names = {version: f"code {hashlib.sha256(version.encode()).hexdigest()[:7]}" for version in first}
    if "" in names:
        names[""] = "unknown code"
    return {version: names[version] for version in sorted(first, key=lambda version: first[version])}


def mixed(records: Sequence[Record]) -> list[tuple[str, dict[str, list[object]]]]:
    """Return the experiments whose runs were trained with several versions: their names, and seeds by version."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.status is not Status.COPY:
            found.setdefault(record.group, []).append(record)
    told = []
    for members in found.values():
        names = versions(members)
        seeds: dict[str, list[object]] = {name: [] for name in names.values()}
        for record in members if names else ():
            seed = record.plain.get("seed")
            seeds[names[version_of(record)]].append(record.folder.name if seed is None and record.foreign else seed)
        told += [(members[0].name, seeds)] if seeds else []
    return told
