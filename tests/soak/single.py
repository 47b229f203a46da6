"""One run: killed at random moments in each kind of state, and failing at each operation on its files."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import Any

from lrbench.runs.lock import owner_of
from soak.bench import HARD, Bench, Command
from soak.comparing import compare

BASE: dict[str, Any] = {
    "dataset": {"name": "digits", "train_size": 160},
    "model": {"name": "mlp", "hidden": [16], "dropout": 0.2},
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    "epochs": 25,
    "batch_size": 16,
    "device": "cpu",
}
STATES: dict[str, dict[str, Any]] = {
    "dropout": {"model": {"name": "cnn", "padding": 1}, "optimizer": {"name": "adam", "lr": 0.001}, "epochs": 4},
    "cycled-momentum": {"schedule": {"name": "one_cycle", "cycle_momentum": [0.85, 0.95]}},
    "plateau": {"plateau": {"patience": 0, "threshold": 0.05, "growth": {"factor": 1.1}}, "warmup": "10%"},
    "early-stopping": {"early_stopping": {"patience": 4, "min_delta": 0.001}, "epochs": 60, "best_by": "val_accuracy"},
    "accumulation": {"batch_size": 7, "accumulate": 3, "clip_grad_norm": 1.0, "schedule": "cosine"},
    "schedule-free": {"optimizer": {"name": "schedule_free_adamw", "lr": 0.01}},
    "prodigy": {"optimizer": {"name": "prodigy"}},
    "evaluations": {"eval_every": "0.3 epochs", "plateau": {"patience": 1}, "best_by": "val_accuracy", "epochs": 12},
    "augmentation": {
        "dataset": {"name": "digits", "train_size": 64, "augment": ["crop", "flip"]},
        "model": {"name": "resnet20", "width": 2},
        "epochs": 3,
    },
}
IN_A_WORKER = 0.1
"""The part of the attempts that go on as a user's would: in a worker process, which takes seconds to start."""


def untouched(bench: Bench, config: Path, *words: object, command: str = "run") -> tuple[Path, float]:
    """Return the folder of runs to which nothing happens, and how many seconds they took."""
    runs, began = bench.folder / f"{config.stem}-whole", time.monotonic()
    bench.done([command, config, "--runs", runs, *words], HARD, f"{config.stem}, untouched")
    return runs, time.monotonic() - began


def under_way(runs: Path) -> bool:
    """Whether a run is being executed, and not only left locked by a process that was killed."""
    owners = (owner_of(lock) for lock in runs.glob("*/lock"))
    return any(owner is not None and not owner.gone for owner in owners)


def killed(bench: Bench, tries: int) -> None:
    """`run`, killed with all its processes at random moments, in each kind of state in turn."""
    wholes: dict[str, tuple[Path, float]] = {}
    while bench.counts.kills < tries:
        for name, changes in STATES.items():
            config = bench.config(name, {**BASE, **changes})
            if name not in wholes:
                wholes[name] = untouched(bench, config)
            whole, seconds = wholes[name]
            runs = bench.new("runs")
            kill_until_done(bench, config, runs, seconds)
            compare(runs, whole, bench.counts, f"{name}, killed")
            shutil.rmtree(runs)
            if bench.counts.kills >= tries:
                break


def kill_until_done(bench: Bench, config: Path, runs: Path, seconds: float) -> None:
    """Kill at random moments: of the whole attempt, or of the time since the run is under way."""
    longest = seconds

    def start() -> Command:
        harm = {"often": {}} if bench.chance.random() < IN_A_WORKER else HARD
        return bench.start(["run", config, "--runs", runs], harm)

    def kill(command: Command) -> bool:
        nonlocal longest
        longest *= 1.05  # what is done again with each try may take most of a short run's time
        if bench.chance.random() < 0.7:
            bench.wait(command, 60, lambda: under_way(runs))
        alive = bench.wait(command, bench.chance.uniform(0, longest))
        command.signal(signal.SIGKILL, group=True)
        return alive

    bench.kill_until_done(start, kill, f"{config.stem}, killed")


def faults(bench: Bench, tries: int) -> None:
    """At points where `run` changes a file: it fails there (no space left), or dies; then the same command again."""
    config = bench.config("faults", {**BASE, "epochs": 3})
    runs, count = bench.folder / "faults", bench.folder / "count.txt"
    asked = ["run", config, "--runs", runs]

    def attempt(point: int | None, die: bool) -> int:
        told = {"folder": str(runs), "point": point, "die": die, "count": str(count)}
        codes = (0, -signal.SIGKILL) if die else (0, 1, 2)
        return bench.end_of(bench.start(asked, {"fault": told}), codes, f"fault {point} (die: {die})")

    attempt(None, False)
    whole = runs.rename(bench.folder / "faults-whole")
    points = int(count.read_text())
    every = max(2 * points // tries, 1)
    felt = 0
    for die in (False, True):
        for point in range(bench.chance.randrange(every), points, every):
            bench.counts.tries += 1
            code = attempt(point, die)
            felt += code != 0
            bench.counts.kills += code == -signal.SIGKILL
            what = f"fault {point} of {points} (die: {die})"
            bench.done(asked, HARD, f"after {what}")
            compare(runs, whole, bench.counts, what)
            shutil.rmtree(runs, ignore_errors=True)
    if felt * 3 < bench.counts.tries:
        bench.counts.problems.append(f"only {felt} of {bench.counts.tries} faults were felt")
