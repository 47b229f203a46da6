"""The training loop of a run as PyTorch code, with every setting that changes training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lrbench.components import LOSS, Metric
from lrbench.config import Experiment
from lrbench.reports.code.schedules import Run
from lrbench.reports.code.text import Raw, call, comment, layout, literal, with_arguments
from lrbench.schedules import PlateauRule

Import = Callable[[str], str]


@dataclass
class Loop:
    """The lines of the loop, and those before it."""

    before: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def loop(
    run: Run,
    scheduler: bool,
    averages: bool,
    sizes: Mapping[str, Any],
    imported: Import,
    metrics: Mapping[str, Metric],
) -> Loop:
    """Write the shortest loop that trains as the run did.

    Args:
        run: the run.
        scheduler: whether the code has a scheduler.
        averages: whether the optimizer averages the weights for evaluation.
        sizes: the sizes that the run recorded.
        imported: adds an import and returns the name in the code.
        metrics: what the run measured, by name.
    """
    experiment, made = run.experiment, Loop()
    plateau = _plateau(run, scheduler, made, metrics)
    made.lines += _epochs(run)
    made.lines += ["    model.train()", *(["    optimizer.train()"] if averages else [])]
    made.lines += _batches(run)
    body = [*_forward(experiment, sizes, imported, made)]
    if experiment.accumulate is None:
        made.lines += _at(8, "optimizer.zero_grad()", *body, "loss.backward()")
    else:
        made.lines += _at(8, "examples = sum(len(targets) for _, targets in group)", "optimizer.zero_grad()")
        made.lines += _at(8, "for inputs, targets in group:")
        made.lines += _at(12, *body, "(loss * (len(targets) / examples)).backward()  # mean over all examples")
    if experiment.clip_grad_norm is not None:
        limit = literal(experiment.clip_grad_norm)
        made.lines += _at(8, f"torch.nn.utils.clip_grad_norm_(model.parameters(), {limit})")
    if experiment.on_non_finite == "skip":
        text = "lrbench skipped optimizer.step(), but not scheduler.step(), if the loss or gradient was not finite"
        made.lines += comment(f"{text} (at most {experiment.max_skipped or 10} times)", 8)
    made.lines += _at(8, "optimizer.step()")
    if scheduler:
        made.lines += _at(8, "scheduler.step()  # after every step, not every epoch")
    made.lines += _after_epoch(experiment, averages, plateau)
    return made


def _at(indent: int, *lines: str) -> list[str]:
    return [" " * indent + line for line in lines]


def _epochs(run: Run) -> list[str]:
    epochs = run.experiment.epochs
    if epochs is None and run.steps_per_epoch is not None:
        epochs = -(-(run.total_steps or 0) // run.steps_per_epoch)
    if epochs is not None:
        return [f"for epoch in range({epochs}):"]
    return ["for epoch in range(-(-total_steps // steps_per_epoch)):"]


def _batches(run: Run) -> list[str]:
    """Loop over the batches of an epoch, or groups of them. A run may end within an epoch."""
    several, source = run.experiment.accumulate, "train_loader"
    steps, per_epoch = run.experiment.steps, run.steps_per_epoch
    short = steps is not None and (per_epoch is None or steps % per_epoch != 0)
    if short:
        left = "total_steps - epoch * steps_per_epoch"
        source = f"itertools.islice(train_loader, {left if several is None else f'{several} * ({left})'})"
    if several is None:
        return _at(4, f"for inputs, targets in {source}:")
    taken = f"while group := list(itertools.islice(batches, {several})):  # {several} batches per step"
    return _at(4, f"batches = {source if short else 'iter(train_loader)'}", taken)


def _forward(experiment: Experiment, sizes: Mapping[str, Any], imported: Import, made: Loop) -> list[str]:
    """Compute the loss."""
    lines = _loss(experiment, sizes, imported, made)
    if experiment.precision != "bf16":
        return lines
    return ["with torch.autocast(inputs.device.type, dtype=torch.bfloat16):", *_at(4, *lines)]


def _loss(experiment: Experiment, sizes: Mapping[str, Any], imported: Import, made: Loop) -> list[str]:
    loss, functional = experiment.loss, "torch.nn.functional"
    outputs, targets = Raw("model(inputs)"), Raw("targets")
    if loss.name == "cross_entropy":
        settings = _tensors({k: v for k, v in loss.params.items() if v})
        if settings.get("weight") == "balanced":
            made.before += comment("class_weights: n / (classes * n_c) for n_c of n training examples of class c")
            settings["weight"] = Raw("class_weights")
        return layout("loss = ", call(f"{functional}.cross_entropy", outputs, targets, **settings))
    if loss.name == "mse":
        made_first = ["outputs = model(inputs)"]
        if sizes.get("classes", None if experiment.dataset.part.imported else True) is not None:
            onehot = f"{functional}.one_hot(targets, outputs.shape[-1])"
            return [*made_first, f"loss = {functional}.mse_loss(outputs, {onehot}.to(outputs.dtype))"]
        return [*made_first, f"loss = {functional}.mse_loss(outputs.reshape(targets.shape), targets)"]
    name, params = imported(loss.name), loss.params
    params = _tensors(params) if loss.name.startswith("torch.") else params
    if not name.rpartition(".")[2][0].isupper():  # a function takes its parameters with every call
        return layout("loss = ", with_arguments(name, [outputs, targets], params))
    made.before += layout("loss_function = ", with_arguments(name, [], params))
    return ["loss = loss_function(model(inputs), targets)"]


def _tensors(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a loss's parameters with lists as tensors."""
    return {k: call("torch.tensor", [float(x) for x in v]) if isinstance(v, list) else v for k, v in params.items()}


def _after_epoch(experiment: Experiment, averages: bool, plateau: list[str]) -> list[str]:
    """Write what follows an epoch, if training depends on it."""
    early = experiment.early_stopping
    lines = []
    if averages:
        words = "swaps in the averaged weights; evaluate and save these"
        lines += _at(4, "model.eval()", f"optimizer.eval()  # {words}")
        lines += comment("with batch norm, first run some training batches through model.train() without gradients", 4)
    lines += plateau
    if early is not None:
        words = f"early stopping: lrbench stopped once {early.metric} had not improved"
        least = f" by more than {early.min_delta:g}" if early.min_delta else ""
        start = f", not counting the first {early.start}" if early.start else ""
        every = "" if experiment.eval_every is None else f"; it evaluated every {experiment.eval_every}"
        lines += comment(f"{words}{least} for {_counted(early.patience, experiment)}{start}{every}", 4)
    return lines


def _plateau(run: Run, scheduler: bool, made: Loop, metrics: Mapping[str, Metric]) -> list[str]:
    """Write the plateau rule: its scheduler before the loop, its lines after each epoch."""
    rule = run.experiment.plateau
    if rule is None:
        return []
    if scheduler or rule.growth is not None or run.experiment.eval_every is not None:
        return comment(_in_words(rule, run.experiment), 4)
    if rule.min_lr and (run.grouped or run.lr is None or rule.min_lr > run.lr):
        return comment(_in_words(rule, run.experiment), 4)
    name = rule.metric.removeprefix("val_")
    metric = metrics.get(name, Metric(name))
    arguments = {
        **({} if metric.lower else {"mode": "max"}),
        "factor": rule.factor,
        "patience": rule.patience,
        "threshold": rule.threshold,
        **({"threshold_mode": "abs"} if rule.threshold_mode == "abs" else {}),
        **({"cooldown": rule.cooldown} if rule.cooldown else {}),
        **({"min_lr": rule.min_lr} if rule.min_lr else {}),
        "eps": 0,
    }
    made.before += comment("eps=0: by default, torch skips changes of the learning rate below 1e-8")
    positive = metric.form == "percent" or (metric == LOSS and not run.experiment.loss.imported)
    if not positive and rule.threshold_mode != "abs":
        what = "loss" if metric == LOSS else name
        made.before += comment(f"torch's threshold equals lrbench's as long as the {what} is above 0")
    called = call("torch.optim.lr_scheduler.ReduceLROnPlateau", Raw("optimizer"), **arguments)
    made.before += [*layout("plateau = ", called), ""]
    what = "mean loss" if metric == LOSS else name
    step = [f"plateau.step({rule.metric})"]
    if rule.start:
        step = [f"if epoch >= {rule.start}:", *_at(4, *step)]
    return _at(4, f"{rule.metric} = evaluate(model)  # your function: {what} on the validation data", *step)


def _counted(count: int, experiment: Experiment) -> str:
    """`3 epochs`; `3 evaluations` where these are not the ends of epochs."""
    unit = "epoch" if experiment.eval_every is None else "evaluation"
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _in_words(rule: PlateauRule, experiment: Experiment) -> str:
    """Describe a rule that torch has no scheduler for."""
    every = experiment.eval_every
    looked = "After each epoch" if every is None else f"After each evaluation, every {every}"
    margin = f"by more than {rule.threshold:g}{'' if rule.threshold_mode == 'abs' else ' of it'}"
    parts = [
        f"not in this code: the plateau rule. {looked}, lrbench multiplied the learning rate by "
        f"{rule.factor:g} if {rule.metric} had not improved on its best {margin} for more than "
        f"{_counted(rule.patience, experiment)}"
    ]
    if rule.cooldown:
        parts.append(f"the {_counted(rule.cooldown, experiment)} after a change did not count")
    if rule.start:
        parts.append(f"it started after {_counted(rule.start, experiment)}")
    if rule.min_lr:
        parts.append(f"its minimum learning rate was {rule.min_lr:g}")
    growth = rule.growth
    if growth is not None:
        most = "" if growth.max_lr is None else f", up to {growth.max_lr:g}"
        when = (
            f"after {_counted(growth.patience, experiment)} of improvement in a row"
            if growth.on == "improvement"
            else f"instead on a plateau in the first {growth.until:.0%} of the run"
        )
        parts.append(f"it multiplied the learning rate by {growth.factor:g} {when}{most}")
    return "; ".join(parts) + "."
