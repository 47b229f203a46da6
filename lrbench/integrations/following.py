"""A run on its way to tracking tools: what its folder holds, and the rows that are appended to it."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lrbench.analysis import Record, read_one
from lrbench.components import measures
from lrbench.config import group, identity
from lrbench.errors import LrbenchError, UsageError, reason_of
from lrbench.integrations.trackers import Ending, Log, Row, Run, Tool, state_of
from lrbench.runs import RunFolder, Tail

_NOT_CONFIG = ("name", "seed", "device", "reference", "track", "keep", "folder", "files", "recorded", "run")

Rows = Sequence[Mapping[str, float]]


def run_of(record: Record) -> Run:
    """Return a run as tools get it. Raises UsageError if its config can't be read."""
    experiment, environment = record.experiment, record.environment
    if experiment is None:
        raise UsageError(record.problem or f"{record.folder.name} has no config")
    plain = dict(record.plain)
    config = {key: value for key, value in plain.items() if key not in (*_NOT_CONFIG, "params")}
    config = {**plain.get("params", {}), **config}  # of a program that lrbench does not know
    rate = "" if experiment.lr is None else f" lr={experiment.lr:g}"
    about = {"device": environment.device, "lrbench_version": environment.lrbench, "git_commit": environment.git.commit}
    return Run(
        name=record.folder.name,
        experiment=record.name,
        group=f"{record.name}{rate} {group(experiment)[:8]}",
        seed=experiment.seed,
        identity=identity(experiment),
        config=config,
        started=_seconds(environment.started),
        metrics=record.metrics,
        about={key: value for key, value in about.items() if value},
        path=record.folder.path,
    )


def _seconds(text: str | None) -> float:
    """Return a time in seconds since 1970; 0 if it is unknown."""
    try:
        return datetime.datetime.fromisoformat(text or "").timestamp()
    except ValueError:
        return 0.0


def state_in(record: Record) -> str:
    """Return a hash of what a tool gets of a run: its config, its rows and its result."""
    files = (record.folder.steps.path, record.folder.epochs.path)
    sizes = [path.stat().st_size if path.exists() else 0 for path in files]
    return state_of([identity(record.experiment) if record.experiment else "", record.result, *sizes, record.status])


def ending_of(record: Record, step: int, when: float) -> Ending:
    """Return how a run ended, after `step` steps."""
    result = record.result
    values: dict[str, dict[str, float]] = {"final": {}, "run": {}}
    for name, measure in measures(record.metrics.values()).items():
        value = record.metric(name)
        if value is not None:
            values["final" if measure.per_epoch else "run"][name] = value
    reason = "" if result is None else result.reason
    return Ending(record.status, reason, (result and result.steps) or step, when, values["run"], values["final"])


Clock = Callable[[np.ndarray], np.ndarray]


def clock_of(started: float, evaluations: Rows) -> Clock:
    """Return the function that gives the times of steps done: linear between evaluations, which have their seconds."""
    steps = np.array([0.0, *(row["step"] for row in evaluations)])
    spent = np.cumsum([0.0, *np.nan_to_num([row.get("seconds", 0.0) for row in evaluations])])
    return lambda done: np.interp(done, steps, started + spent)


@dataclass
class Following:
    """A run that tools follow. A tool that fails is told of once and left out from then on.

    Attributes:
        folder: the run's folder.
        tools: the tools.
        failed: called with a tool that failed and what happened.
    """

    folder: RunFolder
    tools: list[Tool]
    failed: Callable[[Tool, str], None]
    logs: dict[Tool, Log] = field(default_factory=dict)

    def begin(self) -> Record:
        """Open the run in each tool that does not hold all of it, and pass on the rows that are there.

        Raises UsageError if its config can't be read.
        """
        record = read_one(self.folder)
        self.run, state = run_of(record), state_in(record)
        for tool, log in list(self.logs.items()):
            with _Guard(self, tool):
                log.discard()
        self.steps, self.epochs = Tail(self.folder.steps.path), Tail(self.folder.epochs.path)
        self.logs, self.done, self.now, self.evaluated = {}, 0, self.run.started, 0
        for tool in list(self.tools):
            with _Guard(self, tool):
                if not (record.status.over and tool.holds(self.run, state)):
                    self.logs[tool] = tool.open(self.run)
        if self.logs:
            self._pass_on(replayed=True)
        return record

    def advance(self) -> None:
        """Pass on the rows that are new. A run that was started again or resumed is begun again."""
        if self.logs and not self._pass_on(replayed=False):
            self.begin()

    def end(self) -> list[Tool]:
        """Pass on the last rows and how the run ended, and close its logs. Return the tools that got it."""
        self.advance()
        record = read_one(self.folder)
        ending, state = ending_of(record, self.done, self.now), state_in(record)
        for tool, log in list(self.logs.items()):
            with _Guard(self, tool):
                log.end(ending)
                tool.stamp(self.run, state)
        told, self.logs = list(self.logs), {}
        return told

    def _pass_on(self, *, replayed: bool) -> bool:
        """Pass on new rows in the order of their steps. Returns False if a file was written anew."""
        evaluations = self.epochs.rows()  # first: the steps before an evaluation are written before it
        while evaluations is not None and self.epochs.more:
            more = self.epochs.rows()
            evaluations = None if more is None else evaluations + more
        if evaluations is None:
            return False
        numbered = enumerate(evaluations, start=self.evaluated + 1)
        measured = [row if math.isfinite(row.get("step", math.nan)) else {**row, "step": n} for n, row in numbered]
        self.evaluated += len(evaluations)
        clock = clock_of(self.run.started, measured) if replayed else lambda done: np.full(len(done), time.time())
        left, over = _timed(measured, clock), False
        while not over:
            rows = self.steps.rows()
            if rows is None:
                return False
            over = not self.steps.more
            steps = _timed([row for row in rows if math.isfinite(row.get("step", math.nan))], clock)
            reached = len(left) if over else sum(row.step <= steps[-1].step for row in left) if steps else 0
            told, left = left[:reached], left[reached:]
            for row in [*steps[-1:], *told[-1:]]:
                self.done, self.now = max(self.done, row.step), max(self.now, row.time)
            for chunk, evaluation in _in_order(steps, told):
                self._tell(chunk, evaluation)
        return True

    def _tell(self, chunk: Sequence[Row], evaluation: Row | None) -> None:
        for tool, log in list(self.logs.items()):
            with _Guard(self, tool):
                step, evaluated = log.known
                log.by_step = log.by_step or bool(chunk)
                if new := [row for row in chunk if row.step > step]:
                    log.steps(new)
                if evaluation is not None and evaluation.step > evaluated:
                    log.evaluation(evaluation)


@dataclass
class _Guard:
    """Keep what a tool raises from the run and from other tools."""

    following: Following
    tool: Tool

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        reason = str(error) if isinstance(error, LrbenchError) else f"{type(error).__name__}: {reason_of(error)}"
        self.following.logs.pop(self.tool, None)
        if self.tool in self.following.tools:
            self.following.tools.remove(self.tool)
            self.following.failed(self.tool, f"{self.following.folder.name}: {reason}")
        return True


def _timed(rows: Rows, clock: Clock) -> list[Row]:
    times = clock(np.array([row["step"] for row in rows]))
    return [
        Row(int(row["step"]), float(when), {name: value for name, value in row.items() if name != "step"})
        for row, when in zip(rows, times, strict=True)
    ]


def _in_order(steps: Sequence[Row], evaluations: Iterable[Row]) -> Iterable[tuple[Sequence[Row], Row | None]]:
    """Yield the steps up to each evaluation with it, then the rest."""
    start = 0
    for evaluation in evaluations:
        end = start
        while end < len(steps) and steps[end].step <= evaluation.step:
            end += 1
        yield steps[start:end], evaluation
        start = end
    if start < len(steps):
        yield steps[start:], None
