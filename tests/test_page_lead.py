"""What the page opens with, in a real browser: the figure of each question, its tables, what is kept, and updates."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrbench.reports.page import page_title, page_update, whole_page
from lrbench.reports.page.chart_data import kept
from lrbench.reports.reporting import gather, report

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python")
MakeRun = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("sketches")  # of the figures that the page does not draw itself
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)


def grid(make_run: MakeRun, sizes: tuple[int, ...] = (16, 64), seeds: int = 2) -> None:
    """A sweep over the batch size and the learning rate: the best is 0.1 for 16, and 0.3 for 64."""
    for size in sizes:
        for at, lr in enumerate(RATES):
            off = abs(at - (2 if size == 16 else 3))
            for seed in range(seeds):
                loss = 0.2 + size / 1000 + 0.15 * off**1.5 + seed / 500
                lost = size == 64 and lr == 1.0 and seed == 1
                make_run([1.5, 1.0, loss], name="bs", lr=lr, seed=seed, batch_size=size,
                         status="diverged" if lost else "finished")  # fmt: skip


def forty(make_run: MakeRun) -> None:
    """More runs than the page shows at once."""
    for lr in range(1, 41):
        make_run([1.0, lr / 10], name=f"rate {lr}", lr=float(lr))


def fifteen(make_run: MakeRun) -> None:
    """Two axes: a family for each batch size and schedule."""
    schedules = ("constant", "cosine", "linear", "one_cycle", "exponential")
    for size, (at, schedule) in itertools.product((16, 32, 64), enumerate(schedules)):
        for lr, seed in itertools.product((0.0129, 0.0464, 0.167), (0, 1)):
            loss = 0.2 + size / 1000 + at / 50 + abs(math.log10(lr / 0.0464)) / 5 + seed / 90
            make_run([1.5, loss], name="two", lr=lr, seed=seed, batch_size=size, schedule=schedule)


@pytest.fixture(scope="module")
def written(make_run_in: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Pages that several tests open, each written once, with the runs that a function makes."""
    pages: dict[Any, Path] = {}

    def write(make: Callable[[MakeRun], None]) -> Path:
        if make not in pages:
            runs = tmp_path_factory.mktemp("page_lead")
            make(functools.partial(make_run_in, runs))
            pages[make] = report([runs]).page
        return pages[make]

    return write


@pytest.fixture
def swept(written: Callable[..., Path]) -> Path:
    return written(grid)


def test_a_sweep_s_answer_is_on_the_first_screen(opened: Callable[..., Any], swept: Path) -> None:
    page = opened(swept)
    assert page.locator("h1").inner_text() == "Learning rate by batch size"
    for wanted in (".answer", "[data-chart=rates] svg", ".lead-table", ".heat"):
        box = page.locator(wanted).first.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 900, wanted
    assert page.locator(".lead-table tbody th").all_inner_texts() == ["batch size 16", "batch size 64"]
    scroll = page.locator(".lead-tables .scroll").first
    assert scroll.evaluate("one => one.scrollWidth <= one.clientWidth")  # the deciding column is not cut off
    assert page.locator("[data-chart=rates] .family").count() == 2
    assert page.locator("[data-chart=rates] .family .point").count() == 10
    assert page.locator("[data-chart=rates] .lost").count() == 1
    assert page.locator("[data-chart=rates] .end-labels text").all_text_contents() == ["batch size 16", "batch size 64"]


def test_the_heat_map_has_every_cell_and_marks_the_ridge(opened: Callable[..., Any], swept: Path) -> None:
    page = opened(swept)
    rows = [row.locator("th, td").all_inner_texts() for row in page.locator(".heat tr").all()]
    assert rows[1] == ["batch size", "0.01", "0.03", "0.1", "0.3", "1"]
    assert rows[2] == ["16", "0.641", "0.367", "○ 0.217", "0.367", "0.641"]
    assert rows[3][-1] == "0.414 (1 of 2)"
    assert [row.index(next(cell for cell in row if "○" in cell)) for row in rows[2:]] == [3, 4]
    assert page.locator(".heat td.best.level-6").count() >= 1


def test_figure_table_and_heat_map_point_at_each_other(opened: Callable[..., Any], swept: Path) -> None:
    page = opened(swept)
    readout = page.locator("[data-readout=rates-s1]")
    assert readout.inner_text().startswith("★ minimum") or "Point at a learning rate" in readout.inner_text()
    page.locator(".lead-table tbody tr").nth(1).hover()
    assert readout.inner_text().startswith("batch size 64, learning rate 0.3: 0.265, seeds 0.264 to 0.266")
    assert page.locator("[data-chart=rates] .family.far").count() == 1
    assert page.locator(".heat td.near").inner_text() == "○ 0.265"
    height = readout.bounding_box()["height"]
    page.locator(".heat td[data-group]").first.hover()
    assert readout.inner_text().startswith("batch size 16, learning rate 0.01: ")
    assert page.locator("tr.near-family").inner_text().startswith("batch size 16")
    assert readout.bounding_box()["height"] == height  # it does not jump
    page.mouse.move(5, 5)
    assert page.locator(".near, .near-family, .far").count() == 0


def test_a_cell_is_kept_with_its_curves(opened: Callable[..., Any], swept: Path) -> None:
    page = opened(swept)
    before = page.locator(".legend .label, .ends .label").count()
    page.locator(".heat td[data-group]").nth(1).click()
    card = page.locator("#dock .card")
    assert card.locator("h3").inner_text() == "batch size 16, lr 0.03"
    card.locator("canvas").first.wait_for()
    assert page.locator("[data-chart=rates] .kept").count() == 1
    assert page.locator(".overlay canvas").count() == 1
    page.locator(".overlay").scroll_into_view_if_needed()
    assert page.locator(".legend .label, .ends .label").count() == before + 1
    card.get_by_role("button", name="Runs and config").click()
    assert page.locator("[data-details][open] summary strong").inner_text() == "batch size 16, lr 0.03"
    page.get_by_role("button", name="batch size 64").click()
    assert page.locator("#dock .card").count() == 2
    assert page.get_by_role("button", name="batch size 64").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Do not keep bs lr=0.03").click()
    assert page.locator("#dock .card h3").all_inner_texts() == ["batch size 64, lr 0.3"]


def test_the_lead_figure_is_read_with_the_keys(opened: Callable[..., Any], swept: Path) -> None:
    page = opened(swept)
    readout = page.locator("[data-readout=rates-s1]")
    page.locator("[data-chart=rates]").focus()
    page.keyboard.press("ArrowRight")  # the best of the best family
    assert readout.inner_text().startswith("batch size 16, learning rate 0.1: 0.217")
    page.keyboard.press("ArrowRight")
    assert readout.inner_text().startswith("batch size 16, learning rate 0.3: 0.367, seeds 0.366 to 0.368")
    page.keyboard.press("ArrowDown")
    assert readout.inner_text().startswith("batch size 64, learning rate 0.3: 0.265")
    page.keyboard.press("End")
    assert "1 of 2 diverged or failed" in readout.inner_text()
    page.keyboard.press("Enter")
    assert page.locator("#dock .card").count() == 1
    page.keyboard.press("Escape")
    assert "Point at a learning rate" in readout.inner_text()


def test_lengths_and_schedules_and_a_single_run(opened: Callable[..., Any], make_run: MakeRun, tmp_path: Path) -> None:
    for length in (2, 4):
        for at, lr in enumerate(RATES):
            for seed in range(2):
                off = abs(at - (3 if length == 2 else 2))
                make_run([1.0] * (length - 1) + [0.3 + 0.1 * off**1.5 + seed / 500], name="l", lr=lr, seed=seed)
    page = opened(report([tmp_path / "runs"]).page)
    assert page.locator("h1").inner_text() == "Learning rate by length of training"
    assert page.locator("[data-chart=lengths] .optimum").count() == 2
    assert "2: 0." in page.locator("[data-chart=lengths]").get_attribute("aria-label")
    for at, lr in enumerate(RATES):
        for schedule in ("cosine", "linear"):
            for seed in range(2):
                losses = [1.0, 0.3 + 0.1 * abs(at - 2) + seed / 500]
                make_run(losses, name="s", lr=lr, seed=seed, schedule=schedule, loss="mse")
    page = opened(report([tmp_path / "runs"], filters=["loss=mse"]).page)
    assert "chedule" in page.locator("h1").inner_text()
    assert page.locator(".lead-table .whisker circle").count() == 2
    both = opened(report([tmp_path / "runs"]).page)
    assert both.locator("section.lead").count() == 2 and both.locator(".head nav a").count() == 2
    both.locator(".head nav a").nth(1).click()
    make_run([0.5, 0.4, 0.3], name="alone", lr=0.7)
    page = opened(report([tmp_path / "runs"], filters=["alone"]).page)
    assert page.locator(".run-losses canvas").count() == page.locator(".run-norm canvas").count() == 1
    page.locator("[data-chart=run]").focus()
    page.keyboard.press("End")
    told = page.locator("[data-readout=run-s1]").inner_text()
    assert told == "Epoch 3: validation 0.3, training 0.6, learning rate 0.7"
    assert "Audit: the learning rates that ran are those that were meant" in page.locator("#s1").inner_text()


def test_without_a_script_the_answer_and_the_best_rows_are_there(browser: Any, written: Callable[..., Path]) -> None:
    page = browser.new_context(java_script_enabled=False, viewport={"width": 1400, "height": 900}).new_page()
    page.goto(written(forty).as_uri())
    assert page.locator("#results tbody tr:visible").count() == 30
    assert "The best 30 of 40 rows" in page.locator("#table").inner_text()
    assert page.locator(".answer").is_visible() and page.locator(".lead-table tbody tr:visible").count() > 10
    assert not page.locator(".overlay").first.is_visible()
    page.close()


def test_rows_and_details_beyond_the_best_come_from_data(
    opened: Callable[..., Any], written: Callable[..., Path]
) -> None:
    page = opened(written(forty))
    rows = page.locator("#results tbody tr")
    assert rows.count() == 30
    page.get_by_role("button", name="Show the other of 40 rows").click()
    assert rows.count() == 40
    page.get_by_label("Filter").fill("rate 39")
    assert rows.count() == 1 and page.locator("#details > details details").count() == 30
    page.get_by_label("Draw rate 39", exact=True).check()
    found = page.locator("#more-details details", has_text="rate 39")
    found.locator("summary").click()
    assert "lr: 39.0" in found.locator("pre").inner_text()


def test_an_update_replaces_what_changed_and_keeps_what_the_reader_chose(
    opened: Callable[..., Any], make_run: MakeRun, tmp_path: Path
) -> None:
    grid(make_run, seeds=1)
    shown = gather([tmp_path / "runs"])
    first = page_update(shown, live=True)
    file = tmp_path / "live.html"
    file.write_text(whole_page(first, title=page_title(shown)), encoding="utf-8")
    page = opened(file)
    page.get_by_label("Filter").fill("16")
    page.locator("#results thead button").first.click()
    page.locator(".heat td[data-group]").nth(1).click()
    page.get_by_text("A panel for each of").click()
    page.get_by_text("Folders, seeds, configs").click()
    page.locator("#details [data-details]").nth(2).locator("summary").click()
    opened_one = page.locator("#details [data-details][open]").get_attribute("data-key")
    page.locator(".overlay").scroll_into_view_if_needed()
    page.locator(".overlay").focus()
    top = page.locator(".overlay").bounding_box()["y"]
    page.evaluate("document.querySelector('#winner').mine = document.querySelector('#table').mine = 1")

    for lr in (0.1, 0.3):
        make_run([1.5, 0.9, 0.05], name="bs", lr=lr, seed=1, batch_size=64)
    second = page_update(gather([tmp_path / "runs"]), live=True)
    change = second.since(first)
    assert "s1" in change.parts and 0 < len(change.data) < len(second.data)
    assert not second.since(second).changed
    page.evaluate("(change) => window.lrbench.update(change)", json.loads(json.dumps(change.plain())))

    now = page.locator(".lead-table tbody tr", has_text="batch size 64").inner_text()
    assert now.rstrip().endswith("best")
    assert page.get_by_label("Filter").input_value() == "16"
    assert page.locator("th[aria-sort=ascending]").count() == 1
    assert all("16" in text for text in page.locator("#results tbody th").all_inner_texts())
    assert page.locator("#dock .card").count() == 1
    assert page.locator("#details [data-details][open]").get_attribute("data-key") == opened_one
    assert page.evaluate("document.activeElement.className").startswith("chart overlay")
    assert abs(page.locator(".overlay").bounding_box()["y"] - top) < 2
    assert page.evaluate("document.querySelector('#table').mine") == 1  # the same element, changed in place
    page.evaluate("window.lrbench.update({order: ['head'], parts: {}, data: {}})")
    assert page.locator("#parts > .part").count() == 1


@pytest.mark.parametrize("width", [1181, 1280, 1440])
def test_no_column_of_the_lead_is_cut_off(opened: Callable[..., Any], written: Callable[..., Path], width: int) -> None:
    page = opened(written(fifteen), viewport={"width": width, "height": 900})
    assert page.locator(".lead-table.dense tbody tr").count() == 15 and page.locator(".heat").count() == 1
    for scroll in page.locator(".lead .scroll").all():
        assert scroll.evaluate("one => one.scrollWidth <= one.clientWidth")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (900, "light"), (1400, "dark"), (1400, "light")])
def test_the_lead_is_accessible_at_every_width(
    opened: Callable[..., Any], swept: Path, width: int, scheme: str
) -> None:
    page = opened(swept, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.locator(".heat td[data-group]").nth(2).click()
    page.get_by_text("A panel for each of").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    violations = axe.Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:120]) for v in violations] == []


def test_curves_keep_the_ends_of_each_stretch_when_thinned() -> None:
    values = np.ones(1000)
    values[[0, 317, 640, 999]] = 9.0, 5.0, -3.0, 2.0
    found = kept(values, 40)
    assert len(found) <= 40 and {0, 317, 640, 999} <= set(found.tolist())
    assert kept(values[:30], 40).tolist() == list(range(30))
