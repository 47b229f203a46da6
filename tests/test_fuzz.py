"""Whatever a config or a run's folder holds, the answer is a result or one clear message. `make soak` tries more."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lrbench.analysis.records import read_one
from lrbench.config import Experiment, identity, load_config
from lrbench.errors import FolderError, LrbenchError
from lrbench.reports import preview
from lrbench.runs import RunFolder, Status
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


def answer(make: Callable[[], Any]) -> Any:
    """What comes of it; None for an error of ours, with one clear message."""
    try:
        return make()
    except LrbenchError as error:
        text = str(error)
        assert text.strip() and "Traceback" not in text and len(text) < 5000
        return None


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


def damage(path: Path, how: str, chance: random.Random) -> None:
    """Do something to a file that a broken disk, a full one, or a person might do."""
    raw = path.read_bytes() if path.is_file() else b""
    at = chance.randrange(len(raw) + 1)
    changed: dict[str, Callable[[], Any]] = {
        "truncate": lambda: path.write_bytes(raw[:at]),
        "empty": lambda: path.write_bytes(b""),
        "remove": lambda: path.unlink(missing_ok=True),
        "garble": lambda: path.write_bytes(raw[:at] + chance.randbytes(8) + raw[at + 8 :]),
        "zeros": lambda: path.write_bytes(b"\0" * len(raw)),
        "append": lambda: path.write_bytes(raw + chance.choice([b"nan,nan\n", b"9,0.1", b"{", b"\xff\xff", b"\n\n"])),
        "line": lambda: path.write_bytes(b"".join(chance.sample(lines, len(lines)))),
        "folder": lambda: (path.unlink(missing_ok=True), path.mkdir()),
    }
    lines = raw.splitlines(keepends=True)
    changed[how]()


FILES = ["config.yaml", "env.json", "epochs.csv", "steps.csv", "result.json", "best.pt", "checkpoint.pt",
         "checkpoint.prev.pt", "lock", "error.log", ".checkpoint.pt.x.tmp"]  # fmt: skip
HOW = ["truncate", "empty", "remove", "garble", "zeros", "append", "line", "folder"]


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
