"""Real processes really killed, and files that can't be written: a short soak. `make soak` is the long one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).with_name("soak.py")


pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="forks")]


def soaked(kills: int, every: int) -> dict[str, int]:
    """The counts in the last line."""
    words = [sys.executable, str(SOAK), "--kills", str(kills), "--every", str(every)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    counted = {key: int(number) for key, number in re.findall(r"(\w+): (\d+)", done.stdout.splitlines()[-1])}
    assert counted["differences"] == 0
    return counted


def test_killed_runs_equal_untouched_ones() -> None:
    assert soaked(kills=24, every=0)["kills"] >= 24


def test_runs_whose_files_could_not_be_written_equal_untouched_ones() -> None:
    counted = soaked(kills=0, every=23)
    assert counted["faults"] >= 20 and counted["felt"] >= counted["faults"] // 2, "or nothing was put to the test"
