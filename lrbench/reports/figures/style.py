"""The style of all figures: colours, lines and fonts."""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.backend_bases import get_registered_canvas_class
from matplotlib.figure import Figure

from lrbench.errors import FolderError, printable
from lrbench.runs import write_file

# Okabe and Ito's colours without yellow, which is too light on white; then five darker ones, chosen for the largest
# least distance (OKLab) as seen with normal and with red- and green-blind sight. The first five are of different
# hues, and neighbours differ more than others. 12 colours do not repeat; with 4 dashes and a marker at
# the end, 48 lines differ, also in greyscale.
COLOURS = (
    "#0072B2", "#D55E00", "#CC79A7", "#000000", "#009E73", "#56B4E9", "#E69F00",
    "#01665E", "#4B0082", "#661100", "#5E35B1", "#B2182B",
)  # fmt: skip
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
MARKERS = "osD^v<>P*X"
VALIDATION, TRAINING, RATE = "#0072B2", "#D55E00", "#444444"
SOFT, INK, BAD = "#555555", "#333333", "#a02020"
OTHERS = "#c4c4c4"
DPI = 150  # of PNG files, and of the layout, so that text is measured once
_UNSAID = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}  # so that a figure has the same bytes every time
MOST_POINTS = 600
"""Maximum number of points in a line."""

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "font.family": ["DejaVu Sans"],
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "axes.labelsize": "medium",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": "small",
    "ytick.labelsize": "small",
    "legend.fontsize": "small",
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
}
"""What a style of the user's may change. Sizes of text are relative to `font.size`."""
FIXED: dict[Any, Any] = {
    "figure.dpi": DPI,
    "savefig.bbox": None,  # a figure has the size that was asked for
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
    "text.usetex": False,  # names are not TeX
    "text.parse_math": False,  # and may contain $
    "svg.hashsalt": "lrbench",
}

_lock = threading.RLock()  # matplotlib's settings are those of the process
_depth = 0


@contextlib.contextmanager
def drawing(changes: Mapping[Any, Any] | None = None) -> Iterator[None]:
    """Draw figures in this style and its changes; inside of another `drawing`, in that one's.

    Characters that the font lacks become boxes, without a warning.
    """
    global _depth
    with _lock:
        if _depth and changes is None:
            yield
            return
        _depth += 1
        try:
            with mpl.rc_context({**STYLE, **(changes or {}), **FIXED}), warnings.catch_warnings():
                warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
                yield
        finally:
            _depth -= 1


@dataclass(frozen=True)
class Line:
    """The look of a group in the overlay and the legend."""

    colour: str
    dash: str | tuple[int, tuple[float, ...]]
    marker: str


def line_of(index: int) -> Line:
    """Return the look of the index-th group; the first 48 all differ, neighbours in colour, dash and marker."""
    colours = mpl.rcParams["axes.prop_cycle"].by_key().get("color", COLOURS) if _depth else COLOURS
    count = len(colours)
    return Line(colours[index % count], DASHES[(index + index // count) % len(DASHES)], MARKERS[index % len(MARKERS)])


def wide(factor: float = 1.0) -> float:
    """Return the width of a line, in points: a multiple of the style's."""
    return factor * float(mpl.rcParams["lines.linewidth"]) / 1.5


def large(factor: float = 1.0) -> float:
    """Return the size of a marker, in points: a multiple of the style's."""
    return factor * float(mpl.rcParams["lines.markersize"]) / 4.5


def write(figure: Figure, path: Path, *, dpi: float = DPI, changes: Mapping[str, Any] | None = None) -> Path:
    """Save a figure in the format of the path's suffix, the same bytes every time, and return the path.

    Raises FolderError.
    """
    kind = path.suffix[1:].lower()
    with drawing(changes):
        try:
            content = printed(figure, kind, dpi)
        except ValueError as error:  # no such format
            raise FolderError(f"cannot write {path}: {error}") from error
    figure.set_layout_engine(None)  # it is laid out now, and need not be again for another file
    if kind == "svg":  # text is in it, too: in comments
        content = printable(content.decode()).encode()
    return write_file(path, content)


def printed(figure: Figure, kind: str, dpi: float = DPI) -> bytes:
    """Return a figure in a format: the bytes of `savefig`, which draws it twice.

    Raises ValueError if the format is unknown.
    """
    made = get_registered_canvas_class(kind)
    if made is None:
        raise ValueError(f"{kind!r} is not a format of figures")
    canvas = figure.canvas if type(figure.canvas) is made else made(figure)  # which knows how wide texts are
    buffer, before = io.BytesIO(), figure.dpi
    options: dict[str, Any] = {"png": {"pil_kwargs": {"compress_level": 4}}}.get(kind, {"metadata": _UNSAID.get(kind)})
    figure.set_dpi(dpi)
    try:
        getattr(canvas, f"print_{kind}")(buffer, **options)
    finally:
        figure.set_dpi(before)
    return buffer.getvalue()


def write_both(figure: Figure, stem: Path) -> list[Path]:
    """Save a figure as PNG and as SVG, and return the paths."""
    return [write(figure, stem.with_suffix(suffix)) for suffix in (".png", ".svg")]
