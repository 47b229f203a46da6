"""Checking the configs of runs on the training loop, wherever one is checked. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lrbench.config import Experiment, group, identity, without_rate
from lrbench.errors import UserCodeError
from lrbench.events import Watch, message

CheckOne = Callable[[Experiment], Sequence[str]]
"""Builds everything that a config names; returns likely mistakes. Raises ConfigError, DataError, UserCodeError."""


def check_all(experiments: Sequence[Experiment], watch: Watch, check_one: CheckOne) -> Mapping[str, UserCodeError]:
    """Check configs. Of those that differ only in seed and learning rate, only those at the ends are checked.

    Likely mistakes are told once.

    Returns:
        What went wrong in user code, by the identity of the runs that it would end.

    Raises:
        ConfigError, DataError: a config is invalid.
    """
    alike: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        alike.setdefault(without_rate(experiment), []).append(experiment)
    doubts: list[str] = []
    failed: dict[str, UserCodeError] = {}
    for found in alike.values():
        found.sort(key=lambda experiment: experiment.optimizer.params.get("lr", 0.0))
        try:
            doubts += [f"{found[0].name}: {text}" for text in check_one(found[0])]
            if group(found[-1]) != group(found[0]):
                check_one(found[-1])
        except UserCodeError as error:
            failed |= {identity(experiment): error for experiment in found}
    for text in dict.fromkeys(doubts):
        watch(message(text))
    return failed
