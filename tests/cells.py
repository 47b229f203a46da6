"""A small sweep in a process of its own, for tests of clusters: started, perhaps left, and ended with the test."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from waiting import PATIENCE

Start = Callable[..., "subprocess.Popen[str]"]


@contextmanager
def sweeps(begin: Start) -> Iterator[Start]:
    """Start sweeps by a function; those that still run in the end are killed with their whole group."""
    begun: list[subprocess.Popen[str]] = []

    def started(*words: str | Path) -> subprocess.Popen[str]:
        begun.append(begin(*words))
        return begun[-1]

    yield started
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for a sweep; return what it said."""
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, output
    return output


def runs_of(root: Path) -> list[Path]:
    """The folders of the sweep `cells`."""
    return sorted(path for path in root.glob("cells-seed*") if path.is_dir())


def steps_of(root: Path) -> dict[str, str]:
    """Every run's rows, the same to the last bit where the same was trained."""
    return {path.name: (path / "steps.csv").read_text() for path in runs_of(root)}
