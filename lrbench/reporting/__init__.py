"""Reports from run folders: it reads them and nothing else, and never imports torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrbench.errors import FolderError, UsageError
from lrbench.reporting import records as reading
from lrbench.reporting import tables
from lrbench.reporting.groups import Group, grouped
from lrbench.reporting.range_tests import Tested, read_tests
from lrbench.reporting.records import Record, load_runs
from lrbench.runs import RunFolder

__all__ = ["Report", "load_runs", "report", "summary"]


@dataclass(frozen=True)
class Report:
    """What was written, and what it is about.

    Attributes:
        page: the HTML page.
        files: all files, the page first.
        groups: the rows of the table, best first.
        records: every run found, damaged ones too.
        tests: every range test found.
    """

    page: Path
    files: tuple[Path, ...]
    groups: tuple[Group, ...]
    records: tuple[Record, ...]
    tests: tuple[Tested, ...] = ()

    @property
    def damaged(self) -> tuple[Record, ...]:
        """Runs whose folders could not be read in whole, and copies, which are left out."""
        return tuple(record for record in self.records if record.state in ("damaged", "copy"))


def summary(made: Report) -> list[str]:
    """What the comparison shows, in at most three sentences."""
    from lrbench.reporting import page

    return page.summary(made.groups, made.records)


def report(runs: Iterable[str | Path] = ("runs",), out: str | Path | None = None) -> Report:
    """Set runs side by side: one figure, one table, one page.

    Args:
        runs: run folders, or folders that hold them; range tests are shown beside the runs.
        out: where to write; `report` inside the first folder of runs by default.

    Returns:
        What was written: `report.html`, `report.png`, `report.svg`, `report.md`, `report.csv` (a row a group) and
        `runs.csv` (a row a run).

    Raises:
        UsageError: a path is not there, or there is no run in it.
        FolderError: `out` can't be written.
    """
    paths = [Path(p) for p in runs]
    tests = read_tests(paths)
    its_own = {test.folder.path for test in tests}  # whose seeds are no runs to be compared
    found = reading.read(path for path in paths if path not in its_own)
    if not found and not tests:
        where = ", ".join(str(p) for p in paths)
        raise UsageError(f"no runs in {where}; `lrbench run CONFIG` makes some")
    folder = Path(out) if out is not None else _default_out(paths[0])
    groups = grouped(found)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = _write(folder, found, groups, tests)
    except OSError as error:
        raise FolderError(f"cannot write to {folder}: {error.strerror}") from error
    return Report(files[0], tuple(files), tuple(groups), tuple(found), tuple(tests))


def _default_out(path: Path) -> Path:
    """`runs/report`; for a run folder, beside it; for a range test, inside it."""
    root = path.parent if RunFolder(path).has_config else path
    return root / "report"


def _write(folder: Path, found: Sequence[Record], groups: Sequence[Group], tests: Sequence[Tested]) -> list[Path]:
    from lrbench.reporting import figure, page

    pictures = figure.save(groups, folder) if groups else []
    picture = pictures[1].read_text(encoding="utf-8") if pictures else None
    texts = {
        "report.html": page.render(groups, found, tests, picture),
        "report.md": page.markdown(groups, found, tests),
        "report.csv": tables.csv(groups),
        "runs.csv": reading.table(found).to_csv(index=False, lineterminator="\n"),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / "report.html", *pictures, *(folder / n for n in list(texts)[1:])]
