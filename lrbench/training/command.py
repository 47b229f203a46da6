"""Commands as work: any program, started with its parameters filled in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrbench.config import CommandConfig
from lrbench.events import Watch
from lrbench.training.kinds import Executing

if TYPE_CHECKING:
    from lrbench.runs import RunFolder


@dataclass(frozen=True)
class CommandRun:
    """A run by a command."""

    accepts_pruned = False
    in_torch = False

    def check(self, configs: Sequence[CommandConfig], watch: Watch, *, keep: bool) -> None:
        """See `Kind`."""
        raise NotImplementedError

    def environment(self, config: CommandConfig) -> dict[str, Any]:
        """See `Kind`."""
        raise NotImplementedError

    def resumes(self, folder: RunFolder, config: CommandConfig) -> bool:
        """See `Kind`."""
        raise NotImplementedError

    def executing(
        self, folder: RunFolder, config: CommandConfig, *, threads: int | None, stop: Callable[[], bool]
    ) -> Executing:
        """See `Kind`."""
        raise NotImplementedError
