"""The weights in a run's folder: checkpoints to resume from, and the best weights."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lrbench.components import Metric, epoch_columns
from lrbench.config import opened
from lrbench.errors import FolderError
from lrbench.runs.csv_log import CsvLog
from lrbench.runs.files import load_tensors, replacing, save_tensors, writing
from lrbench.runs.rows import RowLogs

CHECKPOINT_FORMATS = (2, 3, 4)  # formats that are read; the last one is written
CHECKPOINT_PARTS = {"state", "model", "optimizer", "random", "best", "threads"}
FINAL = "final.pt"
CHECKPOINTS = ("checkpoint.pt", "checkpoint.prev.pt")
_KEPT, _KEPT_NAME = "step-{}.pt", re.compile(r"step-(\d{1,15})\.pt")


class Checkpoints(RowLogs):
    """The methods of `RunFolder` for weights.

    All writes are atomic and need the run's lock; a failed one raises FolderError.
    """

    @property
    def has_checkpoint(self) -> bool:
        """True if there is a checkpoint, usable or not."""
        return any((self.path / name).exists() for name in CHECKPOINTS)

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write `checkpoint.pt` atomically and keep the previous one as `checkpoint.prev.pt`."""
        self.sync_logs()
        marks = {"steps": self.steps.mark, "epochs": self.epochs.mark}
        newest, before = (self.path / name for name in CHECKPOINTS)

        def keep_the_one_before() -> None:
            self.guard()
            if newest.exists():
                newest.replace(before)

        self._save(newest, {**state, "format": CHECKPOINT_FORMATS[-1], "marks": marks}, keep_the_one_before)

    def load_checkpoint(self, wanted: str, metrics: Iterable[Metric]) -> dict[str, Any] | None:
        """Return the newest intact checkpoint to resume from; None if there is none.

        Its identity must be `wanted`, and the CSV files must still contain all its rows unchanged, with the columns of
        `metrics`. Besides what was saved, it has the `ends` of its rows in `steps.csv` and `epochs.csv`, in bytes.
        """
        return self._intact(CHECKPOINTS, wanted, metrics)

    def _intact(self, names: Iterable[str], wanted: str, metrics: Iterable[Metric]) -> dict[str, Any] | None:
        """Return the first of these checkpoints that is intact; see `load_checkpoint`."""
        epochs = CsvLog(self.epochs.path, epoch_columns(metrics))
        for name in names:
            with contextlib.suppress(Exception):  # torch raises many kinds of errors for a damaged file
                state = load_tensors(self.path / name)
                ends = _ends(state, self.steps, epochs)
                known = state.keys() >= CHECKPOINT_PARTS and state["format"] in CHECKPOINT_FORMATS
                if None not in ends and known and state["identity"] == wanted:
                    return {**state, "ends": ends}
        return None

    # -- those that are kept for other runs, which share the steps before them

    @property
    def kept(self) -> list[int]:
        """The steps whose checkpoints are kept, ascending."""
        found = (_KEPT_NAME.fullmatch(path.name) for path in self.path.glob(_KEPT.format("*")))
        return sorted(int(match[1]) for match in found if match)

    def has_kept(self, step: int) -> bool:
        """True if the checkpoint of this step is kept."""
        return (self.path / _KEPT.format(step)).exists()

    def keep_checkpoint(self, step: int) -> None:
        """Keep the newest checkpoint, which was written after this step, once the run goes on and ends."""
        path = self.path / _KEPT.format(step)
        with writing(self.path), replacing(path, self.guard) as file, opened(self.path / CHECKPOINTS[0]) as newest:
            shutil.copyfileobj(newest, file)

    def load_kept(self, step: int, wanted: str, metrics: Iterable[Metric]) -> dict[str, Any] | None:
        """Return the kept checkpoint of a step; None unless it is intact, like that of `load_checkpoint`."""
        return self._intact([_KEPT.format(step)], wanted, metrics)

    def drop_kept(self) -> None:
        """Remove the kept checkpoints."""
        self._remove(*(_KEPT.format(step) for step in self.kept))

    def take_checkpoint(self, other: Checkpoints, state: Mapping[str, Any], own: str) -> None:
        """Start from the checkpoint of another run: copy the rows before it, then save it with the identity `own`."""
        steps, evaluations = state["ends"]
        self.steps.take(other.steps, steps)
        self.epochs.take(other.epochs, evaluations)
        saved = {name: value for name, value in state.items() if name != "ends"}
        self._save(self.path / CHECKPOINTS[0], {**saved, "identity": own}, self.guard)

    @property
    def has_final(self) -> bool:
        """True if the final state was kept."""
        return (self.path / FINAL).exists()

    def save_final(self, state: Mapping[str, Any]) -> None:
        """Write the final state to `final.pt`."""
        self._save(self.path / FINAL, {**state, "format": CHECKPOINT_FORMATS[-1]}, self.guard)

    def load_final(self) -> dict[str, Any]:
        """Return the state in `final.pt`."""
        return load_tensors(self.path / FINAL)

    def save_best(self, weights: Mapping[str, Any] | None) -> None:
        """Write the best weights to `best.pt`, or remove the file if there are none yet."""
        if weights is None:
            with writing(self.path):
                (self.path / "best.pt").unlink(missing_ok=True)
        else:
            self._save(self.path / "best.pt", weights, self.guard)

    def load_best(self) -> dict[str, Any]:
        """Return the weights in `best.pt`."""
        return load_tensors(self.path / "best.pt")

    def _remove(self, *names: str) -> None:
        for name in names:
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                raise FolderError(f"cannot remove {self.path / name}: {error.strerror}") from error

    def _save(self, path: Path, content: Mapping[str, Any], ready: Callable[[], None]) -> None:
        self.guard()
        with writing(self.path), replacing(path, ready) as file:
            save_tensors(content, file)


def _ends(state: Mapping[str, Any], steps: CsvLog, epochs: CsvLog) -> tuple[int | None, int | None]:
    """Return where a checkpoint's rows end in both files, in bytes; None where they are not there unchanged."""
    if "marks" in state:
        return steps.end_of(state["marks"]["steps"]), epochs.end_of(state["marks"]["epochs"])
    digests, evaluations = state["digests"], state.get("evaluations", state["epoch"])  # before format 4
    return steps.end_of_rows(state["step"], digests["steps"]), epochs.end_of_rows(evaluations, digests["epochs"])
