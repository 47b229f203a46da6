"""One run after another, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lrbench.errors import Interrupted, LrbenchError, RunError
from lrbench.events import Watch
from lrbench.training.run_one import Done, WorkItem, do_run
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
            try:
                yield path, do_run(item, threads=None, watch=watch, stop=stop)
            except LrbenchError as error:
                yield path, error
            except OSError as error:  # for example a full disk: not even the failure could be written
                yield path, RunError(f"{path.name}: {error}")
