"""Figures as SVG that stands in a page: its text is text, and its colours are those of the page's theme."""

from __future__ import annotations

import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure

from lrbench.reports.figures.style import COLOURS, OTHERS, drawing

THEMED = {
    **{colour.lower(): f"var(--c{index})" for index, colour in enumerate(COLOURS) if colour != "#000000"},
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
"""What the figures' colours are called in the page, whose style sheet says what they are in light, dark and print."""

_COLOUR = re.compile(r"(?<=[ :])(#[0-9a-fA-F]{6}|white)(?=[;\"])")
_ID = re.compile(r'(?<= )id="([^"]+)"')


def inline(figure: Figure, name: str, description: str) -> str:
    """An `<svg>` element.

    Args:
        figure: what to draw.
        name: a word that no other figure of the page has: it is part of the ids inside.
        description: what a screen reader says in place of it; escaped here.
    """
    buffer = io.StringIO()
    with drawing(), mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"lrbench {name}"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return themed(buffer.getvalue(), description)


def themed(svg: str, description: str) -> str:
    """The `<svg>` element of an SVG file that matplotlib wrote, in the page's colours."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\n?", "", body, flags=re.DOTALL)  # each text again as a comment
    used = set(re.findall(r"[#]([\w.-]+)[\"')]", body))
    body = _ID.sub(lambda found: found.group(0) if found.group(1) in used else "", body)
    body = _COLOUR.sub(lambda found: THEMED.get(found.group(1).lower(), found.group(1)), body)
    label = description.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return body.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
