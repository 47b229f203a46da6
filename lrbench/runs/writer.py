"""Writes the rows of another program's run as they come, so that a killed program loses at most a second of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lrbench.errors import FolderError
from lrbench.runs.csv_columns import end_before, end_of_rows
from lrbench.runs.csv_columns import last as last_row
from lrbench.runs.folder import RunFolder
from lrbench.runs.recorded import Recorded, finite, metrics_in
from lrbench.runs.recordings import STEP_COLUMNS

FLUSH_SECONDS = 1.0
MOST_BUFFERED = 10_000
MOST_NOTES = 20
Rows = list[dict[str, Any]]


class RowWriter:
    """Appends to `steps.csv` and `epochs.csv`; columns come when they are first given.

    What is not given stays empty, except that an evaluation has the last learning rate before it, and as `train_loss`
    the mean of the losses of the steps since the one before, if all of them were given.

    Args:
        folder: the run's folder. Its lock is held by this process or by one that waits for it.
        recorded: what is known of the run.
        keep: go on after the rows that are there; otherwise they are removed.
        numbers: turns rows into numbers before they are written, such as values still on a device; those of steps many
            at once.

    Raises FolderError if the folder can't be written, or rows to keep are damaged.
    """

    def __init__(
        self,
        folder: RunFolder,
        recorded: Recorded,
        *,
        keep: bool = False,
        numbers: Callable[[Rows], Rows] = lambda rows: rows,
    ) -> None:
        self.folder, self.recorded, self._numbers = folder, recorded, numbers
        self._noted = set(recorded.notes)
        ends = (end_of_rows(folder.steps.path), end_of_rows(folder.epochs.path)) if keep else (0, 0)
        last = last_row(folder.steps.path) if keep else {}
        try:
            folder.open_logs((), ends)
        except ValueError as error:
            raise FolderError(f"{error}, so it is damaged; without `resume` the run starts over") from error
        self.last, self.lr = int(last.get("step", 0)), finite(last.get("lr"))
        self._fresh = keep
        self._rows: Rows = []
        self._sum, self._count, self._whole = 0.0, 0, True
        self._flushed = self._began = self._stepped = time.monotonic()
        self._dirty = True
        self.flush()

    def step(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Add the row of a step: `lr`, `loss`, `momentum`, `grad_norm`, and any others. Steps count from 1."""
        if step is None:
            step = self.last + 1
            if self._fresh and self.last:
                counted = f"resumed without step numbers, so steps were counted on from {self.last}"
                self.note(f"{counted}; steps that it repeated count twice", once="unnumbered")
        elif step <= self.last and not self._goes_back(step):
            self.note(f"step {step} came after step {self.last}; its row was left out", once="order")
            return
        self.last, self._fresh = step, False
        self._rows.append({"step": step, **values})
        now = self._stepped = time.monotonic()
        if now - self._flushed > FLUSH_SECONDS or len(self._rows) >= MOST_BUFFERED:
            self.flush()

    def evaluate(self, values: Mapping[str, Any], *, step: int | None = None, epoch: float | None = None) -> None:
        """Add an evaluation: values such as `train_loss`, `val_loss`, `val_f1`; those named `test_…` are no row."""
        (values,) = self._numbers([dict(values)])
        tested = {name.removeprefix("test_"): finite(v) for name, v in values.items() if name.startswith("test_")}
        shown = {name: value for name, value in values.items() if not name.startswith("test_")}
        metrics = {**self.recorded.metrics, **metrics_in(values, self.recorded.metrics)}
        for name in ("train_", "val_", "test_"):
            for short, metric in metrics.items():
                if metric.form == "percent" and (finite(values.get(name + short)) or 0.0) > 1.0:  # of 100, not of 1
                    metrics[short] = replace(metric, form="number")
        if tested or metrics != self.recorded.metrics:
            test = {**self.recorded.test, **tested}
            self.recorded, self._dirty = replace(self.recorded, metrics=metrics, test=test), True
        if not shown:
            self.flush()
            return
        step = (self.last or None) if step is None else step
        now = time.monotonic()
        self.flush()
        taken = self._stepped - self._began if self._count else now - self._began
        mean = self._sum / self._count if self._whole and self._count else None
        row = {"epoch": epoch, "step": step, "lr": self.lr, "train_loss": mean, "seconds": max(taken, 0.0)}
        self._sum, self._count, self._whole, self._began = 0.0, 0, True, now
        row |= shown
        self.folder.epochs.widen(name for name in row if name not in self.folder.epochs.columns)
        self.folder.epochs.append([row])
        self._lost(row, f"after step {step}" if step else "")

    def note(self, text: str, once: str = "") -> None:
        """Note what weakens a comparison; each text once, and one text of those with the same `once`."""
        if (once or text) not in self._noted and len(self.recorded.notes) < MOST_NOTES:
            self._noted.add(once or text)
            self.recorded, self._dirty = replace(self.recorded, notes=(*self.recorded.notes, text)), True

    def tell(self, **changes: Any) -> None:
        """Change what is known of the run; see `Recorded`."""
        self.recorded, self._dirty = replace(self.recorded, **changes), True

    def flush(self) -> None:
        """Hand the rows to the operating system."""
        rows, self._rows = self._numbers(self._rows), []
        if rows:
            self._count_in(rows)
            names = dict.fromkeys(name for row in rows for name in row)
            self.folder.steps.widen(name for name in names if name not in self.folder.steps.columns)
            self.folder.steps.append(rows)
            self._lost({"train_loss": rows[-1].get("loss")}, f"at step {rows[-1]['step']}")
        if self._dirty:
            self.folder.write_recorded(self.recorded.plain())
            self._dirty = False
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Write what is left and close the files."""
        try:
            self.flush()
            self.folder.sync_logs()
        finally:
            self.folder.close_logs()

    def _count_in(self, rows: Rows) -> None:
        """Add rows to the mean loss since the last evaluation, and look for the last learning rate."""
        self._count += len(rows)
        for row in rows:
            loss, lr = row.get("loss"), row.get("lr")
            if loss is None:
                self._whole = False
            else:
                self._sum += loss
            if lr is not None:
                self.lr = lr

    def _lost(self, row: Mapping[str, Any], where: str) -> None:
        """Note whether the last loss is finite."""
        known = {name: row[name] for name in ("train_loss", "val_loss") if row.get(name) is not None}
        if not known:
            return
        wrong = [name for name, value in known.items() if not math.isfinite(value)]
        what = "validation loss" if wrong == ["val_loss"] else "loss"
        lost = f"the {what} was not finite {where}".rstrip() if wrong else ""
        if lost != self.recorded.lost and bool(lost) != bool(self.recorded.lost):
            self.recorded, self._dirty = replace(self.recorded, lost=lost), True

    def _goes_back(self, step: int) -> bool:
        """Cut the rows back to a step before this one, where a program resumed; only before its first step."""
        if not self._fresh:
            return False
        ends = end_before(self.folder.steps.path, step), end_before(self.folder.epochs.path, step)
        more = self.folder.steps.columns[len(STEP_COLUMNS) :]
        self.folder.close_logs()
        self.folder.open_logs((), ends, step_columns=more)
        return True
