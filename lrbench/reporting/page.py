"""The report as a self-contained HTML page, and as Markdown."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from lrbench.reporting import answers, tables, targets
from lrbench.reporting.comparison import Comparison
from lrbench.reporting.groups import Group, task
from lrbench.reporting.range_tests import Tested
from lrbench.reporting.records import Record
from lrbench.reporting.targets import Target
from lrbench.version import __version__


@dataclass(frozen=True)
class Shown:
    """What a page is about: groups best first, all runs, range tests, and how the groups compare."""

    groups: Sequence[Group]
    records: Sequence[Record]
    tests: Sequence[Tested] = ()
    comparison: Comparison | None = None
    target: Target | None = None

    @property
    def columns(self) -> list[tables.Column]:
        """What the table shows beside the usual columns."""
        compared = [] if self.comparison is None else answers.columns(self.comparison)
        return [*compared, *(targets.columns(self.target) if self.target else [])]

    @property
    def warnings(self) -> list[str]:
        """What a reader must not overlook."""
        found = None if self.comparison is None else answers.unequal([row.group for row in self.comparison.rows])
        return [] if found is None else [found]

    @property
    def method(self) -> str | None:
        """How the comparison was made; None where there is nothing to compare."""
        return None if self.comparison is None else answers.method(self.comparison)


def render(shown: Shown, picture: str | None) -> str:
    """The page. `picture` is the figure as SVG text, None without runs; everything else in it is escaped."""
    groups, records, tests = shown.groups, shown.records, shown.tests
    environment = Environment(
        loader=PackageLoader("lrbench.reporting"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    columns = tables.columns(groups, extra=shown.columns)
    return environment.get_template("page.html.j2").render(
        sentences=summary(shown),
        warnings=shown.warnings,
        method=shown.method,
        picture=None if picture is None else _embedded(picture),
        tests=[(test.name, _embedded(svg) if (svg := test.svg()) else None, test.words()) for test in tests],
        headings=[(c.heading, c.right) for c in columns],
        rows=[[(c.text(g), c.right) for c in columns] for g in groups],
        verdicts=_verdicts(groups),
        provenance=_provenance(records),
        runs=[_details(record) for record in _in_order(groups, records)],
        written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )


def _in_order(groups: Sequence[Group], records: Sequence[Record]) -> list[Record]:
    """The records as the table has them, then those it leaves out."""
    shown = [record for group in groups for record in group.records]
    return [*shown, *(record for record in records if record.state == "copy")]


def _embedded(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def markdown(shown: Shown) -> str:
    """The report as Markdown, the figure beside it."""
    groups, records, tests = shown.groups, shown.records, shown.tests
    lines = ["# Runs side by side", "", *summary(shown), ""]
    lines += [line for warning in shown.warnings for line in (f"**{warning}**", "")]
    if groups:
        lines += ["![validation losses](report.png)", "", tables.markdown(groups, shown.columns)]
        lines += [shown.method, ""] if shown.method else []
        lines += ["## What the curves show", "", *(f"- **{n}**: {text}" for n, text in _verdicts(groups)), ""]
        lines += ["## What the runs ran on", "", *(f"- {line}" for line in _provenance(records)), ""]
    for test in tests:
        lines += [f"## Range test of {test.name}", "", *(f"- {line}" for line in test.words()), ""]
    problems = [f"- `{r.folder.name}`: {r.problem}" for r in records if r.problem]
    return "\n".join([*lines, *(["Damaged or left out:", "", *problems, ""] if problems else [])])


def summary(shown: Shown) -> list[str]:
    """What the comparison shows, in at most three sentences."""
    records = shown.records
    tasks = sorted({task(group) for group in shown.groups if group.spread("val_loss")})
    if len(tasks) > 1:
        sentences = [
            f"These runs are of different tasks ({'; '.join(tasks)}), so their losses can't be ranked together."
        ]
    elif shown.comparison is not None:
        sentences = answers.sentences(shown.comparison)
    else:
        sentences = ["No run has come to its end yet." if records else "No run yet."]
    if shown.target is not None:
        sentences.append(targets.sentence(shown.target, shown.groups))
    states = [record.state for record in records]
    odd = {state: states.count(state) for state in dict.fromkeys(states) if state != "finished"}
    if odd:
        listed = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in odd.items())
        sentences.append(f"Of {len(records)} runs, {len(records) - sum(odd.values())} finished; the others: {listed}.")
    return sentences


def _verdicts(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """For each group that has come to an end: its label; the verdict, what that rests on, and what to try next."""
    said = []
    for group in groups:
        found = group.verdict()
        if found is not None:
            one = found[0]
            seed = next(r.plain.get("seed") for r in group.records if r.verdict == one)
            which = f"Seed {seed}: " if len(group.records) > 1 else ""
            evidence = f"{which}{one.evidence}" if which else f"{one.evidence[:1].upper()}{one.evidence[1:]}"
            advice = f" Next: {one.advice}." if one.advice else ""
            said.append((group.label, f"{tables.verdict(group)}. {evidence}.{advice}"))
    return said


def _provenance(records: Sequence[Record]) -> list[str]:
    """What the runs ran on, and a warning where that differs between them."""
    facts = {
        "lrbench": [r.environment.get("lrbench") for r in records],
        "torch": [(r.environment.get("packages") or {}).get("torch") for r in records],
        "device": [r.environment.get("device") for r in records],
        "CPU threads": [r.environment.get("threads") for r in records],
        "processor": [r.environment.get("processor") for r in records],
        "commit": [(r.environment.get("git") or {}).get("commit") for r in records],
    }
    lines = []
    for fact, values in facts.items():
        different = sorted({str(v) for v in values if v is not None})
        mixed = len(different) > 1
        note = "; mixed, so small differences in loss may come from that" if mixed and fact != "commit" else ""
        if different:
            lines.append(f"{fact}: {', '.join(different)}{note}")
    sets = sorted({str((r.plain.get("dataset") or {}).get("name")) for r in records if r.experiment})
    if len(sets) > 1:
        lines.append(f"data sets: {', '.join(sets)}; losses of different data can't be compared")
    return lines


def _details(record: Record) -> dict[str, Any]:
    config = yaml.safe_dump(record.plain, sort_keys=False, allow_unicode=True) if record.plain else ""
    reason = str(record.result.get("reason") or "")
    return {
        "name": record.folder.name,
        "state": record.state.replace("_", " "),
        "note": record.problem or reason,
        "verdict": "" if record.verdict is None else f"{record.verdict.label}: {record.verdict.evidence}",
        "config": config,
        "environment": yaml.safe_dump(record.environment, sort_keys=False) if record.environment else "",
    }
