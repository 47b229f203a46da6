"""Long runs: the thinned steps beside `steps.csv`, resuming from its end, and reading it in pieces."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forked import Starts

import lrbench
from lrbench.config import Experiment, run_name
from lrbench.errors import FolderError, Interrupted
from lrbench.integrations.following import Following
from lrbench.integrations.trackers import Ending, Log, Row, Run, Tool
from lrbench.runs import (
    Columns,
    Growing,
    Recorded,
    RunFolder,
    Status,
    Tail,
    conclude,
    csv_columns,
    csv_tail,
    csv_thinned,
    read_csv,
    read_thinned,
)
from lrbench.runs.csv_columns import end_before, end_of_rows, latest
from lrbench.runs.csv_log import CsvLog
from lrbench.runs.csv_thinned import thinned
from lrbench.training.run_one import WorkItem, do_run

COLUMNS = ("step", "lr", "momentum", "loss", "grad_norm")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are long, blocks complete and pieces full after a few rows."""
    monkeypatch.setattr(csv_thinned, "LONG", 2000)
    monkeypatch.setattr(csv_thinned, "BLOCK", 500)
    monkeypatch.setattr(csv_thinned, "BLOCKS", 16)
    for module in (csv_columns, csv_tail):
        monkeypatch.setattr(module, "CHUNK", 300)


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows with jumps of the learning rate, losses that are not finite, and values that are missing."""
    chance = random.Random(seed)
    return [
        {
            "step": step,
            "lr": 0.1 if step % 97 else 0.3,
            "momentum": None,
            "loss": chance.choice([math.nan, math.inf, None]) if chance.random() < 0.02 else chance.gauss(0, 1),
            "grad_norm": chance.random() if chance.random() < 0.5 else None,
        }
        for step in range(1, count + 1)
    ]


def written(path: Path, found: Sequence[dict[str, Any]], batch: int = 7) -> CsvLog:
    log = CsvLog(path, COLUMNS, thins=True)
    log.open()
    append(log, found, batch)
    log.close()
    return log


def append(log: CsvLog, found: Sequence[dict[str, Any]], batch: int) -> None:
    for begin in range(0, len(found), batch):
        log.append(found[begin : begin + batch])


def slowly(path: Path) -> Columns:
    """Read a CSV file a row at a time."""
    with path.open(newline="") as file:
        header, *found = list(csv.reader(file))

    def number(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            return math.nan

    return {name: np.array([number(row[place]) for row in found]) for place, name in enumerate(header)}


def same(one: Columns, other: Columns) -> bool:
    return list(one) == list(other) and all(np.array_equal(one[k], other[k], equal_nan=True) for k in one)


# -- which rows are kept


def test_the_rows_of_a_block_that_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(csv_thinned, "LONG", 1)
    monkeypatch.setattr(csv_thinned, "BLOCK", 90)  # of 95: the next row starts another block
    monkeypatch.setattr(csv_thinned, "MOST_JUMPS", 2)
    path = tmp_path / "steps.csv"
    path.write_text(
        "step,lr,loss\n"
        "01,.1,5.0\n02,.1,9.0\n03,.1,4.0\n04,.1,nan\n05,.1,3.0\n06,.2,3.5\n07,.2,1.0\n08,.2,2.0\n09,.2,2.5\n"
        "10,.2,7.0\n11,.2,6.0\n"
    )
    log = CsvLog(path, ("step", "lr", "loss"), thins=True)
    log.open(path.stat().st_size)
    log.close()
    assert thinned(path).read_text() == (
        "step,lr,loss,block_end\n"
        # the first, the highest loss, the one that is not finite, both sides of the jump, the lowest loss, the last
        "01,.1,5.0,103\n02,.1,9.0,103\n04,.1,nan,103\n05,.1,3.0,103\n06,.2,3.5,103\n07,.2,1.0,103\n09,.2,2.5,103\n"
    )
    assert read_thinned(path)["step"].tolist() == [1, 2, 4, 5, 6, 7, 9, 10, 11]
    assert read_thinned(path, ("loss",))["loss"][-2:].tolist() == [7.0, 6.0]


@pytest.mark.parametrize("seed", range(5))
def test_extremes_and_ends_are_those_of_all_rows(small: None, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "steps.csv"
    written(path, rows(1500, seed), batch=1 + 13 * seed)
    whole, few = read_csv(path), read_thinned(path)
    assert list(few) == list(whole) and 100 < len(few["step"]) < 800
    places = np.searchsorted(whole["step"], few["step"])
    assert same({name: values[places] for name, values in whole.items()}, few), "they are rows of the file, in order"
    for name in ("step", "lr", "loss", "grad_norm"):
        all_, some = (table[name][np.isfinite(table[name])] for table in (whole, few))
        assert [all_.min(), all_.max(), all_[0], all_[-1]] == [some.min(), some.max(), some[0], some[-1]]
    jumps = np.flatnonzero(np.diff(whole["lr"]))
    assert set(whole["step"][np.concatenate([jumps, jumps + 1])]) <= set(few["step"])


def test_short_files_are_read_whole_and_have_no_second_one(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    written(path, rows(1500))
    assert not thinned(path).exists() and same(read_thinned(path), read_csv(path))


@pytest.mark.parametrize("seed", range(8))
def test_a_resumed_file_is_thinned_as_an_uninterrupted_one(small: None, tmp_path: Path, seed: int) -> None:
    chance, found = random.Random(seed), rows(900)
    whole = written(tmp_path / "whole.csv", found, batch=50)
    log = CsvLog(tmp_path / "resumed.csv", COLUMNS, thins=True)
    log.open()
    done, marks = 0, [(0, log.mark)]
    while done < len(found):
        if chance.random() < 0.2:  # killed: resumed from one of the last two checkpoints
            log.close()
            if chance.random() < 0.3:
                with log.path.open("ab") as file:
                    file.write(b"9,0.1,,1.")
            if chance.random() < 0.3 and thinned(log.path).exists():
                text = thinned(log.path).read_bytes()
                thinned(log.path).write_bytes(text[: len(text) - chance.randrange(60)])
            done, mark = chance.choice(marks[-2:])
            log = CsvLog(log.path, COLUMNS, thins=True)
            end = log.end_of(mark)
            assert end is not None
            log.open(end)
        count = chance.randrange(1, 60)
        append(log, found[done : done + count], chance.randrange(1, 60))
        done += count
        marks.append((min(done, len(found)), log.mark))
    log.close()
    assert log.path.read_bytes() == whole.path.read_bytes()
    assert thinned(log.path).read_bytes() == thinned(whole.path).read_bytes()


@pytest.mark.parametrize("change", ["no file", "torn", "of other rows", "garbage", "other columns", "shorter"])
def test_thinned_rows_do_not_depend_on_their_file(small: None, tmp_path: Path, change: str) -> None:
    path = tmp_path / "steps.csv"
    written(path, rows(900))
    before, there = read_thinned(path), thinned(path)
    text = there.read_bytes()
    if change == "of other rows":
        written(tmp_path / "other.csv", rows(900, seed=1))
        text = thinned(tmp_path / "other.csv").read_bytes()
    changed = {
        "torn": text[:-9], "garbage": b"\x00\xff\n" * 500, "other columns": text.replace(b"lr", b"rate"),
        "shorter": b"".join(text.splitlines(keepends=True)[:60]),
    }  # fmt: skip
    there.write_bytes(changed.get(change, text))
    if change == "no file":
        there.unlink()
    csv_thinned._read.cache_clear()
    assert same(read_thinned(path), before)


def test_blocks_grow_with_the_file(small: None, tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    written(path, rows(20_000), batch=1000)
    ends = np.unique(read_csv(thinned(path))["block_end"])
    lengths = np.diff(ends)
    assert 500 <= lengths[0] < 600 and lengths[-1] > 40_000 and len(ends) < 140


def test_new_columns_are_thinned_too(small: None, tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "steps.csv", COLUMNS, thins=True)
    log.open()
    append(log, rows(300), 10)
    log.widen(["scale"])
    append(log, [{**row, "step": 300 + row["step"], "scale": 2.0} for row in rows(300)], 10)
    log.close()
    assert read_csv(log.path)["scale"].tolist()[-300:] == [2.0] * 300
    assert np.isnan(read_csv(log.path)["scale"][:300]).all()
    before = thinned(log.path).read_bytes()
    thinned(log.path).unlink()
    log.open(log.path.stat().st_size)
    log.close()
    assert thinned(log.path).read_bytes() == before and before.startswith(b"step,lr,momentum,loss,grad_norm,scale,")


def test_a_full_disk_costs_only_the_thinned_rows(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> Any:
        raise OSError(28, "No space left on device")

    whole = written(tmp_path / "whole.csv", rows(400))
    monkeypatch.setattr(csv_thinned, "replacing", refuse)
    log = written(tmp_path / "steps.csv", rows(400))
    assert log.path.read_bytes() == whole.path.read_bytes() and not thinned(log.path).exists()
    assert same(read_thinned(log.path), read_thinned(whole.path))


# -- reading in pieces


@pytest.mark.parametrize("only", [None, ("loss", "step", "nothing")])
def test_pieces_read_as_rows_do(small: None, tmp_path: Path, only: Sequence[str] | None) -> None:
    path = tmp_path / "steps.csv"
    written(path, rows(200))
    with path.open("a") as file:
        file.write("201,none,,1_0, 2.5\n202,1e-400,-0.0,0x10,1e400\n203,0.1,,1.")
    torn = path.read_bytes().rpartition(b"\n")[0] + b"\n"
    (tmp_path / "whole.csv").write_bytes(torn)
    expected = slowly(tmp_path / "whole.csv")
    assert same(read_csv(path, only), {k: v for k, v in expected.items() if only is None or k in only})
    assert latest(path) == {"step": 202, "lr": 0.0, "momentum": -0.0, "loss": pytest.approx(math.nan, nan_ok=True),
                            "grad_norm": math.inf}  # fmt: skip


def test_rows_of_another_length_are_filled_up(small: None, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "1,2\n" * 100 + "3\n4,5,6\n" + "7,8\n" * 100)
    found = read_csv(path)
    assert found["a"].tolist() == [1] * 100 + [3, 4] + [7] * 100
    assert found["b"][99:104].tolist()[2:] == [5, 8, 8] and math.isnan(found["b"][100])


def test_damage_is_told_in_pieces_too(small: None, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "1" * 200_000 + "\n")
    with pytest.raises(FolderError, match="a row is longer than 100 kB"):
        read_csv(path)
    path.write_text(",".join(f"c{n}" for n in range(5000)) + "\n" + "1\n" * 1000)
    with pytest.raises(FolderError, match="its rows are shorter than its header"):
        read_csv(path)


@pytest.mark.parametrize("step", [0, 1, 2, 60, 150, 299, 300, 301, 1000])
def test_the_place_before_a_step_is_found_from_the_end(small: None, tmp_path: Path, step: int) -> None:
    path = tmp_path / "steps.csv"
    written(path, rows(300))
    lines = path.read_bytes().splitlines(keepends=True)
    with path.open("ab") as file:
        file.write(b"301,0.1,,1.")
    kept = min(max(step - 1, 0), 300)
    assert end_before(path, step) == (sum(map(len, lines[: kept + 1])) if kept else 0)
    assert end_of_rows(path) == sum(map(len, lines))


def test_nothing_ends_where_there_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    for text in (None, "", "step,lr", "step,lr\n", "step,lr\n1,"):
        if text is not None:
            path.write_text(text)
        assert end_of_rows(path) == end_before(path, 5) == 0


def test_a_tail_gives_many_rows_in_turn(small: None, tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    written(path, rows(100))
    tail, found = Tail(path), []
    while not found or tail.more:
        new = tail.rows()
        assert new is not None and len(new) < 30
        found += new
    assert [row["step"] for row in found] == list(range(1, 101))
    assert same(Growing(path).columns(), read_csv(path))


class Kept(Tool):
    """A tool that keeps what it gets, in order."""

    got: list[tuple[str, int]]

    def open(self, run: Run) -> Log:
        self.got = []
        return KeptLog(run, self.got)


class KeptLog(Log):
    def __init__(self, run: Run, got: list[tuple[str, int]]) -> None:
        self.got = got

    def steps(self, rows: Sequence[Row]) -> None:
        self.got += [("step", row.step) for row in rows]

    def evaluation(self, row: Row) -> None:
        self.got.append(("evaluation", row.step))

    def end(self, ending: Ending) -> None:
        self.got.append(("end", ending.step))


def test_trackers_get_a_long_run_in_order(small: None, tmp_path: Path, make_run: Callable[..., Path]) -> None:
    path = make_run([1.0] * 50)
    tool = Kept(tmp_path)
    following = Following(RunFolder(path), [tool], lambda tool, why: pytest.fail(why))
    following.begin()
    following.end()
    expected = [
        what for step in range(1, 101) for what in [("step", step), *([("evaluation", step)] * (step % 2 == 0))]
    ]
    assert tool.got == [*expected, ("end", 100)]


# -- runs


def trained(root: Path, experiment: Experiment, stop: Callable[[], bool] = lambda: False) -> RunFolder:
    folder = RunFolder(root / run_name(experiment))
    if not folder.has_config:
        folder.create(experiment, {})
    do_run(WorkItem(folder.path, experiment), threads=None, watch=lambda event: None, stop=stop)
    return folder


def steps_of(folder: RunFolder) -> tuple[bytes, bytes]:
    return folder.steps.path.read_bytes(), thinned(folder.steps.path).read_bytes()


@pytest.mark.parametrize("every", [3, 17, 23])
def test_a_resumed_run_writes_the_files_of_an_uninterrupted_one(
    small: None, tmp_path: Path, tiny: Any, every: int
) -> None:
    experiment = tiny(dataset="digits", model="logistic", epochs=2, batch_size=16, schedule="cosine")
    whole = trained(tmp_path / "whole", experiment)
    assert len(read_csv(whole.steps.path)["step"]) > 100
    while True:
        calls = 0

        def stop() -> bool:
            nonlocal calls
            calls += 1
            return calls >= 2 * every  # it is asked twice a step at a checkpoint

        try:
            resumed = trained(tmp_path / "resumed", experiment, stop)
            break
        except Interrupted:
            pass
    assert steps_of(resumed) == steps_of(whole)


def test_starting_over_leaves_nothing_of_the_rows_before(small: None, tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(dataset="digits", model="logistic", epochs=2, batch_size=16)
    folder = trained(tmp_path, experiment)
    before = steps_of(folder)
    with folder.lock():
        folder.clear()
        assert not thinned(folder.steps.path).exists()
    assert steps_of(trained(tmp_path, experiment)) == before


def test_a_recorded_run_goes_on_from_its_end(small: None, tmp_path: Path) -> None:
    def record(name: str, steps: range, *, resume: bool) -> RunFolder:
        with lrbench.record(name, seed=0, runs=tmp_path, resume=resume) as run:
            for step in steps:
                run.step(lr=1 / step, loss=math.sin(step), step=step, scale=step if step > 50 else None)
            run.evaluate(val_loss=1.0)
        assert run.path is not None
        return RunFolder(run.path)

    whole = record("whole", range(1, 201), resume=False)
    record("resumed", range(1, 151), resume=False)
    resumed = record("resumed", range(120, 201), resume=True)
    assert steps_of(resumed) == steps_of(whole)
    result = resumed.result()
    assert result is not None and (result.steps, result.effective_lr) == (200, 1.0)


def test_rows_that_are_written_whole_are_thinned(small: None, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    found = rows(500)
    folder.replace_rows(found, [{"epoch": 1, "step": 500, "val_loss": 0.5}])
    written(tmp_path / "other.csv", found)
    assert thinned(folder.steps.path).read_bytes() == thinned(tmp_path / "other.csv").read_bytes()
    assert conclude(folder, Recorded()).effective_lr == 0.3
    folder.replace_rows(found[:5], [])
    assert not thinned(folder.steps.path).exists()


def test_a_report_shows_what_it_shows_of_all_steps(
    tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lrbench.reports import gather
    from lrbench.reports.page.chart_data import gradient_norm

    path = make_run([1.0] * 300)
    folder = RunFolder(path)
    spiky = [{**row, "grad_norm": 50.0 if row["step"] == 400 else 1.0} for row in rows(600)]
    with folder.lock():
        folder.open_logs([], (0, folder.epochs.path.stat().st_size))
        folder.steps.append(spiky)
        folder.close_logs()
    monkeypatch.setattr(csv_thinned, "LONG", 2000)
    monkeypatch.setattr(csv_thinned, "BLOCK", 4000)
    (group,) = gather([tmp_path / "runs"]).groups
    norms, (places, rates) = gradient_norm(group), group.rates()
    assert max(value for value in norms["y"] if value is not None) == 50.0
    assert len(rates) < 300 and rates.max() == 0.3 and places[-1] == 300
    assert len(lrbench.load_steps([tmp_path / "runs"])) == 600, "all rows, not only the thinned ones"


KILLED = """
import os, signal, sys
import lrbench
from lrbench.runs import csv_thinned
from lrbench.runs.csv_log import CsvLog
from lrbench.training import loop
csv_thinned.LONG, csv_thinned.BLOCK = 20_000, 2_000
loop.CHECKPOINT_SECONDS, loop.READ_BACK_SECONDS = 0.05, 0.01
config, runs, end = sys.argv[1:]
append = CsvLog.append
def append_and_die(self, rows):
    rows = list(rows)
    append(self, rows)
    if self.path.name == "steps.csv" and rows and rows[-1]["step"] > int(end):
        os.kill(os.getpid(), signal.SIGKILL)
CsvLog.append = append_and_die
lrbench.run([config], runs=runs)  # in this process, whose constants these are: a command would use a worker
"""


@pytest.mark.slow
def test_a_killed_long_run_goes_on_bit_for_bit(tmp_path: Path, forks: Starts) -> None:
    config = tmp_path / "long.json"
    plain = {"dataset": "digits", "model": "logistic", "steps": 4000, "eval_every": "1000 steps", "batch_size": 8}
    config.write_text(json.dumps({"name": "long", "optimizer": {"name": "sgd", "lr": 0.1}, **plain}))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def ended(runs: str, last: int = 4000) -> int:
        words = ["-c", KILLED, config, tmp_path / runs, str(last)]
        return forks.run(words, timeout=300, env=environment).returncode

    assert ended("whole") == 0
    for last in (1200, 2800):
        assert ended("killed", last) == -signal.SIGKILL
    assert ended("killed") == 0
    (whole,), (killed,) = (list((tmp_path / name).glob("long-*")) for name in ("whole", "killed"))
    assert steps_of(RunFolder(killed)) == steps_of(RunFolder(whole))
    assert RunFolder(killed).status() is Status.FINISHED
    assert torch.equal(*(next(iter(RunFolder(path).load_best().values())) for path in (whole, killed)))
