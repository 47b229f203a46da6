"""Tables for pandas, R or a spreadsheet: the runs, their evaluations and their steps, as CSV or Parquet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from lrbench.analysis import Described, frame_of, read_one
from lrbench.integrations.trackers import Ending, Known, Log, Row, Run, Tool
from lrbench.reports import csv_cell
from lrbench.runs import RunFolder, replacing, writing

if TYPE_CHECKING:
    import pandas as pd


class Tables(Tool):
    """Write `runs`, `evaluations` and `steps`: one table each of all runs, with a row per run, evaluation or step.

    Rows of evaluations and steps have the run, its group and seed, and the config's keys in which the runs differ.
    """

    title: ClassVar[str] = "tables"
    ending: ClassVar[str]

    def __init__(self, into: Path) -> None:
        super().__init__(into)
        self.logs: list[_Collected] = []

    @property
    def hint(self) -> str:
        """See `Tool`."""
        return ", ".join(f"{name}{self.ending}" for name in ("runs", "evaluations", "steps"))

    def open(self, run: Run) -> Log:
        """See `Tool`."""
        self.logs.append(_Collected(run))
        return self.logs[-1]

    def holds(self, run: Run, state: str) -> bool | None:
        """See `Tool`. Tables are written anew each time."""
        return None

    def stamp(self, run: Run, state: str) -> None:
        """See `Tool`."""

    def close(self) -> None:
        """Write the tables. Raises FolderError."""
        import pandas as pd

        keys = list(dict.fromkeys(key for log in self.logs for key in log.run.flat))
        tables = {"runs": pd.DataFrame([log.row(keys) for log in self.logs])}
        described = [log.described() for log in self.logs]
        tables |= {"evaluations": frame_of(described, "evaluations"), "steps": frame_of(described, "steps")}
        with writing(self.into):
            self.into.mkdir(parents=True, exist_ok=True)
            for name, table in tables.items():
                with replacing(self.into / f"{name}{self.ending}") as file:
                    self.write(table, file)

    def write(self, table: pd.DataFrame, file: IO[bytes]) -> None:
        """Write a table."""
        raise NotImplementedError


class Csv(Tables):
    """Write the tables as CSV. Text that a spreadsheet would compute gets a leading apostrophe."""

    ending = ".csv"

    def write(self, table: pd.DataFrame, file: IO[bytes]) -> None:
        """See `Tables`."""
        texts = [str(name) for name in table.select_dtypes(exclude="number")]
        safe = table.assign(**{name: table[name].map(csv_cell) for name in texts})
        safe.rename(columns=csv_cell).to_csv(file, index=False, lineterminator="\n")


class Parquet(Tables):
    """Write the tables as Parquet."""

    needs: ClassVar[tuple[str, ...]] = ("pyarrow",)
    extra: ClassVar[str] = "parquet"
    ending = ".parquet"

    def write(self, table: pd.DataFrame, file: IO[bytes]) -> None:
        """See `Tables`."""
        mixed = [str(name) for name in table if table[name].map(type).nunique() > 1 and table[name].dtype == object]
        table.assign(**{name: table[name].map(_text) for name in mixed}).to_parquet(file, index=False)


def _text(value: Any) -> str | None:
    """Return a value of a column that holds numbers in some runs and text in others."""
    return None if value is None or value != value else str(value)


class _Collected(Log):
    """A run, whose rows are read from its folder when the tables are written."""

    known = Known(sys.maxsize, sys.maxsize)

    def __init__(self, run: Run) -> None:
        self.run = run
        self.ending: Ending | None = None

    def steps(self, rows: Sequence[Row]) -> None:
        """See `Log`. There are none after the last that is `known`."""

    def evaluation(self, row: Row) -> None:
        """See `Log`."""

    def end(self, ending: Ending) -> None:
        """See `Log`."""
        self.ending = ending

    def row(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return the run's row of `runs`."""
        run, ending, flat = self.run, self.ending, self.run.flat
        assert ending is not None, "a log is ended before the tables are written"
        return {
            "run": run.name, "group": run.group, "name": run.experiment, "seed": run.seed, "identity": run.identity,
            "status": ending.status.value, "reason": ending.reason, "steps": ending.step, "started": run.started,
            "ended": ending.time, **run.about, **ending.final, **ending.values,
            **{f"config.{key}": flat.get(key) for key in keys},
        }  # fmt: skip

    def described(self) -> Described:
        """Return the run for the tables of evaluations and steps."""
        about = {"run": self.run.name, "group": self.run.group, "seed": self.run.seed}
        return Described(read_one(RunFolder(self.run.path)), about, self.run.flat)
