"""Do one run, in whichever process: lock its folder, train, and leave a result whatever happens."""

from __future__ import annotations

import functools
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from lrbench.config.load import Experiment
from lrbench.errors import FolderError, Interrupted, LockedError, LrbenchError, Paused, RunError, UserCodeError
from lrbench.events import Event, Watch, message
from lrbench.runs.environment import now
from lrbench.runs.folder import RunFolder
from lrbench.training.allocator import keep_freed_memory
from lrbench.training.options import Prune

Train = Callable[..., dict[str, Any]]  # as lrbench.training.loop.train


@dataclass(frozen=True)
class Terms:
    """On what terms runs are done, wherever that is.

    Attributes:
        prune: end them early where they are hopeless; one that was ended so before is then done.
        retries: how often one is tried again where it fails.
    """

    prune: Prune | None = None
    retries: int = 0


def do_run(
    path: Path,
    *,
    threads: int | None,
    watch: Watch,
    stop: Callable[[], bool],
    train: Train | None = None,
    terms: Terms = Terms(),
) -> dict[str, Any]:
    """Train the run whose folder is at `path`, or go on with it; its result.

    A failure becomes a result with `status: failed`, its traceback in `error.log`.

    Args:
        path: a folder with a `config.yaml`.
        threads: CPU threads for torch; None leaves torch's own choice.
        watch: is told of progress.
        stop: see `lrbench.training.loop.train`.
        train: what is done, if not that.
        terms: see there.

    Raises:
        LockedError: another live process is at it.
        Interrupted: `stop` said so; a checkpoint is there.
    """

    from lrbench.training import pruning_loop
    from lrbench.training.loop import train as usual

    folder = RunFolder(path)
    keep_freed_memory()
    prune = terms.prune
    work = train or (usual if prune is None else functools.partial(pruning_loop.train, prune=prune))
    with folder.lock(), _threads(threads):
        experiment = folder.verified_config()
        done = folder.result_of(experiment, pruned=prune is not None)
        if done is not None:
            return done
        for left in reversed(range(terms.retries + 1)):
            folder.begin(now())
            result = _once(folder, experiment, functools.partial(work, watch=watch, stop=stop), watch)
            if result["status"] != "failed" or not left or stop():
                break
            watch(message(f"{folder.name} failed, and is tried again ({str(result['reason']).splitlines()[0]})"))
        watch(Event(folder.name, "end", values=result))
        return result


def _once(folder: RunFolder, experiment: Experiment, work: Train, watch: Watch) -> dict[str, Any]:
    """Train, or go on with it. A failure becomes a result."""
    import torch

    try:
        return work(folder, experiment)
    except Paused:
        watch(Event(folder.name, "pause"))
        raise
    except (Interrupted, LockedError):
        raise
    except LrbenchError as error:
        return _fail(folder, str(error))
    except OSError as error:
        return _fail(folder, f"cannot write to {folder.path}: {error.strerror or error}")
    except torch.OutOfMemoryError as error:
        reduce = "; a smaller batch_size, or precision: bf16, needs less"
        return _fail(folder, f"out of memory on the device{reduce} ({str(error).splitlines()[0]})")
    except (Exception, SystemExit) as error:  # a model that ends the process ends its own run alone
        imported = any(p.imported for p in (experiment.model, experiment.loss, experiment.dataset.part))
        frames = str(UserCodeError.of("training", error)) if imported else f"{type(error).__name__}: {error}"
        return _fail(folder, frames)


@contextmanager
def _threads(wanted: int | None) -> Iterator[None]:
    """Torch with that many threads. Afterwards as before, since a resumed run brings its own number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fail(folder: RunFolder, reason: str) -> dict[str, Any]:
    """Leave the failure as the result. Raises RunError where not even that can be written: a full disk, no folder."""
    log = folder.log_error(traceback.format_exc())
    result = {
        "status": "failed",
        "reason": f"{reason}\nThe whole traceback is in {log}",
        **dict.fromkeys(("epochs", "steps", "seconds", "effective_lr", "final", "best", "test", "test_best")),
    }
    try:
        return folder.finish(folder.config(), result)
    except (OSError, FolderError) as error:
        raise RunError(f"{folder.name}: {reason}") from error


def _interrupt(number: int) -> None:
    raise KeyboardInterrupt


class StopFlag:
    """True once the process was asked to stop. A second Ctrl-C stops at once.

    Attributes:
        at_once: what a second signal does, in the main thread, wherever it is. The command line, which owns its
            process, ends it; for others it is KeyboardInterrupt.
    """

    at_once: Callable[[int], None] = staticmethod(_interrupt)

    @classmethod
    @contextmanager
    def ending(cls, at_once: Callable[[int], None]) -> Iterator[None]:
        """Let a second signal call `at_once` while the block runs."""
        before = cls.at_once
        cls.at_once = staticmethod(at_once)
        try:
            yield
        finally:
            cls.at_once = staticmethod(before)

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal: int | None = None

    def __call__(self) -> bool:
        """True once the process was asked to stop."""
        return self._event.is_set()

    def set(self, number: int | None = None) -> None:
        """Ask to stop."""
        self.signal = number
        self._event.set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM set the flag while the block runs (in the main thread; elsewhere nothing changes)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self():
                self.at_once(number)
            self.set(number)

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
