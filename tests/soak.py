"""Runs that are killed, and files that can't be written, until each run is done: then compared with untouched ones.

    python tests/soak.py --kills 200 --every 1        # make soak
    python tests/soak.py --kills 24 --every 0         # what the tests do
    python tests/soak.py --kills 0 --every 23         # and beside it

Runs are the command line itself, in forked processes of one thread, so that torch is imported once. The last line is a
summary; the exit status is 1 where anything differed.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: a process that has threads can't be forked safely

import argparse
import contextlib
import errno
import io
import json
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas  # noqa: F401  what a run imports later is imported before forking, or each one would pay for it
import schedulefree  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch
import torch._dynamo
import yaml
from prodigyopt import Prodigy  # noqa: F401

import lrbench.training.loop
from lrbench.cli import progress, tables  # noqa: F401
from lrbench.cli.app import main
from lrbench.components.data import sources  # noqa: F401
from lrbench.training import run_one

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


class Soak:
    """Counts what was done to runs, and what came of it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.chance = folder, random.Random(seed)
        self.kills = self.faults = self.felt = self.runs = self.attempts = 0
        self.differences: list[str] = []

    def config(self, name: str, changes: dict[str, Any]) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**BASE, **changes, "name": name}), encoding="utf-8")
        return path

    def attempt(self, config: Path, runs: Path, prepare: Callable[[], None], kill_after: float | None = None) -> int:
        """`lrbench run` in a process of its own; its exit status, or minus the signal that ended it."""
        self.attempts += 1
        output = self.folder / "output.txt"
        child = os.fork()
        if child == 0:
            begin_child(output, prepare, ["run", str(config), "--runs", str(runs)])
        if kill_after is not None:
            deadline = time.monotonic() + kill_after
            while time.monotonic() < deadline:
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    return self.checked(os.waitstatus_to_exitcode(status), output)
                time.sleep(0.001)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        return self.checked(os.waitstatus_to_exitcode(status), output)

    def checked(self, code: int, output: Path) -> int:
        text = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
        if "Traceback" in text or "lrbench failed unexpectedly" in text:
            self.differences.append(f"a traceback or a crash of its own (exit {code}): {text[-3000:]}")
        return code

    def compare(self, what: str, one: Path, other: Path) -> None:
        """All that two runs wrote, timings aside."""
        self.runs += 1
        found = [path.name for path in (one, other) for path in path.glob(".*")]
        if found:
            self.differences.append(f"{what}: left behind {found}")
        for name, a, b in zip(("steps", "epochs", "result", "best"), written(one), written(other), strict=True):
            if a != b:
                self.differences.append(f"{what}: {name} differ")

    def untouched(self, config: Path) -> tuple[Path, float]:
        """A run that nothing happens to, and how long it took."""
        runs = self.folder / f"{config.stem}-whole"
        began = time.monotonic()
        code = self.attempt(config, runs, lambda: None)
        assert code == 0, f"{config.stem}: exit {code}: {(self.folder / 'output.txt').read_text()}"
        return only_run(runs), time.monotonic() - began

    def kill_until_done(self, config: Path, whole: Path, seconds: float) -> None:
        """Kill at random moments until it is done."""
        runs = self.folder / f"{config.stem}-{self.runs}"
        while True:
            code = self.attempt(config, runs, quick_checkpoints, self.chance.uniform(0, seconds))
            if code == 0:
                break
            if code != -signal.SIGKILL:
                self.differences.append(f"{config.stem}: exit {code}: {(self.folder / 'output.txt').read_text()}")
                return
            self.kills += 1
        self.compare(f"{config.stem}, killed", only_run(runs), whole)
        shutil.rmtree(runs)

    def fail_everywhere(self, config: Path, whole: Path, every: int) -> None:
        """At each point where something is written: fail before, in the middle, or die; then the same command again."""
        runs = self.folder / "faults"
        count = self.folder / "count.txt"
        self.attempt(config, runs, lambda: break_files(runs, None, die=False, report=count))
        shutil.rmtree(runs)
        points = int(count.read_text())
        for die in (False, True):
            for point in range(self.chance.randrange(every), points, every):
                self.faults += 1
                code = self.attempt(config, runs, lambda p=point, d=die: break_files(runs, p, d))  # type: ignore[misc]
                self.felt += code != 0
                if code not in ((0, 1, 2) if not die else (0, -9)):
                    self.differences.append(f"fault {point} of {points} (die: {die}): exit {code}")
                code = self.attempt(config, runs, lambda: None)
                if code != 0:
                    text = (self.folder / "output.txt").read_text()
                    self.differences.append(f"after fault {point} of {points} (die: {die}): exit {code}: {text}")
                else:
                    self.compare(f"fault {point} of {points} (die: {die})", only_run(runs), whole)
                shutil.rmtree(runs, ignore_errors=True)


def begin_child(output: Path, prepare: Callable[[], None], words: list[str]) -> None:
    """The forked process: never returns."""
    code = 70
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
        torch.set_num_threads(1)
        prepare()
        main(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def quick_checkpoints() -> None:
    """A checkpoint after every evaluation and every few updates, so that kills often meet one being written."""
    lrbench.training.loop.EVALUATION_CHECKPOINT_SECONDS = 0.0
    lrbench.training.loop.CHECKPOINT_SECONDS = 0.02
    lrbench.training.loop.READ_BACK_SECONDS = 0.01


def break_files(folder: Path, point: int | None, die: bool, report: Path | None = None) -> None:
    """Let the `point`-th operation on files in `folder` fail (no space left) or be the process's last."""
    quick_checkpoints()
    lrbench.training.loop.CHECKPOINT_SECONDS = 3600.0  # by the clock, the operations would not be the same each time
    lrbench.training.loop.READ_BACK_SECONDS = 3600.0
    seen = 0

    def here(name: object) -> bool:
        return isinstance(name, str | os.PathLike) and str(folder) in os.fspath(name)

    def fail() -> bool:
        nonlocal seen
        seen += 1
        return point is not None and seen - 1 == point

    def end(text: str) -> None:
        if die:
            os.kill(os.getpid(), signal.SIGKILL)  # lrbench notices os._exit
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), text)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        changes = ("os.rename", "os.link", "os.remove", "os.mkdir", "os.utime", "os.truncate")
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if (writes or event in changes) and here(arguments[0]) and fail():
            end(str(arguments[0]))

    plain_open, plain_sync = pathlib.Path.open, os.fsync

    class Torn:
        """A file whose write may stop in the middle."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: Any) -> Any:
            if fail():
                self.file.write(data[: len(data) // 2])
                self.file.flush()
                end("a write")
            return self.file.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def __enter__(self) -> Any:
            self.file.__enter__()
            return self

        def __exit__(self, *what: Any) -> Any:
            return self.file.__exit__(*what)

    def opened(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        file = plain_open(path, mode, *rest, **more)
        return Torn(file) if set(mode) & set("wa") and here(path) else file

    def synced(descriptor: int) -> None:
        if fail():
            end("a sync")
        plain_sync(descriptor)

    pathlib.Path.open = opened  # type: ignore[method-assign, assignment]
    os.fsync = synced  # type: ignore[assignment]
    sys.addaudithook(audit)
    if report is not None:
        inner = run_one.attempt_all

        def counted(*args: Any, **kwargs: Any) -> Any:
            try:
                return inner(*args, **kwargs)
            finally:
                with plain_open(report, "w") as file:
                    file.write(str(seen))

        lrbench.training.executors.serial.attempt_all = counted


def only_run(runs: Path) -> Path:
    """The one run in a folder of runs."""
    (run,) = (path for path in runs.iterdir() if re.search(r"-seed\d+-[0-9a-f]{8}$", path.name))
    return run


def written(run: Path) -> list[Any]:
    """What a run wrote, timings aside; None where it is not there or can't be read."""
    parts_of: list[Any] = []
    readers: list[Callable[[], Any]] = [
        lambda: (run / "steps.csv").read_bytes(),
        lambda: [line.split(",")[:-2] for line in (run / "epochs.csv").read_text().splitlines()],
        lambda: {**json.loads((run / "result.json").read_text()), "seconds": 0},
        lambda: {k: v.tolist() for k, v in torch.load(run / "best.pt", weights_only=True).items()},
    ]
    for reader in readers:
        try:
            parts_of.append(reader())
        except Exception as error:
            parts_of.append(f"{run}: {error!r}")
    return parts_of


def soak(kills: int, every: int, seed: int) -> Soak:
    """At least so many kills, over all kinds of state in turn; a fault at each `every`-th point, none if it is 0."""
    memory = Path("/dev/shm")  # where syncing costs nothing
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        made = Soak(Path(folder), seed)
        configs = {name: made.config(name, changes) for name, changes in STATES.items() if kills}
        wholes = {name: made.untouched(path) for name, path in configs.items()}
        while made.kills < kills:
            for name, path in configs.items():
                made.kill_until_done(path, *wholes[name])
        if every:
            tiny = made.config("tiny", {"epochs": 3})
            made.fail_everywhere(tiny, made.untouched(tiny)[0], every)
        return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    began = time.monotonic()
    result = soak(chosen.kills, chosen.every, chosen.seed)
    with contextlib.suppress(BrokenPipeError):
        for text in result.differences:
            print(text)
        print(
            f"kills: {result.kills}, faults: {result.faults} (felt: {result.felt}), runs: {result.runs}, "
            f"attempts: {result.attempts}, differences: {len(result.differences)}, "
            f"seconds: {time.monotonic() - began:.0f}"
        )
    sys.exit(bool(result.differences))
