"""What other programs record in a run's folder, besides rows that they append."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lrbench.components import epoch_columns
from lrbench.runs.csv_log import Row, table_of
from lrbench.runs.files import read_json, to_json, write

STEP_COLUMNS = ("step", "lr", "momentum", "loss", "grad_norm")


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

    @property
    def texts(self) -> tuple[Path, ...]:
        """All files that are text, whether they are there or not."""
        names = ("config.yaml", "env.json", "result.json", "recorded.json", "epochs.csv", "steps.csv")
        return (*(self.path / name for name in names), self.error_log, self.output)

    @property
    def begun(self) -> bool:
        """Whether another program has begun to run."""
        return self.output.exists() or (self.path / "recorded.json").exists()

    def recorded(self) -> dict[str, Any]:
        """Read what another program said of its run; empty if it said nothing. Raises FolderError if it is damaged."""
        return read_json(self.path / "recorded.json") or {}

    def write_recorded(self, plain: Mapping[str, Any]) -> None:
        """Write what another program says of its run."""
        self._write("recorded.json", to_json(plain))

    def replace_rows(self, steps: Iterable[Row], evaluations: Iterable[Row]) -> None:
        """Write the rows of `steps.csv` and `epochs.csv`, instead of those that are there."""
        self._write("steps.csv", table_of(steps, STEP_COLUMNS))
        self._write("epochs.csv", table_of(evaluations, epoch_columns(())))

    def _write(self, name: str, text: str) -> None:
        self.guard()
        write(self.path / name, text, self.guard)  # guard again, since writing may have taken long
