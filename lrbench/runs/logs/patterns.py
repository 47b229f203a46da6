r"""Numbers in what a program printed, found by patterns that may come from strangers.

The package `regex` searches, since a search of Python's `re` can't be ended: `(a|aa)+b` would take years on one line.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lrbench.errors import FolderError, UsageError, counted, shortened
from lrbench.runs.csv_columns import printed
from lrbench.runs.logs.log import Log, kept, numbers_in
from lrbench.runs.logs.read import lines_of

LINE_SECONDS = 2.0
"""Processor time that one pattern may take for one line."""
LEAST_SECONDS, SECONDS_PER_LINE = 10.0, 2e-4
"""Processor time that all lines of a log may take; usual patterns take a tenth of it."""
MOST_PATTERN, MOST_REPEATS = 2_000, 10_000
"""Characters of a pattern, and how often `{n}`, with those around it, may repeat something: memory grows with it."""
_NUMBER = r"[-+]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)"
_NAME = re.compile(r"\{([A-Za-z_]\w*)(?:![rsa])?(?::[^{}]*)?\}")  # in a template
_REPEATED = re.compile(r"\{(\d*)(?:,(\d*))?\}")
_ADVICE = "write a template such as step {step} loss {train_loss}, or a regular expression without nested repetitions"


class SlowPattern(FolderError):
    """A pattern takes too long for what a program printed."""


def pattern_of(text: str) -> Any:
    """Return the regular expression of a pattern: itself, or that of a template such as `step {step} loss {loss:.4f}`.

    In a template, spaces match any space or none, and each name in braces a number, whatever its format. It begins
    where a word does: `loss {loss}` is not found in `val_loss 0.5`. Raises UsageError.
    """
    import regex

    told = f"the pattern '{shortened(text, 80)}'"
    if len(text) > MOST_PATTERN:
        raise UsageError(f"{told} is longer than {MOST_PATTERN:,} characters")
    if "(?P<" in text:
        _check_once(re.findall(r"\(\?P<(\w+)>", text), told)
        if math.prod(_counts(text)) > MOST_REPEATS:
            raise UsageError(f"{told} repeats something more than {MOST_REPEATS:,} times; {_ADVICE}")
    else:
        text = _of_template(text, told)
    try:
        re.compile(text, re.IGNORECASE)  # refuses what only the package `regex` knows
        return regex.compile(text, regex.IGNORECASE)
    except (re.error, regex.error, RecursionError, OverflowError) as error:
        raise UsageError(f"{told} is not a regular expression: {error}") from None


def _counts(text: str) -> Iterator[int]:
    """Yield the numbers of `{n}`, `{n,}` and `{n,m}`, the larger one."""
    for found in _REPEATED.finditer(text):
        yield max(1, *(int(number[:9]) for number in found.groups() if number))


def _of_template(text: str, told: str) -> str:
    pieces = _NAME.split(text)
    if len(pieces) == 1:
        raise UsageError(f"{told} names no values; write step {{step}} loss {{train_loss}}")
    _check_once(pieces[1::2], told)
    fixed = [re.sub(r"(\\\s|\s)+", r"\\s*", re.escape(piece)) for piece in pieces[::2]]
    names = [f"(?P<{name}>{_NUMBER})" for name in pieces[1::2]]
    return r"(?<![\w/.])" * bool(re.match(r"\s*\w", text)) + "".join(
        a + b for a, b in zip(fixed, [*names, ""], strict=True)
    )


def _check_once(names: Sequence[str], told: str) -> None:
    """Raise UsageError if a pattern has one name twice."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{told} names '{twice}' twice; a pattern names each value once")


def patterns_of(text: str) -> list[Any]:
    """Return the regular expressions of patterns, one a line. Raises UsageError."""
    return [pattern_of(line) for line in _each(text)]


def _each(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()] or [""]


def read_printed(path: Path, patterns: str) -> Log:
    """Read what a program printed: a row for each place that fits one of the patterns, which are one a line.

    Raises SlowPattern if they take too long.
    """
    rows = _rows(
        path, [(one, _word_in(text)) for one, text in zip(patterns_of(patterns), _each(patterns), strict=True)]
    )
    return kept(numbers_in({name: _bare(value) for name, value in row.items()}) for row in rows)


def _rows(path: Path, wanted: Sequence[tuple[Any, str]]) -> Iterator[dict[str, str | None]]:
    """Yield what fits the patterns, each with a word that it needs, while the time for them is in proportion."""
    began = time.thread_time()
    for number, text in enumerate(lines_of(path)):
        plain = text.lower() if text.isascii() and "\x1b" not in text else None
        may_fit = [pattern for pattern, word in wanted if plain is None or word in plain]
        if not may_fit:
            continue
        line = printed(text)
        for pattern in may_fit:
            yield from _found(pattern, line)
        if (taken := time.thread_time() - began) > LEAST_SECONDS + number * SECONDS_PER_LINE:
            raise SlowPattern(
                f"the patterns of `read` took {taken:.0f} seconds for {counted(number + 1, 'line')}; {_ADVICE}"
            )


def _word_in(text: str) -> str:
    """Return what a line must have, in lower case, to fit a pattern: looking for it costs little. Empty if unknown."""
    if "(?P<" not in text:
        words = " ".join(_NAME.split(text)[::2]).split()
        return max((word.lower() for word in words if word.isascii()), key=len, default="")
    found = re.match(r"[a-z0-9_]+(?![?*{])", text, re.ASCII | re.IGNORECASE)
    return found[0].lower() if found and "|" not in text else ""


def _found(pattern: Any, line: str) -> Iterator[dict[str, str | None]]:
    try:
        for found in pattern.finditer(line, timeout=LINE_SECONDS):
            yield found.groupdict()
    except TimeoutError:
        problem = f"took more than {LINE_SECONDS:g} seconds on a line of {len(line.rstrip()):,} characters"
        raise SlowPattern(f"the pattern {pattern.pattern!r:.80} of `read` {problem}; {_ADVICE}") from None


def _bare(text: str | None) -> str:
    """Return a number as printed, without thousands' separators and units such as %."""
    return re.sub(r"(?<=\d)[,_](?=\d{3})", "", (text or "").strip()).rstrip("%,;)]")
