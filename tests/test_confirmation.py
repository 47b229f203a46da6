"""`sweep --confirm`: every line's best learning rate with fresh seeds, compared by these alone; the cost of tuning."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lrbench
from lrbench.analysis import confirmation, families, grouped, measures_of, read_runs
from lrbench.analysis.confirmation import Tuning
from lrbench.config import group
from lrbench.reports import gather, summary, summary_words
from lrbench.runs import RunFolder
from lrbench.sweeps import Planned, SweepFolder
from lrbench.sweeps.plan import Plan
from lrbench.sweeps.summary import Summary, summarize

MakeRun = Callable[..., Path]
Cli = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("sketches")


class Grid:
    """A sweep made by hand: runs with given losses and a plan that holds them."""

    def __init__(self, make_run: MakeRun, root: Path) -> None:
        self.make_run, self.root = make_run, root
        self.cells: list[Planned] = []

    def add(self, schedule: str, lr: float, *losses: float | None, first: int = 0, confirms: bool = False) -> None:
        """Add a seed for each loss, from `first` on; None diverged after half of its two epochs."""
        for seed, loss in enumerate(losses, start=first):
            status = "diverged" if loss is None else "finished"
            curve = [9.0, 9.0] if loss is None else [2 * loss, loss]
            path = self.make_run(curve, status=status, lr=lr, seed=seed, schedule=schedule, name="s")
            experiment = lrbench.load_config(path / "config.yaml")
            if loss is None:
                told = json.loads((path / "result.json").read_text())
                (path / "result.json").write_text(json.dumps({**told, "steps": 2}))
            identity = RunFolder(path).identity()
            self.cells.append(Planned(path.name, identity, group(experiment), schedule, lr, seed, confirms))

    @property
    def summary(self) -> Summary:
        folder = SweepFolder.of(self.root, "s")
        folder.write(Plan("s", tuple(self.cells)))
        return summarize(folder, folder.plan())

    @property
    def words(self) -> str:
        return "\n".join(summary_words(self.summary))


@pytest.fixture
def grid(make_run: MakeRun, tmp_path: Path) -> Grid:
    made = Grid(make_run, tmp_path / "runs")
    for lr, cosine, constant in ((0.01, 2.0, 3.0), (0.1, 1.0, 1.1), (1.0, 4.0, 5.0)):
        made.add("cosine", lr, cosine, 1.02 * cosine)
        made.add("constant", lr, constant, 1.02 * constant)
    return made


def test_families_are_compared_by_fresh_seeds_alone(grid: Grid) -> None:
    """The seeds that chose prefer cosine; the fresh ones, constant: by 20 % in each pair."""
    grid.add("cosine", 0.1, 1.2, 1.3, 1.25, first=2, confirms=True)
    grid.add("constant", 0.1, 1.0, 1.08, 1.05, first=2, confirms=True)
    found = grid.summary.confirmation
    assert found is not None and found.waiting == 0 and not found.others and not found.unequal
    (comparison,) = found.comparisons
    assert [row.group.label for row in comparison.rows] == ["constant", "cosine"]
    assert comparison.rows[1].answer is not None and comparison.rows[1].answer.word == "worse"
    assert [sorted(row.values) for row in comparison.rows] == [[2, 3, 4]] * 2
    text = grid.words
    head = "On three fresh seeds each, constant has the lowest validation loss, 1.043 (95% interval "
    assert text.startswith(head) and ", at its best learning rate, 0.1." in text
    assert "cosine is worse, by 20% (" in text
    shown = gather([grid.root])
    told = summary(shown)
    assert told[0].startswith("On three fresh seeds each, ") and " constant has the lowest" in told[0]
    assert " cosine is worse, by 20% (" in f" {told[1]}"
    assert shown.confirmed is not None and [one.label for one in shown.confirmed.finalists] == [
        "cosine",
        "constant",
    ]


def test_a_loser_whose_learning_rate_was_chosen_by_chance_is_undecided(make_run: MakeRun, tmp_path: Path) -> None:
    """0.1 was chosen by 1.0 and 1.1 against 1.05 and 1.1 at 0.01: it may be 24 % worse, and the family is 10 % worse.

    By hand: the difference of the mean logs is 0.0244, its error 0.0530 and t for 2 degrees of freedom 4.30.
    """
    made = Grid(make_run, tmp_path / "runs")
    for lr, losses in ((0.01, (1.05, 1.1)), (0.1, (1.0, 1.1)), (1.0, (4.0, 4.1))):
        made.add("cosine", lr, *losses)
        made.add("constant", lr, *losses)
    made.add("cosine", 0.1, 1.1, 1.21, 1.32, first=2, confirms=True)
    made.add("constant", 0.1, 1.0, 1.1, 1.21, first=2, confirms=True)
    found = made.summary.confirmation
    assert found is not None
    loser = next(one for one in found.finalists if one.label == "cosine")
    known = found.row(loser)
    assert known is not None and known[1].answer is not None and known[1].answer.word == "worse"
    assert found.rivals(loser) == (0.01,) and found.word(loser) == "undecided"
    text = made.words
    assert text.startswith("On three fresh seeds each, constant has the lowest validation loss, 1.1 (")
    assert "cosine is worse at the learning rate compared, but may be as good at another one." in text
    said = (
        "the seeds that chose 0.1 for it do not rule out that 0.01 is better by as much; more seeds in the grid would"
    )
    assert f"cosine may be as good at another learning rate: {said} decide." in text
    made.add("cosine", 0.01, 1.05, 1.1, 1.07, 1.06, 1.08, 1.04, first=5)
    made.add("cosine", 0.1, 1.0, 1.02, 0.99, 1.0, 1.01, 1.02, first=5)
    found = made.summary.confirmation
    assert found is not None
    loser = next(one for one in found.finalists if one.label == "cosine")
    assert found.word(loser) == "worse", "8 seeds chose"


def test_a_loser_at_the_edge_is_undecided(make_run: MakeRun, tmp_path: Path) -> None:
    made = Grid(make_run, tmp_path / "runs")
    for lr, one, two in ((0.01, 4.0, 4.0), (0.1, 3.0, 1.0), (1.0, 2.0, 4.0)):
        made.add("cosine", lr, one, 1.01 * one)
        made.add("constant", lr, two, 1.01 * two)
    made.add("cosine", 1.0, 2.0, 2.1, 2.05, first=2, confirms=True)
    made.add("constant", 0.1, 1.0, 1.06, 1.03, first=2, confirms=True)
    text = made.words
    assert text.startswith("On three fresh seeds each, constant has the lowest validation loss, ")
    assert "cosine is worse at the learning rate compared, but may be as good at another one." in text
    assert "cosine may be as good at another learning rate: 1 is the highest tried, so try higher ones." in text
    found = made.summary.confirmation
    assert found is not None and [found.word(one) for one in found.finalists] == ["undecided", None]


def test_of_single_seeds_the_neighbours_may_be_better(make_run: MakeRun, tmp_path: Path) -> None:
    made = Grid(make_run, tmp_path / "runs")
    for lr, loss in ((0.001, 9.0), (0.01, 4.0), (0.1, 1.0), (1.0, 2.0)):
        made.add("cosine", lr, loss)
        made.add("constant", lr, loss)
    made.add("cosine", 0.1, 2.0, 2.1, 2.05, first=2, confirms=True)
    made.add("constant", 0.1, 1.0, 1.06, 1.03, first=2, confirms=True)
    found = made.summary.confirmation
    assert found is not None and found.rivals(found.finalists[0]) == (0.01, 1.0)


def test_the_tuning_of_each_is_counted(grid: Grid) -> None:
    """6 runs of 2 epochs of 2 updates; a diverged run counts with its whole budget, though it did 2 of 4 updates."""
    grid.add("constant", 10.0, None, None)
    grid.add("cosine", 0.1, 1.2, 1.3, first=2, confirms=True)
    grid.add("constant", 0.1, 1.0, 1.1, first=2, confirms=True)
    found = grid.summary.confirmation
    assert found is not None and found.unequal
    assert {one.label: one.tuning for one in found.finalists} == {
        "cosine": Tuning(3, 6, 24), "constant": Tuning(4, 8, 32)
    }  # fmt: skip
    text = grid.words
    told = "cosine: 3 learning rates, 6 runs, 24 updates; constant: 4 learning rates, 8 runs, 32 updates."
    assert f"Unequal tuning: {told} More tuning alone may make the difference." in text
    assert "Fewer than 3 fresh seeds, which hardly show the spread: constant, cosine." in text


def test_equal_rates_but_more_seeds_are_unequal_tuning(make_run: MakeRun, tmp_path: Path) -> None:
    made = Grid(make_run, tmp_path / "runs")
    for lr in (0.01, 0.1, 1.0):
        made.add("cosine", lr, 1.0, 1.1, 1.2)
        made.add("constant", lr, 1.0)
    for name in ("cosine", "constant"):
        made.add(name, 0.01, 1.0, 1.1, first=3, confirms=True)
    assert (
        "Unequal tuning: cosine: 3 learning rates, 9 runs, 36 updates; constant: 3 learning rates, 3 runs" in made.words
    )


def test_a_best_one_at_the_edge_and_a_family_without_one_are_named(grid: Grid) -> None:
    grid.add("linear", 0.1, None, None)
    grid.add("linear", 1.0, None, None)
    grid.add("inverse_sqrt", 0.01, 1.5, 1.6)
    grid.add("inverse_sqrt", 0.1, 1.2, 1.3)
    grid.add("one_cycle", 0.1, 1.2, 1.3)
    for name in ("cosine", "constant", "inverse_sqrt"):
        grid.add(name, 0.1, 1.2, 1.3, 1.4, first=2, confirms=True)
    text = grid.words
    edge = "At the edge of the learning rates tried, so a better one may lie beyond: inverse_sqrt (highest, 0.1)."
    assert edge in text
    assert "Not compared for lack of a best learning rate: linear." in text
    assert "Not compared for lack of fresh seeds: one_cycle." in text
    assert "are as good, within 5%." in text


def test_fresh_seeds_of_an_earlier_best_are_left_out_and_told(grid: Grid) -> None:
    grid.add("cosine", 0.1, 1.2, 1.3, first=2, confirms=True)
    grid.add("constant", 0.1, 1.2, 1.3, first=2, confirms=True)
    grid.add("constant", 0.03, 0.5, 0.51)
    found = grid.summary.confirmation
    assert found is not None and not found.comparisons and len(found.others) == 1
    text = grid.words
    assert "2 fresh seeds of constant at 0.1 are left out: another learning rate is now the best" in text
    assert "Not compared for lack of fresh seeds: constant." in text
    assert "With 2 fresh seeds, cosine at 0.1 has a validation loss of 1.249 (1.2 … 1.3), +24% compared with" in text
    told = " ".join(summary(gather([grid.root])))
    assert "2 fresh seeds of constant, lr 0.1 are left out" in told


def test_nothing_is_compared_before_all_fresh_seeds_are_over(grid: Grid) -> None:
    grid.add("cosine", 0.1, 1.2, 1.3, 1.25, first=2, confirms=True)
    grid.add("constant", 0.1, 1.0, 1.08, 1.05, first=2, confirms=True)
    (grid.root / grid.cells[-1].run / "result.json").unlink()
    found = grid.summary.confirmation
    assert found is not None and found.waiting == 1 and not found.comparisons
    assert "1 of the fresh seeds has no result yet, so they are not compared." in grid.words
    grid.cells[-1] = Planned(**{**vars(grid.cells[-1]), "run": "s-seed4-never-begun"})
    found = grid.summary.confirmation
    assert found is not None and found.waiting == 2 and not found.comparisons


def test_fresh_seeds_that_are_lost_count(grid: Grid) -> None:
    grid.add("cosine", 0.1, None, None, None, None, None, first=2, confirms=True)
    grid.add("constant", 0.1, 1.0, 1.08, 1.05, 1.0, 1.1, first=2, confirms=True)
    text = grid.words
    assert "cosine (5 of 5 seeds diverged) is worse." in text
    assert "The fresh seeds meant to confirm cosine at 0.1 have no finite validation loss." in text


def test_the_report_of_fresh_seeds_alone(grid: Grid) -> None:
    grid.add("cosine", 0.1, 1.2, 1.3, 1.25, first=2, confirms=True)
    grid.add("constant", 0.1, 1.0, 1.08, 1.05, first=2, confirms=True)
    assert grid.summary.confirmation is not None
    shown = gather([grid.root], filters=["*(confirmation)*"])
    assert shown.comparison is not None and len(shown.comparison.rows) == 2
    assert all(group.first.confirms for group in shown.groups)


def test_no_fresh_seeds_no_comparison(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([1.0], lr=0.1)
    groups = grouped(read_runs([tmp_path / "runs"]))
    measure = measures_of(groups[0].records)["val_loss"]
    assert confirmation(families(groups, measure, 1), [], measure) is None
    assert gather([tmp_path / "runs"]).confirmed is None


def test_the_command(cli: Cli, write_config: Write) -> None:
    words = ["sweep", write_config(epochs=1), "--lr", "0.01,0.1", "--schedule", "constant,cosine", "--jobs", "1"]
    code, out, _ = cli(*words, "--confirm", "2", "--dry-run")
    assert (
        code == 0 and "Then 2 fresh seeds of the best learning rate of each of the 2 lines: up to 4 more runs." in out
    )
    code, out, _ = cli("sweep", "--confirm", *words[1:], "--dry-run")
    assert code == 0 and "Then 5 fresh seeds of the best" in out
    code, out, _ = cli(*words, "--confirm", "2")
    folder = SweepFolder(Path("runs/sweeps/tiny"))

    def fresh() -> list[tuple[str, int]]:
        return [(cell.series, cell.seed) for cell in folder.plan().cells if cell.confirms]

    both = [("constant", 1), ("cosine", 1), ("constant", 2), ("cosine", 2)]
    assert code == 0 and fresh() == both and "On two fresh seeds each, " in out and "rates tried" in out
    code, out, _ = cli(*words, "--confirm", "3", "--json")
    assert fresh() == [*both, ("constant", 3), ("cosine", 3)]
    told = next(line for line in map(json.loads, out.splitlines()) if line["event"] == "summary")
    assert sum(not run["already_finished"] for run in told["runs"]) == 2, "only the third seeds"
    lines = told["confirmation"]["lines"]
    assert [(one["series"], one["fresh_seeds"], one["rates_tried"], one["runs"]) for one in lines] == [
        ("constant", 3, 2, 2), ("cosine", 3, 2, 2)
    ]  # fmt: skip
    assert [line["against"] for line in lines] == [lines[0]["against"]] * 2
    rows = list(csv.DictReader((folder.path / "confirmation.csv").read_text().splitlines()))
    assert [row["series"] for row in rows] == ["constant", "cosine"]
    assert cli("report")[0] == 0
    page, text = Path("runs/report/report.html").read_text(), Path("runs/report/report.md").read_text()
    assert '<h2 id="fresh-seeds">' in page and "## Fresh seeds\n\n| family | best learning rate | " in text


@pytest.mark.parametrize(
    ("value", "code", "problem"),
    [
        ("-1", 2, "must be a whole number from 0 to 1,000 (got -1)"),
        ("1001", 2, "must be a whole number from 0 to 1,000 (got 1001)"),
        ("all", 2, "--confirm must be a whole number"),
        ("2.5", 2, "--confirm must be a whole number"),
    ],
)
def test_wrong_numbers(cli: Cli, write_config: Write, value: str, code: int, problem: str) -> None:
    found, _, err = cli("sweep", write_config(), "--lr", "0.1", "--confirm", value)
    assert found == code and problem in " ".join(err.replace("│", "").split())


def test_a_failed_grid_has_no_fresh_seeds(cli: Cli, write_config: Write, tmp_path: Path) -> None:
    code, out, _ = cli("sweep", write_config(loss=f"{__name__}:broken"), "--lr", "0.1", "--confirm", "2", "--jobs", "1")
    assert code == 1 and "no fresh seeds yet: 1 of 1 run has no result" in " ".join(out.split())
    assert not [cell for cell in SweepFolder(Path("runs/sweeps/tiny")).plan().cells if cell.confirms]


def test_without_a_best_learning_rate(cli: Cli, write_config: Write) -> None:
    code, out, _ = cli("sweep", write_config(), "--lr", "1e30", "--confirm", "2", "--jobs", "1")
    assert code == 0 and "no fresh seeds: there is no best learning rate yet" in " ".join(out.split())


def broken(outputs: Any, targets: Any) -> Any:
    """A loss that fails."""
    if len(targets) > 4:  # not in the check before training
        raise RuntimeError("my own mistake")
    import torch

    return torch.nn.functional.cross_entropy(outputs, targets)
