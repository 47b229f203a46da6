"""Programs that lrbench starts or that record themselves: what is killed is they, their supervisor, or lrbench."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from pathlib import Path

import psutil

from soak.bench import Bench, Command
from soak.comparing import compare, runs_in
from soak.single import untouched

TRAIN = Path(__file__).with_name("train.py")
KINDS = ("program", "supervisor", "lrbench", "group")
"""What is killed: the program, the process that lrbench has put before it, lrbench, or lrbench with its group."""


def programs_killed(bench: Bench, tries: int) -> None:
    """`sweep` over a program, of which a process is killed: the program itself, its supervisor, or lrbench."""
    plain = {
        "command": f"{sys.executable} {TRAIN} {{run}}/state.txt", "params": {"lr": 0.1}, "resume": True,
        "sweep": {"lr": [0.05, 0.1], "seeds": 2},
    }  # fmt: skip
    config = bench.config("programs", plain)
    whole, seconds = untouched(bench, config, "--jobs", 2, command="sweep")
    while bench.counts.kills < tries:
        runs = bench.new("runs")

        def kill(command: Command, runs: Path = runs) -> bool:
            bench.wait(command, 60, lambda: any(runs.glob("*/state.txt")))
            alive = bench.counts.kills < tries and bench.wait(command, bench.chance.uniform(0, seconds / 2))
            return alive and _kill(bench, command, bench.chance.choice(KINDS))

        bench.kill_until_done(
            lambda runs=runs: bench.start(["sweep", config, "--runs", runs, "--jobs", 2]),  # type: ignore[misc]
            kill, "programs killed", codes=(1,),
        )  # fmt: skip
        compare(runs, whole, bench.counts, "programs killed")
        shutil.rmtree(runs)


def _kill(bench: Bench, command: Command, kind: str) -> bool:
    """Kill a process of a command; return whether it was there."""
    if kind in ("lrbench", "group"):
        command.signal(signal.SIGKILL, group=kind == "group")
        return True
    with contextlib.suppress(psutil.Error):
        supervisors = psutil.Process(command.pid).children()
        if supervisors:
            chosen = bench.chance.choice(supervisors)
            (chosen.children()[0] if kind == "program" else chosen).kill()
            return True
    return False


def recorders_killed(bench: Bench, tries: int) -> None:
    """A program that records itself, killed and started again with `resume`."""
    state, whole = bench.folder / "state.txt", bench.folder / "recorded-whole"

    def start(runs: Path) -> Command:
        return bench.start([state, runs], program=TRAIN)

    bench.end_of(start(whole), what="recorded, untouched")
    while bench.counts.kills < tries:
        runs = bench.new("runs")
        state.unlink(missing_ok=True)

        def kill(command: Command, runs: Path = runs) -> bool:
            bench.wait(command, 60, lambda: bool(runs_in(runs)))
            alive = bench.counts.kills < tries and bench.wait(command, bench.chance.uniform(0, 0.5))
            command.signal(signal.SIGKILL) if alive else None
            return alive

        bench.kill_until_done(lambda runs=runs: start(runs), kill, "recorder killed")  # type: ignore[misc]
        compare(runs, whole, bench.counts, "recorder killed")
        shutil.rmtree(runs)
