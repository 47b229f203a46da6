"""The examples: each config with its Python file, typed as its first lines say."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import lrbench
from lrbench.analysis import read_runs
from lrbench.runs import Status

EXAMPLES = Path(__file__).parent.parent / "examples"
ALONE = ["images", "language", "multilabel", "regression", "segmentation", "sequences", "vae"]
LEAST: dict[str, tuple[str, float]] = {
    "images": ("f1", 0.9),
    "language": ("accuracy", 0.9),
    "multilabel": ("average_precision", 0.75),
    "regression": ("r2", 0.7),
    "segmentation": ("mean_iou", 0.6),
    "sequences": ("mae", -0.1),
    "vae": ("psnr", 11.0),
}
"""A metric that each example reaches, with the sign of what is better."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Any]) -> Iterator[Path]:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    monkeypatch.chdir(tmp_path / "examples")
    monkeypatch.syspath_prepend(str(tmp_path / "examples"))
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    for name in names & set(sys.modules):
        monkeypatch.delitem(sys.modules, name)
    yield tmp_path / "examples"
    for name in names:
        sys.modules.pop(name, None)


def result(name: str) -> dict[str, Any]:
    (path,) = Path("runs").glob(f"{name}-seed0-*/result.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize("name", ALONE)
def test_each_begins(name: str, here: Path, cli: Callable[..., Any]) -> None:
    code, _, said = cli("run", f"{name}.yaml", "--set", "epochs=1", "--set", "schedule=constant")
    assert code == 0, said
    assert result(name)["status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("name", ALONE)
def test_each_learns(name: str, here: Path, cli: Callable[..., Any]) -> None:
    code, _, said = cli("run", f"{name}.yaml")
    assert code == 0, said
    metric, least = LEAST[name]
    value = result(name)["test"][metric]
    assert (value if least > 0 else -value) > least


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of peft
@pytest.mark.parametrize(("name", "least"), [("finetune", 0.9), ("lora", 0.55)])  # LoRA on random weights
def test_weights_of_transformers_are_trained_on(name: str, least: float, here: Path, cli: Callable[..., Any]) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("peft")
    importlib.import_module("runpy").run_path("finetune.py", run_name="__main__")
    code, _, said = cli("run", f"{name}.yaml")
    assert code == 0, said
    assert result(name)["test"]["accuracy"] > least


def test_every_config_has_its_python_file_and_says_what_it_shows() -> None:
    for path in sorted(EXAMPLES.glob("*.yaml")):
        text = path.read_text()
        plain = yaml.safe_load(text)
        assert text.startswith("# ") and plain
        assert (EXAMPLES / f"{path.stem}.py").exists() or "extends" in plain, path


SCRIPTS = {
    "plain": "cosine",
    "hf": "hf/cosine",
    "digits_lightning": "torch.optim.lr_scheduler:OneCycleLR",
    "digits_keras": "keras/CosineDecay",
}
"""Scripts that record, and the schedule that each of them sets."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_each_script_is_swept_compared_and_audited(
    name: str, here: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # `python` is this one
    shutil.copytree(here / "commands", "swept")
    code, out, said = cli(
        "sweep", f"swept/{name}.yaml", "--lr", "0.0001,0.01", "--seeds", "2", "--set", "sweep.schedule=null"
    )
    assert code == 0, out + said
    assert "best learning rate tried is 0.01" in " ".join(out.split())
    runs = read_runs([Path("runs")])
    assert len(runs) == 4 and all(run.status is Status.FINISHED and run.result for run in runs)
    audits = lrbench.audit(["runs"], schedule=SCRIPTS[name])
    assert all(audit.meant and not audit.faults for audit in audits)
    code, out, _ = cli("compare", "lr=0.01", "lr=0.0001")
    assert code in (0, 4) and "better" in out
    code, out, _ = cli("report", "runs")
    assert code == 0 and "has the lowest validation loss" in " ".join(out.split())
