"""Reports of many runs: what is computed once for all of them, and what happens in processes beside the report's."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import lrbench
from lrbench.analysis import Record, audited, folded, kept_lines, read_one, read_runs, seed_numbers
from lrbench.analysis.audits import auditing
from lrbench.analysis.evaluations import Evaluations
from lrbench.analysis.kept_lines import KeptLines
from lrbench.analysis.second_process import SecondProcess
from lrbench.cli.app import main
from lrbench.config import Experiment, dump_yaml, group, identity, validate, yaml_source, yaml_text
from lrbench.errors import ConfigError
from lrbench.reports import reporting, shown
from lrbench.reports.page import details
from lrbench.runs import RunFolder, find_runs

MakeRun = Callable[..., Path]
cli_report = importlib.import_module("lrbench.cli.report")  # `lrbench.cli.app` has a function of this name
forks = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a command: no other threads, which pytest-xdist has."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@forks
def test_another_process_makes_the_value(alone: None) -> None:
    beside = SecondProcess(os.getpid)
    assert beside.result() != os.getpid()
    assert beside.result() == beside.result()


def test_a_process_with_threads_makes_it_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert SecondProcess(os.getpid).result() == os.getpid()


@forks
def test_an_error_beside_is_raised_here(alone: None) -> None:
    def fails() -> None:
        raise ValueError(f"in {os.getpid()}")

    with pytest.raises(ValueError, match=f"in {os.getpid()}"):
        SecondProcess(fails).result()


@forks
def test_a_process_that_dies_is_replaced_by_this_one(alone: None) -> None:
    here = os.getpid()

    def dies() -> str:
        if os.getpid() != here:
            os._exit(9)
        return "made here"

    assert SecondProcess(dies).result() == "made here"


def test_a_report_s_own_process_imports_only_what_it_needs(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in range(3):
        make_run([0.5, 0.1 + seed / 100], seed=seed)
        make_run([0.6, 0.2 + seed / 100], lr=0.3, seed=seed)
    code = (
        "import sys; from lrbench.cli import main\n"
        "try: main()\n"
        "finally: print(*sorted({'torch', 'pandas', 'scipy.stats', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    made = subprocess.run(
        [sys.executable, "-c", code, "report", "--runs", "runs"], cwd=tmp_path, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    expected = "" if sys.platform == "linux" else "matplotlib"
    assert made.stdout.splitlines()[-1] == expected
    assert {"report.png", "report.svg", "seeds.png", "report.html"} <= {
        path.name for path in (tmp_path / "runs" / "report").iterdir()
    }


# -- configs


KEYS = st.sampled_from(["name", "seed", "epochs", "model", "x-mine", "lr_scaling"])
SCALARS = st.one_of(
    st.integers(-5, 5), st.floats(allow_nan=False), st.booleans(), st.none(), st.text(max_size=8),
    st.sampled_from(["1e-3", "on", "a: b", "- a", "# no", "'", '"', "*a", "&a b", "010", "|", ">", "a\nb: c", "---"]),
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_a_config_parsed_key_by_key_is_the_config(plain: dict[str, Any]) -> None:
    text = dump_yaml(plain)
    whole = yaml_source.parse(text, "a.yaml")
    found = yaml_source._of_blocks(text, "a.yaml")
    assert found is None or found == whole
    assert list(whole[0]) == list(plain)


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: *x\n",
        "a: 'one\nb: two'\n",
        "a: [1,\nb: 2]\n",
        "a: {c: 1,\nb: 2}\n",
        "a: 1\na: 2\n",
        "# a comment\na: 1\n",
        "a: 1\n---\nb: 2\n",
        "a: 1\n? b\n: 2\n",
        "a: 1\nb: 2",
        "a: !!str 1\n",
        "a:\tb\n",
        "'a': 1\n",
        "a: 1\n b: 2\n",
    ],
)
def test_what_can_t_be_taken_apart_is_parsed_whole(text: str) -> None:
    found = yaml_source._of_blocks(text, "a.yaml")
    if found is not None:
        assert found == yaml_source.parse(text, "a.yaml")


def test_the_places_of_keys_are_those_of_the_whole_file() -> None:
    text = "name: a\nmodel:\n  name: mlp\n  hidden:\n  - 1\n  - 2\nseed: 3\n"
    found = yaml_source._of_blocks(text, "a.yaml")
    assert found is not None
    assert found[1]["model", "hidden", "1"] == "a.yaml:6"
    assert found[1]["seed",] == "a.yaml:7"
    again = yaml_source._of_blocks(text.replace("name: a\n", "epochs: 3\nname: a\n"), "b.yaml")
    assert again is not None
    assert again[1]["seed",] == "b.yaml:8"
    found[0]["model"]["hidden"].append(3)  # of a value that was parsed before, each gets its own copy
    assert again[0]["model"] == {"name": "mlp", "hidden": [1, 2]}


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_yaml_written_key_by_key_is_that_of_the_whole(plain: dict[str, Any]) -> None:
    class NoAliases(yaml_text._Dumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    assert dump_yaml(plain) == yaml.dump(plain, Dumper=NoAliases, sort_keys=False, allow_unicode=True)


PLAIN = {"dataset": "digits", "model": "mlp", "optimizer": {"name": "sgd", "lr": 0.1}, "epochs": 2}


def test_configs_that_differ_in_name_and_seed_are_each_their_own() -> None:
    places = {("seed",): "b.yaml:7"}
    one = validate({**PLAIN, "name": "one", "seed": 1}, {}, "a.yaml")
    two = validate({**PLAIN, "name": "two", "seed": 2}, places, "b.yaml")
    assert isinstance(two, Experiment)
    assert (two.name, two.seed, two.where("seed"), one.where("seed")) == ("two", 2, "b.yaml:7", "")
    assert identity(one) != identity(two)
    assert group(one) == group(two)
    alone = Experiment.model_validate({**PLAIN, "name": "two", "seed": 2})
    assert two == alone
    assert identity(two) == identity(alone)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"name": "a/b"}, "must be a folder name"), ({"seed": -1}, "at least 0"), ({"seed": True}, "whole number"),
     ({"epochs": 0}, "epochs")],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(wrong: dict[str, Any], message: str) -> None:
    validate({**PLAIN, "name": "fine", "seed": 1}, {}, "a.yaml")
    (key,) = wrong
    with pytest.raises(ConfigError, match=message) as told:
        validate({**PLAIN, "name": "fine", "seed": 1, **wrong}, {(key,): "a.yaml:9"}, "a.yaml")
    assert "a.yaml:9" in str(told.value)


# -- evaluations and seeds


def test_a_report_answers_its_questions_once(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for lr in (0.01, 0.1, 1.0):
        make_run([0.5, 0.1 + lr], lr=lr)
    asked, named, collected = [], [], []
    answer, group, show = shown.sections, reporting.grouped, cli_report._show
    monkeypatch.setattr(shown, "sections", lambda *of: asked.append(of) or answer(*of))
    monkeypatch.setattr(reporting, "grouped", lambda *of: named.append(of) or group(*of))
    monkeypatch.setattr(cli_report, "_show", lambda *of: collected.append(gc.isenabled()) or show(*of))
    assert gc.isenabled()
    with pytest.raises(SystemExit) as ended:
        main(["report", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "report")])
    assert ended.value.code == 0 and "Wrote" in capsys.readouterr().out
    assert len(asked) == 1, "the page and the terminal have the same answers"
    assert len(named) == 1, "there are no filters, which take labels"
    assert collected == [False] and gc.isenabled()


def test_evaluations_know_what_is_measured() -> None:
    rows = Evaluations({"epoch": np.array([1, 2, 3]), "val_loss": np.array([0.5, np.nan, 0.25])})
    assert len(rows) == 3
    assert rows.measured("val_loss").tolist() == [True, False, True]
    assert rows.known("val_loss").tolist() == [0.5, 0.25]
    assert rows.known("val_f1").tolist() == []
    assert not rows.measured("val_f1").any()
    assert rows.where(rows.measured("val_loss"))["epoch"].tolist() == [1, 3]
    assert len(Evaluations()) == 0


@given(st.floats(-0.5, 0.5), st.floats(0.001, 0.5), st.integers(2, 30), st.floats(0.001, 0.04))
def test_few_seeds_are_counted_as_in_the_whole_range(mean: float, spread: float, n: int, level: float) -> None:
    found = seed_numbers.more_seeds(mean, spread, n, freedom=n - 1, level=level)
    power = seed_numbers._power(mean, spread, n, n - 1, level, None, 0.0, seed_numbers.MOST_SEEDS)
    first = [int((power >= least).argmax()) + 1 if (power >= least).any() else None for least in (0.8, 0.5, 0.95)]
    if found is None:
        assert None in first[:2]
    else:
        assert [found.count, found.low, found.high] == first


# -- what is kept of runs that were read


@pytest.fixture
def many(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four runs, of which as many count as many; time stamps are taken at their word, however recent they are.

    One process reads them, which counts what it reads.
    """
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    monkeypatch.setattr(folded, "FEWEST", 4)
    monkeypatch.setattr(folded, "UNSURE_SECONDS", -1.0)
    for seed in range(3):
        make_run([0.5, 0.1 + seed / 100], seed=seed)
    make_run([], lr=3.0, status="diverged")
    return tmp_path / "runs"


def told(records: list[Record]) -> list[Any]:
    rows = [{name: (one.epochs[name].dtype, one.epochs[name].tolist()) for name in one.epochs} for one in records]
    return [
        repr((one.folder.path, one.status, one.problem, one.plain, one.result, one.environment, one.identity, one.group,
              one.verdict, one.identity_fields, one.metrics, at))
        for one, at in zip(records, rows, strict=True)
    ]  # fmt: skip


def read_counted(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], int]:
    """Read runs, and count those whose files were read."""
    read: list[RunFolder] = []

    def counting(folder: RunFolder) -> Record:
        read.append(folder)
        return read_one(folder)

    with monkeypatch.context() as patched:
        patched.setattr(folded, "read_one", counting)
        found = told(read_runs([root]))
    assert found == told([read_one(folder) for folder in find_runs([root])])
    return found, len(read)


def kept_file(root: Path) -> Path:
    return root / ".cache" / "records.jsonl"


def test_only_new_runs_are_read_again(many: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    first, count = read_counted(many, monkeypatch)
    assert (len(first), count) == (4, 4)
    assert read_counted(many, monkeypatch) == (first, 0)
    make_run([0.4, 0.3], seed=9)
    assert read_counted(many, monkeypatch)[1] == 1
    assert read_counted(many, monkeypatch)[1] == 0
    assert len(kept_file(many).read_text().splitlines()) == 5  # the new one was appended


@pytest.mark.parametrize("name", ["config.yaml", "env.json", "epochs.csv", "result.json"])
def test_a_run_with_a_changed_file_is_read_again(many: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    read_counted(many, monkeypatch)
    file = sorted(many.glob(f"*/{name}"))[0]
    before = file.stat()
    content = file.read_bytes()
    file.write_bytes(content.replace(b"0.5", b"0.7") if name == "epochs.csv" else content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert read_counted(many, monkeypatch)[1] == 1


def test_a_copied_folder_is_read_again(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_counted(many, monkeypatch)
    shutil.copytree(many, tmp_path / "copied")
    assert read_counted(tmp_path / "copied", monkeypatch)[1] == 4


def test_another_version_of_the_code_reads_all(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_counted(many, monkeypatch)
    monkeypatch.setattr(folded, "_code", lambda: "another")
    assert read_counted(many, monkeypatch)[1] == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace(b'"rows"', b'"raws"'),
        lambda text: text.replace(b'"status":"finished"', b'"status":"perfect"'),
        lambda text: text.replace(b'"optimizer"', b'"optimiser"'),
        lambda text: text.replace(b"{", b"["),
        lambda text: bytes(reversed(text)),
        lambda text: b"\x00" * 100,
        lambda text: b"",
    ],
)
def test_a_damaged_file_costs_only_time(many: Path, monkeypatch: pytest.MonkeyPatch, damage: Any) -> None:
    first, _ = read_counted(many, monkeypatch)
    kept_file(many).write_bytes(damage(kept_file(many).read_bytes()))
    assert read_counted(many, monkeypatch)[0] == first
    read_counted(many, monkeypatch)
    assert read_counted(many, monkeypatch) == (first, 0)  # it was mended


def test_runs_under_way_damaged_or_recent_are_not_kept(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = sorted(many.glob("*/result.json"))
    results[0].unlink()
    results[1].write_text("{")
    read_counted(many, monkeypatch)
    assert read_counted(many, monkeypatch)[1] == 2
    shutil.rmtree(many / ".cache")
    monkeypatch.setattr(folded, "UNSURE_SECONDS", 1e9)
    read_counted(many, monkeypatch)
    assert not kept_file(many).read_bytes()


def test_two_reports_at_once_lose_no_line_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / ".cache" / "records.jsonl"
    with KeptLines(path) as one, KeptLines(path) as other:
        one.add("a", b"1", b"{}")
        other.add("b", b"2", b"[]")
    with KeptLines(path) as one:
        with KeptLines(path) as other:
            for number in range(6):
                other.add("b", b"2", str(number).encode())
            other.tidy()  # so many that it is written anew
        assert one.of("a") == (b"1", b"{}") and one.of("b") == (b"2", b"[]")
        one.add("c", b"3", b"0")
    with KeptLines(path) as one:
        assert one.of("b") == (b"2", b"5") and one.of("c") == (b"3", b"0") and one.of("d") == (b"", b"")


def test_a_file_of_lines_that_is_too_large_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_lines, "MOST_BYTES", 30)
    path = tmp_path / ".cache" / "records.jsonl"
    for _ in range(2):
        with KeptLines(path) as one:
            assert one.of("a") == (b"", b"")
            one.add("a", b"1", b"0" * 40)
    assert path.read_text() == "a\t1\t" + "0" * 40 + "\n"


def test_audits_are_kept_unless_they_found_faults(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [audited(read_one(folder), briefly=True) for folder in find_runs([many])]
    read_runs([many])
    monkeypatch.setattr(auditing, "_audited", lambda *_: "again")
    for record, known in zip(read_runs([many]), wanted, strict=True):
        kept = record.status.complete and not known.faults
        assert audited(record, briefly=True) == (known if kept else "again")


@forks
def test_two_processes_read_what_is_new(many: Path, alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getpid()

    def noting(folder: RunFolder) -> Record:
        if os.getpid() != here:
            (many / f"beside {folder.name}").touch()
        return read_one(folder)

    monkeypatch.setattr(folded, "read_one", noting)
    found = told(read_runs([many]))
    assert found == told([read_one(folder) for folder in find_runs([many])])
    assert len(list(many.glob("beside *"))) == 2
    monkeypatch.setattr(folded, "read_one", None)
    assert told(read_runs([many])) == found  # both have kept what they read


def test_of_runs_that_are_read_each_time_one_line_is_kept(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for result in many.glob("*/result.json"):
        result.write_text("{")
    for _ in range(3):
        read_counted(many, monkeypatch)
    assert len(kept_file(many).read_text().splitlines()) == 4


def test_few_runs_leave_no_file(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folded, "FEWEST", 5)
    read_counted(many, monkeypatch)
    assert not (many / ".cache").exists()


def test_lines_of_no_use_do_not_pile_up(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(6):
        for file in many.glob("*/result.json"):
            os.utime(file)
        read_counted(many, monkeypatch)
    assert len(kept_file(many).read_text().splitlines()) <= 8


def test_no_link_is_followed_out_of_the_folder(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (many / ".cache").symlink_to(tmp_path / "elsewhere")
    read_counted(many, monkeypatch)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_can_t_be_written_is_read(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (many / ".cache").write_text("a file")
    assert read_counted(many, monkeypatch)[1] == 4
    assert read_counted(many, monkeypatch)[1] == 4


def test_a_page_looks_at_each_run_s_environment_once_and_for_jobs_only_where_runs_are_left(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for lr in (0.01, 0.1, 1.0):
        make_run([0.5, 0.1 + lr], lr=lr)
    looked, described = [], []
    job, environment = RunFolder.job, details._environment
    assert isinstance(job, property) and job.fget is not None
    find = job.fget
    monkeypatch.setattr(RunFolder, "job", property(lambda folder: looked.append(folder) or find(folder)))
    monkeypatch.setattr(details, "_environment", lambda record: described.append(record) or environment(record))
    lrbench.report(tmp_path / "runs", tmp_path / "report")
    assert not looked and len(described) == 3
