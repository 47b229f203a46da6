"""Executing a command: start or resume it, follow what it records, stop it when asked, and conclude."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from lrbench.components import recorded as described
from lrbench.config import CommandConfig
from lrbench.errors import FolderError, Interrupted, LrbenchError, RunError
from lrbench.events import Event, Watch, message
from lrbench.runs import (
    Recorded,
    RunFolder,
    RunResult,
    SlowPattern,
    Source,
    Status,
    conclude,
    ended_well,
    first_failure,
    last_output,
    last_row,
    now,
)
from lrbench.training.commands.gpus import visible
from lrbench.training.commands.process import End, Process
from lrbench.training.kinds import Once
from lrbench.training.limits import LimitWatch

POLL_SECONDS = 0.2
LOOK_SECONDS = 1.0  # how often new rows are looked for
LOOKING = 0.01  # the part of the time that looking for them may take
PATIENCE = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 10.0))
"""The signals that stop a command, and how many seconds each is given."""
SHOWN_LINES = 8  # of the output of a command that failed
_ERROR = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt)(: |$)")
"""The last line of a traceback, which says more than an exit code."""


@contextlib.contextmanager
def executing(
    folder: RunFolder, config: CommandConfig, *, threads: int | None, stop: Callable[[], bool]
) -> Iterator[tuple[Once, Callable[[Watch], Watch]]]:
    """See `Kind`. `threads` are those of OpenMP and BLAS, unless the environment has its own number."""
    yield lambda watch: _once(folder, config, threads, watch, stop), lambda watch: watch


def _once(
    folder: RunFolder, config: CommandConfig, threads: int | None, watch: Watch, stop: Callable[[], bool]
) -> RunResult:
    """Execute the command once. Raises Interrupted, FolderError, LockedError."""
    checkpoint = _checkpoint(folder, config)
    resumed = checkpoint is not None
    if not resumed:
        if folder.output.exists():
            why = "its config has no `resume`" if config.resume in (None, False) else "it left no checkpoint"
            watch(message(f"{folder.name} starts over because {why}", folder.name))
        folder.clear()
    else:
        folder.amend_environment({"resumed": [*folder.environment().resumed, now()]})
    with visible(config.gpus or 1) as gpus:
        environment = _environment(folder, config, threads, resumed) | gpus
        with contextlib.suppress(OSError):  # which `Process` tells
            folder.output.touch()
        before, began = folder.written(), time.monotonic()
        process = Process(
            config.arguments(folder.path.absolute(), checkpoint),
            folder=config.start(folder.path),
            environment=environment,
            output=folder.output,
        )
        running = Running(folder, config, process, watch, written=before)
        try:
            end = running.until_its_end(stop)
        except BaseException:
            process.kill()
            raise
    return running.conclude(end, end.at - began)


def _checkpoint(folder: RunFolder, config: CommandConfig) -> Path | None:
    """Return what an interrupted command goes on from: its checkpoint, or the folder if it finds it by itself."""
    if config.resume in (None, False, "") or not folder.output.exists():
        return None
    if config.checkpoint is None:
        return folder.path
    start, pattern = config.start(folder.path), config.checkpoint
    found = [Path(pattern)] if Path(pattern).is_absolute() else list(start.glob(pattern))
    there = [path for path in found if path.exists()]
    return max(there, key=lambda path: path.stat().st_mtime, default=None)


def _environment(folder: RunFolder, config: CommandConfig, threads: int | None, resumed: bool) -> dict[str, str]:
    """Return the environment variables of the command."""
    run, own = folder.path.absolute(), dict(config.env or {})
    paths = [config.folder, *filter(None, [own.get("PYTHONPATH", os.environ.get("PYTHONPATH"))])]
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS") if threads is not None else ()
    told = {"params": config.params, "seed": config.seed, "name": config.name}
    given = {
        **{name: str(threads) for name in names if name not in os.environ},
        "PYTHONUNBUFFERED": "1",
        **os.environ,
        **own,
        "PYTHONPATH": os.pathsep.join(paths),
        "LRBENCH_RUN": str(run),
        "LRBENCH_PARAMS": json.dumps(told),
    }
    given.pop("LRBENCH_RESUMED", None)
    return given | ({"LRBENCH_RESUMED": "1"} if resumed else {})


@dataclass
class Running:
    """A running command and what is known of it.

    Attributes:
        beyond: the limit that it exceeded, or what else stopped it, in words; empty otherwise.
        printed: the bytes of its output when it was stopped; what follows tells only of that. None before.
    """

    folder: RunFolder
    config: CommandConfig
    process: Process
    watch: Watch
    recorded: Recorded = field(default_factory=Recorded)
    interrupted: bool = False
    beyond: str = ""
    printed: int | None = None
    looked: float = 0.0
    evaluated: dict[str, float] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    source: Source | None = None

    def __post_init__(self) -> None:
        self.limits = LimitWatch(self.config.limits, self.process.pid)
        if self.config.read is not None:
            self.source = Source(self.folder, self.config)

    rest: float = LOOK_SECONDS

    def until_its_end(self, stop: Callable[[], bool]) -> End:
        """Wait for the end of the command, or stop it. Raises LockedError if the run was taken over."""
        self.tell("start")
        while True:
            end = self.process.wait(POLL_SECONDS)
            if end is not None:
                return end
            self.folder.guard()
            if self.config.stall is not None:
                self._note_progress()
            self.interrupted = stop()
            self.beyond = "" if self.interrupted else self.limits.exceeded() or ""
            if self.interrupted or self.beyond:  # without memory there is no time to be gentle
                return self.stopped(PATIENCE[-1:] if self.limits.out_of_memory else PATIENCE)
            if time.monotonic() - self.looked > self.rest:  # last, since it may end while its output is read
                self.look()
            if self.beyond:  # its output can't be read
                return self.stopped(PATIENCE)

    def _note_progress(self) -> None:
        """Note whether it has written something since: output, rows, or another file in the run's folder."""
        with contextlib.suppress(OSError):  # a temporary file is gone
            written = self.folder.written()
            if written != self.written:
                self.written = written
                self.limits.progressed()

    def stopped(self, ways: Sequence[tuple[signal.Signals, float]]) -> End:
        """Stop the command by signals, each given so many seconds; return how it ended."""
        with contextlib.suppress(OSError):
            self.printed = self.folder.output.stat().st_size
        for number, patience in ways:
            self.process.signal(number)
            until = time.monotonic() + patience
            while time.monotonic() < until:
                end = self.process.wait(POLL_SECONDS)
                if end is not None:
                    return end
        self.process.kill()
        return End(signal=signal.SIGKILL)

    def look(self) -> None:
        """Show what the command has recorded since."""
        began = self.looked = time.monotonic()
        with contextlib.suppress(LrbenchError, OSError, ValueError):  # not there yet, or half written
            total = self.recorded.total_steps
            try:
                self.read()
            except SlowPattern as error:
                self.beyond = f"it was stopped because {error}"
                return
            if self.recorded.total_steps != total:  # others that look at the run want to know how far it is
                self.folder.amend_environment(self.known)
            self.tell("progress")
        longest = math.inf if self.config.stall is None else self.config.stall / 2  # rows that are read are progress
        self.rest = min(max(LOOK_SECONDS, (time.monotonic() - began) / LOOKING), longest)

    def read(self) -> None:
        """Read what the command says of its run. Raises FolderError."""
        if self.source is not None:  # which knows the directions in the config
            self.recorded = self.source.collect()
            return
        found = Recorded.of(self.folder.recorded())
        self.recorded = replace(found, metrics={**found.metrics, **self.config.directions})

    @property
    def known(self) -> dict[str, Any]:
        """What `env.json` says of what the command recorded."""
        sizes = {} if self.recorded.total_steps is None else {"sizes": {"total_steps": self.recorded.total_steps}}
        return {"metrics": described(self.recorded.metrics.values()), **sizes}

    def tell(self, kind: Literal["start", "progress", "epoch"]) -> None:
        """Send an event with the last values."""
        evaluated, step = last_row(self.folder.epochs.path), last_row(self.folder.steps.path)
        values: dict[str, Any] = {k: v for k, v in evaluated.items() if k.startswith(("train_", "val_"))}
        if "loss" in step:
            values["train_loss"] = step["loss"]
        if kind == "start":
            values = {"metrics": described(self.config.directions.values())}
        elif evaluated != self.evaluated:
            kind, self.evaluated = "epoch", evaluated
        done = int(max(step.get("step", 0), evaluated.get("step", 0)))
        total = self.recorded.total_steps or 0
        epoch = int(evaluated.get("epoch", 0))
        if kind == "progress" and not (done or values):
            return  # it has said nothing yet
        lr = step.get("lr", evaluated.get("lr", 0.0))
        self.watch(Event(self.folder.name, kind, step=done, total_steps=total, epoch=epoch, lr=lr, values=values))

    def conclude(self, end: End, seconds: float) -> RunResult:
        """Write and return the result. Raises Interrupted."""
        self.folder.guard()
        if self.interrupted:
            raise Interrupted(f"{self.folder.name} was stopped")
        problem = ""
        try:
            self.read()
        except FolderError as error:
            problem = str(error)
        self.folder.amend_environment({**self.known, "exit_code": end.code})
        status, reason = Status.FINISHED, ""
        if self.beyond:
            status, reason = Status.FAILED, self.beyond
        elif not end.well:
            status, reason = Status.FAILED, f"the command {end.words}"
        elif problem:
            status, reason = Status.FAILED, problem
        made = conclude(self.folder, self.recorded, status=status, reason=reason, best_by=self.config.best_by)
        result = ended_well(replace(made, seconds=made.seconds or seconds))
        if result.status is Status.FAILED:
            result = replace(result, reason=self._explained(result.reason))
        try:
            return self.folder.finish(self.config, result)
        except OSError as error:
            raise RunError(f"{self.folder.name}: {result.reason}") from error

    def _explained(self, reason: str) -> str:
        """Add the last lines of the output to why a run failed; those of the rank that failed first, if one did.

        If there is only an exit code, the last line comes first, and without the code if it is an error. Of a run that
        was stopped, they are those before it was.
        """
        failure = first_failure(self.folder.output) if "exit code" in reason else None
        if failure is None:
            lines, who = last_output(self.folder.output, SHOWN_LINES, self.printed), ""
        else:
            lines, who = failure.last(SHOWN_LINES), f"rank {failure.rank}"
            reason = f"{who} {End.of(failure.code).words}"
        if lines and "exit code" in reason:
            last = lines.pop()
            named = ": ".join(filter(None, (who, last)))
            reason = named if _ERROR.match(last) else f"{reason}: {last}"
        shown = "".join(f"\n  {line}" for line in lines)
        return f"{reason}{shown}\nFull output: {self.folder.output}"
