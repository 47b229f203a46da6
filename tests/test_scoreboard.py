"""The scoreboard of `benchmarks/`: ratios, rounds, what fails or is missing, what CI calls a fall, the history."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with no figures but those that a test makes up."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("scoreboard")
    monkeypatch.setattr(module, "FIGURES", {})
    monkeypatch.setattr(module.history, "commit", lambda: "abc1234567")
    monkeypatch.setattr(module, "place", lambda: {"processor": "Made-up 9000"})
    return module


@pytest.fixture
def measuring(board: ModuleType) -> ModuleType:
    return sys.modules["measuring"]


Add = Callable[..., list[str]]


@pytest.fixture
def add(board: ModuleType, measuring: ModuleType) -> Add:
    """Add a figure with values for each round, `lrbench` and its peers; returns the list of what was measured, in turn.

    A value that is an exception is raised.
    """

    def added(name: str, unit: str = "s", short: bool = True, **ways: list[float | BaseException]) -> list[str]:
        log: list[str] = []

        def measure(way: str, values: Iterator[float | BaseException]) -> Any:
            def run() -> Mapping[str, float]:
                log.append(way)
                value = next(values)
                if isinstance(value, BaseException):
                    raise value
                return {way: value}

            return measuring.Measure((way,), run)

        def plan(setup: Any) -> list[Any]:
            return [measure(way, iter(values)) for way, values in ways.items()]

        board.FIGURES[name] = measuring.Figure(name, f"About {name}.", unit, "processor", plan, short)
        return log

    return added


def printed(board: ModuleType, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = board.main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_ratios_are_of_rounds_and_above_one_where_lrbench_is_better(
    board: ModuleType, add: Add, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seconds 2, 4, 3 against 4, 4, 12: ratios 2, 1, 4. Speeds 10, 30 against 20, 10: 0.5, 3."""
    add("start", "s", lrbench=[2.0, 4.0, 3.0], bare=[4.0, 4.0, 12.0])
    code, told = printed(board, capsys, "--rounds", "3")
    (row,) = told["figures"]
    assert code == 0 and (row["ratio"], row["low"], row["high"], row["rounds"]) == (2.0, 1.0, 4.0, 3)
    assert (row["lrbench"], row["other"], row["peer"], row["unit"]) == (3.0, 4.0, "bare", "s")
    assert told["machine"].startswith("Made-up 9000, ") and told["commit"] == "abc1234567"
    board.FIGURES.clear()
    add("speed", "images/s", lrbench=[10.0, 30.0], loop=[20.0, 10.0])
    (row,) = printed(board, capsys, "--rounds", "2")[1]["figures"]
    assert (row["ratio"], row["low"], row["high"]) == (1.75, 0.5, 3.0)


def test_rounds_alternate(board: ModuleType, add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    log = add("start", lrbench=[1.0] * 3, one=[1.0] * 3, other=[1.0] * 3)
    board.main(["--rounds", "3"])
    assert log == ["lrbench", "one", "other", "other", "one", "lrbench", "lrbench", "one", "other"]


def test_a_figure_without_a_peer_has_a_number_alone(
    board: ModuleType, add: Add, capsys: pytest.CaptureFixture[str]
) -> None:
    add("page", lrbench=[3.0, 1.0, 2.0])
    assert board.main(["--rounds", "3"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.split() == ["page", "processor", "2", "s", "no", "peer", "3"]


def test_the_table_is_plain_when_piped(board: ModuleType, add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    add("record", "µs", lrbench=[4.0, 5.0, 6.0], TensorBoard=[60.0, 75.0, 96.0])
    board.main(["--rounds", "3"])
    out = capsys.readouterr().out
    assert out.splitlines()[-1].split() == [
        "record", "processor", "5", "µs", "TensorBoard", "75", "µs", "15", "×", "15", "…", "16", "3",
    ]  # fmt: skip
    assert "\x1b" not in out and not set(out) & set("│─━┃|")


def test_what_is_missing_is_a_row_and_no_failure(
    board: ModuleType, measuring: ModuleType, add: Add, capsys: pytest.CaptureFixture[str]
) -> None:
    away = measuring.MissingError("Keras is not installed")
    add("cnn", "images/s", lrbench=[3.0, 3.0], loop=[1.0, 1.0], keras=[away, away])
    assert board.main(["--rounds", "2"]) == 0
    loop, keras = capsys.readouterr().out.splitlines()[-2:]
    assert "3.00 ×" in loop and "3.00 … 3.00" in loop
    assert "keras" in keras and "not measured: Keras is not installed" in keras and "×" not in keras


def test_what_fails_is_a_row_and_the_exit_code(
    board: ModuleType, measuring: ModuleType, add: Add, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure in one of two rounds leaves the other round's ratio."""
    add("sweep", lrbench=[2.0, 2.0], loops=[measuring.MeasureError("ValueError: broken"), 4.0])
    add("start", lrbench=[1.0, 1.0], bare=[1.0, 1.0])

    def plan(setup: Any) -> list[Any]:
        raise measuring.MissingError("LRBENCH_DATA names no folder")

    board.FIGURES["mnist"] = measuring.Figure("mnist", "", "s", "wall", plan)
    assert board.main(["--rounds", "2"]) == 1
    sweep, start, mnist = capsys.readouterr().out.splitlines()[-3:]
    assert "2.00 ×" in sweep and "2.00 … 2.00; failed: ValueError: broken" in sweep and sweep.endswith(" 1")
    assert "1.00 ×" in start and start.endswith(" 2")
    assert "not measured: LRBENCH_DATA names no folder" in mnist


def test_an_interrupt_prints_what_is_done(board: ModuleType, add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    add("start", lrbench=[1.0, 1.0], bare=[2.0, KeyboardInterrupt()])
    add("later", lrbench=[1.0], bare=[1.0])
    code, told = printed(board, capsys, "--rounds", "2")
    assert code == 130
    assert [(row["figure"], row["ratio"], row["rounds"]) for row in told["figures"]] == [
        ("start", 2.0, 1), ("later", 1.0, 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "nothing"], "there is no figure 'nothing'; these are: start"),
        (["--rounds", "0"], "0 is too few"),
        (["--short", "--record"], "leave --short out"),
    ],
)
def test_a_mistake_is_a_message(
    words: list[str], message: str, board: ModuleType, add: Add, capsys: pytest.CaptureFixture[str]
) -> None:
    add("start", lrbench=[1.0])
    with pytest.raises(SystemExit) as stopped:
        board.main(words)
    assert stopped.value.code == 2 and message in capsys.readouterr().err


# -- the short form


@pytest.fixture
def references(board: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.5 for the made-up figure `start`: it may fall to 1."""
    (tmp_path / "reference.json").write_text('{"start / bare": 1.5}')
    monkeypatch.setattr(board, "REFERENCE", tmp_path / "reference.json")


@pytest.mark.usefixtures("references")
def test_three_slow_rounds_are_a_fall(board: ModuleType, add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    """Ratios of 0.5, 0.99 and 0.8 where 1.5 was usual."""
    log = add("start", lrbench=[2.0, 1.0, 1.0], bare=[1.0, 0.99, 0.8])
    assert board.main(["--short"]) == 1
    assert log.count("lrbench") == 3
    told = capsys.readouterr().err
    assert "start / bare: 0.50, 0.99, 0.80 instead of 1.50, which is more than a third less" in told


@pytest.mark.usefixtures("references")
@pytest.mark.parametrize("slow", [0, 1, 2])
def test_one_fine_round_is_enough(slow: int, board: ModuleType, add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    """No more rounds are measured after it."""
    log = add("start", lrbench=[1.0] * 3, bare=[0.9] * slow + [1.0] * (3 - slow))
    assert board.main(["--short"]) == 0
    assert log.count("lrbench") == slow + 1
    assert "failed" not in capsys.readouterr().err


@pytest.mark.usefixtures("references")
def test_each_peer_needs_a_fine_round_of_its_own(board: ModuleType, add: Add, references: None) -> None:
    board.REFERENCE.write_text('{"start / bare": 1.5, "start / other": 3}')
    log = add("start", lrbench=[1.0] * 3, bare=[1.5, 0.1, 0.1], other=[0.1, 3.0, 0.1])
    assert board.main(["--short"]) == 0
    assert log.count("lrbench") == 2


@pytest.mark.usefixtures("references")
def test_failures_and_missing_references_fail_and_missing_peers_do_not(
    board: ModuleType, measuring: ModuleType, add: Add, capsys: pytest.CaptureFixture[str]
) -> None:
    add("start", lrbench=[measuring.MeasureError("no module") for _ in range(3)], bare=[1.0] * 3)
    add("new", lrbench=[1.0] * 3, loop=[1.0] * 3)
    add("away", lrbench=[1.0] * 3, keras=[measuring.MissingError("not here")] * 3)
    assert board.main(["--short"]) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed")]
    assert len(told) == 2 and "no module" in told[0] and "no reference" in told[1]
    del board.FIGURES["start"], board.FIGURES["new"]
    add("away", lrbench=[1.0], keras=[measuring.MissingError("not here")])
    assert board.main(["--short"]) == 0


def test_every_short_figure_has_references(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    figures = importlib.import_module("figures").FIGURES
    references = json.loads((BENCHMARKS / "reference.json").read_text())
    assert {name.split(" / ")[0] for name in references} == {name for name, figure in figures.items() if figure.short}
    assert all(figure.clock == "processor" for figure in figures.values() if figure.short)
    assert all(figure.about and figure.unit for figure in figures.values())


# -- processes


def test_processes_tell_numbers(board: ModuleType, measuring: ModuleType) -> None:
    script = "print('loading'); print('{\"epochs\": [9, 4]}')"
    told = measuring.told("loop", [sys.executable, "-c", script], lambda line: 100 / json.loads(line)["epochs"][1])
    assert told.run() == {"loop": 25.0}
    called = measuring.called(("lrbench", "other"), "history", "grouped", 25734.0)
    with pytest.raises(ValueError, match="shorter"):
        called.run()  # one value for two ways
    assert measuring.called("lrbench", "history", "times", 2).run() == {"lrbench": "2.00"}
    assert set(measuring.timed("lrbench", [sys.executable, "-c", ""], "processor", best_of=2).run()) == {"lrbench"}


def test_a_process_that_fails_tells_its_last_line(board: ModuleType, measuring: ModuleType) -> None:
    with pytest.raises(measuring.MeasureError, match=r"^ZeroDivisionError: division by zero$"):
        measuring.timed("loop", [sys.executable, "-c", "1 / 0"], "wall").run()
    with pytest.raises(measuring.MeasureError, match=r"^exit code 3$"):
        measuring.output([sys.executable, "-c", "raise SystemExit(3)"])


def test_processes_have_this_checkout_and_their_threads(
    board: ModuleType, measuring: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    script = "import os; print(*(os.environ.get(n) for n in ('OMP_NUM_THREADS', 'PYTHONDONTWRITEBYTECODE')))"
    assert measuring.output([sys.executable, "-c", script], 3).split() == ["3", "None"]
    where = measuring.output([sys.executable, "-c", "import importlib.util as i; print(i.find_spec('lrbench').origin)"])
    assert Path(where.strip()).parents[1] == BENCHMARKS.parent


# -- the history


def test_recorded_figures_are_added_and_the_latest_are_on_the_page(
    board: ModuleType, add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    history = board.history
    page, rows = tmp_path / "README.md", tmp_path / "history.csv"
    page.write_text(f"# Page\n\n{history.BEGIN}\nold\n{history.END}\n\nMore.\n")
    append, renew = history.append, history.renew
    monkeypatch.setattr(history, "append", lambda added: append(added, rows))
    monkeypatch.setattr(history, "renew", lambda: renew(page, rows))
    add("start", lrbench=[1.0, 2.0], bare=[2.0, 2.0])
    add("page", lrbench=[3.0, 5.0])
    assert board.main(["--rounds", "2", "--record"]) == 0
    add("start", lrbench=[1.0], bare=[4.0])
    assert board.main(["--rounds", "1", "--record", "--only", "start"]) == 0
    with rows.open() as file:
        found = list(csv.DictReader(file))
    assert [(row["figure"], row["ratio"], row["low"], row["high"], row["rounds"]) for row in found] == [
        ("start", "1.5", "1", "2", "2"), ("page", "", "", "", "2"), ("start", "4", "4", "4", "1"),
    ]  # fmt: skip
    text = page.read_text()
    assert text.startswith("# Page\n") and text.endswith("\n\nMore.\n") and "old" not in text
    assert "| `page` | processor | 4 s | no peer |  |  |  | 2 |" in text
    assert "| `start` | processor | 1 s | bare | 4 s | 4.00 × | 4.00 … 4.00 | 1 |" in text
    assert text.count("`start`") == 1 and "Made-up 9000" in text


def test_the_page_has_the_latest_figures_of_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    history = importlib.import_module("history")
    rows = history.read()
    assert rows and history.markdown(history.latest(rows)) in history.README.read_text()


def test_the_page_explains_every_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    lines = (BENCHMARKS / "README.md").read_text().splitlines()
    for name in importlib.import_module("figures").FIGURES:
        assert any(line.startswith(f"| `{name}` | ") and not line.endswith(" |  |") for line in lines), name
