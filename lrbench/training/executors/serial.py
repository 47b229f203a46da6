"""One run after another, in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lrbench.errors import Interrupted
from lrbench.events import Watch
from lrbench.training.run_one import Done, NotStacked, WorkItem, attempt_all
from lrbench.training.signals import StopFlag
from lrbench.training.stacked import stacks


class ThisProcess:
    """An executor in the current process."""

    in_process = True

    def execute(self, items: Sequence[WorkItem], watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """See `lrbench.training.executors.Executor`."""
        left = deque(stacks(items, 1))
        while left:
            stack, told = left.popleft(), list[Done]()
            if stop():
                yield from ((item.path, Interrupted(f"{item.path.name} was not started")) for item in stack)
                continue
            attempt_all(stack, threads=None, watch=watch, stop=stop, tell=lambda *done: told.append(done))  # noqa: B023
            by_path = {item.path: item for item in stack}
            alone = [by_path[path] for path, result in told if isinstance(result, NotStacked)]
            left.extendleft((replace(item, family=None),) for item in reversed(alone))
            yield from (done for done in told if not isinstance(done[1], NotStacked))
