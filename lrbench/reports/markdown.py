"""The report as Markdown, with its figures in files next to it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lrbench.errors import printable
from lrbench.reports import confirmation, tables
from lrbench.reports.escape import markdown as escaped
from lrbench.reports.figures.render import Drawn
from lrbench.reports.headline import headline
from lrbench.reports.page.details import curves, provenance
from lrbench.reports.shown import Shown, summary
from lrbench.reports.winner import Winner


def markdown(shown: Shown, drawn: Sequence[Drawn], winner: Winner | None) -> str:
    """Write the report; `drawn` are the figures besides the main one."""
    groups, records, tests = shown.groups, shown.records, shown.tests
    lines = ["# Runs side by side", "", *map(escaped, summary(shown)), ""]
    lines += [line for warning in shown.warnings for line in (f"**{escaped(warning)}**", "")]
    if shown.confirmed is not None:
        head, *each = (map(escaped, row) for row in (confirmation.HEADINGS, *confirmation.cells(shown.confirmed)))
        dashes = ["---"] * 5 + ["---:"] * 3
        rows = [f"| {' | '.join(row)} |" for row in (head, dashes, *each)]
        lines += ["## Fresh seeds", "", *rows, "", escaped(confirmation.NOTE), ""]
    if groups:
        lines += [f"![{headline(groups).words}](report.png)", ""]
        lines += [tables.markdown(groups, shown.columns, shown.measure)]
        lines += [escaped(shown.method), ""] if shown.method else []
    for one in drawn:
        heading = escaped(one.heading)
        lines += [f"## {heading}", "", f"![{heading}]({one.name}.png)", ""]
        lines += [*(f"- {escaped(line)}" for line in one.words), ""] if one.words else []
    verdicts = [f"- **{escaped(label)}**: {escaped(words)}" for label, words in curves(groups)]
    lines += ["## What the curves show", "", *verdicts, ""] if verdicts else []
    if winner:
        fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", f"``{winner.code}")))
        lines += [f"## {escaped(winner.heading)}", "", escaped(winner.words), ""]
        lines += [f"{fence}{winner.language}", printable(winner.code).rstrip(), fence, ""]
    if groups:
        lines += ["## Environment", "", *(f"- {escaped(line)}" for line in provenance(records)), ""]
    for test in tests:
        words = [f"- {escaped(line)}" for line in test.words()]
        lines += [f"## Range test of {escaped(test.name)}", "", *words, ""]
    problems = [f"- {escaped(r.folder.name)}: {escaped(r.problem)}" for r in records if r.problem]
    return "\n".join([*lines, *(["Damaged or left out:", "", *problems, ""] if problems else [])])
