"""Figures of speed: lrbench and its peers, measured in turn, in processes of their own.

A figure has measures. Each runs a process, and gives a number for lrbench, for a peer, or for both. In every round all
measures of a figure run once, in every second round the other way round. Ratios are taken within a round, since a slow
minute slows both sides, and are oriented: above 1, lrbench is better.

    python benchmarks/measuring.py SCRIPT FUNCTION JSON

calls a function of a script beside this one, with a list of arguments, and prints what it returns: that is how
`called` measures a function in a process of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OURS = "lrbench"
LONGEST = 1800.0
"""Seconds after which a process is given up."""


class MeasureError(Exception):
    """A process failed; the message is the last line of its errors."""


class MissingError(Exception):
    """Something that a measure needs is not installed here; the message names it."""


@dataclass(frozen=True)
class Measure:
    """One process, and the ways that it measures: `lrbench`, or names of peers."""

    ways: tuple[str, ...]
    run: Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Setup:
    """What a figure may use: a folder of its own and one of all figures, for all rounds, and the machine."""

    place: Path
    shared: Path
    short: bool = False
    threads: int = os.cpu_count() or 1
    keras: str | None = None  # a Python with Keras and TensorFlow


@dataclass(frozen=True)
class Figure:
    """What is measured, and how.

    `unit` is that of both sides, and ends with `/s` where higher is better. `clock` is `wall` or `processor`. `short`
    is true for figures that are cheap and steady enough for CI.
    """

    name: str
    about: str
    unit: str
    clock: str
    plan: Callable[[Setup], list[Measure]]
    short: bool = False

    def ratio(self, ours: float, peer: float) -> float:
        """How many times as good lrbench is as its peer."""
        return ours / peer if self.unit.endswith("/s") else peer / ours


@dataclass
class Row:
    """A figure beside one peer, or alone: the values of each round that gave both, or why there are none."""

    figure: Figure
    peer: str | None
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    problem: str | None = None
    failed: bool = False  # false for what is only missing

    @property
    def ratios(self) -> list[float]:
        """One for each round; none without a peer."""
        return [self.figure.ratio(*pair) for pair in zip(self.ours, self.theirs, strict=True)] if self.peer else []

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios) if self.ratios else None

    def add(self, found: Mapping[str, float | Exception]) -> None:
        """Take the values of a round, if it has those of both sides."""
        values = []
        for way in (OURS, *([self.peer] if self.peer else [])):
            value = found[way]
            if isinstance(value, Exception):
                self.problem, self.failed = str(value) or type(value).__name__, not isinstance(value, MissingError)
                return
            values.append(value)
        self.ours.append(values[0])
        self.theirs.extend(values[1:])


class Board:
    """The rows of a figure, and the rounds that fill them."""

    def __init__(self, figure: Figure, setup: Setup) -> None:
        """Plan the figure; what goes wrong becomes its only row."""
        self.figure, self.measures, self.rounds = figure, list[Measure](), 0
        try:
            self.measures = figure.plan(setup)
        except (MeasureError, MissingError, OSError) as problem:
            self.rows = [Row(figure, None, problem=str(problem), failed=not isinstance(problem, MissingError))]
            return
        peers = [way for measure in self.measures for way in measure.ways if way != OURS]
        self.rows = [Row(figure, peer) for peer in peers or [None]]

    def round(self) -> None:
        """Measure everything once."""
        found: dict[str, float | Exception] = {}
        for measure in self.measures[:: -1 if self.rounds % 2 else 1]:
            try:
                found |= measure.run()
            except (MeasureError, MissingError, OSError) as problem:
                found |= dict.fromkeys(measure.ways, problem)
        if self.measures:
            for row in self.rows:
                row.add(found)
        self.rounds += 1


def holds(ratios: Iterable[float], reference: float) -> bool:
    """True at the first ratio that has not fallen by more than a third below the reference; no more are taken."""
    return any(ratio >= reference * 2 / 3 for ratio in ratios)


def environment(threads: int | None) -> dict[str, str]:
    """Variables for a process: so many threads, this checkout's package, and modules that stay compiled, as users'.

    Without a number of threads, each process chooses its own.
    """
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    path = os.pathsep.join([str(HERE.parent), *filter(None, [kept.get("PYTHONPATH")])])
    chosen = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    return {**kept, **chosen, "PYTHONPATH": path}


def output(words: Sequence[str], threads: int | None = 1) -> str:
    """What a command prints.

    Raises:
        MeasureError: It fails.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, env=environment(threads), timeout=LONGEST)
    except subprocess.TimeoutExpired:
        raise MeasureError(f"it took longer than {LONGEST / 60:.0f} minutes") from None
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise MeasureError(lines[-1] if lines else f"exit code {done.returncode}")
    return done.stdout


def seconds(words: Sequence[str], clock: str = "wall", threads: int | None = 1) -> float:
    """Seconds of a whole command: on the wall, or of the processor, its own and the system's, with its children's."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    output(words, threads)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if clock == "wall":
        return time.perf_counter() - began
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def timed(way: str, words: Sequence[str], clock: str, *, best_of: int = 1, without: Path | None = None) -> Measure:
    """A whole command with one thread; of a very short one, the best of several times.

    A folder that it may have left for the next time can be removed before.
    """

    def run() -> dict[str, float]:
        if without is not None:
            shutil.rmtree(without, ignore_errors=True)
        return {way: min(seconds(words, clock) for _ in range(best_of))}

    return Measure((way,), run)


def told(way: str, words: Sequence[str], read: Callable[[str], float] = float, *, threads: int = 1) -> Measure:
    """A script that measures itself; `read` finds the number in its last line."""
    return Measure((way,), lambda: {way: read(output(words, threads).strip().splitlines()[-1])})


def called(ways: str | tuple[str, ...], script: str, function: str, *arguments: Any, threads: int = 1) -> Measure:
    """A function of a script beside this one, which returns a number, or a tuple of one for each way."""
    names = (ways,) if isinstance(ways, str) else ways

    def run() -> dict[str, float]:
        found = json.loads(output(calling(script, function, *arguments), threads).splitlines()[-1])
        return dict(zip(names, found if isinstance(found, list) else [found], strict=True))

    return Measure(names, run)


def calling(script: str, function: str, *arguments: Any) -> list[str]:
    """The command that calls a function of a script in a process of its own."""
    return [sys.executable, str(HERE / "measuring.py"), script, function, json.dumps(arguments)]


def missing(way: str, reason: str) -> Measure:
    """A peer that is not here, and why."""

    def run() -> dict[str, float]:
        raise MissingError(reason)

    return Measure((way,), run)


def lrbench(*words: str) -> list[str]:
    """A command of lrbench."""
    return [sys.executable, "-m", "lrbench", *words]


if __name__ == "__main__":
    script, function, arguments = sys.argv[1:]
    print(json.dumps(getattr(importlib.import_module(script), function)(*json.loads(arguments))))
