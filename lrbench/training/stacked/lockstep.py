"""Train several runs in lockstep: one program does a step of all, and each run's own folder and state follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from lrbench.components import Batch
from lrbench.errors import Interrupted, LrbenchError
from lrbench.runs import RunResult, Status
from lrbench.training.evaluate import conclude, next_evaluation
from lrbench.training.generators import keep_generators
from lrbench.training.loop import CHECKPOINT_SECONDS, READ_BACK_SECONDS, Training
from lrbench.training.stacked.batches import stacked_batches
from lrbench.training.stacked.program import Program
from lrbench.training.termination import Ended
from lrbench.training.update import Readings

EVALUATION_CHECKPOINT_SECONDS = 20.0  # longer than a single run's, since all runs of a stack save at once


def _never() -> bool:
    return False


@dataclass
class StackedRun(Training):
    """A run in progress that is trained with others.

    Attributes:
        leave: True once this run must stop; see `lrbench.training.orders.Leave`.
        generator: the random generator of its dropout.
        put_generators: sets the process's generators to this run's, but for torch's.
        hand_back: gives its optimizer the state that the program holds.
    """

    told: ClassVar[Mapping[str, Any]] = {"stacked": True}
    records: ClassVar[bool] = False

    leave: Callable[[], bool] = _never
    generator: torch.Generator = field(default_factory=torch.Generator)
    put_generators: Callable[[], None] = lambda: None
    hand_back: Callable[[], None] = lambda: None
    best_unsaved: bool = False

    def own_generators(self) -> None:
        """Take over the process's random generators, which `begin` has set for this run."""
        self.put_generators = keep_generators()
        self.generator.set_state(torch.get_rng_state())

    @property
    def checkpoint_seconds(self) -> float:
        """See `Training`."""
        return EVALUATION_CHECKPOINT_SECONDS

    @property
    def place(self) -> tuple[int, int, int]:
        """Where in its training the run is; runs of a stack must be at the same place."""
        return self.state.step, self.state.batch, self.state.evaluated

    def captured(self) -> dict[str, Any]:
        """Return the complete state, that of a run trained alone."""
        self.put_generators()
        torch.set_rng_state(self.generator.get_state())
        self.hand_back()
        return super().captured()

    def save_best(self) -> None:
        """Write the best weights later, with the next checkpoint or at the end: files are slower than small steps."""
        self.best_unsaved = True

    def checkpoint(self) -> None:
        """See `Training`."""
        self.write_best()
        super().checkpoint()

    def write_best(self) -> None:
        """Write the best weights, if they are not written yet."""
        if self.best_unsaved:
            super().save_best()
            self.best_unsaved = False


class Lockstep:
    """Runs that are trained together. They are at the same `place` and have the same budget.

    Args:
        runs: the runs, begun.
        ended: called with each run that has ended and its result, or the error that prevented one.
    """

    def __init__(
        self, runs: Sequence[StackedRun], ended: Callable[[StackedRun, RunResult | LrbenchError], None]
    ) -> None:
        self.runs, self.ended = list(runs), ended
        parts, generators = [run.parts for run in self.runs], [run.generator for run in self.runs]
        self.program = Program(parts, generators, self.runs[0].experiment.clip_grad_norm)
        self.pending = Readings()
        self.read = self.saved = time.monotonic()
        self._place()

    def train(self) -> None:
        """Train until all runs have ended."""
        while self.runs:
            self._run_to_evaluation()
            self._each(lambda row, run: run.evaluate())
            self._each(lambda row, run: _end_if_done(run))

    # -- steps

    def _run_to_evaluation(self) -> None:
        """Train up to the next evaluation; see `Training.run_to_evaluation`."""
        first = self.runs[0]
        every = first.experiment.eval_every
        target = next_evaluation(every, first.state.evaluated, first.parts)
        while self._run_epoch(target) and every is not None and self.runs and self.runs[0].state.step < target:
            for run in self.runs:
                run.state.begin_epoch()

    def _run_epoch(self, target: int) -> bool:
        """Train the rest of the epoch, at most up to step `target`. Returns True if the epoch is over."""
        over = False
        while self.runs and not over and self.runs[0].state.step < target:
            over = self._run_batches(target)
        return over

    def _run_batches(self, target: int) -> bool:
        """Train like `_run_epoch`, but only until a run leaves."""
        count, began, over = len(self.runs), time.monotonic(), True
        for batch in self._batches():
            if self.runs[0].state.step == target:
                over = False
                break
            self._update(batch)
            now = time.monotonic()
            if now - self.read > READ_BACK_SECONDS or self.pending.full or self.runs[0].leave():
                self._read_back(began)
                self._each(lambda row, run: _leave(run))
                if now - self.saved > CHECKPOINT_SECONDS:
                    self.saved = now
                    self._each(lambda row, run: run.checkpoint())
                if len(self.runs) < count:
                    return False
                began = time.monotonic()
        self._read_back(began)
        return over

    def _batches(self) -> Iterator[Batch]:
        """Yield the rest of the epoch's batches."""
        first = self.runs[0]
        epochs = [(run.experiment, run.parts.start.epochs + run.state.epoch) for run in self.runs]
        return stacked_batches(first.parts.data, epochs, first.state.batch)

    def _update(self, batch: Batch) -> None:
        """Do one step of each run at its own learning rate, without a device sync."""
        rows = [run.begin_step() for run in self.runs]
        self.pending.add(rows, batch[1].shape[1], self.program.update(batch))

    def _read_back(self, began: float) -> None:
        """Fetch the pending losses, write the rows, and add a run's share of the time since `began`."""
        share = (time.monotonic() - began) / max(len(self.runs), 1)
        readings = self.pending.take()

        def write(row: int, run: StackedRun) -> None:
            run.state.interval += share
            if readings:
                run.write([(rows[row], count, measured[row]) for rows, count, measured in readings])

        self._each(write)
        self.read = time.monotonic()

    # -- runs

    def _each(self, act: Callable[[int, StackedRun], None]) -> None:
        """Call `act` with each run's row and the run; runs that end by it leave the stack."""
        left = []
        for row, run in enumerate(self.runs):
            try:
                act(row, run)
                left.append(row)
            except Ended as error:
                self._end(run, error.status, str(error))
            except LrbenchError as error:
                self.ended(run, error)
        if len(left) < len(self.runs):
            self.runs = [self.runs[row] for row in left]
            self.pending = Readings()
            if self.runs:
                self.program.keep(left)
                self._place()

    def _end(self, run: StackedRun, status: Status, reason: str) -> None:
        try:
            run.write_best()
            self.ended(run, conclude(run, status, reason))
        except LrbenchError as error:
            self.ended(run, error)

    def _place(self) -> None:
        """Tell the runs which rows of the program are theirs."""
        for row, run in enumerate(self.runs):
            run.hand_back = _handing_back(self.program, row)


def _handing_back(program: Program, row: int) -> Callable[[], None]:
    return lambda: program.optimizer.hand_back(row)


def _end_if_done(run: StackedRun) -> None:
    if not run.goes_on:
        stopped = run.state.stopped
        raise Ended(stopped or "", Status.STOPPED_EARLY if stopped else Status.FINISHED)


def _leave(run: StackedRun) -> None:
    if run.leave():
        run.checkpoint()
        raise Interrupted(f"{run.folder.name} stopped after step {run.state.step}")
