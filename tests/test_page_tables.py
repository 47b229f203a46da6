"""The tables of the page in Chromium: one for each task, and rows that are cards on a phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrbench.reports.markdown import markdown
from lrbench.reports.reporting import gather, report
from lrbench.reports.winner import winner

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python")
MakeRun = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("sketches")
NOTE = "This table compares 6 settings with the best one and corrects for all of them. The answer above compares"


def swept(make_run: MakeRun, sizes: tuple[int, ...] = (16, 64), **changes: Any) -> None:
    """Batch sizes × three learning rates, two seeds each."""
    for size in sizes:
        for lr, loss in ((0.03, 0.9), (0.1, 0.5), (0.3, 0.6)):
            for seed in (0, 1):
                values = [1.5, (loss + size / 1000) * (1 + seed / 50)]
                make_run(values, name="bs", lr=lr, seed=seed, batch_size=size, **changes)


@pytest.fixture
def two_tasks(make_run: MakeRun, tmp_path: Path) -> Path:
    swept(make_run)
    for at, name in enumerate(("plain", "other")):
        for seed in (0, 1):
            make_run([1.0, 0.1 * (1 + at) + seed / 100], name=name, lr=0.1 * (1 + at), seed=seed, loss="mse")
    return tmp_path / "runs"


def cells(table: Any, number: int) -> list[str]:
    texts: list[str] = table.locator(f"tbody tr > :nth-child({number})").all_inner_texts()
    return texts


def heads(table: Any) -> list[str]:
    return [text.split(" ↕")[0].strip() for text in table.locator("thead th").all_inner_texts()]


def test_each_task_has_its_own_table_with_its_own_ranks(opened: Callable[..., Any], two_tasks: Path) -> None:
    page = opened(report([two_tasks]).page)
    tables = page.locator(".all-runs")
    assert tables.locator("h2").all_inner_texts() == [
        "All runs: digits with cross_entropy",
        "All runs: digits with mse",
    ]
    first, second = tables.nth(0), tables.nth(1)
    assert (first.locator("tbody tr").count(), second.locator("tbody tr").count()) == (6, 2)
    assert cells(second, 1) == ["plain", "other"]
    assert "against the best" in heads(first) and "against the best" in heads(second)
    assert cells(second, 1 + heads(second).index("against the best"))[0] == "best"
    assert cells(first, 1 + heads(first).index("rank"))[0].startswith("1")
    order = page.evaluate("[...document.querySelectorAll('main > .part')].map(one => one.dataset.part)")
    assert order.index("s1") < order.index("table-s1") < order.index("s2") < order.index("table-s2")
    violations = axe.Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:120]) for v in violations] == []


def test_a_table_is_filtered_sorted_and_drawn_by_itself(opened: Callable[..., Any], two_tasks: Path) -> None:
    page = opened(report([two_tasks]).page)
    first, second = page.locator(".all-runs").nth(0), page.locator(".all-runs").nth(1)
    before = cells(first, 1)
    second.locator("input.filter").fill("other")
    assert cells(second, 1) == ["other"] and cells(first, 1) == before
    assert second.locator(".listed").inner_text() == "1 of 2 rows" and first.locator(".listed").inner_text() == "6 rows"
    ticked = first.locator("tbody input:checked").count()
    second.locator(".draw-listed").click()
    assert first.locator("tbody input:checked").count() == ticked
    second.locator("input.filter").fill("")
    assert second.locator("tbody input:checked").count() == 1
    second.locator("[data-sort='0']").click()
    assert cells(second, 1) == ["other", "plain"] and cells(first, 1) == before
    second.locator(".draw-picked").click()
    assert second.locator("tbody input:checked").count() == 2


def test_groups_of_no_task_have_a_table_too(opened: Callable[..., Any], two_tasks: Path) -> None:
    broken = sorted(two_tasks.glob("plain-*"))[0]
    (broken / "config.yaml").write_text("dataset: [")
    page = opened(report([two_tasks]).page)
    assert page.locator(".all-runs h2").all_inner_texts()[-1] == "Other runs"
    assert cells(page.locator(".all-runs").last, 1) == [broken.name]


def test_the_table_says_why_its_answer_may_differ_from_that_of_the_families(
    opened: Callable[..., Any], make_run: MakeRun, tmp_path: Path
) -> None:
    swept(make_run)
    page = opened(report([tmp_path / "runs"]).page)
    assert page.locator(".all-runs h2").all_inner_texts() == ["All runs"]
    assert page.locator("#table > .note").inner_text().startswith(NOTE)
    shown = gather([tmp_path / "runs"])
    text = markdown(shown, [], winner(shown))
    assert text.count(NOTE) == 1


def test_a_single_family_has_one_answer(make_run: MakeRun, tmp_path: Path) -> None:
    swept(make_run, (16,))
    assert "This table compares" not in report([tmp_path / "runs"]).page.read_text()


def test_markdown_has_a_table_for_each_task(two_tasks: Path) -> None:
    text = markdown(shown := gather([two_tasks]), [], winner(shown))
    parts = text.split("## All runs: ")
    assert [part.splitlines()[0] for part in parts[1:]] == ["digits with cross_entropy", "digits with mse"]
    assert "| plain |" in parts[2] and "| plain |" not in parts[1] and "Student's t" in parts[1]


def test_headings_have_the_short_name(opened: Callable[..., Any], make_run: MakeRun, tmp_path: Path) -> None:
    swept(make_run)
    page = opened(report([tmp_path / "runs"]).page)
    assert page.locator("#winner").inner_text() == "The code of batch size 16, lr 0.1"
    page.locator("#details > details > details").nth(1).evaluate("one => { one.open = true; }")
    heading = page.locator("#details h3", has_text="Differences from").first
    assert heading.inner_text() == "Differences from batch size 16, lr 0.1"


@pytest.mark.parametrize("families", [2, 10])
def test_on_a_phone_the_rows_of_a_lead_table_are_cards(
    opened: Callable[..., Any], make_run: MakeRun, tmp_path: Path, families: int
) -> None:
    """Ten families have one line each on a wide screen."""
    swept(make_run, tuple(16 + 4 * at for at in range(families)))
    page = opened(report([tmp_path / "runs"]).page, viewport={"width": 390, "height": 844})
    table = page.locator(".lead-table").first
    assert table.evaluate("one => one.classList.contains('dense')") == (families == 10)
    assert not table.locator("thead").is_visible()
    box = table.evaluate("one => [one.parentElement.scrollWidth, one.parentElement.clientWidth]")
    assert box[0] == box[1], "nothing is cut off"
    answer = table.locator("tbody tr").nth(1).locator("td").last
    place = answer.bounding_box()
    assert place["x"] >= 0 and place["x"] + place["width"] <= 390
    assert answer.evaluate("one => getComputedStyle(one, '::before').content") == '"against the best"'
    violations = axe.Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:120]) for v in violations] == []
    wide = opened(tmp_path / "runs/report/report.html")
    assert wide.locator(".lead-table thead").first.is_visible()
