"""The Slurm jobs of a sweep's runs that have no result, as the login node sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lrbench.runs import Status
from lrbench.sweeps.plan import Plan, SweepFolder
from lrbench.sweeps.status import Board
from lrbench.training import JobState, job_states


@dataclass(frozen=True)
class RunJob:
    """The last job of a run that has no complete result.

    Attributes:
        run: the name of the run's folder.
        id: the job's id, such as `1234_5`.
        log: the file to which it prints.
        state: its state; None for a process on one machine, or if Slurm does not answer.
        local: whether it is a process on one machine.
    """

    run: str
    id: str
    log: Path
    state: JobState | None = None
    local: bool = False

    @property
    def words(self) -> str:
        """What became of the job: `job 1234_5 was cancelled`; only its id if that is not known."""
        known = self.state is not None and not (self.state.pending or self.state.running) and self.state.known
        return f"job {self.id} {self.state.words}" if known and self.state is not None else f"job {self.id}"


def jobs_of(folder: SweepFolder, plan: Plan, board: Board) -> list[RunJob]:
    """Return the jobs of the runs that are not complete; Slurm is asked once, and only if there are any."""
    found = []
    for cell in plan.cells:
        run = folder.run(cell)
        job, log = (None, None) if board.state[cell.run].complete else (run.job, run.job_log)
        if job is not None and log is not None:
            found.append(RunJob(cell.run, job.id, log, local=job.queue != "slurm"))
    asked = [job.id for job in found if not job.local]
    states = job_states(asked) if asked else None
    if states is None:
        return found
    return [job if job.local else replace(job, state=states.get(job.id, JobState())) for job in found]


def unlucky(jobs: Sequence[RunJob], board: Board) -> list[RunJob]:
    """Return the jobs whose runs failed or were interrupted, unless they are in the queue again or running."""
    stuck = (Status.FAILED, Status.INTERRUPTED, Status.DAMAGED)
    alive = {job.run for job in jobs if job.state is not None and (job.state.pending or job.state.running)}
    return [job for job in jobs if board.state[job.run] in stuck and job.run not in alive]
