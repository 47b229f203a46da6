"""Tables for pandas, R or a spreadsheet: the runs, their evaluations and their steps, as CSV or Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lrbench.integrations.trackers import Ending, Log, Row, Run, Tool
from lrbench.reports import csv_cell
from lrbench.runs import writing

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

        configs = [log.run.flat for log in self.logs]
        keys = list(dict.fromkeys(key for config in configs for key in config))
        differing = [key for key in keys if len({repr(config.get(key)) for config in configs}) > 1]
        tables = {"runs": pd.DataFrame([log.row(keys) for log in self.logs])}
        for name in ("evaluations", "steps"):
            found = [table for log in self.logs if (table := log.table(name, differing)) is not None]
            tables[name] = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["run", "step"])
        with writing(self.into):
            self.into.mkdir(parents=True, exist_ok=True)
            for name, table in tables.items():
                self.write(table, self.into / f"{name}{self.ending}")

    def write(self, table: pd.DataFrame, path: Path) -> None:
        """Write a table."""
        raise NotImplementedError


class Csv(Tables):
    """Write the tables as CSV. Text that a spreadsheet would compute gets a leading apostrophe."""

    ending = ".csv"

    def write(self, table: pd.DataFrame, path: Path) -> None:
        """See `Tables`."""
        texts = [str(name) for name in table.select_dtypes(exclude="number")]
        safe = table.assign(**{name: table[name].map(csv_cell) for name in texts})
        safe.to_csv(path, index=False, lineterminator="\n")


class Parquet(Tables):
    """Write the tables as Parquet."""

    needs: ClassVar[tuple[str, ...]] = ("pyarrow",)
    extra: ClassVar[str] = "parquet"
    ending = ".parquet"

    def write(self, table: pd.DataFrame, path: Path) -> None:
        """See `Tables`."""
        mixed = [str(name) for name in table if table[name].map(type).nunique() > 1 and table[name].dtype == object]
        table.assign(**{name: table[name].map(_text) for name in mixed}).to_parquet(path, index=False)


def _text(value: Any) -> str | None:
    """Return a value of a column that holds numbers in some runs and text in others."""
    return None if value is None or value != value else str(value)


class _Collected(Log):
    """The rows of a run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.ending: Ending | None = None
        self.rows: dict[str, list[Row]] = {"steps": [], "evaluations": []}
        self.tables: dict[str, pd.DataFrame] = {}

    def steps(self, rows: Sequence[Row]) -> None:
        """See `Log`."""
        self.rows["steps"] += rows

    def evaluation(self, row: Row) -> None:
        """See `Log`."""
        self.rows["evaluations"].append(row)

    def end(self, ending: Ending) -> None:
        """See `Log`."""
        import pandas as pd

        self.ending = ending
        for name, rows in self.rows.items():  # as columns, which take a tenth of the memory
            if rows:
                self.tables[name] = pd.DataFrame([{"step": row.step, **row.values} for row in rows])
        self.rows = {"steps": [], "evaluations": []}

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

    def table(self, name: str, keys: Sequence[str]) -> pd.DataFrame | None:
        """Return the run's evaluations or steps."""
        found, flat = self.tables.get(name), self.run.flat
        if found is None:
            return None
        known: dict[str, Any] = {"run": self.run.name, "group": self.run.group, "seed": self.run.seed}
        known |= {f"config.{key}": flat.get(key) for key in keys}
        for place, (key, value) in enumerate(known.items()):
            found.insert(place, key, value)
        return found
