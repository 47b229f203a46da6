"""Reading runs again and again: only what has changed, and always what reading all of them anew would give."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrbench.analysis import Group, Record, RunsReader, audited, once, read_runs
from lrbench.analysis import reader as module
from lrbench.analysis.audits import auditing
from lrbench.analysis.bands import band_of
from lrbench.analysis.evaluations import Evaluations
from lrbench.reports import gather, page_update
from lrbench.runs import Growing, RunFolder, Status, birth, read_csv

MakeRun = Callable[..., Path]
HEADER = "epoch,step,lr,train_loss,val_loss,seconds,examples_per_second\n"


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stamps are taken at their word, however recent they are."""
    monkeypatch.setattr(module, "UNSURE_SECONDS", -1.0)


def told(records: list[Record]) -> list[tuple[Any, ...]]:
    return [(r.folder.path, r.status, r.problem, r.result, r.plain, _values(r.epochs)) for r in records]


def _values(rows: Evaluations) -> dict[str, str]:
    return {name: str(rows[name].tolist()) for name in rows}


def same(reader: RunsReader, root: Path) -> bool:
    return told(reader.records) == told(read_runs([root]))


def running(path: Path, rows: int = 0) -> subprocess.Popen[bytes]:
    """Make a run look as if a process trained it; the process is returned."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (path / "result.json").unlink(missing_ok=True)
    owner = {"pid": process.pid, "host": os.uname().nodename, "born": birth(process.pid), "token": "t"}
    owner["space"] = str(Path("/proc/self/ns/pid").readlink())
    (path / "lock").write_text(json.dumps(owner))
    lines = (path / "epochs.csv").read_text().splitlines(keepends=True)
    (path / "epochs.csv").write_text("".join(lines[: rows + 1]))
    return process


def test_a_look_reads_only_the_run_that_changed(make_run: MakeRun, tmp_path: Path, old: None) -> None:
    paths = [make_run([1.0, 0.5], lr=lr) for lr in (0.1, 0.2, 0.3)]
    reader = RunsReader([tmp_path / "runs"])
    assert reader.look() and same(reader, tmp_path / "runs")
    before = {record.folder.path: record for record in reader.records}
    assert not reader.look() and reader.version == 1
    result = json.loads((paths[1] / "result.json").read_text())
    result["final"]["val_loss"] = 0.25
    RunFolder(paths[1]).finish(before[paths[1]].experiment, type(before[paths[1]].result).of(result))
    assert reader.look() and reader.version == 2
    after = {record.folder.path: record for record in reader.records}
    assert [after[path] is before[path] for path in paths] == [True, False, True]
    assert after[paths[1]].metric("val_loss") == 0.25


def test_what_is_made_of_runs_is_made_again_only_where_they_changed(
    make_run: MakeRun, tmp_path: Path, old: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Audits, configs as text and curves take most of the time that a page of many runs takes."""
    paths = [make_run([1.0, 0.5], lr=lr, seed=seed) for lr in (0.1, 0.2, 0.3) for seed in (0, 1)]
    reader = RunsReader([tmp_path / "runs"])
    audited_runs: list[Path] = []
    inner = auditing._audited

    def counted(record: Record, *others: Any) -> Any:
        audited_runs.append(record.folder.path)
        return inner(record, *others)

    monkeypatch.setattr(auditing, "_audited", counted)

    def page() -> dict[str, Any]:
        reader.look()
        made = page_update(gather([tmp_path / "runs"], read=lambda _: reader.records), live=True)
        return {"parts": made.parts, "data": made.data}

    first = page()
    assert sorted(audited_runs) == sorted(paths)
    audited_runs.clear()
    assert page() == first and audited_runs == []
    (before,) = (record for record in reader.records if record.folder.path == paths[2])
    result = json.loads((paths[2] / "result.json").read_text())
    result["final"]["val_loss"] = 0.25
    RunFolder(paths[2]).finish(before.experiment, type(before.result).of(result))
    again = page()
    assert audited_runs == [paths[2]]
    changed = {key for key, value in again["data"].items() if first["data"].get(key) != value}
    assert any(key.startswith("row:") for key in changed)
    fresh = page_update(gather([tmp_path / "runs"]), live=True)
    assert again == {"parts": fresh.parts, "data": fresh.data}, "as read anew"


def test_once_means_the_same_records(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([1.0, 0.5], seed=0), make_run([1.0, 0.4], seed=1)
    one, two = read_runs([tmp_path / "runs"])
    (other,) = (record for record in read_runs([tmp_path / "runs"]) if record.folder.path == two.folder.path)
    counted: list[int] = []

    def make() -> int:
        counted.append(0)
        return len(counted)

    assert [once([one, two], "a", make), once([one, two], "a", make)] == [1, 1]
    assert once([one], "a", make) == 2, "another group with the same first run"
    assert once([one, two], "b", make) == 3
    assert once([one, other], "b", make) == 4
    assert Group("g", (one, two)).curve("val_loss").median.tolist() == [1.0, 0.45]
    assert audited(one, briefly=True) is audited(one, briefly=True)
    assert audited(one.called("another"), briefly=True) is not audited(one, briefly=True)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seeds=st.lists(st.lists(st.one_of(st.floats(-1e308, 1e308), st.just(float("nan"))), max_size=4), max_size=4),
    alike=st.booleans(),
)
def test_a_band_is_the_median_between_the_ends_at_each_place(
    make_run: MakeRun, tmp_path: Path, seeds: list[list[float]], alike: bool
) -> None:
    """One run's rows are made up, since `epochs.csv` is not what is tested."""
    if not (tmp_path / "runs").exists():
        make_run([1.0])
    (record,) = read_runs([tmp_path / "runs"])
    seeds = [(values + [0.5] * 4)[:4] if alike else values for values in seeds]
    runs = [
        replace(record, epochs=Evaluations({"epoch": np.arange(1.0, len(v) + 1), "val_loss": np.array(v, float)}))
        for v in seeds
    ]
    band = band_of(runs, "val_loss", "epoch")
    known = {at: [v[at - 1] for v in seeds if len(v) >= at and v[at - 1] == v[at - 1]] for at in range(1, 5)}
    known = {at: sorted(values) for at, values in known.items() if values}
    assert band.places.tolist() == list(known)
    assert band.low.tolist() == [values[0] for values in known.values()]
    assert band.high.tolist() == [values[-1] for values in known.values()]
    assert band.median.tolist() == pytest.approx([float(np.median(np.array(v) / 2)) * 2 for v in known.values()])


def test_runs_come_and_go_with_their_folders(make_run: MakeRun, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    reader = RunsReader([root])
    assert reader.look() and reader.records == []
    first = make_run([1.0], lr=0.1)
    assert reader.look() and same(reader, root) and len(reader.records) == 1
    make_run([1.0], lr=0.2)
    (root / "half-written").mkdir()
    assert reader.look() and len(reader.records) == 2
    (root / "half-written" / "config.yaml").write_text("name: [")
    assert reader.look() and same(reader, root)
    assert [record.status for record in reader.records] == [Status.DAMAGED, Status.FINISHED, Status.FINISHED]
    shutil.rmtree(first)
    assert reader.look() and len(reader.records) == 2
    shutil.rmtree(root)
    assert reader.look() and reader.records == []
    make_run([1.0], lr=0.1)
    assert reader.look() and same(reader, root)


def test_a_run_under_way_grows_and_ends_with_its_process(make_run: MakeRun, tmp_path: Path, old: None) -> None:
    path, root = make_run([1.0, 0.5, 0.4]), tmp_path / "runs"
    rows = (path / "epochs.csv").read_text().splitlines(keepends=True)[1:]
    process = running(path, rows=1)
    try:
        reader = RunsReader([root])
        reader.look()
        assert [r.status for r in reader.records] == [Status.RUNNING] and len(reader.records[0].epochs) == 1
        with (path / "epochs.csv").open("a") as file:
            file.write(rows[1] + rows[2][:9])  # the last row is not complete
        assert reader.look() and reader.records[0].epochs["val_loss"].tolist() == [1.0, 0.5] and same(reader, root)
        assert not reader.look()
        with (path / "epochs.csv").open("a") as file:
            file.write(rows[2][9:])
        assert reader.look() and reader.records[0].epochs["val_loss"].tolist() == [1.0, 0.5, 0.4]
        os.utime(path / "lock")  # a heartbeat
        assert not reader.look()
    finally:
        process.kill()
        process.wait()
    assert reader.look() and reader.records[0].status is Status.INTERRUPTED and same(reader, root)


def test_a_run_that_starts_over_is_read_anew(make_run: MakeRun, tmp_path: Path) -> None:
    path, root = make_run([1.0, 0.5, 0.4]), tmp_path / "runs"
    process = running(path, rows=3)
    try:
        reader = RunsReader([root])
        reader.look()
        with (path / "epochs.csv").open("a") as file:
            file.write("4,8,0.1,0.6,0.3,1.0,10.0,0.5,0.9\n")
        assert reader.look() and len(reader.records[0].epochs) == 4
        lines = (path / "epochs.csv").read_text().splitlines(keepends=True)
        (path / "new").write_text("".join(lines[:2]))
        (path / "new").rename(path / "epochs.csv")
        assert reader.look() and same(reader, root) and len(reader.records[0].epochs) == 1
    finally:
        process.kill()
        process.wait()


def test_copies_and_links_are_those_of_a_report(make_run: MakeRun, tmp_path: Path) -> None:
    path, root = make_run([1.0]), tmp_path / "runs"
    shutil.copytree(path, root / "copy")
    (root / "link").symlink_to(path)
    reader = RunsReader([root, path])
    reader.look()
    assert same(reader, root) and sorted(r.status for r in reader.records) == [Status.COPY, Status.FINISHED]


def test_a_change_that_no_folder_s_time_stamp_tells_is_found_by_a_search(
    make_run: MakeRun, tmp_path: Path, old: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, root = make_run([1.0]), tmp_path / "runs"
    reader = RunsReader([root])
    reader.look()
    (path / "result.json").write_text("{")  # in place
    assert not reader.look()
    monkeypatch.setattr(module, "SEARCH_SECONDS", 0.0)
    assert reader.look() and same(reader, root) and reader.records[0].status is Status.DAMAGED


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from(["1,2,0.1,", "0.5,", ",", "\n", "x,nan,1e3,2,3,4,5\n", "7,8\n"]), max_size=12))
def test_what_grows_reads_as_the_whole_does(pieces: list[str], tmp_path: Path) -> None:
    path = tmp_path / f"rows-{time.monotonic_ns()}.csv"
    path.write_text(HEADER)
    growing = Growing(path)
    for piece in pieces:
        with path.open("a") as file:
            file.write(piece)
        got, wanted = growing.columns(), read_csv(path)
        assert {k: v.tolist().__repr__() for k, v in got.items()} == {
            k: v.tolist().__repr__() for k, v in wanted.items()
        }
