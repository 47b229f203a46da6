"""What `--slurm` asks of Slurm: `partition=gpu,time=4:00:00,gpus_per_node=1`. The keys are sbatch's own options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from lrbench.errors import UsageError, choices, option

SIGNAL_SECONDS = 90
"""How long before a job's time is up it is told to write a checkpoint."""
QUEUES = ("slurm", "local")
_EXAMPLE = "partition=gpu,time=4:00:00,gpus_per_node=1"
_PASSED_ON = (
    "account", "begin", "comment", "constraint", "cpus_per_gpu", "dependency", "exclude", "gpus", "gpus_per_node",
    "gpus_per_task", "gres", "licenses", "mail_type", "mail_user", "mem", "mem_per_cpu", "mem_per_gpu", "nice",
    "nodelist", "partition", "qos", "reservation", "tmp", "wckey",
)  # fmt: skip
"""The options of sbatch whose values are given to it as they are."""
_SIZES = ("mem", "mem_per_cpu", "mem_per_gpu", "tmp")
"""Those that are sizes of memory or of a disk."""
_SWITCHES = ("exclusive",)
"""Those that need no value."""
_READ_HERE = ("cluster", "cpus_per_task", "job_name", "setup", "signal_delay", "time")
_OURS = {
    "array": "lrbench submits the runs as one array",
    "array_parallelism": "{jobs} limits how many run at once",
    "nodes": "each run is one task on one node",
    "ntasks": "each run is one task on one node",
    "ntasks_per_node": "each run is one task on one node",
    "output": "the jobs print to files in the runs folder",
    "error": "the jobs print to files in the runs folder",
    "requeue": "jobs are always requeued",
    "signal": "signal_delay=120 sets how many seconds before the end a checkpoint is written",
    "chdir": "jobs start in the current folder",
}
"""Options of sbatch that can't be given, and why."""


@dataclass(frozen=True)
class SlurmRequest:
    """What a job asks for.

    Attributes:
        minutes: the time limit; None only for local processes.
        cpus: the CPUs of a job, which are torch's threads.
        local: whether the jobs are processes on this machine instead.
        name: the jobs' name.
        setup: a shell command that each job executes first; empty for none.
        signal_delay: how many seconds before the time limit a checkpoint is written.
        passed_on: options of sbatch with their values; True for those without one.
    """

    minutes: int | None
    cpus: int = 1
    local: bool = False
    name: str = "lrbench"
    setup: str = ""
    signal_delay: int = SIGNAL_SECONDS
    passed_on: Mapping[str, str | bool] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> SlurmRequest:
        """Parse key=value pairs separated by commas; values with commas are quoted. Raises UsageError."""
        given = _pairs(text)
        queue = given.pop("cluster", "slurm")
        if queue not in QUEUES:
            raise _wrong(f"cluster={queue!r:.40}: {choices(queue, QUEUES)}")
        time, local = given.pop("time", None), queue == "local"
        if time is None and not local:
            raise UsageError(
                f"{option('--executor')} slurm needs the time of a job: {option('--slurm')} time=4:00:00 (before it is "
                "up, a run writes a checkpoint and its job is requeued)"
            )
        return cls(
            minutes=None if time is None else _minutes(time),
            cpus=_whole("cpus_per_task", given.pop("cpus_per_task", "1")),
            local=local,
            name=given.pop("job_name", "lrbench"),
            setup=given.pop("setup", ""),
            signal_delay=_whole("signal_delay", given.pop("signal_delay", str(SIGNAL_SECONDS))),
            passed_on={key: value or True for key, value in given.items()},
        )


def _wrong(problem: str) -> UsageError:
    return UsageError(f"{option('--slurm')}: {problem}")


def _pairs(text: str) -> dict[str, str]:
    """Split `key=value,key='a,b'`; keys may have dashes, as sbatch writes them."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = ",", True, ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise _wrong(f"a quotation mark is not closed (got {text!r:.80})") from error
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = (part.strip() for part in word.partition("="))
        key = key.lstrip("-").replace("-", "_")
        _check_key(key, word)
        if not value and (equals or key not in _SWITCHES):
            raise _wrong(f"{key} needs a value, as in {_EXAMPLE} (got {word!r:.60})")
        if key in found:
            raise _wrong(f"{key} is given twice")
        if "\n" in value or "\0" in value:
            raise _wrong(f"{key} must be on one line (got {value!r:.60})")
        if key in _SIZES and not re.fullmatch(r"\d+([KMGT]B?)?", value, re.IGNORECASE):
            raise _wrong(f"{key} must be a size such as 8G or 500M (got {value!r:.40})")
        found[key] = value
    return found


def _check_key(key: str, word: str) -> None:
    if key in _OURS:
        raise _wrong(f"{key} can't be set: {_OURS[key].format(jobs=option('--jobs'))}")
    known = {*_PASSED_ON, *_SWITCHES, *_READ_HERE}
    if key not in known:
        raise _wrong(
            f"unknown key {key or word!r:.40} (values with commas are quoted); {choices(key, known)}; as in {_EXAMPLE}"
        )


def _whole(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 10**6):
        raise _wrong(f"{key} must be a whole number from 1 (got {text!r:.40})")
    return int(text)


_TIMES = (
    r"(?P<days>\d+)-(?P<hours>\d+)(:(?P<minutes>\d+)(:(?P<seconds>\d+))?)?",
    r"(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+)",
    r"(?P<minutes>\d+)(:(?P<seconds>\d+))?",
)
_SECONDS = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}


def _minutes(text: str) -> int:
    """Return the minutes of a time as sbatch writes it: `240`, `4:00:00`, `1-12`, `1-12:30:00`; seconds round up."""
    matches = (re.fullmatch(pattern, text, re.ASCII) for pattern in _TIMES) if len(text) <= 20 else ()
    match = next((found for found in matches if found), None)
    parts = {} if match is None else match.groupdict(default="0")
    seconds = sum(int(value) * _SECONDS[name] for name, value in parts.items())
    if not seconds:
        known = "4:00:00 (hours), 90 (minutes) or 2-12 (days and hours)"
        raise _wrong(f"time must be a time limit such as {known} (got {text!r:.40})")
    return -(-seconds // 60)
