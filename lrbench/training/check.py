"""Check that model, data, loss and schedule fit together, which needs them built."""

from __future__ import annotations

import contextlib
import copy

import torch
from torch import Tensor, nn

from lrbench.components import Loss, PairTask, classes_in, described, mapped, void_hint
from lrbench.config import Experiment, identity
from lrbench.errors import ConfigError, UserCodeError, counted, reason_of
from lrbench.schedules import checked_rate, unreached
from lrbench.training.build import (
    KEPT_PARTS,
    build,
    checked,
    fitting,
    forward_pass,
)
from lrbench.training.device import exact_products
from lrbench.training.isolation import ProcessState
from lrbench.training.parts import Parts
from lrbench.training.task import built_task


def check(experiment: Experiment, device: torch.device, *, keep: bool = False) -> list[str]:
    """Build everything and pass two examples and a last batch through it, before anything is written.

    Args:
        experiment: what to check.
        device: where it would train.
        keep: keep the parts for `assemble`, because this process will train them.

    Returns: likely mistakes, each in one sentence.

    Raises: the same errors as `assemble`, and ConfigError if model, data and loss do not fit together.
    """
    exact_products(experiment.precision, device)
    parts = build(experiment, device)
    state = ProcessState.now()
    for step in (*range(0, parts.total_steps, max(parts.total_steps // 10_000, 1)), parts.total_steps - 1):
        checked_rate(parts.schedule(step), step)
    twin = _twin(parts.model) if keep else None
    model = parts.model if twin is None else twin
    notes = list(parts.data.notes)
    if isinstance(parts.task, PairTask):
        notes += _check_pair(experiment, parts, parts.task, model)
    else:
        notes += _check_own(parts, model)
    _check_last_batch(experiment, parts, model)
    if twin is not None and len(checked) < KEPT_PARTS:
        parts.task = built_task(
            experiment, parts.data, parts.model, parts.classes, device
        )  # the one used above may have kept state
        checked[identity(experiment), str(device)] = parts, state
    sizes = {"total_steps": parts.start.steps + parts.total_steps, "steps_per_epoch": parts.steps_per_epoch}
    late = [] if parts.stages is None else parts.stages.unreached(sizes["total_steps"])
    return [*notes, *unreached(experiment.schedule, warmup=experiment.warmup, **sizes), *late]


def _check_pair(experiment: Experiment, parts: Parts, task: PairTask, model: nn.Module) -> list[str]:
    """Check that predictions and targets of two examples fit each other and the loss. Returns likely mistakes."""
    name, raw = experiment.model.name, next(iter(parts.data.train.batches(2)))
    with forward_pass(model, parts.data, name):
        batch = parts.batch(raw)
        returned = model(batch[0])
        outputs, goal = task.compared(lambda _: returned, batch)
    _check_outputs(experiment, parts, task.loss, outputs, goal)
    shapes = f"outputs {tuple(outputs.shape)} and targets {tuple(goal.shape)}"
    _check_targets(experiment, outputs, goal, shapes)
    whole = not goal.is_floating_point() and goal.shape == outputs.shape
    with fitting("loss", f"'{experiment.loss.name}' does not fit {shapes}"):
        try:
            _check_mean(task.loss, outputs, goal)
        except UserCodeError:
            if not whole:
                raise
            raise ValueError("several labels per example need float targets: use targets.float()") from None
    with fitting("metrics", f"can't be computed from {shapes}"):
        task.values(task.sums(outputs, goal).tolist(), len(goal), 1.0)
        task.note(outputs.detach(), goal)
    notes = []
    if parts.data.positions and parts.data.classes is None and void_hint(parts.classes):
        notes.append(f"the targets go up to 255, so there are {parts.classes} classes{void_hint(parts.classes)}")
    if isinstance(returned, tuple | list):
        notes.append(f"model: '{name}' returns {described(returned)}; its first item is taken as the predictions")
    return notes


def _check_own(parts: Parts, model: nn.Module) -> list[str]:
    """Pass two examples through a task that computes its own loss. Returns likely mistakes."""
    batch, task = parts.batch(next(iter(parts.data.train.batches(2)))), parts.task
    model.train()
    with torch.random.fork_rng():
        task.measure(model, batch)
    model.eval()
    with torch.random.fork_rng():
        once, _ = task.measure(model, batch)
    if not once.requires_grad:
        problem = "its loss has no gradient: compute it without .item(), .detach() and numpy"
        raise ConfigError(problem, key="task")
    with torch.random.fork_rng(), torch.no_grad():
        try:
            task.measure(model, batch)
        except UserCodeError as error:
            if "require grad" not in str(error):
                raise
            problem = "its loss needs gradients, which evaluations don't keep: compute it under torch.enable_grad()"
            raise ConfigError(problem, key="task") from error
        if not float(task.count(batch)) > 0:
            problem = (
                f"count(batch) returned {float(task.count(batch)):g}; it must return what the mean loss divides by"
            )
            raise ConfigError(problem, key="task")
        if parts.data.train.sized and task.examples(batch) != min(2, len(parts.data.train)):
            examples = counted(int(task.examples(batch)), "example")
            problem = f"counts {examples} in a batch of 2; write examples(batch) in your task"
            raise ConfigError(problem, key="task")
        twice = once
        with contextlib.suppress(Exception):  # batches that can't be doubled
            twice, _ = task.measure(model, mapped(batch, lambda leaf: torch.cat([leaf, leaf])))
        if bool(once.isfinite() & (once != 0)) and torch.isclose(twice, 2 * once, rtol=1e-4, atol=0):
            problem = "its loss is a sum over the batch, so it depends on the batch size; return the mean"
            raise ConfigError(problem, key="task")
    notes = []
    if assumed := ", ".join(getattr(task, "assumed", ())):
        notes.append(f"metrics: lower is taken as better for {assumed}; write `metrics: {{name: higher}}` if not")
    if undeclared := ", ".join(sorted(getattr(task, "undeclared", ()))):
        notes.append(f"task: it returns {undeclared}, which its `metrics` do not list, so it is not measured")
    return notes


def _twin(model: nn.Module) -> nn.Module | None:
    """Copy the model for the check, so that it starts training unchanged. None if it can't be copied."""
    try:
        return copy.deepcopy(model)
    except Exception:
        return None


def _check_outputs(experiment: Experiment, parts: Parts, loss: Loss, outputs: object, goal: Tensor) -> None:
    """Raise ConfigError for outputs that are no tensor or have other classes than the data."""
    name, classes = experiment.model.name, parts.classes
    if not isinstance(outputs, Tensor):
        problem = f"'{name}' returns {described(outputs)}, without a tensor of predictions"
        raise ConfigError(f"{problem}: wrap it in a module that returns one, or write your own task", key="model")
    returned = f"'{name}' returns outputs of shape {tuple(outputs.shape[1:])}"
    if parts.data.positions:
        classes = classes_in(goal, loss) if classes is None else classes
        laid_out = outputs.dim() > 1 and outputs.shape[:1] + outputs.shape[2:] == goal.shape
        if laid_out and loss.ignored is not None and classes is not None and outputs.shape[1] < classes:
            problem = (
                f"{returned}, so {counted(outputs.shape[1], 'class')}; the targets have {classes}{void_hint(classes)}"
            )
            raise ConfigError(problem, key="model")
    elif classes is not None and (outputs.dim() != 2 or outputs.shape[1] != classes):
        raise ConfigError(
            f"{returned}; {counted(classes, 'class')} {'needs' if classes == 1 else 'need'} ({classes},)", key="model"
        )


def _check_mean(loss: Loss, outputs: Tensor, goal: Tensor) -> None:
    """Raise ValueError unless the loss is a tensor of one number, and a mean over what it counts.

    A mean stays the same when every example comes twice. A loss that is different at every call can't be told.
    """
    once = loss(outputs, goal)
    if not isinstance(once, Tensor):
        raise ValueError(f"it returns a {type(once).__name__}; a loss must be a tensor, to have a gradient")
    if once.dim() != 0:
        raise ValueError(f"it returns a tensor of shape {tuple(once.shape)}; a loss must be one number")
    if not bool(once.isfinite()) or not torch.equal(once, loss(outputs, goal)):
        return
    twice = loss(torch.cat([outputs, outputs]), torch.cat([goal, goal]))
    if once != 0 and torch.isclose(twice, 2 * once, rtol=1e-4, atol=0):
        raise ValueError("it is a sum over the batch, so it depends on the batch size; return the mean")
    if not _close(twice, once):
        change = f"from {once:.4g} to {twice:.4g} when every example comes twice"
        raise ValueError(f"it changes {change}, so it depends on the batch size; return the mean")
    if loss.count is not None:
        pairs = [(outputs[i : i + 1], goal[i : i + 1]) for i in range(len(goal))]
        alone = [(loss(*pair), float(loss.counted(pair[1]))) for pair in pairs]
        total = sum(count for _, count in alone)
        if any(count < 0 for _, count in alone):
            raise ValueError("its count(targets) is negative; it must return what the loss divides by")
        mean = sum(value * count for value, count in alone if count) / (total or 1)
        if not _close(once, torch.as_tensor(mean)):
            problem = f"it is {once:.4g} for two examples, but the mean by its count() of each alone is {mean:.4g}"
            raise ValueError(f"{problem}; count(targets) must return what the loss divides by")


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.float(), other.float(), rtol=1e-3, atol=1e-6)


def _check_last_batch(experiment: Experiment, parts: Parts, model: nn.Module) -> None:
    """Raise ConfigError if the model in training mode can't take a last batch, which may be smaller than the others."""
    name, examples = experiment.model.name, len(parts.data.train)
    last = 0 if experiment.drop_last else examples % experiment.batch_size
    failure = _training_failure(parts, model, last or min(2, experiment.batch_size))
    if failure is None:
        return
    if experiment.batch_size == 1 and _training_failure(parts, model, 2) is None:
        problem = f"'{name}' can't train on one example at a time: {failure}"
        raise ConfigError(f"{problem}; use a larger batch_size", key="batch_size")
    if last in (0, 2) or _training_failure(parts, model, 2) is not None:
        raise ConfigError(f"'{name}' fails in training mode: {failure}", key="model")
    batch = f"{counted(last, 'example')} of {examples} in batches of {experiment.batch_size}"
    advice = "set drop_last: true to leave it out, or another batch_size"
    raise ConfigError(f"'{name}' can't train on the last batch, {batch}: {failure}; {advice}", key="batch_size")


def _training_failure(parts: Parts, model: nn.Module, size: int) -> str | None:
    """Return why the model can't take a batch of this size in training mode; None if it can."""
    model.train()
    with torch.random.fork_rng():
        batch, task = parts.batch(next(iter(parts.data.train.batches(size)))), parts.task
    try:
        # a task of one's own may need gradients in its loss
        with torch.random.fork_rng(), torch.set_grad_enabled(not isinstance(parts.task, PairTask)):
            if isinstance(task, PairTask):
                task.compared(model, batch)
            else:
                task.measure(model, batch)
    except torch.OutOfMemoryError:  # training says what to do
        return None
    except KeyboardInterrupt:
        raise
    except UserCodeError as error:
        return str(error).splitlines()[0]
    except BaseException as error:  # whatever user code raises
        return reason_of(error)
    return None


def _check_targets(experiment: Experiment, outputs: Tensor, goal: Tensor, shapes: str) -> None:
    """Raise ConfigError for outputs and targets that torch would accept but not compute the intended loss of."""
    if experiment.loss.name == "cross_entropy" and goal.is_floating_point():
        problem = "cross_entropy needs class indices, but the targets are floats; use mse"
        raise ConfigError(f"{problem} ({shapes})", key="loss")
    if experiment.loss.imported and goal.is_floating_point() and outputs.shape != goal.shape:
        raise ConfigError(f"{shapes} would be broadcast; make their shapes equal", key="loss")
