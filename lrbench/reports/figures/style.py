"""The style of all figures: colours, lines and fonts."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from lrbench.errors import FolderError, printable
from lrbench.runs import write_file

# Okabe and Ito's colours, which colour-blind readers can tell apart, without yellow, which is too light on white.
# With 7 colours, 4 dashes and a marker at the end, 28 lines differ even in greyscale.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
MARKERS = "osD^v<>P*X"
VALIDATION, TRAINING, RATE = "#0072B2", "#D55E00", "#444444"
OTHERS = "#c4c4c4"
MOST_POINTS = 600
"""Maximum number of points in a line."""

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": "#333333",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "lrbench",
    "text.parse_math": False,  # names may contain $
}


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Draw figures in this style; characters that the font lacks become boxes, without a warning."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
        yield


@dataclass(frozen=True)
class Line:
    """The look of a group in the overlay and the legend."""

    colour: str
    dash: str | tuple[int, tuple[float, ...]]
    marker: str


def line_of(index: int) -> Line:
    """Return the look of the index-th group; the first 28 all differ."""
    count = len(COLOURS)
    return Line(COLOURS[index % count], DASHES[index % len(DASHES)], MARKERS[index % len(MARKERS)])


@drawing()
def write(figure: Figure, path: Path) -> Path:
    """Save a figure as PNG or SVG, the same bytes every time, and return the path. Raises FolderError."""
    buffer, kind = io.BytesIO(), path.suffix[1:]
    try:
        figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    except ValueError as error:  # no such format
        raise FolderError(f"cannot write {path}: {error}") from error
    figure.set_layout_engine(None)  # it is laid out now, and need not be again for another file
    content = buffer.getvalue()
    if kind == "svg":  # text is in it, too: in comments
        content = printable(content.decode()).encode()
    return write_file(path, content)


def write_both(figure: Figure, stem: Path) -> list[Path]:
    """Save a figure as PNG and as SVG, and return the paths."""
    return [write(figure, stem.with_suffix(suffix)) for suffix in (".png", ".svg")]
