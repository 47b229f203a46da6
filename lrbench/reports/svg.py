"""Figures as inline SVG, with real text and the colours of the page's theme."""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Iterator

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from lrbench.errors import printable
from lrbench.reports.figures.style import COLOURS, OTHERS, drawing, printed

THEMED = {
    **{colour.lower(): f"var(--c{index}, {colour})" for index, colour in enumerate(COLOURS) if colour != "#000000"},
    **dict.fromkeys(("#333333", "#444444", "#555555", "#666666"), "var(--soft)"),
    "#888888": "var(--axis)",
    OTHERS: "var(--others)",
    "#e4e4e4": "var(--line)",
    "#dde8f0": "var(--band)",
    "#a02020": "var(--bad)",
    "#ffffff": "var(--card)",
    "white": "var(--card)",
    "#000000": "var(--ink)",
}
"""The figures' colours → variables of the page's style sheet, which sets them for light, dark and print."""

_COLOUR = re.compile(r"(?<=[ :])(#[0-9a-fA-F]{6}|white)(?=[;\"])")
_ID = re.compile(r'(?<= )id="([^"]+)"')


def inline(figure: Figure, name: str, description: str) -> Markup:
    """Return a figure as an `<svg>` element in the page's colours, with a description for screen readers.

    The name must be unique in the page, since the ids inside depend on it.
    """
    with drawing(), mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"lrbench {name}"}), _transparent(figure):
        svg = printable(printed(figure, "svg").decode())
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\n?", "", body, flags=re.DOTALL)  # matplotlib repeats each text as a comment
    used = set(re.findall(r"[#]([\w.-]+)[\"')]", body))
    body = _ID.sub(lambda found: found.group(0) if found.group(1) in used else "", body)
    body = _COLOUR.sub(lambda found: THEMED.get(found.group(1).lower(), found.group(1)), body)
    return Markup(body.replace("<svg ", f'<svg role="img" aria-label="{html.escape(printable(description))}" ', 1))


@contextlib.contextmanager
def _transparent(figure: Figure) -> Iterator[None]:
    """Hide the backgrounds of a figure and its axes."""
    seen = [patch for patch in (figure.patch, *(axes.patch for axes in figure.axes)) if patch.get_visible()]
    for patch in seen:
        patch.set_visible(False)
    try:
        yield
    finally:
        for patch in seen:
            patch.set_visible(True)
