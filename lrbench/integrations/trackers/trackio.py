"""Trackio: a local database per project, with a run per seed."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from lrbench.errors import UsageError
from lrbench.integrations.trackers import Ending, Log, Row, Run, Tool, quoted, sectioned


class Trackio(Tool):
    """Log to Trackio's database.

    Args:
        into: the folder of the databases, Trackio's `TRACKIO_DIR`.
        project: the project; by default the config's name.
    """

    title: ClassVar[str] = "Trackio"
    needs: ClassVar[tuple[str, ...]] = ("trackio",)
    extra: ClassVar[str] = "trackio"

    def __init__(self, into: Path, project: str | None = None) -> None:
        super().__init__(into)
        self.into = self.into.absolute()
        if "trackio" in sys.modules:
            self._check()
        self.project = project

    @property
    def hint(self) -> str:
        """See `Tool`."""
        return f"TRACKIO_DIR={quoted(self.into)} trackio show"

    @property
    def options(self) -> dict[str, Any]:
        """See `Tool`."""
        return {"project": self.project}

    def folder_of(self, run: Run) -> Path:
        """See `Tool`. Trackio has no folders of runs."""
        return self.into / "lrbench" / run.name

    def holds(self, run: Run, state: str) -> bool | None:
        """See `Tool`."""
        known = self.storage().get_max_step_for_run(self.project or run.experiment, run.name, run.identity[:16])
        return None if known is None else super().holds(run, state) or False

    def open(self, run: Run) -> Log:
        """See `Tool`. An earlier log of the same run is replaced."""
        return _TrackioRun(self.storage(), self.project or run.experiment, run)

    def storage(self) -> Any:
        """Return Trackio's interface to its databases. Raises UsageError if it uses another folder already."""
        if "trackio" not in sys.modules:
            os.environ["TRACKIO_DIR"] = str(self.into)
        from trackio.sqlite_storage import SQLiteStorage

        self._check()
        return SQLiteStorage

    def _check(self) -> None:
        from trackio.utils import TRACKIO_DIR  # read from the environment once

        if Path(TRACKIO_DIR) != self.into:
            raise UsageError(f"Trackio writes to {TRACKIO_DIR} in this process, so it can't write to {self.into}")


class _TrackioRun(Log):
    """A run in Trackio."""

    def __init__(self, storage: Any, project: str, run: Run) -> None:
        self.storage, self.project, self.run = storage, project, run
        self.config: dict[str, Any] | None = {
            **run.flat, "seed": run.seed, **{f"lrbench.{key}": value for key, value in run.about.items()},
            "_Group": run.group, "_Username": "lrbench", "_Created": _iso(run.started),
        }  # fmt: skip
        storage.delete_run(project, run.name, run_id=run.identity[:16])

    def steps(self, rows: Sequence[Row]) -> None:
        """See `Log`."""
        self._log([row._replace(values={sectioned(n, True): v for n, v in row.values.items()}) for row in rows])

    def evaluation(self, row: Row) -> None:
        """See `Log`."""
        self._log([row._replace(values={sectioned(n): v for n, v in self.measured(row).items()})])

    def end(self, ending: Ending) -> None:
        """See `Log`."""
        values = {sectioned(name): value for name, value in ending.values.items()}
        self._log([Row(ending.step, ending.time, {**values, "status": ending.status.value})])  # type: ignore[dict-item]

    def _log(self, rows: Sequence[Row]) -> None:
        self.storage.bulk_log(
            self.project,
            self.run.name,
            [dict(row.values) for row in rows],
            steps=[row.step for row in rows],
            timestamps=[_iso(row.time) for row in rows],
            config=self.config,
            run_id=self.run.identity[:16],
        )
        self.config = None


def _iso(time: float) -> str:
    return datetime.datetime.fromtimestamp(time, datetime.UTC).isoformat()
