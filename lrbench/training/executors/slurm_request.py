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
_MAIL = "none|begin|end|fail|requeue|all|invalid_depend|stage_out|time_limit(_90|_80|_50)?|array_tasks"
_VALUES = (
    (("mem", "mem_per_cpu", "mem_per_gpu", "tmp"), r"\d+([KMGT]B?)?", "a size such as 8G or 500M"),
    (("nice",), r"[-+]?\d{1,9}", "a whole number such as 100"),
    (("cpus_per_gpu",), r"0*[1-9]\d{0,5}", "a whole number from 1"),
    (
        ("gpus", "gpus_per_node", "gpus_per_task"),
        r"([a-z][\w.-]*:)?\d{1,6}(,([a-z][\w.-]*:)?\d{1,6})*",
        "a number of GPUs such as 1 or a100:1",
    ),
    (("mail_type",), rf"({_MAIL})(,({_MAIL}))*", "types such as END or 'FAIL,TIME_LIMIT'"),
    (("mail_user",), r"[^\s@]+(@[^\s@]+)?", "a user or an address"),
)
"""Those of which sbatch takes only some values: the pattern of these, and what they are."""
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
        minutes = None if time is None else _minutes(time)
        return cls(
            minutes=minutes,
            cpus=_whole("cpus_per_task", given.pop("cpus_per_task", "1")),
            local=local,
            name=given.pop("job_name", "lrbench"),
            setup=given.pop("setup", ""),
            signal_delay=_delay(given.pop("signal_delay", None), minutes),
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
        for keys, pattern, what in _VALUES:
            if key in keys and not re.fullmatch(pattern, value, re.IGNORECASE | re.ASCII):
                raise _wrong(f"{key} must be {what} (got {value!r:.40})")
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


def _delay(text: str | None, minutes: int | None) -> int:
    """Return how many seconds before a job's end it is told; without a number the usual ones, at most half its time."""
    if text is None:
        return SIGNAL_SECONDS if minutes is None else min(SIGNAL_SECONDS, minutes * 30)
    seconds = _whole("signal_delay", text)
    if minutes is not None and seconds >= minutes * 60:
        raise _wrong(f"signal_delay must be less than the time of a job, {minutes * 60:,} seconds (got {seconds:,})")
    return seconds


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
