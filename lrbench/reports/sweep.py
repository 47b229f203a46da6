"""The summary of a sweep: its families in sentences, in a figure and as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.analysis import DEFAULT_METRIC, at_best, doubts, family_words, mixed_code
from lrbench.components import in_words
from lrbench.reports import confirmation
from lrbench.reports.escape import csv
from lrbench.reports.family_table import family_rows
from lrbench.reports.sentences import code_mixed, sentences
from lrbench.runs import Status
from lrbench.sweeps import Summary, SweepFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def summary_words(summary: Summary) -> list[str]:
    """Compare the lines by fresh seeds, if any, then describe each one's best learning rate, and missing runs."""
    fresh = summary.confirmation
    lines = [*confirmation.words(fresh), *confirmation.warnings(fresh)]
    lines += [family_words(family, summary.measure) for family in summary.families]
    lines += [f"{series}: no run has ended yet." for series in summary.without]
    lines += [f"Zoom: {text}" for text in summary.zoomed]
    if summary.families and summary.measure.name != DEFAULT_METRIC:
        named = in_words(summary.measure.name)
        lines.insert(0, f"No run has a {in_words(DEFAULT_METRIC)}, so runs are compared by {named}.")
    settled = fresh is not None and fresh.comparisons
    lines += [] if summary.missing or settled else _compared(summary)
    lines += code_mixed(mixed_code(summary.everything), pooled=False)
    total, missing = len(summary.records), summary.missing
    if missing:
        have = "has" if missing == 1 else "have"
        lines.append(f"{missing} of {total} runs {have} no result yet, so this may change.")
    dropped = summary.dropped
    pruned = sum(record.status is Status.PRUNED for record in summary.records) - dropped
    for count, how in ((pruned, "pruned"), (dropped, "dropped by hand")):
        if count:
            were, their, has = (
                ("was", "its learning rate", "has") if count == 1 else ("were", "their learning rates", "have")
            )
            lines.append(f"{count} of {total} runs {were} {how}; {their} {has} no mean.")
    return lines


def _compared(summary: Summary) -> list[str]:
    """Compare the lines at their best learning rates, if they have the same data and loss."""
    lines: list[str] = []
    found = at_best(summary.families, summary.measure)
    for task, compared in zip(found.tasks, found.comparisons, strict=True):
        on = f" on {task}" if task else ""
        lines += [f"Each line at its best learning rate, compared{on}:", *sentences(compared)]
        lines += [text for _, text in doubts([row.group for row in compared.rows], compared.measure)]
    return lines


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
    """Draw the loss by learning rate, a line for each of the sweep's; None if no learning rates are known."""
    from lrbench.reports.figures.sensitivity import draw

    drawn = [family for family in summary.families if all(point.lr is not None for point in family.points)]
    return draw(drawn, summary.measure) if drawn else None
