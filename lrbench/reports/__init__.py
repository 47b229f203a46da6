"""What people read: the page, tables, figures, sentences, and code for their own training loop.

It shows the results of the analysis and the range test, and decides nothing. Training never imports it. It never
imports torch, and imports matplotlib only to draw.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrbench.reports.comparing import compare
    from lrbench.reports.decision import Decision, TargetDecision
    from lrbench.reports.escape import csv_cell
    from lrbench.reports.family_table import families_table, family_rows
    from lrbench.reports.figure_files import figure, save_figures
    from lrbench.reports.figures.coordinates import save_coordinates
    from lrbench.reports.figures.range_test import save_finding
    from lrbench.reports.figures.schedule import save_previews
    from lrbench.reports.name_columns import groups_table
    from lrbench.reports.notebook import figure_of, html_of, text_of
    from lrbench.reports.page import Update, page_template, page_title, page_update, whole_page
    from lrbench.reports.previewing import Preview, preview
    from lrbench.reports.reporting import Report, formatted_table, gather, report, summary
    from lrbench.reports.shown import Shown
    from lrbench.reports.sweep import save_summary, summary_words
    from lrbench.reports.tables import Column, Table
    from lrbench.reports.transfer import save_transfer, transfer_headings, transfer_rows

_HOMES = {
    "comparing": ("compare",),
    "decision": ("Decision", "TargetDecision"),
    "escape": ("csv_cell",),
    "family_table": ("families_table", "family_rows"),
    "figure_files": ("figure", "save_figures"),
    "figures.coordinates": ("save_coordinates",),
    "figures.range_test": ("save_finding",),
    "figures.schedule": ("save_previews",),
    "name_columns": ("groups_table",),
    "notebook": ("figure_of", "html_of", "text_of"),
    "page": ("Update", "page_template", "page_title", "page_update", "whole_page"),
    "previewing": ("Preview", "preview"),
    "reporting": ("Report", "gather", "report", "summary", "formatted_table"),
    "shown": ("Shown",),
    "sweep": ("save_summary", "summary_words"),
    "tables": ("Column", "Table"),
    "transfer": ("save_transfer", "transfer_headings", "transfer_rows"),
}
_LATER = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'lrbench.reports' has no attribute '{name}'")
    return getattr(importlib.import_module(f"lrbench.reports.{_LATER[name]}"), name)
