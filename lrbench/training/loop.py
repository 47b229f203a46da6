"""THE loop. One run, from its config to `result.json`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lrbench.components.data.batches import in_groups
from lrbench.config.identity import identity
from lrbench.config.load import Experiment
from lrbench.errors import Interrupted, RunError
from lrbench.events import Event, Watch
from lrbench.runs.environment import place
from lrbench.runs.folder import RunFolder
from lrbench.training.build import Parts, assemble, described, resolve_device, summary
from lrbench.training.checkpoint import State, capture, copied, restore, seed_everything
from lrbench.training.cuda_graphs import RecordedUpdates, place_rates, recordable
from lrbench.training.early_stopping import is_best
from lrbench.training.evaluate import evaluate, refresh_norms, tested
from lrbench.training.termination import Diverged, Ended, not_finite, too_many_skipped
from lrbench.training.update import Readings, gradient

READ_BACK_SECONDS = 0.5  # how often losses are fetched from the device
EPOCH_CHECKPOINT_SECONDS = 5.0
CHECKPOINT_SECONDS = 60.0
MAX_SKIPPED = 10


def train(
    folder: RunFolder,
    experiment: Experiment,
    *,
    watch: Watch,
    stop: Callable[[], bool],
    begin: Callable[[RunFolder, Experiment, Watch], Training] | None = None,
) -> dict[str, Any]:
    """Train until the budget is spent, or go on where a checkpoint stands; write the result and return it.

    Args:
        folder: the run's folder, created and locked by the caller.
        experiment: what to train.
        watch: is told of progress.
        stop: asked after every update; when true, a checkpoint is written and Interrupted raised.
        begin: makes the training that goes on; a range test, say, is a kind of its own.
    """
    try:
        training = (begin or Training.begin)(folder, experiment, watch)
        parts, state = training.parts, training.state
        while (state.step < parts.total_steps or state.batch) and not state.stopped:
            training.run_epoch(stop)
            training.end_epoch()
        return training.conclude("stopped_early" if state.stopped else "finished", state.stopped or "")
    except Ended as error:
        return training.conclude(error.status, str(error))
    finally:
        folder.steps.close()
        folder.epochs.close()


@dataclass
class Training:
    """One run under way."""

    folder: RunFolder
    experiment: Experiment
    parts: Parts
    state: State
    watch: Watch
    threads: int
    pending: Readings
    recorded: RecordedUpdates | None = None
    best_weights: dict[str, Any] | None = None
    saved: float = field(default_factory=time.monotonic)
    read: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(cls, folder: RunFolder, experiment: Experiment, watch: Watch) -> Training:
        """Build the parts; take up the newest checkpoint there is, and cut the rows back to it."""
        checkpoint = folder.load_checkpoint(identity(experiment))
        if checkpoint is None and folder.has_checkpoint:
            why = "damaged, of another run, or its rows are gone"
            text = f"{folder.name}: its checkpoints can't be used ({why}), so it begins anew"
            watch(Event(folder.name, "message", values={"text": text}))
        if checkpoint is not None:
            torch.set_num_threads(checkpoint["threads"])
        parts = assemble(experiment, resolve_device(experiment.device))
        seed_everything(experiment.seed)
        try:
            state = State() if checkpoint is None else restore(checkpoint, parts)
        except Exception as error:
            what = " ".join(str(error).split())[:200]
            problem = f"its checkpoint does not fit the model and optimizer as they are built now ({what})"
            raise RunError(f"{folder.name}: {problem}; restore the code, or train anew with --again") from error
        recorded = RecordedUpdates(parts, experiment.clip_grad_norm) if recordable(experiment, parts) else None
        place_rates(parts.optimizer, parts.device if recorded else None)
        folder.steps.open(state.step)
        folder.epochs.open(state.epoch)
        best_weights = None if checkpoint is None else checkpoint["best"]
        folder.save_best(best_weights)
        threads = torch.get_num_threads()
        where = {**place(), **described(parts.device)}
        folder.amend_environment({**where, "threads": threads, "sizes": summary(parts)})
        training = cls(folder, experiment, parts, state, watch, threads, Readings(parts.device), recorded, best_weights)
        if checkpoint is not None and checkpoint["threads"] != threads:
            text = f"{folder.name}: it ran with {checkpoint['threads']} threads, and goes on with {threads}"
            text = f"{text}: its last digits will differ from those of an uninterrupted run"
            watch(Event(folder.name, "message", values={"text": text}))
            folder.amend_environment({"threads_before": checkpoint["threads"]})
        watch(replace(training.event(parts.peak_lr), kind="start"))
        scaled = experiment.scaling_in_words(len(parts.data.train))
        if scaled is not None:
            watch(Event(folder.name, "message", values={"text": f"{folder.name}: {scaled}"}))
        return training

    def run_epoch(self, stop: Callable[[], bool]) -> None:
        """The updates of one epoch, or what is left of it."""
        parts, state, experiment = self.parts, self.state, self.experiment
        parts.training()
        began = time.monotonic()
        size, at_once = experiment.batch_size, experiment.accumulate or 1
        batches = parts.data.training_batches(size, experiment.seed, state.epoch, start=state.batch * at_once)
        for group in in_groups(batches, at_once):
            if state.step == parts.total_steps:
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
                    raise Interrupted(f"{self.folder.name} stopped after update {state.step}")
                began = time.monotonic()  # writing a checkpoint is not training
        try:
            self.read_back()
        finally:
            self.count_time(began)

    def update(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        """One update at the rate the schedule gives for it, from one batch or several accumulated ones.

        Nothing is read back from the device, but where updates may be left out.
        """
        parts, state = self.parts, self.state
        lr = self.rate(state.step)
        parts.set_rate(lr, parts.momentum(state.step) if parts.momentum else None)
        state.step += 1
        state.batch += 1
        if self.recorded is not None:
            measured = self.recorded(batches[0])
        else:
            before = self.buffers() if self.experiment.on_non_finite == "skip" else None
            measured = gradient(parts, batches, self.experiment.clip_grad_norm)
            if before is not None and not all(map(math.isfinite, measured[:2].tolist())):
                self.skip(lr, before)
                return
            parts.optimizer.step()
        count = sum(len(targets) for _, targets in batches)
        self.pending.add(state.step, lr, parts.current_momentum(), count, measured)

    def buffers(self) -> dict[str, Tensor]:
        """A copy of the model's buffers, running statistics say, which an update that is left out must not change."""
        return {name: buffer.clone() for name, buffer in self.parts.model.named_buffers()}

    def skip(self, lr: float, before: dict[str, Tensor]) -> None:
        """Leave an update out and count it; its row has a rate and no loss. Raises Diverged beyond the limit."""
        state = self.state
        for name, buffer in self.parts.model.named_buffers():
            buffer.copy_(before[name])
        self.read_back()
        self.folder.steps.append([(state.step, lr, self.parts.current_momentum(), None, None)])
        state.skipped += 1
        limit = self.experiment.max_skipped or MAX_SKIPPED
        if state.skipped > limit:
            raise too_many_skipped(limit, state.step, lr, state.last_loss)

    def rate(self, step: int) -> float:
        """The learning rate of an update of this epoch."""
        lr = self.parts.schedule(step)
        plateau = self.experiment.plateau
        return lr if plateau is None else self.state.plateau.apply(plateau, lr)

    def read_back(self) -> None:
        """Fetch the pending losses from the device in one piece and write their rows. Raises Diverged."""
        if not self.pending:
            return
        self.folder.guard()
        state, rows = self.state, []
        for step, lr, momentum, count, (loss, norm, right) in self.pending.take():
            rows.append((step, lr, momentum, loss, norm))
            ended = self.ended(step, lr, loss, norm)
            if ended is not None:
                self.folder.steps.append(rows)
                state.step = step
                raise ended
            state.last_loss = loss
            state.loss_sum += loss * count
            state.correct += int(right)
            state.examples += count
        self.folder.steps.append(rows)
        self.read = time.monotonic()
        self.watch(self.event(rows[-1][1]))

    def ended(self, step: int, lr: float, loss: float, norm: float) -> Ended | None:
        """Why an update was the last, by its loss and its gradient's norm; None where it was not."""
        return not_finite(step, lr, loss, norm, self.state.last_loss)

    def count_time(self, began: float) -> float:
        """Add the time since `began` to the epoch's training time; the time now."""
        now = time.monotonic()
        self.state.epoch_seconds += now - began
        return now

    def end_epoch(self) -> None:
        """Evaluate, write the epoch's row, let plateau and early stopping look at it, save."""
        state, parts = self.state, self.parts
        refresh_norms(parts, self.experiment.batch_size, self.experiment.seed, state.epoch)
        val_loss, val_accuracy = evaluate(parts, parts.data.validation)
        if not math.isfinite(val_loss):
            raise Diverged(f"the validation loss was not finite after update {state.step}")
        state.epoch += 1
        state.seconds += state.epoch_seconds
        classes = parts.data.classes
        measured = {
            "train_loss": state.loss_sum / state.examples if state.examples else None,
            "train_accuracy": state.correct / state.examples if classes is not None and state.examples else None,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
        }
        state.final = measured
        lr = self.rate(state.step - 1)
        speed = state.examples / state.epoch_seconds if state.epoch_seconds > 0 else 0.0
        self.folder.epochs.append([(state.epoch, state.step, lr, *measured.values(), state.epoch_seconds, speed)])
        if is_best(self.experiment.best_by, state.best, val_loss, val_accuracy):
            state.best = {"epoch": state.epoch, "val_loss": val_loss, "val_accuracy": val_accuracy}
            self.best_weights = copied(parts.model.state_dict())
            self.folder.save_best(self.best_weights)
        self.decide(measured)
        self.watch(self.event(lr, measured))
        state.begin_epoch()
        if time.monotonic() - self.saved > EPOCH_CHECKPOINT_SECONDS and state.step < parts.total_steps:
            self.checkpoint()

    def decide(self, measured: dict[str, Any]) -> None:
        """Show the epoch's metrics to plateau and early stopping."""
        state, plateau, early = self.state, self.experiment.plateau, self.experiment.early_stopping
        if plateau is not None and measured[plateau.metric] is not None:
            now = {"lr": self.parts.schedule(state.step - 1), "done": state.step / self.parts.total_steps}
            state.plateau.update(plateau, measured[plateau.metric], **now)
        if (
            early is not None
            and measured[early.metric] is not None
            and state.stopping.update(early, state.epoch, measured[early.metric])
        ):
            best = f"{state.stopping.best:.4g}"
            state.stopped = f"{early.metric} has not improved on {best} for {early.patience} epochs"

    def checkpoint(self) -> None:
        """Save everything."""
        assert not self.pending, "a checkpoint counts only what has been read back"
        whole = capture(self.state, self.parts, self.best_weights, identity(self.experiment), self.threads)
        self.folder.save_checkpoint(whole)
        self.saved = time.monotonic()

    def conclude(self, status: str, reason: str) -> dict[str, Any]:
        """Evaluate on the test data, with the last and with the best weights; write `result.json`."""
        state, parts = self.state, self.parts
        result: dict[str, Any] = {
            "status": status,
            "reason": reason,
            "epochs": state.epoch,
            "steps": state.step,
            "seconds": state.seconds,
            "effective_lr": parts.peak_lr,
            **({"skipped": state.skipped} if self.experiment.on_non_finite == "skip" else {}),
            "final": state.final if status != "diverged" else None,
            "best": state.best,
            "test": None,
            "test_best": None,
        }
        if status not in ("diverged", "pruned") and parts.data.test is not None:
            result["test"] = result["test_best"] = tested(parts)
            if state.best is not None and self.best_weights is not None and state.best["epoch"] != state.epoch:
                parts.model.load_state_dict(self.best_weights)
                result["test_best"] = tested(parts)
        return self.folder.finish(self.experiment, result)

    def event(self, lr: float, measured: dict[str, Any] | None = None) -> Event:
        """What a progress display wants to know now."""
        state, parts = self.state, self.parts
        running = state.loss_sum / state.examples if state.examples else None
        return Event(
            run=self.folder.name,
            kind="epoch" if measured else "progress",
            step=state.step,
            total_steps=parts.total_steps,
            epoch=state.epoch,
            epochs=math.ceil(parts.total_steps / parts.steps_per_epoch),
            lr=lr,
            images_per_second=state.examples / state.epoch_seconds if state.epoch_seconds > 0 else None,
            values=measured or {"train_loss": running},
        )
