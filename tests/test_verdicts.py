"""Verdicts against labels given by eye, and by hand."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from lrbench.analysis.verdicts import Curves, Verdict, verdict

LABELLED = Path(__file__).parent / "labelled"
RUNS: dict[str, dict[str, Any]] = {run["name"]: run for run in json.loads((LABELLED / "runs.json").read_text())}
with (LABELLED / "labels.csv").open() as _file:
    LABELS = list(csv.DictReader(_file))


def given(run: dict[str, Any]) -> Verdict:
    return verdict(
        Curves(run["lr"], run["train_loss"], run["val_loss"], run["status"], run["reason"], math.log(run["classes"]))
    )


def wrong(half: str) -> list[str]:
    """What the rules say otherwise than the labels."""
    found = []
    for row in LABELS:
        said = given(RUNS[row["name"]]).label
        if row["half"] == half and said != row["label"]:
            found.append(f"{row['name']}: {row['label']}, not {said}")
    return found


@pytest.mark.parametrize("half", ["rules", "held back"])
def test_nine_of_ten_labels_are_found(half: str) -> None:
    count = sum(row["half"] == half for row in LABELS)
    assert count >= 20
    assert len(wrong(half)) <= 0.1 * count, wrong(half)


def test_no_run_at_chance_is_said_to_have_converged() -> None:
    for run in RUNS.values():
        if not run["val_loss"] or run["val_loss"][-1] >= 0.9 * math.log(10):
            assert given(run).label != "converged", run["name"]


@pytest.mark.parametrize("lr", [[0.1] * 8, [0.1, 0.1, *[1e-5] * 6]])
def test_losses_of_zero_are_no_mistake(lr: list[float]) -> None:
    zero = Curves(lr, [1.0, 0.0, *[0.0] * 6], [1.0, 0.0, *[0.0] * 6], "finished", chance=math.log(10))
    assert verdict(zero).label == "converged"
