"""The job of a queue such as Slurm's in which a run is executed, as `job.json` in the run's folder names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from lrbench.runs.result import FORMAT, Text, known_format, parsed

JOBS = "slurm"
"""The folder, beside the runs, of what jobs need and print."""
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=200)]
"""A file's plain name, which leads to no other folder."""


@dataclass(frozen=True)
class Job:
    """A job that was submitted for a run.

    Attributes:
        queue: `slurm`, or `local` for processes on one machine.
        id: the job's id there, such as `1234_5`.
        log: the name of the file in the folder `slurm` beside the run to which the job prints.
        stop: the name of the file there that asks the job to write a checkpoint and end.
        submitted: when, in UTC.
    """

    __pydantic_config__ = ConfigDict(extra="ignore")

    queue: Text
    id: _Name
    log: _Name
    stop: _Name
    submitted: Text

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Job:
        """Parse the contents of `job.json`. Raises ValueError if they are invalid."""
        return parsed(cls, known_format(plain))

    def plain(self) -> dict[str, Any]:
        """Return the contents of `job.json`."""
        return {"format": FORMAT, **asdict(self)}
