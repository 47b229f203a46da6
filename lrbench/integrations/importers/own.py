"""What lrbench itself has made: tables of reports, sweeps, range tests and exports. They are results, and no logs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from lrbench.config import opened
from lrbench.errors import counted
from lrbench.integrations.importers import Claim, files_in
from lrbench.runs import relative

_TABLES = {
    "a report": {"run", "seeds", "status", "verdict"},
    "a report's runs": {"name", "folder", "source", "state", "problem"},
    "a sweep": {"series", "seeds", "finished", "diverged", "missing"},
    "a sweep's confirmation": {"series", "chosen_by", "fresh_seeds"},
    "a range test": {"seed", "iteration", "lr", "loss", "smoothed"},
    "check-width": {"check", "key", "width", "layer", "size", "change"},
    "an export": {"run", "group", "seed", "identity", "status", "lrbench_version"},
}
"""The columns by which each table is known."""
_ROWS = (["run", "group", "seed"], {"step", "lr"})
"""How the tables of evaluations and steps of an export begin, and two of their other columns."""
_MOST = 1_000_000  # bytes of a header


def claimed_lrbench(path: Path, named: bool) -> Claim | None:
    """Tables of lrbench's own in a folder, or a file that is one. See `Tool`."""
    files = files_in(path) if path.is_dir() else [path]
    found = tuple(file for file in files if file.suffix.lower() == ".csv" and table_of(file))
    return Claim(found, files=False) if found else None


def table_of(path: Path) -> str:
    """Return what a CSV file is a table of, if lrbench has made it: `a report`; empty for others."""
    try:
        with opened(path) as file:
            line = file.readline(_MOST).decode("utf-8-sig", errors="replace")
        header = next(csv.reader([line]), [])
    except (OSError, csv.Error):
        return ""
    if header[:3] == _ROWS[0] and set(header) >= _ROWS[1]:
        return "an export"
    return next((what for what, columns in _TABLES.items() if set(header) >= columns), "")


def own_words(places: Sequence[Path]) -> str:
    """Return `8 run folders and 2 tables, such as runs/report/report.csv`."""
    runs = [place for place in places if not table_of(place)]
    tables = [place for place in places if place not in runs]
    told = [counted(len(found), noun) for found, noun in ((runs, "run folder"), (tables, "table")) if found]
    such = tables or runs
    return f"{' and '.join(told)}, such as {relative(such[0].absolute())}"
