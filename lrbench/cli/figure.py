"""The command `lrbench figure`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lrbench.cli.options import Baseline, Debug, Filters, Metric, PoolCode, Runs, RunsGiven, option
from lrbench.cli.terminal import Terminal, inline


def figure(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="curves, rates, heatmap, lengths, schedules, seeds, target, arrivals, range-test, run, overview;"
            " several separated by commas, or all.",
            show_default=False,
        ),
    ],
    runs_given: RunsGiven = None,
    out: Annotated[
        Path | None, option("File to write; for several kinds a folder. Default: KIND.pdf here.", metavar="FILE")
    ] = None,
    form: Annotated[
        str | None, option("pdf, svg or png. Default: what --out ends in, else pdf.", "--format", metavar="FORM")
    ] = None,
    width: Annotated[
        str, option("Exact width: 3.3in, 8.4cm, 84mm, 240pt, column (3.3in) or page (6.8in).", metavar="LENGTH")
    ] = "page",
    height: Annotated[str | None, option("Height. Default: as the content needs.", metavar="LENGTH")] = None,
    font: Annotated[str | None, option("An installed font, or a .ttf or .otf file.", metavar="NAME")] = None,
    style: Annotated[
        list[str] | None, option("A matplotlib style on top of lrbench's: name or file; repeatable.", metavar="STYLE")
    ] = None,
    title: Annotated[bool, option("Give the figure a title; papers use captions instead.", "--title")] = False,
    svg_text: Annotated[
        bool, option("Keep text in an SVG as text, which needs the font installed. Default: outlines.", "--svg-text")
    ] = False,
    dpi: Annotated[int, option("Dots per inch of a PNG.")] = 300,
    metric: Metric = None,
    baseline: Baseline = None,
    filters: Filters = None,
    target: Annotated[
        str | None, option("For target and arrivals: the target, such as val_accuracy=0.99.", metavar="METRIC=X")
    ] = None,
    axis: Annotated[
        str | None, option("For heatmap and lengths: the swept key besides the learning rate.", metavar="KEY")
    ] = None,
    pool_code: PoolCode = False,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Draw a figure for a paper, in its exact size, with its fonts.

    [dim]lrbench figure rates --width 3.3in --font "DejaVu Serif" --out rates.pdf[/]
    """
    from lrbench.cli import tables
    from lrbench.reports import save_figures

    console = Terminal()
    look = {"width": width, "height": height, "font": font, "style": style, "title": title, "svg_text": svg_text}
    files, without = save_figures(
        kind, runs_given or [runs], out, form, look, dpi=dpi, axis=axis, metric=metric, baseline=baseline,
        filters=filters or (), target=target, pool_code=pool_code,
    )  # fmt: skip
    for name, why in without.items():
        console.print(f"[dim]no {name}: {inline(why)}[/]", soft_wrap=True)
    tables.show_files(console, files)
