"""A page's details of each group: its runs, its config, differences from the reference, and environments."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from lrbench.analysis import Group, Record, value_text
from lrbench.components import LOSS
from lrbench.reports import tables
from lrbench.runs import Status

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # ten times as fast, if libyaml is installed
_OF_THE_RUN = ("identity", "arguments", "started", "resumed", "config", "sizes", "metrics")


@dataclass(frozen=True)
class Run:
    """A row in the table of a group's runs."""

    folder: str
    seed: str
    state: str
    val_loss: str
    verdict: str
    note: str
    environment: str


@dataclass(frozen=True)
class Details:
    """The details of a group.

    Attributes:
        label: the group's label.
        runs: a row for each seed.
        differences: (key, value in the reference group, value here); empty for the reference group itself.
        config: the first run's config as YAML.
    """

    label: str
    runs: Sequence[Run]
    differences: Sequence[tuple[str, str, str]]
    config: str


def as_yaml(value: Any) -> str:
    """Format a config or an environment; empty for nothing."""
    if not value:
        return ""
    text: str = yaml.dump(value, Dumper=_DUMPER, sort_keys=False, allow_unicode=True)
    return text


def details(groups: Sequence[Group], records: Sequence[Record], against: Group | None) -> list[Details]:
    """Return the details of each group; copies, which are in no group, come last, one by one."""
    places = {key: name for name, key, _ in _distinct(records)}
    found = [_details(group.label, group.records, against, places) for group in groups]
    copies = [record for record in records if record.status is Status.COPY]
    return [*found, *(_details(f"{r.folder.name} (copy)", [r], None, places) for r in copies)]


def _details(label: str, records: Sequence[Record], against: Group | None, places: dict[str, str]) -> Details:
    first = records[0]
    runs = [
        Run(
            record.folder.name,
            value_text(record.plain.get("seed")),
            record.status.words,
            "–" if (value := record.metric("val_loss")) is None else LOSS.text(value),
            "–" if record.verdict is None else record.verdict.label,
            record.problem or (record.result.reason if record.result is not None else ""),
            places.get(_key(record), "–"),
        )
        for record in records
    ]
    differs = [] if against is None or first in against.records else differences(against.first, first)
    return Details(label, runs, differs, as_yaml(first.plain))


def differences(theirs: Record, mine: Record) -> list[tuple[str, str, str]]:
    """Return (key, first value, second value) for differences between two configs that change training."""
    one, other = theirs.identity_fields, mine.identity_fields
    if not one or not other:
        return []
    return [
        (key, _present(one, key), _present(other, key))
        for key in dict.fromkeys((*one, *other))
        if key != "seed" and one.get(key) != other.get(key)
    ]


def _present(fields: dict[str, Any], key: str) -> str:
    return value_text(fields[key]) if key in fields else "–"


def curves(group: Group) -> str:
    """Describe the verdict on a group's curves, its evidence and what to try next; empty before the end of its runs."""
    found = group.verdict()
    if found is None:
        return ""
    one = found[0]
    seed = next(r.plain.get("seed") for r in group.records if r.verdict == one)
    evidence = f"{one.evidence[:1].upper()}{one.evidence[1:]}"
    if len(group.records) > 1:
        evidence = f"Seed {seed}: {one.evidence}"
    advice = f" Next: {one.advice}." if one.advice else ""
    return f"{tables.verdict(group)}. {evidence}.{advice}"


def environments(records: Sequence[Record]) -> list[tuple[str, str, int]]:
    """Return the distinct environments of runs: name, YAML and number of runs."""
    return [(name, as_yaml(json.loads(key)), count) for name, key, count in _distinct(records)]


def commands(records: Sequence[Record]) -> list[str]:
    """Return the distinct command lines that made the runs."""
    found = [record.environment.get("arguments") for record in records]
    lines = [shlex.join(str(part) for part in parts) for parts in found if isinstance(parts, list) and parts]
    return list(dict.fromkeys(lines))


def _distinct(records: Sequence[Record]) -> list[tuple[str, str, int]]:
    counted = Counter(_key(record) for record in records if record.environment)
    return [(str(number), key, count) for number, (key, count) in enumerate(counted.items(), start=1)]


def _key(record: Record) -> str:
    kept = {k: v for k, v in record.environment.items() if k not in _OF_THE_RUN}
    return json.dumps(kept, default=str)


def provenance(records: Sequence[Record]) -> list[str]:
    """Summarise the environments of runs, and warn if they differ."""
    facts = {
        "lrbench": [r.environment.get("lrbench") for r in records],
        "torch": [(r.environment.get("packages") or {}).get("torch") for r in records],
        "device": [r.environment.get("gpu") or r.environment.get("device") for r in records],
        "CPU threads": [r.environment.get("threads") for r in records],
        "processor": [r.environment.get("processor") for r in records],
        "commit": [(r.environment.get("git") or {}).get("commit") for r in records],
    }
    lines = []
    for fact, values in facts.items():
        different = sorted({str(v) for v in values if v is not None})
        mixed = len(different) > 1
        note = "; mixed, which may cause small differences in loss" if mixed and fact != "commit" else ""
        if different:
            lines.append(f"{fact}: {', '.join(different)}{note}")
    sets = sorted({str((r.plain.get("dataset") or {}).get("name")) for r in records if r.experiment})
    if len(sets) > 1:
        lines.append(f"data sets: {', '.join(sets)}; losses on different data can't be compared")
    return lines
