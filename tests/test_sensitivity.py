"""How a report shows the dependence on the learning rate: families, their best and good rates, sentence and figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lrbench
from lrbench.analysis import Family, Group, Optimum, Record, families, grouped, measure_named, optimum, read_runs
from lrbench.analysis import sensitivity as rule
from lrbench.analysis.family_words import words
from lrbench.analysis.sensitivity import good_margin
from lrbench.components import Measure, measures
from lrbench.components.metrics import ACCURACY, LOSS
from lrbench.errors import UsageError
from lrbench.reports.figures.sensitivity import draw
from lrbench.reports.figures.style import write_both
from lrbench.runs import RunFolder, Status

MEASURES = measures((LOSS, ACCURACY))
VAL_LOSS, VAL_ACCURACY = MEASURES["val_loss"], MEASURES["val_accuracy"]
ONE_SEED = (
    "The minimum between the learning rates tried is unknown, since the noise of a single seed is unknown: "
    "it needs at least 2, better 3 or more."
)
Make = Callable[..., Any]
MakeRun = Callable[..., Path]


@pytest.fixture
def family(group_at: Callable[..., Group]) -> Callable[..., Family]:
    """The one family of the given values at rates 0.001, 0.01, …; a list is one value a seed."""

    def make(*values: float | str | Sequence[float | str], measure: Measure = VAL_LOSS, **more: Any) -> Family:
        rates = (10.0 ** (at - 3) for at in range(len(values)))
        seeds = [value if isinstance(value, list | tuple) else [value] for value in values]
        made = [group_at(lr, *several, key=measure.name, **more) for lr, several in zip(rates, seeds, strict=True)]
        (found,) = families(made, measure)
        return found

    return make


# -- the rule


def test_the_rule_by_hand() -> None:
    inf = math.inf
    assert rule.lowest([3.0, 1.0, 1.0, inf]) == 1, "the first of equal ones"
    assert rule.lowest([inf, inf]) is None and rule.lowest([]) is None
    assert rule.edge([1.0, 2.0, 3.0]) == "lowest" and rule.edge([3.0, 2.0, 1.0]) == "highest"
    assert rule.edge([2.0, 1.0, inf]) == "", "a rate that diverged was tried"
    assert rule.edge([inf, inf]) == rule.edge([1.0]) == rule.edge([]) == ""
    assert rule.near([1.0, 9.0, 1.1, 1.0, 1.5, inf], 0.5) == (0, 0), "the gap ends it, however good what is beyond"
    assert rule.near([9.0, 1.1, 1.0, 1.5, inf], 0.5) == (1, 3)
    assert rule.near([inf], 0.5) is None


def test_margins_by_hand() -> None:
    assert good_margin(0.5, MEASURES["test_loss"]) == pytest.approx(0.05)
    assert good_margin(-2.0, VAL_LOSS) == pytest.approx(0.2), "an imported loss may be below 0"
    assert good_margin(0.7, VAL_ACCURACY) == pytest.approx(0.03), "a tenth of 30 % of errors"
    assert good_margin(0.99, VAL_ACCURACY) == good_margin(1.0, VAL_ACCURACY) == 0.002


# -- families


def test_groups_that_differ_only_in_the_rate_are_a_family(group_at: Callable[..., Group]) -> None:
    cosine = {"schedule": "cosine", "name": "rates"}
    groups = [
        group_at(0.1, 0.3, 0.5, 0.4, name="rates"),
        *(group_at(lr, loss, **cosine) for lr, loss in ((1.0, 0.9), (0.01, 0.2), (0.1, 0.3))),
        *(group_at(lr, loss, name="rates") for lr, loss in ((0.01, 0.6), (0.3, 2.0))),
        group_at(0.001, 0.1, name="rates", batch_size=16),
    ]
    found = families(groups, VAL_LOSS)
    assert [(one.label, [point.lr for point in one.points]) for one in found] == [
        ("cosine", [0.01, 0.1, 1.0]),
        ("constant", [0.01, 0.1, 0.3]),
    ], "the best first; rates in order; another batch size is another family, of one rate"
    middle = found[1].points[1]
    assert middle.values(VAL_LOSS) == (0.3, 0.5, 0.4) and middle.centre(VAL_LOSS) == pytest.approx(0.06 ** (1 / 3))
    assert middle.group is groups[0]


@pytest.mark.parametrize(
    "values", [[0.1, 0.2], [0.1, 0.2, "running"], [0.1, 0.2, "pruned"], ["failed", "damaged", "running"], []]
)
def test_fewer_than_three_rates_with_a_result_are_no_family(
    group_at: Callable[..., Group], values: list[float | str]
) -> None:
    assert families([group_at(10.0**-at, value) for at, value in enumerate(values)], VAL_LOSS) == []


def test_a_rate_left_to_the_optimizer_and_a_damaged_config_are_in_no_family(group_at: Callable[..., Group]) -> None:
    broken = Group("broken", (Record(RunFolder(Path("broken")), Status.DAMAGED),))
    groups = [group_at(None, 0.1), broken, *(group_at(lr, 0.2) for lr in (0.1, 0.2, 0.3))]
    (found,) = families(groups, VAL_LOSS)
    assert [point.lr for point in found.points] == [0.1, 0.2, 0.3]
    assert families(groups[:2], VAL_LOSS) == []


def test_a_metric_that_the_runs_do_not_have_makes_no_family(group_at: Callable[..., Group]) -> None:
    groups = [group_at(lr, 0.2) for lr in (0.1, 0.2, 0.3)] + [group_at(1.0, "diverged")]
    assert families(groups, VAL_ACCURACY) == families(groups, MEASURES["test_loss"]) == []
    for metric in ("best_epoch", "loss", ""):
        with pytest.raises(UsageError, match="no such metric"):
            measure_named([record for group in groups for record in group.records], metric)


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (["same", "same", "same"], "same"),
        (["mnist-lr-0.1", "mnist-lr-0.01", "mnist-lr-1"], "mnist-lr"),
        (["baseline", "baseline-large", "baseline-small"], "baseline"),
        (["baseline", "large", "far-too-small"], "sgd constant"),
        (["lr0.1", "lr0.1", "lr0.01"], "sgd constant"),
        (["-a", "-b", "-c"], "sgd constant"),
    ],
)
def test_a_family_is_called_what_its_names_have_in_common(
    group_at: Callable[..., Group], names: list[str], label: str
) -> None:
    groups = [group_at(10.0**-at, 0.1 + at, name=name) for at, name in enumerate(names)]
    assert [one.label for one in families(groups, VAL_LOSS)] == [label]


def test_families_without_a_common_name_say_what_they_share_and_what_differs(group_at: Callable[..., Group]) -> None:
    names, kinds = ("baseline", "large", "small"), ({}, {"schedule": "cosine"}, {"batch_size": 16})
    groups = [
        group_at(lr, loss, name=f"{name}{loss}", **changes)
        for loss, changes in zip((0.1, 0.2, 0.3), kinds, strict=True)
        for name, lr in zip(names, (0.1, 0.2, 0.3), strict=True)
    ]
    assert [one.label for one in families(groups, VAL_LOSS)] == [
        "constant, batch size 32",
        "cosine, batch size 32",
        "constant, batch size 16",
    ]


def test_families_of_one_name_say_what_differs(group_at: Callable[..., Group]) -> None:
    kinds: list[tuple[float, dict[str, Any]]] = [
        (0.1, {}),
        (0.2, {"schedule": {"name": "step", "every": "1 epochs", "factor": 0.5}}),
        (0.3, {"warmup": "10%"}),
        (0.4, {"batch_size": 16}),
    ]
    groups = [group_at(lr, loss, **changes) for loss, changes in kinds for lr in (0.1, 0.2, 0.3)]
    assert [one.label for one in families(groups, VAL_LOSS)] == [
        "constant, no warm-up, batch size 32",
        "step, no warm-up, batch size 32",
        "constant, warm-up 10%, batch size 32",
        "constant, no warm-up, batch size 16",
    ]


def test_labels_differ_even_where_what_is_said_of_them_does_not(group_at: Callable[..., Group]) -> None:
    many = {"batch_size": 8, "epochs": 3, "clip_grad_norm": 1.0, "accumulate": 2}
    groups = [
        group_at(lr, 0.1, **{**many, "accumulate": accumulate, **more})
        for accumulate in (1, 2)
        for more in ({}, {"schedule": "cosine"}, {"batch_size": 4}, {"epochs": 4}, {"clip_grad_norm": 2.0})
        for lr in (0.1, 0.2, 0.3)
    ]
    labels = [one.label for one in families(groups, VAL_LOSS)]
    assert len(labels) == 10 == len(set(labels)), labels


# -- what they say


def minimum(found: Family) -> str:
    """`0.0041 (95% interval 0.0029 … 0.0058, 0.30 decades)`; the numbers are tested in test_optimum.py."""
    fitted = optimum(found, VAL_LOSS)
    assert isinstance(fitted, Optimum) and fitted.low < fitted.lr < fitted.high
    assert fitted.words.startswith(f"{fitted.lr:.3g} (95% interval {fitted.low:.3g} … {fitted.high:.3g}, ")
    return fitted.words


def test_the_words_of_a_best_rate_and_its_good_neighbours(family: Callable[..., Family]) -> None:
    found = family([0.9, 0.8], [0.31, 0.33], [0.3, 0.31], [0.4, 0.5])
    assert words(found, VAL_LOSS) == (
        "tiny: best at 0.1 (val loss 0.305, geometric mean of 2 seeds), within 10 % of it from 0.01 to 0.1 "
        f"(1.0 decades). Between the learning rates tried, the curve has its minimum at {minimum(found)}."
    )
    good = found.good(VAL_LOSS)
    assert good is not None and (good.low, good.high, good.decades) == (0.01, 0.1, pytest.approx(1.0))


def test_a_best_rate_at_an_end_is_said_with_the_way_to_go(family: Callable[..., Family]) -> None:
    low, high = family(0.1, 0.2, 0.3), family(0.3, 0.102, 0.1)
    assert (low.edge(VAL_LOSS), high.edge(VAL_LOSS)) == ("lowest", "highest")
    assert words(low, VAL_LOSS) == (
        "tiny: best at 0.001 (val loss 0.1, one seed); no neighbour is within 10 % of it; "
        "the best is the lowest learning rate tried, so try lower ones."
    )
    assert words(high, VAL_LOSS) == (
        "tiny: best at 0.1 (val loss 0.1, one seed), within 10 % of it from 0.01 to 0.1 (at least 1.0 decades); "
        "the best is the highest learning rate tried, so try higher ones."
    )


def test_good_rates_that_reach_an_end_are_at_least_so_wide(family: Callable[..., Family]) -> None:
    found = family(0.105, 0.1, 0.3)
    assert found.edge(VAL_LOSS) == ""
    assert words(found, VAL_LOSS).endswith(f"from 0.001 to 0.01 (at least 1.0 decades). {ONE_SEED}")


def test_a_gap_ends_the_good_rates(family: Callable[..., Family]) -> None:
    found = family(0.1, 0.5, 0.099, 0.101, 0.4)
    good = found.good(VAL_LOSS)
    assert good is not None and (good.low, good.high) == (0.1, 1.0) and not good.open_below


def test_a_diverged_seed_is_worse_than_any(family: Callable[..., Family]) -> None:
    found = family([0.5, 0.6, 0.72], [0.3, "diverged", 0.4], [0.1, "diverged", "failed"], ["diverged"] * 3)
    assert found.costs(VAL_LOSS) == [pytest.approx(0.6), math.inf, math.inf, math.inf]
    assert [point.lost(VAL_LOSS) for point in found.points] == [0, 1, 2, 3]
    assert found.points[1].centre(VAL_LOSS) == pytest.approx(math.sqrt(0.12)), "which is shown, not chosen"
    assert found.points[2].centre(VAL_LOSS) is None, "most of its seeds have none"
    assert words(found, VAL_LOSS) == (
        "tiny: best at 0.001 (val loss 0.6, geometric mean of 3 seeds); no neighbour is within 10 % of it; "
        "the best is the lowest learning rate tried, so try lower ones; "
        "5 of 12 runs diverged (at 0.01, 0.1, 1); 1 of 12 runs failed (at 0.1)."
    )


def test_pruned_and_unfinished_runs_are_said(family: Callable[..., Family]) -> None:
    found = family([0.5, 0.6], [0.1, "pruned"], [0.3, "running"], [0.4, "failed"])
    costs = [pytest.approx(math.sqrt(0.3)), math.inf, 0.3, math.inf]
    assert found.costs(VAL_LOSS) == costs, "the others of a pruned one are a choice"
    assert words(found, VAL_LOSS) == (
        "tiny: best at 0.1 (val loss 0.3, one seed); no neighbour is within 10 % of it; "
        "1 of 8 runs failed (at 1); 1 of 8 runs pruned (at 0.01); 1 of 8 runs not finished (at 0.1). "
        "The minimum between the learning rates tried is unknown, since 1 of 2 seeds diverged or failed at 1, "
        "next to the best, 0.1: try learning rates between."
    )


def test_where_every_rate_diverged_there_is_no_best_one(family: Callable[..., Family]) -> None:
    found = family(*["diverged"] * 4)
    assert found.best(VAL_LOSS) is None and found.good(VAL_LOSS) is None and found.edge(VAL_LOSS) == ""
    assert words(found, VAL_LOSS) == (
        "tiny: no learning rate has a val loss; 4 of 4 runs diverged (at 4 learning rates from 0.001 to 1)."
    )


def test_of_accuracies_more_is_better(family: Callable[..., Family]) -> None:
    found = family([0.1], [0.99], [0.992], ["diverged"], measure=VAL_ACCURACY)
    assert words(found, VAL_ACCURACY) == (
        "tiny: best at 0.1 (val accuracy 99.20 %, one seed), within 0.2 points of it from 0.01 to 0.1 (1.0 decades); "
        "1 of 4 runs diverged (at 1). The minimum between the learning rates tried is unknown, since "
        "1 of 1 seed diverged or failed at 1, next to the best, 0.1: try learning rates between."
    )
    rough = family([0.66], [0.7], [0.675], measure=VAL_ACCURACY)
    assert "within 3 points of it from 0.01 to 0.1 (at least 1.0 decades)" in words(rough, VAL_ACCURACY)


def test_a_loss_of_zero_has_neighbours_only_of_zero(family: Callable[..., Family]) -> None:
    assert "from 0.01 to 0.1 (1.0 decades)" in words(family(0.5, 0.0, 0.0, 0.1), VAL_LOSS)


# -- the figure


def texts(figure: Any) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.mark.parametrize("count", [1, 8, 12])
def test_families_are_drawn_each_with_its_line_and_its_bar(
    group_at: Callable[..., Group], count: int, tmp_path: Path
) -> None:
    groups = [
        group_at(
            10.0**-at, loss, loss * 1.1, "diverged" if at == 1 else loss, name=f"family {number}", batch_size=number
        )
        for number in range(1, count + 1)
        for at, loss in ((1, 0.9), (2, 0.01 * number), (3, 0.5))
    ]
    found = families(groups, VAL_LOSS)
    figure = draw(found[::-1], VAL_LOSS)
    shown = min(count, 8)
    assert [text.split(": ")[0] for text in texts(figure)[:shown]] == [f"family {n}" for n in range(1, shown + 1)]
    assert texts(figure)[shown:] == ["best learning rate", "at least one seed diverged or failed"]
    assert ("best 8 of 12 families" in figure._suptitle.get_text()) == (count == 12)
    assert [path.name for path in write_both(draw(found, VAL_LOSS), tmp_path / "rates")] == ["rates.png", "rates.svg"]
    assert "<svg" in (tmp_path / "rates.svg").read_text()

    figure.draw_without_rendering()
    boxes = sorted((axes.get_tightbbox() for axes in figure.axes), key=lambda box: box.y0)
    boxes = [figure.legends[0].get_window_extent(), *boxes]
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes)), "legend, bars and lines do not overlap"
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_the_curve_has_a_star_at_its_minimum_and_an_interval(family: Callable[..., Family]) -> None:
    found = family([0.5, 0.51], [0.1, 0.11], [0.12, 0.11], [0.6, 0.61])
    fitted = optimum(found, VAL_LOSS)
    assert isinstance(fitted, Optimum)
    upper, lower = draw([found], VAL_LOSS).axes
    for axes, height in ((upper, fitted.value), (lower, 0)):
        (star,) = (line for line in axes.lines if line.get_marker() == "*")
        assert star.get_xydata().tolist() == [[fitted.lr, height]]
        ((ends,),) = (each.get_segments() for each in axes.collections if hasattr(each, "get_segments"))
        assert ends == pytest.approx(np.array([[fitted.low, height], [fitted.high, height]]))
    (curve,) = (line for line in upper.lines if line.get_alpha() == 0.25)
    assert curve.get_xydata() == pytest.approx(np.array(fitted.curve))
    refused = draw([family(0.3, 0.1, 0.2)], VAL_LOSS)
    assert not [line for axes in refused.axes for line in axes.lines if line.get_marker() == "*"]


@pytest.mark.parametrize("values", [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.105, 0.1, 0.3]])
def test_what_ends_where_the_rates_end_has_an_arrow(family: Callable[..., Family], values: list[float]) -> None:
    assert "at an end of those tried" in texts(draw([family(*values)], VAL_LOSS))
    assert "at an end of those tried" not in texts(draw([family(0.3, *values, 0.3)], VAL_LOSS))


def test_what_is_far_worse_than_the_best_does_not_flatten_the_rest(family: Callable[..., Family]) -> None:
    low, high = draw([family(1e30, 0.1, 0.2)], VAL_LOSS).axes[0].get_ylim()
    assert 0.01 < low < 0.1 and 1e4 < high < 1e5


@pytest.mark.parametrize(
    ("values", "measure"),
    [
        (["diverged"] * 3, VAL_LOSS),
        ([0.0, 0.0, 0.0], VAL_LOSS),
        ([0.1, 0.1, 0.1], VAL_LOSS),
        ([-1.0, -2.0, 5.0], VAL_LOSS),
        ([1e300, 1e-300, 1.0], VAL_LOSS),
        ([1.0, 1.0, 1.0], VAL_ACCURACY),
        ([0.0, "diverged", 0.1], VAL_ACCURACY),
        ([0.3, "pruned", 0.2, 0.1], VAL_LOSS),
    ],
)
def test_odd_values_are_drawn(
    family: Callable[..., Family], values: list[float | str], measure: Measure, tmp_path: Path
) -> None:
    assert write_both(draw([family(*values, measure=measure)], measure), tmp_path / "rates")[0].stat().st_size > 10_000


@pytest.mark.parametrize("name", ["$x$ _y_ ^{2}", "_hidden", "<script>&amp;", "a\nb\tc", "%s {0} \\frac", "x" * 300])
def test_names_are_drawn_and_said_as_they_are(family: Callable[..., Family], name: str, tmp_path: Path) -> None:
    found = family(0.3, 0.1, 0.2, name=name)
    assert words(found, VAL_LOSS).startswith(f"{name}: best at 0.01")
    (shown, *_) = texts(draw([found], VAL_LOSS))
    assert shown.startswith(" ".join(name.split())[:20]) and len(shown) < 80
    write_both(draw([found], VAL_LOSS), tmp_path / "rates")
    assert "<script>" not in (tmp_path / "rates.svg").read_text()


def test_from_the_folders_of_runs(make_run: MakeRun, tmp_path: Path) -> None:
    for lr, last in ((0.01, 0.5), (0.1, 0.2), (1.0, 0.21), (10.0, 0.9)):
        for seed in range(2):
            make_run([0.95, last + seed / 100], lr=lr, seed=seed, name=f"tiny-{lr:g}")
    make_run([0.8, 0.8], lr=10.0, seed=2, name="tiny-10", status="diverged")
    found = families(grouped(read_runs([tmp_path / "runs"])), VAL_LOSS)
    assert [words(one, VAL_LOSS) for one in found] == [
        "tiny: best at 0.1 (val loss 0.2049, geometric mean of 2 seeds), within 10 % of it from 0.1 to 1 "
        "(1.0 decades); "
        f"1 of 9 runs diverged (at 10). Between the learning rates tried, the curve has its minimum at "
        f"{minimum(found[0])}."
    ]
    told = lrbench.optima(tmp_path / "runs")
    assert told == {"tiny": optimum(found[0], VAL_LOSS)} == lrbench.optima(tmp_path / "runs", metric="val_loss")
    with pytest.raises(UsageError, match="no such metric"):
        lrbench.optima(tmp_path / "runs", metric="val_f1")
    assert texts(draw(found, VAL_LOSS))[1:] == [
        "best learning rate", "minimum of the curve, 95% interval", "at least one seed diverged or failed"
    ]  # fmt: skip
