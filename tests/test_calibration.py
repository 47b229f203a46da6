"""The tasks on which find-lr's methods are compared: they train, and table and documentation agree."""

from __future__ import annotations

import importlib
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import lrbench

ROOT = Path(__file__).parent.parent
KINDS = [
    "gpt small adamw", "gpt larger adamw", "gpt small muon", "counting gpt adam", "counting gpt longer",
    "copying gpt adam", "friedman mlp adam", "friedman mlp momentum", "shapes conv adam", "topics mlp adam",
    "tuned cnn adam", "tuned cnn momentum", "tuned gpt adamw", "lora gpt adamw",
]  # fmt: skip


@pytest.fixture
def calibration(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setenv("PYTHONPATH", os.environ["PYTHONPATH"])  # which the script prepends to
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("finder_calibration")


def test_these_are_the_new_kinds(calibration: ModuleType) -> None:
    assert list(calibration.tasks.OTHER_KINDS) == KINDS


@pytest.mark.parametrize("name", KINDS)
def test_each_task_trains(name: str, calibration: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "lora gpt adamw":
        pytest.importorskip("peft")
    short = {which: {**base, "epochs": 1} for which, base in calibration.tasks.PRETRAINED.items()}
    monkeypatch.setattr(calibration.tasks, "PRETRAINED", short)
    base = calibration.base_of(name, tmp_path, 1)
    assert (base is not None) == name.startswith(("tuned", "lora"))
    one = calibration.experiment(name, 1e-3, base).replace(epochs=None, steps=3)
    (outcome,) = lrbench.run([one], runs=tmp_path, jobs=1)
    assert outcome.result is not None, outcome.message
    assert math.isfinite(outcome.result.metric("val_loss"))


def test_only_the_adapters_of_lora_are_trained(calibration: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    import torch

    from lrbench.components.models import build_model
    from lrbench.types import Part

    sizes: dict[str, Any] = {"input_shape": (32,), "classes": 128}
    params = {key: value for key, value in calibration.tasks.GPT.items() if key != "name"}
    base = build_model(Part("gpt", params), outputs=128, **sizes)
    torch.save(base.state_dict(), tmp_path / "best.pt")
    model = calibration.tasks.lora(str(tmp_path), rank=4, **sizes)
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    assert len(trained) == 4 and all("lora_" in name for name in trained)
    tokens = torch.arange(32)[None]
    assert torch.equal(model(tokens), base(tokens))  # an adapter begins as zero


def test_the_letters_of_the_puzzles_have_the_right_targets(calibration: ModuleType) -> None:
    letters, counts = (part[0].tolist() for part in calibration.tasks.counting()["train"])
    assert counts == [letters[: place + 1].count(letter) for place, letter in enumerate(letters)]
    shown, wanted = (part[0].tolist() for part in calibration.tasks.copying()["train"])
    assert wanted == [-100] * 11 + shown[:12]
    assert shown[12:] == shown[:11]


def test_the_documentation_shows_the_table(calibration: ModuleType) -> None:
    rows = calibration.read()
    *methods, advised = calibration.METHODS
    wanted = [(task, method) for task in calibration.EVERY for method in methods]
    assert [(row["task"], row["method"]) for row in rows if row["method"] != advised] == wanted
    assert sum(row["method"] == advised for row in rows) == 18
    text = (ROOT / "docs" / "find-lr.md").read_text(encoding="utf-8")
    for section in calibration.tables(rows).split("### ")[1:]:
        assert f"### {section.strip()}" in text


def test_the_documentation_counts_what_is_within_reach(calibration: ModuleType) -> None:
    """With the rate of --validation where there is one."""
    text, sums = (ROOT / "docs" / "find-lr.md").read_text(encoding="utf-8"), [0, 0, 0]
    groups = zip(("calibration", "held out", "other kinds"), calibration.GROUPS.values(), strict=True)
    for title, names in groups:
        mine = [row for row in calibration.read() if row["task"] in names]
        given = {row["task"]: row for row in mine if row["method"] == "recommended"}
        followed = given | {row["task"]: row for row in mine if row["method"] == "--validation"}
        counts = [sum(map(calibration.near, each.values())) for each in (given, followed)] + [len(names)]
        assert re.search(rf"\| {title} \|.*\| {counts[0]} of {counts[2]} \| {counts[1]} of {counts[2]} \|", text)
        sums = [total + count for total, count in zip(sums, counts, strict=True)]
    assert f"| all | | {sums[0]} of {sums[2]} | {sums[1]} of {sums[2]} |" in text


def test_rows_of_other_tasks_stay(calibration: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, kept = calibration.read(), calibration.TABLE.read_bytes()
    monkeypatch.setattr(calibration, "TABLE", tmp_path / "table.csv")
    for task in reversed(calibration.EVERY):
        calibration.write([row for row in rows if row["task"] == task])
    assert calibration.TABLE.read_bytes() == kept


def test_a_rate_is_within_reach_by_distance_or_by_loss(calibration: ModuleType) -> None:
    near = calibration.near
    assert near({"ratio": 3.0, "decades": -0.5}) and near({"ratio": 1.2, "decades": 2.0})
    assert not near({"ratio": 1.21, "decades": 0.51}) and not near({"ratio": None, "decades": None})
