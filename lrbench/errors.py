"""Every error lrbench raises on purpose.

LrbenchError            exit code 1
├── UsageError          2   what was asked for cannot be done as asked
│   ├── ConfigError     2   a config says something wrong (file, line, key)
│   └── DataError       2   a data set is missing or unusable
├── RunError            1   work that failed
│   ├── FolderError     1   a run's folder is damaged or not ours
│   ├── LockedError     1   another process is doing this run
│   └── UserCodeError   1   the user's own model, data, loss or schedule raised
└── Interrupted         130 Ctrl-C; the run can go on
    ├── Terminated      143 the same for SIGTERM
    └── Paused          130 a run waits at an agreed point, to be compared with others
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from difflib import get_close_matches


class LrbenchError(Exception):
    """Base of all errors meant for the person at the terminal: one clear message, no traceback."""

    exit_code = 1


class UsageError(LrbenchError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class ConfigError(UsageError):
    """A config says something wrong. Carries the key and, once known, the file and line.

    Args:
        problem: what is wrong and what would be right, as a sentence part.
        key: the dotted path of the key, `optimizer.lr`; empty for the file as a whole.
        where: the place it was written at, `configs/baseline.yaml:7` or `--set`; empty while unknown.
    """

    def __init__(self, problem: str, *, key: str = "", where: str = "") -> None:
        self.problem, self.key, self.where = problem, key, where
        super().__init__(": ".join(text for text in (where, key, problem) if text))

    def at(self, where: str) -> ConfigError:
        """The same error with its place filled in, unless it has one already."""
        return type(self)(self.problem, key=self.key, where=self.where or where)


class DataError(UsageError):
    """A data set is missing or unusable."""


class RunError(LrbenchError):
    """Work that was begun and failed."""


class FolderError(RunError):
    """A run's folder is damaged, or is not the folder of this run."""


class LockedError(RunError):
    """Another live process is doing this run."""


class UserCodeError(RunError):
    """The user's own code raised; the message ends with its last frames."""

    @classmethod
    def of(cls, what: str, error: BaseException, frames: int = 3) -> UserCodeError:
        """Wrap `error`, showing its last `frames` frames."""
        stack = traceback.extract_tb(error.__traceback__)[-frames:]
        shown = "".join(traceback.format_list(stack)).rstrip()
        return cls(f"{what} raised {type(error).__name__}: {error}\n{shown}".rstrip())


class Interrupted(LrbenchError):
    """Ctrl-C: what was done is kept, and the same command goes on."""

    exit_code = 130


class Terminated(Interrupted):
    """SIGTERM, which is as kind as Ctrl-C."""

    exit_code = 143


class Paused(Interrupted):
    """A run waits at an agreed point of its budget, with a checkpoint, to be compared with others there."""


def choices(wrong: object, known: Iterable[str]) -> str:
    """`did you mean 'adam'? Choices: adam, sgd` for a name that is not among `known`."""
    names = sorted(known)
    return f"{nearest(wrong, names)}Choices: {', '.join(names)}"


def nearest(wrong: object, known: Iterable[str]) -> str:
    """`did you mean 'adam'? ` where a known name is like the wrong one; else nothing."""
    near = get_close_matches(str(wrong), sorted(known), n=1)
    return f"did you mean '{near[0]}'? " if near else ""
