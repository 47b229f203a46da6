"""The queue that jobs are submitted to: Slurm's, or processes on this machine to try it. Only file with submitit."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import psutil

from lrbench.errors import Interrupted, LrbenchError, RunError, UsageError, option
from lrbench.runs import Job, now
from lrbench.training.executors import slurm_states
from lrbench.training.executors.cluster_task import LostError, Setting, do
from lrbench.training.executors.slurm_request import SlurmRequest
from lrbench.training.executors.slurm_states import State
from lrbench.training.limits import kill
from lrbench.training.run_one import WorkItem

try:
    import submitit
    from submitit.core.utils import UncompletedJobError
    from submitit.helpers import Checkpointable, clean_env
except ImportError as error:
    raise UsageError(f"{option('--executor')} slurm needs submitit: pip install 'lrbench-torch[slurm]'") from error

_SCRIPTS = ".submission_file_*.sh"
_NO_ANSWER = re.compile("contact slurm controller|configuration (source|file)|timed out|[Mm]unge|authentication")
"""What sbatch says where no cluster answers."""
_INSTEAD = "use it on a login node, where sinfo lists the nodes, or try it without Slurm: {} cluster=local"
_LOCAL = {"RUNNING": "RUNNING", "INTERRUPTED": "CANCELLED"}
"""What Slurm calls the states of local jobs; all others have failed, unless they left an outcome."""
REQUEUES = 20  # how often a job is requeued that ran out of time; each time it goes on from the checkpoint
MOST_MINUTES = 10**6  # of a local process without a time limit
SAVE = signal.Signals[f"SIG{submitit.JobEnvironment.USR_SIG}"]
"""The signal before a job's time is up, or before it is preempted."""


class Asked:
    """True once this process was asked to end; `number` is the last signal that did so."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self) -> bool:
        """True once a signal came."""
        return self.number != 0

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Note a signal."""
        self.number = number


class Task(Checkpointable):
    """A run as a job. Returns the error that kept it from a result; None if there is a result in its folder.

    A signal ends the run with a checkpoint. Then the job is requeued by submitit's own handler, unless it was
    cancelled or Slurm requeues it itself: then the process ends, and Slurm's state tells why.
    """

    def __init__(self, item: WorkItem, setting: Setting) -> None:
        self.item, self.setting = item, setting

    def __call__(self) -> LrbenchError | None:
        """Execute the run on the node."""
        asked, requeue = Asked(), signal.getsignal(SAVE)
        for number in (SAVE, signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:  # a local job leaves Ctrl-C to the command
                signal.signal(number, asked.hear)
        node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
        try:
            do(self.item, self.setting, node, asked)
        except Interrupted as error:
            return self._end(asked.number, requeue) if asked() else error
        except LrbenchError as error:
            return error
        return None

    def _end(self, number: int, requeue: Any) -> LrbenchError:
        """Requeue the job, which ends this process, or end it. Returns why the job can't be requeued."""
        name = self.item.path.name
        mine = os.environ.get("SLURM_JOB_ID")
        if number != SAVE and not (number == signal.SIGTERM and mine and slurm_states.still_running(mine)):
            sys.exit(128 + number)
        try:
            requeue(SAVE, None)
        except UncompletedJobError:
            kept = "its checkpoint is kept, and the same command resumes it"
            return RunError(f"{name}: its job ran out of time {REQUEUES + 1} times; {kept}")
        except (OSError, subprocess.SubprocessError) as error:
            return LostError(f"{name}: Slurm did not requeue its job ({error})")
        raise AssertionError("requeueing ends the process")


class Queue(Protocol):
    """What jobs are submitted to."""

    name: str
    at_once: int
    """How many jobs may be submitted and not over."""
    patience: float
    """How many seconds jobs have to write their checkpoints before they are cancelled."""

    def submit(self, items: Sequence[WorkItem], setting: Setting) -> list[Any]:
        """Submit a job for each run; return submitit's jobs. Raises UsageError, RunError."""

    def attach(self, note: Job) -> Any | None:
        """Return submitit's job of an earlier command; None if it can't be followed."""

    def states(self, jobs: Iterable[Any]) -> dict[str, State] | None:
        """Return the states of jobs by their id; None if the queue does not answer."""

    def exit_code(self, job: Any) -> int | None:
        """Return the exit code of a job that has failed; None if it is unknown."""

    def cancel(self, jobs: Iterable[Any]) -> None:
        """Cancel jobs."""


class SlurmQueue:
    """Slurm's queue; jobs are submitted as one array, of which `--jobs` run at once."""

    name, patience = "slurm", 60.0
    at_once = 1000  # as many as an array may have unless a cluster allows more

    def __init__(self, request: SlurmRequest, folder: Path, jobs: int | None) -> None:
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise UsageError(
                f"{option('--executor')} slurm needs Slurm's commands, such as sbatch: "
                f"{_INSTEAD.format(option('--slurm'))}"
            )
        self.request, self.folder, self.jobs = request, folder, jobs
        self._ask()

    def _ask(self) -> None:
        """Raise UsageError if no cluster answers; what else it objects to is told when jobs are submitted."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired), _outside_of_a_job():
            words = ["sbatch", "--test-only", f"--time={self.request.minutes}", "--wrap=true"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, errors="replace")
            if done.returncode:
                _check_answer(_said_by_sbatch(done.stderr))

    def submit(self, items: Sequence[WorkItem], setting: Setting) -> list[Any]:
        """See `Queue`."""
        with _submitting(self.folder):
            executor = submitit.SlurmExecutor(self.folder, max_num_timeout=REQUEUES)
            executor.update_parameters(
                job_name=self.request.name,
                time=self.request.minutes,
                cpus_per_task=self.request.cpus,
                srun_args=[f"--cpus-per-task={self.request.cpus}"],  # which it does not take from the job
                signal_delay_s=self.request.signal_delay,
                array_parallelism=self.jobs or self.at_once,
                setup=[self.request.setup] * bool(self.request.setup),
                stderr_to_stdout=True,
                wckey=None,
                additional_parameters={"requeue": True, **self.request.passed_on},
            )
            return _submitted(executor, items, setting)

    def attach(self, note: Job) -> Any | None:
        """See `Queue`."""
        return submitit.SlurmJob(self.folder, note.id) if note.queue == self.name else None

    def states(self, jobs: Iterable[Any]) -> dict[str, State] | None:
        """See `Queue`."""
        return slurm_states.states_of(job.job_id for job in jobs)

    def exit_code(self, job: Any) -> int | None:
        """See `Queue`."""
        return slurm_states.exit_code(job.job_id)

    def cancel(self, jobs: Iterable[Any]) -> None:
        """See `Queue`."""
        slurm_states.cancel(job.job_id for job in jobs)


class LocalQueue:
    """Processes on this machine, which are started, checkpointed and requeued as Slurm's jobs are.

    They print to the job's log from the start, and a Ctrl-C in the terminal leaves them to the command, which asks them
    to write their checkpoints.
    """

    name, patience = "local", 10.0

    def __init__(self, request: SlurmRequest, folder: Path, jobs: int | None) -> None:
        self.request, self.folder = request, folder
        self.at_once = jobs or os.cpu_count() or 1

    def submit(self, items: Sequence[WorkItem], setting: Setting) -> list[Any]:
        """See `Queue`."""
        with _submitting(self.folder):
            executor = submitit.LocalExecutor(self.folder, max_num_timeout=REQUEUES)
            executor.update_parameters(
                timeout_min=self.request.minutes or MOST_MINUTES,
                signal_delay_s=self.request.signal_delay,
                setup=[self._begin, *([self.request.setup] if self.request.setup else [])],
                stderr_to_stdout=True,
            )
            return _submitted(executor, items, setting)

    def attach(self, note: Job) -> Any | None:
        """See `Queue`. A number in a file proves nothing: the process has to be one that submitit started for us."""
        if note.queue != self.name or not note.id.isdecimal():
            return None
        with contextlib.suppress(psutil.Error, OverflowError):
            process = psutil.Process(int(note.id))
            words = " ".join(process.cmdline())
            if "submitit.local._local" in words and str(self.folder) in words:
                earlier: Any = EarlierProcess(process)
                return submitit.LocalJob(self.folder, note.id, process=earlier)
        return None

    def states(self, jobs: Iterable[Any]) -> dict[str, State] | None:
        """See `Queue`."""
        return {job.job_id: State(_LOCAL.get(job.state, "FAILED")) for job in jobs}

    def exit_code(self, job: Any) -> int | None:
        """See `Queue`."""
        code: int | None = job._process.poll()
        return None if isinstance(job._process, EarlierProcess) else code

    def cancel(self, jobs: Iterable[Any]) -> None:
        """See `Queue`."""
        for job in jobs:
            if job.state == "RUNNING":
                kill(int(job.job_id))  # submitit's own way is SIGINT, which the job ignores

    @property
    def _begin(self) -> str:
        """What a job's shell does first. Its trap keeps bash from becoming Python: its process id is the job's."""
        return f"trap : EXIT && trap '' INT && exec >>{shlex.quote(str(self.folder))}/$$_0_log.out 2>&1"


class EarlierProcess:
    """The process of a job that an earlier command has started, in place of a `Popen`."""

    def __init__(self, process: psutil.Process) -> None:
        self.process = process

    def poll(self) -> int | None:
        """Return None while it runs, then 1: only its parent is told its exit code."""
        with contextlib.suppress(psutil.Error):
            if self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE:
                return None
        return 1


@contextlib.contextmanager
def _submitting(folder: Path) -> Iterator[None]:
    """Turn the errors of a submission into lrbench's, and remove what it has left behind."""
    before = {*folder.iterdir()}
    try:
        with contextlib.redirect_stderr(io.StringIO()), _outside_of_a_job():  # submitit prints what it raises too
            yield
    except (OSError, RuntimeError) as error:  # the latter: submitit's own, with what sbatch says
        for path in {*folder.glob("*.pkl"), *folder.glob(_SCRIPTS)} - before:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise RunError(f"can't submit jobs: {error}") from error
        said = _said_by_sbatch(str(error))
        _check_answer(said)
        raise UsageError(f"{option('--slurm')}: {'; '.join(said) or str(error).strip()}") from error
    for path in {*folder.glob(_SCRIPTS)} - before:  # links to the script, which stays
        path.unlink(missing_ok=True)


def _said_by_sbatch(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("sbatch:")]


def _check_answer(said: Sequence[str]) -> None:
    """Raise UsageError if what sbatch said means that no cluster answers."""
    if said and _NO_ANSWER.search(said[-1]):
        problem = f"no Slurm cluster answers on this machine ({said[-1]})"
        raise UsageError(f"{option('--executor')} slurm: {problem}; {_INSTEAD.format(option('--slurm'))}")


@contextlib.contextmanager
def _outside_of_a_job() -> Iterator[None]:
    """Hide the variables of the job that this process runs in, if any, from the jobs that it submits."""
    if "SLURM_JOB_ID" not in os.environ:
        yield
        return
    kept = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
    with clean_env():
        os.environ.update(kept)
        yield


def _submitted(executor: Any, items: Sequence[WorkItem], setting: Setting) -> list[Any]:
    jobs: list[Any] = executor.submit_array([Task(item, setting) for item in items])
    return jobs


def queue_of(request: SlurmRequest, folder: Path, jobs: int | None) -> Queue:
    """Return the queue that a request is for. Raises UsageError if it is not here."""
    kind: Callable[[SlurmRequest, Path, int | None], Queue] = LocalQueue if request.local else SlurmQueue
    return kind(request, folder, jobs)


def note_of(queue: Queue, job: Any, stop: Path) -> Job:
    """Return what a run's folder keeps of a job."""
    return Job(queue.name, job.job_id, job.paths.stdout.name, stop.name, now())
