"""Starts commands, harms them and counts what comes of it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from forked import Starts

ROOT = Path(__file__).parents[2]
HARMED = Path(__file__).with_name("harmed.py")
PATIENCE = 300.0
"""Seconds that a command may take on a busy machine; one that takes longer hangs."""
ORPHAN_SECONDS = 30.0
"""Seconds that what a killed command has started may take to end: lrbench promises a few."""
MOST_ATTEMPTS = 60
"""Attempts until a command that is killed again and again must be done."""
HARD: dict[str, Any] = {"often": {}, "here": {}}
"""Checkpoints all the time, and no worker process, which takes seconds to start."""


class Unavailable(Exception):
    """This machine lacks what a scenario needs."""


@dataclass
class Counts:
    """What was done, and what came of it.

    Attributes:
        tries: how often the harm was done.
        kills: processes or process groups that were killed.
        runs: runs that were compared with untouched ones.
        losses: runs without a result, and rows that are missing.
        differing: files that differ from those of an untouched run, and folders that nobody asked for.
        stale: files that were left behind in finished runs.
        orphans: processes that were left over.
        problems: all of these and whatever else went wrong, in words.
    """

    tries: int = 0
    kills: int = 0
    runs: int = 0
    losses: int = 0
    differing: int = 0
    stale: int = 0
    orphans: int = 0
    problems: list[str] = field(default_factory=list)

    def lost(self, what: str, count: int = 1) -> None:
        self.losses += count
        self.problems.append(what)

    def differs(self, what: str) -> None:
        self.differing += 1
        self.problems.append(what)


class Command:
    """A command under way."""

    def __init__(self, process: subprocess.Popen[Any], output: Path) -> None:
        self.process, self.output = process, output

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def text(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to it, or to its process group; workers belong to that, commands that it starts don't."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)


class Bench:
    """A folder for what a scenario does, the commands that it starts, and its counts.

    Args:
        folder: empty, best in memory, where syncing costs nothing.
        forks: starts Python processes.
        seed: of all that is random.
    """

    def __init__(self, folder: Path, forks: Starts, seed: int) -> None:
        self.folder, self.forks, self.chance = folder, forks, random.Random(seed)
        self.counts, self.mark, self.sessions = Counts(), uuid.uuid4().hex, set[int]()
        self.number = 0

    def new(self, name: str) -> Path:
        """Return a path that nothing has used."""
        self.number += 1
        return self.folder / f"{name}-{self.number}"

    def config(self, name: str, plain: Mapping[str, Any]) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**plain, "name": name}), encoding="utf-8")
        return path

    # -- commands

    def start(
        self, words: Sequence[object], harm: Mapping[str, Any] | None = None, *, forks: Starts | None = None,
        program: Path = HARMED, real: bool = False,
    ) -> Command:  # fmt: skip
        """Start a command in a session of its own.

        Args:
            words: its arguments.
            harm: see `harmed.py`.
            forks: what starts it instead of the bench's own.
            program: the script.
            real: start Python itself, for programs that don't import torch.
        """
        environment = {
            **os.environ, "SOAK_MARK": self.mark, "SOAK_HARM": json.dumps(harm or {}), "OMP_NUM_THREADS": "1",
            "NO_COLOR": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT), "LRBENCH_DATA": "",
        }  # fmt: skip
        starts = Starts() if real else forks or self.forks
        output = self.new("output")
        with output.open("wb") as file:
            process = starts.popen(
                [str(program), *map(str, words)], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.sessions.add(process.pid)
        return Command(process, output)

    def end_of(self, command: Command, codes: Sequence[int] = (0,), what: str = "") -> int:
        """Wait for the end of a command and return its exit code, which must be one of `codes`."""
        try:
            code = int(command.process.wait(PATIENCE))
        except subprocess.TimeoutExpired:
            self.counts.problems.append(f"{what}: it hangs: {command.text[-2000:]}")
            command.signal(signal.SIGKILL, group=True)
            code = int(command.process.wait())
        text = command.text
        if "Traceback" in text or "lrbench failed unexpectedly" in text:
            self.counts.problems.append(f"{what}: a traceback (exit code {code}): {text[-3000:]}")
        elif code not in codes:
            self.counts.problems.append(f"{what}: exit code {code}: {text[-2000:]}")
        return code

    def done(self, words: Sequence[object], harm: Mapping[str, Any] | None = None, what: str = "", **how: Any) -> None:
        """Do a command that must succeed."""
        command = self.start(words, harm, **how)
        if self.end_of(command, what=what) != 0:
            self.counts.problems.append(f"{what}: not done: {command.text[-2000:]}")

    def wait(self, command: Command, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Wait so long, or until something is true; return whether the command still runs."""
        end = time.monotonic() + seconds
        while command.runs and time.monotonic() < end and not until():
            time.sleep(0.01)
        return command.runs

    def kill_until_done(
        self,
        start: Callable[[], Command],
        kill: Callable[[Command], bool],
        what: str,
        codes: Sequence[int] = (0,),
    ) -> None:
        """Start and kill a command until it is done; `codes` are those of an attempt that the harm has ended.

        Args:
            start: starts it.
            kill: waits and kills; returns whether it did.
            what: names it in problems.
            codes: the exit codes that it may have if only what it started was killed.
        """
        for _ in range(MOST_ATTEMPTS):
            command = start()
            killed = kill(command)
            self.counts.kills += killed
            self.counts.tries += killed
            code = self.end_of(command, (0, -signal.SIGKILL, *codes) if killed else (0,), what)
            if killed:
                self.count_orphans(what)
            if code == 0:
                return
            if not killed:
                self.counts.problems.append(f"{what}: exit code {code} although nothing was killed: {command.text}")
                return
        self.done_at_last(start, what)

    def done_at_last(self, start: Callable[[], Command], what: str) -> None:
        """Do a command that was harmed often enough."""
        command = start()
        if self.end_of(command, what=what) != 0:
            self.counts.lost(f"{what}: not done: {command.text[-2000:]}")

    # -- what is left over

    def left(self) -> list[psutil.Process]:
        """Return the processes that descend from commands of this bench: by their session or their environment."""
        return list(self._left())

    def _left(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if os.getsid(process.pid) in self.sessions or process.environ().get("SOAK_MARK") == self.mark:
                    yield process

    def count_orphans(self, what: str) -> None:
        """Wait until nothing is left of the commands, and count and kill what stays."""
        until = time.monotonic() + ORPHAN_SECONDS
        while (left := self.left()) and time.monotonic() < until:
            time.sleep(0.2)  # to look at all processes takes a while
        for process in left:
            with contextlib.suppress(psutil.Error):
                self.counts.orphans += 1
                self.counts.problems.append(f"{what}: left over: {process.pid} {' '.join(process.cmdline())[:200]}")
                process.kill()
        self.sessions.clear()


assert sys.platform != "win32", "it forks, and kills process groups"
