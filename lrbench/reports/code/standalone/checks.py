"""What a complete script can't do yet."""

from __future__ import annotations

from collections.abc import Iterator

from lrbench.components import OPTIMIZERS, GroupRules
from lrbench.config import Experiment
from lrbench.errors import ConfigError, option
from lrbench.reports.code.standalone.data import SETS
from lrbench.schedules import SCHEDULES

MODELS = ("cnn", "gpt", "lenet", "logistic", "mlp", "resnet20", "vit")


def check(experiment: Experiment) -> None:
    """Raise ConfigError for the first key that a complete script can't follow."""
    for key, problem in (*_parts(experiment), *_training(experiment), *_optimizer(experiment)):
        raise ConfigError(f"{problem}, which a complete script can't have; leave out {option('--standalone')}", key=key)


def _parts(experiment: Experiment) -> Iterator[tuple[str, str]]:
    dataset, model, loss, task = experiment.dataset, experiment.model, experiment.loss, experiment.task
    if dataset.part.name not in (*SETS, "text"):
        yield "dataset", f"is {dataset.part.name}"
    if dataset.part.name == "text" and dataset.part.params.get("path") is None:
        yield "dataset.path", "is the text that comes with lrbench"
    if dataset.part.name == "text" and (dataset.rules.validation.how != "tail" or dataset.rules.train_size):
        yield "dataset", "does not end with its validation data, or is reduced by train_size"
    if dataset.rules.sampler is not None:
        yield "dataset.sampler", f"is {dataset.rules.sampler}"
    if model.name not in MODELS:
        yield "model", f"is {model.name}"
    if model.params.get("parametrization") == "mup":
        yield "model.parametrization", "is mup"
    if task is not None and task.name not in ("classification", "language_model"):
        yield "task", f"is {task.name}"
    if loss.name not in ("cross_entropy", "mse"):
        yield "loss", f"is {loss.name}"
    schedule = experiment.schedule
    if schedule.name not in SCHEDULES.entries and not schedule.name.startswith("torch.optim.lr_scheduler:"):
        yield "schedule", f"is {schedule.name}"
    for name in ("weight", "ignore_index"):
        if loss.params.get(name) is not None:
            yield f"loss.{name}", "is set"


_METRICS = (None, "val_loss", "val_accuracy")


def _training(experiment: Experiment) -> Iterator[tuple[str, str]]:
    for key in ("eval_every", "on_non_finite", "init_from", "continues", "branches"):
        if getattr(experiment, key) is not None:
            yield key.replace("continues", "continue"), "is set"
    if experiment.precision != "fp32":
        yield "precision", f"is {experiment.precision}"
    if experiment.compile:
        yield "compile", "is true"
    plateau, early = experiment.plateau, experiment.early_stopping
    if plateau is not None and plateau.growth is not None:
        yield "plateau.growth", "is set"
    by_token = experiment.task is not None and experiment.task.name == "language_model"
    for key, rule in (("plateau.metric", plateau), ("early_stopping.metric", early)):
        if rule is not None and rule.metric not in (_METRICS[:2] if by_token else _METRICS):
            yield key, f"is {rule.metric}"


def _optimizer(experiment: Experiment) -> Iterator[tuple[str, str]]:
    own, rules = GroupRules.split(experiment.optimizer)
    entry = OPTIMIZERS.entries.get(own.name)
    if own.name == "muon" or getattr(entry, "home", "") != "torch.optim":
        yield "optimizer", f"is {own.name}"
    for key in rules.arguments:
        if key != "decay_biases_and_norms":
            yield f"optimizer.{key}", "is set"
