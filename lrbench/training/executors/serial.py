"""One run after another, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lrbench.errors import Interrupted, LrbenchError, RunError
from lrbench.events import Watch
from lrbench.training.run_one import StopFlag, Terms, do_run


class ThisProcess:
    """See `lrbench.training.executors.Executor`."""

    def __init__(self, terms: Terms = Terms()) -> None:
        self.terms = terms

    def execute(
        self, paths: Sequence[Path], watch: Watch, stop: StopFlag
    ) -> Iterator[tuple[Path, dict[str, Any] | Exception]]:
        """See `lrbench.training.executors.Executor`."""
        for path in paths:
            if stop():
                yield path, Interrupted(f"{path.name} was not begun")
                continue
            try:
                yield path, do_run(path, threads=None, watch=watch, stop=stop, terms=self.terms)
            except LrbenchError as error:
                yield path, error
            except OSError as error:  # a full disk, say: not even the failure could be written
                yield path, RunError(f"{path.name}: {error}")
