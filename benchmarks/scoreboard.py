"""One table of what lrbench is fast and slow at: each figure beside its peers, measured in the same call.

    python benchmarks/scoreboard.py                    all figures: half an hour, on a machine that does nothing else
    python benchmarks/scoreboard.py --only help,tiny   some of them
    python benchmarks/scoreboard.py --short            what CI runs: a minute; processor time

A ratio above 1 means that lrbench is better, whatever the unit. It is the median of the rounds' ratios, and both sides
of a round run one after the other. Ctrl-C and SIGTERM print what is done. `--record` adds the figures to `history.csv`
and renews the table in README.md. The short form compares with `reference.json`, and fails only if a ratio is more than
a third below its reference in three of three rounds. Exit codes: 1 if something failed or fell, 130 if stopped.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import history
from figures import FIGURES
from measuring import Board, Figure, Row, Setup, holds
from rich import box
from rich.console import Console
from rich.table import Table

from lrbench.runs import place

REFERENCE = Path(__file__).parent / "reference.json"
TRIES = 3
"""Rounds in which a ratio must be too low for the short form to fail."""


def entry(row: Row) -> dict[str, Any]:
    """A row as JSON and the history have it; values are None where nothing was measured."""
    ratios = row.ratios
    return {
        "figure": row.figure.name,
        "about": row.figure.about,
        "peer": row.peer,
        "unit": row.figure.unit,
        "clock": row.figure.clock,
        "lrbench": median(row.ours) if row.ours else None,
        "other": median(row.theirs) if row.theirs else None,
        "ratio": row.ratio,
        "low": min(ratios, default=None),
        "high": max(ratios, default=None),
        "rounds": len(row.ours),
        "problem": row.problem,
    }


def machine() -> dict[str, str]:
    """When, with which commit, and on which processor."""
    cores = os.cpu_count() or 1
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": history.commit(),
        "machine": f"{place()['processor']}, {cores} core{'s' if cores > 1 else ''}",
    }


def table(rows: Sequence[Row], console: Console) -> Table:
    """All rows; what could not be measured says why."""
    made = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for name in ("figure", "time", "lrbench", "peer", "its value", "ratio", "spread", "rounds"):
        made.add_column(name, justify="right" if name in ("lrbench", "its value", "ratio", "rounds") else "left")
    for row in rows:
        made.add_row(row.figure.name, row.figure.clock, *_cells(row), str(len(row.ours) or ""))
    return made


def _cells(row: Row) -> Iterator[str]:
    ratios, unit = row.ratios, row.figure.unit
    yield f"{history.grouped(median(row.ours))} {unit}" if row.ours else ""
    yield row.peer or ("" if row.problem else "no peer")
    yield f"{history.grouped(median(row.theirs))} {unit}" if row.theirs else ""
    yield f"{history.times(row.ratio)} ×" if row.ratio is not None else ""
    measured = f"{history.times(min(ratios))} … {history.times(max(ratios))}" if ratios else ""
    kind = "failed" if row.failed else "not measured"
    yield "; ".join(filter(None, [measured, row.problem and f"{kind}: {row.problem}"]))


def below(board: Board, references: Mapping[str, float]) -> list[str]:
    """Measure a figure until each of its ratios was fine in one round, three rounds at most; tell those that were not.

    A peer that is not installed is left out. One that fails, or has no reference, is told like a ratio that fell.
    """
    fell: list[str] = []
    for _ in range(TRIES):
        board.round()
        fell = [text for row in board.rows if (text := _fallen(row, references))]
        if not fell:
            break
    return fell


def _fallen(row: Row, references: Mapping[str, float]) -> str | None:
    name = f"{row.figure.name} / {row.peer}"
    if row.problem and not row.ours:
        return f"{name}: {row.problem}" if row.failed else None
    if name not in references:
        return f"{name}: {REFERENCE.name} has no reference for it"
    if holds(row.ratios, references[name]):
        return None
    seen = ", ".join(f"{ratio:.2f}" for ratio in row.ratios)
    return f"{name}: {seen} instead of {references[name]:.2f}, which is more than a third less"


def measured(chosen: Sequence[Figure], setup: Setup, rounds: int, boards: list[Board], told: Console) -> list[str]:
    """Fill boards with rounds, or in the short form until they hold; return what fell."""
    references = json.loads(REFERENCE.read_text()) if setup.short else {}
    fell: list[str] = []
    with told.status("") as status:

        def tell(text: str) -> None:
            status.update(text)
            if not told.is_terminal:
                told.print(text, highlight=False, soft_wrap=True)

        for figure in chosen:
            tell(f"{figure.name}: {figure.about}")
            folder = setup.shared / figure.name
            folder.mkdir()
            board = Board(figure, replace(setup, place=folder))
            boards.append(board)
            if setup.short:
                fell += below(board, references)
        for number in range(0 if setup.short else rounds):
            for board in boards:
                tell(f"round {number + 1} of {rounds}: {board.figure.name}")
                board.round()
    return fell


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME,…", help=f"some of {', '.join(FIGURES)}")
    parser.add_argument("--rounds", type=int, default=5, help="not of the short form; 5 by default")
    parser.add_argument("--short", action="store_true", help="the cheap figures, compared with reference.json")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--record", action="store_true", help="add the figures to history.csv and to README.md")
    parser.add_argument("--keras", help="a Python with Keras and TensorFlow")
    asked = parser.parse_args(words)
    if asked.rounds < 1:
        parser.error(f"--rounds: {asked.rounds} is too few; 1 is the least")
    if asked.short and asked.record:
        parser.error("--record: the short form is too coarse for the history; leave --short out")
    names = [name for name, one in FIGURES.items() if one.short or not asked.short]
    names = names if asked.only is None else asked.only.split(",")
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        parser.error(f"--only: there is no figure {unknown[0]!r}; these are: {', '.join(FIGURES)}")
    asked.figures = [FIGURES[name] for name in dict.fromkeys(names)]
    if asked.short and not all(figure.short for figure in asked.figures):
        parser.error(f"--only: the short form has {', '.join(n for n, f in FIGURES.items() if f.short)}")
    return asked


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    asked = arguments(words)
    about, boards, fell, interrupted = machine(), list[Board](), list[str](), False
    told = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="scoreboard-") as folder:
        setup = Setup(Path(folder), Path(folder), short=asked.short, keras=asked.keras)
        try:
            fell = measured(asked.figures, setup, asked.rounds, boards, told)
        except KeyboardInterrupt:
            interrupted = True
    rows = [row for board in boards for row in board.rows]
    entries = [entry(row) for row in rows]
    if asked.json:
        print(json.dumps({**about, "figures": entries, "below": fell}, indent=1))
    else:
        console = Console() if sys.stdout.isatty() else Console(width=200)
        console.print(", ".join(about.values()), table(rows, console), sep="\n", highlight=False)
    for text in fell:
        told.print(f"failed: {text}", style="red", highlight=False, soft_wrap=True)
    if interrupted:
        told.print("Interrupted: these are the rounds that were done.")
        return 130
    if asked.record:
        history.append({**about, **one} for one in entries if one["rounds"])
        history.renew()
    return 1 if fell or any(row.failed for row in rows) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # prints what is done too
    sys.exit(main())
