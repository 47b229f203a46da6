"""What `lrbench serve` costs beside training: processor time without a page, with one, and with a run under way.

    python benchmarks/serve.py FOLDER --seconds 60

FOLDER has finished runs, such as those of `synthetic_runs.py`. It is copied; one of its runs is made to look as if a
process trained it, and grows by a row a second.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import psutil

from lrbench.runs import birth


class Page:
    """Asks for changes as a page in a browser does."""

    def __init__(self, address: str) -> None:
        self.address, self.version, self.bytes, self.answers = address, "", 0, 0
        self.closed = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        while not self.closed.is_set():
            asked = urllib.request.Request(f"{self.address}changes?since={self.version}&wait=25")
            asked.add_header("Accept-Encoding", "identity")
            with urllib.request.urlopen(asked, timeout=90) as answer:
                body = answer.read()
            if body:
                self.bytes += len(body)
                self.version, self.answers = json.loads(body)["version"], self.answers + 1


def under_way(run: Path) -> list[str]:
    """Make a run look as if this process trained it, with its first row; return the other rows."""
    (run / "result.json").unlink()
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "born": birth(os.getpid()), "token": "benchmark"}
    owner["space"] = str(Path("/proc/self/ns/pid").readlink())
    (run / "lock").write_text(json.dumps(owner))
    lines = (run / "epochs.csv").read_text().splitlines(keepends=True)
    (run / "epochs.csv").write_text("".join(lines[:2]))
    return lines[2:]


def cost(server: psutil.Process, seconds: float, rows: list[str] | None = None, run: Path | None = None) -> float:
    """Return the share of a core that the server uses, in percent; a row is appended to a run each second."""
    before, began = sum(server.cpu_times()[:2]), time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        time.sleep(1 - passed % 1)
        if rows and run is not None:
            with (run / "epochs.csv").open("a") as file:
                file.write(rows.pop(0))
            os.utime(run / "lock")
    return 100 * (sum(server.cpu_times()[:2]) - before) / (time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        runs = Path(made) / "runs"
        shutil.copytree(asked.folder, runs)
        found = sorted(path.parent for path in runs.glob("*/result.json"))
        command = [sys.executable, "-m", "lrbench", "serve", str(runs), "--no-open", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            address = next(word for word in process.stdout.readline().split() if word.startswith("http"))
            server = psutil.Process(process.pid)
            print(f"{len(found):,} runs; no page: {cost(server, asked.seconds):.2f} % of a core")
            began, page = time.monotonic(), Page(address)
            while not page.answers:
                time.sleep(0.05)
            print(f"first version after {time.monotonic() - began:.1f} s, {page.bytes / 1e6:.2f} MB unzipped")
            time.sleep(5)
            print(f"a page open, nothing under way: {cost(server, asked.seconds):.2f} % of a core")
            rows, page.bytes, page.answers = under_way(found[0]), 0, 0
            used = cost(server, asked.seconds, rows, found[0])
            print(f"a page open, a run under way: {used:.2f} % of a core, {page.answers} answers,", end=" ")
            print(f"{page.bytes / 1e6:.2f} MB unzipped; {server.memory_info().rss / 1e6:.0f} MB of memory")
            page.closed.set()
            process.terminate()


if __name__ == "__main__":
    main()
