"""Runs on the training loop: checked by building them, and executed in isolation from the rest of the process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from lrbench.config import Experiment, group, without_rate
from lrbench.errors import (
    ConfigError,
    DataError,
    Interrupted,
    LockedError,
    LrbenchError,
    Paused,
    UserCodeError,
    reason_of,
)
from lrbench.events import Event, Watch, message
from lrbench.runs import RunFolder, RunResult, describe
from lrbench.training.allocator import keep_freed_memory
from lrbench.training.build import checked
from lrbench.training.check import check as check_built
from lrbench.training.device import resolve_device
from lrbench.training.isolation import Surroundings, isolated
from lrbench.training.kinds import LoopKind, Once
from lrbench.training.loop import train
from lrbench.training.process import stack
from lrbench.training.run_one import failure


def check(experiments: Sequence[Experiment], watch: Watch, *, keep: bool) -> None:
    """See `Kind`. Of runs that differ only in seed and learning rate, only those at the ends are checked.

    Likely mistakes are told once. Raises ConfigError, DataError.
    """
    alike: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        alike.setdefault(without_rate(experiment), []).append(experiment)
    checked.clear()  # of runs that never started; the user's code may have changed since
    doubts: list[str] = []
    for found in alike.values():
        found.sort(key=lambda experiment: experiment.optimizer.params.get("lr", 0.0))
        doubts += [f"{found[0].name}: {text}" for text in _check_one(found[0], keep)]
        if group(found[-1]) != group(found[0]):
            _check_one(found[-1], keep)
    for text in dict.fromkeys(doubts):
        watch(message(text))


def _check_one(experiment: Experiment, keep: bool) -> list[str]:
    try:
        with isolated():
            return check_built(experiment, resolve_device(experiment.device), keep=keep)
    except ConfigError as error:
        raise error.at(experiment.where(error.key)) from None
    except DataError as error:
        raise DataError(f"{experiment.where('dataset')}: dataset: {error}".removeprefix(": ")) from error


def environment(experiment: Experiment) -> dict[str, Any]:
    """See `Kind`."""
    return describe(experiment, device=str(resolve_device(experiment.device)))


@contextlib.contextmanager
def executing(
    kind: LoopKind, folder: RunFolder, experiment: Experiment, *, threads: int | None, stop: Callable[[], bool]
) -> Iterator[tuple[Once, Callable[[Watch], Watch]]]:
    """See `Kind`. `threads` are torch's CPU threads; None keeps torch's default."""
    keep_freed_memory()

    def lost(reason: str) -> None:
        failure(folder, experiment, reason, stack())

    with isolated(lost) as around:
        torch.set_num_threads(threads or torch.get_num_threads())
        yield lambda watch: _once(kind, folder, experiment, watch, stop, around), around.streams.around


def _once(
    kind: LoopKind,
    folder: RunFolder,
    experiment: Experiment,
    watch: Watch,
    stop: Callable[[], bool],
    around: Surroundings,
) -> RunResult:
    """Train once; a failure becomes a result."""
    try:
        return train(folder, experiment, kind, watch=watch, stop=stop)
    except Paused:
        watch(Event(folder.name, "pause"))
        raise
    except (Interrupted, LockedError):
        raise
    except LrbenchError as error:
        return failure(folder, experiment, around.blamed(str(error)))
    except torch.OutOfMemoryError as error:
        hint = "; use a smaller batch_size or precision: bf16"
        return failure(folder, experiment, f"out of memory on the device{hint} ({str(error).splitlines()[0]})")
    except BaseException as error:  # an exit in the user's code must end only its own run
        if isinstance(error, KeyboardInterrupt) and stop():  # the second signal; any other is the user's
            raise
        plain = f"{type(error).__name__}: {reason_of(error)}"
        frames = str(UserCodeError.of("training", error)) if experiment.imports else plain
        return failure(folder, experiment, around.blamed(frames))
