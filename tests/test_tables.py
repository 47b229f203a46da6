"""Tables for people: which columns they have, in what order, how many rows, and LaTeX that compiles."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrbench.cli.columns import fitting
from lrbench.errors import UsageError
from lrbench.reports.family_table import families_table, family_rows
from lrbench.reports.latex import _row, escaped
from lrbench.reports.reporting import formatted_table as table
from lrbench.reports.reporting import gather, report
from lrbench.reports.tables import Column, Table, chosen, distinct

MakeRun = Callable[..., Path]
Cli = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("sketches")


@pytest.fixture
def runs(make_run: MakeRun, tmp_path: Path) -> Path:
    """Three names with three seeds each: the second a third worse, the third unlike the others in its spread."""
    for name, lr, losses in (
        ("a", 0.1, (0.30, 0.31, 0.305)),
        ("b", 0.2, (0.40, 0.41, 0.405)),
        ("c", 0.3, (0.2, 0.9, 0.5)),
    ):
        for seed, loss in enumerate(losses):
            make_run([1.0, loss], name=name, lr=lr, seed=seed)
    return tmp_path / "runs"


@pytest.fixture
def swept(make_run: MakeRun, tmp_path: Path) -> Path:
    """A sweep of two batch sizes over four learning rates, with two seeds each."""
    for size, factor in ((4, 1.0), (8, 1.3)):
        for lr, loss in ((0.01, 2.0), (0.03, 1.0), (0.1, 0.8), (0.3, 1.5)):
            for seed in range(2):
                make_run([3.0, factor * loss * (1 + 0.01 * seed)], name="bs", lr=lr, seed=seed, batch_size=size)
    return tmp_path / "runs"


def headings(text: str) -> list[str]:
    """The headings of a table in Markdown."""
    return [cell.strip() for cell in text.splitlines()[0].strip("|").split("|")]


# -- which columns


def test_the_answer_stands_beside_the_value_everywhere(runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = gather([runs])
    assert headings(table(shown, "markdown"))[:3] == ["run", "val loss", "against the best"]
    assert [column.name for column in shown.brief_table.columns][1:3] == ["val_loss", "difference"]
    made = report([runs], columns=["run", "rank"])
    assert [column.name for column in made.table.columns] == ["run", "rank"]
    for width in ("60", "80", "160"):
        monkeypatch.setenv("COLUMNS", width)
        code, out, _ = cli("report", runs)
        assert code == 0 and "against" in out and "+33 % (+31 … +35)" in out, width


def test_the_answer_is_short_and_the_rest_has_columns_of_its_own(runs: Path) -> None:
    shown = gather([runs])
    rows = {cells[0]: dict(zip(headings(table(shown, "markdown")), cells, strict=True)) for cells in shown.table.cells}
    assert rows["a"]["against the best"] == "best"
    assert rows["b"]["against the best"] == "+33 % (+31 … +35), worse"
    assert rows["c"]["against the best"].endswith(", undecided") and int(rows["c"]["seeds to decide"].split()[0]) > 1
    assert max(len(one["against the best"]) for one in rows.values()) < 40
    chosen_one = gather([runs], baseline="b").table
    assert "against b" in [column.heading for column in chosen_one.columns]
    assert [cells[2] for cells in chosen_one.cells if cells[0] == "b"] == ["baseline"]


def test_what_is_empty_goes_and_what_is_equal_is_said_once(runs: Path) -> None:
    text = table(gather([runs]), "markdown")
    for gone in ("seeds", "status", "training time", "source", "published test loss"):
        assert gone not in headings(text)
    assert "The same in all rows: 3 seeds, " in text and "training time 1.5 s" in text


def test_columns_give_way_to_the_answer() -> None:
    every = [column("run", ["x" * 20]), column("value", ["1" * 10]), column("b", ["2" * 20]), column("c", ["3" * 20])]
    every += [column("answer", ["4" * 20], decides=True)]

    def kept(width: int) -> list[str]:
        return [one.name for one in fitting(Table(every, [0]), width)]

    assert kept(120) == ["run", "value", "b", "c", "answer"]
    assert kept(90) == ["run", "value", "b", "answer"] and kept(20) == ["run", "value", "answer"]


def column(name: str, texts: Sequence[str], **more: Any) -> Column[int]:
    return Column(name, lambda at: texts[at], lambda at: {name: texts[at]}, name=name, **more)


def test_columns_that_tell_nothing() -> None:
    every = [column("a", "xyz"), column("b", "–––"), column("seeds", "111"), column("d", "ee–"), column("f", "ggg")]
    told = distinct(Table(every, range(3)))
    assert [one.name for one in told.columns] == ["a", "d"] and told.same == "The same in all rows: 1 seed, f g."
    assert [one.name for one in distinct(Table(every, [0])).columns] == ["a", "seeds", "d", "f"]
    assert distinct(Table(every, [0])).same == ""
    kept = distinct(Table(every, range(3)), always=("b", "seeds"))
    assert [one.name for one in kept.columns] == ["a", "b", "seeds", "d"]


def test_columns_are_chosen_and_ordered(runs: Path) -> None:
    names = ["val_loss", "run", "Against the best", "test accuracy of the best epoch", "val_loss_low", "answer"]
    shown = gather([runs], columns=names)
    text = table(shown, "markdown")
    assert headings(text) == [
        "val loss", "run", "against the best", "test accuracy of the best epoch", "val loss low", "answer"
    ]  # fmt: skip
    assert text.splitlines()[3].endswith("| 0.4 | worse |")
    rows = list(csv.DictReader(io.StringIO(table(shown, "csv"))))
    assert (
        list(rows[0])[:2] == ["val_loss", "run"] and rows[1]["answer"] == "worse" and float(rows[1]["val_loss"]) > 0.4
    )
    assert "val_loss_median" not in rows[0], "a name of CSV is that number alone"
    assert list(json.loads(table(gather([runs], columns=["difference"]), "json"))[1]) == ["difference"]
    assert r"\begin{tabular}{rlrrrl}" in table(shown, "latex") or r"\begin{tabular}{rlrrrr}" in table(shown, "latex")


def test_all_columns(runs: Path) -> None:
    every = headings(table(gather([runs], columns=["all"]), "markdown"))
    assert {"seeds", "status", "training time", "published test loss"} <= set(every)
    whole = csv.DictReader(io.StringIO(table(gather([runs]), "csv"))).fieldnames or []
    assert list(csv.DictReader(io.StringIO(table(gather([runs], columns=["all"]), "csv"))).fieldnames or []) == list(
        whole
    )
    assert {"val_loss", "difference", "more_seeds", "rank_best", "interval_low", "p_lost"} <= set(whole)


def test_an_unknown_column(runs: Path, cli: Cli) -> None:
    code, _, err = cli("report", runs, "--columns", "run,val_los")
    told = " ".join(err.split())
    assert code == 2 and "--columns val_los: no such column; did you mean 'val_loss'?" in told
    assert "Known: run, seeds, status, verdict, val_loss," in told and not (runs / "report").exists()
    code, _, err = cli("report", runs, "--columns", "run,,val_loss")
    assert code == 2 and "--columns must be names separated by commas" in " ".join(err.split())
    with pytest.raises(UsageError, match="columns nothing: no such column"):
        report([runs], columns=["nothing"])


def test_the_command_chooses_columns(runs: Path, cli: Cli) -> None:
    code, out, _ = cli("report", runs, "--columns", "run,answer,test_loss")
    assert code == 0 and re.search(r"run +answer +test *\n? *loss", out) and "against" not in out.split("─")[0]
    assert headings("\n".join(line for line in (runs / "report" / "report.md").read_text().splitlines()
                              if line.startswith("| run"))) == ["run", "answer", "test loss"]  # fmt: skip
    assert "val_loss_median" in (runs / "report" / "report.csv").read_text(), "files keep all"


def test_a_format_has_exactly_the_columns_asked_for_in_their_order(runs: Path) -> None:
    asked = ["interval", "run", "rank", "val_loss"]
    shown = gather([runs], columns=asked)
    rows = list(csv.DictReader(io.StringIO(table(shown, "csv"))))
    assert list(rows[0]) == asked and "…" in rows[0]["interval"]
    assert list(json.loads(table(shown, "json"))[0]) == asked


def test_columns_that_do_not_fit_make_a_block_of_each_row(
    runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = cli("report", runs, "--columns", "all")[1].splitlines()
    assert len([line for line in lines if re.match("run  +", line)]) == len(gather([runs]).groups)
    assert max(map(len, lines[:40])) <= 80
    assert [line for line in lines if re.match(r"val loss  +\d\.\d+", line)], "a line has a heading and its value"
    assert "run  " not in cli("report", runs, "--columns", "run,val_loss")[1].splitlines()[0]


@given(st.lists(st.text(max_size=12), min_size=1, max_size=3))
def test_any_text_names_a_column_or_none(asked: list[str]) -> None:
    try:
        found = chosen([column("val_loss", "xy"), column("b", "xy")], range(2), asked)
    except UsageError as error:
        assert "no such column" in str(error)
    else:
        assert found


# -- how many rows


def test_a_terminal_shows_the_best_rows(make_run: MakeRun, tmp_path: Path, cli: Cli) -> None:
    for at in range(33):
        make_run([0.5 + at / 100], name=f"n{at:02}", lr=0.1 + at / 1000)
    runs = tmp_path / "runs"
    code, out, _ = cli("report", runs)
    assert code == 0 and "n29" in out and "n30" not in out.split("more groups")[0]
    assert "3 more groups: --rows all, or report/report.csv" in out
    _, out, _ = cli("report", runs, "--rows", "2")
    assert "31 more groups" in out and "n02" not in out.split("more groups")[0]
    _, out, _ = cli("report", runs, "--rows", "all")
    assert "n32" in out and "more groups" not in out
    _, out, _ = cli("report", runs, "--format", "csv")
    assert len(out.splitlines()) == 34
    _, out, _ = cli("report", runs, "--format", "csv", "--rows", "3")
    assert len(out.splitlines()) == 4
    for wrong in ("0", "-1", "many", "1.5"):
        code, _, err = cli("report", runs, "--rows", wrong)
        assert code == 2 and "--rows must be a number" in " ".join(err.split())


def test_a_baseline_is_always_in_sight(make_run: MakeRun, tmp_path: Path) -> None:
    for at in range(5):
        for seed in range(2):
            make_run([0.5 + at / 10 + seed / 100], name=f"n{at}", lr=0.1 + at / 1000, seed=seed)
    shown = gather([tmp_path / "runs"], baseline="n4")
    assert [group.label for group in shown.best(2).groups] == ["n0", "n1", "n4"]
    assert [group.label for group in gather([tmp_path / "runs"]).best(2).groups] == ["n0", "n1"]


# -- families


def test_families_have_a_table(swept: Path, cli: Cli) -> None:
    shown = gather([swept])
    (section,) = shown.sections
    assert section.best is not None
    made = families_table(section.best)
    rows = [dict(zip([column.name for column in made.columns], cells, strict=True)) for cells in made.cells]
    assert [column.name for column in made.columns][:4] == ["series", "lr", "chosen", "difference"]
    assert [row["lr"] for row in rows] == ["0.1", "0.1"]
    assert rows[0]["chosen"] == "0.804 (0.8 … 0.808, 2 seeds)" and rows[0]["difference"] == "best"
    assert rows[1]["difference"].startswith("+30 % (+30 … +30), ")
    numbers = family_rows(section.best)
    assert numbers[1]["effect"] == pytest.approx(1.3) and numbers[1]["rates_tried"] == 4 and numbers[1]["runs"] == 8
    assert numbers[0]["optimum_low"] < 0.1 < numbers[0]["optimum_high"]
    code, out, _ = cli("report", swept)
    assert code == 0 and out.index("family") < out.index("0.808, 2 seeds") < out.index("test")
    text = (swept / "report" / "report.md").read_text()
    assert "## Families\n\n| family | best learning rate | val loss | against the best |" in text


# -- LaTeX


def rows_of(text: str) -> list[list[str]]:
    """The cells of each row, those over several columns counted as often."""
    found = []
    for line in text.splitlines():
        if line.endswith(r"\\"):
            cells = re.split(r"(?<!\\)&", line.removesuffix(r"\\"))
            found.append([c.strip() for cell in cells for c in [cell] * (2 if "multicolumn{2}" in cell else 1)])
    return found


def test_latex_has_what_a_paper_needs(runs: Path) -> None:
    text = table(gather([runs]), "latex")
    lines = text.splitlines()
    assert lines[0] == r"% Needs \usepackage{booktabs}." and "% validation loss: lower is better" in text
    assert r"\caption" not in text and text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    (kinds,) = re.findall(r"\\begin\{tabular\}\{(.*)\}", text)
    assert kinds == r"lrr@{\ }lr@{\ }ll"
    head, *rows = rows_of(text)
    assert {len(row) for row in (head, *rows)} == {7}
    assert rows[0] == ["a", "3", r"\textbf{0.305}", "[0.293, 0.318]", "", "", "best"]
    assert rows[1] == ["b", "3", "0.405", "[0.393, 0.418]", "$+$33", "[$+$31, $+$35]", "worse"]
    decimals = {len(re.sub(r".*\.(\d+).*", r"\1", row[2])) for row in rows}
    assert decimals == {3}, "the decimal points align"
    assert not re.search(r"(?<![\\$])[%_#]", "\n".join(line for line in lines if not line.startswith("%")))


def test_latex_of_percentages_and_single_seeds(runs: Path, make_run: MakeRun, tmp_path: Path) -> None:
    text = table(gather([runs], metric="val_accuracy"), "latex")
    assert r"val accuracy (\%)" in text and "(points)" in text and "% validation accuracy: higher is better" in text
    assert r"& \textbf{90.00} & $\pm$ 0.00 &" in text
    for at, loss in enumerate((0.00123456, 2.5)):
        make_run([loss], name=f"{at}_x", lr=0.1 + at / 10)
    text = table(gather([tmp_path / "runs"], filters=["*_x"]), "latex")
    head, *rows = rows_of(text)
    assert head == ["run", "val loss"] and rows == [[r"0\_x", r"\textbf{0.00123}"], [r"1\_x", "2.50000"]]
    assert _row(["[x]", "1"]) == r"{}[x] & 1 \\", "no option of the line before"


def test_latex_of_lost_seeds_and_of_a_target(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in range(3):
        make_run([0.5, 0.4], name="a", seed=seed)
        make_run([0.9], status="diverged", name="b", lr=0.2, seed=seed)
    head, *rows = rows_of(table(gather([tmp_path / "runs"], target="val_loss=0.45"), "latex"))
    assert head[-1] == r"epochs to val\_loss $\le$ 0.45" and rows[0][-1] == "2" and rows[1][-1] == "not reached"
    assert rows[1][:3] == ["b", "3", "--"] and rows[1][6] == "undecided", "by Fisher's exact test, p = 2/20"
    make_run([900.0], name="d", loss="mse")
    assert "% different tasks" in table(gather([tmp_path / "runs"]), "latex")


@given(st.text(max_size=30))
def test_latex_shows_any_text(text: str) -> None:
    """Nothing special is left but what the escapes themselves are made of; braces and dollars come in pairs."""
    found = escaped(text)
    bare = re.sub(r"\\[%&$#_{}]|\\textbackslash\{\}|\\textascii(tilde|circum)\{\}|\\dots\{\}|\$[^$]*\$", "", found)
    assert not re.search(r"[%&$#_{}\\^~<>|\"]", bare)
    assert "\n" not in found


def test_latex_compiles_in_name(runs: Path) -> None:
    """A parser of LaTeX reads it, if there is one."""
    latexwalker = pytest.importorskip("pylatexenc.latexwalker", reason="needs the package pylatexenc")
    nodes, *_ = latexwalker.LatexWalker(table(gather([runs]), "latex"), tolerant_parsing=False).get_latex_nodes()
    assert any(getattr(node, "environmentname", "") == "tabular" for node in nodes)
