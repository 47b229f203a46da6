"""Sweeps with worker processes: killed as a group, without their workers, only the workers; stacked; many at once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrbench.runs import RunFolder
from soak.bench import HARD, Bench, Command
from soak.comparing import compare, compare_closely, runs_in
from soak.single import BASE, under_way, untouched

SWEEP: dict[str, Any] = {**BASE, "epochs": 30, "sweep": {"lr": [0.03, 0.1, 0.3], "seeds": 2}}
STACKED: dict[str, Any] = {**SWEEP, "sweep": {"lr": [0.03, 0.1], "seeds": 2, "schedule": ["constant", "cosine"]}}
WORKERS = ("--jobs", 2)
ALONE = ("--jobs", 1)
"""In the command's own process: workers take seconds to start."""
MOST_DEATHS = 2
"""Workers that may die with a run: with the third, the run fails."""
AT_ONCE = 8


class Killed:
    """A sweep that is killed until it is done, and then compared with an untouched one."""

    def __init__(self, bench: Bench, name: str, plain: Mapping[str, Any], *words: object) -> None:
        self.bench, self.name, self.words = bench, name, words
        self.path = bench.config(name, plain)
        self.whole, self.seconds = untouched(bench, self.path, *words, command="sweep")

    def start(self, runs: Path, harm: Mapping[str, Any] | None = None, words: Sequence[object] = ()) -> Command:
        asked = ["sweep", self.path, "--runs", runs, *(words or self.words)]
        return self.bench.start(asked, {"often": {}} if harm is None else harm)

    def moment(self, command: Command, runs: Path) -> bool:
        """Wait for a random moment of training, now and then also of the start; return whether it still runs."""
        bench = self.bench
        if bench.chance.random() < 0.85:
            bench.wait(command, 60, lambda: under_way(runs))
            return bench.wait(command, bench.chance.uniform(0, 0.5))
        return bench.wait(command, bench.chance.uniform(0, self.seconds))

    def kill_until_done(self, runs: Path, tries: int, *, harm: Mapping[str, Any] | None = None, group: bool) -> None:
        """Kill the command at random moments, with its processes or alone, and start it again until it is done."""

        def kill(command: Command) -> bool:
            alive = self.bench.counts.kills < tries and self.moment(command, runs)
            if alive:
                command.signal(signal.SIGKILL, group=group)
            return alive

        self.bench.kill_until_done(lambda: self.start(runs, harm), kill, f"{self.name}, killed")

    def count_begun_again(self, runs: Path) -> None:
        """Count runs that were begun more than once as problems, where nothing was killed."""
        for run in runs_in(runs).values():
            if again := json.loads((run / "env.json").read_text())["resumed"]:
                self.bench.counts.problems.append(f"{self.name}: {run.name} was begun {1 + len(again)} times")

    def compare(self, runs: Path) -> None:
        compare(runs, self.whole, self.bench.counts, f"{self.name}, killed")
        plans = [sorted(map(str, cells_of(root))) for root in (runs, self.whole)]
        if plans[0] != plans[1]:
            self.bench.counts.differs(f"{self.name}: the plans differ")


def cells_of(runs: Path) -> list[Any]:
    """Return the cells of the only plan in a folder of runs."""
    (plan,) = (runs / "sweeps").glob("*/plan.json")
    cells: list[Any] = json.loads(plan.read_text())["cells"]
    return cells


def _parents(bench: Bench, tries: int, name: str, *, group: bool) -> None:
    """Kill the command of a sweep with two workers, with all of its processes or alone."""
    sweep = Killed(bench, name, SWEEP, *WORKERS)
    while bench.counts.kills < tries:
        runs = bench.new("runs")
        sweep.kill_until_done(runs, tries, group=group)
        sweep.compare(runs)
        shutil.rmtree(runs)


def groups_killed(bench: Bench, tries: int) -> None:
    """`sweep --jobs 2`, killed with all its processes."""
    _parents(bench, tries, "group", group=True)


def parents_killed(bench: Bench, tries: int) -> None:
    """`sweep --jobs 2`, of which only the command's own process is killed: its workers must end by themselves."""
    _parents(bench, tries, "parent", group=False)


def workers_killed(bench: Bench, tries: int) -> None:
    """`sweep --jobs 2`, whose workers are killed while it goes on: it must end well without another command."""
    sweep = Killed(bench, "workers", SWEEP, *WORKERS)
    while bench.counts.kills < tries:
        runs, deaths = bench.new("runs"), Counter[Path]()
        command = sweep.start(runs, {"often": {}, "slowly": {"seconds": 0.003}})
        while bench.wait(command, bench.chance.uniform(0.05, 0.4)) and bench.counts.kills < tries:
            owners = [(run, RunFolder(run).owner) for run in runs_in(runs).values() if deaths[run] < MOST_DEATHS]
            alive = [
                (run, one.pid) for run, one in owners if one is not None and not one.gone and one.pid != command.pid
            ]
            if alive:
                run, pid = bench.chance.choice(alive)
                deaths[run] += 1
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    bench.counts.kills += 1
                    bench.counts.tries += 1
        bench.end_of(command, what="workers killed")
        bench.count_orphans("workers killed")
        sweep.compare(runs)
        shutil.rmtree(runs)


def stacks_killed(bench: Bench, tries: int) -> None:
    """`sweep --stack yes`, killed with all its processes: the same steps and rates, losses to rounding."""
    sweep = Killed(bench, "stacked", STACKED, "--stack", "yes", *ALONE)
    while bench.counts.kills < tries:
        runs = bench.new("runs")
        sweep.kill_until_done(runs, tries, harm=HARD, group=True)
        compare_closely(runs, sweep.whole, bench.counts, "stacked, killed")
        shutil.rmtree(runs)


def many_at_once(bench: Bench, tries: int) -> None:
    """Eight commands of one sweep on one folder: all end well, each run is trained once; or some are killed."""
    sweep = Killed(bench, "many", {**SWEEP, "sweep": {"lr": [0.03, 0.1, 0.3], "seeds": min(1 + tries, 4)}}, *ALONE)
    for number in range(tries):
        runs, kills = bench.new("runs"), number % 2 * 3
        commands = [sweep.start(runs, {**HARD, "slowly": {"seconds": 0.001}}) for _ in range(AT_ONCE)]
        bench.counts.tries += 1
        bench.wait(commands[0], 60, lambda runs=runs: under_way(runs))  # type: ignore[misc]
        for command in commands[:kills]:
            if bench.wait(command, bench.chance.uniform(0, 0.3)):
                command.signal(signal.SIGKILL, group=True)
                bench.counts.kills += 1
        for place, command in enumerate(commands):
            bench.end_of(command, (0, -signal.SIGKILL) if place < kills else (0,), "eight commands at once")
        bench.count_orphans("eight commands at once")
        sweep.compare(runs)
        if not kills:
            sweep.count_begun_again(runs)
        shutil.rmtree(runs)
