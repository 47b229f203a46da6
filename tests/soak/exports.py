"""Exports whose target is removed, replaced by a file, made read-only, or that are killed; then the same again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forked import Forks

from lrbench.errors import LrbenchError
from lrbench.integrations.importers.mlflow import read_mlflow
from lrbench.integrations.importers.wandb import read_wandb
from lrbench.runs import read_events
from soak.bench import Bench, Command
from soak.disks import OF_ROOT

MADE_UP = Path(__file__).with_name("made_up.py")


def of_tensorboard(target: Path) -> dict[str, Any]:
    """Return the rows of each run in TensorBoard's files, without times."""
    found = {}
    for folder in sorted({file.parent for file in target.rglob("*tfevents*")}):
        with contextlib.suppress(LrbenchError):
            rows, _ = read_events(folder)
            found[folder.name] = [{key: value for key, value in row.items() if key != "wall_time"} for row in rows]
    return found


def of_tables(target: Path) -> dict[str, Any]:
    return {path.name: path.read_bytes() for path in target.glob("*.*")}


def of_mlflow(target: Path) -> dict[str, Any]:
    """Return the rows of each run in MLflow's database."""
    with contextlib.suppress(LrbenchError):
        return {run.title: run.log for run in read_mlflow(target / "mlflow.db")}
    return {}


def of_wandb(target: Path) -> dict[str, Any]:
    """Return the rows of each run in W&B's files, without times."""
    found: dict[str, Any] = {}
    for path in target.rglob("*.wandb"):
        with contextlib.suppress(LrbenchError):
            for run in read_wandb(path):
                kept = [sorted(row.items()) for row in run.log]  # W&B writes them in any order
                found[run.title] = [[one for one in row if one[0] not in ("_runtime", "_timestamp")] for row in kept]
    return found


TOOLS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "tensorboard": of_tensorboard, "csv": of_tables, "parquet": of_tables, "mlflow": of_mlflow, "wandb": of_wandb,
}  # fmt: skip
HARMS = ("removed", "a file", "read-only", "killed")
MODULES = {
    "tensorboard": "tensorboard.summary.writer.event_file_writer", "parquet": "pyarrow.parquet",
    "mlflow": "mlflow.tracking", "wandb": "wandb",
}  # fmt: skip
"""What an export imports, which takes seconds."""
MOST_IN_VAIN = 3
"""Exports for each that is under way when the harm comes."""
WITH_TABLES = 0.8
"""The part of the exports to MLflow into a database that has its tables, whose making takes most of the time."""


def exports(bench: Bench, tries: int) -> None:
    """`export` to each tool in turn, while its target is removed, replaced, made read-only, or it is killed."""
    runs = bench.folder / "exported"
    bench.done([runs, 1, 2, 1], what="made-up runs", program=MADE_UP)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before it is imported
    modules = [MODULES[tool] for tool in list(TOOLS)[:tries] if tool in MODULES]
    bound = ["setpriv", f"--bounding-set={OF_ROOT}"] if os.geteuid() == 0 and shutil.which("setpriv") else []
    with contextlib.closing(Forks(modules=modules)) as free, contextlib.closing(Forks(bound, modules)) as bound_ones:
        exporter = Exporter(bench, runs, free, bound_ones)
        for number in range(MOST_IN_VAIN * tries):
            if bench.counts.tries < tries:
                exporter.export(list(TOOLS)[number % len(TOOLS)], bench.chance.choice(HARMS))


class Exporter:
    """Exports runs under harm.

    Args:
        bench: the bench.
        runs: the runs.
        free: starts the commands.
        bound: starts those whom permissions bind.
    """

    def __init__(self, bench: Bench, runs: Path, free: Forks, bound: Forks) -> None:
        self.bench, self.runs, self.free, self.bound = bench, runs, free, bound
        self.wholes: dict[str, tuple[dict[str, Any], float]] = {}
        self.tables = bench.folder / "tables.db"

    def untouched(self, tool: str) -> tuple[dict[str, Any], float]:
        """Return what an export gives to which nothing happens, and how many seconds it takes once it has begun."""
        if tool not in self.wholes:
            whole = self.target(tool)
            command = self.bench.start(self.words(tool, whole), forks=self.free)
            self.bench.wait(command, 60, whole.exists)
            began = time.monotonic()
            self.bench.end_of(command, what=f"{tool}, untouched")
            self.wholes[tool] = TOOLS[tool](whole), time.monotonic() - began
            if not self.wholes[tool][0]:
                self.bench.counts.problems.append(f"{tool}: nothing was exported")
        return self.wholes[tool]

    def words(self, tool: str, target: Path) -> list[object]:
        return ["export", self.runs, target, "--to", tool]

    def target(self, tool: str) -> Path:
        """Return a new target; for MLflow mostly with the tables of its database."""
        target = self.bench.new("target")
        if tool == "mlflow" and (not self.wholes.get(tool) or self.bench.chance.random() < WITH_TABLES):
            if not self.tables.exists():
                make_tables(self.tables)
            target.mkdir()
            shutil.copy(self.tables, target / "mlflow.db")
        return target

    def export(self, tool: str, harm: str) -> None:
        """Export to one tool under one harm, then again, and compare with the untouched export."""
        bench, (whole, seconds), what = self.bench, self.untouched(tool), f"export to {tool}, {harm}"
        target = self.target(tool)
        words = self.words(tool, target)
        command = bench.start(words, forks=self.bound if harm == "read-only" else self.free)
        bench.wait(command, 60, target.exists)
        if bench.wait(command, bench.chance.uniform(0, seconds)):
            bench.counts.tries += 1
            _do(bench, command, target, harm)
        bench.end_of(command, (0, -signal.SIGKILL) if harm == "killed" else (0, 1, 2), what)
        bench.count_orphans(what)
        if target.is_file():
            target.unlink()
        for path in (target, *target.rglob("*")):
            if path.exists():
                path.chmod(0o755 if path.is_dir() else 0o644)
        bench.done(words, what=f"{what}, again", forks=self.free)
        found = TOOLS[tool](target)
        bench.counts.runs += len(whole)
        for name in whole:
            if name not in found:
                bench.counts.lost(f"{what}: {name} is missing")
            elif repr(found[name]) != repr(whole[name]):  # as text, since NaN is not equal to itself
                bench.counts.differs(f"{what}: {name} differs")
        shutil.rmtree(target)


def make_tables(database: Path) -> None:
    """Make a database of MLflow without runs."""
    from mlflow.tracking import MlflowClient

    MlflowClient(tracking_uri=f"sqlite:///{database}").search_experiments()


def _do(bench: Bench, command: Command, target: Path, harm: str) -> None:
    if harm == "killed":
        command.signal(signal.SIGKILL, group=True)
        bench.counts.kills += 1
    elif harm == "read-only":
        for folder in (target, *target.rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                folder.chmod(0o555 if folder.is_dir() else 0o444)
    else:
        shutil.rmtree(target, ignore_errors=True)
        if harm == "a file":
            with contextlib.suppress(IsADirectoryError):  # it was made again meanwhile
                target.write_text("in the way")
