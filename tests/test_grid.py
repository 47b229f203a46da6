"""Grids: axes, cells, series, plans. No training."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lrbench.config import Config, Experiment, as_axes, load_config, read_config
from lrbench.errors import ConfigError, FolderError, UsageError
from lrbench.sweeps.axes import around, axis, from_text, spaced
from lrbench.sweeps.grid import Cell, Grid, all_cells
from lrbench.sweeps.plan import Plan, Planned, SweepFolder, find_sweeps, series_of

Write = Callable[..., Path]


def nothing_found(experiment: Experiment) -> Sequence[float]:
    raise AssertionError("no rates were to be found")


def cells_of(path: Path, given: Mapping[str, Any] | None = None, overrides: Sequence[str] = ()) -> list[Cell]:
    return all_cells([Grid.of(read_config(path, overrides), given)], nothing_found)[0]


def rates_of(cells: Sequence[Cell]) -> list[float]:
    return [cell.experiment.optimizer.params["lr"] for cell in cells]


# -- axes


def test_rates_on_a_log_scale_by_hand() -> None:
    assert spaced("log", 1e-6, 1.0, 7) == (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    assert spaced("log", 1e-6, 1.0, 13)[1] == pytest.approx(10**-5.5, rel=1e-11)
    assert spaced("log", 1, 100, 3) == (1.0, 10.0, 100.0)
    assert spaced("linear", 0.1, 0.3, 3) == (0.1, 0.2, 0.3)
    whole = spaced("linear", 10, 50, 5)
    assert whole == (10, 20, 30, 40, 50) and all(isinstance(value, int) for value in whole)
    assert spaced("linear", 1, 2, 3) == (1.0, 1.5, 2.0)


@given(st.integers(-12, 3), st.integers(1, 8), st.integers(1, 6), st.integers(2, 4))
def test_a_finer_grid_has_all_points_of_a_coarser_one(low: int, decades: int, per: int, finer: int) -> None:
    coarse = spaced("log", 10.0**low, 10.0 ** (low + decades), decades * per + 1)
    fine = spaced("log", 10.0**low, 10.0 ** (low + decades), decades * per * finer + 1)
    assert set(coarse) <= set(fine)
    assert list(fine) == sorted(fine) and len(set(fine)) == len(fine)


def test_rates_around_a_suggestion() -> None:
    rates = around(0.0037)
    assert rates[3] == 0.0037 and len(rates) == 7
    assert [math.log10(b / a) for a, b in itertools.pairwise(rates)] == pytest.approx([0.5] * 6)
    assert around(0.003712) == rates, "digits that find-lr does not print make no other runs"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1e-5:1:11", {"log": [1e-5, 1.0], "points": 11}),
        ("1e-3,1e-2", [1e-3, 1e-2]),
        ("0.1", [0.1]),
        ("auto", "auto"),
    ],
)
def test_what_the_option_says(text: str, said: object) -> None:
    assert from_text(text) == said


@pytest.mark.parametrize("text", ["1e-5:1", "a:b:3", "1e-5:1:x", "", "0.1,,0.2", "0.1;0.2", "1:2:3:4"])
def test_what_is_no_option(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^lr: (must be from:to:points|a learning rate must be a number)"):
        Grid.of(Config({}, {}, ""), {"lr": text})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "must have at least one value"),
        ([0.1, 0], "greater than 0"),
        ([0.1, -1], "greater than 0"),
        ([math.nan], "greater than 0"),
        ([math.inf], "greater than 0"),
        (["many"], "greater than 0"),
        ([True], "greater than 0"),
        ("automatic", "greater than 0"),
        ({"log": [0, 1], "points": 3}, "must be greater than 0"),
        ({"log": [1, 1], "points": 3}, "below the second"),
        ({"log": [1e-3, math.inf], "points": 3}, "finite"),
        ({"log": [1e-3, 1], "points": 1}, "points must be 2"),
        ({"log": [1e-3, 1], "points": 2.5}, "whole number"),
        ({"log": [1e-3, 1], "points": True}, "whole number"),
        ({"log": [1e-3, 1]}, "must be {log"),
        ({"log": [1e-3, 1], "linear": [0, 1], "points": 3}, "must be {log"),
        ({"log": [1e-3], "points": 3}, "two numbers"),
        ({"log": "1e-3:1", "points": 3}, "two numbers"),
    ],
)
def test_values_that_make_no_axis(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        axis("optimizer.lr", value)


@pytest.mark.parametrize(
    ("key", "text", "values"),
    [
        ("optimizer.lr", "1e-4:1:3", (1e-4, 1e-2, 1.0)),
        ("optimizer.weight_decay", "1e-3:1e-1:3", (1e-3, 1e-2, 1e-1)),
        ("batch_size", "16:64:3", (16.0, 32.0, 64.0)),
        ("optimizer.momentum", "0, 0.9", (0, 0.9)),
        ("seed", "3,4", (3, 4)),
        ("schedule", "cosine", ("cosine",)),
        ("schedule", "mine.py:decay", ("mine.py:decay",)),
        ("params.layers", ["1:2:3"], ("1:2:3",)),
    ],
)
def test_texts_of_the_command_line_work_for_every_key(key: str, text: object, values: tuple[object, ...]) -> None:
    assert axis(key, text).values == values


@pytest.mark.parametrize("text", ["1e-4:1", "1:2:3:4", "1:2:1.5"])
def test_a_text_that_only_looks_like_a_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be from:to:points.*to use text with colons"):
        axis("optimizer.weight_decay", text)


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("batch_size=16, 32", "sweep.batch_size=[16, 32]"),
        ("sweep.batch_size=16,32", "sweep.batch_size=[16,32]"),
        ("optimizer.weight_decay=1e-4:1e-1:4", "sweep.optimizer.weight_decay=1e-4:1e-1:4"),
        ("schedule=constant,{name: step, every: 2}", "sweep.schedule=[constant,{name: step, every: 2}]"),
        ("model.hidden=[64],[8, 8]", "sweep.model.hidden=[[64],[8, 8]]"),
        *((same, same) for same in (
            "batch_size=16", "model.hidden=[64,64]", 'params.layers="64,64"', "model=mine.py:net", "sweep=null",
            "optimizer={name: sgd, lr: 0.1}", "reference.source=a, b", "name='a,b'", "batch_size=16,,32",
        )),
    ],
)  # fmt: skip
def test_commas_outside_brackets_and_quotes_are_an_axis(override: str, meant: str) -> None:
    assert as_axes([override]) == [meant]


@pytest.mark.parametrize("override", ["batch_size=16,32", "optimizer.lr=1e-3:1:4", "schedule=constant,cosine"])
def test_a_run_takes_one_value(write_config: Write, override: str) -> None:
    key = override.partition("=")[0]
    with pytest.raises(ConfigError, match=f"overrides: {key}: must be one value; `lrbench sweep` trains several"):
        load_config(write_config(), [override])
    assert load_config(write_config(), ["reference.source=a, b"]).reference is not None


def test_a_range_in_a_file_is_complained_of_with_its_line(write_config: Write) -> None:
    with pytest.raises(ConfigError, match=r"tiny\.yaml:\d+: sweep\.batch_size: must be from:to:points"):
        cells_of(write_config(sweep={"batch_size": "8:16"}))
    blocks = [{"name": "sgd", "lr": "0.01:1:3"}]
    assert rates_of(cells_of(write_config(sweep={"optimizer": blocks}))) == [0.01, 0.1, 1.0]


def test_seeds_are_a_count_or_a_list() -> None:
    assert axis("seed", 3, first_seed=5).values == (5, 6, 7)
    assert axis("seed", [1, 7]).values == (1, 7)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="number of seeds"):
            axis("seed", wrong)


# -- cells


def test_every_combination_once_and_each_seed_s_curves_first(write_config: Write) -> None:
    path = write_config(sweep={"lr": [0.1, 0.2], "batch_size": [8, 16], "seeds": 2})
    found = [(c.experiment.seed, c.experiment.batch_size, c.experiment.optimizer.params["lr"]) for c in cells_of(path)]
    assert found == [(s, b, lr) for s in (0, 1) for b in (8, 16) for lr in (0.1, 0.2)]


def test_options_replace_what_the_block_says(write_config: Write) -> None:
    path = write_config(sweep={"lr": [0.1, 0.2], "seeds": 2, "schedule": ["constant"]})
    cells = cells_of(path, {"lr": {"log": [0.01, 1], "points": 3}, "seeds": 1, "schedule": ["cosine", "one_cycle"]})
    assert [c.experiment.schedule.name for c in cells] == ["cosine"] * 3 + ["one_cycle"] * 3
    assert rates_of(cells) == [0.01, 0.1, 1.0] * 2


def test_a_block_brings_its_own_grid(write_config: Write) -> None:
    blocks = [
        "constant",
        {"name": "cosine", "lr": {"log": [0.1, 10], "points": 3}},
        {"name": "step", "factor": 0.5, "every": "1 epochs", "sweep": {"lr": [7], "batch_size": [8, 16]}},
    ]
    cells = cells_of(write_config(sweep={"lr": [0.1, 0.2], "schedule": blocks}))
    found = [(c.experiment.schedule.name, c.experiment.batch_size, c.experiment.optimizer.params["lr"]) for c in cells]
    assert found == [
        ("constant", 32, 0.1), ("constant", 32, 0.2),
        ("cosine", 32, 0.1), ("cosine", 32, 1.0), ("cosine", 32, 10.0),
        ("step", 8, 7.0), ("step", 16, 7.0),
    ]  # fmt: skip
    assert cells[-1].experiment.schedule.params["factor"] == 0.5


def test_a_block_may_write_rates_as_the_option_does(write_config: Write) -> None:
    assert rates_of(cells_of(write_config(sweep={"lr": "0.01:1:3"}))) == [0.01, 0.1, 1.0]


def test_optimizers_each_with_rates_of_their_own(write_config: Write) -> None:
    blocks = [{"name": "sgd", "lr": [0.1, 1.0]}, {"name": "adam", "sweep": {"lr": [0.001]}}]
    cells = cells_of(write_config(sweep={"optimizer": blocks}))
    assert [(c.experiment.optimizer.name, c.experiment.optimizer.params["lr"]) for c in cells] == [
        ("sgd", 0.1), ("sgd", 1.0), ("adam", 0.001),
    ]  # fmt: skip
    assert "eps" not in cells[0].experiment.optimizer.params, "a whole block is taken whole"


def test_a_block_varies_any_key_of_its_own(write_config: Write) -> None:
    blocks = [
        {"name": "sgd", "sweep": {"momentum": [0.0, 0.9], "lr": [0.1], "epochs": [3]}},
        {"name": "adam", "sweep": {"eps": {"log": [1e-8, 1e-6], "points": 3}, "optimizer.amsgrad": [True]}},
    ]
    schedules = [{"name": "step", "every": "1 epochs", "sweep": {"factor": [0.1, 0.5]}}]
    cells = cells_of(write_config(sweep={"optimizer": blocks, "schedule": schedules}))
    found = [
        (c.experiment.optimizer.params, c.experiment.schedule.params["factor"], c.experiment.epochs) for c in cells
    ]
    assert found == [
        ({"momentum": 0.0, "lr": 0.1}, 0.1, 3), ({"momentum": 0.0, "lr": 0.1}, 0.5, 3),
        ({"momentum": 0.9, "lr": 0.1}, 0.1, 3), ({"momentum": 0.9, "lr": 0.1}, 0.5, 3),
        ({"eps": 1e-8, "amsgrad": True}, 0.1, 2), ({"eps": 1e-8, "amsgrad": True}, 0.5, 2),
        ({"eps": 1e-7, "amsgrad": True}, 0.1, 2), ({"eps": 1e-7, "amsgrad": True}, 0.5, 2),
        ({"eps": 1e-6, "amsgrad": True}, 0.1, 2), ({"eps": 1e-6, "amsgrad": True}, 0.5, 2),
    ]  # fmt: skip


def test_any_key_dotted_or_nested(write_config: Write) -> None:
    dotted = cells_of(write_config("a.yaml", sweep={"optimizer.momentum": [0.0, 0.9], "model.hidden": [[8], [16]]}))
    nested = cells_of(
        write_config("b.yaml", sweep={"optimizer": {"momentum": [0.0, 0.9]}, "model": {"hidden": [[8], [16]]}})
    )
    assert [c.experiment for c in dotted] == [c.experiment for c in nested]
    assert sorted(c.experiment.optimizer.params["momentum"] for c in dotted) == [0.0, 0.0, 0.9, 0.9]


def test_a_budget_replaces_the_other(write_config: Write) -> None:
    assert [c.experiment.epochs for c in cells_of(write_config(epochs=None, steps=9, sweep={"epochs": [1, 2]}))] == [
        1,
        2,
    ]


def test_the_same_run_is_one_cell(write_config: Write) -> None:
    grid = Grid.of(
        read_config(write_config(sweep={"lr": [0.1, 0.2, 0.1], "schedule": ["constant", {"name": "constant"}]}))
    )
    cells, duplicates = all_cells([grid, grid], nothing_found)
    assert rates_of(cells) == [0.1, 0.2] and duplicates == 10


def test_auto_asks_once_for_each_combination_of_blocks(write_config: Write) -> None:
    path = write_config(sweep={"lr": "auto", "optimizer": ["sgd", "adam"], "seeds": 2})
    asked: list[str] = []

    def find(experiment: Experiment) -> Sequence[float]:
        asked.append(experiment.optimizer.name)
        return (0.1, 0.2) if experiment.optimizer.name == "sgd" else (0.01,)

    grid = Grid.of(read_config(path))
    cells, _ = all_cells([grid], find)
    assert asked == ["sgd", "adam"] and grid.size == 2 * 2 * 7
    assert sorted({(c.experiment.optimizer.name, c.experiment.optimizer.params["lr"]) for c in cells}) == [
        ("adam", 0.01), ("sgd", 0.1), ("sgd", 0.2),
    ]  # fmt: skip


def test_a_child_s_sweep_replaces_its_parent_s_axis_by_axis(write_config: Write, tmp_path: Path) -> None:
    write_config("parent.yaml", sweep={"lr": {"log": [0.1, 10], "points": 3}, "seeds": 2})
    child = tmp_path / "child.yaml"
    child.write_text(
        yaml.safe_dump({"extends": "parent.yaml", "sweep": {"optimizer.lr": {"linear": [1, 2], "points": 2}}})
    )
    assert rates_of(cells_of(child)) == [1, 2, 1, 2]
    assert rates_of(cells_of(child, overrides=["sweep.optimizer.lr=[5]", "sweep.seeds=1"])) == [5.0]


@pytest.mark.parametrize(
    ("sweep", "problem"),
    [
        (3, r"tiny.yaml:\d+: sweep: must map keys"),
        ({"lr": []}, r"tiny.yaml:\d+: sweep.lr: must have at least one value"),
        ({"lr": [0.1], "optimizer.lr": [0.2]}, "sets optimizer.lr twice"),
        ({"learning_rate": [0.1]}, r"tiny.yaml:\d+: .*unknown key 'learning_rate'.*in the cell learning_rate = 0.1"),
        ({"batch_size": [32, "many"]}, r"tiny.yaml:\d+: batch_size: must be a whole number.*batch_size = many"),
        ({"schedule": ["cosin"]}, r"tiny.yaml:\d+: schedule.name: .*did you mean 'cosine'"),
        (
            {"schedule": [{"name": "cosine", "sweep": {"lr": [0]}}]},
            r"tiny.yaml:\d+: sweep.schedule.lr: a learning rate",
        ),
        (
            {"optimizer": [{"name": "sgd", "sweep": {"momentum": []}}]},
            "sweep.optimizer.momentum: must have",
        ),
        ({"optimizer": [{"name": "sgd", "sweep": {"name": ["adam"]}}]}, "can't be varied: 'name'"),
        (
            {"optimizer": [{"name": "sgd", "sweep": {"momentum": [0], "optimizer.momentum": [0]}}]},
            "sets optimizer.momentum twice",
        ),
        ({"schedule": [{"name": "cosine", "factor": 2}]}, "'cosine' has no parameter 'factor'"),
        ({"lr": {"lgo": [1, 2], "points": 3}}, "must be {log"),
        ({"lr": [0.1, 0.2], "schedule": [{"name": "torch/OneCycleLR", "max_lr": 0.1}]}, "remove max_lr"),
        ({"seeds": [0.5]}, "seed: must be a whole number"),
        ({"batch_size.type": [3]}, "'batch_size' is not a mapping"),
        ({"name": ["a", "b"]}, "can't be varied: 'name' does not change what is trained"),
    ],
)
def test_mistakes_have_a_place(write_config: Write, sweep: object, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        cells_of(write_config(sweep=sweep))


def test_a_key_can_not_be_varied_and_set(write_config: Write) -> None:
    with pytest.raises(ConfigError, match="is varied by the sweep, so it can't be set"):
        cells_of(write_config(sweep={"lr": [0.1]}), overrides=["optimizer.lr=0.5"])


def test_absurd_grids_are_refused_before_they_are_made(write_config: Write) -> None:
    huge = {"lr": {"log": [1e-5, 1], "points": 1000}, "seeds": 1000}
    with pytest.raises(UsageError, match="the grid has 1,000,000 runs, but a sweep can have at most 100,000"):
        cells_of(write_config(sweep=huge))
    blocks = {f"model.{key}": list(range(100)) for key in "ab"} | {
        "epochs": list(range(1, 1000)),
        "batch_size": [*range(1, 1000)],
    }
    with pytest.raises(UsageError, match="at most 100,000"):
        cells_of(write_config(sweep=blocks))


def test_run_sends_a_grid_to_sweep(write_config: Write) -> None:
    with pytest.raises(ConfigError, match=r"tiny.yaml:\d+: sweep: is a grid of runs; use `lrbench sweep`, or "):
        load_config(write_config(sweep={"lr": [0.1]}))


# -- series and plans


def test_lines_are_named_by_what_varies(write_config: Write) -> None:
    one = cells_of(write_config("a.yaml", name="a", sweep={"lr": [0.1, 0.2]}))
    assert series_of(one) == ["a", "a"]
    blocks = [
        "constant",
        {"name": "step", "factor": 0.5, "every": "1 epochs"},
        {"name": "step", "factor": 0.1, "every": "1 epochs"},
    ]
    many = cells_of(write_config("b.yaml", name="b", sweep={"schedule": blocks, "batch_size": [8, 16]}))
    steps = {f"step (factor {factor}), batch size {size}" for factor in ("0.5", "0.1") for size in (8, 16)}
    assert set(series_of(many)) == {"constant, batch size 8", "constant, batch size 16", *steps}
    assert set(series_of(one + cells_of(write_config("c.yaml", name="c", epochs=3)))) == {"a", "c"}
    blocks = [{"for": "5%"}, {"for": "10%"}]
    assert series_of(cells_of(write_config("d.yaml", sweep={"warmup": blocks}))) == ["warm-up 5%", "warm-up 10%"]


def plan_of(cells: Sequence[Cell]) -> Plan:
    rows = zip(cells, series_of(cells), strict=True)
    return Plan("p", tuple(Planned.of(cell, series, f"run{n}") for n, (cell, series) in enumerate(rows)))


def test_a_plan_reads_back(write_config: Write, tmp_path: Path) -> None:
    plan = plan_of(cells_of(write_config(sweep={"lr": [0.1, 0.2], "seeds": 2})))
    folder = SweepFolder.of(tmp_path / "runs", "p")
    folder.write(plan)
    assert folder.plan().cells == plan.cells and folder.plan().rates == [0.1, 0.2]
    assert [found.name for found in find_sweeps(tmp_path / "runs")] == ["p"]
    assert (tmp_path / "runs/sweeps/p/plan.json").read_text().count("\n") == 4 + 4 + 3, "a line for each cell"


def test_the_rate_of_a_plan_is_the_optimizer_s_default_where_none_is_given(write_config: Write) -> None:
    (cell,) = cells_of(write_config(optimizer="adam"))
    assert plan_of([cell]).cells[0].lr == 1e-3


ROW = {"run": "x", "identity": "i", "group": "g", "series": "s", "lr": 0.1, "seed": 0}


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[]",
        '{"format": 99}',
        *(
            json.dumps({"format": 1, "name": "p", "written": "", "cells": [row]})
            for row in (
                3,
                {"run": "x"},
                {**ROW, "run": "../x"},
                {**ROW, "run": 3},
                {**ROW, "lr": "a"},
                {**ROW, "lr": 1e999},
            )
        ),
    ],
)
def test_a_damaged_plan_is_named(tmp_path: Path, damage: str) -> None:
    folder = SweepFolder.of(tmp_path, "p")
    folder.save("plan.json", damage)
    with pytest.raises(FolderError, match=r"plan\.json"):
        folder.plan()


def test_a_plan_of_a_later_version_may_have_more_fields(write_config: Write, tmp_path: Path) -> None:
    folder = SweepFolder.of(tmp_path, "p")
    folder.write(plan_of(cells_of(write_config())))
    known = json.loads((folder.path / "plan.json").read_text())
    known["cells"][0]["colour"] = "red"
    folder.save("plan.json", json.dumps(known))
    assert len(folder.plan().cells) == 1


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 101, "dot."])
def test_names_that_are_no_folder_s(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"^name may contain letters, digits and any of"):
        SweepFolder.of(tmp_path, name)


def test_null_drops_an_inherited_axis(write_config):
    write_config("base.yaml", sweep={"schedule": ["constant", "cosine"], "lr": [0.1, 0.2]})
    child = write_config("child.yaml", extends="base.yaml", sweep={"schedule": None})
    grid = Grid.of(read_config(child))
    assert (list(grid.axes), grid.size) == (["optimizer.lr"], 2)


def test_a_whole_number_of_seeds_may_be_written_as_a_float(write_config):
    grid = Grid.of(read_config(write_config(sweep={"seeds": 3.0})))
    assert grid.axes["seed"].values == (0, 1, 2)
