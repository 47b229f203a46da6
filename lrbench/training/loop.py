"""The training loop: one run, from its config to its result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from lrbench.components import Batch, in_groups, recorded
from lrbench.config import Experiment, identity
from lrbench.errors import Interrupted, counted
from lrbench.events import Event, Watch, message
from lrbench.runs import RunFolder, RunResult, Status, place
from lrbench.training.build import assemble, described, seed_everything
from lrbench.training.checkpoint import State, begun, capture, restore
from lrbench.training.columns import RateColumns, groups_of
from lrbench.training.device import resolve_device
from lrbench.training.evaluate import conclude, decide, next_evaluation
from lrbench.training.kinds import LoopKind, Observer
from lrbench.training.parts import Parts
from lrbench.training.recorded import updates_of
from lrbench.training.skipping import skip
from lrbench.training.termination import Ended, not_finite
from lrbench.training.update import Readings, Row, buffers_of, gradient, step_taken

READ_BACK_SECONDS = 0.5  # interval between device syncs that fetch the losses
EVALUATION_CHECKPOINT_SECONDS = 5.0
CHECKPOINT_SECONDS = 60.0


def train(
    folder: RunFolder, experiment: Experiment, kind: LoopKind, *, watch: Watch, stop: Callable[[], bool]
) -> RunResult:
    """Train until the budget is spent, resuming from a checkpoint if there is one; write and return the result.

    Args:
        folder: the run's folder, created and locked by the caller.
        experiment: what to train.
        kind: the kind of work, such as training or a range test.
        watch: called with progress events.
        stop: called after every step; once it returns True, a checkpoint is written and Interrupted raised.
    """
    try:
        training = Training.begin(folder, experiment, kind, watch)
        try:
            training.observer = kind.prepare(training)
            while training.goes_on:
                training.run_to_evaluation(stop)
                training.evaluate()
        except Ended as error:
            return conclude(training, error.status, str(error))
        stopped = training.state.stopped
        return conclude(training, Status.STOPPED_EARLY if stopped else Status.FINISHED, stopped or "")
    finally:
        folder.close_logs()


@dataclass
class Training:
    """A run in progress."""

    told: ClassVar[Mapping[str, Any]] = {}  # what `env.json` says of how it was trained
    records: ClassVar[bool] = True  # whether steps may be recorded and replayed

    folder: RunFolder
    experiment: Experiment
    parts: Parts
    state: State
    watch: Watch
    threads: int
    recorded: Callable[[Batch], Tensor] | None = None
    best_weights: dict[str, Any] | None = None
    columns: RateColumns | None = None
    pending: Readings = field(default_factory=Readings)
    observer: Observer = field(init=False)
    saved: float = field(default_factory=time.monotonic)
    read: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.observer = Observer(self)

    @classmethod
    def begin(cls, folder: RunFolder, experiment: Experiment, kind: LoopKind, watch: Watch) -> Self:
        """Build the parts, load the newest checkpoint and cut the CSV rows back to it."""
        device = resolve_device(experiment.device)
        parts = assemble(experiment, device)
        metrics = parts.task.metrics
        checkpoint = folder.load_checkpoint(identity(experiment), metrics)
        if kind.take_start(folder, experiment, parts, 0 if checkpoint is None else checkpoint["step"], watch):
            checkpoint = folder.load_checkpoint(identity(experiment), metrics)
        if checkpoint is not None:
            torch.set_num_threads(checkpoint["threads"])
        elif folder.has_checkpoint:
            why = "damaged, from another run, or without their CSV rows"
            watch(message(f"{folder.name}: its checkpoints can't be used ({why}); starting over", folder.name))
        seed_everything(experiment.seed)
        state = begun(parts) if checkpoint is None else restore(checkpoint, parts, folder.name)
        recorded_updates = updates_of(experiment, parts, records=cls.records)
        columns = RateColumns(parts)
        ends = (0, 0) if checkpoint is None else checkpoint["ends"]
        folder.open_logs(metrics, ends, step_columns=columns.names)
        best_weights = None if checkpoint is None else checkpoint["best"]
        folder.save_best(best_weights)
        threads = torch.get_num_threads()
        known = {**place(), **described(parts), **groups_of(parts), **parts.start.before, **cls.told}
        folder.amend_environment({**known, "threads": threads, "metrics": recorded(metrics)})
        training = cls(folder, experiment, parts, state, watch, threads, recorded_updates, best_weights)
        training.columns = columns if columns.names else None
        if checkpoint is not None and checkpoint["threads"] != threads:
            text = f"{folder.name}: started with {counted(checkpoint['threads'], 'thread')}, resumed with {threads}"
            watch(message(f"{text}; the last digits will differ from those of an uninterrupted run", folder.name))
            folder.amend_environment({"threads_before": checkpoint["threads"]})
        watch(training.event("start", parts.peak_lr, {"metrics": recorded(metrics)}))
        scaled = experiment.scaling_in_words(len(parts.data.train))
        for text in (*([] if scaled is None else [scaled]), *(parts.start.said if checkpoint is None else [])):
            watch(message(f"{folder.name}: {text}", folder.name))
        return training

    @property
    def goes_on(self) -> bool:
        """True while there are steps to do or steps not evaluated yet."""
        state = self.state
        return not state.stopped and (state.step < self.parts.total_steps or state.evaluated < state.step)

    # -- steps

    def run_to_evaluation(self, stop: Callable[[], bool]) -> None:
        """Train up to the next evaluation: at the end of the epoch, or as set by `eval_every`."""
        target = next_evaluation(self.experiment.eval_every, self.state.evaluated, self.parts)
        while self.run_epoch(target, stop) and self.state.step < target and self.experiment.eval_every is not None:
            self.state.begin_epoch()

    def run_epoch(self, target: int, stop: Callable[[], bool]) -> bool:
        """Train the rest of the epoch, at most up to step `target`. Returns True if the epoch is over."""
        parts, state, experiment = self.parts, self.state, self.experiment
        parts.training()
        began = time.monotonic()
        size, at_once = experiment.batch_size, experiment.accumulate or 1
        data, drop_last, start = parts.data, bool(experiment.drop_last), state.batch * at_once
        epoch = parts.start.epochs + state.epoch
        batches = data.training_batches(size, experiment.seed, epoch, start=start, drop_last=drop_last)
        over = True
        for group in in_groups(batches, at_once):
            if state.step == target:
                over = False
                break
            self.update(group)
            now = time.monotonic()
            if now - self.read > READ_BACK_SECONDS or self.pending.full:
                began = self.count_time(began)
                self.read_back()
            if stop() or now - self.saved > CHECKPOINT_SECONDS:
                self.read_back()
                began = self.count_time(began)
                self.checkpoint()
                if stop():
                    raise Interrupted(f"{self.folder.name} stopped after step {state.step}")
                began = time.monotonic()  # writing a checkpoint is not training time
        try:
            self.read_back()
        finally:
            self.count_time(began)
        return over

    def update(self, batches: list[Batch]) -> None:
        """Do one step at the scheduled learning rate, with one batch or several accumulated ones.

        Avoids a device sync unless steps that are not finite are skipped.
        """
        parts, row = self.parts, self.begin_step()
        if self.recorded is not None:
            measured = self.recorded(batches[0])
        else:
            check = self.skips
            before = buffers_of(parts.model) if check else {}
            measured = gradient(parts, batches, self.experiment.clip_grad_norm)
            if not step_taken(parts, measured, check=check):
                skip(self, row, before)
                self.observer.skipped()
                return
        count = sum([parts.task.examples(raw) for raw in batches])
        self.pending.add(row, count, measured)
        self.observer.updated()

    def begin_step(self) -> Row:
        """Count the next step, set its learning rate and momentum, and return what its row holds so far."""
        parts, state = self.parts, self.state
        position = state.position
        lr = self.rate(position)
        if parts.stages is not None:
            parts.ratios = parts.stages.enter(parts.start.steps + position)
        parts.set_rate(lr, parts.momentum(position) if parts.momentum else None)
        state.step += 1
        state.batch += 1
        row = {"step": state.step, "lr": lr, "momentum": parts.current_momentum()}
        return row if self.columns is None else row | self.columns.values(lr)

    @property
    def skips(self) -> bool:
        """True if steps that are not finite are skipped."""
        return self.experiment.on_non_finite == "skip" or self.parts.scaler is not None

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, from the schedule and the current state of the plateau rule."""
        lr = self.parts.schedule(step)
        plateau = self.experiment.plateau
        return lr if plateau is None else self.state.plateau.apply(plateau, lr)

    def read_back(self) -> None:
        """Fetch the pending losses with one device sync and write their rows. Raises Ended."""
        if self.pending:
            self.write(self.pending.take())

    def write(self, readings: Iterable[tuple[Row, int, list[float]]]) -> None:
        """Write the rows of steps whose losses were fetched; see `Readings.take`. Raises Ended."""
        self.folder.guard()
        state, rows = self.state, []
        for row, count, (loss, norm, targets, *sums) in readings:
            step, lr = row["step"], row["lr"]
            rows.append({**row, "loss": loss, "grad_norm": norm})
            ended = not_finite(step, lr, loss, norm, state.last_loss) or self.observer.limit(step, lr, loss)
            if ended is not None:
                self.folder.steps.append(rows)
                state.step = step
                raise ended
            state.last_loss = loss
            state.loss_sum += loss * targets
            state.counted += targets
            state.sums = [a + b for a, b in zip(state.sums or [0.0] * len(sums), sums, strict=True)]
            state.examples += count
        self.folder.steps.append(rows)
        self.read = time.monotonic()
        self.watch(self.event("progress", lr, {"train_loss": self.train_loss}))

    def count_time(self, began: float) -> float:
        """Add the time since `began` to the training time and return the current time."""
        now = time.monotonic()
        self.state.interval += now - began
        return now

    # -- evaluations

    @property
    def train_loss(self) -> float | None:
        """The mean loss since the last evaluation, over what the loss counts, such as examples."""
        return self.state.loss_sum / self.state.counted if self.state.counted else None

    def evaluate(self) -> None:
        """Evaluate, write the row, apply plateau rule and early stopping, save a checkpoint, call the observer."""
        state, parts = self.state, self.parts
        values = self.observer.measure()
        if self.experiment.eval_every is None or state.batch >= parts.steps_per_epoch:
            state.begin_epoch()
        lr = self.rate(max(state.position - 1, 0))
        now = {"epoch": self.epochs_done, "step": state.step}
        speed = state.examples / state.interval if state.interval > 0 else 0.0
        row = {**now, "lr": lr, **values, "seconds": state.interval, "examples_per_second": speed}
        self.folder.guard()
        self.folder.epochs.append([row])
        event = self.event("epoch", lr, values)  # before the interval, which gives the speed, is reset
        state.begin_interval()
        if "val_loss" in values:
            decide(self, {**now, **values})
        self.watch(event)
        if time.monotonic() - self.saved > self.checkpoint_seconds and state.step < parts.total_steps:
            self.checkpoint()
        self.observer.evaluated()

    @property
    def checkpoint_seconds(self) -> float:
        """The age of the last checkpoint at which an evaluation writes the next one."""
        return EVALUATION_CHECKPOINT_SECONDS

    @property
    def epochs_done(self) -> float:
        """Epochs done, with a fraction within an epoch."""
        if self.experiment.eval_every is None:
            return self.state.epoch
        exact = self.state.step / self.parts.steps_per_epoch
        return int(exact) if exact.is_integer() else exact

    def checkpoint(self) -> None:
        """Save a checkpoint."""
        assert not self.pending, "read_back() comes first"
        self.folder.save_checkpoint(self.captured())
        self.saved = time.monotonic()
        self.observer.saved()

    def save_best(self) -> None:
        """Write the best weights."""
        self.folder.save_best(self.best_weights)

    def captured(self) -> dict[str, Any]:
        """Return the complete state."""
        return capture(self.state, self.parts, self.best_weights, identity(self.experiment), self.threads)

    def event(self, kind: Literal["start", "progress", "epoch"], lr: float, values: dict[str, Any]) -> Event:
        """Return a progress event."""
        state, parts = self.state, self.parts
        return Event(
            run=self.folder.name,
            kind=kind,
            step=state.step,
            total_steps=parts.total_steps,
            epoch=state.epoch,
            epochs=math.ceil(parts.total_steps / parts.steps_per_epoch),
            lr=lr,
            examples_per_second=state.examples / state.interval if state.interval > 0 else None,
            values=values,
        )
