"""The output of commands, and of launchers such as torchrun: which rank failed first, and what it printed last."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lrbench.runs.csv_columns import last_lines

_TITLE, _ROOT_CAUSE = "Failures:", "Root Cause (first observed failure):"
_FAILURE = re.compile(
    r" +time +: (?P<time>\S+)\n +host .*\n +rank +: (?P<rank>\d+) \(local_rank: (?P<local>\d+)\)\n"
    r" +exitcode +: (?P<code>-?\d+) "
)
_OWN = re.compile(r"[A-Z]\d{4} [\d:.]+ +\d+ torch/distributed/(elastic/\S+|run\.py:\d+)\] ?(.*)")
"""A line that torchrun logs."""
_MARK = re.compile(r"\[(rank|default)(\d+)\]:")
"""How torch marks the lines of a traceback with their rank; torchrun, with `--tee`, marks all with the local one."""
_AFTER = 5  # lines that other processes may print after the report
_READ = 1000  # lines at the end of the output


@dataclass(frozen=True)
class Failure:
    """The rank that failed first.

    Attributes:
        rank: its number among all ranks.
        code: its exit code; negative for a signal.
        lines: its own output, as far as that can be told from that of the others.
    """

    rank: int
    code: int
    lines: list[str]

    def last(self, count: int) -> list[str]:
        """Return its last lines without the mark of its rank."""
        return [_MARK.sub("", line).removeprefix(" ") if _MARK.match(line) else line for line in self.lines[-count:]]


def last_output(path: Path, count: int, end: int | None = None) -> list[str]:
    """Return the last lines of a command's output; of the rank that failed first, if torchrun reports one.

    With `end`, the output is read as if it ended there, in bytes.
    """
    lines = last_lines(path, _READ, end)
    failure = _reported(lines)
    return (lines if failure is None else failure.lines)[-count:]


def first_failure(path: Path) -> Failure | None:
    """Return the rank that failed first, as torchrun reports it at the end of an output; None if it does not."""
    return _reported(last_lines(path, _READ))


def _reported(lines: Sequence[str]) -> Failure | None:
    """See `first_failure`, of lines that are not empty."""
    text = "\n".join(lines)
    _, title, report = text.rpartition(f"\n{_TITLE}\n")
    report, _, after = report.partition(f"\n{_ROOT_CAUSE}\n")
    failures = [*_FAILURE.finditer(report), *_FAILURE.finditer(after)]
    end = next((number for number in reversed(range(len(lines))) if set(lines[number]) == {"="}), 0)
    if not title or not _FAILURE.search(after) or len(lines) - end > _AFTER:
        return None
    root = failures[-1]
    # Of two that it found dead at once, torchrun names the one with the lower rank; one that was killed is the cause.
    same = [one for one in failures if one["time"] == root["time"] and int(root["code"]) > 0 > int(one["code"])]
    first = next((one for one in same if int(one["code"]) != -signal.SIGTERM), root)
    rank, local = int(first["rank"]), int(first["local"])
    before = lines[: text.count("\n", 0, text.rindex(_TITLE))]
    return Failure(rank, int(first["code"]), _lines_of(rank, local, _before_the_report(before)))


def _before_the_report(lines: Sequence[str]) -> list[str]:
    """Return what the ranks have printed, without what torchrun did, the last time that it started them."""
    logged = [(number, found[2]) for number, line in enumerate(lines) if (found := _OWN.fullmatch(line))]
    reports = [number for number, text in logged if text.startswith("failed (exitcode:")]
    end = reports[-1] if reports else len(lines)
    begin = reports[-2] + 1 if len(reports) > 1 else 0
    own = {number for number, _ in logged}
    return [line for number, line in enumerate(lines[begin:end], start=begin) if number not in own]


def _lines_of(rank: int, local: int, lines: Sequence[str]) -> list[str]:
    """Return the lines that are marked as those of a rank; if none is, those not marked as another's."""
    mine, unmarked = [], []
    for line in lines:
        found = _MARK.match(line)
        if found is None:
            unmarked.append(line)
        elif int(found[2]) == (rank if found[1] == "rank" else local):
            mine.append(line)
    return mine or unmarked
