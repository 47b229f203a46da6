"""Where a command leaves its metrics, read again and again while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lrbench.config import CommandConfig
from lrbench.errors import ConfigError, FolderError, UsageError
from lrbench.runs.folder import RunFolder
from lrbench.runs.logs.events import check_installed
from lrbench.runs.logs.meaning import Meaning
from lrbench.runs.logs.patterns import SlowPattern, patterns_of, read_printed
from lrbench.runs.logs.read import read_log
from lrbench.runs.recorded import Recorded

Signature = tuple[tuple[str, int, int], ...]


@dataclass
class Source:
    """The log of a command's run."""

    folder: RunFolder
    config: CommandConfig
    _seen: Signature | None = field(default=None, init=False)
    _recorded: Recorded = field(default_factory=Recorded, init=False)
    _slow: SlowPattern | None = field(default=None, init=False)

    @staticmethod
    def check(config: CommandConfig) -> None:
        """Raise ConfigError if the log could never be read: a wrong pattern, or a package that is missing."""
        for kind, place in (config.read or {}).items():
            try:
                if kind == "stdout":
                    patterns_of(place)
                elif kind == "tensorboard":
                    check_installed()
            except UsageError as error:
                raise ConfigError(str(error), key=f"read.{kind}") from None

    def collect(self) -> Recorded:
        """Read the log if it has changed, write the run's rows, and return what else it says.

        Raises FolderError if it is missing or lacks a column, SlowPattern if a pattern takes too long, UsageError if a
        package is missing.
        """
        assert self.config.read is not None
        ((kind, place),) = self.config.read.items()
        path = self.folder.output if kind == "stdout" else self.config.start(self.folder.path) / place
        signature = _signature(path)
        if signature and signature == self._seen:
            return self._recorded
        if self._slow is not None:
            raise self._slow
        try:
            log = read_printed(path, place) if kind == "stdout" else read_log(kind, path)
        except SlowPattern as error:
            self._slow = error  # it would take as long again
            raise
        if not log:
            what = "nothing in the output fits the pattern" if kind == "stdout" else f"{path} has no numbers yet"
            raise FolderError(what)
        given = {name: column.column for name, column in (self.config.metrics or {}).items()}
        meaning = Meaning.of(log, given, self.config.directions, "stdout" if kind == "stdout" else kind)
        self.folder.replace_rows(meaning.steps, meaning.evaluations)
        self._seen, self._recorded = signature, meaning.recorded
        return meaning.recorded


def _signature(path: Path) -> Signature:
    """Return what changes when a file, or a file under a folder, does."""
    try:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        return tuple((str(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files if file.is_file())
    except OSError:
        return ()
