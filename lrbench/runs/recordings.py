"""What other programs record in a run's folder, besides rows that they append."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lrbench.components import epoch_columns
from lrbench.errors import FolderError
from lrbench.runs.csv_log import Row, table_of
from lrbench.runs.csv_thinned import remove_thinned, thin
from lrbench.runs.files import check_links, leads_out, read_json, to_json, write
from lrbench.runs.jobs import JOBS, Job
from lrbench.runs.lock import Lock
from lrbench.runs.torchrun import last_output

STEP_COLUMNS = ("step", "lr", "momentum", "loss", "grad_norm")
RECORDER_LOCK = "recorder.lock"


class Recordings:
    """The methods of `RunFolder` for runs of other programs. A failed write raises FolderError."""

    path: Path
    guard: Callable[[], None]

    @property
    def output(self) -> Path:
        """The file with the output of a command."""
        return self.path / "output.log"

    @property
    def error_log(self) -> Path:
        """The file with the traceback of a failed run."""
        return self.path / "error.log"

    def check_links(self) -> None:
        """Raise FolderError if the folder, or what lies in it, is a link out of the folder of the runs."""
        check_links(self.path, self.path.parent)

    def last_lines(self, text: Path, count: int) -> list[str]:
        """Return what `last_output` gives of one of `texts`; nothing of one that can't be read or lies elsewhere."""
        with contextlib.suppress(FolderError, OSError, ValueError):
            return [] if leads_out(text, self.path.parent) else last_output(text, count)
        return []

    @property
    def texts(self) -> tuple[Path, ...]:
        """All files that are text, whether they are there or not."""
        names = ("config.yaml", "env.json", "result.json", "recorded.json", "epochs.csv", "steps.csv")
        return (*(self.path / name for name in names), self.error_log, self.output, *filter(None, [self.job_log]))

    @property
    def job(self) -> Job | None:
        """The last job that was submitted for the run; None if there is none or `job.json` is damaged."""
        try:
            plain = read_json(self.path / "job.json")
            return None if plain is None else Job.of(plain)
        except (FolderError, ValueError):  # it only helps to find a job
            return None

    @property
    def job_log(self) -> Path | None:
        """The file to which that job prints, whether it is there or not."""
        return None if (job := self.job) is None else self.path.parent / JOBS / job.log

    def note_job(self, job: Job) -> None:
        """Write which job was submitted for the run. Only who submits it does so, and needs no lock."""
        write(self.path / "job.json", to_json(job.plain()))

    @property
    def begun(self) -> bool:
        """Whether another program has begun to run."""
        return self.output.exists() or (self.path / "recorded.json").exists()

    def recorder_lock(self) -> Lock:
        """Return the lock of the one process of a command that records; the run's own lock is that of lrbench."""
        return Lock(self.path / RECORDER_LOCK)

    def written(self) -> dict[str, int]:
        """Return when each file was last written, in nanoseconds, except the locks, which are touched all the time."""
        files = [one for one in os.scandir(self.path) if one.name not in ("lock", RECORDER_LOCK)]
        return {one.name: one.stat().st_mtime_ns for one in files}

    def recorded(self) -> dict[str, Any]:
        """Read what another program said of its run; empty if it said nothing. Raises FolderError if it is damaged."""
        return read_json(self.path / "recorded.json") or {}

    def write_recorded(self, plain: Mapping[str, Any]) -> None:
        """Write what another program says of its run."""
        self._write("recorded.json", to_json(plain))

    def replace_rows(self, steps: Iterable[Row], evaluations: Iterable[Row]) -> None:
        """Write the rows of `steps.csv` and `epochs.csv`, instead of those that are there."""
        path = self.path / "steps.csv"
        remove_thinned(path)  # first, since they are of other rows
        self._write(path.name, table_of(steps, STEP_COLUMNS))
        thin(path)
        self._write("epochs.csv", table_of(evaluations, epoch_columns(())))

    def _write(self, name: str, text: str) -> None:
        self.guard()
        write(self.path / name, text, self.guard)  # guard again, since writing may have taken long
