"""That results stay what they were: golden files of tests/golden, and run folders that an earlier lrbench wrote.

Only the command line, the public API and the files of run folders are used, so that these tests stand while all behind
them is built anew. Columns and keys may be added; none that is in a golden file may go, or change.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from golden import cases

import lrbench

CLOSE = 1e-5  # other processors sum in another order
STILL_EXACT = ("lr", "step", "epoch", "seed", "iteration", "status", "identity", "group")


def golden(name: str) -> Any:
    return cases.read_json(cases.HERE / f"{name}.json")


def differences(found: Any, wanted: Any, where: str = "", close: float = CLOSE) -> list[str]:
    """Where `found` is not what is wanted. It may hold more keys; one that is None, or wholly empty, may be missing."""
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return [f"{where}: {found!r} instead of {wanted!r}"]
        bad = []
        for key, value in wanted.items():
            if key in found:
                bad += differences(found[key], value, f"{where}/{key}", 0.0 if key in STILL_EXACT else close)
            elif value is not None:
                bad.append(f"{where}/{key} is missing")
        return bad
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            return [f"{where}: {found!r} instead of {wanted!r}"]
        return [
            line
            for index, (one, other) in enumerate(zip(found, wanted, strict=True))
            for line in differences(one, other, f"{where}[{index}]", close)
        ]
    if found == wanted:
        return []
    one, other = number(found), number(wanted)
    if one is not None and other is not None:
        both_nan = math.isnan(one) and math.isnan(other)
        if both_nan or math.isclose(one, other, rel_tol=close, abs_tol=close / 100):
            return []
    return [f"{where}: {found!r} instead of {wanted!r}"]


def number(value: Any) -> float | None:
    """A number, written as one or as text."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def check(found: Any, wanted: Any, close: float = CLOSE) -> None:
    bad = differences(found, wanted, close=close)
    assert not bad, f"{len(bad)} differences, first " + "\n".join(bad[:10])


# -- trained anew


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run folders of all configs with a golden curve."""
    folder = tmp_path_factory.mktemp("curves")
    return {name: cases.train(folder, name, config) for name, config in cases.CURVES.items()}


@pytest.mark.parametrize("name", cases.CURVES)
def test_curves(trained: dict[str, Path], name: str) -> None:
    check(cases.curve(trained[name]), golden("curves")[name])


def test_identities() -> None:
    wanted = golden("identities")
    assert len(wanted) > 60
    check(cases.identities(), wanted)


def test_a_run_folder_is_named_and_marked_by_identity(trained: dict[str, Path]) -> None:
    for name, run in trained.items():
        wanted = golden("curves")[name]["result"]["identity"]
        assert run.name == f"{name}-seed{cases.CURVES[name].get('seed', 0)}-{wanted[:8]}"
        assert cases.read_json(run / "env.json")["identity"] == wanted


def test_rates() -> None:
    check(cases.rates(), golden("rates"), close=1e-12)


@pytest.mark.parametrize("name", cases.SWEEPS)
def test_sweeps(tmp_path: Path, name: str) -> None:
    check(cases.sweep(tmp_path, name), golden("sweeps")[name])


def test_range_test(tmp_path: Path) -> None:
    check(cases.range_test(tmp_path), golden("range_test"))


# -- run folders of an earlier lrbench


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder with copies of the kept runs, and the configs they were made of."""
    shutil.copytree(cases.KEPT, tmp_path / "runs")
    for name, config in cases.KEPT_CONFIGS.items():
        cases.write(tmp_path, name, config)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """All files in a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def folders(runs: Path, *names: str) -> list[Path]:
    """The folders of runs of these names, of all without one."""
    found = [path for path in runs.iterdir() if (path / "config.yaml").exists()]
    return sorted(path for path in found if not names or path.name.partition("-seed")[0] in names)


STATES = {
    **dict.fromkeys(("decayed", "steady", "squared", "swept"), "finished"),
    "diverged": "diverged",
    "failed": "failed",
    "hopeless": "pruned",
    "interrupted": "interrupted",
    "stopped": "stopped_early",
}


def test_kept_runs_are_read_with_their_states(kept: Path) -> None:
    table = lrbench.load_runs(kept / "runs")
    assert len(table) == len(folders(kept / "runs")) == 19
    assert [STATES[name] for name in table["name"]] == list(table["state"])
    assert not any(table["problem"].fillna("")[table["state"] != "failed"])


def tables_of(lines: list[str]) -> list[dict[str, list[str]]]:
    """The tables of a Markdown text, by column. The words around them may change."""
    tables, head = [], True
    for line in lines:
        if not line.startswith("|"):
            head = True
            continue
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if head:
            tables.append({cell: [] for cell in cells})
        elif not set(line) <= set("|-: "):
            for column, cell in zip(tables[-1].values(), cells, strict=True):
                column.append(cell)
        head = False
    return tables


@pytest.mark.parametrize("name", cases.REPORTS)
def test_reports_on_kept_runs(kept: Path, name: str, request: pytest.FixtureRequest) -> None:
    if name != "all":
        request.getfixturevalue("sketches")  # one report's figures are rendered
    found, wanted = cases.report(kept, name), golden("report")[name]
    tables, tables_wanted = tables_of(found.pop("report.md")), tables_of(wanted.pop("report.md"))
    assert any(len(column) > 3 for one in tables_wanted[1:] for column in one.values()), "families come first"
    check(tables, tables_wanted)
    for words in ("evidence", "advice"):  # which may be said better
        assert found["runs.csv"].pop(words) and wanted["runs.csv"].pop(words)
    for file in ("report.csv", "runs.csv"):
        assert not wanted[file].keys() - found[file].keys()
    check(found, wanted)


def test_kept_runs_are_found_and_not_trained_again(kept: Path) -> None:
    done = ("steady", "decayed", "squared", "diverged", "stopped")
    before = {run: contents(run) for run in folders(kept / "runs")}
    outcomes = [
        outcome
        for name in done
        for outcome in lrbench.run([kept / f"{name}.yaml"], runs=kept / "runs", seeds=cases.SEEDS.get(name))
    ]
    assert all(outcome.found for outcome in outcomes)
    assert sorted(Path(outcome.path) for outcome in outcomes) == folders(kept / "runs", *done)
    for outcome in outcomes:
        assert outcome.result is not None
        check(outcome.result.plain(), json.loads(before[Path(outcome.path)]["result.json"]), close=0.0)
    cases.command(kept, "run", "steady.yaml", "--seeds", 3)
    assert {run: contents(run) for run in folders(kept / "runs")} == before


def test_a_kept_run_is_found_under_another_name(kept: Path) -> None:
    (outcome,) = lrbench.run([cases.write(kept, "renamed", cases.KEPT_CONFIGS["steady"])], runs=kept / "runs")
    assert (outcome.found, Path(outcome.path)) == (True, folders(kept / "runs", "steady")[0])


def check_goes_on(before: Path, done: Path, anew: Path) -> None:
    """`done` is the run of `before` with what was missing, and as a whole the one that was trained anew at once."""
    old, new = (cases.rows(folder / "epochs.csv") for folder in (before, done))
    assert [row["seconds"] for row in new[: len(old)]] == [row["seconds"] for row in old]  # so they were not repeated
    assert len(new) > len(old)
    assert cases.read_json(done / "env.json")["resumed"]
    assert not list(done.glob("checkpoint*"))
    whole, wanted, part = (
        {
            file: [[row.get(name, "") for name in names] for row in cases.rows(folder / file)]
            for file, names in (("steps.csv", cases.STEPS), ("epochs.csv", cases.EPOCHS))
        }
        for folder in (done, anew, before)
    )
    for file in part:  # what was there is kept to the last digit
        assert whole[file][: len(part[file])] == part[file]
    alike = all(wanted[file][: len(part[file])] == part[file] for file in part)
    close = 0.0 if alike else CLOSE  # another processor than the one that began it may differ in the last digits
    check(whole, wanted, close)
    results = [cases.read_json(folder / "result.json") for folder in (done, anew)]
    check(*({key: result[key] for key in cases.RESULT} for result in results), close=close)


def test_an_interrupted_run_goes_on_to_the_same_end(kept: Path, trained: dict[str, Path]) -> None:
    (run,) = folders(kept / "runs", "interrupted")
    before = kept / "before"
    shutil.copytree(run, before)
    checkpoint = torch.load(run / "checkpoint.pt", weights_only=True)
    assert checkpoint["format"] == 2
    assert checkpoint["epoch"] == 3 and 0 < checkpoint["step"] - 3 * 64 < 64  # in the midst of the fourth epoch
    assert not (run / "result.json").exists()
    cases.command(kept, "run", "interrupted.yaml")
    check_goes_on(before, run, trained["interrupted"])
    check(cases.curve(run), golden("curves")["interrupted"])


def test_pruned_runs_go_on_where_nothing_is_to_be_pruned(kept: Path) -> None:
    pruned = folders(kept / "runs", "hopeless")
    shutil.copytree(kept / "runs", kept / "before")
    assert all((run / "checkpoint.pt").exists() for run in pruned)
    cases.command(kept, *cases.PRUNED)
    assert all(contents(run) == contents(kept / "before" / run.name) for run in pruned)
    cases.command(kept, *cases.PRUNED[: cases.PRUNED.index("--prune")])
    assert folders(kept / "runs", "hopeless") == pruned
    for lr in (1e-6, 1e-3):
        asked = [kept / "hopeless.yaml"]
        (anew,) = lrbench.run(asked, runs=kept / "anew", overrides=[f"optimizer.lr={lr}"])
        name = Path(anew.path).name
        check_goes_on(kept / "before" / name, kept / "runs" / name, Path(anew.path))


def test_a_sweep_is_topped_up_with_what_is_missing(kept: Path) -> None:
    runs = kept / "runs"
    before = {run.name: contents(run) for run in folders(runs)}
    plan = runs / "sweeps" / "rates" / "plan.json"
    cells = [{key: cell[key] for key in cases.CELL} for cell in cases.read_json(plan)["cells"]]
    missing = {cell["run"] for cell in cells} - before.keys()
    assert len(missing) == 1
    cases.command(kept, *cases.TOPPED_UP)
    after = {run.name: contents(run) for run in folders(runs)}
    assert after.keys() - before.keys() == missing
    assert {name: after[name] for name in before} == before
    check(cases.read_json(plan)["cells"], cells, close=0.0)
    assert [row["finished"] for row in cases.rows(runs / "sweeps" / "rates" / "summary.csv")] == ["2", "2", "2"]
    assert cases.read_json(runs / missing.pop() / "result.json")["status"] == "finished"


def test_one_more_seed_of_a_range_test_adds_only_that(kept: Path) -> None:
    (test,) = (kept / "runs" / "find-lr").iterdir()
    before, curves = contents(test), cases.rows(test / "finder.csv")
    cases.command(kept, "find-lr", "tested.yaml", "--seeds", 3, *cases.TEST_OPTIONS)
    assert [path.name for path in (kept / "runs" / "find-lr").iterdir()] == [test.name]
    after = contents(test)
    assert {name: after[name] for name in before if "/" in name} == {n: b for n, b in before.items() if "/" in n}
    assert "seed2/result.json" in after
    found = cases.read_json(test / "finder.json")
    assert [seed["seed"] for seed in found["seeds"]] == [0, 1, 2]
    check([row for row in cases.rows(test / "finder.csv") if row["seed"] != "2"], curves, close=0.0)


def test_a_kept_range_test_is_shown_as_it_was_found(kept: Path) -> None:
    (test,) = (kept / "runs" / "find-lr").iterdir()
    before = contents(test)
    wanted = golden("range_test")["found"]
    cases.command(kept, "find-lr", "tested.yaml", "--seeds", 2, *cases.TEST_OPTIONS)
    after = contents(test)
    assert all(after[name] == before[name] for name in before if "/" in name)
    check(cases.read_json(test / "finder.json"), wanted)
