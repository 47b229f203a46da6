"""Several processes that want the same runs: suspended ones, clocks that jump, files seen late, several hosts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrbench.runs import RunFolder
from soak.bench import HARD, Bench, Command
from soak.comparing import runs_in
from soak.single import BASE, under_way
from soak.sweeps import ALONE, WORKERS, Killed

LOCKS = {"hasty_locks": {"heartbeat": 0.1, "dead": 1.0, "watched": 0.3}}
"""A hundredth of what is usual."""
SLOW = {"slowly": {"seconds": 0.004}}
LONG: dict[str, Any] = {**BASE, "epochs": 30}  # 300 steps, of more than 4 ms each
LATE_SECONDS = 0.3
SUSPENDED = (1,)
"""The exit code of a command whose run another one has taken over meanwhile."""


def suspended(bench: Bench, tries: int) -> None:
    """A command or a worker is stopped (SIGSTOP) and goes on (SIGCONT), for moments and for longer than locks live.

    Meanwhile another command wants the same runs, and may take them over; the first one must then leave them alone.
    In turn it is a command that trains without and with a rival, a worker, and a command whose workers go on.
    """
    sweep = Killed(bench, "suspended", {**LONG, "sweep": {"lr": [0.03, 0.1], "seeds": 1}}, *ALONE)
    harm = {**HARD, **LOCKS, **SLOW}
    for number in range(tries):
        runs, kind = bench.new("runs"), number % 4
        first = sweep.start(runs, harm, WORKERS if kind >= 2 else ())
        bench.wait(first, 60, lambda runs=runs: under_way(runs))  # type: ignore[misc]
        bench.wait(first, bench.chance.uniform(0, 0.5))
        target = _owner(runs) if kind == 2 else first.pid
        second = sweep.start(runs, harm) if kind else None
        bench.counts.tries += 1
        _pause(bench, first, target, bench.chance.choice([0.05, 0.5, 3.0]))
        for command in filter(None, (first, second)):
            bench.end_of(command, (0, *SUSPENDED), "suspended")
        bench.count_orphans("suspended")
        bench.done(["sweep", sweep.path, "--runs", runs, *ALONE], HARD, "suspended, at last")
        sweep.compare(runs)
        shutil.rmtree(runs)


def _owner(runs: Path) -> int | None:
    """Return the process that holds a run."""
    owners = [RunFolder(run).owner for run in runs_in(runs).values()]
    return next((owner.pid for owner in owners if owner is not None), None)


def _pause(bench: Bench, command: Command, target: int | None, seconds: float) -> None:
    if target is None or not command.runs:
        return
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.kill(target, signal.SIGSTOP)
        bench.wait(command, seconds)
        os.kill(target, signal.SIGCONT)


def _rivals(
    bench: Bench, name: str, tries: int, harms: tuple[Mapping[str, Any], Mapping[str, Any]], *, kills: bool
) -> None:
    """Two commands on one folder, under harms of their own; with `kills`, one of them is killed meanwhile.

    Without, each run is trained by one of them, without a break. In one of four tries they have workers.
    """
    sweep = Killed(bench, name, {**LONG, "epochs": 20, "sweep": {"lr": [0.03, 0.1], "seeds": 2}}, *ALONE)
    for number in range(tries):
        runs, words = bench.new("runs"), WORKERS if number % 4 == 3 else ALONE
        commands = [
            sweep.start(runs, {**HARD, **LOCKS, **SLOW, **_placed(harm, runs, number)}, words) for harm in harms
        ]
        bench.counts.tries += 1
        victim = None
        if kills:
            bench.wait(commands[0], 60, lambda runs=runs: under_way(runs))  # type: ignore[misc]
            victim = bench.chance.choice(commands)
            if bench.wait(victim, bench.chance.uniform(0, 2)):
                victim.signal(signal.SIGKILL, group=True)
                bench.counts.kills += 1
        for command in commands:
            bench.end_of(command, (0, -signal.SIGKILL) if command is victim else (0,), name)
        bench.count_orphans(name)
        sweep.compare(runs)
        if not kills:
            sweep.count_begun_again(runs)
        shutil.rmtree(runs)


def _placed(harm: Mapping[str, Any], runs: Path, number: int) -> dict[str, Any]:
    """Fill in what differs from try to try."""
    placed: dict[str, dict[str, Any]] = {"late_files": {"folder": str(runs)}, "clock": {"seed": number}}
    return {name: {**given, **placed.get(name, {})} for name, given in harm.items()}


def clocks(bench: Bench, tries: int) -> None:
    """Two commands whose clocks jump all the time, by seconds to decades, as does that of the file system."""
    _rivals(bench, "clocks", tries, ({"clock": {"seed": 0}}, {"clock": {"seed": 0}}), kills=False)


def late(bench: Bench, tries: int) -> None:
    """Two commands on two hosts that see each other's new files late (simulated), one of which may be killed."""
    hosts = [{"host": {"name": name}, "late_files": {"folder": "", "seconds": LATE_SECONDS}} for name in ("one", "two")]
    _rivals(bench, "late", tries, (hosts[0], hosts[1]), kills=True)


def hosts(bench: Bench, tries: int) -> None:
    """Two commands on two hosts, one of which is killed: the other one takes its runs over once the lock is old."""
    _rivals(bench, "hosts", tries, ({"host": {"name": "one"}}, {"host": {"name": "two"}}), kills=True)
