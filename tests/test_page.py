"""The report's page in a real browser: it runs here as it does for its readers, without a network.

The lead figures and updates are in test_page_lead.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from foreign import command_run, rows

from lrbench.analysis import compare_groups
from lrbench.reports.figures import render
from lrbench.reports.page import render as render_page
from lrbench.reports.reporting import gather, report
from lrbench.reports.winner import winner

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python")

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def written(make_run_in: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A report of 15 groups, three seeds each but for two odd ones; each kind is written once."""
    runs = tmp_path_factory.mktemp("page") / "runs"
    for lr in range(1, 14):
        for seed in range(3):
            make_run_in(runs, [1.0, 0.5, 0.2 + lr / 100 + seed / 1000], name=f"rate {lr}", lr=float(lr), seed=seed)
    make_run_in(runs, [9.0], name="wild", lr=50.0, status="diverged")
    make_run_in(runs, [], name="none yet", lr=60.0, status=None)
    pages: dict[str, Path] = {}

    def write(**options: str) -> Path:
        name = repr(options)
        if name not in pages:
            pages[name] = report([runs], runs.parent / f"report {len(pages)}", **options).page
        return pages[name]

    return write


def legend(page: Any) -> list[str]:
    """The names beside or under the chart of all curves, in the order of the table."""
    texts: list[str] = page.locator(".legend .label, .ends .label").all_inner_texts()
    return texts


def column(page: Any, number: int) -> list[str]:
    cells = page.locator(f"#results tbody tr:not([hidden]) > :nth-child({number})").all_inner_texts()
    return [cell.strip() for cell in cells]


def inked(page: Any, selector: str) -> int:
    """How many pixels of a chart are not empty."""
    count: int = page.locator(f"{selector} canvas").first.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 == 3 && v).length"
    )
    return count


def pixels(page: Any, selector: str) -> str:
    """A chart's picture."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    picture: str = page.locator(f"{selector} canvas").first.evaluate("c => c.toDataURL()")
    return picture


def open_panels(page: Any) -> None:
    page.get_by_text("A panel for each of").click()
    page.locator("#panels canvas").first.wait_for()


def test_the_switches_change_what_is_drawn(opened: Callable[..., Any], written: Callable[..., Path]) -> None:
    page = opened(written())
    title = page.locator("[data-title=s1]")
    assert title.inner_text() == "Validation loss"
    drawn = [inked(page, ".overlay")]
    page.get_by_label("training", exact=True).check()
    assert title.inner_text() == "Training loss"
    page.get_by_label("accuracy", exact=True).check()
    assert title.inner_text() == "Training error, 1 − accuracy"
    drawn.append(inked(page, ".overlay"))
    page.get_by_label("loss or error").uncheck()
    assert title.inner_text() == "Training accuracy"
    page.get_by_label("epochs", exact=True).check()
    drawn.append(inked(page, ".overlay"))
    assert all(drawn) and len(set(drawn)) == 3
    page.get_by_label("loss", exact=True).check()
    open_panels(page)
    assert inked(page, "#panels .card:first-child .losses") and inked(page, "#panels .card:first-child .rates")


def test_the_pointer_and_the_arrow_keys_read_values(opened: Callable[..., Any], written: Callable[..., Path]) -> None:
    page = opened(written())
    page.locator(".overlay .u-over").hover(position={"x": 5, "y": 50})
    assert page.locator("[data-readout=s1]").inner_text().startswith("Epoch 1")
    assert page.locator(".legend .value, .ends .value").first.inner_text() == "1"
    page.mouse.move(0, 0)
    page.locator(".overlay").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "Epoch 2: rate 1 0.5" in page.locator("[data-readout=s1]").inner_text()
    open_panels(page)
    page.locator("#panels .card .both").first.focus()
    page.keyboard.press("End")
    readout = page.locator("#panels .readout").first
    assert "epoch 3: validation 0.211, training 0.422, learning rate 1" in readout.inner_text()


def test_dragging_zooms_and_a_double_click_ends_it(opened: Callable[..., Any], written: Callable[..., Path]) -> None:
    page = opened(written())
    over = page.locator(".overlay .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    whole = pixels(page, ".overlay")
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 700, box["y"] + 240, steps=4)
    page.mouse.up()
    page.mouse.move(0, 0)
    zoomed = pixels(page, ".overlay")
    assert zoomed != whole
    page.get_by_label("training", exact=True).check()
    page.get_by_label("validation", exact=True).check()
    assert pixels(page, ".overlay") == zoomed  # what was chosen stays
    over.dblclick(position={"x": 100, "y": 100})
    page.mouse.move(0, 0)
    assert pixels(page, ".overlay") == whole


def test_the_table_sorts_by_numbers_and_filters(opened: Callable[..., Any], written: Callable[..., Path]) -> None:
    page = opened(written())
    by_loss = page.locator("#results thead button", has_text="val loss").first
    assert column(page, 1)[:3] == ["rate 1", "rate 2", "rate 3"]
    by_loss.click()
    assert page.locator("th[aria-sort=ascending]").inner_text().strip().startswith("val loss")
    by_loss.click()
    assert page.locator("th[aria-sort=descending]").count() == 1
    assert column(page, 1)[0] == "rate 13" and set(column(page, 1)[-2:]) == {"wild", "none yet"}  # no value: last
    page.locator("#results thead button", has_text="run").first.focus()
    page.keyboard.press("Enter")
    assert column(page, 1)[1:4] == ["rate 1", "rate 2", "rate 3"]
    page.get_by_label("Filter").fill("RATE 1")
    assert column(page, 1) == ["rate 1", "rate 10", "rate 11", "rate 12", "rate 13"]
    assert page.locator("#listed").inner_text() == "5 of 15 rows"
    page.get_by_role("button", name="Draw listed rows").click()
    assert legend(page) == ["rate 1", "rate 10", "rate 11", "rate 12", "rate 13"]
    page.get_by_label("Filter").fill("worse")
    assert "rate 13" in column(page, 1) and "rate 1" not in column(page, 1)
    page.get_by_label("Filter").fill("nothing like it")
    assert page.get_by_role("button", name="Draw listed rows").is_disabled()
    assert page.locator("#listed").inner_text() == "0 of 15 rows"


def test_rows_are_picked_out_of_many_by_their_boxes(opened: Callable[..., Any], written: Callable[..., Path]) -> None:
    page = opened(written(baseline="rate 4"))
    first = legend(page)
    assert len(first) == 8 and {"rate 1", "rate 4", "wild"} <= set(first)  # seven, and the baseline
    page.get_by_label("Draw rate 1", exact=True).uncheck()
    page.get_by_label("Draw rate 2", exact=True).check()
    assert "rate 1" not in legend(page) and "rate 2" in legend(page)
    assert "7 more groups are grey" in page.locator("[data-readout=s1]").inner_text()
    page.get_by_role("button", name="Reset selection").click()
    assert legend(page) == first


def test_each_run_has_its_config_and_its_differences(opened: Callable[..., Any], written: Callable[..., Path]) -> None:
    page = opened(written(baseline="rate 5"))
    page.get_by_text("Folders, seeds, configs").click()
    group = page.locator("#details details[data-details]").nth(1)
    group.locator("summary").click()
    assert "Differences from rate 5" in group.inner_text()
    cells = group.locator("table").first.locator("tbody tr").first.locator("th, td").all_inner_texts()
    assert cells == ["optimizer.lr", "5", "2"]
    assert "lr: 2.0" in group.locator("pre").inner_text()
    assert group.locator("table").nth(1).locator("tbody tr").count() == 3
    named = page.locator("summary strong", has_text="rate 5")
    baseline = page.locator("#details details[data-details]", has=named).first
    assert baseline.locator("h3", has_text="Differences from").count() == 0


def test_the_code_can_be_copied(opened: Callable[..., Any], written: Callable[..., Path]) -> None:
    page = opened(written(), permissions=["clipboard-read", "clipboard-write"])
    page.locator(".code button").first.click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator(".code code").first.inner_text() and "torch.optim.SGD" in copied


@pytest.mark.parametrize(("scheme", "width"), [("light", 400), ("dark", 1400), ("light", 1400)])
def test_no_one_is_kept_out(opened: Callable[..., Any], written: Callable[..., Path], scheme: str, width: int) -> None:
    page = opened(written(target="val_loss=0.3"), color_scheme=scheme, viewport={"width": width, "height": 900})
    for summary in page.locator("summary:visible").all()[:4]:
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    violations = axe.Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:120]) for v in violations] == []


def test_many_panels_are_shown_when_asked_for(opened: Callable[..., Any], make_run: MakeRun, tmp_path: Path) -> None:
    for lr in range(1, 31):
        make_run([1.0, 1 / lr], name=f"rate {lr}", lr=float(lr))
    page = opened(report([tmp_path / "runs"]).page)
    open_panels(page)
    assert page.locator("#panels .card:visible").count() == 24
    page.get_by_role("button", name="Show the other 6 panels").click()
    assert page.locator("#panels .card:visible").count() == 30
    last = page.locator("#panels .card").last
    last.scroll_into_view_if_needed()
    last.locator("canvas").first.wait_for()


def test_print_has_every_panel_in_light_colours(opened: Callable[..., Any], written: Callable[..., Path]) -> None:
    page = opened(written(), color_scheme="dark")
    before = page.locator("#panels canvas").count()
    page.emulate_media(media="print", color_scheme="dark")
    page.locator("html.printing").wait_for(state="attached")
    assert page.locator("#panels canvas").count() == 28 > before  # two for each of the 14 groups with epochs
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--card').trim()") == "#ffffff"
    assert not page.locator("#filter").is_visible()
    page.emulate_media(media="screen", color_scheme="dark")
    page.locator("html:not(.printing)").wait_for(state="attached")
    assert page.pdf().startswith(b"%PDF")


HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "{{ 7 * 7 }} '; alert(4); '",
    "🦀 émoji ‮ right to left",
    "long " * 40,
]


def test_names_are_only_ever_text(opened: Callable[..., Any], make_run: MakeRun, tmp_path: Path) -> None:
    """A config's name can't be like these, but folders are renamed, and what is shown may change."""
    for number in range(1, len(HOSTILE) + 1):
        for seed in range(3):
            folder = make_run([0.5, number / 10 + seed / 100], lr=float(number), seed=seed)
            folder.rename(folder.with_name(f'{number}{seed} <img src=x onerror="alert(5)">'))
    found = gather([tmp_path / "runs"], target="val_loss=0.4")
    groups = [replace(group, label=name, short=name) for group, name in zip(found.groups, HOSTILE, strict=True)]
    shown = replace(found, groups=groups, comparison=compare_groups(groups))
    written = tmp_path / "page.html"
    written.write_text(render_page(shown, lambda: render.draw(shown, tmp_path), winner(shown)), encoding="utf-8")
    page = opened(written)
    assert page.locator("img").count() == 0
    assert page.locator("#results tbody th").first.inner_text() == HOSTILE[0]
    assert legend(page)[:3] == HOSTILE[:3]
    page.locator(".overlay").focus()
    page.keyboard.press("ArrowRight")
    assert HOSTILE[0] in page.locator("[data-readout=s1]").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == 1400


def test_no_other_script_runs_in_the_page(browser: Any, make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.5, 0.2])
    page_file = report([tmp_path / "runs"]).page
    text = page_file.read_text(encoding="utf-8")
    page_file.write_text(text.replace("<main>", "<main><script>window.intruder = 1</script>"), encoding="utf-8")
    page = browser.new_page()
    page.goto(page_file.as_uri())
    assert page.evaluate("window.intruder") is None
    page.close()


def test_pages_of_odd_collections(opened: Callable[..., Any], make_run: MakeRun, tmp_path: Path) -> None:
    make_run([3.0], status="diverged")
    page = opened(report([tmp_path / "runs"]).page)
    assert "diverged at update 2" in page.locator(".head").inner_text()
    assert inked(page, ".run-losses")  # one epoch is a point
    make_run([], name="none", lr=0.3, status=None)
    make_run([0.4, 0.3], name="other", loss="mse")
    make_run([0.4, 0.3], name="usual", lr=0.7)
    page = opened(report([tmp_path / "runs"]).page)
    assert "can't be compared" in page.locator(".head").inner_text()
    assert page.locator("#panels .card").count() == 4 and page.locator("#winner").count() == 0


def test_a_page_of_other_programs_runs(opened: Callable[..., Any], tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        for seed in range(2):
            evaluations = rows([lr + 0.5, lr + seed / 50], epochs=False, every=10, f1=True)
            command_run(tmp_path, evaluations, lr=lr, seed=seed, rates=(lambda step: 0.2) if lr == 0.2 else None)
    page = opened(report([tmp_path]).page)
    assert page.locator("[data-title=s1]").inner_text() == "Validation error, 1 − F1"
    assert page.get_by_label("steps", exact=True).count() == 1
    page.locator(".overlay").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("[data-readout=s1]").inner_text().startswith("Step 10: lr 0.1 ")
    assert page.locator(".both .rates").evaluate_all("all => all.map((one) => one.offsetHeight > 0)") == [False, True]
    page.locator("#panels .card .both").first.focus()
    page.keyboard.press("End")
    told = page.locator("#panels .readout").first.inner_text()
    assert told.startswith("step 20: validation ") and "learning rate" not in told
    page.get_by_label("loss", exact=True).check()
    page.get_by_label("training", exact=True).check()
    assert page.locator("[data-title=s1]").inner_text() == "Training loss" and inked(page, ".overlay")
    assert page.locator("#winner").count() == 1
    assert page.get_by_label("command", exact=True).inner_text().startswith("python train.py --lr 0.1")
