"""Whatever a config or a run's folder holds, the answer is a result or one clear message. `make soak` tries more."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from damage import HOW, ODD, answer, damage, fields, placed
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lrbench.analysis import Record, read_one, run_rows
from lrbench.config import Experiment, identity, load_config, read_bytes, run_name
from lrbench.errors import FolderError, LrbenchError
from lrbench.lr_finder import find_lr
from lrbench.reports import formatted_table, gather, preview
from lrbench.reports.escape import csv
from lrbench.reports.markdown import markdown
from lrbench.reports.page import render as page
from lrbench.reports.range_tests import read_tests
from lrbench.reports.winner import winner
from lrbench.runs import RunFolder, Status, describe, read_csv, read_json
from lrbench.sweeps.plan import Plan, Planned, SweepFolder, confirming
from lrbench.training import run

EXAMPLES = int(os.environ.get("LRBENCH_EXAMPLES", "100"))
slow = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
many = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=slow)

# -- configs

TINY: dict[str, Any] = {
    "dataset": {"name": "digits", "train_size": 64},
    "model": {"name": "mlp", "hidden": [8]},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "epochs": 2,
    "batch_size": 16,
}
KEYS = [
    *Experiment.model_fields,
    *("extends", "optimizer.lr", "optimizer.betas", "schedule.name", "schedule.parts", "schedule.milestones"),
    *("warmup.for", "plateau.growth", "plateau.patience", "dataset.train_size", "dataset.validation.fraction"),
    *("model.hidden", "lr_scaling.rule", "optimizer.layer_decay", "optimizer.lr_factors", "reference.test_loss"),
]
NAMES = [
    *("sgd", "adam", "muon", "prodigy", "cosine", "one_cycle", "sequence", "hf/linear", "timm/plateau", "sgdr"),
    *("torch/StepLR", "mlp", "cnn", "vit", "digits", "mnist", "cross_entropy", "mse", "untuned", "10%", "3 epochs"),
    *("", " ", "..", "../x", "a/b", "é", "学", "\u202e", "x" * 300, "1e-3", "nan", "-1", "yes", "no.such:thing"),
]
numbers = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([2**31, 2**63, 10**30, -(10**30), 0.0, -0.0, 1e-300, 1e300, float("inf"), float("nan")]),
    st.floats(allow_nan=True, allow_infinity=True),
)
INNER = ["name", "lr", "for", "parts", "factor", "every", "growth"]
scalars = st.one_of(st.none(), st.booleans(), numbers, st.sampled_from(NAMES), st.text(max_size=12))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["name", "lr", "for", "parts", "factor", "every", "growth"]), st.text(max_size=6)
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)
mappings = st.dictionaries(
    st.one_of(st.sampled_from(KEYS[: len(Experiment.model_fields)]), st.text(max_size=6)), values
)


def checked(experiment: Experiment | None, folder: Path) -> None:
    """What was accepted can be written, read back as the same, and previewed."""
    if experiment is None:
        return
    again = folder / "again.yaml"
    again.write_text(experiment.yaml(), encoding="utf-8")
    assert identity(load_config(again)) == identity(experiment)
    if (experiment.steps or 0) + (experiment.epochs or 0) * 2000 / min(experiment.update_size, 2000) < 5000:
        answer(lambda: preview([experiment], steps_per_epoch=3))


@many
@given(changes=mappings)
def test_any_config(changes: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "c.yaml"
        path.write_text(yaml.safe_dump({**TINY, **changes}, allow_unicode=True), encoding="utf-8")
        checked(answer(lambda: load_config(path)), Path(name))


@many
@given(
    keys=st.lists(st.one_of(st.sampled_from(KEYS), st.text(max_size=10)), min_size=1, max_size=3),
    texts=st.lists(
        st.one_of(values.map(lambda v: yaml.safe_dump(v, default_flow_style=True).strip()), st.text(max_size=20)),
        min_size=3,
        max_size=3,
    ),
)
def test_any_override(keys: list[str], texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "c.yaml"
        path.write_text(yaml.safe_dump(TINY), encoding="utf-8")
        overrides = [f"{key}={text}" for key, text in zip(keys, texts, strict=False)]
        checked(answer(lambda: load_config(path, overrides)), Path(name))


@many
@given(raw=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
@example(raw=b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]")
@example(raw=b"[" * 5000)
@example(raw=b"\xff\xfe")
def test_any_bytes(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "c.yaml"
        path.write_bytes(raw)
        checked(answer(lambda: load_config(path)), Path(name))


@pytest.mark.parametrize("key", ["{}", "loss.{}", "schedule.parts.{}"])
def test_a_key_of_megabytes_is_told_in_short(key: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    with pytest.raises(LrbenchError) as told:
        load_config(path, [f"{key.format('x' * 2**21)}=1"])
    assert len(str(told.value)) < 5000


# -- damaged folders


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run, and one that was interrupted with two checkpoints."""
    from lrbench.errors import Interrupted
    from lrbench.events import silent
    from lrbench.training.run_one import WorkItem, do_run

    root = tmp_path_factory.mktemp("template")
    path = root / "c.yaml"
    path.write_text(yaml.safe_dump({**TINY, "name": "c", "epochs": 4, "device": "cpu"}), encoding="utf-8")
    experiment = load_config(path)
    (whole,) = run([experiment], runs=root / "whole")
    folder = RunFolder.of(root / "cut", experiment)
    folder.create(experiment, {"identity": identity(experiment)})
    item = WorkItem(folder.path, experiment)
    for updates in (5, 6):
        left = iter(range(updates))
        with pytest.raises(Interrupted):
            do_run(item, threads=None, watch=silent, stop=lambda left=left: next(left, None) is None)
    return {"config": path, "finished": whole.path, "interrupted": folder.path}


FILES = ["config.yaml", "env.json", "epochs.csv", "steps.csv", "result.json", "best.pt", "checkpoint.pt",
         "checkpoint.prev.pt", "lock", "error.log", ".checkpoint.pt.x.tmp"]  # fmt: skip


@settings(many, max_examples=max(EXAMPLES, 60))
@given(
    which=st.sampled_from(["finished", "interrupted"]),
    wounds=st.lists(st.tuples(st.sampled_from(FILES), st.sampled_from(HOW)), min_size=1, max_size=3),
    seed=st.integers(0, 2**32),
)
def test_any_damage(template: dict[str, Path], which: str, wounds: list[tuple[str, str]], seed: int) -> None:
    chance = random.Random(seed)
    experiment = load_config(template["config"])
    before = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / template[which].name
        shutil.copytree(template[which], path)
        for file, how in wounds:
            if (path / file).is_dir():
                continue
            damage(path / file, how, chance)
        record = read_one(RunFolder(path))
        assert record.status in (Status.DAMAGED, Status.INTERRUPTED, Status.PENDING, Status.FINISHED)
        try:
            (outcome,) = run([experiment], runs=Path(name), wait=False)
        except FolderError as error:
            assert str(path) in str(error) or path.name in str(error)
            return
        finally:
            torch.set_num_threads(before)
        if outcome.undone:
            assert (outcome.message.strip() and outcome.result is None) or "folder" in str(wounds)
            return
        assert outcome.result is not None and outcome.result.status is outcome.status is Status.FINISHED
        if not outcome.found:
            for file in ("steps.csv", "best.pt"):
                ours, theirs = outcome.path / file, template["finished"] / file
                assert file == "best.pt" or ours.read_bytes() == theirs.read_bytes()
            test, reference = outcome.result.test, RunFolder(template["finished"]).result()
            assert reference is not None and test == reference.test


# -- values of other types, and files that are none


@pytest.fixture(scope="module")
def pair(make_run_in: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, whose environment has every field."""
    root = tmp_path_factory.mktemp("pair") / "runs"
    full = describe(load_config(_written(root.parent / "c.yaml")), device="cpu")
    full |= {
        "gpu": "a GPU",
        "git": {"commit": "1" * 40, "dirty": True},
        "user_code": {"m": "2" * 64},
        "resumed": ["now"],
    }
    for name in ("bad", "good"):
        made = make_run_in(root, [0.5, 0.4], name=name, lr=0.1 if name == "bad" else 0.2)
        own = json.loads((made / "env.json").read_text())
        own["sizes"] |= {"classes": 10, "train_examples": 64, "parameters": 9}
        (made / "env.json").write_text(json.dumps({**full, **own}))
        made.rename(root / name)
    return root


def _written(path: Path) -> Path:
    path.write_text(yaml.safe_dump({**TINY, "name": "c"}), encoding="utf-8")
    return path


def reported(root: Path) -> dict[str, Record]:
    """Everything that a report says about runs, without its figures; the records by folder."""
    shown = gather([root])
    best = winner(shown)
    texts = [page(shown, list, best), markdown(shown, [], best), csv(run_rows(shown.records))]
    texts += [formatted_table(shown, form) for form in ("csv", "json", "markdown", "latex")]
    for text in texts[:3]:
        text.encode()
        assert "<svg onload" not in text or text == texts[2]
        assert not set(text) & set("\0\x1b\udcff")
    assert not any(line.startswith("=") or ",=" in line for line in texts[2].splitlines())
    records = {record.folder.name: record for record in shown.records}
    assert records["good"].status is Status.FINISHED and "good" in texts[1]
    return records


@settings(many, max_examples=max(EXAMPLES // 4, 20))
@given(file=st.sampled_from(["env.json", "result.json", "config.yaml"]), seed=st.integers(0, 2**32))
def test_any_value_of_another_type(pair: Path, file: str, seed: int) -> None:
    chance = random.Random(seed)
    path = pair / "bad" / file
    before = path.read_bytes()
    plain = yaml.safe_load(before)
    try:
        changed = placed(plain, chance.choice(fields(plain)), chance.choice(ODD))
        path.write_text(json.dumps(changed))
        bad = reported(pair)["bad"]
        assert bad.status in (Status.FINISHED, Status.DAMAGED, Status.INTERRUPTED)
        assert (bad.status is Status.DAMAGED) == bool(bad.problem) and len(bad.problem) < 1000
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("file", ["config.yaml", "env.json", "result.json", "steps.csv", "epochs.csv", "lock"])
@pytest.mark.parametrize("kind", ["pipe", "device", "large", "wide"])
def test_only_regular_files_of_some_size_are_read(pair: Path, file: str, kind: str) -> None:
    path, aside = pair / "bad" / file, pair.parent / "aside"
    if path.exists():
        path.rename(aside)
    try:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "large":
            with path.open("wb") as sparse:
                sparse.truncate(3_000_000_000)
        else:
            path.write_bytes(b"1," * 1_000_000 + b"\n")
        bad = reported(pair)["bad"]
        bad.rates()
        reason = {"large": "larger than", "wide": "", "pipe": "not a regular", "device": "a link that leads out"}[kind]
        assert file in ("lock", "steps.csv") or (bad.status is Status.DAMAGED and reason in bad.problem)
        if kind != "wide" or file.endswith(".csv"):
            with pytest.raises((OSError, LrbenchError)):
                (read_csv if file.endswith(".csv") else read_json)(path) if file != "lock" else read_bytes(path, 1000)
    finally:
        path.unlink()
        if aside.exists():
            aside.rename(path)


@pytest.mark.parametrize("file", ["env.json", "result.json"])
def test_a_format_of_the_future_is_told_and_left_alone(pair: Path, tmp_path: Path, file: str) -> None:
    shutil.copytree(pair, tmp_path / "runs")
    path = tmp_path / "runs" / "bad" / file
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    bad = read_one(RunFolder(path.parent))
    assert bad.status is Status.DAMAGED and bad.experiment is not None
    assert bad.problem == f"{path} is damaged: written by a newer lrbench (format 99)"
    name, before = run_name(bad.experiment), path.read_bytes()
    path.parent.rename(tmp_path / "runs" / name)
    if file == "env.json":
        (tmp_path / "runs" / name / "result.json").unlink()
    (outcome,) = run([bad.experiment], runs=tmp_path / "runs")
    assert outcome.status is Status.FAILED and "newer lrbench (format 99)" in outcome.message
    assert (tmp_path / "runs" / name / file).read_bytes() == before


def test_a_finished_run_has_final_values_and_a_missing_environment_is_told(pair: Path, tmp_path: Path) -> None:
    shutil.copytree(pair, tmp_path / "runs")
    path = tmp_path / "runs" / "bad" / "result.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "final": None}))
    assert "a finished run has final values" in reported(tmp_path / "runs")["bad"].problem
    path.write_text(json.dumps(whole))
    path.with_name("env.json").unlink()
    assert reported(tmp_path / "runs")["bad"].status is Status.FINISHED
    shown = gather([tmp_path / "runs"])
    assert "no env.json, so versions, device and threads are unknown: bad" in markdown(shown, [], winner(shown))


def test_any_value_in_a_plan(pair: Path, tmp_path: Path) -> None:
    folder = SweepFolder.of(tmp_path, "s")
    cell = Planned("good", "1" * 64, "2" * 64, "cosine", 0.1, 0)
    folder.write(Plan("s", (cell, replace(cell, run="fresh", seed=1, confirms=True))))
    path = folder.path / "plan.json"
    plain, chance = json.loads(path.read_text()), random.Random(0)
    for place in fields(plain):
        for odd in [10**400, *chance.sample(ODD, 6)]:
            path.write_text(json.dumps(placed(plain, place, odd)))
            answer(lambda: (folder.plan().labels, folder.plan().rates, confirming(tmp_path)))


def test_any_value_in_a_finding(tmp_path: Path) -> None:
    experiment = load_config(_written(tmp_path / "c.yaml"))
    finding = find_lr(experiment, runs=tmp_path, seeds=1, iterations=20)
    path = finding.folder.path / "finder.json"
    plain = json.loads(path.read_text())
    chance = random.Random(0)
    for place in fields(plain):
        if place == ("config",) or (place and place[0] in ("format", "ramp", "seeds")):
            for odd in chance.sample(ODD, 3):
                path.write_text(json.dumps(placed(plain, place, odd)))
                (test,) = read_tests([finding.folder.path])
                assert test.words() and (test.finding is not None or str(finding.folder.path) in test.problem)


@pytest.mark.parametrize("pid", [-1, 2**40, 0.5, "1", None, [1]])
def test_a_lock_of_no_process_is_no_lock(pair: Path, pid: Any) -> None:
    lock = pair / "bad" / "lock"
    lock.write_text(json.dumps({"pid": pid, "host": socket.gethostname(), "token": "x", "born": "x", "space": ""}))
    try:
        assert RunFolder(pair / "bad").owner is None
    finally:
        lock.unlink()
