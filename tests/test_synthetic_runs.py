"""The made-up runs of `benchmarks/synthetic_runs.py`: to lrbench, they are a sweep that was trained."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from lrbench import audit, load_runs
from lrbench.runs import RunFolder, Status, read_csv
from lrbench.sweeps import find_sweeps

SEEDS, RATES = 2, [0.01, 0.3, 10]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    synthetic_runs = importlib.import_module("synthetic_runs")
    sweep: dict[str, Any] = {
        **synthetic_runs.SWEEPS["small"], "epochs": 3,
        "sweep": {"seeds": SEEDS, "lr": RATES, "schedule": ["constant", "cosine"]},
    }  # fmt: skip
    assert synthetic_runs.write_sweep(tmp_path, sweep) == 12
    before = {path: path.read_bytes() for path in tmp_path.glob("*/epochs.csv")}
    assert synthetic_runs.write_sweep(tmp_path, sweep) == 12  # again: nothing is to do
    assert {path: path.read_bytes() for path in tmp_path.glob("*/epochs.csv")} == before
    return tmp_path


def test_they_are_read_as_a_finished_sweep(written: Path) -> None:
    (folder,) = find_sweeps(written)
    assert len(folder.plan().cells) == 12
    frame = load_runs(written)
    assert frame["state"].value_counts().to_dict() == {"finished": 8, "diverged": 4}
    assert set(frame[frame["state"] == "diverged"]["config.optimizer.lr"]) == {10}
    for cell in folder.plan().cells:
        folder_of_run = RunFolder(written / cell.run)
        steps, result = read_csv(folder_of_run.path / "steps.csv"), folder_of_run.result()
        assert result is not None and result.steps == len(steps["step"])
        if result.status is Status.FINISHED:
            assert len(steps["step"]) == 30  # 3 epochs of ⌈1078 / 110⌉
            assert not any(found.wrong or found.problem for found in audit([folder_of_run.path]))


def test_the_best_learning_rate_lies_between_the_others(written: Path) -> None:
    frame = load_runs(written)
    losses = frame[frame["config.schedule.name"] == "constant"].groupby("config.optimizer.lr")["val_loss"].mean()
    assert losses[0.3] < losses[0.01]
    assert losses.isna().to_dict() == {0.01: False, 0.3: False, 10: True}
