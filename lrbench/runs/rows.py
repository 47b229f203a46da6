"""The rows in a run's folder: `steps.csv` and `epochs.csv`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

from lrbench.components import Metric, epoch_columns
from lrbench.runs.csv_columns import rows_of
from lrbench.runs.csv_log import CsvLog
from lrbench.runs.recordings import STEP_COLUMNS


class RowLogs:
    """The methods of `RunFolder` for rows. Those that write need the run's lock; a failed one raises FolderError."""

    path: Path
    guard: Callable[[], None]

    @cached_property
    def epochs(self) -> CsvLog:
        """The rows of evaluations."""
        return CsvLog(self.path / "epochs.csv", epoch_columns(()))

    @cached_property
    def steps(self) -> CsvLog:
        """The rows of steps."""
        return CsvLog(self.path / "steps.csv", STEP_COLUMNS, thins=True)

    def open_logs(
        self, metrics: Iterable[Metric], ends: tuple[int, int] = (0, 0), *, step_columns: Sequence[str] = ()
    ) -> None:
        """Cut `steps.csv` and `epochs.csv` back and start appending.

        Args:
            metrics: the metrics whose columns a new `epochs.csv` has.
            ends: where the rows to keep end in the two files, in bytes; 0 to keep none.
            step_columns: columns of a new `steps.csv` besides the usual ones.

        Raises ValueError if no row ends there.
        """
        self.guard()
        self.epochs = CsvLog(self.epochs.path, epoch_columns(metrics))
        self.steps = CsvLog(self.steps.path, STEP_COLUMNS, step_columns, thins=True)
        self.steps.open(ends[0])
        self.epochs.open(ends[1])

    def check_steps(self) -> None:
        """Raise FolderError if `steps.csv` can't be read, of which only the header is read; it may be missing."""
        with rows_of(self.steps.path):
            pass

    def close_logs(self) -> None:
        """Close the two CSV files."""
        try:
            self.steps.close()
        finally:
            self.epochs.close()

    def sync_logs(self) -> None:
        """Flush all CSV rows to disk."""
        self.steps.sync()
        self.epochs.sync()
