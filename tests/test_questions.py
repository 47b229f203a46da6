"""What runs were made to answer, and the answer in words; run folders made by hand."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import finished_run
from foreign import recorded_run, rows

from lrbench.analysis import Question, grouped, questions, read_runs
from lrbench.components.metrics import LOSS, measures
from lrbench.reports.page.heat import heat
from lrbench.reports.prose.phrases import interval
from lrbench.reports.reporting import gather
from lrbench.reports.sections import Section
from lrbench.reports.shown import summary
from lrbench.runs import RunFolder

MakeRun = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("sketches")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def make(runs: Path) -> MakeRun:
    return functools.partial(finished_run, runs)


def asked(runs: Path) -> list[Question]:
    return questions(grouped(read_runs([runs])))


def only(runs: Path, **words: Any) -> Section:
    (section,) = gather([runs], **words).sections
    assert len(section.answer) <= 3
    return section


def swept(make: MakeRun, losses: Mapping[float, tuple[float | None, ...]], **changes: Any) -> None:
    """A family of a sweep: the loss of each seed by learning rate; None is a diverged seed."""
    for lr, each in losses.items():
        for seed, loss in enumerate(each):
            status = "finished" if loss is not None else "diverged"
            make([2.0, 2.0 if loss is None else loss], lr=lr, seed=seed, status=status, **changes)


U = {0.01: (0.4, 0.42, 0.41), 0.1: (0.2, 0.21, 0.22), 1.0: (0.8, 0.82, 0.81)}
"""Lowest in the middle."""


def times(factor: float, losses: Mapping[float, tuple[float, ...]] = U) -> dict[float, tuple[float, ...]]:
    return {lr: tuple(factor * loss for loss in each) for lr, each in losses.items()}


# -- the question


def test_configs_that_people_named_are_seen_side_by_side(make: MakeRun, runs: Path) -> None:
    """As the tutorial's: three of them differ only in the learning rate, and yet are no sweep."""
    for name, lr in (("baseline", 0.1), ("too-large", 1.0), ("too-small", 0.001)):
        make([1.0, 0.5], name=name, lr=lr)
    make([1.0, 0.4], name="decay", schedule="cosine")
    make([1.0, 0.3], name="cycle", schedule="linear")
    (found,) = asked(runs)
    assert found.kind == "curves" and found.families == () and len(found.groups) == 5
    assert only(runs).title == "Five runs side by side"


@pytest.mark.parametrize(
    ("changes", "kind", "keys", "heat"),
    [
        ([{}], "rates", (), ()),
        ([{"batch_size": 16}, {"batch_size": 64}], "grid", ("batch_size",), ("optimizer.lr", "batch_size")),
        ([{"schedule": "cosine"}, {"schedule": "linear"}], "schedules", ("schedule.name",), ()),
        ([{"schedule": "cosine"}, {"warmup": {"for": "10%"}}], "schedules", ("schedule.name", "warmup.for"), ()),
        ([{"batch_size": 16, "schedule": "cosine"}, {"batch_size": 64}], "rates", ("schedule.name", "batch_size"), ()),
    ],
)
def test_a_sweep_asks_what_its_axes_say(
    make: MakeRun, runs: Path, changes: list[dict[str, Any]], kind: str, keys: tuple[str, ...], heat: tuple[str, ...]
) -> None:
    for more in changes:
        swept(make, U, **more)
    (found,) = asked(runs)
    assert (found.kind, found.heat, len(found.families)) == (kind, heat, len(changes))
    assert [key for key in found.keys if not key.startswith("warmup")] == [
        k for k in keys if not k.startswith("warmup")
    ]
    assert found.beside == () and len(found.values) == len(changes)


def test_lengths_of_training(make: MakeRun, runs: Path) -> None:
    for epochs in (1, 2, 4):
        for lr, loss in ((0.01, 0.4), (0.1, 0.2 / epochs), (1.0, 0.9)):
            make([2.0] * (epochs - 1) + [loss], lr=lr)
    (found,) = asked(runs)
    assert found.kind == "lengths" and found.keys == ("epochs",)
    assert [found.value(family) for family in found.families] == [(4,), (2,), (1,)], "the best first; whole numbers"


def test_two_more_axes_cross_in_a_heat_map(make: MakeRun, runs: Path) -> None:
    for batch in (16, 64):
        for schedule in ("cosine", "linear"):
            swept(make, {0.01: (0.4,), 0.1: (0.2,)}, batch_size=batch, schedule=schedule)
    (found,) = asked(runs)
    assert found.kind == "rates" and set(found.heat) == {"batch_size", "schedule.name"}
    assert only(runs).title == "Learning rate by schedule and batch size"


def test_a_heat_map_shows_the_better_of_two_versions_of_the_code(make: MakeRun, runs: Path) -> None:
    for batch in (16, 64):
        for lr in (0.01, 0.1, 1.0):
            for seed, loss in enumerate((0.2, 0.4)):
                folder = RunFolder(make([2.0, loss + lr / 100], lr=lr, seed=seed, batch_size=batch))
                folder.amend_environment(
                    {"started": f"2026-11-2{seed}T10:00:00+00:00", "user_code": {"nets": str(seed)}}
                )
    (found,) = asked(runs)
    shown = heat(found)
    assert shown is not None
    assert [[cell.text for cell in cells] for _, cells in shown.rows] == [["0.2 ←", "0.201", "0.21"]] * 2


def test_one_part_with_other_parameters(make: MakeRun, runs: Path) -> None:
    """Families of one optimizer's name are told apart by its parameters."""
    for schedule in ({"name": "step", "every": "1 epochs"}, {"name": "step", "every": "2 epochs"}, "cosine"):
        swept(make, {0.01: (0.4,), 0.1: (0.2,)}, schedule=schedule)
    (found,) = asked(runs)
    assert found.kind == "schedules" and len(set(found.values)) == 3


def test_families_of_two_learning_rates(make: MakeRun, runs: Path) -> None:
    swept(make, {0.01: (0.4,), 0.1: (0.2,)}, batch_size=16)
    assert asked(runs)[0].kind == "curves", "two curves tell more than a line through two points"
    swept(make, {0.01: (0.4,), 0.1: (0.2,)}, batch_size=64)
    assert asked(runs)[0].kind == "grid"


def test_a_zoom_leaves_families_with_uneven_rates(make: MakeRun, runs: Path) -> None:
    swept(make, {0.01: (0.4,), 0.1: (0.2,), 0.05: (0.19,), 0.07: (0.18,), 1.0: (0.8,)}, batch_size=16)
    swept(make, U, batch_size=64)
    (found,) = asked(runs)
    assert found.kind == "grid" and sorted(len(family.points) for family in found.families) == [3, 5]


def test_runs_beside_a_sweep(make: MakeRun, runs: Path) -> None:
    swept(make, U, batch_size=16)
    swept(make, times(2), batch_size=64)
    make([1.0, 0.05], name="other", schedule="cosine")
    make([1.0, 0.9], name="another", schedule="linear")
    (found,) = asked(runs)
    assert found.kind == "grid" and [group.label for group in found.beside] == ["other", "another"]
    section = only(runs)
    assert "other, which is not part of the sweep, is even better: 0.05." in [*section.answer, *section.notes]
    for at in range(6):
        make([1.0, 0.9], name=f"n{at}", schedule={"name": "step", "every": f"{at + 3} epochs"})
    assert asked(runs)[0].kind == "curves", "most runs are of no sweep"


def test_a_cell_that_was_trained_under_another_name_belongs_to_the_sweep(make: MakeRun, runs: Path) -> None:
    swept(make, {0.01: (0.4,), 1.0: (0.8,)})
    make([1.0, 0.2], name="baseline", lr=0.1)
    (found,) = asked(runs)
    assert found.kind == "rates" and len(found.families[0].points) == 3


def test_many_named_learning_rates_are_a_sweep(make: MakeRun, runs: Path) -> None:
    for at in range(5):
        make([1.0, 0.5], name=f"at-{at}", lr=10.0**-at)
    assert asked(runs)[0].kind == "rates"


def test_different_tasks_are_asked_about_apart(make: MakeRun, runs: Path) -> None:
    swept(make, U)
    for seed in range(2):
        make([1.0, 0.5], name="other", loss="mse", seed=seed)
    found = asked(runs)
    assert [(one.kind, one.task) for one in found] == [
        ("rates", "digits with cross_entropy"),
        ("run", "digits with mse"),
    ]
    told = summary(gather([runs]))
    assert told[0].startswith("These runs have different tasks (digits with cross_entropy; digits with mse)")
    assert told[1].startswith("digits with cross_entropy: Three seeds locate the best learning rate ")
    assert any(line.startswith("digits with mse: other has a validation loss of 0.5 (two seeds)") for line in told)


def test_a_sweep_that_has_just_begun(make: MakeRun, runs: Path) -> None:
    """What is asked is known from the first run on."""
    swept(make, {0.01: (0.4,)}, batch_size=16)
    for batch in (16, 64):
        for lr in (0.1, 1.0):
            make([2.0, 1.0], lr=lr, batch_size=batch, status=None)
    (found,) = asked(runs)
    assert found.kind == "grid" and found.families[1].best(found.measure) is None  # type: ignore[arg-type]
    section = only(runs)
    assert section.answer[0] == (
        "So far, with 1 of 5 runs ended, only batch size 16 has a result: a validation loss of 0.4 at 0.01."
    )


def test_no_run_has_ended(make: MakeRun, runs: Path) -> None:
    make([2.0, 1.0], lr=0.1, status=None)
    make([2.0, 1.0], lr=0.2, status=None)
    (section,) = gather([runs]).sections
    assert section.answer == ("No run has finished yet: two were interrupted.",)


def test_damaged_runs_ask_nothing(make: MakeRun, runs: Path) -> None:
    (make([2.0, 1.0]) / "config.yaml").write_text("{")
    assert asked(runs) == []
    assert summary(gather([runs]))[0] == "No run can be read: 1 of 1 is damaged."


def test_runs_that_all_diverged_or_failed(make: MakeRun, runs: Path) -> None:
    swept(make, {0.1: (None,), 1.0: (None,), 10.0: (None,)})
    assert only(runs).answer[0] == "Every run diverged: try learning rates 10 times smaller, or lrbench find-lr."
    make([2.0, 1.0], lr=100.0, status="failed")
    assert only(runs).answer[0] == "No run finished: three diverged and one failed."


# -- the answer


def test_a_grid_is_answered_by_the_best_family_then_by_how_the_optimum_moves(make: MakeRun, runs: Path) -> None:
    """64 is worse by a factor of 3 in each of three pairs, and best at the highest learning rate tried."""
    swept(make, U, batch_size=16)
    swept(make, {0.01: (2.4, 2.52, 2.46), 0.1: (1.2, 1.26, 1.23), 1.0: (0.6, 0.63, 0.66)}, batch_size=64)
    first, second, third = only(runs).answer
    assert re.fullmatch(
        r"Batch size 16 has the lowest validation loss, 0\.2098, at a learning rate of 0\.1"
        r" \(three seeds locate the optimum only between [\d.]+ and [\d.]+\)\.",
        first,
    )
    assert second == (
        "The best learning rate tried rises with the batch size: 0.1 and 1 for 16 and 64; "
        "1 is the highest tried, so a higher one may be better."
    )
    assert third == "Batch size 64 is worse, by a factor of 3 (3 to 3)."
    assert only(runs).title == "Learning rate by batch size"


def test_two_seeds_can_not_tell(make: MakeRun, runs: Path) -> None:
    for batch, factor in ((16, 1.0), (64, 1.1), (256, 1.15)):
        swept(make, {0.01: (0.9, 0.8), 0.1: (0.2 * factor, 0.3 / factor), 1.0: (0.9, 0.95)}, batch_size=batch)
    section = only(runs)
    assert section.answer[2] == "With two seeds each, the differences between batch sizes may be chance."
    assert section.answer[1] == "The best learning rate is about 0.099 for all batch sizes."
    assert "(95% interval 0." not in section.answer[0], "that of two values would say nothing"


def test_the_name_of_a_parameter_stays_as_it_is(runs: Path) -> None:
    for k, factor in (("fork", 1.0), ("spoon", 1.1)):
        for lr, loss in ((0.01, 0.9), (0.1, 0.2), (1.0, 0.8)):
            for seed in range(2):
                recorded_run(runs, rows([factor * (loss + 0.1 * seed)]), seed=seed, params={"lr": lr, "k": k})
    section = only(runs)
    assert section.title == "Learning rate by k"
    assert section.answer[0].startswith("k fork has the lowest validation loss")
    assert section.answer[1] == "The best learning rate tried is 0.1 for all values of k."


def test_schedules_are_compared_each_at_its_own_best(make: MakeRun, runs: Path) -> None:
    """Linear is worse by 20% in each pair: its best is at another learning rate."""
    swept(make, U, schedule="cosine")
    swept(make, {0.01: (0.24, 0.252, 0.264), 0.1: (0.4, 0.42, 0.41), 1.0: (0.8, 0.82, 0.81)}, schedule="linear")
    section = only(runs)
    assert section.title == "Schedules, each at its best learning rate"
    first, second, third = section.answer
    assert first.startswith("cosine has the lowest validation loss, 0.2098 (95% interval 0.186 to 0.236, three seeds)")
    assert first.endswith(", at its best learning rate, 0.1.")
    assert second == "linear is worse, by 20% (20% to 20%)."
    assert third == "For linear, the best is the lowest learning rate tried: try lower ones."
    assert "Each was tuned over three learning rates with nine runs." in section.notes
    assert any("The seeds compared here also chose each learning rate" in note for note in section.notes)
    family = section.question.families[1]
    assert family.label == "linear" and section.row(family).answer.word == "worse"  # type: ignore[union-attr]


def test_unequal_tuning_is_said_before_all_else(make: MakeRun, runs: Path) -> None:
    swept(make, U, schedule="cosine")
    swept(make, {0.1: (0.3, 0.31, 0.32), 1.0: (0.9, 0.9, 0.9)}, schedule="linear")
    assert only(runs).answer[2] == (
        "They were tuned unequally: cosine over three learning rates with nine runs; "
        "linear over two learning rates with six runs."
    )


def test_the_baseline_of_families_is_the_family_of_the_baseline(make: MakeRun, runs: Path) -> None:
    swept(make, U, schedule="cosine")
    swept(make, times(1.5), schedule="linear")
    label = next(g.label for g in gather([runs]).groups if "linear" in g.label and g.first.peak_lr == 1.0)
    section = only(runs, baseline=label)
    assert section.comparison is not None and section.comparison.against.group.label == "linear"
    assert section.answer[1] == "cosine is better than linear, by 33% (33% to 33%)."


def test_one_family_says_where_the_optimum_is_and_where_seeds_diverge(make: MakeRun, runs: Path) -> None:
    swept(make, {**U, 10.0: (None, None, 5.0), 100.0: (None, None, None)})
    section = only(runs)
    assert section.title == "Learning rate of tiny"
    assert section.answer[0].startswith("Three seeds locate the best learning rate only between ")
    assert "0.2098 (95% interval" in section.answer[0]
    assert "At 10 and 100, five of six runs diverged." in section.answer
    swept(make, {1000.0: (None, None, None)})
    assert "From 10 up, eight of nine runs diverged." in only(runs).answer


def test_the_best_at_the_edge(make: MakeRun, runs: Path) -> None:
    swept(make, {0.01: (0.1,), 0.1: (0.2,), 1.0: (0.8,)})
    assert only(runs).answer[:2] == (
        "The best learning rate tried is 0.01, with a validation loss of 0.1 (one seed).",
        "It is the lowest tried, so a lower one may be better.",
    )


def test_the_story_of_one_run(make: MakeRun, runs: Path) -> None:
    make([2.0, 0.5, 0.4, 0.6])
    section = only(runs)
    assert section.question.kind == "run" and section.title == "tiny"
    assert section.answer[:2] == (
        "tiny finished four epochs with a validation loss of 0.6 and a test accuracy of 80.00%.",
        "The lowest was 0.4, after epoch 3.",
    )


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("diverged", "tiny diverged at update 4: the loss was not finite at update 3."),
        (None, "tiny was interrupted, 2 of 2 epochs done, with a validation loss of 1 so far."),
    ],
)
def test_one_run_without_an_end(make: MakeRun, runs: Path, status: str | None, said: str) -> None:
    make([2.0, 1.0], status=status)
    assert only(runs).answer[0] == said


def test_hundreds_of_groups_are_compared_with_the_best_alone(make: MakeRun, runs: Path) -> None:
    """70 groups with a noise of 1%, all but the first worse by a half; each p is corrected for all 2,415 pairs."""
    noise = np.random.default_rng(0).normal(0, 0.01, (70, 4))
    for at in range(70):
        for seed in range(4):
            loss = 0.1 * math.exp(noise[at, seed]) * (1.5 if at else 1.0)
            make([1.0, loss], name=f"n{at}", schedule={"name": "step", "every": f"{at + 1} epochs"}, seed=seed)
    comparison = gather([runs]).comparison
    assert comparison is not None and comparison.best.group.label == "n0"
    found = Counter(row.answer.word for row in comparison.rows[1:] if row.answer)
    assert set(found) <= {"worse", "probably worse"} and found["worse"] > 60
    assert all(row.ranks is None for row in comparison.rows), "all pairs would tell them"
    assert comparison.prior is not None and comparison.prior.arms == 70
    assert only(runs).answer[1].endswith(f"; {found['worse']} others are worse, by 47% or more.")


@pytest.mark.parametrize(
    ("low", "middle", "high", "said"),
    [
        (0.0341, 0.0577, 0.112, "0.0341 to 0.112"),
        (0.12351, 0.12354, 0.12358, "0.1235 to 0.1236"),  # three digits would be 0.124 to 0.124
        (0.09996, 0.09998, 0.102, "0.09996 to 0.102"),  # 0.1 would be above the middle
    ],
)
def test_an_interval_has_its_middle_inside(low: float, middle: float, high: float, said: str) -> None:
    assert interval(measures([LOSS])["val_loss"], low, middle, high) == f"95% interval {said}"
