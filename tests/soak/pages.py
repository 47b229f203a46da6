"""The live page, read all the time while many runs are written."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

from soak.bench import Bench, Command
from soak.comparing import runs_in
from soak.exports import MADE_UP

A_RATE = 20
"""Runs for each learning rate: five schedules with four momenta."""
SETTLED_SECONDS = 900.0
"""The server takes at most a tenth of a core, so that the last of many runs may be shown minutes later."""
MOST_ASKED = 30


class Reader:
    """Reads a live page, and checks every answer."""

    def __init__(self, bench: Bench, runs: Path) -> None:
        self.bench, self.version, self.answers = bench, "", 0
        self.server = bench.start(["serve", runs, "--no-open", "--port", 0])
        bench.wait(self.server, 60, lambda: "http://" in self.server.text)
        self.address = next(word for word in self.server.text.split() if word.startswith("http://"))

    def ask(self, path: str) -> bytes:
        """Return an answer; whatever is wrong with it is a problem."""
        self.answers += 1
        try:
            with urllib.request.urlopen(self.address + path, timeout=90) as answer:
                body: bytes = answer.read()
                return body
        except OSError as error:
            self.bench.counts.problems.append(f"live page: {path}: {error}")
            return b""

    def changes(self, since: str, wait: int = 1) -> dict[str, Any]:
        """Return what has changed since a version; nothing if nothing has."""
        body = self.ask(f"changes?since={since}&wait={wait}")
        if not body:
            return {}
        try:
            found: dict[str, Any] = json.loads(body)
            problem = found["live"].get("problem", "")
            assert found["version"] and isinstance(found["parts"], dict) and not problem, problem
        except (AssertionError, KeyError, ValueError) as error:
            self.bench.counts.problems.append(f"live page: a wrong answer: {error!r} {body[:300]!r}")
            return {}
        self.version = found["version"]
        return found

    def page(self) -> None:
        text = self.ask("")
        if not text.rstrip().endswith(b"</html>"):
            self.bench.counts.problems.append(f"live page: it is not whole: {text[-300:]!r}")

    def whole(self) -> dict[str, Any]:
        """Return all that is shown."""
        found = self.changes("", 10)
        return {name: found.get(name) for name in ("order", "parts", "data")}

    def shows(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Wait until it shows what is wanted; return what it shows at last. It may rest for long between updates."""
        until = time.monotonic() + SETTLED_SECONDS
        while (shown := self.whole()) != wanted and time.monotonic() < until:
            self.changes(self.version, 20)
        return shown

    def close(self) -> None:
        self.server.signal(signal.SIGTERM)
        self.bench.end_of(self.server, (143,), "serve")


def pages(bench: Bench, tries: int) -> None:
    """`serve`, read in a loop while so many runs are written; at the end it shows what a new server shows."""
    runs, rates = bench.folder / "shown", max(tries // A_RATE, 2)
    runs.mkdir()
    reader = Reader(bench, runs)
    writer: Command = bench.start([runs, 1, rates, 5], program=MADE_UP)
    while writer.runs:
        reader.changes(reader.version)
        if reader.answers % 20 == 0:
            reader.page()
    bench.end_of(writer, what="made-up runs")
    fresh = Reader(bench, runs)
    while not (wanted := fresh.whole())["order"] and fresh.answers < MOST_ASKED:
        pass
    shown = reader.shows(wanted)
    there = len(runs_in(runs))
    bench.counts.tries, bench.counts.runs = reader.answers, there
    if there != rates * A_RATE or f"{there:,} runs" not in json.dumps(wanted, ensure_ascii=False):
        bench.counts.lost(f"live page: {there} of {rates * A_RATE} runs were written and shown")
    for part in ("order", "parts", "data"):
        if shown[part] != wanted[part]:
            bench.counts.differs(f"live page: its last {part} differ from those of a new server")
    for one in (reader, fresh):
        one.close()
    bench.count_orphans("live page")
