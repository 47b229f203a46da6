"""Evaluation: a model on a split, what follows from it during training, and the result of a run."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from lrbench.components import LOSS, Split
from lrbench.config import Experiment
from lrbench.runs import RunResult, Status
from lrbench.training.checkpoint import copied
from lrbench.training.parts import Parts
from lrbench.training.termination import Ended
from lrbench.types import Duration

if TYPE_CHECKING:
    from lrbench.training.loop import Training

NORM_BATCHES = 50


@torch.no_grad()
def evaluate(parts: Parts, split: Split) -> dict[str, float]:
    """Return the mean loss over a split, as `loss`, and the task's metrics by name."""
    parts.evaluating()
    task = parts.task
    raws = split.batches(parts.evaluation_batch)
    own = task.evaluate(parts.forward, map(parts.batch, raws))
    if own is not None:
        return own
    losses, sums, counts, count = [], [], [], 0
    task.begin()
    for raw in raws:
        batch = parts.batch(raw)
        counts.append(task.count(batch))  # before user code, which may change the batch
        count += task.examples(batch)
        with parts.autocast():
            loss, found = task.measure(parts.forward, batch, whole=True)
        losses.append(loss.float())
        sums.append(found)
    counted = torch.tensor([float(each) for each in counts], dtype=torch.float64)
    weighted = torch.stack(losses).cpu().double() * counted  # on the CPU: not every device has float64
    mean = float(torch.where(counted > 0, weighted, 0.0).sum() / counted.sum())
    return {"loss": mean, **task.values(torch.stack(sums).cpu().double().sum(0).tolist(), count, mean, whole=True)}


def tested(parts: Parts) -> dict[str, float | None]:
    """Return the loss and metrics on the test data; a loss that is not finite becomes None."""
    assert parts.data.test is not None
    found = evaluate(parts, parts.data.test)
    return {**found, "loss": found["loss"] if math.isfinite(found["loss"]) else None}


@torch.no_grad()
def refresh_norms(parts: Parts, experiment: Experiment, epoch: int) -> None:
    """Recompute batch norm statistics for the averaged weights of a schedule-free optimizer.

    The averaged weights were never trained with, so their authors advise to run some batches in training mode before
    each evaluation. Does nothing for other optimizers or models without running statistics.
    """
    averages = callable(getattr(parts.optimizer, "eval", None))
    if not averages or not any(name.endswith("running_mean") for name, _ in parts.model.named_buffers()):
        return
    parts.evaluating()
    parts.model.train()
    drop_last = bool(experiment.drop_last)
    batches = parts.data.training_batches(experiment.batch_size, experiment.seed, epoch, drop_last=drop_last)
    for raw in islice(batches, NORM_BATCHES):
        with parts.autocast():
            parts.task.measure(parts.forward, parts.batch(raw))


def measure(training: Training) -> dict[str, Any]:
    """Return the training values since the last evaluation and the validation values. Raises Ended."""
    state, parts = training.state, training.parts
    refresh_norms(parts, training.experiment, parts.start.epochs + state.epoch)
    found = evaluate(parts, parts.data.validation)
    if not math.isfinite(found["loss"]):
        raise Ended(f"the validation loss was not finite after update {state.step}", Status.DIVERGED)
    values: dict[str, Any] = {"train_loss": training.train_loss, "val_loss": found["loss"]}
    trained = parts.task.values(state.sums, state.examples, training.train_loss) if state.examples else {}
    for metric in parts.task.metrics:
        values |= {f"train_{metric.name}": trained.get(metric.name), f"val_{metric.name}": found.get(metric.name)}
    return values


def next_evaluation(every: Duration | None, evaluated: int, parts: Parts) -> int:
    """Return the latest step of the next evaluation, after that of step `evaluated`; `every` is `eval_every`."""
    if every is None:
        return parts.total_steps
    exact = max(every.exact(total_steps=parts.total_steps, steps_per_epoch=parts.steps_per_epoch), 1.0)
    count = int(evaluated / exact)
    while int(count * exact + 0.5) <= evaluated:  # rounding each multiple keeps them on the ends of epochs
        count += 1
    return min(int(count * exact + 0.5), parts.total_steps)


def decide(training: Training, values: dict[str, Any]) -> None:
    """Keep the best weights and update plateau rule and early stopping."""
    state, experiment = training.state, training.experiment
    plateau, early, by = experiment.plateau, experiment.early_stopping, experiment.best_by or "val_loss"
    state.final = values
    way = sign(training, by)
    if state.best is None or way * values[by] < way * state.best[by]:
        state.best = values
        training.best_weights = copied(training.parts.model.state_dict())
        training.save_best()
    if plateau is not None:
        at = {
            "lr": training.parts.schedule(max(state.position - 1, 0)),
            "done": state.step / training.parts.total_steps,
        }
        state.plateau.update(plateau, values[plateau.metric], lower=sign(training, plateau.metric) > 0, **at)
    if early is not None:
        lower = sign(training, early.metric) > 0
        if state.stopping.update(early, state.evaluations, values[early.metric], lower=lower):
            unit = "epochs" if experiment.eval_every is None else "evaluations"
            best = f"{state.stopping.best:.4g}"
            state.stopped = f"{early.metric} has not improved on {best} for {early.patience} {unit}"


def sign(training: Training, name: str) -> int:
    """Return 1 if lower values of a `val_` metric are better, else −1."""
    metrics = {metric.name: metric for metric in (LOSS, *training.parts.task.metrics)}
    return metrics[name.removeprefix("val_")].sign


def conclude(training: Training, status: Status, reason: str) -> RunResult:
    """Evaluate the final and the best weights on the test data and write the result."""
    state, parts = training.state, training.parts
    test = test_best = None
    if status.complete and training.experiment.keep == "state":
        training.folder.save_final({**training.captured(), "best": None})  # which has a file of its own
    if status.complete and training.observer.tests and parts.data.test is not None:
        test = test_best = tested(parts)
        if state.best is not None and training.best_weights is not None and state.best["step"] != state.step:
            parts.model.load_state_dict(training.best_weights)
            test_best = tested(parts)
    result = RunResult(
        status=status,
        reason=reason,
        epochs=state.epoch,
        steps=state.step,
        evaluations=state.evaluations,
        seconds=state.seconds + state.interval,
        effective_lr=parts.peak_lr,
        final=state.final if status is not Status.DIVERGED else None,
        best=state.best,
        test=test,
        test_best=test_best,
        skipped=state.skipped if training.skips else None,
    )
    return training.folder.finish(training.experiment, result)
