"""Branches of one trunk against the same runs trained alone: wall time, updates, and whether all results are equal.

    python benchmarks/branches.py configs/language/branches.yaml

Both ways run in this process, one run after another, the runs alone first.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import lrbench
from lrbench.config import branched, load_config
from lrbench.runs import RunFolder
from lrbench.training import Outcomes


def timed(configs: list[object], root: Path) -> tuple[Outcomes, float]:
    """Train configs and return the outcomes and the wall time in seconds."""
    began = time.monotonic()
    return lrbench.run(configs, runs=root), time.monotonic() - began  # type: ignore[arg-type]


def main(path: str) -> None:
    """Train a config with branches both ways and print what each costs."""
    _, *branches = branched(load_config(path))
    with tempfile.TemporaryDirectory() as folder:
        plain = [branch.replace(name=branch.name) for branch in branches]  # which know no trunk
        alone, seconds_alone = timed(list(plain), Path(folder) / "alone")
        (trunk, *shared), seconds_shared = timed([path], Path(folder) / "shared")
        updates = sum(one.result.steps or 0 for one in alone if one.result)
        starts = [RunFolder(one.path).environment().branched for one in shared]
        own = sum(one.result.steps or 0 for one in (trunk, *shared) if one.result)
        own -= sum(start.step for start in starts if start is not None)
        for one, other in zip(alone, shared, strict=True):
            same = all(_rows(one.path, log) == _rows(other.path, log) for log in ("steps", "epochs"))
            loss = None if other.result is None else other.result.metric("val_loss")
            print(f"{other.experiment.name}: val loss {loss:.4f}, rows {'equal' if same else 'DIFFER'}")
    print(f"updates {own} against {updates}: {own / updates:.2f}")
    print(f"seconds {seconds_shared:.1f} against {seconds_alone:.1f}: {seconds_shared / seconds_alone:.2f}")


def _rows(path: Path, log: str) -> list[list[str]]:
    """Return the rows of a CSV file without the two columns of timings in `epochs`."""
    lines = (path / f"{log}.csv").read_text().splitlines()
    return [line.split(",")[: -2 if log == "epochs" else None] for line in lines]


if __name__ == "__main__":
    main(*sys.argv[1:])
