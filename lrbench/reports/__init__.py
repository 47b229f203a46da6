"""What people read: the page, tables, figures, sentences, and code for their own training loop.

It shows the results of the analysis and the range test, and decides nothing. Training never imports it. It never
imports torch, and imports matplotlib only to draw.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lrbench.reports.comparing import compare
from lrbench.reports.decision import Decision, TargetDecision
from lrbench.reports.escape import csv_cell
from lrbench.reports.family_table import families_table, family_rows
from lrbench.reports.name_columns import groups_table
from lrbench.reports.reporting import Report, gather, report, summary
from lrbench.reports.reporting import table as formatted_table
from lrbench.reports.shown import Shown
from lrbench.reports.tables import Column, Table

if TYPE_CHECKING:
    from lrbench.reports.figure_files import figure, save_figures
    from lrbench.reports.figures.coordinates import save_coordinates
    from lrbench.reports.figures.range_test import save_finding
    from lrbench.reports.figures.schedule import save_previews
    from lrbench.reports.notebook import figure_of, html_of, text_of
    from lrbench.reports.page import Update, page_template, page_title, page_update, whole_page
    from lrbench.reports.previewing import Preview, preview
    from lrbench.reports.sweep import save_summary, summary_words
    from lrbench.reports.transfer import save_transfer, transfer_headings, transfer_rows

_LATER = {
    "figure": "lrbench.reports.figure_files",
    "save_figures": "lrbench.reports.figure_files",
    "figure_of": "lrbench.reports.notebook",
    "html_of": "lrbench.reports.notebook",
    "text_of": "lrbench.reports.notebook",
    "Update": "lrbench.reports.page",
    "page_template": "lrbench.reports.page",
    "page_title": "lrbench.reports.page",
    "page_update": "lrbench.reports.page",
    "whole_page": "lrbench.reports.page",
    "Preview": "lrbench.reports.previewing",
    "preview": "lrbench.reports.previewing",
    "save_summary": "lrbench.reports.sweep",
    "save_transfer": "lrbench.reports.transfer",
    "transfer_headings": "lrbench.reports.transfer",
    "transfer_rows": "lrbench.reports.transfer",
    "summary_words": "lrbench.reports.sweep",
    "save_coordinates": "lrbench.reports.figures.coordinates",
    "save_finding": "lrbench.reports.figures.range_test",
    "save_previews": "lrbench.reports.figures.schedule",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'lrbench.reports' has no attribute '{name}'")
    return getattr(importlib.import_module(_LATER[name]), name)
