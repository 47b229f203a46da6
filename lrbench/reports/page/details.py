"""A page's details of each group: its runs, its config, differences from the reference, and environments."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from sys import intern
from typing import Any

from lrbench.analysis import Group, Record, once, value_text
from lrbench.components import Measure
from lrbench.config import dump_yaml
from lrbench.errors import printable
from lrbench.reports import tables
from lrbench.reports.headline import headline
from lrbench.reports.page.chart_data import id_of
from lrbench.runs import Status

MOST_LINES = 20
"""Of the output of a failed command or job."""
_OF_THE_RUN = ("identity", "arguments", "started", "resumed", "config", "sizes", "metrics", "exit_code")


def details(groups: Sequence[Group], records: Sequence[Record], against: Group | None) -> list[dict[str, Any]]:
    """Return the details of each group; copies, which are in no group, come last, one by one.

    Each has an `id`, a `label`, the `runs` with a row for each seed, with the value of the main chart's measure,
    `differences` from the config of the group `against` (key, value there, value here), the first run's `config` as
    YAML, and its `command` if another program trained it.
    """
    places, measure = {key: name for name, key, _ in _distinct(records)}, headline(groups)
    found = [_details(id_of(g), g.short, g.records, against, places, measure) for g in groups]
    copies = [record for record in records if record.status is Status.COPY]
    return [*found, *(_details(f"copy{n}", f"{r.folder.name} (copy)", [r], None, places, measure)
                      for n, r in enumerate(copies))]  # fmt: skip


def _details(
    id: str, label: str, records: Sequence[Record], against: Group | None, places: dict[str, str], measure: Measure
) -> dict[str, Any]:
    first = records[0]
    runs = [
        {
            "folder": record.folder.name,
            "seed": "–" if (seed := record.plain.get("seed")) is None and record.foreign else value_text(seed),
            "state": record.state,
            "value": "–" if (value := record.metric(measure.name)) is None else measure.text(value),
            "verdict": "–" if record.verdict is None else record.verdict.label,
            "note": record.problem or (record.result.reason if record.result is not None else ""),
            "environment": places.get(_key(record), "–"),
            **_printed(record),
        }
        for record in records
    ]
    differs = [] if against is None or first in against.records else _differences(against.first, first)
    return {
        "id": id,
        "label": label,
        "runs": runs,
        "differences": differs,
        "command": "" if first.experiment is None else first.experiment.command_line(first.folder.path),
        "config": once([first], "yaml", lambda: dump_yaml(first.plain)) if first.plain else "",
    }


def _printed(record: Record) -> dict[str, str]:
    """Return the Slurm job of a run that is not complete, and the last lines that a failed one printed."""
    if record.status.complete:
        return {"job": "", "output": ""}
    job, log = record.folder.job, record.folder.job_log
    told = "" if job is None or log is None else f"job {job.id}, log {log.parent.name}/{log.name}"
    printed = None
    if record.foreign and record.status is Status.FAILED and record.folder.output.is_file():
        printed = record.folder.output
    elif log is not None and record.status in (Status.FAILED, Status.INTERRUPTED) and log.is_file():
        printed = log
    return {"job": told, "output": "" if printed is None else "\n".join(record.folder.last_lines(printed, MOST_LINES))}


def _differences(theirs: Record, mine: Record) -> list[tuple[str, ...]]:
    """Return (key, first value, second value) for differences between two configs that change training."""
    one, other = theirs.identity_fields, mine.identity_fields
    if not one or not other:
        return []
    changed = [k for k in dict.fromkeys((*one, *other)) if k not in ("seed", "run") and one.get(k) != other.get(k)]
    return [(k, *(value_text(fields[k]) if k in fields else "–" for fields in (one, other))) for k in changed]


def curves(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """Return the label of each group whose runs have ended, and the verdict on its curves in words."""
    return [(group.short, words) for group in groups if (words := _curves(group))]


def _curves(group: Group) -> str:
    """Describe the verdict, its evidence and what to try next; empty before the end of the runs."""
    found = group.verdict()
    if found is None:
        return ""
    verdict = found.verdict
    evidence = f"{verdict.evidence[:1].upper()}{verdict.evidence[1:]}"
    if len(group.records) > 1:
        which = found.record
        seed = which.plain.get("seed")
        of = which.folder.name if seed is None and which.foreign else f"Seed {seed}"
        evidence = f"{of}: {verdict.evidence}"
    advice = f" Next: {verdict.advice}." if verdict.advice else ""
    return f"{tables.verdict(group)}. {evidence}.{advice}"


def environments(records: Sequence[Record]) -> list[tuple[str, str, int]]:
    """Return the distinct environments of runs: name, YAML and number of runs."""
    return [(name, dump_yaml(json.loads(key)), count) for name, key, count in _distinct(records)]


def commands(records: Sequence[Record]) -> list[str]:
    """Return the distinct command lines that made the runs."""
    found = dict.fromkeys(record.environment.arguments for record in records)
    return [shlex.join(arguments) for arguments in found if arguments]


def _distinct(records: Sequence[Record]) -> list[tuple[str, str, int]]:
    counted = Counter(_key(record) for record in records if record.environment.plain)
    return [(str(number), key, count) for number, (key, count) in enumerate(counted.items(), start=1)]


def _key(record: Record) -> str:
    """Return the environment as text, without what each run has of its own: most runs share it, and so its memory."""
    return once([record], "environment", lambda: intern(_environment(record)))


def _environment(record: Record) -> str:
    kept = {k: v for k, v in record.environment.plain.items() if k not in _OF_THE_RUN}
    return printable(json.dumps(kept, default=str, ensure_ascii=False))


def provenance(records: Sequence[Record]) -> list[str]:
    """Summarise the environments of runs, and warn if they differ."""
    facts: dict[str, list[Any]] = {
        "lrbench": [r.environment.lrbench for r in records],
        "torch": [r.environment.packages.get("torch") for r in records],
        "device": [r.environment.gpu or r.environment.device for r in records],
        "CPU threads": [r.environment.threads for r in records],
        "processor": [r.environment.processor for r in records],
        "commit": [r.environment.git.commit for r in records],
    }
    if any(r.environment.stacked for r in records):
        facts["trained"] = ["in stacks" if r.environment.stacked else "one by one" for r in records]
    lines = []
    for fact, values in facts.items():
        different = sorted({str(v) for v in values if v is not None})
        mixed = len(different) > 1
        note = "; mixed, which may cause small differences in loss" if mixed and fact != "commit" else ""
        if different:
            lines.append(f"{fact}: {', '.join(different)}{note}")
    unknown = [r.folder.name for r in records if not (r.environment.plain or r.status is Status.DAMAGED)]
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        lines.append(f"no env.json, so versions, device and threads are unknown: {', '.join(unknown[:3])}{more}")
    sets = sorted({str((r.plain.get("dataset") or {}).get("name")) for r in records if r.experiment and not r.foreign})
    if len(sets) > 1:
        lines.append(f"data sets: {', '.join(sets)}; losses on different data can't be compared")
    return lines
