"""Reports from run folders: it reads them and nothing else, and never imports torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrbench.analysis import (
    DEFAULT_METRIC,
    Comparison,
    Group,
    Record,
    Target,
    compare,
    grouped,
    kept,
    measure_named,
    read_runs,
    run_table,
    task_of,
)
from lrbench.errors import FolderError, UsageError
from lrbench.reports import tables
from lrbench.reports.range_tests import Tested, kept_tests, read_tests
from lrbench.reports.shown import Shown
from lrbench.reports.shown import summary as _sentences
from lrbench.runs import RunFolder, Status


@dataclass(frozen=True)
class Report:
    """What was written, and what it is about.

    Attributes:
        page: the HTML page.
        files: all files, the page first.
        shown: what they show.
    """

    page: Path
    files: tuple[Path, ...]
    shown: Shown

    @property
    def groups(self) -> Sequence[Group]:
        """The rows of the table, best first."""
        return self.shown.groups

    @property
    def records(self) -> Sequence[Record]:
        """Every run found, damaged ones too."""
        return self.shown.records

    @property
    def tests(self) -> Sequence[Tested]:
        """Every range test found."""
        return self.shown.tests

    @property
    def comparison(self) -> Comparison | None:
        """The groups against the best of them or the baseline; None where they can't be compared."""
        return self.shown.comparison

    @property
    def damaged(self) -> tuple[Record, ...]:
        """Runs whose folders could not be read in whole, and copies, which are left out."""
        return tuple(record for record in self.records if record.status in (Status.DAMAGED, Status.COPY))


def summary(shown: Shown) -> list[str]:
    """What the comparison shows, in at most three sentences, and what must not be overlooked."""
    return [*_sentences(shown), *shown.warnings]


def report(
    runs: Iterable[str | Path] = ("runs",),
    out: str | Path | None = None,
    *,
    metric: str = DEFAULT_METRIC,
    baseline: str | None = None,
    filters: Sequence[str] = (),
    target: str | None = None,
) -> Report:
    """Set runs side by side: one figure, one table, one page.

    Args:
        runs: run folders, or folders that hold them; range tests are shown beside the runs.
        out: where to write; `report` inside the first folder of runs by default.
        metric: what groups are compared by: a column of `load_runs` such as `val_loss` or `best_val_accuracy`.
        baseline: the group that the others are compared with, by its label or name; the best one by default.
        filters: runs to keep: patterns of names, or `key=value` of their configs; all must fit.
        target: `val_accuracy=0.99`: how many epochs and seconds of training it took to get there.

    Returns:
        What was written: `report.html`, `report.png`, `report.svg`, `report.md`, `report.csv` (a row a group) and
        `runs.csv` (a row a run).

    Raises:
        UsageError: a path is not there, there is no run in it, or an argument fits nothing.
        FolderError: `out` can't be written.
    """
    paths = [Path(p) for p in runs]
    shown = gather(paths, metric=metric, baseline=baseline, filters=filters, target=target)
    folder = Path(out) if out is not None else _default_out(paths[0])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = _write(folder, shown)
    except OSError as error:
        raise FolderError(f"cannot write to {folder}: {error.strerror}") from error
    return Report(files[0], tuple(files), shown)


def gather(
    paths: Sequence[Path],
    *,
    metric: str = DEFAULT_METRIC,
    baseline: str | None = None,
    filters: Sequence[str] = (),
    target: str | None = None,
) -> Shown:
    """Read runs and compare them; as `report`, which writes what is found."""
    tests = read_tests(paths)
    its_own = {test.folder.path for test in tests}  # whose seeds are no runs to be compared
    found = read_runs(path for path in paths if path not in its_own)
    if not found and not tests:
        where = ", ".join(str(p) for p in paths)
        raise UsageError(f"no runs in {where}; `lrbench run CONFIG` makes some")
    found, tests = kept(found, filters), kept_tests(tests, filters)
    aim = None if target is None else Target.parse(target, found)
    measure_named(found, metric)
    groups = grouped(found, metric)
    ended = [group for group in groups if group.spread(metric)]
    alike = len({task_of(group) for group in ended}) <= 1
    if baseline is not None and not alike:
        raise UsageError(f"--baseline {baseline}: the runs are of different tasks; --filter dataset=… keeps one")
    comparison = compare(groups, metric, baseline) if alike else None
    return Shown(groups, found, tests, comparison, aim)


FORMATS: dict[str, Callable[[Shown], str]] = {
    "csv": lambda shown: tables.csv(shown.groups, shown.columns),
    "json": lambda shown: json.dumps(tables.numbers(shown.groups, shown.columns), indent=2, ensure_ascii=False) + "\n",
    "markdown": lambda shown: tables.markdown(shown.groups, shown.columns),
    "latex": lambda shown: tables.latex(shown.groups, shown.columns),
}


def table(shown: Shown, form: str) -> str:
    """The table as text: csv, json, markdown or latex. Raises UsageError for another form."""
    if form not in FORMATS:
        raise UsageError(f"--format {form}: must be one of {', '.join(FORMATS)}")
    return FORMATS[form](shown)


def _default_out(path: Path) -> Path:
    """`runs/report`; for a run folder, beside it; for a range test, inside it."""
    root = path.parent if RunFolder(path).has_config else path
    return root / "report"


_SOMETIMES = (
    *(f"{name}.{suffix}" for name in ("seeds", "rates", "target") for suffix in ("png", "svg")),
    "winner.py",
    "winner.yaml",
)


def _write(folder: Path, shown: Shown) -> list[Path]:
    from lrbench.reports.figures import render  # matplotlib and what it brings: half a second
    from lrbench.reports.markdown import markdown
    from lrbench.reports.page import render as page
    from lrbench.reports.winner import winner

    drawn, best = render.draw(shown), winner(shown)
    if (folder / "report.html").exists():  # an earlier report, of whose files this one may not have all
        for name in _SOMETIMES:
            (folder / name).unlink(missing_ok=True)
    pictures = render.save(drawn, folder)
    if shown.groups:
        pictures = [*render.write(render.main(shown), folder / "report"), *pictures]
    texts = {
        "report.html": page(shown, drawn, best),
        "report.md": markdown(shown, drawn, best),
        "report.csv": tables.csv(shown.groups, shown.columns),
        "runs.csv": run_table(shown.records).to_csv(index=False, lineterminator="\n"),
        **({"winner.py": best.code, "winner.yaml": best.config} if best else {}),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / "report.html", *pictures, *(folder / n for n in list(texts)[1:])]
