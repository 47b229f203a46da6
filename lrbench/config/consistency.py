"""What the keys of an experiment must agree on: its length, learning rate, task, and rules that exclude each other."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from lrbench.components import DEFAULT_LR, METRICS, OF_TASK, GroupRules
from lrbench.config.branches import check_branches
from lrbench.errors import ConfigError
from lrbench.types import Duration

if TYPE_CHECKING:
    from lrbench.config.experiment import Experiment


def check_consistency(one: Experiment) -> None:
    """Raise ConfigError at the first key that does not go with the others."""
    if (one.epochs is None) == (one.steps is None):
        given = "both" if one.epochs else "neither"
        raise ConfigError(f"give either `epochs` or `steps`, the length of the run (got {given})", key="epochs")
    lr = one.optimizer.params.get("lr", 1.0)  # without one, the optimizer's class knows it
    if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 < lr < inf:
        raise ConfigError(f"must be a number greater than 0 (got {lr!r})", key="optimizer.lr")
    GroupRules.split(one.optimizer)
    if one.eval_every is not None:
        _check_interval(one.eval_every)
    if one.init_from is not None and one.continues is not None:
        raise ConfigError("starts from the complete state of a run; remove init_from", key="continue")
    _check_law(one)
    _check_plateau_bounds(one)
    _check_task(one)
    if one.max_skipped is not None and one.on_non_finite != "skip":
        raise ConfigError("needs `on_non_finite: skip`", key="max_skipped")
    if one.branches is not None:
        check_branches(one.plain(), one.schedule, one.branches, one.length)


def _check_interval(every: Duration) -> None:
    if every.amount == 0:
        raise ConfigError(f"must be longer than 0, such as '200 steps' (got {every})", key="eval_every")
    if every.unit == "steps" and not every.amount.is_integer():
        problem = f"must be a whole number of steps; write '{every.amount:g} epochs' for a part of an epoch"
        raise ConfigError(f"{problem} (got {every})", key="eval_every")


def _check_law(one: Experiment) -> None:
    if (law := one.law) is None:
        return
    law.rate(one.amounts)
    differing = law.differences(one.plain(), one.sizes)
    for key in ("optimizer.name", "model.name"):
        mine, theirs = differing.get(key, (None, None))
        if theirs is not None:
            raise ConfigError(f"is {mine}, but the law of lr_scaling was measured with {theirs}", key=key)


def _check_plateau_bounds(one: Experiment) -> None:
    peak = one.optimizer.params.get("lr", DEFAULT_LR.get(one.optimizer.name))
    if one.plateau is None or peak is None or one.lr_scaling is not None:
        return
    if one.plateau.min_lr > peak:
        problem = f"is above the peak, optimizer.lr = {peak:g} (got {one.plateau.min_lr:g})"
        raise ConfigError(problem, key="plateau.min_lr")
    growth = one.plateau.growth
    if growth is not None and growth.max_lr is not None and growth.max_lr < peak:
        problem = f"is below the peak, optimizer.lr = {peak:g}, so it can't grow (got {growth.max_lr:g})"
        raise ConfigError(problem, key="plateau.growth.max_lr")


def _check_task(one: Experiment) -> None:
    task, own = one.task, one.task is not None and (one.task.imported or one.task.name == "hf")
    if own != (one.loss.name == OF_TASK):
        problem = f"'{task.name}' computes its own loss; remove `loss`" if own and task else "there is no such task"
        raise ConfigError(problem, key="loss")
    for metric in one.metrics or ():
        if not metric.imported and not (task is not None and task.imported):
            METRICS.complete(metric)
