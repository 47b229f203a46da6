"""Execute the runs of a stack in the current process: lock their folders, train them, and report how each ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from lrbench.errors import Interrupted, LockedError, LrbenchError, RunError, counted, reason_of
from lrbench.events import Event, Watch, message
from lrbench.runs import RunFolder, RunResult, now
from lrbench.training.allocator import keep_freed_memory
from lrbench.training.isolation import isolated
from lrbench.training.orders import Leave, drop
from lrbench.training.run_one import NotStacked, Tell, WorkItem, failure, settled
from lrbench.training.stacked.lockstep import Lockstep, StackedRun
from lrbench.training.stacked.trial import Verdict, judged


@dataclass
class Held:
    """A run whose folder is locked."""

    item: WorkItem
    folder: RunFolder
    leave: Leave
    release: Callable[[], None]


@dataclass
class Stack:
    """The runs of a stack, and whom to tell about them."""

    watch: Watch
    stop: Callable[[], bool]
    tell: Tell
    held: dict[Path, Held] = field(default_factory=dict)

    def hold(self, item: WorkItem) -> None:
        """Lock a run's folder, unless its result is there or it can't be started."""
        folder = RunFolder(item.path)
        found: RunResult | Exception | None
        with contextlib.ExitStack() as lock:
            try:
                lock.enter_context(folder.lock())
                found = settled(item, folder, self.watch)
                if found is None:
                    leave = Leave(item.orders, folder.name, self.stop)
                    self.held[item.path] = Held(item, folder, leave, lock.pop_all().close)
                    return
            except LrbenchError as error:
                found = error
        assert found is not None
        self.tell(item.path, found)

    def train(self, threads: int | None) -> None:
        """Train the held runs; those that can't be stacked stay held."""
        keep_freed_memory()
        torch.set_num_threads(threads or torch.get_num_threads())
        verdict = judged([one.item for one in self.held.values()])
        if verdict.said is not None:
            self.watch(message(verdict.said))
        if not verdict.most:
            return
        runs = [run for one in list(self.held.values()) if (run := self._begun(one)) is not None]
        for together in _groups(runs, verdict):
            Lockstep(together, self._ended).train()

    def _begun(self, one: Held) -> StackedRun | None:
        """Begin or resume a run; None if that fails, which it will again, and be reported, when trained alone."""
        one.folder.begin(now())
        try:
            run = StackedRun.begin(one.folder, one.item.experiment, one.item.kind, self.watch)  # type: ignore[arg-type]
            run.observer = one.item.kind.prepare(run)  # type: ignore[attr-defined]
        except LrbenchError:
            one.folder.close_logs()
            return None
        run.own_generators()
        run.leave = one.leave
        return run

    def _ended(self, run: StackedRun, result: RunResult | LrbenchError) -> None:
        """Report how a run ended, and unlock its folder."""
        one = self.held[run.folder.path]
        with contextlib.suppress(LrbenchError):
            run.folder.close_logs()
        found: RunResult | Exception = result
        if isinstance(result, Interrupted):
            if one.leave.dropped and not self.stop():
                found = _attempted(lambda: drop(one.folder, one.item.experiment))
        elif isinstance(result, LrbenchError) and not isinstance(result, LockedError):
            text = str(result)
            found = _attempted(lambda: failure(one.folder, one.item.experiment, text))
            found = NotStacked() if one.item.retries else found
        if isinstance(found, RunResult):
            self.watch(Event(run.folder.name, "end", values={"result": found, "folder": run.folder.path}))
        del self.held[run.folder.path]
        one.release()
        self.tell(run.folder.path, found)

    def left(self) -> None:
        """Unlock the runs that are still held, and report that each has to be trained by itself."""
        for path, one in list(self.held.items()):
            with contextlib.suppress(LrbenchError):
                one.folder.close_logs()
            one.release()
            self.tell(path, NotStacked())


def do_stack(
    items: Sequence[WorkItem], *, threads: int | None, watch: Watch, stop: Callable[[], bool], tell: Tell
) -> None:
    """Train runs as one stacked program.

    Args:
        items: runs of one family.
        threads: CPU threads; None for the default.
        watch: called with progress events.
        stop: see `lrbench.training.loop.train`.
        tell: called with each run's folder and its result, the exception that prevented one, or `NotStacked`.
    """
    stack = Stack(watch, stop, tell)
    try:
        for item in items:
            stack.hold(item)
        if len(stack.held) > 1:
            with isolated() as around:
                stack.watch = around.streams.around(watch)
                stack.train(threads)
    except BaseException as error:  # whatever torch can't do with these models at once, or their code does
        if isinstance(error, KeyboardInterrupt) and stop():  # the second signal; any other is the user's
            raise
        runs = counted(len(stack.held), "run")
        watch(message(f"training {runs} as one stack failed ({_short(error)}); training them one by one"))
    finally:
        stack.left()


def _groups(runs: Sequence[StackedRun], verdict: Verdict) -> Iterator[list[StackedRun]]:
    """Yield the runs that are trained together: those at one place, as many as the memory takes."""
    places: dict[tuple[int, int, int], list[StackedRun]] = {}
    for run in runs:
        places.setdefault(run.place, []).append(run)
    for together in places.values():
        for begin in range(0, len(together), verdict.most):
            some = together[begin : begin + verdict.most]
            if len(some) > 1:
                yield some


def _attempted(act: Callable[[], RunResult]) -> RunResult | Exception:
    try:
        return act()
    except LrbenchError as error:
        return error
    except OSError as error:
        return RunError(reason_of(error))


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {reason_of(error)}"[:200]
