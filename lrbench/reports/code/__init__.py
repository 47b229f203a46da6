"""The PyTorch code of a run: its optimizer, its schedule and a training loop. Does not import torch."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import partial
from typing import Any

from lrbench.components import AVERAGES, DEFAULT_LR, OPTIMIZERS, GroupRules, configured_rate, metrics_of
from lrbench.config import Experiment
from lrbench.errors import LrbenchError, counted
from lrbench.reports.code.loop import Import, loop
from lrbench.reports.code.schedules import Run, schedule_code
from lrbench.reports.code.text import Call, Raw, call, comment, is_name, layout
from lrbench.runs import Environment
from lrbench.types import OBJECTS, Part

_STANDARD = ("itertools", "math")
_PACKAGED = ("prodigyopt", "schedulefree")
_MODULES = (*_STANDARD, "lrbench", *_PACKAGED, "torch")
_OWN = {
    *("batch", "batches", "epoch", "evaluate", "examples", "factor", "group", "inputs", "loss", "loss_function"),
    *("model", "optimizer", "outputs", "plateau", "scale", "scaler", "scheduler", "step", "targets", "task"),
    "train_loader",
    *("milestones", "step_size", "steps_per_epoch", "timescale", "total_steps", "warmup_steps", *_MODULES),
}
"""Names that the generated code assigns, beside `val_` and a metric; an import with the same name gets an alias."""


def code(plain: Mapping[str, Any], environment: Environment) -> str:
    """Write the PyTorch code that repeats a run: optimizer, schedule and training loop.

    The schedule is plain PyTorch if that is short and exact, otherwise `lrbench.torch_scheduler`. Whatever else lrbench
    did in training is in the code or in a comment. The user adds the model, the data and the evaluation.

    Args:
        plain: the run's resolved config, `Record.plain`.
        environment: where it ran, `Record.environment`. Its `sizes` hold the number of steps; without them the code
            takes the number from the user's data.

    Returns:
        Python source in the layout of `ruff format`; empty if the config is not valid or has no optimizer.
    """
    if not isinstance(plain, Mapping) or not plain.get("optimizer"):
        return ""
    try:
        nameless = {key: value for key, value in plain.items() if key not in ("name", "reference")}
        experiment = Experiment.of({**nameless, "name": "run"}, {}, "")
        return _source(experiment, str(plain.get("name", "")), environment)
    except (LrbenchError, ArithmeticError, RecursionError, SyntaxError, TypeError, ValueError):
        return ""  # the report leaves the code out


def _source(experiment: Experiment, name: str, environment: Environment) -> str:
    sizes, dataset = environment.sizes, experiment.dataset
    examples = sizes.train_examples or dataset.rules.training_examples(dataset.part.name)
    per_epoch = sizes.steps_per_epoch or None
    if per_epoch is None and examples is not None:
        per_epoch = experiment.updates_per_epoch(examples)
    total = experiment.steps
    if total is None and per_epoch is not None:
        total = (experiment.epochs or 0) * per_epoch
    part = experiment.scaled_optimizer(examples)
    own, rules = GroupRules.split(part)
    lr = own.params.get("lr", DEFAULT_LR.get(own.name))
    by_width = experiment.model.params.get("parametrization") == "mup"
    run = Run(experiment, lr, by_width or bool(rules.arguments), per_epoch, total)
    imports: set[str] = set()
    imported = partial(_imported, imports)
    schedule = schedule_code(run)
    made = _built(part) if by_width or own.name == "muon" else _optimizer(part, own, rules, imported)
    metrics = metrics_of(environment.metrics)
    averages = own.name in AVERAGES or own.name.startswith("schedulefree")
    training = loop(run, schedule, averages, sizes, imported, metrics)
    device = environment.device or ""
    scheduler = layout("scheduler = ", schedule.scheduler) if schedule.scheduler else []
    setting = [*schedule.values, *_precision(experiment.precision, device)]
    optimizer = [*_remarks(experiment, rules, examples), *layout("optimizer = ", made)]
    if not scheduler and experiment.plateau is None:
        optimizer += comment("no scheduler: the learning rate is constant")
    elif schedule.function:
        optimizer += ["", "", *schedule.function, "", "", *scheduler]
    else:
        optimizer += scheduler
    body = "\n".join([*optimizer, "", *training]) + "\n"
    used = {node.id for node in ast.walk(ast.parse("\n".join([*setting, body]))) if isinstance(node, ast.Name)}
    numbers = [*comment(_title(experiment, name)), *_numbers(run, used), *setting]
    return "\n".join([*_import_lines(used, imports), "", *numbers, "", body])


def _imported(imports: set[str], name: str) -> str:
    """Import `package.module:name` and return its name in the code. Raises ValueError if it is no such string."""
    home, _, inner = name.partition(":")
    if not (is_name(home) and is_name(inner)):
        raise ValueError(f"{name!r} is not an import string")
    if home.partition(".")[0] in ("torch", *_PACKAGED):
        return f"{home}.{inner}"
    if name.startswith(OBJECTS):
        shown = inner.rpartition("_")[0]
        imports.add(f"# {shown}: your own, as given to lrbench.run")
        return shown
    first, dot, rest = inner.partition(".")
    known = f"imported_{first}" if first in _OWN or first.startswith("val_") else first
    imports.add(f"from {home} import {first}" + (f" as {known}" if known != first else ""))
    return known + dot + rest


def _import_lines(used: set[str], own: set[str]) -> list[str]:
    standard = [f"import {module}" for module in _STANDARD if module in used]
    others = [f"import {module}" for module in _MODULES if module in used and module not in _STANDARD]
    installs = [f"# pip install {module}" for module in _PACKAGED if module in used]
    return [*installs, *standard, *([""] if standard and (others or own) else []), *others, *sorted(own)]


def _title(experiment: Experiment, name: str) -> str:
    part, rules, done = experiment.dataset.part, experiment.dataset.rules, []
    if rules.normalize is True:
        done.append("normalized per channel with the training data's mean and standard deviation")
    elif rules.normalize:
        done.append(f"normalized per channel with mean {rules.normalize.mean} and std {rules.normalize.std}")
    elif part.name == "text":
        done.append(f"windows of {part.params.get('context')} tokens and the same windows one token later")
    elif not part.imported:
        done.append("inputs between 0 and 1")
    if rules.augment:
        done.append(f"augmented: {', '.join(rules.augment)}")
    batches = ", ".join([f"batches of {experiment.batch_size}, shuffled every epoch", *done])
    title = f"The training of {name[:100]!r} in lrbench. " if name else ""
    return f"{title}Add your own model and train_loader: {batches}."


_REMARKS = {
    "muon": "Muon for hidden weight matrices, AdamW for all other parameters",
    "prodigy": "Prodigy estimates the learning rate; lr multiplies the estimate",
}


def _remarks(experiment: Experiment, rules: GroupRules, examples: int | None) -> list[str]:
    scaling = experiment.scaling_in_words(examples or experiment.update_size) or ""
    left_out = [
        f"'{name}' was frozen for the first {when}" for name, when in (rules.unfreeze or {}).items() if when.amount
    ]
    left_out += [f"'{name}' had a warm-up of its own, {length}" for name, length in (rules.group_warmup or {}).items()]
    rule, continues = experiment.init_from, experiment.continues
    left_out += [] if rule is None else [f"the model started from the {rule.weights} weights of {rule.run}"]
    if continues is not None:
        then = "its schedule went on" if continues.schedule == "extend" else "its schedule started again"
        left_out.append(f"model and optimizer started from the final state of {continues.run}, where {then}")
    if experiment.model.params.get("parametrization") == "mup":
        left_out.append(f"the model is in μP, lrbench's own {experiment.model.name}; others get one learning rate")
    missing = f"not in this code: {'; '.join(left_out)}" if left_out else ""
    return [*comment(scaling), *comment(missing), *comment(_REMARKS.get(experiment.optimizer.name, ""))]


def _built(part: Part) -> Call:
    """Call lrbench for an optimizer that is more than one class: two in one, or learning rates by the width."""
    return call("lrbench.build_optimizer", part.plain(), Raw("model"))


def _optimizer(whole: Part, own: Part, rules: GroupRules, imported: Import) -> Call:
    weights: Any = Raw("model.parameters()")
    if rules.arguments:
        grouping = {key: whole.params[key] for key in rules.arguments}
        weights = call("lrbench.parameter_groups", Raw("model"), **{"lr": configured_rate(own), **grouping})
    if own.imported:
        return call(imported(own.name), weights, **own.params)
    entry = OPTIMIZERS.entries[own.name]
    made = imported(f"{entry.home}:{entry.class_name}")  # type: ignore[attr-defined]
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in own.params.items()}
    return call(made, weights, **{"lr": DEFAULT_LR[own.name], **given})


def _precision(precision: str, device: str) -> list[str]:
    """The precision of float32 on a GPU; torch uses TF32 for convolutions by default."""
    if precision == "tf32":
        return ["torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True"]
    if device.startswith("cuda"):
        return ["torch.backends.cudnn.allow_tf32 = False  # full float32, as in the run"]
    return []


def _numbers(run: Run, used: set[str]) -> list[str]:
    """Assign `steps_per_epoch` and `total_steps` if the code uses them."""
    total, per_epoch = run.total_steps, run.steps_per_epoch
    lines = []
    if "steps_per_epoch" in used or ("total_steps" in used and total is None):
        several = run.experiment.accumulate
        batches = "len(train_loader)" if several is None else f"-(-len(train_loader) // {several})  # rounded up"
        lines.append(f"steps_per_epoch = {per_epoch or batches}")
    if "total_steps" in used:
        epochs = run.experiment.epochs
        note = f"  # {counted(epochs, 'epoch')} of {counted(per_epoch, 'step')}" if epochs and per_epoch else ""
        lines.append(f"total_steps = {f'{epochs} * steps_per_epoch' if total is None else f'{total}{note}'}")
    return lines
