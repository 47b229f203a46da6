"""One run after another, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lrbench.errors import Interrupted
from lrbench.events import Watch
from lrbench.training.run_one import Done, WorkItem, attempt
from lrbench.training.signals import StopFlag


class ThisProcess:
    """An executor in the current process."""

    in_process = True

    def execute(self, items: Sequence[WorkItem], watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """See `lrbench.training.executors.Executor`."""
        for item in items:
            path = item.path
            if stop():
                yield path, Interrupted(f"{path.name} was not started")
                continue
            yield path, attempt(item, threads=None, watch=watch, stop=stop)
