"""Figures of run folders in the sizes, fonts and formats of papers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.errors import UsageError, choices, option
from lrbench.reports.figures.kinds import KINDS, draw
from lrbench.reports.figures.sheet import PAGE, Sheet
from lrbench.reports.figures.style import write
from lrbench.reports.reporting import gather
from lrbench.types import NOTHING, NUMBER, PATH, PATHS, SWITCH, TEXT, TEXTS, Paths, arguments, paths_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png")
ALL = "all"
DPI = 300


@arguments(
    kind=TEXT,
    runs=PATHS,
    out=PATH | NOTHING,
    width=NUMBER | TEXT,
    height=NUMBER | TEXT | NOTHING,
    font=TEXT | NOTHING,
    title=SWITCH,
    metric=TEXT | NOTHING,
    baseline=TEXT | NOTHING,
    filters=TEXTS,
    target=TEXT | NOTHING,
    axis=TEXT | NOTHING,
    pool_code=SWITCH,
)
def figure(
    kind: str,
    runs: Paths = "runs",
    *,
    out: str | Path | None = None,
    width: float | str = PAGE,
    height: float | str | None = None,
    font: str | None = None,
    style: str | Path | Sequence[str | Path] | None = None,
    title: bool = False,
    dpi: float = DPI,
    metric: str | None = None,
    baseline: str | None = None,
    filters: Sequence[str] = (),
    target: str | None = None,
    axis: str | None = None,
    pool_code: bool = False,
) -> Figure:
    """Draw a figure of runs as a matplotlib Figure, which belongs to no window.

    Args:
        kind: `curves`, `rates`, `heatmap`, `lengths`, `schedules`, `seeds`, `target`, `arrivals`, `range-test`, `run`
            or `overview`.
        runs: a run folder or a folder that contains some, or a list of them.
        out: a .pdf, .svg or .png file to write, in exactly this size and with its fonts.
        width: inches, or a text such as `8.4cm`, `column` (3.3 inches) or `page` (6.8 inches).
        height: the same; by default what suits the content.
        font: the name of an installed font, or a font file.
        style: a matplotlib style by name or file, or several, over lrbench's own.
        title: whether the figure has a title.
        dpi: dots per inch, of a .png file.
        metric: metric to show, a column of `load_runs`; `val_loss` by default.
        baseline: label or name of the group to compare with; the best one by default.
        filters: patterns of names, or `key=value` of configs; runs must match all.
        target: `val_accuracy=0.99`, for `target` and `arrivals`.
        axis: the swept key beside the learning rate, such as `batch_size`, for `heatmap` and `lengths`.
        pool_code: take seeds that were trained with different versions of imported code together.

    Raises:
        UsageError: there is nothing to draw, or an argument is not usable.
        FolderError: `out` can't be written.
    """
    (one,) = kinds_named(kind, several=False)
    sheet = Sheet.of(width, height, font, style, title=title)
    path = None if out is None else _file(Path(out), None, named=False)
    shown = gather(
        paths_in(runs), metric=metric, baseline=baseline, filters=filters, target=target, pool_code=pool_code
    )
    made = draw(one, shown, sheet, axis)
    if path is not None:
        write(made, path, dpi=checked_dpi(dpi), changes=sheet.changes)
    return made


def save_figures(
    kind: str, runs: Sequence[Path], out: Path | None, form: str | None, look: Mapping[str, Any], *, dpi: float = DPI,
    axis: str | None = None, **asked: Any,
) -> tuple[list[Path], dict[str, str]]:  # fmt: skip
    """Draw figures of one or several kinds, `curves,rates` or `all`, from one reading of the runs.

    Args:
        kind: the kinds.
        runs: run folders, or folders that contain them.
        out: the file; for several kinds a folder. By default, files named by their kind here.
        form: pdf, svg or png; by default that of `out`, or else pdf.
        look: size and style, the arguments of `Sheet.of`.
        dpi: dots per inch of a PNG.
        axis: the swept key.
        asked: the other arguments of `gather`.

    Returns:
        The files, and of `all` the kinds without a figure, with the reason.

    Raises:
        UsageError, FolderError.
    """
    kinds, sheet = kinds_named(kind, several=True), Sheet.of(**look)
    if form is not None and form not in FORMATS:
        raise UsageError(f"{option('--format')} {form}: no such format; {choices(form, FORMATS)}")
    several = len(kinds) > 1
    if several and out is not None and (out.is_file() or out.suffix[1:].lower() in FORMATS):
        raise UsageError(f"{option('--out')} {out}: {len(kinds)} figures need a folder")
    folder = (out or Path()) if several else (out if out is not None and out.is_dir() else None)
    suffix, resolution = form or FORMATS[0], checked_dpi(dpi)
    named = {one: Path(f"{one}.{suffix}") if folder is None else folder / f"{one}.{suffix}" for one in kinds}
    if not several and out is not None and folder is None:
        named = {kinds[0]: _file(out, form)}
    endings = {path.suffix[1:].lower() for path in named.values()}
    given = {
        option("--axis"): axis,
        option("--target"): asked.get("target"),
        option("--svg-text"): look.get("svg_text"),
    }
    _check_used(kinds, endings, {**given, option("--dpi"): dpi != DPI})
    shown = gather(runs, **asked)
    files, without = [], {}
    for one in kinds:
        try:
            made = draw(one, shown, sheet, axis)
        except UsageError as error:
            if kind != ALL:
                raise
            without[one] = str(error)
            continue
        files.append(write(made, named[one], dpi=resolution, changes=sheet.changes))
    if not files:
        raise UsageError("there is nothing to draw: " + "; ".join(f"{name}: {why}" for name, why in without.items()))
    return files, without


def _check_used(kinds: Sequence[str], endings: Iterable[str], given: Mapping[str, Any]) -> None:
    """Raise UsageError for an option that no figure uses."""
    uses = {option("--axis"): ("heatmap", "lengths"), option("--target"): ("target", "arrivals")}
    formats = {option("--svg-text"): "svg", option("--dpi"): "png"}
    for name, value in given.items():
        used = uses.get(name, ()) or (formats[name],)
        if value and not {*used} & {*kinds, *endings}:
            what = f"figures of {' and '.join(used)}" if name in uses else f"files that end in .{formats[name]}"
            raise UsageError(f"{name} is for {what}, and none is asked for; leave it out")


def kinds_named(text: str, *, several: bool) -> list[str]:
    """Return the kinds named in a text such as `curves,rates` or `all`. Raises UsageError."""
    if several and text == ALL:
        return list(KINDS)
    found = list(dict.fromkeys(part.strip() for part in text.split(","))) if several else [text]
    if several and ALL in found:
        raise UsageError(f"{ALL} stands alone, or name the kinds (got {text!r:.80})")
    for one in found:
        if one not in KINDS:
            known = [*KINDS, ALL] if several else KINDS
            raise UsageError(f"no kind of figure is called {one!r:.40}; {choices(one, known)}")
    return found


def checked_dpi(dpi: float) -> float:
    """Return a resolution in dots per inch. Raises UsageError."""
    if not 10 <= dpi <= 2400:
        raise UsageError(f"{option('--dpi')} {dpi:g}: must be between 10 and 2400")
    return dpi


def _file(out: Path, form: str | None, *, named: bool = True) -> Path:
    """Return the file to write, whose suffix is the format, unless it may be `named`. Raises UsageError."""
    suffix = out.suffix[1:].lower()
    if out.is_dir():
        raise UsageError(f"{option('--out')} {out} is a folder; name a file")
    if form is None and suffix not in FORMATS:
        endings = ", ".join(f".{name}" for name in FORMATS)
        instead = f", or give {option('--format')}" if named else ""
        raise UsageError(f"{option('--out')} {out}: must end in {endings}{instead}")
    if form is not None and suffix in FORMATS and suffix != form:
        raise UsageError(f"{option('--out')} {out}: {option('--format')} {form} asks for another format; leave one out")
    return out if suffix in FORMATS else out.with_name(f"{out.name}.{form}")
