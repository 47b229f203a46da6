"""What a figure is drawn on: its exact size, fonts and style."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.style import library

from lrbench.errors import UsageError, option, printable
from lrbench.reports.figures.style import FIXED, STYLE, drawing

COLUMN, PAGE = 3.3, 6.8
"""Widths of a figure in one column and across two columns of a paper, in inches."""
NARROW = 5.0
"""Below this width, in inches, figures are arranged for a column."""
_UNITS = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72.27, "bp": 1 / 72, "px": 1 / 96}
_NAMED = {"column": COLUMN, "page": PAGE}
LEAST, MOST = 1.0, 60.0


def inches(value: float | str, called: str) -> float:
    """Return a length in inches: a number of inches, `8.4cm`, `84mm`, `240pt` (TeX's points), `column` or `page`.

    Raises UsageError, which calls it so.

    >>> inches("2.54 cm", "--width"), inches(3.3, "width"), inches("column", "width")
    (1.0, 3.3, 3.3)
    """
    text = str(value).strip().lower()
    match = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*([a-z]*)", text)
    if text in _NAMED:
        return _NAMED[text]
    if not match or (match[2] or "in") not in _UNITS:
        wanted = f"a length such as 3.3in, 8.4cm, 84mm or 240pt, column ({COLUMN}in) or page ({PAGE}in)"
        raise UsageError(f"{called} {printable(text)[:40]}: must be {wanted}")
    found = round(float(match[1]) * _UNITS[match[2] or "in"], 6)
    if not LEAST <= found <= MOST:
        raise UsageError(f"{called} {text}: must be between {LEAST:g} and {MOST:g} inches (it is {found:.3g})")
    return found


@dataclass(frozen=True)
class Sheet:
    """The size and style of a figure.

    Attributes:
        width: in inches; None for what suits the content, on a screen.
        height: in inches; None for what suits the content.
        titled: whether the figure has a title; figures in papers have captions.
        changes: settings of matplotlib over those of `STYLE`.
    """

    width: float | None = None
    height: float | None = None
    titled: bool = True
    changes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        width: float | str = PAGE,
        height: float | str | None = None,
        font: str | None = None,
        style: str | Path | Sequence[str | Path] | None = None,
        *,
        title: bool = False,
        svg_text: bool = False,
    ) -> Sheet:
        """Check what a user asked for. Raises UsageError."""
        across = inches(width, option("--width"))
        down = None if height is None else inches(height, option("--height"))
        files = [style] if isinstance(style, str | Path) else list(style or ())
        changes: dict[str, Any] = {"font.size": 7.5 if across < NARROW else 8.5}
        if across < NARROW:
            changes |= {"lines.linewidth": 1.2, "lines.markersize": 3.6, "axes.linewidth": 0.6, "xtick.major.size": 2.5,
                        "ytick.major.size": 2.5, "xtick.major.width": 0.6, "ytick.major.width": 0.6}  # fmt: skip
        for one in files:
            changes |= read_style(one)
        if font is not None:
            changes |= {"font.family": [font_named(font), "DejaVu Sans"]}
        if svg_text:
            changes["svg.fonttype"] = "none"
        return cls(across, down, title, changes)

    def drawing(self) -> AbstractContextManager[None]:
        """Draw in this style."""
        return drawing(self.changes)

    def across(self, natural: float) -> float:
        """Return the width in inches, that on a screen if none was asked for."""
        return natural if self.width is None else self.width

    @property
    def narrow(self) -> bool:
        """Whether the figure is for a column."""
        return self.width is not None and self.width < NARROW

    @cached_property
    def line(self) -> float:
        """The height of a line of small text, in inches."""
        size = {**STYLE, **self.changes}["font.size"]
        return 1.2 * 0.833 * float(size) / 72


SCREEN = Sheet()
"""A figure of the report."""


def read_style(style: str | Path) -> dict[str, Any]:
    """Return the settings of a style: a name that matplotlib has, or a file. Raises UsageError."""
    text = str(style)
    if text in ("default", "classic") or text in library:
        known = mpl.rcParamsDefault if text == "default" else library.get(text) or _file(Path(_classic()), text)
    elif Path(text).is_file():
        known = _file(Path(text), text)
    else:
        near = get_close_matches(text, library, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(f"{option('--style')} {text}: there is no such file or style; {_STYLES}{hint}")
    return {key: value for key, value in known.items() if key not in FIXED and not key.startswith(_OURS)}


_OURS = ("backend", "interactive", "toolbar", "figure.figsize", "savefig.", "text.latex", "pgf.")


def _classic() -> str:
    return str(Path(mpl.get_data_path()) / "stylelib" / "classic.mplstyle")


class _Heard(logging.Handler):
    """Keeps what matplotlib logs of a style file, instead of printing it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self.said.append(record.getMessage())


def _file(path: Path, name: str) -> dict[str, Any]:
    """Read a style file; a line that matplotlib does not take is an error."""
    heard, logger = _Heard(), logging.getLogger("matplotlib")
    before, logger.propagate = logger.propagate, False
    logger.addHandler(heard)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found: dict[Any, Any] = dict(mpl.rc_params_from_file(path, use_default_template=False))
        except (OSError, ValueError, UnicodeDecodeError) as error:
            told = "it is not text" if isinstance(error, UnicodeDecodeError) else " ".join(str(error).split())
            raise UsageError(f"{option('--style')} {name}: {_STYLES} ({told})") from None
        finally:
            logger.removeHandler(heard)
            logger.propagate = before
    wrong = [*heard.said, *(str(one.message) for one in caught)]
    if wrong or not found:
        told = wrong[0].strip().splitlines()[0] if wrong else "it has no settings"
        raise UsageError(f"{option('--style')} {name}: {_STYLES} ({told})")
    return found


_FONTS = "it must be the name of an installed font, such as DejaVu Serif, or a .ttf, .otf or .ttc file"
_STYLES = "it must be a matplotlib style's name, such as ggplot, or a style file with lines such as `axes.grid: True`"


def font_named(font: str) -> str:
    """Return the family of a font that is there, or of a font file. Raises UsageError and names similar fonts."""
    path = Path(font)
    if path.suffix.lower() in (".ttf", ".otf", ".ttc"):
        if not path.is_file():
            raise UsageError(f"{option('--font')} {font}: there is no such file; {_FONTS}")
        try:
            font_manager.fontManager.addfont(path)
            return font_manager.FontProperties(fname=str(path)).get_name()
        except (OSError, RuntimeError) as error:
            raise UsageError(f"{option('--font')} {font}: it is damaged or no font; {_FONTS} ({error})") from None
    if path.is_file() or path.is_dir() or len(path.parts) > 1:
        raise UsageError(f"{option('--font')} {font}: {_FONTS}")
    known = sorted(set(font_manager.fontManager.get_font_names()))
    same = [name for name in known if name.lower() == font.strip().lower()]
    if same:
        return same[0]
    words = [w for w in re.split(r"\W+", font.lower()) if len(w) > 3]
    near = get_close_matches(font, known, n=3, cutoff=0.5)
    near += [name for name in known if name not in near and any(word in name.lower() for word in words)][:3]
    listed = ", ".join(near[:5] or known[:5])
    raise UsageError(f"{option('--font')} {font}: not installed; installed are {listed}, …; a .ttf file does as well")
