"""What runs are called: labels and short names of groups and families, texts of values, and cuts that keep apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from foreign import command_run, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrbench.analysis import (
    Group,
    Named,
    cut,
    families,
    grouped,
    measure_named,
    naming_of,
    number_text,
    rate_text,
    read_runs,
    renamed,
    shortened,
    value_text,
)
from lrbench.analysis.filters import spelled
from lrbench.errors import UsageError
from lrbench.reports import compare, gather, report
from lrbench.reports.latex import table as latex
from lrbench.reports.page.chart_data import charted
from lrbench.reports.shown import summary
from lrbench.sweeps.plan import Plan, Planned, SweepFolder

MakeRun = Callable[..., Path]
PLAIN: dict[str, Any] = {
    "dataset.name": "digits", "model.name": "mlp", "model.hidden": [64.0], "optimizer.name": "sgd", "optimizer.lr": 0.1,
    "schedule.name": "constant", "loss.name": "cross_entropy", "epochs": 6.0, "batch_size": 16.0, "seed": 0.0,
}  # fmt: skip


def named(name: str = "bs", /, **changes: Any) -> Named:
    """A group of lrbench's own; `optimizer__lr` is `optimizer.lr`, and None leaves a key out."""
    fields = PLAIN | {key.replace("__", "."): value for key, value in changes.items()}
    return Named(name, {key: value for key, value in fields.items() if value is not None}, folder=f"{name}-seed0-1a2b")


def program(name: str = "train", /, *, source: str = "a command", **params: Any) -> Named:
    """A group of another program."""
    return Named(name, {f"params.{key}": value for key, value in params.items()}, "params.lr", source, f"{name}-3c4d")


def of_params(params: dict[str, Any]) -> Named:
    return program(**params)


# -- values


def test_three_digits_but_none_lost_before_the_point() -> None:
    assert [number_text(x) for x in (0.00948683298, 0.3, 16.0, 1e-5, 2.5e-10)] == [
        "0.00949", "0.3", "16", "1e-05", "2.5e-10",
    ]  # fmt: skip
    assert [number_text(x) for x in (12345.0, 1234567.8, -512.25, 1e9)] == ["12345", "1234568", "-512", "1e+09"]
    assert [number_text(x) for x in (float("nan"), float("inf"), 0.0)] == ["nan", "inf", "0"]
    assert rate_text(0.173205080757) == "0.173" and rate_text(None) == "the optimizer's default"


def test_texts_of_values_of_all_kinds() -> None:
    assert value_text([64.0, 0.5, "a"]) == "[64, 0.5, a]" and value_text(None) == "none"
    assert value_text({"a": 1.0, "b": [None]}) == "{a: 1, b: [none]}" and value_text("été") == "été"


# -- labels and short names


def test_the_name_once_and_what_differs_in_three_digits() -> None:
    found = naming_of([
        named(optimizer__lr=lr, batch_size=size) for size in (16.0, 64.0) for lr in (0.00948683298051, 0.3)
    ])  # fmt: skip
    assert found.common == "bs" and found.keys == ("batch size", "learning rate")
    assert found.values == (("16", "0.00949"), ("16", "0.3"), ("64", "0.00949"), ("64", "0.3"))
    assert found.labels[0] == "bs lr=0.00949 batch_size=16" and found.labels[3] == "bs lr=0.3 batch_size=64"
    assert found.shorts[0] == "batch size 16, lr 0.00949" and found.shorts[3] == "batch size 64, lr 0.3"


def test_as_many_digits_as_tell_two_apart_and_no_more() -> None:
    found = naming_of([named(optimizer__lr=lr) for lr in (0.01234567, 0.01234568, 0.00948683)])
    assert found.labels == ("bs lr=0.01234567", "bs lr=0.01234568", "bs lr=0.00949")
    found = naming_of([named(optimizer__lr=lr) for lr in (0.1, 0.1 + 2**-56, 0.3)])
    assert found.labels == ("bs lr=0.1", "bs lr=0.10000000000000002", "bs lr=0.3")


def test_different_names_are_whole_and_enough() -> None:
    found = naming_of([named("mnist-a", optimizer__lr=0.1), named("mnist-b", optimizer__lr=0.2)])
    assert found.common == "" and found.labels == found.shorts == ("mnist-a", "mnist-b")
    assert found.keys == ("name",) and found.values == (("mnist-a",), ("mnist-b",))


def test_several_of_one_name_beside_another() -> None:
    found = naming_of([named("a", optimizer__lr=0.1), named("a", optimizer__lr=0.2), named("b", optimizer__lr=0.5)])
    assert found.labels == ("a lr=0.1", "a lr=0.2", "b") and found.shorts == ("a, lr 0.1", "a, lr 0.2", "b")
    assert found.keys == ("name", "learning rate")
    assert found.values == (("a", "0.1"), ("a", "0.2"), ("b", "0.5")), "a column says it of all"


def test_one_group_has_its_name() -> None:
    found = naming_of([named()])
    assert (found.common, found.keys, found.labels, found.shorts) == ("bs", (), ("bs",), ("bs",))
    assert naming_of([]).labels == ()


def test_words_of_blocks_flags_lengths_and_what_is_not_there() -> None:
    step = {"schedule__name": "step", "schedule__every": "2 epochs"}
    found = naming_of([
        named(),
        named(**step, schedule__factor=0.5),
        named(**step, schedule__factor=0.1),
        named(warmup__for="10%", warmup__from_factor=0.0),
        named(epochs=None, steps=300.0),
        named(epochs=1.0),
    ])  # fmt: skip
    assert found.keys == ("schedule", "factor", "warm-up", "epochs", "steps")
    assert found.shorts == (
        "constant, no warm-up, 6 epochs",
        "step (factor 0.5), no warm-up, 6 epochs",
        "step (factor 0.1), no warm-up, 6 epochs",
        "constant, warm-up 10%, 6 epochs",
        "constant, no warm-up, 300 steps",
        "constant, no warm-up, 1 epoch",
    )
    assert found.values[1] == ("step", "0.5", "none", "6", "none") and found.values[5][:3] == ("constant", "", "none")
    found = naming_of([named(optimizer__nesterov=True), named(optimizer__momentum=0.9, optimizer__nesterov=False)])
    assert found.shorts == ("nesterov, no momentum", "no nesterov, momentum 0.9")
    found = naming_of([named(early_stopping__metric="val_loss", early_stopping__patience=5.0), named()])
    assert found.shorts == ("early stopping", "no early stopping")


def test_parameters_follow_their_block() -> None:
    sgd = {"optimizer__name": "sgd", "batch_size": 32.0}
    found = naming_of([named(**sgd), named(**sgd, optimizer__momentum=0.9), named(optimizer__name="adam")])
    assert found.shorts == (
        "sgd (no momentum), batch size 32",
        "sgd (momentum 0.9), batch size 32",
        "adam, batch size 16",
    )
    found = naming_of([named(optimizer__lr=0.1), named(optimizer__lr=0.2, optimizer__name="adam")])
    assert found.shorts == ("sgd, lr 0.1", "adam, lr 0.2"), "the learning rate is no parameter of the optimizer"


def test_parameters_of_another_schedule_are_left_out() -> None:
    cosine = named(schedule__name="cosine", schedule__final_factor=0.0)
    found = naming_of([named(), cosine, named(schedule__name="linear", schedule__final_factor=0.1)])
    assert found.shorts == ("constant", "cosine", "linear") and found.labels[1] == "bs schedule=cosine"


def test_more_keys_only_as_far_as_names_would_be_equal() -> None:
    keys = {"batch_size": 32.0, "epochs": 3.0, "clip_grad_norm": 1.0, "accumulate": 2.0, "precision": "fp16"}
    found = naming_of([named(), *(named(**dict(list(keys.items())[:n])) for n in range(1, 6))])
    assert len(set(found.labels)) == 6 == len(set(found.shorts))
    # Every row differs from the first in the batch size, but five must be told apart: by all five keys.
    assert found.labels[5] == "bs batch_size=32 epochs=3 clip_grad_norm=1 accumulate=2 precision=fp16"
    together = naming_of([named(), named(**keys)])
    assert together.shorts[1].count(",") == 3, "four keys are enough"


def test_equal_configs_are_told_apart_by_their_folders() -> None:
    found = naming_of([replace(named(), folder="x"), replace(named(), folder="y"), replace(named(), folder="y")])
    assert found.labels == ("bs (x)", "bs (y)", "bs (y) (2)") == found.shorts


def test_unreadable_configs_are_named_by_their_folders() -> None:
    damaged = [Named("bs", {}, folder="bs-seed0-dead"), Named("bs", {}, folder="bs-seed1-beef")]
    found = naming_of([named(optimizer__lr=0.1), named(optimizer__lr=0.2), *damaged])
    assert found.labels == ("bs lr=0.1", "bs lr=0.2", "bs-seed0-dead", "bs-seed1-beef")
    assert found.shorts == ("lr 0.1", "lr 0.2", "bs-seed0-dead", "bs-seed1-beef")


def test_programs_are_marked_and_not_compared_key_by_key() -> None:
    found = naming_of([named("a"), program("a", lr=0.1), program("a", source="lightning", lr=0.3)])
    assert found.labels == ("a", "a (a command)", "a (lightning)") == found.shorts
    found = naming_of([program(lr=lr, hidden_dim=size) for lr, size in ((0.1, 8), (0.2, 16))])
    assert found.labels == ("train lr=0.1 hidden_dim=8", "train lr=0.2 hidden_dim=16")
    assert found.shorts == ("hidden dim 8, lr 0.1", "hidden dim 16, lr 0.2")
    found = naming_of([of_params({"encoder.width": 1, "decoder.width": 2}), of_params({"encoder.width": 3})])
    assert found.shorts == ("encoder width 1, decoder width 2", "encoder width 3, no decoder width")
    found = naming_of([of_params({"model.name": "cnn", "model.width": 8}), of_params({"model.name": "vit"})])
    assert found.shorts == ("model cnn", "model vit") and found.labels[0] == "train model=cnn"


def test_values_of_any_kind_and_length() -> None:
    texts = ["x" * 80 + "a", "x" * 80 + "b", None, ["x"], {"y": [1.0, {"z": None}]}, "", "naïve\n"]
    found = naming_of([program(value=text) for text in texts])
    assert len(set(found.labels)) == len(texts) == len(set(found.shorts))
    assert found.shorts[2:5] == ("no value", "value [x]", "value {y: [1, {z: none}]}")
    assert all(len(row[0]) <= 40 for row in found.values)
    assert found.values[0][0].endswith("xa") and found.values[1][0].endswith("xb"), "what differs is kept"


ANY = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
KEYS = st.sampled_from(
    ["optimizer.lr", "schedule.name", "schedule.factor", "warmup.for", "batch_size", "params.a", "x"]
)
MEMBERS = st.lists(
    st.tuples(st.sampled_from(["a", "a b", "a-b"]), st.dictionaries(KEYS, ANY, max_size=4), st.sampled_from(["", "p"])),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(MEMBERS, st.booleans())
def test_names_are_unique_and_rows_fit_their_keys(drawn: list[tuple[str, Any, str]], rates: bool) -> None:
    made = [Named(name, fields, source=source, folder=str(at)) for at, (name, fields, source) in enumerate(drawn)]
    found = naming_of(made, without_rate=rates)
    assert len(set(found.labels)) == len(made) == len(set(found.shorts)) == len(found.values)
    assert all(len(row) == len(found.keys) for row in found.values) and all(found.labels) and all(found.shorts)
    assert naming_of(made, without_rate=rates) == found


def test_ten_thousand_groups_read_each_value_a_few_times() -> None:
    class Counted(dict[str, Any]):
        looked = 0

        def get(self, key: str, default: Any = None) -> Any:
            Counted.looked += 1
            return super().get(key, default)

    made = [named(optimizer__lr=10 ** -(at / 2000), batch_size=float(2 ** (at % 3))) for at in range(10_000)]
    made = [replace(one, fields=Counted(one.fields)) for one in made]
    found = naming_of(made)
    assert len(set(found.labels)) == 10_000 and found.keys == ("batch size", "learning rate")
    assert Counted.looked < 10_000 * 4 * len(PLAIN), "linear: comparing each with each would be 10,000 times as many"


# -- cutting


def test_a_cut_keeps_what_differs() -> None:
    names = [f"resnet-on-cifar10-with-augmentation batch size {size}, lr 0.00949" for size in (16, 64, 256)]
    assert shortened(names, 31) == [
        "resnet-o…h size 16, lr 0.00949",
        "resnet-o…h size 64, lr 0.00949",
        "resnet-o…h size 256, lr 0.00949",
    ]
    assert shortened(["short", "also short"], 20) == ["short", "also short"]
    assert cut("a" * 30 + " lr=0.01", 20) == "aaaaaaaaaa…a lr=0.01" and cut("short", 20) == "short"


def test_a_cut_of_names_that_differ_only_in_their_middle() -> None:
    names = ["ab" * 30 + key + "cd" * 30 for key in ("X", "Y")]
    one, other = shortened(names, 12)
    assert "X" in one and "Y" in other and one.replace("X", "Y") == other and len(one) <= 12


def test_equal_names_stay_equal_and_hopeless_ones_are_numbered() -> None:
    assert shortened(["same" * 9, "same" * 9], 8) == ["same…ame"] * 2
    found = shortened([f"{at:04}" for at in range(100)], 3)
    assert len(set(found)) == 100


TEXT = st.text(st.sampled_from("ab 1.=,-é\n\u202e"), max_size=40)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(TEXT | st.tuples(TEXT, st.integers(0, 99)).map(lambda p: f"{p[0]}{p[1]}"), max_size=12),
       st.integers(8, 50))  # fmt: skip
def test_different_names_stay_different(names: list[str], most: int) -> None:
    found = shortened(names, most)
    assert len(found) == len(names)
    told: dict[str, str] = {}
    for name, text in zip(names, found, strict=True):
        assert told.setdefault(name, text) == text and len(text) <= most and "\n" not in text
    assert len(set(told.values())) == len(told)


# -- groups, families, reports


def grid(make_run: MakeRun, **changes: Any) -> None:
    for size in (16, 64):
        for lr in (0.00168701548, 0.00948683298, 0.3):
            for seed in range(2):
                loss = 0.2 + lr + size / 1000 + seed / 100
                make_run([1.0, loss], name="bs", lr=lr, seed=seed, batch_size=size, **changes)


def test_groups_have_short_names_and_columns(make_run: MakeRun, tmp_path: Path) -> None:
    grid(make_run)
    groups = grouped(read_runs([tmp_path / "runs"]))
    assert groups[0].label == "bs lr=0.00169 batch_size=16" and groups[0].short == "batch size 16, lr 0.00169"
    assert dict(groups[0].told) == {"batch size": "16", "learning rate": "0.00169"}
    records = [record for group in groups for record in group.records]
    found = families(groups, measure_named(records, "val_loss"))
    assert [family.label for family in found] == ["batch size 16", "batch size 64"]
    assert [dict(family.told) for family in found] == [{"batch size": "16"}, {"batch size": "64"}]
    within = renamed([point.group for point in found[0].points])
    assert [group.short for group in within] == ["lr 0.00169", "lr 0.00949", "lr 0.3"]
    assert [group.label for group in within] == [point.group.label for point in found[0].points]


def test_a_group_without_a_short_name_has_its_label(group_at: Callable[..., Group]) -> None:
    assert group_at(0.1, 0.5).short == "tiny lr=0.1"


def test_confirmations_and_versions_are_in_short_names_too(make_run: MakeRun, tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        for seed in range(2):
            make_run([0.5], lr=lr, seed=seed)
    records = read_runs([tmp_path / "runs"])
    records = [replace(record, confirms=record.plain["seed"] == 1) for record in records]
    shorts = {group.short for group in grouped(records)}
    assert shorts == {"lr 0.1", "lr 0.2", "lr 0.1 (confirmation)", "lr 0.2 (confirmation)"}


@pytest.mark.parametrize(
    "name",
    [
        "bs lr=0.00949 batch_size=16",
        "batch size 16, lr 0.00949",
        "bs lr=0.00948683 batch_size=16",
        "bs lr=0.00948683298 batch_size=16",
        "bs batch_size=16 lr=0.009487",
    ],
)
def test_a_baseline_by_every_spelling_of_its_label(make_run: MakeRun, tmp_path: Path, name: str) -> None:
    grid(make_run)
    found = gather([tmp_path / "runs"], baseline=name).comparison
    assert found is not None and found.against.group.label == "bs lr=0.00949 batch_size=16"
    assert len(gather([tmp_path / "runs"], filters=[name]).groups) == 1
    assert compare(name, "bs lr=0.3 batch_size=64", runs=[tmp_path / "runs"]).a.label == found.against.group.label


def test_other_digits_are_another_group(make_run: MakeRun, tmp_path: Path) -> None:
    grid(make_run)
    for name in ("bs lr=0.00948 batch_size=16", "bs lr=0.00949 batch_size=32", "b lr=0.3", "bs lr=0.00949 bach=16"):
        with pytest.raises(UsageError, match=r"no such group of runs; .*[Cc]hoose one of: "):
            gather([tmp_path / "runs"], baseline=name)
    with pytest.raises(UsageError, match="several groups have this name"):
        gather([tmp_path / "runs"], baseline="bs lr=0.00949")


def test_spellings_of_values_that_are_no_numbers() -> None:
    plain = {"name": "a b", "schedule": {"name": "step", "factor": 0.5}, "model": {"name": "mlp", "hidden": [64, 32]}}
    assert spelled(plain, "a b schedule=step factor=0.5") and spelled(plain, "a b hidden=[64, 32] schedule=step")
    assert not spelled(plain, "a b") and not spelled(plain, "a schedule=step") and not spelled(plain, "a b factor=0.4")


def test_sentences_and_figures_leave_out_the_name_that_all_share(make_run: MakeRun, tmp_path: Path) -> None:
    grid(make_run)
    shown = gather([tmp_path / "runs"])
    assert shown.comparison is not None
    said = " ".join(summary(shown))
    assert "Batch size 16 has the lowest validation loss" in said and "bs" not in said
    report([tmp_path / "runs"], tmp_path / "out")
    table = (tmp_path / "out" / "report.csv").read_text()
    assert "bs lr=0.00169 batch_size=16" in table, "files for programs have full labels"
    drawn = (tmp_path / "out" / "report.svg").read_text()
    assert "batch size 16, lr 0.00949" in drawn and "…" not in drawn
    assert charted(shown.groups)["groups"][0]["short"] == "batch size 16, lr 0.00169"
    table = (tmp_path / "out" / "report.md").read_text().partition("| batch size | learning rate | val loss |")[2]
    assert "| 16 | 0.00169 | " in table and "\nRuns of bs." in table
    assert "Runs of bs" in latex(shown) and "batch size 16, lr 0.00949 &" in latex(shown)


def test_commands_are_named_like_own_runs(tmp_path: Path) -> None:
    for schedule in ("constant", "cosine"):
        for lr in (0.03, 0.1, 0.316227766):
            command_run(tmp_path, rows([0.5 + lr]), lr=lr, schedule=schedule)
    groups = grouped(read_runs([tmp_path]))
    assert groups[0].short == "schedule constant, lr 0.03" and groups[0].label == "train lr=0.03 schedule=constant"
    records = [record for group in groups for record in group.records]
    found = families(groups, measure_named(records, "val_loss"))
    assert {family.label for family in found} == {"schedule constant", "schedule cosine"}


# -- sweeps


def test_an_older_plan_with_other_names_of_lines_is_continued(tmp_path: Path) -> None:
    folder = SweepFolder.of(tmp_path, "s")
    old = [Planned("r1", "i1", "g1", "batch_size=16", 0.1, 0), Planned("r2", "i2", "g2", "batch_size=64", 0.1, 0)]
    fresh = Planned("r3", "i3", "g2", "batch_size=64", 0.1, 1, confirms=True)
    folder.write(Plan("s", (*old, fresh)))
    plan = Plan("s", tuple(replace(c, series=c.series.replace("batch_size=", "batch size ")) for c in old))
    assert folder.holds(plan), "nothing to write: a finished sweep may be read-only"
    assert [cell.series for cell in folder.joined(plan).cells] == ["batch size 16", "batch size 64", "batch size 64"]
    assert folder.plan().cells[0].series == "batch_size=16", "as written, for those who only look"


def test_cells_are_named_in_words() -> None:
    cells = [Planned(f"r{lr}", "i", "g", "cosine", lr, 0) for lr in (0.00948683298, 0.3)]
    assert list(Plan("s", tuple(cells)).labels.values()) == ["cosine, lr 0.00949", "cosine, lr 0.3"]
    cells = [replace(cells[0], run=f"s{seed}", seed=seed, confirms=seed == 1) for seed in (0, 1)]
    assert list(Plan("s", tuple(cells)).labels.values()) == ["cosine, seed 0", "cosine (confirmation), seed 1"]
