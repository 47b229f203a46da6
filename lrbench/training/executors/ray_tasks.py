"""The tasks of one command on a Ray cluster: submitted, taken over from earlier commands, followed and stopped."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ray
from ray.exceptions import RayError

from lrbench.config import CommandConfig, Experiment
from lrbench.errors import Interrupted, counted
from lrbench.events import Event, Watch, message
from lrbench.runs import RunResult
from lrbench.training.executors.cluster_task import LostError, Progress, Setting, patience, result_in
from lrbench.training.executors.ray_owner import Followed, Outcomes, first_line
from lrbench.training.options import RunOptions
from lrbench.training.run_one import Done, NotStacked, WorkItem
from lrbench.training.signals import StopFlag
from lrbench.training.stacked import stacks

SUBMISSIONS = 5  # how often a run is submitted whose task Ray gave up, as it does at once for some lost nodes
POLL_SECONDS = 0.5
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Task:
    """A task that was submitted: a run, or the runs of a stack."""

    items: tuple[WorkItem, ...]
    owner: Followed
    number: int


class Tasks:
    """The submitted tasks, those of an earlier command among them, and the runs not submitted yet."""

    def __init__(self, root: Path, setting: Setting, options: RunOptions, items: Sequence[WorkItem]) -> None:
        self.root, self.setting, self.options = root, setting, options
        self.owner: Followed | None = None  # of the tasks that this command submits
        self.owners: list[Followed] = []
        self.pending: list[Task] = []
        self.left: deque[tuple[WorkItem, ...]] = deque((item,) for item in items)
        self.lost, self.progress = Counter[Path](), Progress()
        self.stop_by: float | None = None
        self.lost_owners = 0

    def attach(self, watch: Watch) -> None:
        """Take over the tasks of earlier commands, and divide the other runs into tasks."""
        items = {str(item.path.resolve()): item for (item,) in self.left}
        for owner, held in Followed.of_earlier_commands(self.root):
            mine = {number: paths for number, paths in held.items() if set(paths) <= items.keys()}
            self.owners += [owner] * bool(mine)
            for number, paths in mine.items():
                self.pending.append(Task(tuple(items.pop(path) for path in paths), owner, number))
        if self.pending:
            watch(message(f"Ray: {counted(len(self.pending), 'task')} of an earlier command"))
        at_once = self.options.jobs or int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
        self.left = deque(stacks(list(items.values()), max(at_once, 1)))

    def outcomes(self, watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """Yield each run with its result, or the exception that prevented one, as they end."""
        while self.left or self.pending:
            if stop():
                yield from self._stop(watch)
            self._submit()
            paths = [item.path for task in self.pending for item in task.items]
            self.progress.look(paths, watch)
            for task, outcomes in self._ended():
                self.pending.remove(task)
                yield from self._settled(task, outcomes, watch, stop)

    def end(self) -> None:
        """Leave the owners of the tasks, after cancelling what is not over, as after an error or a second signal."""
        for owner in self.owners:
            owner.leave([task.number for task in self.pending if task.owner is owner])
            if self.stop_by is not None:
                owner.stop_file.unlink(missing_ok=True)

    def _submit(self) -> None:
        """Submit as many tasks as may run at once; all of them, without a number of jobs."""
        jobs = self.options.jobs
        count = len(self.left) if jobs is None else min(jobs - len(self.pending), len(self.left))
        together = [self.left.popleft() for _ in range(count)]
        if not together:
            return
        if self.owner is None:
            self.owner = Followed.start(self.root, self.setting)
            self.owners.append(self.owner)
        gpus = bool(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
        sent = [
            ([replace(item, path=item.path.resolve()) for item in items], self._share(items[0]) if gpus else 0)
            for items in together
        ]
        try:
            numbers = self.owner.submit(sent)
        except RayError:  # those that it has submitted are told by `_ended`
            self.owner, self.lost_owners = None, self.lost_owners + 1
            if self.lost_owners == SUBMISSIONS:
                raise
            self.left.extendleft(reversed(together))
            return
        self.pending += [Task(items, self.owner, number) for items, number in zip(together, numbers, strict=True)]

    def _ended(self) -> list[tuple[Task, Outcomes]]:
        """Wait a moment for the first task that is over, and return those that are. Lost are those of a lost owner."""
        ended = []
        for owner in list(self.owners):
            mine = {task.number: task for task in self.pending if task.owner is owner}
            if not mine:
                continue
            try:
                over = owner.ended(list(mine), POLL_SECONDS / len(self.owners))
            except RayError as error:
                self.owners.remove(owner)
                self.owner = None if owner is self.owner else self.owner
                why = f"the process that submitted it was lost ({first_line(error)})"
                over = {
                    number: {str(one.path.resolve()): LostError(f"{one.path.name}: {why}") for one in task.items}
                    for number, task in mine.items()
                }
            ended += [(mine[number], outcomes) for number, outcomes in over.items()]
        return ended

    def _settled(self, task: Task, outcomes: Outcomes, watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """Yield the ends of a task's runs, unless they are submitted again: each alone."""
        for item in task.items:
            path = item.path
            error = outcomes.get(str(path.resolve()))
            again = isinstance(error, NotStacked)
            if isinstance(error, LostError):
                self.lost[path] += 1
                again = self.lost[path] < SUBMISSIONS
                if again:
                    watch(message(f"{error}; it resumes elsewhere"))
            if again and stop():
                yield path, Interrupted(f"{path.name} was stopped; its last checkpoint is kept")
            elif again:
                self.left.append((replace(item, family=None),))
            else:
                outcome = result_in(path) if error is None else error
                if isinstance(outcome, RunResult):
                    watch(Event(path.name, "end", values={"result": outcome, "folder": path}))
                yield path, outcome

    def _share(self, item: WorkItem) -> float:
        """Return how many GPUs a run takes: a part of one, or as many as a command asks for."""
        config = item.experiment
        if isinstance(config, Experiment):
            return 0 if config.device == "cpu" else 1 / self.options.runs_per_gpu
        wanted = config.gpus if isinstance(config, CommandConfig) else None
        return wanted or 1 / self.options.runs_per_gpu

    def _stop(self, watch: Watch) -> Iterator[Done]:
        """Submit no more tasks and give running ones a minute to write their checkpoints."""
        if self.stop_by is None:
            for owner in self.owners:
                owner.stop_file.touch()
            self.stop_by = time.monotonic() + STOP_SECONDS
            if self.pending:
                watch(message(f"stopping: {patience('tasks', STOP_SECONDS)}"))
        while self.left:
            for item in self.left.popleft():
                yield item.path, Interrupted(f"{item.path.name} was not started")
        if time.monotonic() > self.stop_by:
            stopped = [item.path for task in self.pending for item in task.items]
            self.end()
            self.pending.clear()
            for path in stopped:
                yield path, Interrupted(f"{path.name} was stopped; its last checkpoint is kept")
