"""What a report of many runs takes at least: imports, matplotlib and plain parsers alone, beside the whole command.

python benchmarks/synthetic_runs.py runs/k1
python benchmarks/report_floor.py runs/k1 [--rounds 3]

All in processor time, in turn. The floor has nothing of lrbench's own work: no check of a file, no statistics, no
layout of a figure, no page. Half of it is the least time on two cores, if its parts could be shared evenly.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

IMPORTS = "import jinja2, numpy, pydantic, rich.console, rich.table, typer, yaml"
DRAWING = "import matplotlib.figure, matplotlib.backends.backend_agg, matplotlib.backends.backend_svg"


def of_process(*words: str) -> float:
    """Return the seconds of processor time that a command takes with its children."""
    before = os.times()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def of_call(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def parse(runs: Path) -> None:
    """Read the files that a report reads of each run, by the fastest parsers that everybody has."""
    for folder in runs.iterdir():
        if (folder / "result.json").exists():
            json.loads((folder / "result.json").read_text())
            json.loads((folder / "env.json").read_text())
            yaml.load((folder / "config.yaml").read_text(), yaml.CSafeLoader)
            with (folder / "epochs.csv").open() as file:
                rows = csv.reader(file)
                next(rows)
                _ = [[float(value) if value else None for value in row] for row in rows]


def drawings(runs: Path) -> Callable[[], None]:
    """Return a function that draws the figures of a report, which are laid out already, in each of their forms."""
    from lrbench.reports import gather
    from lrbench.reports.figures import kinds, overview, sensitivity
    from lrbench.reports.figures.style import drawing, printed
    from lrbench.reports.svg import inline

    shown = gather([runs])
    assert shown.comparison is not None and shown.families
    others = [kinds.draw("seeds", shown), sensitivity.draw(shown.families, shown.comparison.measure)]
    figures = [overview.draw(shown.groups, shown.against), *others]

    def draw() -> None:
        for figure in figures:
            with drawing():
                printed(figure, "png")
                printed(figure, "svg")
        for number, figure in enumerate(others):
            inline(figure, f"figure {number}", "")

    draw()  # the first time, texts are measured, too
    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    draw = drawings(asked.runs)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as out:
        report = [sys.executable, "-m", "lrbench", "report", "--runs", str(asked.runs), "--out", out]
        of_process(*report)  # what is kept of the runs is there from now on
        for _ in range(asked.rounds):
            bare = of_process(sys.executable, "-c", "")
            for name, seconds in (
                ("imports", of_process(sys.executable, "-c", IMPORTS)),
                ("importing matplotlib", of_process(sys.executable, "-c", f"import numpy; {DRAWING}") - bare),
                ("8 drawings by matplotlib", of_call(draw)),
                ("parsing the files of the runs", of_call(lambda: parse(asked.runs))),
                ("lrbench report, again", of_process(*report)),
            ):
                found.setdefault(name, []).append(seconds)
    for name, values in found.items():
        print(f"{name:32} {statistics.median(values):6.2f} s  ({min(values):.2f} … {max(values):.2f})")


if __name__ == "__main__":
    main()
