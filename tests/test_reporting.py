"""Reports from run folders made by hand, so that every number in them is known."""

from __future__ import annotations

import html.parser
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

import lrbench
from lrbench.analysis import duration, grouped, load_runs, read_runs
from lrbench.components import LOSS, epoch_columns
from lrbench.components.metrics import ACCURACY
from lrbench.config import group, identity, load_config, run_name
from lrbench.errors import FolderError, UsageError
from lrbench.reports.charted import loss_limits
from lrbench.reports.escape import csv
from lrbench.reports.escape import markdown as escaped
from lrbench.reports.figures.layout import Layout
from lrbench.reports.figures.style import line_of, write
from lrbench.reports.reporting import gather, report
from lrbench.reports.tables import table as table_of
from lrbench.runs import RunFolder, RunResult, Status

pytestmark = pytest.mark.usefixtures("sketches")
MakeRun = Callable[..., Path]


def test_load_runs_has_a_row_for_each_run(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run([0.5, 0.2, 0.3], reference={"test_loss": 0.25, "test_accuracy": 0.9, "source": "a book"})
    make_run([9.0], status="diverged", name="wild", lr=5.0)
    frame = lrbench.load_runs(tmp_path / "runs").set_index("name")
    row = frame.loc["tiny"]
    assert (row.seed, row.state, row.epochs, row.steps, row.seconds) == (0, "finished", 3, 6, 1.5)
    assert (row.val_loss, row.best_val_loss, row.best_epoch) == (0.3, 0.2, 2)
    assert (row.test_loss, row.test_best_loss) == (pytest.approx(0.31), pytest.approx(0.22))
    assert (row.reference_test_loss, row.reference_test_accuracy) == (0.25, 0.9)
    assert row["config.optimizer.lr"] == 0.1
    assert row.folder == str(path)
    assert frame.loc["wild"].state == "diverged"
    assert math.isnan(frame.loc["wild"].val_loss)


def test_seeds_are_taken_together_as_median_and_range(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, last in enumerate((0.3, 0.1, 0.4)):
        make_run([0.5, last], seed=seed)
    (only,) = grouped(read_runs([tmp_path / "runs"]))
    spread = only.spread("val_loss")
    assert spread is not None
    assert (spread.median, spread.low, spread.high, spread.n) == (0.3, 0.1, 0.4, 3)
    curve = only.curve("val_loss")
    assert curve.places.tolist() == [1, 2]
    assert curve.median.tolist() == [0.5, 0.3]
    assert curve.low.tolist() == [0.5, 0.1]
    assert curve.high.tolist() == [0.5, 0.4]


def test_a_curve_is_the_median_of_the_seeds_that_got_so_far(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.5, 0.1, 0.3], seed=0)
    make_run([0.7, 0.2, math.nan], seed=1, status="diverged")
    make_run([0.6, math.nan, math.nan], seed=2, status="diverged")
    make_run([0.8, math.nan, math.nan], seed=3, status="diverged")
    curve = grouped(read_runs([tmp_path / "runs"]))[0].curve("val_loss")
    assert curve.places.tolist() == [1, 2, 3]
    assert curve.median.tolist() == pytest.approx([0.65, 0.15, 0.3])
    assert curve.low.tolist() == [0.5, 0.1, 0.3] and curve.high.tolist() == [0.8, 0.2, 0.3]


def test_a_diverged_seed_enters_no_median_and_is_counted(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.5, 0.3], seed=0)
    make_run([0.5, 0.2], seed=1, status="diverged")
    (only,) = grouped(read_runs([tmp_path / "runs"]))
    spread = only.spread("val_loss")
    assert spread is not None
    assert (spread.median, spread.n) == (0.3, 1)
    assert only.status() == "1 finished, 1 diverged"


def test_ranking_puts_the_lowest_final_loss_first_and_what_has_none_last(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.4], name="middle", lr=0.2)
    make_run([0.9], name="worst", lr=0.3)
    make_run([0.1], name="best", lr=0.4)
    make_run([7.0], name="gone", lr=0.5, status="diverged")
    make_run([0.05], name="half", lr=0.6, status=None)
    labels = [g.label for g in grouped(read_runs([tmp_path / "runs"]))]
    assert labels == ["best", "middle", "worst", "half", "gone"]


def test_one_name_with_different_configs_says_what_differs(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.4], lr=0.1)
    make_run([0.3], lr=0.01)
    make_run([0.2], lr=0.5, name="other")
    assert {g.label for g in grouped(read_runs([tmp_path / "runs"]))} == {"tiny lr=0.1", "tiny lr=0.01", "other"}


def test_table_has_the_published_numbers_only_where_a_config_has_them(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.4])
    made = report([tmp_path / "runs"])
    text = made.page.with_suffix(".md").read_text()
    assert "published" not in text
    make_run([0.3], name="known", lr=0.2, reference={"test_loss": 0.0286})
    text = report([tmp_path / "runs"]).page.with_suffix(".md").read_text()
    header, _, first, second = (line for line in text.splitlines() if line.startswith("|"))
    column = [cell.strip() for cell in header.split("|")].index("published test loss")
    assert first.split("|")[column].strip() == "0.0286"
    assert second.split("|")[column].strip() == "–"


def test_csv_reads_back_unrounded(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.123456789012345])
    made = report([tmp_path / "runs"])
    frame = pd.read_csv(made.page.with_suffix(".csv"))
    assert frame.loc[0, "val_loss"] == 0.123456789012345
    assert frame.loc[0, "run"] == "tiny"
    assert len(pd.read_csv(made.page.with_name("runs.csv"))) == 1


def _to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "result is torn": lambda p: (p / "result.json").write_text('{"status": "fini'),
    "result is a list": lambda p: (p / "result.json").write_text("[]"),
    "result holds NaN": lambda p: (p / "result.json").write_text('{"status": "finished", "seconds": NaN}'),
    "config is not UTF-8": lambda p: (p / "config.yaml").write_bytes(b"name: \xff"),
    "config is gone": lambda p: (p / "config.yaml").unlink(),
    "config has a wrong key": lambda p: (p / "config.yaml").write_text("nme: x"),
    "environment is torn": lambda p: (p / "env.json").write_text("{"),
    "a loss is text": lambda p: (p / "result.json").write_text('{"status": "finished", "final": {"val_loss": "x"}}'),
    "epochs are gone": lambda p: (p / "epochs.csv").unlink(),
    "a rate is text": lambda p: (p / "epochs.csv").write_text((p / "epochs.csv").read_text().replace(",0.1,", ",abc,")),
    "epochs lack columns": lambda p: (p / "epochs.csv").write_text("epoch,step\n1,2\n"),
    "epochs are binary": lambda p: (p / "epochs.csv").write_bytes(bytes(range(256)) * 4),
    "epochs are a pipe": lambda p: _to_pipe(p / "epochs.csv"),
    "steps are binary": lambda p: (p / "steps.csv").write_bytes(bytes(range(256)) * 4),
    "steps are a pipe": lambda p: _to_pipe(p / "steps.csv"),
    "steps are a folder": lambda p: ((p / "steps.csv").unlink(), (p / "steps.csv").mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_named_and_hides_no_other(make_run: MakeRun, tmp_path: Path, damage: str) -> None:
    make_run([0.4], name="whole", lr=0.2)
    path = make_run([0.3])
    DAMAGES[damage](path)
    made = report([tmp_path / "runs"])
    assert [r.folder.name for r in made.damaged] == [path.name]
    assert "whole" in [g.label for g in made.groups]
    assert path.name in made.page.read_text()
    assert "1 damaged" in made.page.read_text()


@pytest.mark.usefixtures("rendered")
@pytest.mark.parametrize("damage", ["torn row", "no steps", "empty epochs", "steps are torn"])
def test_small_losses_do_not_count_as_damage(make_run: MakeRun, tmp_path: Path, damage: str) -> None:
    path = make_run([0.4, 0.3], status=None)
    if damage == "torn row":
        with (path / "epochs.csv").open("a") as file:
            file.write("3,6,0.1,0.2")
    elif damage == "no steps":
        (path / "steps.csv").unlink()
    elif damage == "empty epochs":
        (path / "epochs.csv").write_text("")
    else:
        (path / "steps.csv").write_text("step,lr,momentum,loss,grad_norm\n1,0.1,0,1,1\n2,0.")
    made = report([tmp_path / "runs"])
    assert not made.damaged
    assert made.records[0].status is Status.INTERRUPTED
    assert len(made.records[0].epochs) == (0 if damage == "empty epochs" else 2)


def test_copied_run_folders_report_the_same(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.4, 0.3])
    make_run([0.5, 0.2], name="other", lr=0.3)
    before = report([tmp_path / "runs"])
    shutil.copytree(tmp_path / "runs", tmp_path / "elsewhere", ignore=shutil.ignore_patterns("report"))
    after = report([tmp_path / "elsewhere"])
    for suffix in (".csv", ".md"):
        assert before.page.with_suffix(suffix).read_text() == after.page.with_suffix(suffix).read_text()


class Page(html.parser.HTMLParser):
    """Collects tags, text and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.usefixtures("rendered")
def test_the_page_is_self_contained_and_escapes_what_it_shows(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run([0.4], reference={"test_loss": 1.0, "source": "<script>alert(1)</script>"})
    hostile = '<img src=x onerror=alert(1)> "quoted" 😀 ' + "long" * 50
    text = (path / "config.yaml").read_text().replace("name: tiny", f"name: {json.dumps(hostile)}", 1)
    (path / "config.yaml").write_text(text, encoding="utf-8")
    page = Page(report([tmp_path / "runs"]).page.read_text(encoding="utf-8"))
    assert page.tags.count("script") == 5  # the numbers, packed rows and curves, the charts' library, the page's own
    assert "img" not in page.tags and "link" not in page.tags
    assert all(address.startswith("#") for address in page.addresses)
    assert "<script>alert(1)</script>" in page.text
    assert hostile[:60] in page.text


@pytest.mark.usefixtures("rendered")
def test_figures_are_there_for_odd_collections(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.4], name="one epoch", lr=0.2)
    make_run([], name="none", lr=0.3, status=None)
    make_run([1e9, 1e3], name="huge", lr=0.4)
    make_run([0.0, 0.0], name="zero", lr=0.5)
    for lr in range(1, 25):
        make_run([1.0 / lr] * 3, name=f"many {lr}", lr=float(lr))
    made = report([tmp_path / "runs"])
    png = made.page.with_suffix(".png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert made.page.with_suffix(".svg").read_text().count("<svg") == 1
    assert len(made.groups) == 28


def test_all_lines_of_48_groups_look_different() -> None:
    looks = [line_of(i) for i in range(48)]
    assert len({(look.colour, look.dash) for look in looks}) == 48
    assert len({look.colour for look in looks[:12]}) == 12, "as many as a figure has in colour"
    for one, other in pairwise(looks):
        assert one.colour != other.colour and one.dash != other.dash and one.marker != other.marker


@pytest.mark.parametrize("width", [None, 3.3, 6.8, 10])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 12, 17, 60])
def test_axes_lie_inside_the_figure_and_do_not_overlap(count: int, width: float | None) -> None:
    place = Layout.of(count, width, legend=0.4)
    assert width is None or place.width == pytest.approx(width)
    boxes = [place.overlay(), *(box for i in range(count) for box in place.panel(i))]
    for x, y, width, height in boxes:
        assert 0 < x < x + width < 1
        assert 0 < y < y + height < 1
    for i, (ax, ay, aw, ah) in enumerate(boxes):
        for bx, by, bw, bh in boxes[i + 1 :]:
            assert ax + aw < bx or bx + bw < ax or ay + ah < by or by + bh < ay


def test_the_summary_does_not_call_overlapping_runs_apart(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, (a, b) in enumerate(((0.19, 0.2), (0.2, 0.22), (0.21, 0.19))):
        make_run([a], name="left", lr=0.1, seed=seed)
        make_run([b], name="right", lr=0.2, seed=seed)
        make_run([2.3], name="far", lr=0.3, seed=seed)
    text = report([tmp_path / "runs"]).page.with_suffix(".md").read_text()
    assert "left has the lowest validation loss, 0.1998 (95% interval 0.176 to 0.226, three seeds), and a test" in text
    assert "With three seeds each, right can't be distinguished from it (about " in text
    assert "; far is worse, by a factor of 12 (" in text and "far:" not in text


def test_one_seed_is_said_to_be_little(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.1], name="left", lr=0.1)
    make_run([0.2], name="right", lr=0.2)
    assert (
        "right is next, 0.2; with one seed each, small differences may be chance"
        in report([tmp_path / "runs"]).page.read_text()
    )


def test_mixed_threads_and_data_sets_are_said(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run([0.1])
    make_run([0.2], name="other", lr=0.3)
    environment = json.loads((path / "env.json").read_text())
    (path / "env.json").write_text(json.dumps({**environment, "threads": 2}))
    text = report([tmp_path / "runs"]).page.read_text()
    assert re.search(r"CPU threads: 1, 2; mixed", text) and "one by one" not in text
    (path / "env.json").write_text(json.dumps({**environment, "stacked": True}))
    assert "trained: in stacks, one by one; mixed" in report([tmp_path / "runs"]).page.read_text()


def test_paths_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such run"):
        report([tmp_path / "nothing"])
    with pytest.raises(UsageError, match="no runs in"):
        report([tmp_path])


def test_a_report_that_cannot_be_written(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.1])
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="cannot write"):
        report([tmp_path / "runs"], tmp_path / "file" / "report")


def test_texts_of_numbers() -> None:
    assert [LOSS.text(v) for v in (0.0286, 2.3189, 123456.0)] == ["0.0286", "2.319", "1.23e+05"]
    assert [duration(v) for v in (3.21, 348.0, 3723.4)] == ["3.2 s", "5:48", "1:02:03"]


def test_epochs_csv_columns_are_the_contract(make_run: MakeRun) -> None:
    header = (make_run([0.1]) / "epochs.csv").read_text().splitlines()[0]
    wanted = "epoch,step,lr,train_loss,val_loss,train_accuracy,val_accuracy,seconds,examples_per_second"
    assert header == wanted == ",".join(epoch_columns([ACCURACY]))


def test_identity_and_group_in_the_result_match_the_config(make_run: MakeRun) -> None:
    path = make_run([0.1], seed=3)
    experiment, result = load_config(path / "config.yaml"), json.loads((path / "result.json").read_text())
    assert result["identity"] == identity(experiment)
    assert result["group"] == group(experiment)
    assert path.name.endswith(result["identity"][:8])


def test_copies_of_a_run_are_left_out_and_named(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run([0.4])
    shutil.copytree(path, tmp_path / "runs" / "copied")
    made = report([tmp_path / "runs"])
    assert [len(g.records) for g in made.groups] == [1]
    assert [(r.status, r.folder.name) for r in made.damaged] == [("copy", "copied")]
    for page in (made.page, made.page.with_suffix(".md")):
        text = page.read_text()
        assert "Damaged or left out" in text and f"a copy of {path}" in text


def _torn(path: Path) -> str:
    (path / "result.json").write_text("{ torn")
    return "and it can't be read: "


def _better_than_logged(path: Path) -> str:
    result = json.loads((path / "result.json").read_text())
    (path / "result.json").write_text(json.dumps({**result, "final": {**result["final"], "val_loss": 0.001}}))
    return "and its result.json has another val_loss than its epochs.csv"


def _another_rate(path: Path) -> str:
    for file in (path / "epochs.csv", path / "steps.csv"):
        if file.exists():
            first, *rows = file.read_text().splitlines()
            at = first.split(",").index("lr")
            cells = [row.split(",") for row in rows]
            file.write_text("\n".join([first, *(",".join([*c[:at], "7.0", *c[at + 1 :]]) for c in cells)]) + "\n")
    return "and it fails its audit: "


@pytest.mark.parametrize("spoil", [_torn, _better_than_logged, _another_rate])
def test_of_two_copies_the_intact_one_counts(make_run: MakeRun, tmp_path: Path, cli: Any, spoil: Any) -> None:
    path = make_run([0.4, 0.3])
    shutil.copytree(path, tmp_path / "runs" / "copied")
    why = spoil(path)
    counting = [record for record in read_runs([tmp_path / "runs"]) if record.status.complete]
    assert [(record.folder.name, record.metric("val_loss")) for record in counting] == [("copied", 0.3)]
    code, out, _ = cli("report")
    assert code == 0 and f"left out: {path.name}: a copy of runs/copied, {why}" in out, out


@pytest.mark.parametrize("odd", ["-rf", "0\n\n[red]Error: all is lost", "\x1b[31m"])
def test_the_folder_with_a_runs_own_name_is_the_original(make_run: MakeRun, tmp_path: Path, cli: Any, odd: str) -> None:
    path = make_run([0.4])
    shutil.copytree(path, path.parent / odd)
    (path.parent / "-link").symlink_to(path)
    (path.parent / f"{odd}damaged").mkdir()
    (path.parent / f"{odd}damaged" / "config.yaml").write_text("[")
    (original,) = [r for r in read_runs([path.parent]) if r.status.complete]
    assert original.folder.name == path.name
    code, out, _ = cli("report")
    shown = odd.replace("\n", "\ufffd").replace("\x1b", "\ufffd")
    assert code == 0 and f"left out: {shown}: a copy of runs/{path.name}\n" in out
    assert f"damaged: runs/{shown}damaged/config.yaml" in out and f" {shown[:9]}" in out
    assert not any(line.startswith(("Error", "[red]Error")) for line in out.splitlines())


def test_different_tasks_are_not_ranked(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.4])
    make_run([0.2], name="other", loss="mse")
    text = report([tmp_path / "runs"]).page.with_suffix(".md").read_text()
    assert "digits with cross_entropy; digits with mse" in text
    assert "lowest" not in text


# -- many runs, some damaged, somewhere else


def written_run(root: Path, experiment: Any, val_loss: float) -> Path:
    """A finished run's folder as training leaves it, without the training."""
    folder = RunFolder(root / run_name(experiment))
    folder.create(experiment, {"identity": identity(experiment), "sizes": {"steps_per_epoch": 2}})
    at = {"epoch": 1, "step": 2}
    values = {"train_loss": 2.0, "train_accuracy": 0.3, "val_loss": 2.0, "val_accuracy": 0.3}
    folder.open_logs([ACCURACY])
    folder.steps.append([{"step": 1, "lr": 0.1, "loss": 2.0, "grad_norm": 1.0}])
    folder.epochs.append([{**at, "lr": 0.1, **values, "seconds": 0.1, "examples_per_second": 9.0}])
    folder.close_logs()
    judged = {**at, "val_loss": val_loss, "val_accuracy": 0.5}
    test = {"loss": val_loss, "accuracy": 0.5}
    done: dict[str, Any] = {"epochs": 1, "steps": 2, "evaluations": 1, "seconds": 0.1, "effective_lr": 0.1}
    result = RunResult(Status.FINISHED, **done, final=judged, best=judged, test=test, test_best=test)
    folder.finish(experiment, result)
    return folder.path


WOUNDS: list[tuple[str, bytes | None]] = [
    ("config.yaml", b"name: [\n"),
    ("config.yaml", b"\xff\xfe"),
    ("config.yaml", None),
    ("config.yaml", b"a: &a [x]\n" + b"b: [" + b"*a, " * 9 + b"*a]\n"),
    ("result.json", b""),
    ("result.json", b'{"status": "finished", "final": {"val_loss": NaN}}'),
    ("result.json", b"[]"),
    ("env.json", b"{"),
    ("epochs.csv", b"something,else\n1,2\n"),
    ("epochs.csv", b""),
]


@pytest.mark.slow
@pytest.mark.usefixtures("rendered")
def test_a_thousand_runs_ten_of_them_damaged(tmp_path: Path, tiny: Any) -> None:
    paths = [written_run(tmp_path, tiny(seed=seed, epochs=1), 0.5 + seed / 2000) for seed in range(1000)]
    for path, (name, raw) in zip(paths[::100], WOUNDS, strict=True):
        if raw is None:
            (path / name).unlink()
        else:
            (path / name).write_bytes(raw)
    made = report([tmp_path], tmp_path / "report")
    assert len(made.damaged) == 10
    assert {record.folder.path for record in made.damaged} == set(paths[::100])
    for record in made.damaged:
        assert record.problem.strip() and "Traceback" not in record.problem
    assert sum(record.status.complete for group in made.groups for record in group.records) == 990
    (whole,) = (group for group in made.groups if any(record.status.complete for record in group.records))
    spread = whole.spread("val_loss")
    assert spread is not None and spread.n == 990
    assert all(path.name in made.page.read_text() for path in paths[::100])


def test_a_run_copied_elsewhere_reports_the_same(tmp_path: Path, tiny: Any) -> None:
    (outcome,) = lrbench.run([tiny()], runs=tmp_path / "here")
    shutil.copytree(outcome.path, tmp_path / "there" / "renamed")
    frames = [load_runs(tmp_path / where).drop(columns="folder") for where in ("here", "there")]
    assert frames[0].to_csv() == frames[1].to_csv()
    tables = [report([tmp_path / where], tmp_path / f"{where}-report") for where in ("here", "there")]
    assert len({(made.page.parent / "report.csv").read_text() for made in tables}) == 1


# -- figures and files beside the page


@pytest.mark.usefixtures("rendered")
@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy", "best_val_loss", "test_accuracy"])
def test_figures_of_every_kind_of_value(make_run: MakeRun, tmp_path: Path, metric: str) -> None:
    for lr in (0.1, 0.2, 0.4):
        for seed in range(3):
            make_run([1.0, lr + seed / 100], lr=lr, seed=seed)
    made = report([tmp_path / "runs"], metric=metric, target="val_accuracy=0.9")
    names = {path.name for path in made.files}
    figures = {f"{name}.{suffix}" for name in ("seeds", "rates", "target", "arrivals") for suffix in ("png", "svg")}
    assert figures <= names and {"winner.py", "winner.yaml"} <= names
    assert all(path.stat().st_size > 300 for path in made.files)
    text = made.page.read_text(encoding="utf-8")
    drawn = re.sub(r"<style>.*?</style>", "", text, flags=re.S).lower()
    assert text.count("<svg role=") == 4 and not re.search(r"(?<!var\(--c0, )#0072b2", drawn)  # colours of the page


@pytest.mark.usefixtures("rendered")
@pytest.mark.usefixtures("rendered")
@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ((1e-12, 1e307, 1.0), "beyond the axis, up to 1e+307"),
        ((-1e307, 8e307, 1.0), "beyond ±1e+200: drawn there"),
        ((8.1e307, 8.2e307, 8.3e307), "beyond ±1e+200: drawn there"),
        ((5e-324, 1e-308, 1e-300), "validation loss"),
    ],
)
def test_values_of_any_size_are_drawn_without_a_warning(
    make_run: MakeRun, tmp_path: Path, losses: tuple[float, ...], told: str
) -> None:
    for lr, loss in enumerate(losses, start=1):
        make_run([loss, loss], lr=lr / 10)
        make_run([loss, loss], lr=lr / 10, seed=1)
    made = report([tmp_path / "runs"])  # warnings are errors
    drawn = [path.read_text() for path in made.files if path.suffix in (".html", ".svg")]
    assert any(told in text for text in drawn)
    assert {"report.svg", "seeds.svg", "rates.svg"} <= {path.name for path in made.files}


def test_losses_below_zero_are_drawn_on_even_axes(make_run: MakeRun, tmp_path: Path) -> None:
    for lr in (0.1, 0.2, 0.4):
        for seed in range(3):
            make_run([1.0, -lr - seed / 100], lr=lr, seed=seed)
    made = report([tmp_path / "runs"])
    assert loss_limits(made.groups)[0] < 0
    assert (
        "The best learning rate tried is 0.4, with a validation loss of -0.41 (95% interval -0.435 to -0.385, three"
        in made.page.with_suffix(".md").read_text()
    )


def test_figures_of_an_earlier_report_do_not_stay(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([1.0, 0.5])
    folder = report([tmp_path / "runs"], target="val_loss=0.6").page.parent
    assert (folder / "target.png").exists() and (folder / "winner.py").exists()
    make_run([1.0, 0.5], name="other", loss="mse")  # another task: nothing is compared
    report([tmp_path / "runs"])
    assert not (folder / "target.png").exists() and not (folder / "winner.py").exists()


def test_the_winners_code_and_config_are_its_own(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.5], lr=0.3, name="worse")
    make_run([0.1], lr=0.7, name="better", clip_grad_norm=2.0)
    folder = report([tmp_path / "runs"]).page.parent
    lines = (folder / "winner.py").read_text()
    compile(lines, "winner.py", "exec")
    assert "torch.optim.SGD(model.parameters(), lr=0.7" in lines and "clip_grad_norm_(model.parameters(), 2.0)" in lines
    assert load_config(folder / "winner.yaml").optimizer.params["lr"] == 0.7
    text = (folder / "report.md").read_text()
    assert "## The code of better" in text and "With one seed, this may be chance" in text


def test_the_winners_config_keeps_text_that_looks_like_a_number(make_run: MakeRun, tmp_path: Path) -> None:
    page = report([make_run([0.4], name="1e5").parent], tmp_path / "out").page
    assert load_config(page.with_name("winner.yaml")).name == "1e5"
    assert "name: &#39;1e5&#39;" in page.read_text()


def test_a_target_that_too_few_seeds_reach_is_not_said_to_be_missed_by_all(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, last in enumerate((0.3, 0.3, 0.5)):
        make_run([1.0, last], name="most", lr=0.1, seed=seed)
        make_run([1.0, 0.3 if last == 0.5 else 0.5], name="one", lr=0.2, seed=seed)
        make_run([1.0, 0.9], name="none", lr=0.3, seed=seed)
    text = report([tmp_path / "runs"], target="val_loss=0.3").page.with_suffix(".md").read_text()
    assert "most reaches val_loss ≤ 0.3 first, after 2 epochs" in text
    assert "; not in the median: one (1 of 3 seeds do); never: none." in text


def test_markdown_has_no_tags_of_a_damaged_run(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run([0.5])
    (folder / "config.yaml").write_text("name: <img src=x onerror=alert(1)>\n", encoding="utf-8")
    text = report([tmp_path / "runs"]).page.with_suffix(".md").read_text()
    assert "Damaged or left out" in text and "<img" not in text


def test_test_data_make_a_warning_when_they_choose(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.5], lr=0.3)
    made = report([tmp_path / "runs"], metric="test_loss")
    assert "Compared by test data" in made.page.read_text()
    assert "Compared by test data" not in report([tmp_path / "runs"], metric="best_val_loss").page.read_text()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("optimizer.lr>=0.2", {0.2, 0.4}),
        ("optimizer.lr < 0.2", {0.1}),
        ("optimizer.lr<=0.2", {0.1, 0.2}),
        ("optimizer.lr>0.2", {0.4}),
        ("optimizer.lr!=0.2", {0.1, 0.4}),
        ("optimizer.lr=2e-1", {0.2}),
    ],
)
def test_filters_compare_numbers(make_run: MakeRun, tmp_path: Path, text: str, kept: set[float]) -> None:
    for lr in (0.1, 0.2, 0.4):
        make_run([1.0], lr=lr)
    shown = gather([tmp_path / "runs"], filters=[text])
    assert {record.plain["optimizer"]["lr"] for record in shown.records} == kept


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name=[", "no run"),
        ("nothing>=3", "no run"),
        ("optimizer.lr>=7", "no run"),
        ("name>=x", r">= needs a number after it \(got 'x'\)"),
        ("epochs>=", r">= needs a number after it \(got ''\)"),
        ("=", "must be key=value, or with !="),
        ("<", "must be key=value, or with !="),
    ],
)
def test_filters_that_fit_nothing_say_so(make_run: MakeRun, tmp_path: Path, text: str, why: str) -> None:
    make_run([1.0])
    with pytest.raises(UsageError, match=f"^filters {re.escape(text)}: {why}"):
        gather([tmp_path / "runs"], filters=[text])


def test_out_that_is_a_file(make_run: Any, tmp_path: Path, cli: Any) -> None:
    make_run([0.5])
    (tmp_path / "file").write_text("mine")
    code, _, error = cli("report", "--out", "file")
    assert code == 2 and "--out file is a file; name a folder" in error
    assert (tmp_path / "file").read_text() == "mine"


def test_text_that_a_spreadsheet_would_compute() -> None:
    texts, numbers = ["=1+1", "+1+1", "-x", "@x", "\tx", "x=1", "+1e5"], [-1.5, 2.0, 0.1, 1e-9, 3, float("nan"), None]
    rows = csv({"a": text, "b": number} for text, number in zip(texts, numbers, strict=True)).splitlines()
    assert rows == ["a,b", "'=1+1,-1.5", "'+1+1,2.0", "'-x,0.1", "'@x,1e-09", "'\tx,3", "x=1,", "+1e5,"]


def test_whole_numbers_are_written_as_such_in_columns_with_gaps(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in range(2):
        make_run([0.5, 0.4], seed=seed)
    make_run([], status=None, name="waiting", lr=0.2)
    folder = report([tmp_path / "runs"]).page.parent
    done, waiting = pd.read_csv(folder / "report.csv", dtype=str, keep_default_na=False).to_dict("records")
    assert (done["n"], done["pairs"], done["lost"], waiting["n"]) == ("2", "", "0", "")
    first = pd.read_csv(folder / "runs.csv", dtype=str, keep_default_na=False).to_dict("records")[0]
    assert [first[key] for key in ("seed", "epochs", "steps", "best_epoch", "seconds")] == ["0", "2", "4", "2", "1.5"]


def test_text_in_markdown_is_only_text() -> None:
    assert escaped("<svg onload=x> &lt; ![a](b)\n`c` \x1b[0m\0 a|b") == (
        "&lt;svg onload=x> &amp;lt; !\\[a\\](b) \\`c\\` \ufffd\\[0m\ufffd a\\|b"
    )


@pytest.mark.usefixtures("rendered")
def test_figures_have_no_control_characters(make_run: MakeRun, tmp_path: Path) -> None:
    odd = make_run([0.4]).rename(tmp_path / "runs" / "a\x1b[31m\u202eb\udcff")
    (odd / "config.yaml").write_text("[")
    svg = report([tmp_path / "runs"]).page.with_suffix(".svg").read_text()
    assert "a\ufffd[31m\ufffdb\ufffd" in svg and not set("\x1b\u202e") & set(svg)
    figure = Figure()
    figure.suptitle("a\x1b[31m\u202eb")
    assert "<!-- a\ufffd[31m\ufffdb -->" in write(figure, tmp_path / "own.svg").read_text()


def test_a_path_that_is_not_utf_8(make_run_in: Any, tmp_path: Path, cli: Any) -> None:
    root = tmp_path / "r\udcff"
    run = make_run_in(root, [0.5])
    run.rename(root / "bad\udcfe")
    (root / "bad\udcfe" / "result.json").write_text("{")
    make_run_in(root, [0.4], name="good")
    code, out, _ = cli("report", root)
    assert code == 0 and "good" in out and "\udcff" not in out
    assert "good" in (root / "report" / "report.md").read_text(encoding="utf-8")
    code, _, error = cli("report", tmp_path / "no\udcff")
    assert code == 2 and "no such run" in error


def test_a_folder_that_may_not_be_read_hides_no_other() -> None:
    """As another user, since root may read everything."""
    script = """
import importlib.readers, os, pathlib, tempfile, zoneinfo
import pandas
from lrbench.analysis import read_runs
from lrbench.errors import UsageError
os.getuid() or os.setuid(65534)
root = pathlib.Path(tempfile.mkdtemp())
for name in ("a", "b"):
    (root / name).mkdir()
    (root / name / "env.json").write_text("{}")
(root / "a").chmod(0)
first, second = read_runs([root])
assert first.status == "damaged" and "Permission denied" in first.problem, first
assert second.folder.name == "b"
root.chmod(0o100)
try:
    read_runs([root])
except UsageError as error:
    assert str(error) == f"{root} cannot be read: Permission denied"
else:
    raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_figure_that_can_not_be_replaced_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write(Figure(), tmp_path / "seeds.svg")
    before = target.read_bytes()

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FolderError, match="cannot write to"):
        write(Figure(figsize=(1, 1)), target)
    assert target.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["seeds.svg"]


def test_a_range_without_width_is_one_number(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, loss in enumerate((0.50001, 0.50002)):
        make_run([loss], seed=seed)
        make_run([0.4 + seed / 10], name="other", lr=0.2, seed=seed)
    shown = gather([tmp_path / "runs"])
    column = next(c for c in table_of(shown.groups).columns if c.heading == "val loss")
    assert [column.lines(group)[1] for group in shown.groups] == ["0.4–0.5", "0.5"]


def test_the_study_tells_the_numbers_of_its_report() -> None:
    root = Path(__file__).parent.parent
    pages = [(root / "docs" / name).read_text().replace("**", "") for name in ("study.md", "tutorial.md")]
    row = r"^\| `?([\w ]+)`?(?:,| \|) [^|]+ \| ([^|]+ … [^|]+\)) \| [\d.]+ "
    rows = dict(re.findall(row, "".join(pages), re.MULTILINE))
    names = ("baseline", "large", "too small", "far too small", "too large")
    assert rows.keys() == {*names, *(name.replace(" ", "_") for name in names)}
    for name in names:
        folders = (root / "runs" / "study").glob(f"{name.replace(' ', '-')}-seed*")
        (group,) = gather(list(folders), filters=["dataset=mnist"]).groups
        spread = group.spread("test_loss")
        assert spread is not None and spread.n == 8
        told = [float(number) for number in re.findall(r"[\d.]+", rows[name])]
        assert told == pytest.approx([spread.centre, spread.low, spread.high], abs=6e-5 if told[0] < 1 else 6e-4)
        assert rows[name.replace(" ", "_")] == rows[name], "in the tutorial too"
