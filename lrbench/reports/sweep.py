"""The summary of a sweep: its families in sentences, in a figure and as CSV."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.analysis import DEFAULT_METRIC, Family, asked_of, at_best, doubts, family_words, mixed_code, task_of
from lrbench.components import in_words
from lrbench.errors import UsageError, counted
from lrbench.reports import confirmation
from lrbench.reports.escape import csv
from lrbench.reports.family_table import family_rows
from lrbench.reports.sections import Section, of_families
from lrbench.reports.sentences import code_mixed
from lrbench.runs import Status, listed
from lrbench.sweeps import Summary, SweepFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def summary_words(summary: Summary) -> list[str]:
    """Answer what the sweep asked, then say what is known of each line, and which runs are missing."""
    fresh, asked = summary.confirmation, sections(summary)
    lines = []
    for section in asked:
        first, *others = section.answer
        lines += [f"{section.question.task}: {first}" if len(asked) > 1 else first, *others]
    lines += [*confirmation.words(fresh), *confirmation.warnings(fresh)]
    lines += [note for section in asked for note in section.notes]
    several = len(summary.families) > 1
    lines += [family_words(family, summary.measure) for family in summary.families if several]
    lines += _without(summary)
    lines += [f"Zoom: {text}" for text in summary.zoomed]
    if summary.families and summary.measure.name != DEFAULT_METRIC:
        named = in_words(summary.measure.name)
        lines.append(f"No run has a {in_words(DEFAULT_METRIC)}, so runs are compared by {named}.")
    for section in asked:
        rows = [] if section.comparison is None else section.comparison.rows
        lines += [text for _, text in doubts([row.group for row in rows], summary.measure)]
    lines += code_mixed(mixed_code(summary.everything), pooled=False)
    runs = counted(len(summary.records), "run")
    if missing := summary.missing:
        have = "has" if missing == 1 else "have"
        told = f"{have} no result yet ({listed(summary.missing_as)}), so this may change"
        if _failed(summary.missing_as):
            told = f"failed; the same command tries {'it' if missing == 1 else 'them'} again"
        lines.append(f"{missing} of {runs} {told}.")
    if stacked := sum(record.environment.stacked for record in summary.records if record.result is not None):
        were = "was" if stacked == 1 else "were"
        lines.append(f"{stacked} of {runs} {were} trained in stacks, equal to single training up to rounding.")
    dropped = summary.dropped
    pruned = sum(record.status is Status.PRUNED for record in summary.records) - dropped
    for count, how in ((pruned, "pruned"), (dropped, "dropped by hand")):
        if count:
            were, their, has = (
                ("was", "its learning rate", "has") if count == 1 else ("were", "their learning rates", "have")
            )
            lines.append(f"{count} of {runs} {were} {how}; {their} {has} no mean.")
    return lines


def _without(summary: Summary) -> list[str]:
    """Say which lines have no ended run, in one sentence for those with the same counts."""
    alike: dict[tuple[str, bool], list[str]] = {}
    for series, counts in summary.without.items():
        alike.setdefault((listed(counts), _failed(counts)), []).append(series)
    return [
        f"{', '.join(names)}: no run has a result{'' if failed else ' yet'} ({told}{' each' * (len(names) > 1)})."
        for (told, failed), names in alike.items()
    ]


def _failed(counts: Mapping[str, int]) -> bool:
    """Whether all of these runs failed, so that none is on its way to a result."""
    return set(counts) == {Status.FAILED.value}


def sections(summary: Summary) -> list[Section]:
    """Return the questions of the sweep's lines, one for each task, and their answers."""
    tasks: dict[str, list[Family]] = {}
    for family in summary.families:
        tasks.setdefault(task_of(family.points[0].group), []).append(family)
    fresh = summary.confirmation
    found = []
    for name, families in tasks.items():
        groups = [p.group for line in summary.lines for p in line.points if task_of(p.group) == name]
        found.append(of_families(asked_of(families, groups, summary.measure), fresh if len(tasks) == 1 else None))
    return found


def save_summary(summary: Summary, folder: SweepFolder) -> list[Path]:
    """Write `summary.csv`; `confirmation.csv` with fresh seeds; and the figure if learning rates are known.

    Raises FolderError.
    """
    from lrbench.reports.figures.style import write_both

    table, figure = folder.save("summary.csv", csv(summary.rows())), drawn_summary(summary)
    fresh = summary.confirmation
    confirmed = (
        [] if fresh is None else [folder.save("confirmation.csv", csv(family_rows(at_best((), fresh.measure, fresh))))]
    )
    return [table, *confirmed, *([] if figure is None else write_both(figure, folder.path / "summary"))]


def drawn_summary(summary: Summary) -> Figure | None:
    """Draw the loss by learning rate, a line for each of the sweep's; None if they are unknown, or have no room."""
    from lrbench.reports.figures.sensitivity import draw

    drawn = [family for family in summary.families if all(point.lr is not None for point in family.points)]
    with contextlib.suppress(UsageError):  # no sheet has room for a learning rate of 1e300
        return draw(drawn, summary.measure) if drawn else None
    return None
