"""The owner of a command's tasks on a Ray cluster: a detached actor, so that the tasks outlive the command.

Ray ends the tasks of a process that is gone. So the command lets an actor submit them, and asks it how they are. If the
command is killed, the actor keeps its tasks, another command finds it by its name, and it ends once all are done.

Nothing goes through Ray's object store, which may be full: arguments and answers are small enough to be sent inline.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from lrbench.errors import LrbenchError, RunError
from lrbench.training.executors.cluster_task import LostError, Setting, do_all
from lrbench.training.run_one import WorkItem

ATTEMPTS = 20  # how often Ray retries a task whose node or process died; each resumes from the checkpoint
NAMESPACE = "lrbench"
ANSWER_SECONDS = 60.0
LEFT_SECONDS = 30.0  # without a question, after which a command is taken to be gone
_HEAD = "node:__internal_head__"  # the resource that Ray gives the head node
_AT_ONCE = 50  # tasks of which one answer tells, which keeps it below the 100 kB that Ray sends inline

Outcomes = Mapping[str, Exception | None]
"""By the path of each run of a task: the error that kept it from a result; None if its result is there."""


class TaskOwner:
    """The actor. Its tasks have numbers, from 1."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.running: dict[int, tuple[Any, list[str]]] = {}
        self.over: dict[int, Outcomes] = {}
        self.heard = {"": time.monotonic()}  # when each command asked last; the one that starts it has not asked yet
        self.lock = threading.Lock()
        self.count = 0
        handle = ray.get_runtime_context().current_actor
        threading.Thread(target=self._end_when_left, args=(handle,), daemon=True).start()

    def submit(self, items: Sequence[WorkItem], gpus: float) -> int:
        """Submit a run, or the runs of a stack, as a task; return its number."""
        chosen = {"num_cpus": 1, "num_gpus": gpus, "max_retries": ATTEMPTS, "name": items[0].path.name}
        task = ray.remote(_do).options(**chosen)
        with self.lock:
            self.count += 1
            self.running[self.count] = task.remote(items, self.setting), [str(item.path) for item in items]
            return self.count

    def held(self, after: int) -> tuple[str, dict[int, list[str]]]:
        """Return the file that stops the tasks, and the runs of the next tasks that are not over, by their numbers."""
        with self.lock:
            numbers = sorted(number for number in self.running if number > after)[:_AT_ONCE]
            return self.setting.stopped, {number: self.running[number][1] for number in numbers}

    def ended(self, who: str, numbers: Sequence[int], seconds: float) -> dict[int, Outcomes]:
        """Return the outcomes of tasks that are over; wait for the first so long."""
        with self.lock:
            self.heard.pop("", None)
            self.heard[who] = time.monotonic()
            if not any(number in self.over for number in numbers):
                self._look(seconds)
            over = [number for number in numbers if number in self.over]
            return {number: self.over[number] for number in over[:_AT_ONCE]}

    def cancel(self, numbers: Sequence[int]) -> None:
        """Cancel tasks."""
        with self.lock:
            for number in numbers:
                if number in self.running:
                    ray.cancel(self.running[number][0], force=True)

    def leave(self, who: str) -> bool:
        """Note that a command asks no more; return whether this actor has nothing left to do."""
        with self.lock:
            self.heard.pop(who, None)
            return self._left()

    def _left(self) -> bool:
        """Return whether all tasks are over and no command asks."""
        self._look(0)
        return not self.running and all(time.monotonic() - heard > LEFT_SECONDS for heard in self.heard.values())

    def _look(self, seconds: float) -> None:
        """Look which tasks are over."""
        numbers = {reference: number for number, (reference, _) in self.running.items()}
        if not numbers:
            return
        ray.wait(list(numbers), num_returns=1, timeout=seconds)
        ready, _ = ray.wait(list(numbers), num_returns=len(numbers), timeout=0)
        for reference in ready:
            number = numbers[reference]
            self.over[number] = _outcomes(reference, self.running[number][1])
            del self.running[number]

    def _end_when_left(self, handle: Any) -> None:
        """End this actor once its tasks are over and no command asks."""
        while True:
            time.sleep(LEFT_SECONDS / 10)
            with self.lock:
                if self._left():
                    ray.kill(handle)


def _do(items: Sequence[WorkItem], setting: Setting) -> Outcomes:
    return do_all(items, setting, ray.get_runtime_context().get_node_id())


def _outcomes(reference: Any, paths: Sequence[str]) -> Outcomes:
    """Return the outcomes of a task that is over."""
    try:
        told: Outcomes = ray.get(reference)
        return told
    except RayTaskError as error:
        cause = error.cause
        known = isinstance(cause, LrbenchError)
        return {path: cause if known else RunError(f"{Path(path).name}: {first_line(cause)}") for path in paths}
    except RayError as error:
        why = f"its process or its node was lost ({first_line(error)})"
        return {path: LostError(f"{Path(path).name}: {why}") for path in paths}


def first_line(error: object) -> str:
    """Return the first line of an error, with its kind."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


class Followed:
    """A `TaskOwner`, as a command sees it.

    Attributes:
        stop_file: what its tasks stop at.

    Methods raise RayError if it is gone.
    """

    def __init__(self, handle: Any, stop_file: str) -> None:
        self.handle, self.stop_file = handle, Path(stop_file)
        self.who = uuid.uuid4().hex

    @classmethod
    def start(cls, root: Path, setting: Setting) -> Followed:
        """Start an actor on the head node, without which there is no cluster."""
        chosen = {"name": _prefix(root) + uuid.uuid4().hex, "namespace": NAMESPACE, "lifetime": "detached"}
        actor = ray.remote(TaskOwner).options(**chosen, num_cpus=0, resources={_HEAD: 0.001})
        return cls(actor.remote(setting), setting.stopped)

    @classmethod
    def of_earlier_commands(cls, root: Path) -> Iterator[tuple[Followed, dict[int, list[str]]]]:
        """Find the actors of commands that worked on the same runs folder, with the tasks that are not over."""
        known = ray.util.list_named_actors(all_namespaces=True)
        for one in known:
            if one["namespace"] != NAMESPACE or not one["name"].startswith(_prefix(root)):
                continue
            with contextlib.suppress(RayError, ValueError, AttributeError):  # gone by now, or of another version
                handle = ray.get_actor(one["name"], NAMESPACE)
                stop_file, held = _ask(handle.held.remote(0))
                while held and (more := _ask(handle.held.remote(max(held)))[1]):
                    held |= more
                if held and not Path(stop_file).exists():
                    yield cls(handle, stop_file), held

    def submit(self, tasks: Sequence[tuple[Sequence[WorkItem], float]]) -> list[int]:
        """Submit tasks, each with its share of GPUs; return their numbers."""
        numbers: list[int] = _ask([self.handle.submit.remote(items, gpus) for items, gpus in tasks])
        return numbers

    def ended(self, numbers: Sequence[int], seconds: float) -> dict[int, Outcomes]:
        """See `TaskOwner`."""
        found: dict[int, Outcomes] = _ask(self.handle.ended.remote(self.who, list(numbers), seconds))
        return found

    def leave(self, cancelled: Sequence[int]) -> None:
        """Follow it no more, after cancelling tasks, and end it if it has nothing left to do."""
        with contextlib.suppress(RayError):
            if cancelled:
                _ask(self.handle.cancel.remote(list(cancelled)))
            if _ask(self.handle.leave.remote(self.who)):
                ray.kill(self.handle)


def _ask(question: Any) -> Any:
    return ray.get(question, timeout=ANSWER_SECONDS)


def _prefix(root: Path) -> str:
    return f"{hashlib.sha256(str(root).encode()).hexdigest()[:16]}-"
