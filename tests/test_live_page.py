"""The live page in a real browser, with sweeps that really run under it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked import Starts

from lrbench.config import group, identity
from lrbench.runs import RunFolder
from lrbench.sweeps import Plan, SweepFolder, drop_cell, keep_cell
from lrbench.sweeps.plan import Planned
from lrbench.training import drop_run

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python")

CHROMIUM = os.environ.get("LRBENCH_CHROMIUM") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, or its path in LRBENCH_CHROMIUM")
MakeRun = Callable[..., Path]
expect = playwright.expect
_NOT_LOADED = "Failed to load resource: net::ERR_"
USUAL = (f"{_NOT_LOADED}CONNECTION", f"{_NOT_LOADED}SOCKET_NOT_CONNECTED", "Canvas2D: Multiple readback")
"""What the browser says when a server is gone, and of the tests' own looks at charts."""
SLOWLY = 60_000
"""Milliseconds that something may take on a busy machine."""


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address; at the end nothing may have gone wrong in it, nor have been asked of another server."""
    expect.set_options(timeout=SLOWLY)
    contexts, wrong = [], []

    def open_page(address: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SLOWLY)
        page.on("console", lambda said: None if said.text.startswith(USUAL) else wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(f"{error} {error.stack}"))
        page.on("request", lambda asked: None if asked.url.startswith(address) else wrong.append(asked.url[:100]))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def command(forks: Starts) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts lrbench commands, which end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: object, folder: Path) -> subprocess.Popen[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
        starts = forks if words[0] == "sweep" else Starts()  # the others import no torch
        process = starts.popen(
            ["-m", "lrbench", *map(str, words)], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with its workers
        process.communicate()


def address_in(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"http://\S+/", line):
            return found[0]
    raise AssertionError("".join(said))


def inked(page: Any, selector: str) -> int:
    """How many pixels of a chart are not empty."""
    count: int = page.locator(f"{selector} canvas").first.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 == 3 && v).length"
    )
    return count


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """A sweep of four runs that take long, each of many short epochs."""
    config = {
        "name": "slow",
        "dataset": {"name": "digits", "train_size": 256},
        "model": {"name": "mlp", "hidden": [16]},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "epochs": 4000,
        "batch_size": 32,
        "device": "cpu",
        "sweep": {"lr": [0.01, 0.1], "seed": [0, 1]},
    }
    path = tmp_path / "slow.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def planned(root: Path, name: str = "plan") -> Path:
    """Write the plan of a sweep of all runs in a folder."""
    configs = {path.name: RunFolder(path).config() for path in sorted(root.glob("tiny-*"))}
    cells = [Planned(run, identity(one), group(one), "tiny", one.lr, one.seed) for run, one in configs.items()]
    folder = SweepFolder.of(root, name)
    folder.write(Plan(name, tuple(cells)))
    return folder.path


def test_the_page_is_accessible_and_follows_its_folder(
    opened: Callable[..., Any], command: Callable[..., Any], make_run: MakeRun, tmp_path: Path
) -> None:
    make_run([1.0, 0.5], lr=0.1)
    failed = make_run([1.0], lr=0.2, status="failed")
    (failed / "error.log").write_text("Traceback\nValueError: <b>no</b> data\n")
    make_run([], lr=0.3, status=None)
    planned(tmp_path / "runs")
    page = opened(address_in(command("serve", "--no-open", "--port", 0, folder=tmp_path)))
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#live .sweep")).to_contain_text("2 of 3 runs")
    page.locator("#live .failed summary").click()
    expect(page.locator("#live .failed pre")).to_have_text("Traceback\nValueError: <b>no</b> data")
    assert page.locator("#live .failed a").get_attribute("href") == f"runs/0/{failed.name}/error.log"
    assert page.title().startswith("2/3 ")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.locator("#live details:not(.failed) summary").click()
    filter_row = page.locator("#filter")
    filter_row.fill("lr")
    filter_row.focus()
    page.evaluate("scrollTo(0, 300)")
    make_run([1.0, 0.4], lr=0.4)
    expect(page.locator("#results tbody")).to_contain_text("0.4")
    assert page.evaluate("document.activeElement.id") == "filter" and filter_row.input_value() == "lr"
    assert page.locator("#live details[open]").count() == 2
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_buttons_ask_before_they_write_a_request(
    opened: Callable[..., Any], command: Callable[..., Any], make_run: MakeRun, tmp_path: Path
) -> None:
    make_run([1.0, 0.5], lr=0.1)
    pending = make_run([], lr=0.3, status=None)
    asked = planned(tmp_path / "runs") / "requests"
    page = opened(address_in(command("serve", "--no-open", "--port", 0, folder=tmp_path)))
    page.locator("#live summary").click()
    drop = page.get_by_role("button", name="Drop")
    drop.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Drop tiny")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert not asked.exists()
    drop.click()
    page.get_by_role("button", name="Drop this run").click()
    expect(page.get_by_role("button", name="Keep")).to_be_visible()
    assert [path.name for path in asked.iterdir()] == [f"drop-{pending.name}"]
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("button", name="Keep this run").click()
    expect(drop).to_be_visible()
    assert list(asked.iterdir()) == []
    page.get_by_role("button", name="Add seeds").click()
    page.get_by_role("spinbutton", name="Seeds").fill("0")
    page.get_by_role("dialog").get_by_role("button", name="Add seeds").click()
    assert list(asked.iterdir()) == []  # the browser says that it must be at least 1
    page.get_by_role("spinbutton", name="Seeds").fill("3")
    page.get_by_role("combobox", name="Of").select_option("tiny")
    page.get_by_role("spinbutton", name="Seeds").press("Enter")
    expect(page.locator("#live")).to_contain_text("asked for 3 more seeds")
    (file,) = asked.iterdir()
    assert file.read_text() == "3 of tiny\n"


def test_a_run_that_was_dropped_under_way_can_be_kept(
    opened: Callable[..., Any], command: Callable[..., Any], make_run: MakeRun, tmp_path: Path
) -> None:
    make_run([1.0, 0.5], lr=0.1)
    run = RunFolder(make_run([1.0], lr=0.3, status=None))
    sweep = SweepFolder(planned(tmp_path / "runs"))
    drop_cell(sweep, run.name)
    drop_run(run, run.config())  # as the process that trains it does
    page = opened(address_in(command("serve", "--no-open", "--port", 0, folder=tmp_path)))
    dropped = page.locator("#live details[data-key$=dropped]")
    expect(dropped.locator("summary")).to_have_text("1 dropped by hand")
    expect(page.locator("#live .sweep")).to_contain_text("2 of 2 runs")
    expect(page.locator("#live .sweep")).to_contain_text("All runs have ended.")
    dropped.locator("summary").click()
    expect(dropped.locator("tbody td").first).to_have_text("dropped after 2 steps")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("dialog")).to_contain_text("It is trained after all.")
    page.get_by_role("button", name="Keep this run").click()
    expect(dropped.locator("tbody td").first).to_have_text("dropped after 2 steps; to be trained after all")
    assert list((sweep.path / "requests").iterdir()) == []
    expect(page.get_by_role("button", name="Keep")).to_have_count(0)


def test_what_can_hardly_change_the_answer_is_listed_with_its_reason(
    opened: Callable[..., Any], command: Callable[..., Any], make_run: MakeRun, tmp_path: Path
) -> None:
    for seed, noise in enumerate((0.01, -0.01, 0.02)):
        make_run([1.0, 0.5 + noise], lr=0.1, seed=seed)
        make_run([1.0, 0.52 - noise], lr=0.2, seed=seed)
        if seed < 2:
            make_run([3.0, 2.0 + noise], lr=0.01, seed=seed)
    hopeless, open_one = make_run([], lr=0.01, seed=2, status=None), make_run([], lr=0.2, seed=3, status=None)
    sweep = SweepFolder(planned(tmp_path / "runs"))
    page = opened(address_in(command("serve", "--no-open", "--port", 0, folder=tmp_path)))
    advice = page.locator("#live details[data-key$=decided]")
    expect(advice.locator("summary")).to_have_text("1 run could be dropped: it can hardly change the answer")
    advice.locator("summary").click()
    expect(advice.locator("tbody tr")).to_have_count(1)
    assert advice.locator("tbody tr").get_attribute("data-key") == hopeless.name != open_one.name
    expect(advice.locator("tbody th")).to_have_text("tiny, lr 0.01, seed 2")
    expect(advice.locator("tbody td").first).to_contain_text("2 of its 3 seeds give 2 against 0.5065 at 0.1")
    expect(advice.locator("tbody td").first).to_contain_text("to become the best")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    advice.get_by_role("button", name="Drop").click()
    page.get_by_role("button", name="Drop this run").click()
    expect(advice.locator("tbody td").last).to_contain_text("is being dropped")
    assert [path.name for path in (sweep.path / "requests").iterdir()] == [f"drop-{hopeless.name}"]
    keep_cell(sweep, hopeless.name)  # by hand
    expect(advice.get_by_role("button", name="Drop")).to_be_visible()
    drop_run(hopeless_run := RunFolder(hopeless), hopeless_run.config())  # then there is nothing left to advise
    expect(advice).to_have_count(0)


def test_a_read_only_page_has_no_buttons(
    opened: Callable[..., Any], command: Callable[..., Any], make_run: MakeRun, tmp_path: Path
) -> None:
    make_run([], lr=0.3, status=None)
    planned(tmp_path / "runs")
    page = opened(address_in(command("serve", "--no-open", "--port", 0, "--read-only", folder=tmp_path)))
    expect(page.locator("#connection")).to_have_text("Live, read-only")
    expect(page.locator("#live .sweep")).to_contain_text("0 of 1 run")
    assert page.locator("#live button").count() == 0


def test_a_page_says_when_its_server_is_gone(
    opened: Callable[..., Any], command: Callable[..., Any], make_run: MakeRun, tmp_path: Path
) -> None:
    make_run([1.0, 0.5], lr=0.1)
    server = command("serve", "--no-open", "--port", 0, folder=tmp_path)
    page = opened(address_in(server))
    expect(page.locator("#connection")).to_have_text("Live")
    server.send_signal(signal.SIGINT)
    assert server.wait(60) == 130
    expect(page.locator("#connection")).to_contain_text("The server was stopped.")
    expect(page.locator("main")).to_contain_text("80.00")  # what was shown stays


@pytest.mark.slow
def test_curves_grow_under_a_sweep_that_is_killed(
    opened: Callable[..., Any], command: Callable[..., Any], grid: Path, tmp_path: Path
) -> None:
    sweep = command("sweep", grid, "--jobs", 2, folder=tmp_path)
    page = opened(address_in(command("serve", "--no-open", "--port", 0, folder=tmp_path)))
    second = opened(page.url)
    expect(page.locator("#live tbody tr")).to_have_count(4)
    expect(page.locator("#live")).to_contain_text("2 running")
    expect(page.locator("#live")).to_contain_text("val loss")
    steps = page.locator("#live td progress").first
    before = steps.get_attribute("value")
    expect(steps).not_to_have_attribute("value", str(before))
    chart = page.locator("[data-chart] canvas").first
    chart.wait_for()
    drawn = inked(page, "[data-chart]")
    end = time.monotonic() + 60
    while inked(page, "[data-chart]") == drawn and time.monotonic() < end:
        page.wait_for_timeout(200)
    assert inked(page, "[data-chart]") != drawn
    expect(second.locator("#live")).to_contain_text("2 running")
    os.killpg(sweep.pid, signal.SIGKILL)
    for one in (page, second):
        expect(one.locator("#live")).to_contain_text("2 interrupted")
        expect(one.locator("#live")).to_contain_text("The same lrbench sweep command goes on with it.")


@pytest.mark.slow
def test_a_sweep_obeys_the_buttons_of_its_own_page(
    opened: Callable[..., Any], command: Callable[..., Any], grid: Path, tmp_path: Path
) -> None:
    sweep = command("sweep", grid, "--jobs", 1, "--serve", folder=tmp_path)
    page = opened(address_in(sweep))
    expect(page.locator("#live")).to_contain_text("1 running")
    page.get_by_role("button", name="Stop after these runs").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop after these runs").click()
    expect(page.locator("#live")).to_contain_text("Stops after the current runs")
    page.get_by_role("button", name="Drop").first.click()
    page.get_by_role("button", name="Drop this run").click()
    said, _ = sweep.communicate(timeout=120)
    assert sweep.returncode not in (0, 2), said
    expect(page.locator("#connection")).to_contain_text("The training command has ended")
    results = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/result.json")]
    assert [(one["status"], one["reason"]) for one in results] == [("pruned", "dropped by hand")]


@pytest.mark.slow
def test_the_server_ends_with_a_sweep_that_is_killed(
    opened: Callable[..., Any], command: Callable[..., Any], grid: Path, tmp_path: Path
) -> None:
    sweep = command("sweep", grid, "--jobs", 1, "--serve", folder=tmp_path)
    page = opened(address_in(sweep))
    expect(page.locator("#live")).to_contain_text("1 running")
    sweep.kill()
    expect(page.locator("#connection")).to_contain_text("The training command has ended")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            page.request.get(page.url)
        except playwright.Error:
            return
        time.sleep(0.2)
    raise AssertionError("the server still answers")
