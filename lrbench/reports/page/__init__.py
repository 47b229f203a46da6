"""The report as one self-contained HTML page, made of parts that a live page replaces one by one.

The static page and the live one (`lrbench serve`) have the same parts and the same data. A part is HTML with an id;
data are plain values by key (`Update`). In a browser, `window.lrbench.update({order, parts, data})` shows what changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lrbench.reports.drawn import Drawn
from lrbench.reports.page.chart_data import charted
from lrbench.reports.page.html import static as static
from lrbench.reports.page.html import style as style
from lrbench.reports.page.html import template, whole
from lrbench.reports.page.html import template as page_template
from lrbench.reports.page.html import whole as whole_page
from lrbench.reports.page.parts import page_update, title_of
from lrbench.reports.page.parts import title_of as page_title
from lrbench.reports.page.update import Update
from lrbench.reports.shown import Shown
from lrbench.reports.winner import Winner

__all__ = [
    "Update",
    "charted",
    "page_template",
    "page_title",
    "page_update",
    "render",
    "static",
    "style",
    "template",
    "title_of",
    "whole",
    "whole_page",
]


def render(
    shown: Shown,
    drawn: Callable[[], Sequence[Drawn]],
    winner: Winner | None,
    charts: Callable[[], dict[str, Any]] | None = None,
) -> str:
    """Write the page. Text from run folders is escaped, and only the scripts named here can run.

    `drawn` returns the figures besides those that the page draws itself. It is called when all else is done. See
    `page_update` for `charts`.
    """
    return whole(page_update(shown, drawn, winner, charts), title=title_of(shown))
