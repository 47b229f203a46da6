"""Runs as jobs of Slurm's, submitted as an array through submitit.

A job trains one run in its folder, which every node sees; the folder's lock ensures that only one job trains it. Jobs
outlive the command. `job.json` in the run's folder names its job, so that the same command follows it again.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lrbench.errors import FolderError, Interrupted, LrbenchError, RunError, UsageError, counted, option
from lrbench.events import Event, Watch, message
from lrbench.runs import JOBS, Job, RunFolder, RunResult, check_links, last_lines, relative
from lrbench.training.executors import slurm_states
from lrbench.training.executors.cluster_task import LostError, Progress, Setting, patience, result_in
from lrbench.training.executors.slurm_queue import note_of, queue_of
from lrbench.training.executors.slurm_states import State
from lrbench.training.options import RunOptions
from lrbench.training.run_one import Done, WorkItem
from lrbench.training.signals import StopFlag

SUBMISSIONS = 5  # how often a run is submitted whose job was lost
POLL_SECONDS = 0.5
ASK_SECONDS = 10.0  # how often Slurm is asked for the states of jobs
SETTLE_SECONDS = 5.0  # how long a job has to be over before its state tells, since its last file may come late
UNKNOWN_SECONDS = 60.0  # the same for a job that Slurm does not know
JUST_SUBMITTED = State("PENDING")
_LOST = ("TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "PREEMPTED", slurm_states.UNKNOWN)


class SlurmJobs:
    """An `Executor` on a Slurm cluster. It checks what `--slurm` asks for when created, before anything is written.

    Every node must see the folder of the runs, `root`, at the same path, and this Python.
    """

    in_process = False

    def __init__(self, options: RunOptions, root: Path) -> None:
        self.request, self.folder = options.slurm_request, root.resolve() / JOBS
        if self.folder.is_file():
            raise UsageError(f"{self.folder} is a file; move it away, since the jobs and their logs are kept there")
        check_links(self.folder, root)
        self.queue = queue_of(self.request, self.folder, options.jobs)

    def execute(self, items: Sequence[WorkItem], watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """See `lrbench.training.executors.Executor`."""
        jobs = Submitted(self, items)
        jobs.attach(watch)
        try:
            yield from jobs.outcomes(watch, stop)
        except KeyboardInterrupt:  # a second signal
            jobs.queue.cancel(held.job for held in jobs.held.values())
            raise
        finally:
            if not jobs.held:
                jobs.stop_file.unlink(missing_ok=True)


@dataclass
class Held:
    """A run whose job is not over yet, as far as is known; `over` is since when the job seems to be over."""

    item: WorkItem
    job: Any
    note: Job
    state: State = JUST_SUBMITTED
    over: float | None = None


class Submitted:
    """The jobs, and the runs not submitted yet."""

    def __init__(self, executor: SlurmJobs, items: Sequence[WorkItem]) -> None:
        self.queue, self.folder = executor.queue, executor.folder
        self.stop_file = self.folder / f"stop-{uuid.uuid4().hex}"
        self.setting = Setting.here(self.stop_file, executor.request.cpus)
        self.left, self.held = deque(items), dict[Path, Held]()
        self.lost, self.progress = Counter[Path](), Progress()
        self.asked, self.stop_by, self.said = -ASK_SECONDS, float("inf"), ""

    def attach(self, watch: Watch) -> None:
        """Take over the jobs of an earlier command that are not over; of those it has done with, a file is missing."""
        notes = ((item, RunFolder(item.path).job) for item in self.left)
        known = {note.id: (item, note) for item, note in notes if note is not None and not self._stops(note)}
        jobs = [
            job
            for _, note in known.values()
            if (job := self.queue.attach(note)) and job.paths.submitted_pickle.exists()
        ]
        states = self.queue.states(jobs) if jobs else {}
        for job in jobs:
            state, (item, note) = (states or {}).get(job.job_id, State()), known[job.job_id]
            if not state.over:
                self.held[item.path] = Held(item, job, note, state)
        self.left = deque(item for item in self.left if item.path not in self.held)
        if self.held:
            watch(message(f"Slurm: {counted(len(self.held), 'job')} of an earlier command"))

    def outcomes(self, watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """Yield each run with its result, or the exception that prevented one, as they end."""
        while self.left or self.held:
            if stop():
                yield from self._stop(watch)
            self._submit(watch)
            time.sleep(POLL_SECONDS)
            self.progress.look(self.held, watch)
            for held in self._over(watch):
                path = held.item.path
                outcome = self._outcome(held)
                del self.held[path]
                if isinstance(outcome, LostError):
                    self.lost[path] += 1
                    if self.lost[path] < SUBMISSIONS and not stop():
                        watch(message(f"{outcome}; it is submitted again"))
                        self.left.append(held.item)
                        continue
                if isinstance(outcome, RunResult):
                    watch(Event(path.name, "end", values={"result": outcome, "folder": path}))
                elif held.state.name == "CANCELLED" and not stop():
                    watch(message(str(outcome)))
                yield path, outcome

    def _stops(self, note: Job) -> bool:
        return (self.folder / note.stop).exists()

    def _submit(self, watch: Watch) -> None:
        """Submit as many runs as there is room for."""
        items = [self.left.popleft() for _ in range(min(len(self.left), self.queue.at_once - len(self.held)))]
        if not items:
            return
        self.folder.mkdir(exist_ok=True)
        jobs = self.queue.submit([replace(item, path=item.path.resolve()) for item in items], self.setting)
        for item, job in zip(items, jobs, strict=True):
            note = note_of(self.queue, job, self.stop_file)
            with contextlib.suppress(FolderError):  # the job may still work
                RunFolder(item.path).note_job(note)
            self.held[item.path] = Held(item, job, note)
        self.asked = time.monotonic()  # Slurm needs a moment to know why a job is pending
        if self.queue.name == "slurm":
            first = jobs[0].job_id.partition("_")[0]
            watch(message(f"Slurm: job {first} with {counted(len(jobs), 'run')}; logs in {relative(self.folder)}"))

    def _over(self, watch: Watch) -> list[Held]:
        """Return the runs whose jobs are over: they left their outcome, or their state has been final for long."""
        self._ask(watch)
        left = {path.name for path in self.folder.glob("*_result.pkl")}
        now, over = time.monotonic(), []
        for held in self.held.values():
            patience = SETTLE_SECONDS if held.state.known else UNKNOWN_SECONDS
            settled = held.over is not None and now - held.over > patience
            if settled or held.job.paths.result_pickle.name in left:
                over.append(held)
        return over

    def _ask(self, watch: Watch, at_once: bool = False) -> None:
        """Ask the queue for the states of the jobs, if it was not just asked."""
        now = time.monotonic()
        if not at_once and now - self.asked < ASK_SECONDS and self.queue.name == "slurm":
            return
        self.asked = now
        states = self.queue.states(held.job for held in self.held.values())
        if states is None:
            return
        for held in self.held.values():
            held.state = states.get(held.job.job_id, State())
            held.over = (held.over or now) if held.state.over else None
        words = slurm_states.in_words(held.state for held in self.held.values())
        if words != self.said and "running" not in words and words:
            watch(message(f"Slurm: {words}"))
        self.said = words

    def _stop(self, watch: Watch) -> Iterator[Done]:
        """Submit no more, cancel pending jobs and give running ones time to write their checkpoints."""
        now = time.monotonic()
        while self.left:
            path = self.left.popleft().path
            yield path, Interrupted(f"{path.name} was not started")
        ended: list[Held] = []
        if self.stop_by == float("inf"):
            self.stop_by = now + self.queue.patience
            if self.held:
                watch(message(f"stopping: {patience('jobs', self.queue.patience)}"))
            self.folder.mkdir(exist_ok=True)
            for held in self.held.values():
                (self.folder / held.note.stop).touch()
            self._ask(lambda event: None, at_once=True)
            ended = [held for held in self.held.values() if held.state.pending]
        elif now > self.stop_by:
            ended = list(self.held.values())
        self.queue.cancel(held.job for held in ended)
        for held in ended:
            del self.held[held.item.path]
            held.job.paths.submitted_pickle.unlink(missing_ok=True)
            yield held.item.path, Interrupted(f"{held.item.path.name} was stopped; its last checkpoint is kept")

    def _outcome(self, held: Held) -> RunResult | Exception:
        """Return the result of a run whose job is over, or the error that prevented one, and remove the job's files."""
        path, files = held.item.path, held.job.paths
        try:
            if files.result_pickle.exists():
                error: Exception | None = held.job.result()
                return result_in(path) if error is None else error
        except Exception as failed:  # submitit's, with a traceback as its text
            return RunError(f"{path.name}: {_last(str(failed))}{_log(held, self.folder)}")
        finally:
            for left in (files.result_pickle, files.submitted_pickle):
                left.unlink(missing_ok=True)
        with contextlib.suppress(LrbenchError):
            if (result := RunFolder(path).result()) is not None:
                return result
        return _told(held, self.folder, self.queue.exit_code(held.job) if held.state.name == "FAILED" else None)


def _told(held: Held, folder: Path, code: int | None) -> Exception:
    """Return the error of a job that left no outcome, as its state and its exit code tell."""
    name, state = held.item.path.name, held.state
    what = f"{name}: its job {held.job.job_id} {state.words}{f' with exit code {code}' if code else ''}"
    if state.name == "CANCELLED":
        return Interrupted(f"{what}; its last checkpoint is kept")
    if state.name in _LOST:
        return LostError(what)
    lines = []
    with contextlib.suppress(OSError, ValueError):
        lines = last_lines(folder / held.note.log, 3)
    hint = f"; ask for more with {option('--slurm')} mem=" if state.name == "OUT_OF_MEMORY" else ""
    said = (
        f": {lines[-1]}" if lines else " without output; does its setup fail, or can't it see the folder of the runs?"
    )
    return RunError(f"{what}{hint}{said}{_log(held, folder)}")


def _log(held: Held, folder: Path) -> str:
    path = folder / held.note.log
    return f"\nLog: {relative(path)}" if path.exists() else ""


def _last(text: str) -> str:
    """Return the last line of a traceback in what submitit says of a failed job."""
    lines = [line for line in text.splitlines() if line.strip()] or ["it failed"]
    end = next((number for number, line in enumerate(lines) if number > 1 and line.startswith("----")), len(lines))
    return lines[end - 1].strip()[:300]
