"""Text that fits: measured, wrapped, in legends, and at the ends of lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from lrbench.analysis import cut, shortened
from lrbench.errors import printable
from lrbench.reports.figures.sheet import Sheet
from lrbench.reports.figures.style import SOFT

HANDLE = 3.0  # length of a legend's line, in sizes of its text
LONGEST = 76  # characters of a legend's label; longer ones are shortened together


def width_of(text: str, size: str | float = "small", weight: str = "normal") -> float:
    """Return the width of the widest line of a text, in inches."""
    points = FontProperties(size=size).get_size_in_points()
    fonts = tuple(str(mpl.rcParams[key]) for key in _FONTS)
    return max(_measured(line, points, weight, fonts) for line in text.split("\n")) / 72


_FONTS: Sequence[Any] = ("font.family", "font.serif", "font.sans-serif", "font.monospace", "font.style", "font.stretch")


@lru_cache(1 << 14)  # breaking a long word into lines measures each of its beginnings, for each figure again
def _measured(line: str, points: float, weight: str, fonts: tuple[str, ...]) -> float:
    """Return the width of a line in points; `fonts` are the settings that choose the font."""
    font = FontProperties(size=points, weight=weight)
    return float(text_to_path.get_text_width_height_descent(line, font, ismath=False)[0])


def wrapped(text: str, room: float, size: str | float = "small", most: int = 3) -> str:
    """Break a text into at most so many lines that fit into `room` inches; a longer one loses its middle."""
    plain = " ".join(printable(text).split())
    while len(lines := _lines(plain, room, size)) > most:
        plain = cut(plain, max(4, int(0.94 * len(plain)) - 1))
    return "\n".join(lines)


def all_wrapped(texts: Sequence[str], room: float, size: str | float = "small", most: int = 3) -> list[str]:
    """Break texts into lines, as `wrapped` does; long ones are shortened together, so that they still differ."""
    found = [" ".join(printable(text).split()) for text in texts]
    longest = max(map(len, found), default=0)
    while longest > 8 and any(len(_lines(text, room, size)) > most for text in found):
        longest = int(0.93 * longest)
        found = shortened(texts, longest)
    return [wrapped(text, room, size, most) for text in found]


def _lines(text: str, room: float, size: str | float) -> list[str]:
    if width_of(text, size) <= room:  # as most do, so that they are measured once
        return [text]
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if width_of(longer, size) <= room:
            lines[-1] = longer
            continue
        lines += [""] if lines[-1] else []
        for character in word:  # a word that is too long for a line is broken where it must be
            if lines[-1] and width_of(lines[-1] + character, size) > room:
                lines.append("")
            lines[-1] += character
    return lines


def legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], *, least: int = 1) -> None:
    """Add a legend below the figure, in as many columns as fit, with labels wrapped to its width."""
    if not handles:
        return
    em = FontProperties(size=mpl.rcParams["legend.fontsize"]).get_size_in_points() / 72
    room = figure.get_figwidth() - 0.1
    beside, between = (HANDLE + 0.8) * em, 1.6 * em
    texts = all_wrapped(shortened(labels, LONGEST), 0.94 * (room - beside), "small", 2)
    widths = [beside + width_of(text) for text in texts]
    first = next((n for n in range(min(len(texts), 6), 0, -1) if _across(widths, n, between) <= room), 1)
    for columns in range(max(first, least), 0, -1):
        made = figure.legend(
            handles, texts, loc="outside lower left", ncols=columns, handlelength=HANDLE, borderaxespad=0.3,
            borderpad=0.1, columnspacing=1.6, labelspacing=0.35,
        )  # fmt: skip
        if columns == 1 or made.get_window_extent().width <= (room + 0.05) * figure.dpi:
            return
        made.remove()


def _across(widths: Sequence[float], columns: int, between: float) -> float:
    """Return the width of a legend whose entries fill column after column, as matplotlib fills them."""
    rows, extra = divmod(len(widths), columns)
    found, at = 0.0, 0
    for column in range(columns):
        count = rows + (column < extra)
        found += max(widths[at : at + count], default=0.0)
        at += count
    return found + between * (columns - 1)


def legend_height(figure: Figure) -> float:
    """Return the height of the figure's legends, in inches."""
    return sum(one.get_window_extent().height / figure.dpi + 0.06 for one in figure.legends)


def heading(figure: Figure, sheet: Sheet, title: str, note: str = "") -> float:
    """Add the title, or on an untitled sheet only the note, and return its height in inches."""
    said = f"{title}{': ' if note else ''}{note}" if sheet.titled else note
    if not said:
        return 0.0
    size, weight = ("large", "bold") if sheet.titled else ("small", "normal")
    text = wrapped(said, figure.get_figwidth() - 0.15, size)
    figure.suptitle(
        text, x=0.06 / figure.get_figwidth(), ha="left", fontsize=size, fontweight=weight,
        color="#000000" if sheet.titled else SOFT,
    )  # fmt: skip
    return (1 + text.count("\n")) * sheet.line * (1.45 if sheet.titled else 1.0) + 0.06


@dataclass(frozen=True)
class End:
    """A label at the right of the axes for a line that ends at `x`, `y`."""

    x: float
    y: float
    text: str
    colour: str


def ends_fit(figure: Figure, texts: Sequence[str], height: float, share: float = 0.34) -> bool:
    """Whether labels fit at the right of axes of a height, in inches."""
    line = 1.2 * FontProperties(size="small").get_size_in_points() / 72
    return (
        bool(texts)
        and max(map(width_of, texts)) <= share * figure.get_figwidth()
        and sum(line * (1 + text.count("\n")) for text in texts) <= 0.9 * height
    )


def label_ends(figure: Figure, axes: Axes, ends: Sequence[End]) -> None:
    """Write labels beside the ends of lines, apart from each other, each joined to its line. Lays the figure out."""
    notes: list[Any] = [
        axes.annotate(
            one.text, (one.x, one.y), xycoords="data", xytext=(1.0, 0.5), textcoords="axes fraction",
            fontsize="small", color=one.colour, va="center", ha="left", annotation_clip=False, linespacing=1.0,
        )
        for one in ends
    ]  # fmt: skip
    gap = 12 / 72 / figure.get_figwidth()
    for note in notes:
        note.set_position((1.0 + 2 * gap, 0.5))
    figure.draw_without_rendering()
    box = axes.get_window_extent()
    places = [(axes.transData.transform((one.x, one.y)) - (box.x0, box.y0)) / (box.width, box.height) for one in ends]
    sizes = [note.get_window_extent().height / box.height * 1.06 for note in notes]
    level = [float(min(max(place[1], 0.0), 1.0)) for place in places]
    offset = 12 / 72 * figure.dpi / box.width
    for note, one, place, was, at in zip(notes, ends, places, level, apart(level, sizes), strict=True):
        note.set_position((1.0 + offset, at))
        start = (min(float(place[0]), 1.0), was)
        axes.annotate(
            "", start, xycoords="axes fraction", xytext=(1.0 + 0.85 * offset, at), textcoords="axes fraction",
            annotation_clip=False, arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": one.colour, "alpha": 0.6,
                                               "shrinkA": 0, "shrinkB": 3},
        ).set_in_layout(False)  # fmt: skip


def apart(levels: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Return heights of labels between 0 and 1 that do not overlap, in the order of `levels` and near them.

    >>> apart([0.5, 0.5], [0.1, 0.1]), apart([0.2, 0.9], [0.1, 0.1])
    ([0.45, 0.55], [0.2, 0.9])
    """
    order = sorted(range(len(levels)), key=lambda i: levels[i])
    blocks: list[tuple[float, list[int]]] = []  # the middle of touching labels, and which they are
    for i in order:
        blocks.append((levels[i], [i]))
        while len(blocks) > 1 and _meet(blocks[-2], blocks[-1], sizes):
            (_, lower), (_, upper) = blocks[-2:]
            both = [*lower, *upper]
            blocks[-2:] = [(_middle(both, levels, sizes), both)]
    placed = dict[int, float]()
    for middle, members in blocks:
        at = middle - sum(sizes[i] for i in members) / 2
        for i in members:
            placed[i] = at + sizes[i] / 2
            at += sizes[i]
    return [round(placed[i], 9) for i in range(len(levels))]


def _meet(lower: tuple[float, list[int]], upper: tuple[float, list[int]], sizes: Sequence[float]) -> bool:
    half = (sum(sizes[i] for i in lower[1]) + sum(sizes[i] for i in upper[1])) / 2
    return upper[0] - lower[0] < half - 1e-12


def _middle(members: Sequence[int], levels: Sequence[float], sizes: Sequence[float]) -> float:
    """Return where touching labels are nearest to their levels, inside of the axes as far as possible."""
    half = sum(sizes[i] for i in members) / 2
    at, wanted = 0.0, 0.0
    for i in members:
        wanted += levels[i] - (at + sizes[i] / 2 - half)
        at += sizes[i]
    return min(max(wanted / len(members), half), max(1.0 - half, half))


def in_the_middle(axes: Axes, text: str, **look: Any) -> None:
    """Write a text into empty axes."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", **look)


def clear_of(axes: Axes) -> None:
    """Hide the frame of axes that only hold text or bars."""
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(which="both", length=0)
    axes.grid(visible=False)
