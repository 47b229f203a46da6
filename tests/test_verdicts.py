"""Verdicts against labels given by eye, and by hand."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given as supposing
from hypothesis import strategies as st

from lrbench.analysis import Group, measure_named, with_families
from lrbench.analysis.verdicts import Beside, Curves, Other, Score, Verdict, revised, verdict
from lrbench.reports.page.details import curves
from lrbench.reports.reporting import gather

LABELLED = Path(__file__).parent / "labelled"
RUNS: dict[str, dict[str, Any]] = {run["name"]: run for run in json.loads((LABELLED / "runs.json").read_text())}
with (LABELLED / "labels.csv").open() as _file:
    LABELS = list(csv.DictReader(_file))


def given(run: dict[str, Any]) -> Verdict:
    accuracy = Score("val_accuracy", run["val_accuracy"], 1 / run["classes"])
    curves = run["lr"], run["train_loss"], run["val_loss"]
    chance = math.log(run["classes"])
    return verdict(Curves(*curves, run["status"], run["reason"], chance, scores=[accuracy], validation_examples=359))


def wrong(half: str) -> list[str]:
    """What the rules say otherwise than the labels, which are older than `undecided`: those ends are flat, too."""
    found = []
    for row in LABELS:
        said = given(RUNS[row["name"]]).label
        allowed = {row["label"], "undecided"} if row["label"] == "converged" else {row["label"]}
        if row["half"] == half and said not in allowed:
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
    """The decay ended noise, or ended too early: the curves do not tell which."""
    losses = [2.0, 1.0, 0.93, 0.92, 0.91, 0.91, 0.75, 0.73, 0.73]
    fell = verdict(Curves([0.1] * 6 + [0.01, 0.001, 0.0001], losses, losses, "finished"))
    assert fell.label == "undecided"
    assert "-20% in the last 3 epochs as the learning rate decayed, +0% in the last of them" in fell.evidence


# -- what a learning rate of three times the size would do


def cosine(count: int, peak: float = 1e-3) -> list[float]:
    return [peak * (1 + math.cos(math.pi * (i + 1) / count)) / 2 for i in range(count)]


def test_a_rate_spent_before_the_loss_stopped_falling_is_too_slow() -> None:
    """Its loss depends on the sum of learning rates alone, so the decay flattens its end."""
    rates, spent, losses = cosine(20), 0.0, []
    for lr in rates:
        spent += lr
        losses.append(2.3 / (1 + (spent / 2e-3) ** 1.5))
    found = verdict(Curves(rates, losses, losses, "finished", chance=math.log(10)))
    assert losses[-2] / losses[-1] < 1.01  # flat
    assert (found.label, found.factor) == ("too slow", 3)
    assert found.advice == "train longer, or try 3 times larger, 0.003"


def test_a_run_that_still_learns_at_a_low_rate_has_not_converged() -> None:
    falling = [2.0, 1.2, 0.9, 0.8, 0.74, 0.7, 0.67, 0.64, 0.61, 0.58]
    rates = [0.1] * 3 + [0.05, 0.03, 0.02, 0.01, 0.008, 0.006, 0.004]
    assert verdict(Curves(rates, falling, falling, "finished")).label != "converged"


NOISY = [0.9, 0.4, 0.25, 0.2, 0.16, 0.2, 0.15, 0.19, 0.15, 0.19, 0.14, 0.18, 0.15, 0.18, 0.14, 0.17]


def test_noise_of_few_examples_is_no_oscillation() -> None:
    """The training loss beside it falls without a swing, so the learning rate is not what swings."""
    train = [0.9 * 0.8**i for i in range(16)]
    assert verdict(Curves([0.003] * 16, train, NOISY, "finished", validation_examples=360)).label != "oscillating"
    swinging = verdict(Curves([0.003] * 16, NOISY, NOISY, "finished"))
    assert swinging.label == "oscillating" and "decay" in swinging.advice


def test_overfitting_beyond_chance_is_overfitting() -> None:
    train = [2.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.001, 2e-4]
    val = [2.1, 1.6, 1.4, 1.6, 1.9, 2.2, 2.5, 2.8]
    accuracy = Score("val_accuracy", [0.2, 0.4, 0.5, 0.55, 0.6, 0.61, 0.62, 0.62], 0.1)
    for scores in ([], [accuracy]):
        found = verdict(Curves([0.01] * 8, train, val, "finished", chance=CHANCE, scores=scores))
        assert found.label == "overfitting" and found.advice.startswith("stop at epoch 3")


def test_random_labels_are_nothing_to_learn() -> None:
    train, val = [2.31, 2.25, 2.1, 1.8, 1.4, 1.0], [2.31, 2.32, 2.4, 2.6, 3.0, 3.6]
    luck = Score("val_accuracy", [0.1, 0.09, 0.12, 0.1, 0.11, 0.12], 0.1)
    found = verdict(Curves([0.01] * 6, train, val, "finished", chance=CHANCE, scores=[luck], validation_examples=360))
    assert found.label == "nothing to learn" and found.factor is None and "labels" in found.advice
    little = verdict(
        Curves([0.01] * 5, [2.31, 2.30, 2.29, 2.28, 2.27], [2.31, 2.305, 2.31, 2.31, 2.312], "finished", chance=CHANCE)
    )
    assert little.label == "nothing to learn"


@pytest.mark.parametrize("reached", [0.74, 0.82])
def test_a_classifier_that_is_mostly_right_is_not_stuck(reached: float) -> None:
    """Its loss alone is at 0.9 of chance."""
    losses = [2.3, 2.27, 2.24, 2.2, 2.16, 2.12]
    accuracy = Score("val_accuracy", [0.1, 0.3, 0.5, 0.6, 0.7, reached], 0.1)
    found = verdict(Curves([1e-4] * 6, losses, losses, "finished", chance=CHANCE, scores=[accuracy]))
    assert (found.label, found.factor) == ("too slow", 10)
    assert verdict(Curves([1e-4] * 6, losses, losses, "finished", chance=CHANCE)).label == "stuck, rate too small"


def test_a_run_that_recovered_from_a_spike_and_still_falls_is_too_slow() -> None:
    losses = [1.0, 0.5, 50.0, 4.0, 2.0, 1.3, 1.0, 0.8, 0.7, 0.61, 0.54, 0.48]
    found = verdict(Curves([0.1] * 12, losses, losses, "finished"))
    assert found.label == "too slow" and "train longer" in found.advice


# -- properties

LOSSES = st.lists(st.floats(0, 1e300), min_size=0, max_size=30)


@supposing(st.data())
def test_a_verdict_is_given_of_any_curves(data: st.DataObject) -> None:
    val = data.draw(LOSSES)
    train = data.draw(st.lists(st.floats(), min_size=len(val), max_size=len(val)))
    lr = data.draw(st.one_of(st.just([]), st.lists(st.floats(0, 1e300), min_size=len(val), max_size=len(val))))
    chance = data.draw(st.one_of(st.none(), st.floats(1e-3, 10)))
    scores = [Score("val_accuracy", data.draw(st.lists(st.floats(), max_size=2)), 0.1)]
    found = verdict(Curves(lr, train, val, "finished", "", chance, scores=scores))
    assert found.evidence


@supposing(st.lists(st.floats(1e-3, 10), min_size=3, max_size=20), st.sampled_from([2.0**-20, 2.0**20]))
def test_units_of_loss_and_learning_rate_change_nothing(losses: list[float], unit: float) -> None:
    rates = cosine(len(losses))
    one = verdict(Curves(rates, losses, losses, "finished", chance=2.0))
    scaled = [loss * unit for loss in losses]
    other = verdict(Curves([lr * unit for lr in rates], scaled, scaled, "finished", chance=2.0 * unit))
    assert (one.label, one.factor) == (other.label, other.factor)


# -- other learning rates of the family


def beside(*others: tuple[float, bool, bool, bool]) -> Beside:
    found = [Other(lr, better, sure, notable, "val loss of 1") for lr, better, sure, notable in others]
    return Beside(0.01, np.array([other.lr for other in found]), found.__getitem__)


FLAT = Verdict("converged", "flat")


def test_a_surely_better_learning_rate_is_the_advice() -> None:
    found = revised(FLAT, beside((0.03, True, True, True), (0.001, False, False, False)))
    assert (found.label, found.advice) == ("rate too small", "use 0.03")
    assert found.factor == pytest.approx(3) and "0.03, 3.0 times larger" in found.evidence
    larger = Verdict("too slow", "falls", "try 3 times larger, 0.03", 3)
    assert revised(larger, beside((0.001, True, True, True))).label == "rate too large"
    assert revised(larger, beside((0.03, True, True, True))).label == "too slow"


def test_a_better_one_that_is_not_decided_leaves_it_open() -> None:
    found = revised(FLAT, beside((0.03, True, False, True)))
    assert (found.label, found.advice) == (
        "undecided",
        "more seeds tell whether 0.03 is better",
    ) and "not decided" in found.evidence
    assert revised(FLAT, beside((0.03, True, False, False))).label == "converged"


def test_advice_that_the_family_contradicts_is_withdrawn() -> None:
    larger = Verdict("too slow", "falls", "train longer, or try 3 times larger, 0.03", 3)
    found = revised(larger, beside((0.03, False, False, False), (0.001, False, False, False)))
    assert (found.label, found.advice, found.factor) == ("too slow", "train longer", None)
    untried = revised(larger, beside((0.001, False, False, False)))
    assert untried.factor == 3


def test_the_best_of_a_family_has_converged_unless_it_is_at_the_end() -> None:
    unsure = Verdict("undecided", "noisy", "try both sides")
    inside = revised(unsure, beside((0.03, False, False, False), (0.001, False, False, False)))
    assert (inside.label, inside.advice) == ("converged", "") and "best of the 3" in inside.evidence
    end = revised(unsure, beside((0.03, False, False, False), (0.1, False, False, False)))
    assert end.label == "undecided" and "try smaller" in end.advice


def test_a_report_knows_what_other_learning_rates_of_the_family_show(group_at: Callable[..., Group]) -> None:
    made = [group_at(0.001, 0.9, 0.91, 0.89), group_at(0.01, 0.5, 0.51, 0.49), group_at(0.1, 0.8, 0.81, "diverged")]
    low, best, high = (group.beside for group in with_families(made, measure_named([], "val_loss")))
    assert low and best and high
    assert low.lr == 0.001 and low.others.tolist() == [0.01, 0.1]
    first = low.other(0)
    assert first.better and first.sure and first.notable
    assert first.words == "val loss of 0.4999 instead of 0.9, over 3 seeds"
    assert not any(best.other(index).better for index in range(3)) and high.other(0).better
    tried, beyond = high.tried(0.01), high.tried(10)
    assert tried and tried.lr == 0.01 and beyond is None


def test_one_seed_is_never_sure_and_a_pruned_rival_says_nothing(group_at: Callable[..., Group]) -> None:
    made = [group_at(0.001, 0.9), group_at(0.01, 0.5), group_at(0.1, "pruned"), group_at(1.0, 0.7)]
    low = with_families(made, measure_named([], "val_loss"))[0].beside
    assert low and low.others.tolist() == [0.01, 1.0]
    shown = [low.other(index) for index in range(2)]
    assert [(other.lr, other.better, other.sure) for other in shown] == [(0.01, True, False), (1.0, True, False)]


def test_verdicts_in_a_report_say_what_the_family_shows() -> None:
    shown = gather([Path(__file__).parent / "golden" / "runs"], filters=["name=swept"])
    said = dict(curves(shown.groups))
    assert "best of the 3 learning rates in this report" in said["lr 0.173"]
    assert "in this report, 0.173, 5.8 times larger, has a val loss of" in said["lr 0.03"]


# -- what advice gives, counted on dense sweeps


def test_most_advice_helps_and_what_converged_has_no_better_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted with one seed's curves; docs/verdicts.md has the whole count, held-out tasks apart."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    import verdicts as benchmark

    cases = benchmark.from_kept(LABELLED / "dense.csv.gz")
    assert len(cases) > 500
    outcomes = benchmark.by_family(cases)
    fitted = benchmark.counted([case for case in cases if case.task in benchmark.FITTED], outcomes)
    every = benchmark.counted(cases, outcomes)
    assert fitted["helped"] > 0.95 * fitted["advised"] > 100
    assert every["wrongly"] <= 0.05 * every["converged"]
    learnable = [case for case in cases if case.task not in (*benchmark.FITTED, "noise-mlp-adam")]
    held_out = benchmark.counted(learnable, outcomes)
    assert held_out["helped"] > 0.9 * held_out["advised"] > 100
