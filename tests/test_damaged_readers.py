"""Readers of files that others write: whatever is damaged, the answer is a result or one clear message.

Recordings, plans, requests, jobs, laws, range tests, caches and rows that grow; other tools' logs are in
`test_damaged_logs.py`.
"""

from __future__ import annotations

import json
import math
import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import WORSE, Copies, answer, damage, examples, hurt, spoil
from hypothesis import given
from hypothesis import strategies as st

import lrbench
from lrbench.analysis import folded, read_one
from lrbench.analysis.folded import read_all
from lrbench.config import identity, load_config
from lrbench.lr_finder import find_lr
from lrbench.reports.range_tests import read_tests
from lrbench.runs import Job, RunFolder, Tail, csv_thinned, read_csv, read_thinned
from lrbench.runs.csv_log import CsvLog
from lrbench.sweeps import SweepFolder
from lrbench.sweeps.plan import Plan, Planned
from lrbench.sweeps.requests import folder_of, requests_of
from lrbench.training.stacked import remembered

seeds = st.integers(0, 2**32)
many = examples(8)


# -- what runs, recorders and sweeps leave beside their rows


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recorded run that was interrupted, with a job and an output."""
    from recording import nothing_recorded

    with nothing_recorded(monkeypatch, tmp_path):
        run = lrbench.record("mine", config={"lr": 0.1}, seed=0, total_steps=12)
        for step in range(1, 10):
            run.step(lr=0.1, loss=1 / step, step=step)
            if step % 3 == 0:
                run.evaluate(val_loss=2 / step, val_f1=0.5, epoch=step // 3, step=step)
        run.note("the losses are smoothed")
        run.leave()
        assert run.path is not None
        folder = RunFolder(run.path.absolute())
        folder.note_job(Job("slurm", "12_3", "12_3.log", "stop", "2026-01-01T00:00:00+00:00"))
        folder.output.write_text("step 9\n")
        yield folder.path.parent


@pytest.mark.filterwarnings("ignore")
def test_a_recorder_goes_on_in_a_damaged_folder(recording: Path, copied: Copies) -> None:
    @many
    @given(seed=seeds)
    def any_damage(seed: int) -> None:
        runs = copied(recording)
        hurt(runs, seed)
        (folder,) = (RunFolder(path) for path in runs.iterdir() if path.is_dir())
        read_one(folder)
        assert folder.job is None or folder.job.id, "a damaged job is none"
        made = answer(lambda: lrbench.record("mine", config={"lr": 0.1}, seed=0, runs=runs, resume=True))
        if made is not None:
            for step in range(10, 13):
                made.step(lr=0.1, loss=1 / step, step=step)
            made.evaluate(val_loss=0.1, step=12)
            made.finish()
            assert read_csv(made.path / "steps.csv")["step"][-1] == 12

    any_damage()


def test_a_damaged_plan_is_told(tmp_path: Path, copied: Copies) -> None:
    folder = SweepFolder.of(tmp_path / "runs", "s")
    cell = Planned("good", "1" * 64, "2" * 64, "cosine", 0.1, 0)
    folder.write(Plan("s", (cell, replace(cell, run="fresh", seed=1, confirms=True), replace(cell, run="n", lr=0.2))))

    @many
    @given(seed=seeds)
    def any_damage(seed: int) -> None:
        runs = copied(tmp_path / "runs")
        hurt(runs, seed)
        plan = answer(lambda: SweepFolder.of(runs, "s").plan())
        if plan is not None:
            assert plan.labels is not None and plan.rates is not None and plan.series is not None
            answer(lambda: SweepFolder.of(runs, "s").write(plan))

    any_damage()


@many
@given(
    names=st.lists(
        st.sampled_from(["stop", "seeds", "seeds-1", "drop-good", "drop-", "drop-../x", ".x", "a~", "x.tmp"]),
        max_size=4,
    ),
    content=st.one_of(st.binary(max_size=40), st.sampled_from([b"3", b"3 best", b"3 of cosine", b"0", b"9" * 2000])),
    kind=st.sampled_from(["file", "folder", "pipe", "link"]),
)
def test_any_request_is_obeyed_or_rejected(names: list[str], content: bytes, kind: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = SweepFolder.of(Path(root), "s")
        folder.write(Plan("s", (Planned("good", "1" * 64, "2" * 64, "cosine", 0.1, 0),)))
        place = folder_of(folder)
        place.mkdir()
        for name in {name.replace("/", "-") for name in names}:
            if kind == "folder":
                (place / name).mkdir()
            elif kind == "pipe":
                os.mkfifo(place / name)
            elif kind == "link":
                (place / name).symlink_to("/dev/zero")
            else:
                (place / name).write_bytes(content)
        found = requests_of(folder)
        assert all(one.count >= 1 for one in found.seeds) and found.dropped <= {"good"}
        assert all(problem.strip() for problem in found.invalid.values())


LAW = {"format": 1, "lr": 0.1, "at": {"batch_size": 32}, "exponents": {"batch_size": 0.5}, "metric": "val_loss",
       "tried": {"batch_size": [8, 64]}, "fixed": {"optimizer.name": "sgd", "model.name": "mlp"}}  # fmt: skip


def test_a_damaged_law_is_told(tmp_path: Path, write_config: Callable[..., Path]) -> None:
    scaling = {"rule": "measured", "from": "law.json"}
    config = write_config("use.yaml", optimizer={"name": "sgd"}, batch_size=8, lr_scaling=scaling)

    @many
    @given(seed=seeds)
    def any_damage(seed: int) -> None:
        spoil(config.parent / "law.json", LAW, seed)
        made = answer(lambda: load_config(config))
        if made is not None:
            assert 0 < made.lr < math.inf and made.law.in_words(made.plain(), made.sizes)
            (tmp_path / "again.yaml").write_text(made.yaml())
            assert identity(load_config(tmp_path / "again.yaml")) == identity(made)

    any_damage()


def test_a_damaged_range_test_is_told(tmp_path: Path, tiny: Callable[..., Any], copied: Copies) -> None:
    made = find_lr(tiny(), runs=tmp_path / "runs", seeds=1, iterations=20).folder.path

    @many
    @given(seed=seeds)
    def any_damage(seed: int) -> None:
        folder = copied(made)
        if seed % 2:
            hurt(folder, seed)
        else:
            spoil(folder / "finder.json", json.loads((folder / "finder.json").read_text()), seed)
        for test in read_tests([folder]):
            words = test.words()
            assert words and max(map(len, words)) < 5000 and (test.finding is not None or str(folder) in test.problem)

    any_damage()


def test_gains_that_are_damaged_are_measured_again() -> None:
    path = remembered._file()
    remembered.gain("one", lambda: 2.5)
    plain = {**json.loads(path.read_text()), "other": 1.5}
    for odd in ("9" * 400, "1e999", "-1", "true"):
        path.write_text(f'{{"other": {odd}}}')
        assert remembered.gain("one", lambda: 2.5) == 2.5

    @many
    @given(seed=seeds)
    def any_damage(seed: int) -> None:
        spoil(path, plain, seed)
        assert 0 < remembered.gain("one", lambda: 2.5) < math.inf
        assert remembered.gain("two", lambda: 3.5) == 3.5

    any_damage()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tool", ["tensorboard", "csv"])
def test_an_export_into_damaged_files(tool: str, make_run: Callable[..., Path], tmp_path: Path, copied: Copies) -> None:
    pytest.importorskip("tensorboard")
    make_run([0.5, 0.4])
    lrbench.export(tmp_path / "runs", to=tool, into=tmp_path / "target")

    @many
    @given(seed=seeds)
    def any_damage(seed: int) -> None:
        target = copied(tmp_path / "target")
        hurt(target, seed)
        done = answer(lambda: lrbench.export(tmp_path / "runs", to=tool, into=target))
        assert done is None or len([*done.added, *done.updated, *done.unchanged]) == 1

    any_damage()


# -- what is kept beside finished runs


def test_a_damaged_cache_changes_nothing(
    make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folded, "FEWEST", 1)
    monkeypatch.setattr(folded, "UNSURE_SECONDS", -1.0)
    paths = [make_run([0.5, 0.4 + lr], lr=lr) for lr in (0.1, 0.2, 0.3)]
    folders = [RunFolder(path) for path in paths]
    wanted = [shown(record) for record in read_all(folders)]
    cache = tmp_path / "runs" / ".cache" / "records.jsonl"
    whole = cache.read_bytes()
    assert whole.count(b"\n") == 3

    @many
    @given(how=st.sampled_from(WORSE), seed=seeds)
    def any_damage(how: str, seed: int) -> None:
        if cache.is_dir():
            cache.rmdir()
        cache.write_bytes(whole)
        damage(cache, how, random.Random(seed))
        assert [shown(record) for record in read_all(folders)] == wanted
        assert [shown(record) for record in read_all(folders)] == wanted, "and what was kept now"

    any_damage()


def shown(record: Any) -> Any:
    """All that a report says of a run."""
    columns = {name: values.tolist() for name, values in record.epochs.columns.items()}
    return (
        record.status,
        record.plain,
        record.result,
        record.identity,
        record.group,
        record.environment,
        columns,
        record.verdict,
    )


# -- rows that grow

TORN = ("truncate", "empty", "remove", "append", "folder", "zeros", "twice")


def test_torn_thinned_rows_are_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LONG": 2000, "BLOCK": 500, "BLOCKS": 16}.items():
        monkeypatch.setattr(csv_thinned, name, value)
    log = CsvLog(tmp_path / "steps.csv", ("step", "lr", "loss"), thins=True)
    log.open()
    chance = np.random.default_rng(0)
    log.append({"step": n, "lr": 0.1, "loss": float(chance.normal())} for n in range(1, 400))
    log.close()
    path = csv_thinned.thinned(log.path)
    whole, wanted = path.read_bytes(), read_thinned(log.path)

    @many
    @given(how=st.sampled_from(WORSE), seed=seeds)
    def any_damage(how: str, seed: int) -> None:
        if path.is_dir():
            path.rmdir()
        path.write_bytes(whole)
        damage(path, how, random.Random(seed))
        csv_thinned._read.cache_clear()
        found = read_thinned(log.path)
        assert found.keys() == wanted.keys()
        if how in TORN:  # numbers that were changed in place are not noticed, as little as in the rows themselves
            assert all(np.array_equal(found[name], wanted[name]) for name in wanted)

    any_damage()


@many
@given(
    acts=st.lists(
        st.tuples(st.sampled_from(["append", "torn", "cut", "replace", "remove", "look"]), st.integers(0, 30)),
        max_size=14,
    )
)
def test_a_tail_gives_each_row_once(acts: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        path, seen, number = Path(root) / "steps.csv", list[float](), 0
        tail, rest = Tail(path), b""
        for act, count in [*acts, ("look", 0), ("look", 0)]:
            there = path.read_bytes() if path.exists() else b"step\n"
            if act == "append":
                new = rest + b"".join(b"%d\n" % (number + n) for n in range(count))
                path.write_bytes(there) if not path.exists() else None
                with path.open("ab") as file:
                    file.write(new)
                number, rest = number + count, b""
            elif act == "torn" and not rest:
                with path.open("ab") as file:
                    file.write(b"" if path.stat().st_size else b"step\n")
                    file.write(b"7")
                rest = b"\n"
            elif act in ("cut", "replace"):
                lines = there.splitlines(keepends=True)[: 1 + count]
                other = Path(root) / "other"
                other.write_bytes(b"".join(line for line in lines if line.endswith(b"\n")))
                other.replace(path)
                rest = b""
            elif act == "remove":
                path.unlink(missing_ok=True)
                rest = b""
            else:
                rows = tail.rows()
                if rows is None:
                    seen = []
                else:
                    seen += [row["step"] for row in rows]
        if path.exists():
            assert seen == read_csv(path).get("step", np.array([])).tolist()
