"""What notebooks get: a report's page in a frame, and the steps and evaluations of runs as tidy tables."""

from __future__ import annotations

import html
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lrbench
from lrbench.errors import UsageError
from lrbench.reports import notebook

MakeRun = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("sketches")


@pytest.fixture
def swept(make_run: MakeRun, tmp_path: Path) -> Path:
    """Two batch sizes, three learning rates, two seeds; each run has two evaluations and four steps."""
    for size in (4, 8):
        for lr in (0.01, 0.1, 1.0):
            for seed in range(2):
                make_run([1.0, size * lr], name="bs", lr=lr, seed=seed, batch_size=size)
    return tmp_path / "runs"


# -- the page


def test_a_report_shows_its_page_in_a_frame(swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = lrbench.report(["runs"])
    shown = made._repr_html_()
    (source,) = re.findall(r'<iframe srcdoc="([^"]*)" sandbox="allow-scripts allow-downloads"', shown)
    page = html.unescape(source)
    assert page.replace('<base href="about:srcdoc">', "") == made.page.read_text()
    assert "<" not in source and "allow-same-origin" not in shown
    assert "The page: runs/report/report.html" in shown
    assert made.plot().axes


def test_a_large_or_missing_page_stays_where_it_is(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lrbench.report([swept])
    monkeypatch.setattr(notebook, "MOST_INLINE", 1000)
    shown = made._repr_html_()
    assert "<iframe" not in shown and "report.html" in shown and shown.count("<svg ") == 1
    monkeypatch.undo()
    made.page.unlink()
    assert "<iframe" not in made._repr_html_()


def test_a_notebook_s_table_ends_too(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(33):
        make_run([0.5 + at / 100], name=f"n{at:02}", lr=0.1 + at / 1000)
    made = lrbench.report([tmp_path / "runs"])
    text = lrbench.text_of(made)
    assert "n29" in text and "\nn30" not in text and "3 more groups are not shown." in text


CHROMIUM = os.environ.get("LRBENCH_CHROMIUM") or shutil.which("chromium")


@pytest.mark.usefixtures("rendered")
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, or its path in LRBENCH_CHROMIUM")
def test_the_frame_in_a_browser(swept: Path, tmp_path: Path) -> None:
    """The page draws, its links stay inside it, and it can't read the notebook."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    file = tmp_path / "notebook.html"
    file.write_text(f"<!doctype html><title>notebook</title>{lrbench.report([swept])._repr_html_()}<p>after</p>")
    wrong: list[Any] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.set_default_timeout(10_000)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(file.as_uri())
        frame = page.frames[1]
        frame.locator("html.ready svg.figure-svg").first.wait_for()
        assert frame.evaluate("document.baseURI") == "about:srcdoc"
        name = frame.evaluate("document.querySelector('main [id], body [id]').id")
        frame.evaluate(f"document.body.insertAdjacentHTML('afterbegin', '<a id=link href=\"#{name}\">to a part</a>')")
        frame.locator("#link").click()
        assert frame.evaluate("location.href") == f"about:srcdoc#{name}" and frame.locator("svg.figure-svg").count()
        reached = frame.evaluate("(() => { try { return parent.document.title } catch { return 'nothing' } })()")
        assert reached == "nothing"
        browser.close()
    assert wrong == []


# -- tables


def test_evaluations_are_tidy(swept: Path) -> None:
    found = lrbench.load_evaluations(swept)
    assert list(found) == [
        "run", "name", "label", "family", "group", "seed", "peak_lr", "config.optimizer.lr", "config.batch_size",
        "step", "epoch", "lr", "train_loss", "val_loss", "train_accuracy", "val_accuracy", "seconds",
        "examples_per_second",
    ]  # fmt: skip
    assert len(found) == 12 * 2 and found["run"].nunique() == 12 and found["family"].nunique() == 2
    (one,) = lrbench.load_evaluations(swept, filters=["batch_size=8", "lr=0.1"]).groupby("label", observed=True)
    assert one[1]["val_loss"].tolist() == [1.0, 0.8] * 2 and one[1]["seed"].tolist() == [0, 0, 1, 1]
    assert one[1]["step"].tolist() == [2, 4] * 2 and one[1]["epoch"].tolist() == [1.0, 2.0] * 2
    runs = lrbench.load_runs(swept, filters=["batch_size=8"])
    assert len(runs) == 6 and set(runs["group"]) <= set(found["group"])


def test_steps_are_tidy(swept: Path) -> None:
    found = lrbench.load_steps(swept)
    assert len(found) == 12 * 4 and list(found)[-5:] == ["step", "lr", "momentum", "loss", "grad_norm"]
    assert found["step"].tolist() == [1, 2, 3, 4] * 12
    assert (found["lr"] == found["peak_lr"]).all()
    assert (found["config.optimizer.lr"] == found["peak_lr"]).all()


def test_types_do_not_depend_on_the_runs(swept: Path, make_run: MakeRun) -> None:
    whole, one = lrbench.load_steps(swept), lrbench.load_steps(next(iter(sorted(swept.glob("bs*")))))
    for name in set(whole) & set(one):
        assert whole[name].dtype == one[name].dtype or isinstance(whole[name].dtype, pd.CategoricalDtype), name
    for name in ("run", "name", "label", "family", "group"):
        assert isinstance(one[name].dtype, pd.CategoricalDtype)
    assert (one["step"].dtype, one["seed"].dtype, one["peak_lr"].dtype) == (np.int64, pd.Int64Dtype(), np.float64)
    assert whole["config.batch_size"].dtype == np.int64
    make_run([1.0], name="other", schedule="cosine")
    told = lrbench.load_steps(swept)
    assert isinstance(told["config.schedule.name"].dtype, pd.CategoricalDtype)
    assert told.memory_usage(deep=False).sum() / len(told) < 120, "bytes a row"


def test_runs_that_can_not_be_read_hide_no_others(swept: Path) -> None:
    damaged, stepless, rowless = sorted(swept.glob("bs*"))[:3]
    (damaged / "config.yaml").write_text("name: [")
    (stepless / "steps.csv").unlink()
    (rowless / "steps.csv").write_bytes(b"step,loss\n" + b"1," * 2_000_000 + b"\n")
    steps, evaluations = lrbench.load_steps(swept), lrbench.load_evaluations(swept)
    assert steps["run"].nunique() == 9 and len(steps) == 36
    assert set(evaluations["run"].unique()) == {path.name for path in swept.glob("bs*")} - {damaged.name}


def test_no_runs_and_wrong_filters(swept: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty = lrbench.load_evaluations(tmp_path / "empty")
    assert len(empty) == 0 and {"step", "epoch", "val_loss"} <= set(empty)
    for load in (lrbench.load_runs, lrbench.load_steps, lrbench.load_evaluations):
        with pytest.raises(UsageError, match="no run matches; 'lr' is"):
            load(swept, filters=["lr=7"])
        with pytest.raises(UsageError):
            load(tmp_path / "nowhere")


def test_export_writes_the_same_rows(swept: Path, tmp_path: Path) -> None:
    lrbench.export(swept, to="csv", into=tmp_path / "tables")
    for name, load in (("steps", lrbench.load_steps), ("evaluations", lrbench.load_evaluations)):
        written, loaded = pd.read_csv(tmp_path / "tables" / f"{name}.csv"), load(swept)
        assert list(written)[:3] == ["run", "group", "seed"]
        same = [column for column in written if column in loaded and column != "group"]
        assert {"run", "seed", "step", "lr"} <= set(same)
        pd.testing.assert_frame_equal(written[same], loaded[same].astype(written[same].dtypes.to_dict()))
