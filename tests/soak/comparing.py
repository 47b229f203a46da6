"""What runs have written, compared with untouched ones: all bytes, timings aside."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from soak.bench import Counts

TIMES = {"seconds", "examples_per_second", "images_per_second"}
FILES = ("steps.csv", "epochs.csv", "result.json", "best.pt", "env.json")
KEPT = ("format", "identity", "config", "metrics", "sizes", "threads", "device", "user_code")
"""Of the environment, what is the same for every attempt."""
TOLERANCE = 2e-4
"""Of losses that were computed together with others, and then alone: they differ by rounding."""


def untimed(text: str) -> list[list[str]]:
    """Return the rows of a CSV file without its columns of times."""
    header, *rows = csv.reader(io.StringIO(text))
    kept = [place for place, name in enumerate(header) if name not in TIMES]
    return [[row[place] for place in kept if place < len(row)] for row in (header, *rows)]


def weights(path: Path) -> dict[str, Any]:
    import torch

    return {name: value.tolist() for name, value in torch.load(path, weights_only=True).items()}


READERS: dict[str, Callable[[Path], Any]] = {
    "steps.csv": Path.read_bytes,
    "epochs.csv": lambda path: untimed(path.read_text()),
    "result.json": lambda path: {**json.loads(path.read_text()), "seconds": 0},
    "best.pt": weights,
    "env.json": lambda path: {key: value for key, value in json.loads(path.read_text()).items() if key in KEPT},
}


def written(run: Path, file: str) -> Any:
    """Return what a run wrote into a file, timings aside; why not, where it can't be read."""
    try:
        return READERS[file](run / file)
    except Exception as error:  # whatever is wrong with it, it differs
        return f"{type(error).__name__}"


def runs_in(root: Path) -> dict[str, Path]:
    """Return the run folders in a folder, by name."""
    return {path.name: path for path in root.glob("*-seed*-????????") if path.is_dir()}


def compare(root: Path, whole: Path, counts: Counts, what: str) -> None:
    """Compare the runs in `root` with the untouched ones in `whole`, which must be the same runs."""
    found, wanted = runs_in(root), runs_in(whole)
    for name in found.keys() - wanted.keys():
        counts.differs(f"{what}: {name} is there, though nobody asked for it")
    for name, other in wanted.items():
        run = root / name
        counts.runs += 1
        if not (run / "result.json").exists():
            counts.lost(f"{what}: {name} has no result")
            continue
        missing = rows(other) - rows(run)
        if missing > 0:
            counts.lost(f"{what}: {name} lacks {missing} rows", missing)
        for file in FILES:
            if written(run, file) != written(other, file):
                counts.differs(f"{what}: {file} of {name} differs")
        for left in (*run.glob(".*"), *run.glob("checkpoint*.pt"), *run.glob("lock")):
            counts.stale += 1
            counts.problems.append(f"{what}: {left.name} is left in {name}")


def rows(run: Path) -> int:
    """Return the number of rows of both CSV files."""
    return sum((run / name).read_bytes().count(b"\n") for name in FILES[:2] if (run / name).exists())


def compare_closely(root: Path, whole: Path, counts: Counts, what: str) -> None:
    """Compare runs that were stacked with others at other times: the same steps and rates, losses to rounding."""
    for name, other in runs_in(whole).items():
        run = root / name
        counts.runs += 1
        if not (run / "result.json").exists():
            counts.lost(f"{what}: {name} has no result")
            continue
        ours, theirs = (np.genfromtxt(one / "steps.csv", delimiter=",", names=True) for one in (run, other))
        if len(ours) < len(theirs):
            counts.lost(f"{what}: {name} lacks {len(theirs) - len(ours)} rows", len(theirs) - len(ours))
        elif any(not np.array_equal(ours[column], theirs[column]) for column in ("step", "lr")):
            counts.differs(f"{what}: steps or learning rates of {name} differ")
        elif not np.allclose(ours["loss"], theirs["loss"], rtol=0.05, atol=TOLERANCE):
            counts.differs(f"{what}: losses of {name} differ by more than rounding")
