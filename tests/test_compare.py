"""`lrbench compare`: selectors, words, exit codes, JSON, targets and warnings, on run folders made by hand."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import lrbench
from lrbench.analysis import Target, compare_two, grouped, measure_named, read_runs
from lrbench.analysis.statistics import ALPHA
from lrbench.analysis.target_test import against_target, one_sided
from lrbench.errors import ArgumentError, UsageError

MakeRun = Callable[..., Path]
Cli = Callable[..., tuple[int, str, str]]
NEAR = (0.100, 0.102, 0.098, 0.101, 0.099)
ARMS = {"base": 1.0, "same": 1.001, "half": 0.5, "twice": 2.0}


def arm(make_run: MakeRun, name: str, lr: float, losses: list[float | None] | list[float], **more: Any) -> None:
    """A run per seed that ends with the given loss; None for one that diverged."""
    for seed, loss in enumerate(losses):
        ended = {} if loss is not None else {"status": "diverged"}
        make_run([1.0, loss or 9.0], name=name, lr=lr, seed=seed, **ended, **more)


def shifted(times: float) -> list[float]:
    """The losses of NEAR times a number, each a little off."""
    return [value * times * (1 + 0.002 * math.sin(7 * seed * times)) for seed, value in enumerate(NEAR)]


@pytest.fixture(scope="module")
def runs(make_run_in: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Groups that are only read: `lr` 0.1 to 0.4, then one of undecided and one of few seeds."""
    root = tmp_path_factory.mktemp("compare") / "runs"
    make_run = functools.partial(make_run_in, root)
    for number, (name, times) in enumerate(ARMS.items(), start=1):
        arm(make_run, name, number / 10, shifted(times))
    arm(make_run, "wild", 0.5, [0.05, 0.2, 0.08, 0.15, 0.12])
    arm(make_run, "once", 0.6, [0.08])
    return root


def told(out: str) -> dict[str, Any]:
    """The JSON of a command; NaN and Infinity are errors."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    found: dict[str, Any] = json.loads(out, parse_constant=refuse)
    return found


# -- words and exit codes


@pytest.mark.parametrize(
    ("a", "b", "word", "exit_code"),
    [
        ("half", "base", "better", 0),
        ("twice", "base", "worse", 1),
        ("same", "base", "tie", 3),
        ("wild", "base", "undecided", 4),
        ("once", "base", "undecided", 4),
        ("lr=0.3", "lr=0.1", "better", 0),
        ("tw*", "schedule=constant|base", None, 2),
        ("optimizer.lr>=0.35", "bas*", None, 2),
    ],
)
def test_the_exit_code_follows_the_word(cli: Cli, runs: Path, a: str, b: str, word: str | None, exit_code: int) -> None:
    code, out, err = cli("compare", a, b, "--runs", runs)
    assert code == exit_code, (out, err)
    as_json, in_json, nothing = cli("compare", a, b, "--runs", runs, "--json")
    assert as_json == exit_code and not nothing
    found = told(in_json)
    assert found["exit_code"] == exit_code
    assert found.get("word") == word
    if word is not None:
        assert found["text"] in out and err == ""
    else:
        assert found["event"] == "error" and found["message"] in err and "match" in err


def test_probably_better_is_not_proven(cli: Cli, make_run: MakeRun) -> None:
    arm(make_run, "a", 0.1, [0.090, 0.085, 0.093, 0.08, 0.09])
    arm(make_run, "b", 0.2, [0.100, 0.102, 0.098, 0.101, 0.099])
    code, out, _ = cli("compare", "a", "b", "--json")
    alone = told(out)
    assert (code, alone["word"], alone["tries"]) == (0, "better", 1)
    code, out, _ = cli("compare", "a", "b", "--json", "--tries", 20)
    found = told(out)
    assert (code, found["word"]) == (4, "probably better")
    assert found["p"] == alone["p"] == alone["p_corrected"]
    assert found["p_corrected"] == pytest.approx(20 * found["p"]) and found["p_corrected"] > ALPHA > found["p"]
    assert found["more_seeds"] > 0
    assert "but this is not proven" in found["text"] and "corrected for 20 tries" in found["text"]
    assert told(cli("compare", "b", "a", "--json", "--tries", 20)[1])["word"] == "probably worse"


# -- the numbers


def test_the_numbers_are_those_of_a_paired_t_test_of_logarithms(cli: Cli, make_run: MakeRun) -> None:
    mine, theirs = [0.05, 0.06, 0.055, 0.07], [0.08, 0.081, 0.085, 0.09]
    arm(make_run, "a", 0.1, mine)
    arm(make_run, "b", 0.2, theirs)
    found = told(cli("compare", "a", "b", "--json")[1])
    logs = np.log(mine) - np.log(theirs)
    test = stats.ttest_rel(np.log(mine), np.log(theirs))
    low, high = test.confidence_interval(1 - ALPHA)
    assert found["p"] == pytest.approx(test.pvalue)
    assert found["effect"] == {
        "scale": "ratio",
        "value": pytest.approx(math.exp(logs.mean())),
        "low": pytest.approx(math.exp(low)),
        "high": pytest.approx(math.exp(high)),
    }
    assert found["a"]["centre"] == pytest.approx(float(stats.gmean(mine)))
    assert found["a"]["seeds"] == [0, 1, 2, 3] and (found["paired"], found["pairs"]) == (True, 4)


def test_values_that_no_seed_changes_decide_nothing(cli: Cli, runs: Path) -> None:
    found = told(cli("compare", "half", "base", "--runs", runs, "--metric", "val_accuracy", "--json")[1])
    assert found["effect"] is None and (found["better"], found["word"]) == ("higher", "undecided")


SCHEMA = {
    "format": int, "lrbench": str, "word": str, "exit_code": int, "metric": str, "better": str, "a": dict, "b": dict,
    "effect": dict, "paired": bool, "pairs": int, "p": float, "p_lost": None, "p_permutation": None,
    "p_corrected": float, "alpha": float, "tries": int, "margin": float, "more_seeds": None, "more_seeds_range": None,
    "looks": int, "text": str,
    "warnings": list,
}  # fmt: skip


def test_the_json_has_these_keys(cli: Cli, runs: Path) -> None:
    found = told(cli("compare", "twice", "base", "--runs", runs, "--json")[1])
    assert {key: kind for key, kind in SCHEMA.items() if kind is None or isinstance(found[key], kind)} == SCHEMA
    assert found.keys() == SCHEMA.keys()
    assert found["a"].keys() == {"label", "n", "seeds", "lost", "plateau", "centre", "low", "high"}
    pages = (Path(lrbench.__file__).parent.parent / "docs" / "automation.md").read_text()
    assert all(f"`{key}`" in pages for key in (*SCHEMA, *found["a"], *found["effect"]))


def test_seeds_that_diverged_count(cli: Cli, make_run: MakeRun) -> None:
    arm(make_run, "steady", 0.1, [0.1] * 6)
    arm(make_run, "rough", 0.2, [None] * 6)
    code, out, _ = cli("compare", "rough", "steady", "--json")
    found = told(out)
    assert (code, found["word"], found["effect"], found["p"]) == (1, "worse", None, None)
    # Fisher's exact test by hand: 2/C(12, 6)
    assert found["p_lost"] == pytest.approx(2 / 924) and found["p_corrected"] == pytest.approx(2 / 924)
    assert (found["a"]["n"], found["a"]["lost"], found["a"]["centre"]) == (0, 6, None)
    assert "6 of 6 diverged" in found["text"]
    assert told(cli("compare", "steady", "rough", "--json", "--tries", 2)[1])["p_corrected"] == pytest.approx(4 / 924)


def test_a_better_arm_that_loses_more_seeds_is_not_better(cli: Cli, make_run: MakeRun) -> None:
    arm(make_run, "steady", 0.1, [0.1, 0.101, 0.099, 0.1])
    arm(make_run, "rough", 0.2, [0.05, 0.051, 0.049, None])
    code, out, _ = cli("compare", "rough", "steady", "--json")
    assert code == 4 and told(out)["a"]["lost"] == 1


def test_python_gets_the_same(cli: Cli, runs: Path) -> None:
    found = lrbench.compare("half", "base", runs=[runs])
    assert isinstance(found, lrbench.Decision)
    assert (found.word, found.exit_code, found.a.label, found.b.n) == ("better", 0, "half", 5)
    typed = cli("compare", "half", "base", "--runs", runs, "--json")[1]
    assert "add --tries 5" in typed
    assert told(typed.replace("--tries", "tries")) == json.loads(found.json())
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.word = "tie"  # type: ignore[misc]
    assert str(found).startswith("half is better than base: ")
    with pytest.raises(ArgumentError, match="tries must be a whole number, at least 1"):
        lrbench.compare("half", "base", runs=[runs], tries=0)


# -- selectors


def test_runs_and_folders_of_runs_are_selectors(cli: Cli, runs: Path, tmp_path: Path) -> None:
    for name in ("half", "base"):
        for folder in runs.glob(f"{name}-*"):
            shutil.copytree(folder, tmp_path / name / folder.name)
    assert cli("compare", "./half", "./base")[0] == 0, "without the folder runs/"
    assert cli("compare", "half", "base")[0] == 0
    assert lrbench.compare(tmp_path / "half", tmp_path / "base").word == "better"
    (one,) = runs.glob("half-seed3-*")
    found = told(cli("compare", one, "base", "--runs", runs, "--json")[1])
    assert (found["word"], found["a"]["seeds"], found["more_seeds"]) == ("undecided", [3], 2)
    code, _, err = cli("compare", runs, "base", "--runs", runs)
    assert code == 2 and "6 groups of runs match; choose one by its label: half, " in err


def test_one_experiment_in_two_folders_is_compared_with_itself(make_run_in: MakeRun, tmp_path: Path, cli: Cli) -> None:
    """Before and after a change of the program: equal configs are no copies of each other."""
    arm(functools.partial(make_run_in, tmp_path / "before"), "base", 0.1, shifted(1.0))
    arm(functools.partial(make_run_in, tmp_path / "after"), "base", 0.1, shifted(2.0))
    code, out, _ = cli("compare", "./after", "./before", "--json")
    found = told(out)
    assert (code, found["a"]["label"], found["b"]["label"]) == (1, "base in after", "base in before")


def test_a_name_of_several_groups_is_asked_about(cli: Cli, make_run: MakeRun) -> None:
    arm(make_run, "base", 0.1, shifted(1.0))
    arm(make_run, "base", 0.2, shifted(2.0))
    code, _, err = cli("compare", "base", "lr=0.1")
    assert code == 2 and "base: 2 groups of runs match; choose one by its label: base lr=0.1, base lr=0.2" in err
    assert cli("compare", "base lr=0.1", "base lr=0.2")[0] == 0
    assert cli("compare", "base", "base", "--filter", "lr=0.1")[0] == 2


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["hlf", "base"], "hlf: no run has this name; did you mean 'half'? Known: base, half, once, same, twice, wild"),
        (
            ["optimizer.rate=0.1", "base"],
            "no run's config has the key 'optimizer.rate'; did you mean optimizer.name, optimizer.lr",
        ),
        (["lr=7", "base"], "lr=7: no run matches; 'lr' is 0.1, 0.2"),
        (["base", "base"], "A and B share 5 runs, such as base-seed0-"),
        (["base"], "give B, the group to compare with, or --target METRIC=X"),
        ([], "A is missing (the label or name of a group"),
        (
            ["half", "base", "--metric", "loss"],
            "--metric loss: no such metric; did you mean 'val_loss'? Known: train_loss",
        ),
        (["half", "base", "--tries", "0"], "--tries must be a whole number, at least 1 (got 0)"),
        (["half", "base", "--p", "0.01"], "--p is the level of --target"),
        (["half", "base", "--runs", "nowhere"], "nowhere: no such run or folder of runs"),
        (["./nowhere", "base"], "./nowhere: no run has this name"),
        (["half", "--target", "val_loss"], "--target val_loss: must be a metric ("),
        (["half", "--target", "val_loss=nan"], "and a number"),
        (["half", "--target", "speed=3"], "must be a metric (train_loss"),
        (["half", "--target", "val_loss=0.1", "--metric", "val_loss"], "--target names its metric"),
        (["half", "--target", "val_loss=0.1", "--p", "0.7"], "--p must be above 0 and below 0.5 (got 0.7)"),
        (["half", "base", "--filter", "lr>>3"], "--filter lr>>3: must be key=value, or with !=, >=, <=, > or <"),
        (["half", "base", "--filter", "lr=>3"], "--filter lr=>3: must be key=value"),
        (["half", "base", "--filter", "lr>high"], "--filter lr>high: > needs a number after it (got 'high')"),
        (["half", "base", "--filter", "base|"], "--filter base|: has nothing on one side of |; write a name"),
        (["half", "base", "--filter", " "], "--filter is empty: --filter TEXT"),
        (["half", "base", "--filter", "lr==7"], "--filter lr==7: no run matches; 'lr' is 0.1, 0.2"),
        (["half", "base", "--filter", "nothing*"], "--filter nothing*: no run has this name"),
        (["half", "base", "--jsn"], "no such option: --jsn; did you mean '--json'? See lrbench compare --help"),
    ],
    ids=str,
)
def test_mistakes_are_one_message_and_exit_code_2(cli: Cli, runs: Path, words: list[str], problem: str) -> None:
    words = words if "--runs" in words else [*words, "--runs", str(runs)]
    code, out, err = cli("compare", *words)
    assert (code, out) == (2, "") and problem in " ".join(err.split()), err
    code, out, err = cli("compare", *words, "--json")
    found = told(out)
    assert (code, err, found["event"], found["exit_code"]) == (2, "", "error", 2)
    assert problem in found["message"]


def test_different_tasks_are_refused(cli: Cli, make_run: MakeRun) -> None:
    arm(make_run, "base", 0.1, shifted(1.0))
    arm(make_run, "other", 0.1, shifted(1.0), loss="mse")
    code, _, err = cli("compare", "base", "other")
    assert code == 2 and "different tasks (digits with cross_entropy; digits with mse): not comparable" in err


# -- what weakens a comparison


def codes(out: str) -> dict[str, str]:
    return {one["code"]: one["text"] for one in told(out)["warnings"]}


def test_a_fair_comparison_has_no_warning(cli: Cli, runs: Path) -> None:
    assert codes(cli("compare", "twice", "base", "--runs", runs, "--json")[1]) == {}


def test_picked_seeds_and_few_seeds_are_said(cli: Cli, runs: Path) -> None:
    _, out, _ = cli("compare", "half-seed[12]-*", "base", "--runs", runs, "--json")
    found = codes(out)
    assert found["picked_seeds"].startswith("2 of 5 seeds of half were selected")
    assert found["few_seeds"] == "half has 2 seeds that ended; 3 or more show the spread."
    assert found["partly_paired"] == "Of 5 seeds, only the 2 that both groups have are compared."
    _, plain, _ = cli("compare", "half-seed[12]-*", "base", "--runs", runs)
    assert "Warning: 2 of 5 seeds of half were selected" in plain


def test_the_best_of_many_is_said_unless_the_tries_are_given(cli: Cli, runs: Path) -> None:
    words = ("compare", "half", "base", "--runs", runs, "--json")
    assert "add --tries 5, or compare fresh seeds" in codes(cli(*words)[1])["best_of_many"]
    assert codes(cli(*words, "--tries", 5)[1]) == {}


def test_other_seeds_budgets_and_test_data_are_said(cli: Cli, make_run: MakeRun) -> None:
    arm(make_run, "a", 0.1, shifted(1.0))
    for seed, loss in enumerate(NEAR, start=10):
        make_run([1.0, 0.5, loss], name="b", lr=0.2, seed=seed)
    make_run([1.0, 0.9], name="a", lr=0.1, seed=7, status=None)
    _, out, _ = cli("compare", "a", "b", "--metric", "test_loss", "--json")
    found = codes(out)
    assert found.keys() == {"unfinished", "unpaired", "unequal_budgets", "test_data"}
    assert found["unfinished"] == "1 of 6 runs of a is interrupted and does not count."
    assert "2 epochs" in found["unequal_budgets"] and not told(out)["paired"]
    best = codes(cli("compare", "a", "b", "--metric", "best_val_loss", "--json")[1])
    assert "val_loss compares the ends of the runs" in best["best_of_run"]


def test_other_code_versions_and_devices_are_said(cli: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    arm(make_run, "a", 0.1, shifted(1.0))
    arm(make_run, "b", 0.2, shifted(2.0))
    for name, code, gpu in (("a", "1" * 64, "H100"), ("b", "2" * 64, "A100")):
        for path in (tmp_path / "runs").glob(f"{name}-*/env.json"):
            plain = json.loads(path.read_text())
            plain |= {"user_code": {"mine": code}, "gpu": gpu, "lrbench": f"0.{len(gpu)}", "packages": {"torch": "2"}}
            path.write_text(json.dumps(plain))
    found = codes(cli("compare", "a", "b", "--json")[1])
    assert found == {
        "different_code": "Trained with different versions of imported code: mine.",
        "different_device": "Trained with a different device: H100 against A100.",
    }


def test_a_damaged_seed_is_said(cli: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    arm(make_run, "a", 0.1, shifted(1.0))
    arm(make_run, "b", 0.2, shifted(2.0))
    (broken,) = (tmp_path / "runs").glob("a-seed2-*")
    (broken / "result.json").write_text("{ torn")
    found = codes(cli("compare", "a", "b", "--json")[1])
    (first,) = (tmp_path / "runs").glob("a-seed0-*")
    (first / "env.json").write_text("{ torn")
    assert told(cli("compare", "a", "b", "--json")[1])["a"]["seeds"] == [1, 3, 4]
    assert broken.name in found["damaged"] and found.keys() == {"damaged", "partly_paired"}


def test_fresh_seeds_of_a_sweep_are_apart(cli: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    from lrbench.runs import RunFolder
    from lrbench.sweeps import Planned, SweepFolder
    from lrbench.sweeps.plan import Plan

    arm(make_run, "win", 0.1, shifted(0.5))
    arm(make_run, "base", 0.2, shifted(1.0))
    cells = []
    for seed in range(5):
        (path,) = (tmp_path / "runs").glob(f"win-seed{seed}-*")
        ident = RunFolder(path).identity()
        cells.append(Planned(path.name, ident, "g", "win", 0.1, seed, confirms=seed > 2))
    SweepFolder.of(tmp_path / "runs", "s").write(Plan("s", tuple(cells)))
    code, out, _ = cli("compare", "win", "base", "--json")
    found = told(out)
    assert code == 0 and found["a"]["seeds"] == [0, 1, 2]
    assert "compare 'win (confirmation)' instead, which has fresh seeds" in codes(out)["seeds_that_chose"]
    code, out, _ = cli("compare", "win (confirmation)", "base", "--json")
    assert told(out)["a"]["seeds"] == [3, 4] and "seeds_that_chose" not in codes(out)


# -- targets


def test_a_target_by_hand(make_run: MakeRun, tmp_path: Path) -> None:
    arm(make_run, "a", 0.1, [math.exp(1.0), math.exp(2.0), math.exp(3.0)])
    (group,) = grouped(read_runs([tmp_path / "runs"]))
    target = Target.parse(f"val_loss={math.exp(4.0)!r}", group.records)
    # logs 1, 2, 3: mean 2, standard deviation 1; t = (2 - 4)·√3 = -3.4641 with 2 degrees of freedom.
    # Student's t with 2 degrees of freedom has the distribution 1/2 + t/(2·√(2 + t²)).
    t = -2 * math.sqrt(3)
    by_hand = 0.5 + t / (2 * math.sqrt(2 + t * t))
    found = against_target(group, target)
    assert found.p == pytest.approx(by_hand) == pytest.approx(0.037090, abs=1e-6)
    assert found.p_fails == pytest.approx(1 - by_hand)
    more = found.more_seeds
    assert found.word == "undecided" and more is not None

    def power(n: int) -> float:
        """Student's t of the mean of n seeds around that of the three that there are."""
        least = -stats.t.ppf(0.01, n - 1) / math.sqrt(n)
        shift = math.sqrt(1 / 3 - 1 / n)
        return float(stats.t.cdf((2 - least) / shift, 2) + stats.t.cdf((-2 - least) / shift, 2))

    assert power(3 + more.count) >= 0.8 > power(2 + more.count), "one seed fewer would have less power"
    assert power(3 + more.low) >= 0.5 and more.high is not None and power(3 + more.high) >= 0.95
    assert against_target(group, target, level=0.04).word == "passes"
    assert against_target(group, target, level=0.04, tries=2).word == "undecided"


@pytest.mark.parametrize(("value", "sign"), [(0.11, "less"), (0.09, "less"), (0.1, "less")])
def test_a_target_is_tested_as_scipy_does(make_run: MakeRun, tmp_path: Path, value: float, sign: Any) -> None:
    arm(make_run, "a", 0.1, list(NEAR))
    (group,) = grouped(read_runs([tmp_path / "runs"]))
    reach, miss = one_sided(NEAR, Target.parse(f"val_loss={value}", group.records))
    assert reach == pytest.approx(stats.ttest_1samp(np.log(NEAR), math.log(value), alternative="less").pvalue)
    assert miss == pytest.approx(stats.ttest_1samp(np.log(NEAR), math.log(value), alternative="greater").pvalue)
    higher, lower = one_sided(NEAR, Target.parse(f"val_accuracy={value}", group.records))
    assert higher == pytest.approx(stats.ttest_1samp(NEAR, value, alternative="greater").pvalue), "not on logarithms"
    assert lower == pytest.approx(1 - higher)


@pytest.mark.parametrize(
    ("target", "word", "exit_code"),
    [
        ("val_loss=0.11", "passes", 0),
        ("val_loss=0.09", "fails", 1),
        ("val_loss=0.1005", "undecided", 4),
        ("val_accuracy=90%", "passes", 0),
        ("val_accuracy=0.91", "fails", 1),
    ],
)
def test_the_exit_code_of_a_target(cli: Cli, runs: Path, target: str, word: str, exit_code: int) -> None:
    code, out, _ = cli("compare", "base", "--runs", runs, "--target", target, "--json")
    found = told(out)
    assert (code, found["word"], found["exit_code"], found["a"]["word"]) == (exit_code, word, exit_code, word)
    assert found["b"] is None and (found["more_seeds"] is not None) == (word == "undecided")
    assert cli("compare", "base", "--runs", runs, "--target", target)[0] == exit_code


def test_the_first_step_that_passes(cli: Cli, make_run: MakeRun) -> None:
    """At step 4 the mean is below the target, but not surely; at 6 it is."""
    for seed, (second, third) in enumerate([(0.5, 0.30), (0.2, 0.31), (0.4, 0.32), (0.35, 0.305)]):
        make_run([1.0, second, third, 0.9], name="a", lr=0.1, seed=seed)
    code, out, _ = cli("compare", "a", "--target", "val_loss=0.38", "--json")
    found = told(out)
    assert (code, found["word"]) == (1, "fails"), "the end of the runs decides"
    first = found["a"]["first"]
    assert (first["step"], first["epoch"], first["seconds"]) == (6, 3, 3.0)
    assert first["centre"] == pytest.approx(float(stats.gmean([0.30, 0.31, 0.32, 0.305])))
    want = stats.ttest_1samp(np.log([0.30, 0.31, 0.32, 0.305]), math.log(0.38), alternative="less").pvalue
    assert first["p"] == pytest.approx(want)
    assert "it first passes at step 6 (epoch 3)" in found["text"]
    pages = (Path(lrbench.__file__).parent.parent / "docs" / "automation.md").read_text()
    assert all(f"`{key}`" in pages for key in (*found, *found["a"], *first))


def test_a_group_that_lost_a_seed_never_passes(cli: Cli, make_run: MakeRun) -> None:
    arm(make_run, "a", 0.1, [0.1, 0.11, 0.105, None])
    found = told(cli("compare", "a", "--target", "val_loss=0.5", "--json")[1])
    assert (found["word"], found["a"]["lost"], found["more_seeds"]) == ("undecided", 1, None)
    assert found["a"]["p"] < 0.01 and "1 of 4 seeds diverged" in found["text"]
    arm(make_run, "b", 0.2, [None, None])
    code, out, _ = cli("compare", "b", "a", "--target", "val_loss=0.5", "--json")
    assert (code, told(out)["word"], told(out)["b"]["word"]) == (1, "fails", "undecided")


def test_equal_values_decide_by_themselves(make_run: MakeRun, tmp_path: Path) -> None:
    arm(make_run, "a", 0.1, [0.5, 0.5])
    (group,) = grouped(read_runs([tmp_path / "runs"]))
    words = [against_target(group, Target.parse(f"val_loss={x}", group.records)).word for x in (0.6, 0.5, 0.4)]
    assert words == ["passes", "passes", "fails"]
    assert against_target(group, Target.parse("val_loss=-1", group.records)).word == "fails"


def test_evaluations_that_only_some_seeds_have_are_left_out(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in range(3):
        make_run([0.9, 0.3 + seed / 100, 0.1 + seed / 1000], name="a", lr=0.1, seed=seed)
    (group,) = grouped(read_runs([tmp_path / "runs"]))
    first, *others = group.records
    short = dataclasses.replace(first, epochs=first.epochs.where(slice(2)))
    stopped = dataclasses.replace(group, records=(short, *others))
    for one, step in ((group, 6), (stopped, None)):
        found = against_target(one, Target.parse("val_loss=0.2", one.records)).first
        assert (found and found.step) == step


# -- trying many


def test_tries_keep_wrong_claims_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal arms against another equal one: how often one is called better, of 300 draws."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    from many_tries import wrong_claims

    found = wrong_claims(arms=8, seeds=5, draws=150)
    assert found["any"] > 0.06, "trying many without a correction finds something that is not there"
    assert max(found["best, --tries"], found["any, --tries"]) < 0.04


def test_compare_two_is_antisymmetric(runs: Path) -> None:
    groups = {group.label: group for group in grouped(read_runs([runs]))}
    measure = measure_named([r for group in groups.values() for r in group.records], "val_loss")
    one, _ = compare_two(groups["half"], groups["base"], measure)
    two, _ = compare_two(groups["base"], groups["half"], measure)
    assert one.difference is not None and two.difference is not None
    assert one.difference.mean == pytest.approx(-two.difference.mean) and one.difference.p == two.difference.p


def test_nothing_matches_in_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(UsageError, match="no runs in"):
        lrbench.compare("a", "b", runs=[tmp_path / "runs"])


# -- runs that recorders left


def recorded(name: str, *values: float, then: Callable[[Any], None] = lambda run: None, steps: int = 10) -> None:
    """Record a run for each value, its validation loss after `steps` steps."""
    for seed, value in enumerate(values):
        run = lrbench.record(name=name, config={"lr": 0.1, "arm": name}, seed=seed)
        for _ in range(steps):
            run.step(lr=0.1, loss=1.0)
        run.evaluate(val_loss=value)
        then(run)
        run.finish()


BETTER, WORSE = (0.30, 0.31, 0.32, 0.33, 0.34), (0.60, 0.61, 0.63, 0.62, 0.64)


def test_a_metric_that_the_last_evaluation_lacks_is_the_one_before(cli: Cli) -> None:
    def more(run: Any) -> None:
        for _ in range(90):
            run.step(lr=0.1, loss=1.0)
        run.evaluate(val_accuracy=0.5)

    recorded("early", *BETTER, then=more)
    recorded("b", *WORSE)
    code, out, _ = cli("compare", "early", "b", "--json")
    told = json.loads(out)
    assert code == 0 and told["word"] == "better" and told["a"]["lost"] == 0
    stale = next(one["text"] for one in told["warnings"] if one["code"] == "stale")
    assert stale == (
        "The validation loss of early is that of step 10: its runs went on to step 100 without another one."
    )


def test_a_filter_that_leaves_seeds_out_is_told(cli: Cli) -> None:
    recorded("a", *BETTER)
    recorded("b", *WORSE)
    _, out, _ = cli("compare", "a", "b", "--filter", "seed<3", "--json")
    texts = [one["text"] for one in json.loads(out)["warnings"] if one["code"] == "picked_seeds"]
    assert [text.partition(":")[0] for text in texts] == [f"3 of 5 seeds of {name} were selected" for name in "ab"]
    codes = {one["code"] for one in json.loads(out)["warnings"]}
    assert "different_programs" not in codes, "one script trained them all"


def test_a_copy_is_not_compared_with_itself(cli: Cli) -> None:
    recorded("a", *BETTER)
    shutil.copytree("runs", "copies")
    code, _, err = cli("compare", "./copies", "a")
    assert code == 2 and "A and B are copies of the same runs, such as a-seed" in err


def test_seeds_beside_a_dropped_one_are_never_the_best(make_run: Callable[..., Path], tmp_path: Path) -> None:
    """They are a selection: no mean, the last row, no winner, nothing to compare with."""
    for lr, losses in {0.1: [0.1, 0.11, 0.12], 0.2: [0.5, 0.52, 0.51], 0.4: [0.7, 0.72, 0.71]}.items():
        for seed, value in enumerate(losses):
            dropped = lr == 0.1 and seed == 2
            path = make_run([value], lr=lr, seed=seed, status="pruned" if dropped else "finished")
            if dropped:
                told = json.loads((path / "result.json").read_text()) | {"reason": "dropped by hand"}
                (path / "result.json").write_text(json.dumps(told))
    lrbench.report([tmp_path / "runs"], tmp_path / "report")
    table = (tmp_path / "report" / "report.csv").read_text().splitlines()
    first, *_, last = csv.DictReader(table)
    assert "lr=0.2" in first["run"] and first["val_loss"] and "lr=0.1" in last["run"]
    assert last["status"] == "2 finished, 1 dropped" and last["val_loss"] == last["val_loss_low"] == ""
    assert "lr: 0.2" in (tmp_path / "report" / "winner.yaml").read_text()
    one = lrbench.compare("lr=0.1", "lr=0.2", runs=[tmp_path / "runs"])
    assert (one.word, one.effect, one.more_seeds, one.a.centre) == ("undecided", None, None, None)
    warnings = {caveat.code: caveat.text for caveat in one.warnings}
    assert "1 of its 3 seeds was dropped, so the others are a selection" in warnings["pruned"]
    assert not warnings.keys() & {"best_of_many", "few_seeds", "unfinished"}
    best = lrbench.compare("lr=0.2", "lr=0.4", runs=[tmp_path / "runs"])
    assert best.word == "better" and not [caveat for caveat in best.warnings if caveat.code == "best_of_many"]
    with pytest.raises(UsageError, match=r"baseline .* it has no mean: 1 of its 3 seeds was dropped"):
        lrbench.report([tmp_path / "runs"], tmp_path / "again", baseline="tiny lr=0.1")
    aim = lrbench.compare("lr=0.1", runs=[tmp_path / "runs"], target="val_loss=0.3")
    assert (aim.word, aim.more_seeds) == ("undecided", None)
