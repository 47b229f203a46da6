"""`Recorder`: the rows and the end of one run, whatever becomes of the program."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from lrbench.errors import ArgumentError, LrbenchError, UsageError, reason_of
from lrbench.integrations.places import Place
from lrbench.integrations.processes import say, uncaught
from lrbench.integrations.rates import Rates
from lrbench.integrations.values import directions, number, rates, split_name, word
from lrbench.runs import Status

_MOST_WARNINGS = 20
OPEN: dict[Path, Recorder] = {}
"""This process's recorders by run folder, until they are closed."""


class Recorder:
    """Records a run. Made by `record`; it does nothing on other ranks than 0 and in forked processes.

    Rows are written at least once a second while steps come, so that a killed program loses no more than that. Values
    that are no numbers and full disks are told once on stderr; they never stop a training.

    Attributes:
        path: the run's folder; None on other ranks than 0.
    """

    def __init__(self, place: Place | None) -> None:
        self.path = None if place is None else place.folder.path
        self.place, self._pid, self._lock = place, os.getpid(), threading.RLock()
        self._rates: Rates | None = None
        self._columns: dict[str, str] = {}
        self._used: set[str] = set()
        self._warned: set[str] = set()
        self._closed = False
        self._end_as: tuple[Status, BaseException | None, str] | None = None
        self.finishes_at_exit = True
        if place is not None and self.path is not None:
            OPEN[self.path.absolute()] = self
            _at_exit()

    # -- recording

    def step(self, lr: Any = None, loss: Any = None, *, step: int | None = None, **more: Any) -> None:
        """Record a step of the optimizer.

        Args:
            lr: the learning rate that the step used: a number, one for each parameter group, as a list or by name, or a
                torch optimizer, if its scheduler has not yet moved on. Not needed after `watch`.
            loss: the step's own training loss. Values on a GPU are read back later, all at once.
            step: its number, from 1; by default, one more than the last.
            more: other values, such as `grad_norm`.

        Raises ArgumentError if an argument is of no use, at the first call.
        """
        if self._off():
            return
        row = self._values("step", {"loss": loss, **more}, word) if more else {"loss": self._number("loss", loss)}
        row |= self._rated(lr)
        step = None if step is None else self._whole("step", step)
        self._used.add("step")
        with self._lock, self._careful():
            self.place.writer.step(row, step)  # type: ignore[union-attr]

    def evaluate(self, *, step: int | None = None, epoch: float | None = None, **values: Any) -> None:
        """Record an evaluation.

        Args:
            step: the steps done; by default, the number of the last step.
            epoch: the epochs done.
            values: `val_loss`, `val_accuracy`, `train_loss`, …; a bare name such as `accuracy` is of the validation
                data, and `test_…` as in `test`. `eval_` and `valid_` are other words for `val_`.

        Raises ArgumentError if there are no values, at the first call.
        """
        if self._off():
            return
        row = self._values("evaluate", values, split_name)
        step = None if step is None else self._whole("evaluate", step)
        epoch = self._number("epoch", epoch)
        self._used.add("evaluate")
        with self._lock, self._careful():
            self.place.writer.evaluate(row, step=step, epoch=epoch)  # type: ignore[union-attr]
            self.place.evaluated()  # type: ignore[union-attr]
            if self._end_as is not None:  # these values came after the end
                self.place.conclude(*self._end_as)  # type: ignore[union-attr]

    def test(self, **values: Any) -> None:
        """Record values on the test data, such as `accuracy`; they belong to the weights at the end of the run."""
        found = {split_name(name, "test"): value for name, value in values.items()}
        for name in found:
            if not name.startswith("test_"):
                self._wrong("test", f"{name} is not a value on the test data; `evaluate` takes those on other data")
        self.evaluate(**{name: value for name, value in found.items() if name.startswith("test_")})

    def note(self, text: str) -> None:
        """Note what weakens a comparison, such as `the losses are smoothed`."""
        if not self._off():
            with self._lock, self._careful():
                self.place.writer.note(str(text))  # type: ignore[union-attr]

    def tell(self, *, total_steps: int | None = None, metrics: Mapping[str, str] | None = None) -> None:
        """Record what was not known at the beginning; see `record`."""
        check_steps(total_steps)
        found = directions(metrics)
        if not self._off():
            known = self.place.writer.recorded  # type: ignore[union-attr]
            with self._lock, self._careful():
                self.place.writer.tell(  # type: ignore[union-attr]
                    total_steps=total_steps or known.total_steps, metrics={**known.metrics, **found}
                )

    @property
    def unfinished(self) -> bool:
        """Whether it was closed before its training had ended well, so that another attempt may come."""
        return self._closed and (self._end_as is None or self._end_as[0] is Status.FAILED)

    @property
    def used(self) -> dict[str, Any] | None:
        """The learning rates of the watched optimizer's last step, by group; None if none is watched."""
        return None if self._rates is None else self._rates.last

    def watch(self, *optimizers: Any) -> None:
        """Read the learning rates of every step from torch optimizers as they step, before a scheduler moves on.

        Raises ArgumentError if one is no torch optimizer.
        """
        if self._off():
            return
        if self._rates is not None:
            self._rates.close()
        self._rates = Rates(*optimizers)

    def finish(self) -> None:
        """Write the result and close the run. Later calls do nothing."""
        if not self._off(closing=True):
            self.ended()
            self._close()

    def ended(self, status: Status = Status.FINISHED, error: BaseException | None = None, reason: str = "") -> None:
        """Write the result of a training that has ended; evaluations that come later still count."""
        if self._off(closing=True):
            return
        self._end_as = status, error, reason or ("" if error is None else f"{type(error).__name__}: {reason_of(error)}")
        with self._lock, self._careful():
            self.place.conclude(*self._end_as)  # type: ignore[union-attr]

    def leave(self) -> None:
        """Close an interrupted run without a result; `resume=True` goes on with it."""
        if not self._off(closing=True):
            self._close()

    # -- as a context

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        """Close the run as what ends the program, or the block, says."""
        stopped = error is not None and not isinstance(error, Exception | SystemExit)
        if stopped or self._off(closing=True):
            self.leave()
        elif error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self.finish()
        else:
            self.ended(Status.FAILED, error)
            self._close()

    def _exit(self) -> None:
        """Close the run at the end of the program."""
        error = uncaught()
        if self._end_as is not None or (error is None and not self.finishes_at_exit):
            self.leave()
        else:
            self._end(error)

    # -- inside

    def _off(self, closing: bool = False) -> bool:
        """Return whether there is nothing to do here. Raises UsageError if the run is closed already."""
        if self.place is None or self._pid != os.getpid():
            return True
        if self._closed and not closing:
            raise UsageError("this run is finished; call lrbench.record again to record another")
        return self._closed

    def _rated(self, lr: Any) -> dict[str, Any]:
        try:
            return rates(self.used if lr is None else lr)
        except (TypeError, ValueError) as error:
            self._wrong("step", f"lr must be a number, one for each group, or a torch optimizer: {error}")
            return {}

    def _values(self, method: str, given: Mapping[str, Any], column: Callable[[str], str]) -> dict[str, Any]:
        """Return values by column. Raises ArgumentError for a wrong name in a method's first call."""
        row = {}
        for name, value in given.items():
            try:
                known = self._columns.get(name) if method == "step" else None
                known = known or column(name)
            except ArgumentError as error:
                self._wrong(method, str(error))
                continue
            if method == "step":
                self._columns[name] = known
            row[known] = self._number(name, value)
        if not row and method == "evaluate":
            self._wrong(method, "evaluate needs values, such as val_loss=0.3")
        return row

    def _whole(self, method: str, step: Any) -> int | None:
        """Return a number of steps; None for what is none, which is told."""
        try:
            if step == int(step) and not isinstance(step, str | bool):
                return int(step)
        except (TypeError, ValueError, OverflowError):
            pass
        self._wrong(method, f"step must be a whole number (got {step!r:.40})")
        return None

    def _number(self, name: str, value: Any) -> Any:
        try:
            return number(value)
        except Exception as error:
            self._warn(f"{name} was left out: {reason_of(error)}", once=name)
            return None

    def _wrong(self, method: str, problem: str) -> None:
        """Raise ArgumentError at the first call of a method; later, a training is not stopped for it."""
        if method not in self._used:
            raise ArgumentError(problem)
        self._warn(problem)

    def _warn(self, text: str, once: str = "") -> None:
        if (once or text) not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(once or text)
            say(text)

    @contextlib.contextmanager
    def _careful(self) -> Iterator[None]:
        """Tell what can't be written instead of raising it."""
        try:
            yield
        except (LrbenchError, OSError, ValueError) as error:
            self._warn(f"could not record: {reason_of(error)}; training goes on")

    def _close(self) -> None:
        self._closed = True
        if self._rates is not None:
            self._rates.close()
        if OPEN.get(self.path.absolute()) is self:  # type: ignore[union-attr]
            del OPEN[self.path.absolute()]  # type: ignore[union-attr]
        with self._lock, self._careful():
            self.place.close()  # type: ignore[union-attr]


def check_steps(total: Any) -> None:
    """Raise ArgumentError if it is not a number of steps."""
    if total is not None and (isinstance(total, bool) or not isinstance(total, int) or total < 1):
        raise ArgumentError(f"total_steps must be a whole number from 1 (got {total!r:.40})")


def _at_exit() -> None:
    atexit.unregister(_close_all)
    atexit.register(_close_all)


def _close_all() -> None:
    for recorder in list(OPEN.values()):
        recorder._exit()
