"""The scoreboard's history: `history.csv` has a row for each recorded figure, README.md shows the latest ones."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HISTORY, README = HERE / "history.csv", HERE / "README.md"
COLUMNS = ("date", "commit", "machine", "figure", "peer", "unit", "clock", "lrbench", "other", "ratio", "low", "high",
           "rounds")  # fmt: skip
BEGIN, END = "<!-- latest figures: written by scoreboard.py --record -->", "<!-- /latest figures -->"


def commit() -> str:
    """The short hash of the checkout's commit, with `+` if tracked files differ from it; empty outside of git."""
    try:
        found = [
            subprocess.run(["git", "-C", str(HERE), *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (("rev-parse", "--short=10", "HEAD"), ("status", "--porcelain", "-uno"))
        ]
    except (OSError, subprocess.SubprocessError):
        return ""
    return found[0] + ("+" if found[1] else "")


def append(rows: Iterable[Mapping[str, Any]], path: Path = HISTORY) -> None:
    """Add rows with at least the columns of the history; what is None stays empty."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows({key: _short(value) for key, value in row.items()} for row in rows)


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def read(path: Path = HISTORY) -> list[dict[str, str]]:
    """All rows, the oldest first."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def latest(rows: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The last row of each figure and peer, in the order of the last call that had them."""
    last: dict[tuple[str, str], Mapping[str, str]] = {}
    for row in rows:
        key = (row["figure"], row["peer"])
        last.pop(key, None)
        last[key] = row
    return list(last.values())


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """A table of rows of the history, with the machines and commits below."""
    lines = [
        "| figure | time | lrbench | peer | its value | ratio | spread | rounds |",
        "| --- | --- | ---: | --- | ---: | ---: | --- | ---: |",
    ]
    for row in rows:
        ours, other = (f"{grouped(float(row[key]))} {row['unit']}" if row[key] else "" for key in ("lrbench", "other"))
        ratio, low, high = (times(float(row[key])) if row[key] else "" for key in ("ratio", "low", "high"))
        against = (f"{ratio} ×", f"{low} … {high}") if ratio else ("", "")
        cells = (f"`{row['figure']}`", row["clock"], ours, row["peer"] or "no peer", other, *against, row["rounds"])
        lines.append(f"| {' | '.join(cells)} |")
    where = dict.fromkeys(f"{row['date']}, {row['machine']}, commit {row['commit']}" for row in rows)
    return "\n".join([*lines, "", *(f"{line}." for line in where)])


def grouped(value: float) -> str:
    """A number of any size: 25,734, 0.233."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def times(ratio: float) -> str:
    """A ratio: 0.77, 16.9, 1,287."""
    return f"{ratio:.2f}" if ratio < 10 else grouped(ratio)


def renew(readme: Path = README, path: Path = HISTORY) -> None:
    """Write the latest figures into the page, between its two marks."""
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    assert found, f"{readme} has no marks for the latest figures"
    readme.write_text(f"{before}{BEGIN}\n\n{markdown(latest(read(path)))}\n\n{END}{after}")
