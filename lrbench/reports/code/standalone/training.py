"""The optimizer, the loss, the loop and the evaluation of a complete script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lrbench.components import DEFAULT_LR, OPTIMIZERS, GroupRules
from lrbench.config import Experiment
from lrbench.reports.code.standalone.closures import Functions
from lrbench.reports.code.text import Raw, call, layout, literal
from lrbench.runs import Sizes
from lrbench.schedules import momentum_of, unlimited
from lrbench.types import Part

_FUSED = {**dict.fromkeys(("adam", "adamw", "sgd"), True), "adagrad": Raw('device == "cpu"')}
"""Optimizers that lrbench uses torch's fused kernels of."""


def optimizer_code(part: Part) -> list[str]:
    """Write the optimizer; `part` is the config's, with its scaled learning rate."""
    own, rules = GroupRules.split(part)
    lines, weights = [], Raw("model.parameters()")
    if not rules.decay_biases_and_norms:
        lines = ["weights = [p for p in model.parameters() if p.ndim > 1]"]
        lines += ["biases_and_norms = [p for p in model.parameters() if p.ndim <= 1]"]
        weights = Raw('[{"params": weights}, {"params": biases_and_norms, "weight_decay": 0.0}]')
    entry: Any = OPTIMIZERS.entries[own.name]
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in own.params.items()}
    settings = {"lr": DEFAULT_LR[own.name], **given, **({"fused": _FUSED[own.name]} if own.name in _FUSED else {})}
    return [*lines, *layout("optimizer = ", call(f"torch.optim.{entry.class_name}", weights, **settings))]


def by_token(experiment: Experiment) -> bool:
    """Whether the run trains a language model."""
    return experiment.task is not None and experiment.task.name == "language_model"


def loss_code(experiment: Experiment) -> list[str]:
    """Write the function that computes the loss of a batch."""
    lines = ["def loss_of(outputs, targets):", '    """Return the mean loss of a batch."""']
    if experiment.loss.name == "mse":
        return [*lines, "    return F.mse_loss(outputs, F.one_hot(targets, outputs.shape[-1]).to(outputs.dtype))"]
    smoothing = experiment.loss.params.get("label_smoothing") or 0.0
    more = f", label_smoothing={literal(smoothing)}" if smoothing else ""
    compared = "outputs.flatten(0, -2), targets.flatten()" if by_token(experiment) else "outputs, targets"
    return [*lines, f"    return F.cross_entropy({compared}{more})"]


def schedule_code(experiment: Experiment, part: Part, sizes: Sizes, functions: Functions, doc: str) -> bool:
    """Add the function `learning_rate` and, if the schedule cycles it, `momentum`; return whether it does."""
    lr = part.params.get("lr", DEFAULT_LR.get(part.name))
    assert lr is not None and sizes.total_steps and sizes.steps_per_epoch
    schedule = unlimited(
        experiment.schedule,
        lr=float(lr),
        total_steps=sizes.total_steps,
        steps_per_epoch=sizes.steps_per_epoch,
        warmup=experiment.warmup,
        as_of=experiment.as_of,
    )
    if adapts(experiment):
        functions.add(schedule, "learning_rate", doc=doc)
    momentum = momentum_of(schedule)
    if momentum is not None:
        functions.add(momentum, "momentum", doc="Return the momentum (of Adam: beta1) of a step.")
    return momentum is not None


def adapts(experiment: Experiment) -> bool:
    """Whether the learning rate ever changes."""
    return experiment.schedule.name != "constant" or experiment.warmup is not None or experiment.plateau is not None


def evaluation_code(experiment: Experiment) -> list[str]:
    """Write the function that evaluates the model."""
    tokens = by_token(experiment)
    size = experiment.batch_size if tokens else 500
    return [
        "@torch.no_grad()",
        "def evaluate(inputs, targets):",
        f'    """Return the mean loss{"" if tokens else " and the accuracy"} on a set."""',
        "    model.eval()",
        "    losses, sizes, right = [], [], 0" if not tokens else "    losses, sizes = [], []",
        f"    for some, wanted in zip(inputs.split({size}), targets.split({size}), strict=True):",
        "        outputs, wanted = model(prepare(some)), wanted.to(device)",
        "        losses.append(loss_of(outputs, wanted))",
        "        sizes.append(wanted.numel())",
        *([] if tokens else ["        right += int((outputs.argmax(1) == wanted).sum())"]),
        "    count = torch.tensor(sizes, dtype=torch.float64)",
        "    loss = float((torch.stack(losses).cpu().double() * count).sum() / count.sum())",
        f"    return loss{'' if tokens else ', right / len(targets)'}",
    ]


def loop_code(experiment: Experiment, sizes: Sizes, cycles: bool) -> list[str]:
    """Write the training loop; `cycles` says that the schedule changes momentum."""
    several, size = experiment.accumulate, "targets.numel()" if by_token(experiment) else "len(targets)"
    lines = ["torch.manual_seed(seed)  # once more, for the dropout", "step = 0", *_state(experiment)]
    lines += [f"for epoch in range({_epochs(experiment, sizes)}):", "    model.train()", "    loss_sum, count = 0.0, 0"]
    if several is None:
        lines += ["    for inputs, targets in batches(epoch):"]
    else:
        lines += ["    left = batches(epoch)"]
        lines += [f"    while several := list(itertools.islice(left, {several})):  # {several} batches a step"]
    if experiment.steps is not None:
        lines += _at(8, f"if step == {experiment.steps}:", "    break")
    lines += _at(8, *_rates(experiment, cycles), "optimizer.zero_grad()")
    if several is None:
        lines += _at(8, "loss = loss_of(model(inputs), targets)", "loss.backward()")
    else:
        lines += _at(8, f"examples = sum({size} for _, targets in several)", "losses = []")
        lines += _at(8, "for inputs, targets in several:")
        lines += _at(12, f"share = loss_of(model(inputs), targets) * ({size} / examples)", "share.backward()")
        lines += _at(12, "losses.append(share.detach())")
        lines += _at(8, "loss = torch.stack(losses).sum()")
    if experiment.clip_grad_norm is not None:
        limit = literal(experiment.clip_grad_norm)
        lines += _at(8, f"torch.nn.utils.clip_grad_norm_(model.parameters(), {limit})")
    size = size if several is None else "examples"
    lines += _at(8, "optimizer.step()", "step += 1", f"loss_sum += loss.item() * {size}", f"count += {size}")
    return [*lines, *_at(4, *_after_epoch(experiment)), *_tested(experiment)]


def _at(indent: int, *lines: str) -> list[str]:
    return [" " * indent + line for line in lines]


def _epochs(experiment: Experiment, sizes: Sizes) -> int:
    assert sizes.steps_per_epoch
    return experiment.epochs or -(-(experiment.steps or 0) // sizes.steps_per_epoch)


def _state(experiment: Experiment) -> Iterator[str]:
    """Begin what the plateau rule and early stopping remember."""
    if experiment.plateau is not None:
        yield "scale, record, bad, cooling = 1.0, None, 0, 0  # of the plateau rule"
    if experiment.early_stopping is not None:
        yield "best, waited = None, 0  # of early stopping"


def _rates(experiment: Experiment, cycles: bool) -> Iterator[str]:
    """Set the learning rate of a step."""
    value, rule = "learning_rate(step)", experiment.plateau
    if rule is not None and rule.min_lr:
        least = literal(rule.min_lr)
        yield f"rate = max(learning_rate(step) * scale, min(learning_rate(step), {least}))"
        value = "rate"
    elif rule is not None:
        value = "learning_rate(step) * scale"
    if adapts(experiment):
        yield "for group in optimizer.param_groups:"
        yield f'    group["lr"] = {value}'
    if cycles:
        yield "beta = momentum(step)"
        if experiment.schedule.name == "sequence":
            yield 'beta = beta if beta is not None else optimizer.param_groups[0]["momentum"]'
        yield "for group in optimizer.param_groups:"
        of_adam = _has_betas(experiment.optimizer.name)
        yield '    group["betas"] = (beta, group["betas"][1])' if of_adam else '    group["momentum"] = beta'


def _has_betas(name: str) -> bool:
    return name in ("adam", "adamax", "adamw", "nadam", "radam")


def _after_epoch(experiment: Experiment) -> Iterator[str]:
    inputs, targets, found = _names(experiment, "val")
    yield f"{found} = evaluate({inputs}, {targets})"
    more = "" if by_token(experiment) else ", {val_accuracy=:.4f}"
    yield "train_loss = loss_sum / count"
    yield f'print(f"epoch {{epoch + 1}}: {{train_loss=}}, {{val_loss=}}{more}")'
    plateau, early = experiment.plateau, experiment.early_stopping
    if plateau is not None:
        yield from _plateau(experiment)
    if early is not None:
        margin = f" {_worse(early.metric)} {literal(early.min_delta)}" if early.min_delta else ""
        yield f"if best is None or {early.metric} {_better(early.metric)} best{margin}:"
        yield f"    best, waited = {early.metric}, 0"
        yield f"elif epoch >= {early.start}:" if early.start else "else:"
        yield "    waited += 1"
        yield f"if waited >= {early.patience}:"
        yield "    break"


def _better(metric: str) -> str:
    return "<" if metric == "val_loss" else ">"


def _worse(metric: str) -> str:
    return "-" if metric == "val_loss" else "+"


def _plateau(experiment: Experiment) -> Iterator[str]:
    rule = experiment.plateau
    assert rule is not None
    margin = literal(rule.threshold) + ("" if rule.threshold_mode == "abs" else " * abs(record)")
    lines = [
        f"if record is None or {rule.metric} {_better(rule.metric)} record {_worse(rule.metric)} {margin}:",
        f"    record, bad = {rule.metric}, 0",
        "else:",
        "    bad += 1",
    ]
    if rule.cooldown:
        lines += ["if cooling > 0:", "    cooling, bad = cooling - 1, 0"]
    lines += [
        f"if bad > {rule.patience}:",
        f"    scale, bad, cooling = scale * {literal(rule.factor)}, 0, {rule.cooldown}",
    ]
    yield from [f"if epoch >= {rule.start}:", *_at(4, *lines)] if rule.start else lines


def _names(experiment: Experiment, which: str) -> tuple[str, str, str]:
    """Return the names of a set's inputs and targets, and of what `evaluate` returns for it."""
    if by_token(experiment):
        return f"{which}_tokens", f"{which}_targets", f"{which}_loss"
    return f"{which}_images", f"{which}_labels", f"{which}_loss, {which}_accuracy"


def _tested(experiment: Experiment) -> list[str]:
    inputs, targets, found = _names(experiment, "test")
    more = "" if by_token(experiment) else ", {test_accuracy=:.4f}"
    return ["", f"{found} = evaluate({inputs}, {targets})", f'print(f"{{test_loss=}}{more}")']
