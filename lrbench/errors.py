"""The errors that lrbench raises, with their exit codes.

LrbenchError            exit code 1
├── UsageError          2   the request is invalid
│   ├── ArgumentError   2   an argument of a Python function is of the wrong kind; also a TypeError
│   ├── ConfigError     2   a config is invalid (file, line, key)
│   └── DataError       2   a data set is missing or unusable
├── RunError            1   a run failed
│   ├── FolderError     1   a run's folder is damaged or belongs to another run
│   ├── LockedError     1   another process is training this run
│   └── UserCodeError   1   the user's own model, data, loss or schedule raised
└── Interrupted         130 Ctrl-C; the run can be resumed
    ├── Terminated      143 SIGTERM; the run can be resumed
    └── Paused          130 the run waits at a rung to be compared with others
"""

from __future__ import annotations

import contextlib
import re
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path


class LrbenchError(Exception):
    """Base of all errors meant for users: one clear message, no traceback."""

    exit_code = 1


class UsageError(LrbenchError):
    """The request is invalid."""

    exit_code = 2


class ArgumentError(UsageError, TypeError):
    """An argument of a Python function is of the wrong kind."""


class ConfigError(UsageError):
    """A config is invalid.

    Args:
        problem: what is wrong and what would be right, to follow the key in a sentence; shortened if it is very long.
        key: the dotted key, such as `optimizer.lr`, shortened if it is very long; empty for the whole file.
        where: where it was set, such as `configs/baseline.yaml:7` or `--set`; empty while unknown.
    """

    def __init__(self, problem: str, *, key: str = "", where: str = "") -> None:
        self.problem, self.key, self.where = _as_yaml(shortened(problem, 4000)), shortened(key, 200), where
        super().__init__(": ".join(text for text in (where, self.key, self.problem) if text))

    def at(self, where: str) -> ConfigError:
        """Return the same error located at `where`, unless it has a location already."""
        return type(self)(self.problem, key=self.key, where=self.where or where)


class DataError(UsageError):
    """A data set is missing or unusable."""


class RunError(LrbenchError):
    """A run failed."""


class FolderError(RunError):
    """A run's folder is damaged or belongs to another run."""


class LockedError(RunError):
    """Another live process is training this run."""


class UserCodeError(RunError):
    """The user's own code raised; the message ends with its last frames.

    Attributes:
        trace: the traceback or stack for a log, if the error comes from another process; else empty.
    """

    trace = ""

    @classmethod
    def of(cls, what: str, error: BaseException) -> UserCodeError:
        """Wrap an error and show its last three frames."""
        stack = traceback.extract_tb(error.__traceback__)
        if isinstance(error, ForcedEnd):  # the last frame is ours, which prevented it
            place = f" ({Path(stack[-2].filename).name}, line {stack[-2].lineno})" if len(stack) > 1 else ""
            said, stack[:] = f"{reason_of(error)}{place}", stack[-2:-1]
        else:
            text = re.sub(r"\A([^\n]*:)[ \r]*\n\s*", r"\1 ", _said(error)).rstrip(": \n")
            said = ": ".join(text for text in (f"{what} raised {type(error).__name__}", text) if text)
        shown = "".join(traceback.format_list(stack[-3:])).rstrip()
        return cls(f"{said}\n{shown}".rstrip())


class ForcedEnd(SystemExit):
    """The user's code tried to end its own process; the message is what it did, such as `called os._exit(7)`."""


class Interrupted(LrbenchError):
    """Ctrl-C: finished work is kept, and the same command resumes."""

    exit_code = 130


class Terminated(Interrupted):
    """SIGTERM, handled like Ctrl-C."""

    exit_code = 143


class Paused(Interrupted):
    """A run has checkpointed at a rung of its budget and waits to be compared with others."""


def reason_of(error: BaseException) -> str:
    """Return an error's message on one line, without C++ frames and SQL; its type if it has none or is no Exception."""
    text = " ".join(_said(error).split())
    kind = type(error).__name__
    if isinstance(error, ForcedEnd):
        return f"your code {text}"
    return (text and (text if isinstance(error, Exception) else f"{kind}: {text}")) or kind


MOST_SAID = 2000


def _said(error: BaseException) -> str:
    """Return an error's message without C++ frames and SQL, shortened; empty if it has none."""
    try:
        text = re.split(r"\n(?:Exception raised from |\[SQL: )", str(error), maxsplit=1)[0]
    except Exception:  # the user's own `__str__` raised
        return ""
    return text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]}…"


_NAMED = {"--filter": "filters", "--set": "overrides", "--from": "kind", "--map": "columns", "--again": "again=True"}
"""What the parameters of Python functions are called, where that is not the option's name."""
_typed = False


@contextlib.contextmanager
def command_line(typed: bool = True) -> Iterator[None]:
    """During the block, messages name arguments as they are typed: see `option`.

    Args:
        typed: whether a command was typed; a worker gets this from its parent's `at_command_line`.
    """
    global _typed
    before, _typed = _typed, typed
    try:
        yield
    finally:
        _typed = before


def at_command_line() -> bool:
    """Return whether a command was typed, so that messages name options rather than parameters."""
    return _typed


def option(name: str, parameter: str = "") -> str:
    """Return what the user calls an option such as `--runs-per-gpu`: from Python, it is `runs_per_gpu`.

    Args:
        name: the option.
        parameter: what Python calls it in this one place, such as `Prune.after`; empty for the option's words.
    """
    if _typed:
        return name
    return parameter or _NAMED.get(name, name.removeprefix("--").replace("-", "_"))


class OldName(FutureWarning):
    """An old name of a key, an option or a Python name was used; it still works."""


_told: set[str] = set()


def old_name(old: str, new: str) -> None:
    """Say once in a process that `old`, which still works, is now called `new`: see "How we deprecate"."""
    if old in _told:
        return
    _told.add(old)
    text = f"{old} is now called {new}; the old name still works"
    if _typed:
        print(f"Warning: {text}", file=sys.stderr)
    else:
        warnings.warn(text, OldName, stacklevel=3)


def _as_yaml(problem: str) -> str:
    """Return a problem with the value that was given as YAML writes it, rather than Python: nothing, true, false."""
    words = {"None": "nothing", "True": "true", "False": "false"}
    return re.sub(r"\(got (None|True|False)\b", lambda found: f"(got {words[found[1]]}", problem)


def choices(wrong: object, known: Iterable[str]) -> str:
    """Return `did you mean 'adam'? Choices: adam, sgd`, or only the choices if none is similar."""
    names = sorted(known)
    near = nearest(wrong, names)
    return f"{near}{'Choices' if near else 'choices'}: {', '.join(names)}"


def shortened(text: str, most: int) -> str:
    """Return a text without its middle if it has more than `most` characters, as damaged files give them."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def nearest(wrong: object, known: Iterable[str]) -> str:
    """Return `did you mean 'adam'? ` if a known name is similar, in capitals or not, else an empty string."""
    by_lower = {name.lower(): name for name in sorted(known, reverse=True)}
    near = get_close_matches(str(wrong).lower(), sorted(by_lower), n=1)
    return f"did you mean '{by_lower[near[0]]}'? " if near else ""


def counted(number: int, noun: str) -> str:
    """Return `1 run`, `1,000 runs`, `2 families`: a number and what it counts, in the singular or the plural."""
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return a noun's plural: `families`, `branches`, `epochs`, `runs`."""
    if re.search("[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    return f"{noun}{'es' if re.search('([^o]ch|s|x)$', noun) else 's'}"


_HIDDEN = re.compile(
    r"[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str) -> str:
    """Replace control characters, changes of direction and undecodable bytes by �; tabs and line ends stay."""
    return _HIDDEN.sub("\ufffd", text)
