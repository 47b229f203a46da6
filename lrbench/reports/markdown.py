"""The report as Markdown, with its figures in files next to it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lrbench.errors import printable
from lrbench.reports import confirmation, formats
from lrbench.reports.drawn import Drawn
from lrbench.reports.escape import markdown as escaped
from lrbench.reports.family_table import families_table
from lrbench.reports.headline import headline
from lrbench.reports.name_columns import by_keys
from lrbench.reports.page.details import curves, provenance
from lrbench.reports.results import heading, results
from lrbench.reports.shown import Shown, summary
from lrbench.reports.winner import Winner


def markdown(shown: Shown, drawn: Sequence[Drawn], winner: Winner | None) -> str:
    """Write the report; `drawn` are the figures besides the main one."""
    groups, records, tests = shown.groups, shown.records, shown.tests
    asked = shown.sections
    whole = asked[0].title if len(asked) == 1 else "Runs of several tasks" if asked else "Runs"
    lines = [f"# {escaped(whole)}", "", *map(escaped, summary(shown)), ""]
    lines += [line for warning in shown.warnings for line in (f"**{escaped(warning)}**", "")]
    for found in shown.tuned:
        fresh = found.fresh is not None
        note = [escaped(confirmation.NOTE), ""] if fresh else []
        lines += [
            "## Fresh seeds" if fresh else "## Families",
            "",
            formats.markdown(families_table(found)),
            *note,
        ]
    notes = [f"- {escaped(note)}" for section in asked for note in section.notes]
    lines += ["## Notes", "", *notes, ""] if notes else []
    if groups:
        lines += [f"![{headline(groups).words}](report.png)", ""]
        lines += _tables(shown)
    for one in drawn:
        title = escaped(one.heading)
        lines += [f"## {title}", "", f"![{title}]({one.name}.png)", ""]
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


def _tables(shown: Shown) -> list[str]:
    """Return a table of all groups of each task, with how they were compared."""
    lines, found = [], results(shown)
    for one in found:
        lines += [] if len(found) == 1 else [f"## {escaped(heading(one, alone=False))}", ""]
        lines += [formats.markdown(one.table if shown.asked else by_keys(one.table))]
        lines += [line for text in (one.note, one.method) if text for line in (escaped(text), "")]
    return lines
