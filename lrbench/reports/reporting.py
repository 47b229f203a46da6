"""Reports from run folders. Reads nothing else and never imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lrbench.analysis import (
    Group,
    Record,
    SecondProcess,
    Target,
    compare_groups,
    confirmation,
    default_metric,
    families,
    grouped,
    kept,
    labels_of,
    measure_named,
    no_collections,
    read_runs,
    run_rows,
    task_of,
    tasks_of,
    with_families,
)
from lrbench.config import exists
from lrbench.errors import UsageError, choices, option
from lrbench.reports import formats, latex, tables
from lrbench.reports.drawn import Drawn
from lrbench.reports.escape import csv
from lrbench.reports.range_tests import kept_tests, read_tests
from lrbench.reports.shown import Shown
from lrbench.reports.shown import summary as _sentences
from lrbench.reports.winner import NOT_OURS, Winner, complete_winner, winner
from lrbench.runs import RunFolder, Status, check_links, no_runs, write_file, writing
from lrbench.sweeps import set_apart
from lrbench.types import NOTHING, PATH, PATHS, SWITCH, TEXT, TEXTS, Displayed, Paths, arguments, paths_in


@dataclass(frozen=True, kw_only=True)
class Report(Shown, Displayed):
    """A written report: its content (`groups`, `records`, `tests`, `comparison`, `target`) and its files.

    Attributes:
        page: the HTML page.
        files: all files, the page first.
        incomplete: why `winner.py` is no complete script although `standalone` asked for one; empty otherwise.
    """

    page: Path
    files: tuple[Path, ...]
    incomplete: str = ""

    @property
    def shown(self) -> Shown:
        """The content."""
        return self

    @property
    def damaged(self) -> tuple[Record, ...]:
        """Runs whose folders are damaged, and copies, which are left out."""
        return tuple(record for record in self.records if record.status in (Status.DAMAGED, Status.COPY))


def summary(shown: Shown) -> list[str]:
    """Summarise the comparison in at most three sentences, followed by warnings."""
    return [*_sentences(shown), *shown.warnings]


@arguments(
    runs=PATHS,
    out=PATH | NOTHING,
    metric=TEXT | NOTHING,
    baseline=TEXT | NOTHING,
    filters=TEXTS,
    target=TEXT | NOTHING,
    pool_code=SWITCH,
    columns=TEXTS,
    standalone=SWITCH,
)
@no_collections()
def report(
    runs: Paths = "runs",
    out: str | Path | None = None,
    *,
    metric: str | None = None,
    baseline: str | None = None,
    filters: Sequence[str] = (),
    target: str | None = None,
    pool_code: bool = False,
    columns: Sequence[str] = (),
    standalone: bool = False,
) -> Report:
    """Compare runs in a report: page, figure and table.

    Args:
        runs: a run folder or a folder that contains some, or a list of them; range tests are included.
        out: output folder; `report` inside the first folder of runs by default.
        metric: metric to compare by, a column of `load_runs` such as `val_loss` or `best_val_accuracy`; by default
            `val_loss`, or what runs of other programs have if none has it.
        baseline: label or name of the group to compare with; the best one by default.
        filters: patterns of names, or `key=value` of configs; runs must match all.
        target: `val_accuracy=0.99` adds the epochs, steps and seconds of training until runs reach it.
        pool_code: give seeds that were trained with different versions of imported code one row.
        columns: the table's columns on the page and in `report.md`, by their names in `report.csv` or their headings,
            in this order; `["all"]` for every one. By default those that tell something.
        standalone: make `winner.py` a complete script in plain PyTorch, if the config of the best run allows one.

    Returns:
        What was written: `report.html`, `report.png`, `report.svg`, `report.md`, `report.csv` (a row per group) and
        `runs.csv` (a row per run).

    Raises:
        UsageError: a path does not exist or has no runs, or an argument matches nothing.
        FolderError: `out` can't be written, or there is none and `report` is a link that leads elsewhere.
    """
    paths = paths_in(runs)
    asked: Any = {"metric": metric, "baseline": baseline, "filters": filters, "target": target, "columns": columns}
    shown = gather(paths, **asked, pool_code=pool_code)
    folder = Path(out) if out is not None else _default_out(paths[0])
    if out is None:
        check_links(folder, folder.parent)
    if exists(folder) and not folder.is_dir():
        raise UsageError(f"{option('--out')} {folder} is a file; name a folder")
    best = complete_winner(shown) if standalone else winner(shown)
    files = _write(folder, shown, best)
    content = {one.name: getattr(shown, one.name) for one in fields(Shown)}
    without = NO_WINNER if shown.comparison is None else NOT_OURS
    incomplete = best.incomplete if best else without * standalone
    made = Report(**content, page=files[0], files=tuple(files), incomplete=incomplete)
    vars(made).update(vars(shown))  # with what was worked out of it, which a table in the terminal shows too
    return made


def gather(
    paths: Sequence[Path],
    *,
    metric: str | None = None,
    baseline: str | None = None,
    filters: Sequence[str] = (),
    target: str | None = None,
    pool_code: bool = False,
    columns: Sequence[str] = (),
    read: Callable[[Iterable[Path]], list[Record]] = read_runs,
) -> Shown:
    """Read and compare runs, by `read`, without writing a report. The other arguments are those of `report`."""
    tests = read_tests(paths)
    its_own = {test.folder.path for test in tests}  # their seeds are not runs to compare
    found = read(path for path in paths if path not in its_own)
    if not found and not tests:
        raise no_runs(paths)
    found = set_apart(found)
    tests = kept_tests(tests, filters)
    if found or not tests:  # a filter may mean range tests alone, where there are no runs
        found = kept(found, filters, labels_of(grouped(found, metric, pool_code)) if filters else {})
    if not found:
        told = {option("--metric"): metric, option("--baseline"): baseline, option("--target"): target}
        _check_no_runs(paths, {**told, option("--columns"): columns})
    metric = metric or default_metric(found)
    aim = None if target is None else Target.parse(target, found)
    measure = measure_named(found, metric)
    groups = with_families(grouped(found, metric, pool_code), measure)
    fresh = [group for group in groups if group.first.confirms]
    compared = [group for group in groups if not group.first.confirms]
    confirmed = confirmation(families(compared, measure, 1), fresh, measure)
    compared = compared or fresh  # --filter leaves nothing else
    ended = [group for group in compared if group.spread(metric)]
    alike = len(tasks_of(ended)) <= 1
    if baseline is not None and not alike:
        select = f"select one with {option('--filter')} dataset=…"
        raise UsageError(f"{option('--baseline')} {baseline}: the runs have different tasks; {select}")
    rivals = _rivals(compared, ended) if ended else compared
    comparison = compare_groups(rivals, metric, baseline) if alike else None
    shown = Shown(groups, found, tests, comparison, aim, pool_code, metric, confirmed, tuple(columns))
    if columns:
        tables.chosen(
            tables.every(groups, shown.columns), groups, columns
        )  # a wrong one is told before files are written
    return shown


def _check_no_runs(paths: Sequence[Path], asked: Mapping[str, Any]) -> None:
    """Raise UsageError for an argument that says something of runs, where there are only range tests."""
    for name, value in asked.items():
        if value:
            shown = value if isinstance(value, str) else ",".join(value)
            raise UsageError(f"{name} {shown}: there are only range tests in {', '.join(map(str, paths))}")


def _rivals(groups: Sequence[Group], ended: Sequence[Group]) -> list[Group]:
    """Return the groups that may have the task of those that have ended."""
    of_task = {(group.foreign, task_of(group)): group for group in groups}
    known = {task: len(tasks_of([*ended, group])) <= 1 for task, group in of_task.items()}
    return [group for group in groups if known[group.foreign, task_of(group)]]


NO_WINNER = "winner.py is not written: these runs have no best one, since none has ended or they can't be compared"
FORMATS = ("csv", "json", "markdown", "latex")


def formatted_table(shown: Shown, form: str) -> str:
    """Write the table as csv, json, markdown or latex. Raises UsageError for another format."""
    if form not in FORMATS:
        raise UsageError(f"{option('--format')} {form}: no such format; {choices(form, FORMATS)}")
    if form == "latex":
        return latex.table(shown)
    if form == "markdown":
        return formats.markdown(shown.table)
    return (formats.csv if form == "csv" else formats.json)(_all_columns(shown), shown.groups)


def _all_columns(shown: Shown) -> list[tables.Column[Group]]:
    """Return the columns of CSV and JSON: every one, or those that are asked for."""
    found = tables.every(shown.groups, shown.columns)
    return tables.chosen(found, shown.groups, shown.asked, numbers=True) if shown.asked else found


def _default_out(path: Path) -> Path:
    """Return `runs/report`; for a run folder, a folder next to it; for a range test, one inside it."""
    root = path.parent if RunFolder(path).has_config else path
    return root / "report"


_OPTIONAL = (
    *(f"{name}.{kind}" for name in ("seeds", "rates", "target", "arrivals") for kind in ("png", "svg")),
    "winner.py", "winner.yaml",
)  # fmt: skip


def _write(folder: Path, shown: Shown, best: Winner | None) -> list[Path]:
    from lrbench.reports.markdown import markdown
    from lrbench.reports.page import charted
    from lrbench.reports.page import render as page

    main = SecondProcess(lambda: _main_figure(folder, shown))
    others = SecondProcess(lambda: _other_figures(folder, shown))
    charts = SecondProcess(lambda: charted(shown.groups))
    runs = SecondProcess(lambda: csv(run_rows(shown.records)))
    tables_and_code = {
        "report.csv": formats.csv(tables.every(shown.groups, shown.columns), shown.groups),
        **(best.files if best else {}),
    }
    texts = {
        "report.html": page(shown, others.result, best, charts.result),
        "report.md": markdown(shown, others.result(), best),
        **tables_and_code,
        "runs.csv": runs.result(),
    }
    pictures = [*main.result(), *(path for one in others.result() for path in one.files)]
    page_file, *written = (write_file(folder / name, text) for name, text in texts.items())
    files = [page_file, *pictures, *written]
    with writing(folder):
        for name in {*_OPTIONAL} - {path.name for path in files}:  # of an earlier report
            (folder / name).unlink(missing_ok=True)
    return files


def _main_figure(folder: Path, shown: Shown) -> list[Path]:
    from lrbench.reports.figures import render  # matplotlib takes half a second to import

    return render.draw_main(shown, folder) if shown.groups else []


def _other_figures(folder: Path, shown: Shown) -> list[Drawn]:
    from lrbench.reports.figures import render

    return render.draw(shown, folder)
