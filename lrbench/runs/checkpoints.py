"""The weights in a run's folder: checkpoints to resume from, and the best weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lrbench.components import Metric, epoch_columns
from lrbench.runs.csv_log import CsvLog
from lrbench.runs.files import load_tensors, replacing, save_tensors, writing

CHECKPOINT_FORMATS = (2, 3)  # formats that are read; the last one is written
CHECKPOINT_PARTS = {"state", "model", "optimizer", "random", "best", "threads"}
FINAL = "final.pt"
CHECKPOINTS = ("checkpoint.pt", "checkpoint.prev.pt")


class Checkpoints:
    """The methods of `RunFolder` for weights.

    All writes are atomic and need the run's lock; a failed one raises FolderError.
    """

    path: Path
    epochs: CsvLog
    steps: CsvLog
    guard: Callable[[], None]

    @property
    def has_checkpoint(self) -> bool:
        """True if there is a checkpoint, usable or not."""
        return any((self.path / name).exists() for name in CHECKPOINTS)

    def sync_logs(self) -> None:
        """Flush all CSV rows to disk."""
        self.steps.sync()
        self.epochs.sync()

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write `checkpoint.pt` atomically and keep the previous one as `checkpoint.prev.pt`."""
        self.sync_logs()
        digests = {"steps": self.steps.digest, "epochs": self.epochs.digest}
        newest, before = (self.path / name for name in CHECKPOINTS)

        def keep_the_one_before() -> None:
            self.guard()
            if newest.exists():
                newest.replace(before)

        self._save(newest, {**state, "format": CHECKPOINT_FORMATS[-1], "digests": digests}, keep_the_one_before)

    def load_checkpoint(self, wanted: str, metrics: Iterable[Metric]) -> dict[str, Any] | None:
        """Return the newest intact checkpoint to resume from; None if there is none.

        Its identity must be `wanted`, and the CSV files must still contain all its rows unchanged, with the columns of
        `metrics`.
        """
        epochs = CsvLog(self.epochs.path, epoch_columns(metrics))
        for name in CHECKPOINTS:
            with contextlib.suppress(Exception):  # torch raises many kinds of errors for a damaged file
                state = load_tensors(self.path / name)
                rows = state["digests"]
                whole = self.steps.holds(state["step"], rows["steps"])
                whole = whole and epochs.holds(state.get("evaluations", state["epoch"]), rows["epochs"])
                known = state.keys() >= CHECKPOINT_PARTS and state["format"] in CHECKPOINT_FORMATS
                if whole and known and state["identity"] == wanted:
                    return state
        return None

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

    def _save(self, path: Path, content: Mapping[str, Any], ready: Callable[[], None]) -> None:
        self.guard()
        with writing(self.path), replacing(path, ready) as file:
            save_tensors(content, file)
