"""The states of Slurm's jobs, in a call for all of them: `squeue`, and `sacct` for those that it has forgotten.

`submitit` asks `sacct` alone, which says nothing on clusters without accounting, and nothing of why a job is pending.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

ANSWER_SECONDS = 60.0
PENDING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"})
RUNNING = frozenset(
    {"RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"}
)
UNKNOWN = "UNKNOWN"
_WORDS = {
    "CANCELLED": "was cancelled",
    "TIMEOUT": "ran out of time",
    "DEADLINE": "missed its deadline",
    "OUT_OF_MEMORY": "ran out of memory",
    "NODE_FAIL": "lost its node",
    "BOOT_FAIL": "could not start its node",
    "PREEMPTED": "was preempted",
    "FAILED": "failed",
    "COMPLETED": "ended",
    UNKNOWN: "is not known to Slurm any more",
}


@dataclass(frozen=True)
class State:
    """The state of a job.

    Attributes:
        name: Slurm's word, such as `RUNNING` or `OUT_OF_MEMORY`; `UNKNOWN` if Slurm does not know the job.
        reason: why it is pending, such as `Priority`; empty if Slurm gives no reason.
    """

    name: str = UNKNOWN
    reason: str = ""

    @property
    def pending(self) -> bool:
        """Whether the job is in the queue."""
        return self.name in PENDING

    @property
    def running(self) -> bool:
        """Whether the job has resources."""
        return self.name in RUNNING

    @property
    def known(self) -> bool:
        """Whether Slurm knows the job."""
        return self.name != UNKNOWN

    @property
    def over(self) -> bool:
        """Whether the job has ended, as far as Slurm knows."""
        return not self.pending and not self.running

    @property
    def words(self) -> str:
        """What became of the job: `ran out of memory`."""
        return _WORDS.get(self.name, f"is {self.name.lower().replace('_', ' ')}")


def states_of(ids: Iterable[str]) -> dict[str, State] | None:
    """Return the state of each job that Slurm knows, by its id; None if Slurm does not answer.

    Ended jobs are known for some minutes, and longer on clusters with accounting.
    """
    wanted = set(ids)
    listed = _asked("squeue", "--me", "--states=all", "--noheader", "--array", "-o", "%i|%T|%r")
    if listed is None:
        return None
    found = {key: state for key, state in _parsed(listed).items() if key in wanted}
    if wanted - found.keys():
        arrays = sorted({one.partition("_")[0] for one in wanted - found.keys()})
        told = _asked("sacct", "-X", "--noheader", "--parsable2", "-o", "JobID,State", "-j", ",".join(arrays))
        found |= {key: state for key, state in _parsed(told or "").items() if key in wanted - found.keys()}
    return found


def _asked(*command: str) -> str | None:
    """Return what a command of Slurm's prints; None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _parsed(text: str) -> dict[str, State]:
    """Parse lines of `id|state|reason`; the state may be `CANCELLED by 1000`."""
    found = {}
    for line in text.splitlines():
        key, name, reason = [*line.strip().split("|"), "", ""][:3]
        if name:
            found[key] = State(name.split()[0].rstrip("+"), "" if reason in ("None", "") else reason)
    return found


def still_running(id: str) -> bool:
    """Return whether Slurm holds a job, given by its own number, for running: it was not cancelled and is not over."""
    return (_asked("squeue", "-j", id, "--noheader", "-o", "%T") or "").strip() == "RUNNING"


def exit_code(id: str) -> int | None:
    """Return the exit code of a job that is over; None if Slurm does not tell."""
    told = _asked("scontrol", "show", "job", id, "--oneliner") or ""
    found = re.search(r"\bExitCode=(\d+):", told)
    if found is None:
        told = _asked("sacct", "-X", "--noheader", "--parsable2", "-o", "ExitCode", "-j", id) or ""
        found = re.match(r"(\d+):", told)
    return None if found is None else int(found[1])


def cancel(ids: Iterable[str]) -> None:
    """Cancel jobs; running ones get SIGTERM first."""
    if wanted := list(ids):
        _asked("scancel", *wanted)


def in_words(states: Iterable[State]) -> str:
    """Return `2 running, 6 pending (Resources)`; empty if all are over."""
    states = list(states)
    running = sum(state.running for state in states)
    waiting = [state for state in states if state.pending]
    reasons = sorted({state.reason for state in waiting} - {""})
    why = f" ({', '.join(reasons)})" if reasons else ""
    parts = [f"{running:,} running"] * bool(running) + [f"{len(waiting):,} pending{why}"] * bool(waiting)
    return ", ".join(parts)
