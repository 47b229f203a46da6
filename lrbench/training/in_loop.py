"""Runs on the training loop: checked by building them, and executed in isolation from the rest of the process."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import torch

from lrbench.config import Experiment
from lrbench.errors import (
    ConfigError,
    DataError,
    ForcedEnd,
    Interrupted,
    LockedError,
    LrbenchError,
    Paused,
    UserCodeError,
    reason_of,
)
from lrbench.events import Event, Watch
from lrbench.runs import RunFolder, RunResult, describe
from lrbench.training.allocator import keep_freed_memory
from lrbench.training.check import check as check_built
from lrbench.training.device import resolve_device
from lrbench.training.isolation import Surroundings, isolated
from lrbench.training.kinds import LoopKind, Once
from lrbench.training.loop import train
from lrbench.training.process import stack
from lrbench.training.run_one import failure


def check_one(experiment: Experiment, keep: bool) -> list[str]:
    """Build everything that a config names, see `check`; with `keep`, this process will train it.

    Returns likely mistakes. Raises ConfigError, DataError, UserCodeError.
    """
    try:
        with isolated():
            return check_built(experiment, resolve_device(experiment.device), keep=keep)
    except ConfigError as error:
        raise error.at(experiment.where(error.key)) from None
    except DataError as error:
        raise DataError(f"{experiment.where('dataset')}: dataset: {error}".removeprefix(": ")) from error
    except UserCodeError as error:
        error.trace = error.trace or traceback.format_exc()
        raise


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
        theirs = experiment.imports or isinstance(error, ForcedEnd)
        frames = str(UserCodeError.of("training", error)) if theirs else plain
        return failure(folder, experiment, around.blamed(frames))
