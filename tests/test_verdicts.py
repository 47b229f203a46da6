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


CHANCE = math.log(10)


def stuck(train: list[float], val: list[float]) -> str:
    return verdict(Curves([0.1] * len(train), train, val, "finished", chance=CHANCE)).label


def test_a_run_that_stands_still_is_too_slow_not_too_fast() -> None:
    """Its losses move by the order of the examples alone, up as often as down, a little above chance as it began."""
    assert stuck([2.3040001, 2.304, 2.3040002, 2.304], [2.3051, 2.305101, 2.3051, 2.305101]) == "stuck, rate too small"
    assert stuck([2.41, 2.409, 2.4082, 2.4075], [2.4092, 2.4085, 2.4079, 2.407]) == "stuck, rate too small"


def test_a_run_that_was_thrown_a_little_above_chance_and_stays_there_is_too_fast() -> None:
    assert stuck([2.361, 2.304, 2.3032, 2.303, 2.303], [2.306, 2.3045, 2.304, 2.3035, 2.303]) == "stuck, rate too large"
    assert stuck([2.33, 2.304, 2.301, 2.304], [2.31, 2.302, 2.308, 2.303]) == "stuck, rate too large"


def test_one_epoch_is_not_called_epochs() -> None:
    evidence = verdict(Curves([0.1] * 5, [0.5, 0.4, 0.3, 0.3, 0.3], [0.5, 0.4, 0.31, 0.31, 0.3], "finished")).evidence
    assert "in the last epoch" in evidence


def test_advice_starts_from_the_learning_rate_of_the_config() -> None:
    """The schedule may have left it long before an epoch's end; and values may be per evaluation."""
    losses = [2.3, 2.3, 2.3, 2.3]
    flat = Curves([0.02, 0.01, 0.005, 0.0001], [9.0, *losses[1:]], losses, "finished", "", 2.3026, "evaluation", 0.3)
    found = verdict(flat)
    assert found.label == "stuck, rate too large" and found.advice == "try 10 times smaller, 0.03"
    assert "in evaluation 1" in found.evidence


@pytest.mark.parametrize(("last", "advised"), [(0.1, True), (0.001, False)])
def test_a_decay_is_not_advised_to_a_schedule_that_decays(last: float, advised: bool) -> None:
    swinging = Curves([0.1] * 7 + [last], [0.5] * 8, [1.0, 0.5, 0.9, 0.5, 0.9, 0.5, 0.9, 0.5], "finished")
    assert ("decay" in verdict(swinging).advice, verdict(swinging).label) == (advised, "oscillating")
    losses = [1.0, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    rising = Curves([0.1] * 7 + [last], [1.0, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02], losses, "finished")
    assert ("decay" in verdict(rising).advice, verdict(rising).label) == (advised, "overfitting")


def test_what_a_decay_brought_down_is_said() -> None:
    losses = [2.0, 1.0, 0.9, 0.91, 0.9, 0.91, 0.75, 0.73, 0.73]
    fell = verdict(Curves([0.1] * 6 + [0.01, 0.001, 0.0001], losses, losses, "finished"))
    assert fell.label == "converged"
    assert fell.evidence.endswith("-20% in the last 3 epochs as the learning rate decayed, +0% in the last of them")
