"""A figure of a report that has been drawn. It is apart from drawing, so that a page needs no matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup


@dataclass(frozen=True)
class Drawn:
    """A figure of a report: the name of its files, what it shows, in sentences, and its picture in the page."""

    name: str
    heading: str
    picture: Markup
    files: Sequence[Path]
    words: Sequence[str] = ()
