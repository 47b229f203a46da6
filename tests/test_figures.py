"""Figures for papers: exact sizes, embedded fonts, styles, every kind, and text that touches no other text."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import lrbench
from lrbench.analysis import Family, families, swept_keys
from lrbench.errors import UsageError
from lrbench.reports import gather
from lrbench.reports.charted import PICKED
from lrbench.reports.figures import kinds, rows, seeds, style, swept
from lrbench.reports.figures.sheet import Sheet, font_named, inches, read_style
from lrbench.reports.figures.style import COLOURS, OTHERS, line_of
from lrbench.reports.figures.text import apart, wrapped
from lrbench.reports.shown import Shown

MakeRun = Callable[..., Path]
Cli = Callable[..., tuple[int, str, str]]
TARGET = "val_loss=0.3"
KINDS = [name for name in kinds.KINDS if name not in ("range-test", "run")]


@pytest.fixture(scope="session")
def grid(make_run_in: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two batch sizes and two lengths, five learning rates, three seeds; one learning rate diverges."""
    root = tmp_path_factory.mktemp("figures") / "grid"
    losses = {0.001: 1.9, 0.01: 0.7, 0.1: 0.2, 1.0: 0.35}
    for batch in (16, 64):
        for epochs in (2, 4):
            for lr, loss in losses.items():
                for seed in range(3):
                    end = loss * (1 + 0.1 * seed) * (64 / batch) ** (0.1 if lr < 0.1 else -0.1) * (8 / epochs) ** 0.2
                    curve = [end * (1 + 2 / epoch) for epoch in range(1, epochs)] + [end]
                    make_run_in(root, curve, lr=lr, seed=seed, name="mlp", batch_size=batch)
            make_run_in(root, [9.0] * epochs, lr=10.0, seed=0, name="mlp", batch_size=batch, status="diverged")
    return root


@pytest.fixture(scope="session")
def few(make_run_in: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three learning rates, two seeds: enough where a figure's content does not matter."""
    root = tmp_path_factory.mktemp("figures") / "few"
    for lr, loss in ((0.01, 0.7), (0.1, 0.2), (1.0, 0.35)):
        for seed in range(2):
            make_run_in(root, [1.0, loss * (1 + 0.1 * seed)], lr=lr, seed=seed, name="mlp")
    return root


@pytest.fixture(scope="session")
def shown(grid: Path) -> Shown:
    return gather([grid], target=TARGET)


LONG = "a-rather-long-name-that-somebody-gave-to-their-run-because-nothing-else-told-it"


@pytest.fixture(scope="session")
def long_names(make_run_in: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    root = tmp_path_factory.mktemp("figures") / "long"
    for index in range(12):
        for lr, loss in ((0.01, 0.5), (0.1, 0.2), (1.0, 0.9)):
            model = {"name": "mlp", "hidden": [index + 2, 3]}
            make_run_in(root, [2.0, loss + index / 50], name=f"{LONG}-{index}", lr=lr, model=model)
    return gather([root], target=TARGET)


def texts_of(figure: Figure) -> list[tuple[str, Any]]:
    """Every text that is shown, with its box in pixels."""
    found = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    every = [axes for parent in figure.axes for axes in (parent, *parent.child_axes)]
    for axes in every:
        found += [*axes.texts, axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]  # type: ignore[attr-defined]
        found += [*ticks_of(axes.xaxis), *ticks_of(axes.yaxis)]
        if axes.get_legend() is not None:
            found += axes.get_legend().get_texts()  # type: ignore[union-attr]
    shown = (text for text in found if text.get_visible() and text.get_text().strip())
    return [(text.get_text(), Text.get_window_extent(text)) for text in shown]


def ticks_of(axis: Axis) -> Iterator[Text]:
    low, high = sorted(axis.get_view_interval())
    for tick in axis.get_major_ticks():
        if low <= tick.get_loc() <= high:
            yield from (label for label in (tick.label1, tick.label2) if label.get_visible())


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Texts that overlap by more than a pixel, or leave the figure, as the renderer measures them."""
    figure.draw_without_rendering()
    found = texts_of(figure)
    whole = figure.bbox
    cut = [(text, "the edge") for text, box in found
           if box.x0 < -1 or box.y0 < -1 or box.x1 > whole.x1 + 1 or box.y1 > whole.y1 + 1]  # fmt: skip
    inner = [(text, box.x0 + 1, box.y0 + 1, box.x1 - 1, box.y1 - 1) for text, box in found]
    return cut + [
        (one[0], other[0])
        for one, other in combinations(inner, 2)
        if one[1] < other[3] and other[1] < one[3] and one[2] < other[4] and other[2] < one[4]
    ]


# -- sizes


@pytest.mark.parametrize(
    ("text", "found"),
    [("3.3in", 3.3), ("2.54cm", 1), ("84mm", 84 / 25.4), ("240pt", 240 / 72.27), ("column", 3.3), ("page", 6.8),
     (" 5 IN ", 5), (4, 4), ("144bp", 2), ("192px", 2)],
)  # fmt: skip
def test_lengths(text: Any, found: float) -> None:
    assert inches(text, "--width") == pytest.approx(found, abs=1e-6)


@pytest.mark.parametrize("text", ["", "wide", "3.3 apples", "-3in", "0.5in", "70in", "nan", "1e3in", "3,3in", "in"])
def test_lengths_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match=f"--width {re.escape(text.strip())}: must be"):
        inches(text, "--width")


@pytest.mark.usefixtures("rendered")
@pytest.mark.parametrize(("width", "height"), [("3.3in", None), ("8.4cm", "6cm"), ("page", None), ("10in", "4in")])
def test_files_have_the_size_that_was_asked_for(few: Path, tmp_path: Path, width: str, height: str | None) -> None:
    look = {"width": width, "height": height}
    for name in ("curves", "rates"):
        for form in ("pdf", "svg", "png"):
            made = lrbench.figure(name, [few], out=tmp_path / f"{name}.{form}", dpi=200, **look)  # type: ignore[arg-type]
        across, down = made.get_size_inches()
        assert across == pytest.approx(inches(width, ""), abs=1e-6)
        assert height is None or down == pytest.approx(inches(height, ""), abs=1e-6)
        pdf = (tmp_path / f"{name}.pdf").read_bytes()
        box = [float(n) / 72 for n in re.search(rb"/MediaBox \[ ([\d. ]+) \]", pdf)[1].split()]  # type: ignore[index]
        assert box == pytest.approx([0, 0, across, down], abs=0.001)
        svg = (tmp_path / f"{name}.svg").read_text()
        size = [float(n) / 72 for n in re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg).groups()]  # type: ignore[union-attr]
        assert size == pytest.approx([across, down], abs=0.001)
        with Image.open(tmp_path / f"{name}.png") as png:
            assert png.size == (int(across * 200 + 1e-6), int(down * 200 + 1e-6))


@pytest.mark.usefixtures("rendered")
def test_fonts_are_in_the_pdf_as_outlines_of_true_type(few: Path, tmp_path: Path) -> None:
    lrbench.figure("rates", [few], out=tmp_path / "a.pdf", font="dejavu serif")
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"DejaVuSerif" in pdf and b"/FontFile2" in pdf and b"/Type3" not in pdf
    assert pdf.count(b"/FontFile2") == len(set(re.findall(rb"/FontName /(\S+)", pdf))), "every font is embedded"
    lrbench.figure("rates", [few], out=tmp_path / "b.pdf", font="dejavu serif")
    assert (tmp_path / "b.pdf").read_bytes() == pdf, "the same bytes every time"


@pytest.mark.usefixtures("rendered")
def test_text_of_an_svg_is_outlines_or_text(cli: Cli, few: Path, tmp_path: Path) -> None:
    for more, text in (((), False), (("--svg-text",), True)):
        assert cli("figure", "rates", few, "--out", tmp_path / "a.svg", *more)[0] == 0
        assert ("<text" in (tmp_path / "a.svg").read_text()) == text


# -- every kind


@pytest.mark.parametrize("width", [3.3, 6.8, 10.0])
@pytest.mark.parametrize("kind", KINDS)
def test_no_text_touches_another_one_or_the_edge(shown: Shown, kind: str, width: float) -> None:
    figure = kinds.draw(kind, shown, Sheet.of(width))
    assert figure.get_figwidth() == pytest.approx(width)
    assert overlapping(figure) == []
    assert figure.axes, kind


@pytest.mark.parametrize("metric", ["val_accuracy", "best_val_loss", "test_accuracy", "train_loss"])
def test_metrics(grid: Path, metric: str) -> None:
    shown = gather([grid], metric=metric)
    for kind in ("curves", "rates", "heatmap", "seeds", "schedules", "lengths"):
        assert overlapping(kinds.draw(kind, shown, Sheet.of("column"))) == [], kind


@pytest.mark.parametrize("kind", ["curves", "rates", "seeds", "target", "arrivals", "overview", "schedules", "heatmap"])
@pytest.mark.parametrize("width", [3.3, 6.8])
def test_long_names_and_many_lines(long_names: Shown, kind: str, width: float) -> None:
    assert overlapping(kinds.draw(kind, long_names, Sheet.of(width))) == []


@pytest.mark.parametrize("width", [3.3, 6.8])
def test_one_run(make_run: MakeRun, tmp_path: Path, width: float) -> None:
    make_run([2.0, 1e5, 0.5])
    shown = gather([tmp_path / "runs"], target=TARGET)
    for kind in ("run", "curves", "seeds", "target", "overview"):
        assert overlapping(kinds.draw(kind, shown, Sheet.of(width))) == []
    labels = [axes.get_ylabel() for axes in kinds.draw("run", shown, Sheet.of(8)).axes]
    assert labels == ["loss", "learning rate", "gradient norm"]
    with_accuracy = gather([tmp_path / "runs"], metric="val_accuracy")
    assert [axes.get_ylabel() for axes in kinds.draw("run", with_accuracy, Sheet.of(8)).axes][1] == "accuracy"
    for kind in ("rates", "heatmap", "lengths", "schedules", "arrivals", "range-test"):
        with pytest.raises(UsageError):
            kinds.draw(kind, shown)


def test_a_range_test(cli: Cli, write_config: Callable[..., Path], tmp_path: Path) -> None:
    config = write_config(dataset={"name": "digits", "train_size": 256})
    assert cli("find-lr", config, "--seeds", 2)[0] == 0
    for width in (3.3, 6.8, 10):
        assert overlapping(kinds.draw("range-test", gather([Path("runs")]), Sheet.of(width))) == []


def test_runs_that_diverged_or_were_just_begun(make_run: MakeRun, tmp_path: Path) -> None:
    for lr in (0.1, 1.0, 10.0):
        make_run([3.0], lr=lr, status="diverged")
    make_run([], lr=0.01, status=None)
    shown = gather([tmp_path / "runs"])
    for kind in ("curves", "overview"):
        assert overlapping(kinds.draw(kind, shown, Sheet.of("column"))) == []
    for kind in ("rates", "seeds", "heatmap", "schedules", "lengths"):
        with pytest.raises(UsageError):
            kinds.draw(kind, shown)


# -- what they show


def test_a_heat_map_has_a_cell_for_each_learning_rate(grid: Path) -> None:
    shown = gather([grid], filters=["epochs=4"])
    figure = kinds.draw("heatmap", shown, Sheet.of(6.8))
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["16", "64"] and axes.get_ylabel() == "batch size"
    cells = [patch for patch in axes.patches if patch.get_fill()]
    assert len(cells) == 10 and sum(bool(cell.get_hatch()) for cell in cells) == 2, "the diverged ones are hatched"
    stars = [line.get_xydata() for line in axes.lines if line.get_marker() == "*"]
    assert len(stars) == 2 and all(0.03 < place[0][0] < 1 for place in stars)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "best of all tried" in labels and "at least half of the seeds diverged or failed" in labels
    assert sum(patch.get_linestyle() in ("-", "solid") and not patch.get_fill() for patch in axes.patches) == 1


def test_how_the_optimum_moves(shown: Shown) -> None:
    figure = kinds.draw("lengths", shown, Sheet.of(6.8))
    upper, lower = figure.axes
    assert lower.get_xlabel() == "epochs" and upper.get_ylabel() == "best learning rate"
    assert upper.get_xscale() == upper.get_yscale() == "log"
    names = [text.get_text() for text in figure.legends[0].get_texts()][:2]
    assert names == ["batch size 16", "batch size 64"]
    lines = [line for line in lower.lines if len(line.get_xdata()) == 2]
    assert len(lines) == 2
    by_batch = kinds.draw("lengths", shown, Sheet.of(6.8), "batch_size")
    assert by_batch.axes[1].get_xlabel() == "batch size"


def test_families_at_their_own_best_learning_rates(shown: Shown) -> None:
    figure = kinds.draw("schedules", shown, Sheet.of(6.8))
    (axes,) = figure.axes
    notes = [text.get_text() for text in axes.texts]
    assert sum("5 rates, 13 runs" in note.replace("\n", " ") for note in notes) == 4
    assert "reference" in notes
    assert "by the seeds that chose the learning rates" in figure._suptitle.get_text().replace("\n", " ")  # type: ignore[attr-defined]


def dots(*rows_given: tuple[list[float], float | None, tuple[float, float] | None]) -> list[rows.Dots]:
    return [rows.Dots(values, middle, interval) for values, middle, interval in rows_given]


def drawn(given_rows: list[rows.Dots]) -> tuple[Axes, list[str]]:
    made = rows.rows_of(Sheet.of(6.8), [f"row {index}" for index in range(len(given_rows))])
    (axes,) = made.panels
    beyond = rows.near_axis(axes, given_rows, "{:.3g}".format)
    rows.draw_dots(axes, given_rows)
    return axes, beyond


def test_nothing_is_drawn_over_the_words_for_what_is_beyond_the_axis() -> None:
    axes, beyond = drawn(dots(([0.1, 0.11], 0.105, (0.06, 0.9)), ([0.2, 5.0], 0.3, (1e-9, 1e9)), ([9.0], 9.0, None)))
    low, high = axes.get_xlim()
    assert beyond == ["", "→ 1 seed", "→ 9"] and 0.2 < high < 5
    for line in axes.lines:
        places = np.asarray(line.get_xdata(), float)
        assert ((places >= low * (1 - 1e-9)) & (places <= high * (1 + 1e-9))).all()
    marks = [(line.get_marker(), int(line.get_ydata()[0])) for line in axes.lines
             if line.get_marker() in "<>" and len(line.get_ydata())]  # fmt: skip
    assert sorted(marks) == [("<", 1), (">", 0), (">", 1)], "an arrow wherever an interval is cut"


@given(
    st.lists(st.tuples(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=4), st.floats(0, 3)), min_size=1, max_size=5)
)
def test_every_seed_is_on_the_axis_or_told(given_rows: list[tuple[list[float], float]]) -> None:
    made = dots(*((v, float(np.exp(np.mean(np.log(v)))), (min(v) / (1 + w), max(v) * (1 + w))) for v, w in given_rows))
    axes, beyond = drawn(made)
    low, high = axes.get_xlim()
    for row, told in zip(made, beyond, strict=True):
        assert min(row.values) >= low * (1 - 1e-9)
        assert (max(row.values) > high) == bool(told)


def test_the_report_draws_the_same_kinds(shown: Shown) -> None:
    assert shown.comparison is not None
    for sheet in (Sheet(), Sheet.of("column")):
        assert overlapping(seeds.final_values(shown.comparison, sheet)) == []


def test_grey_curves_are_one_line_with_gaps(make_run: MakeRun, tmp_path: Path) -> None:
    for number in range(14):
        make_run([0.5, 0.1 + number / 100], lr=0.01 * (number + 1))
    axes = kinds.draw("curves", gather([tmp_path / "runs"]), Sheet.of(6.8)).axes[0]
    (grey,) = (line for line in axes.lines if line.get_color() == OTHERS)
    assert len(axes.lines) == 1 + PICKED
    assert np.isnan(grey.get_ydata()).sum() == 14 - PICKED


def test_curves_that_leave_the_axis_are_marked(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([1e6, *[0.5] * 30])
    axes = kinds.draw("curves", gather([tmp_path / "runs"]), Sheet.of(6.8)).axes[0]
    assert [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "^"] == [[1.0]]
    assert any("beyond the axis, up to 1e+06" in text.get_text() for text in axes.texts)


# -- axes of a sweep


def test_swept_axes(shown: Shown) -> None:
    assert shown.measure is not None
    found = families(shown.groups, shown.measure)
    assert set(swept_keys(found)) == {"batch_size", "epochs"}
    by_length = swept.swept(found, length=True)
    assert by_length.key == "epochs" and by_length.numeric
    assert [[value for value, _ in panel.families] for panel in by_length.panels] == [[2, 4], [2, 4]]
    assert swept.swept(found, "batch_size").words == "batch size"
    with pytest.raises(UsageError, match=r"^axis bach_size: must be a key .* did you mean 'batch_size'"):
        swept.swept(found, "bach_size")


def parts_of(root: Path, make_run_in: MakeRun, changes: list[dict[str, Any]]) -> list[Family]:
    for more in changes:
        for lr, loss in ((0.01, 0.5), (0.1, 0.2), (1.0, 0.9)):
            make_run_in(root, [2.0, loss], lr=lr, **more)
    found = gather([root])
    assert found.measure is not None
    return families(found.groups, found.measure)


def test_the_name_of_a_part_stands_for_its_parameters(make_run_in: MakeRun, tmp_path: Path) -> None:
    by_name = parts_of(tmp_path / "a", make_run_in, [{"schedule": {"name": "step", "every": "1 epochs"}}, {}])
    assert swept_keys(by_name) == {"schedule.name": ["constant", "step"]}
    steps = [{"schedule": {"name": "step", "every": f"{n} epochs"}} for n in (1, 2)]
    within = parts_of(tmp_path / "b", make_run_in, [*steps, {}])
    assert list(swept_keys(within)) == ["schedule.name", "schedule.every"], "it differs within one name, too"
    assert swept.swept(within).key == "", "the two are not crossed"


def test_an_axis_of_lists(make_run_in: MakeRun, tmp_path: Path) -> None:
    parts = [[{"name": "constant", "for": f"{n} steps"}, {"name": "cosine"}] for n in (1, 2)]
    schedules = [{"schedule": {"name": "sequence", "parts": one}} for one in parts]
    found = swept.swept(parts_of(tmp_path, make_run_in, schedules))
    assert found.key == "schedule.parts" and [len(panel.families) for panel in found.panels] == [2]


# -- text


def test_text_is_wrapped_and_keeps_its_ends() -> None:
    assert wrapped("one two", 10) == "one two"
    found = wrapped("batch size 16 " * 40 + "lr 0.1", 1.5)
    assert found.count("\n") <= 2 and "…" in found and found.startswith("batch") and found.endswith("lr 0.1")
    assert "\n" in wrapped("x" * 60, 1.0), "a word without spaces is broken"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 0.1)), min_size=1, max_size=9))
def test_labels_at_the_ends_of_lines_do_not_overlap(ends: list[tuple[float, float]]) -> None:
    levels, sizes = [level for level, _ in ends], [size for _, size in ends]
    placed = apart(levels, sizes)
    boxes = sorted((at - size / 2, at + size / 2, level) for at, size, level in zip(placed, sizes, levels, strict=True))
    assert all(one[1] <= other[0] + 1e-6 for one, other in pairwise(boxes))
    assert [box[2] for box in boxes] == sorted(levels), "in the order of the lines"


# -- colours


def simulated(colour: str, kind: str) -> np.ndarray:
    """A colour as Machado, Oliveira and Fernandes (2009) simulate it for protanopia or deuteranopia, in OKLab."""
    matrix = {
        "normal": np.eye(3),
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    }[kind]
    plain = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(plain <= 0.04045, plain / 12.92, ((plain + 0.055) / 1.055) ** 2.4)
    cones = np.clip(np.array(matrix) @ linear, 0, 1)
    lms = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                    [0.0883024619, 0.2817188376, 0.6299787005]]) @ cones  # fmt: skip
    lab = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                    [0.0259040371, 0.7827717662, -0.8086757660]]) @ np.cbrt(lms)  # fmt: skip
    return 100 * lab


@pytest.mark.parametrize(("kind", "least"), [("normal", 11), ("protan", 9), ("deutan", 7)])
def test_colours_differ_for_colour_blind_readers_too(kind: str, least: float) -> None:
    seen = [simulated(colour, kind) for colour in COLOURS]
    distances = [float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2)]
    assert min(distances) > least
    neighbours = [float(np.linalg.norm(one - other)) for one, other in pairwise(seen)]
    assert min(neighbours) > 15, "those beside each other in a legend differ more"


# -- fonts and styles


def test_a_font_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"^font DejaVu Sanz: not installed; installed are .*DejaVu Sans"):
        font_named("DejaVu Sanz")
    with pytest.raises(UsageError, match=r"^font no\.ttf: there is no such file"):
        font_named("no.ttf")


def test_a_font_from_a_file(tmp_path: Path) -> None:
    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSerif.ttf"
    assert font_named(str(path)) == "DejaVu Serif"
    (tmp_path / "a.ttf").write_bytes(b"none")
    with pytest.raises(UsageError, match="it is damaged or no font; it must be"):
        font_named(str(tmp_path / "a.ttf"))


def test_a_style_lies_over_ours_but_keeps_the_size(few: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.mplstyle"
    file.write_text(
        "axes.prop_cycle: cycler('color', ['ff0000', '00ff00'])\nfigure.figsize: 9, 9\nsavefig.bbox: tight\n"
        "text.usetex: True\naxes.facecolor: ffffe0\nfont.size: 6\n"
    )
    figure = lrbench.figure("curves", [few], style=file, width=5, out=tmp_path / "a.pdf")
    assert figure.get_figwidth() == 5 and b"/MediaBox [ 0 0 360" in (tmp_path / "a.pdf").read_bytes()
    assert mpl.colors.to_hex(figure.axes[0].get_facecolor()) == "#ffffe0"
    colours = {mpl.colors.to_hex(line.get_color()) for line in figure.axes[0].lines if line.get_linewidth() > 1}
    assert colours == {"#ff0000", "#00ff00"}
    assert lrbench.figure("rates", [few], style=["ggplot", file]).axes
    assert mpl.rcParams["axes.facecolor"] == "white", "the process keeps its settings"
    assert line_of(1).colour == COLOURS[1]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("nonsense\n", "Missing colon"),
        ("", "it has no settings"),
        ("font.size: huge-ish\n", "Bad value"),
        ("no_such_key: 1\nfont.size: 9\n", "Bad key"),
    ],
)
def test_a_style_file_that_is_none(
    tmp_path: Path, content: str, problem: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.mplstyle"
    file.write_text(content)
    with pytest.raises(UsageError, match=f"^style .*: it must be a matplotlib style's name, .*{problem}"):
        read_style(file)
    assert not any(capfd.readouterr())


def test_a_style_that_is_not_there() -> None:
    with pytest.raises(
        UsageError, match=r"^style gplot: there is no such file or style; it must be .*; did you mean ggplot"
    ):
        read_style("gplot")


def test_inner_drawings_keep_the_outer_style() -> None:
    with style.drawing({"font.size": 5}), style.drawing():
        assert mpl.rcParams["font.size"] == 5


# -- the command


def test_several_kinds_from_one_read(cli: Cli, grid: Path, tmp_path: Path) -> None:
    code, out, _ = cli("figure", "rates,curves", grid, "--format", "svg", "--out", tmp_path / "made")
    assert code == 0 and "rates.svg" in out
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["curves.svg", "rates.svg"]
    code, out, _ = cli("figure", "all", grid, "--format", "png", "--dpi", 50, "--out", tmp_path / "all")
    assert code == 0 and "no target: a figure of times to a target needs --target" in " ".join(out.split())
    names = {path.stem for path in (tmp_path / "all").iterdir()}
    assert names == {"curves", "rates", "heatmap", "lengths", "schedules", "seeds", "overview"}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["curve"], "no kind of figure is called 'curve'; did you mean 'curves'"),
        (["rates", "--width", "wide"], "--width wide: must be a length such as 3.3in"),
        (["rates", "--height", "0.2cm"], "--height 0.2cm: must be between"),
        (["rates", "--height", "1in"], "this figure of learning rates has no room"),
        (["overview", "--height", "2in"], "an overview of these runs has no room"),
        (["rates", "--font", "Nothing Like It"], "--font Nothing Like It: not installed"),
        (["rates", "--style", "nothing"], "--style nothing: there is no such file or style"),
        (["rates", "--out", "a.jpg"], "--out a.jpg: must end in .pdf, .svg, .png"),
        (["rates", "--out", "a.svg", "--format", "pdf"], "--format pdf asks for another format"),
        (["rates", "--format", "tiff"], "--format tiff: no such format; choices: pdf, png, svg"),
        (["rates,curves", "--out", "a.pdf"], "2 figures need a folder"),
        (["rates", "--dpi", "3"], "--dpi 3: must be between"),
        (["target"], "needs --target, such as val_accuracy=0.99"),
        (["run"], "this figure tells of one run, or of the seeds of one group, and there are 20 groups"),
        (["range-test"], "there is none; `lrbench find-lr CONFIG` makes one"),
        (["heatmap", "--axis", "nothing"], "--axis nothing: must be a key in which families of learning rates differ"),
        (["rates", "--metric", "nothing"], "--metric nothing: no such metric"),
        (["rates", "--filter", "name=nothing"], "nothing"),
    ],
)
def test_mistakes(cli: Cli, grid: Path, words: list[str], problem: str) -> None:
    code, _, err = cli("figure", *words[:1], grid, *words[1:])
    assert code == 2 and problem in " ".join(err.split())
    assert "Traceback" not in err


def test_the_function_returns_a_figure_without_torch(grid: Path) -> None:
    figure = lrbench.figure("seeds", [grid], width="column", filters=["epochs=4"], metric="val_loss")
    assert isinstance(figure, Figure) and figure.get_figwidth() == 3.3
    script = f"import lrbench, sys; lrbench.figure('rates', [{str(grid)!r}]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(UsageError, match="no kind of figure"):
        lrbench.figure("rates,curves", [grid])
    with pytest.raises(UsageError, match="at least one folder"):
        lrbench.figure("rates", [])


def test_without_an_evaluation_there_is_no_axis(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([], status=None)
    (axes,) = lrbench.figure("curves", tmp_path / "runs").axes
    assert not len(axes.get_xticks()) and not len(axes.get_yticks())
    assert "no evaluation yet" in [text.get_text() for text in axes.texts]


def test_a_figure_of_one_run_says_how_many_groups_there_are(make_run: MakeRun) -> None:
    for seed in range(3):
        for lr in (0.1, 0.2):
            runs = make_run([0.5, 0.4], lr=lr, seed=seed).parent
    with pytest.raises(UsageError, match=r"there are 2 groups: name its folder, .* filters .*: tiny lr=0\.1, tiny lr="):
        lrbench.figure("run", runs)
    assert lrbench.figure("run", runs, filters=["lr=0.1"]).axes, "of the seeds of one group"
