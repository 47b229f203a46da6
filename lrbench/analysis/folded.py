"""What reading finished runs gave, kept beside them: a report of thousands of runs then reads only the new ones.

`runs/.cache/records.jsonl` has a line for each run. It may be deleted. A line counts only while every file of the run's
folder but its weights has the time stamp, the size and the inode that it had then, and lrbench's code is the same. So
a copied or cloned folder is read anew. Nor does a line count that is not as it was written.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from sys import intern
from typing import Any

import numpy as np

from lrbench.analysis.audits import Audit, audited, remember
from lrbench.analysis.evaluations import Evaluations, counted
from lrbench.analysis.kept_lines import KeptLines
from lrbench.analysis.reading import read_one
from lrbench.analysis.records import Record
from lrbench.analysis.second_process import SecondProcess
from lrbench.analysis.verdicts import Verdict
from lrbench.config import Experiment, group, identity, parse_json, validate, without_rate
from lrbench.errors import LrbenchError
from lrbench.runs import Environment, RunFolder, RunResult

FEWEST = 100
"""Fewer runs in a folder are read anew each time, which takes a moment."""
UNSURE_SECONDS = 2.0
"""A folder that changed so recently may change again without a new time stamp."""
_HASHES = {"identity": identity, "group": group, "without_rate": without_rate}
_OWN = ("identity", "arguments", "started", "resumed", "config")  # of the environment, what each run has of its own
_DESCRIBED = frozenset(field.name for field in fields(Environment)) - {"plain"}

Stamps = Mapping[str, tuple[int, int, int]]
"""File names in a folder → time of the last change, size and inode."""


def read_all(folders: Sequence[RunFolder]) -> list[Record]:
    """Read run folders in their order, finished ones from what is kept beside them if they have not changed since.

    What is read anew is kept for the next time, where the folder of the runs can be written to. Never raises for their
    contents.
    """
    counts = Counter(folder.path.parent for folder in folders)
    many = [root for root, count in counts.items() if count >= FEWEST]
    for root in many:
        _keep([folder for folder in folders if folder.path.parent == root], root)
    with contextlib.ExitStack() as stack:
        kept = {root: _Kept(stack.enter_context(KeptLines(_kept_in(root)))) for root in many}
        records = [_read(folder, kept.get(folder.path.parent)) for folder in folders]
        for one in kept.values():
            one.lines.tidy()
        return records


def _keep(folders: Sequence[RunFolder], root: Path) -> None:
    """Keep what runs hold of which nothing is known yet, if there are many: half of them are read by another process.

    That changes nothing but how long it takes, so that whatever goes wrong in it is found when they are read.
    """
    with KeptLines(_kept_in(root)) as lines:
        new = [folder for folder in folders if folder.name not in lines]
        if len(new) < FEWEST or not lines.may_append():
            return

    def keep(some: Sequence[RunFolder]) -> None:
        with KeptLines(_kept_in(root)) as lines:
            kept = _Kept(lines)
            for folder in some:
                stamps = stamps_of(folder.path)
                kept.keep(read_one(folder), stamps)

    half = SecondProcess(lambda: keep(new[1::2]))
    keep(new[::2])
    half.result()


def _kept_in(root: Path) -> Path:
    return root / ".cache" / "records.jsonl"


def stamps_of(path: Path) -> Stamps:
    """Return the stamps of the files in a folder but for weights and temporary ones; none if it is gone."""
    found = {}
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and not entry.name.endswith(".pt"):
                    status = entry.stat()
                    found[entry.name] = (status.st_mtime_ns, status.st_size, status.st_ino)
    except OSError:
        pass
    return found


def _read(folder: RunFolder, kept: _Kept | None) -> Record:
    if kept is None:
        return read_one(folder)
    stamps = stamps_of(folder.path)
    found = kept.find(folder, stamps)
    if found is None:
        found = read_one(folder)
        told = kept.keep(found, stamps)
        found = kept.unfolded(folder, told) if told else found
    return found


class _Kept:
    """What is kept of a folder of runs, by keys that must be those of their files now.

    The key is that of what was read as well: of a damaged line, the numbers would be wrong. What runs have in common
    is written the same in each line, and is parsed and in memory once.
    """

    def __init__(self, lines: KeptLines) -> None:
        self.lines = lines
        self._common: dict[bytes, _Common] = {}

    def find(self, folder: RunFolder, stamps: Stamps) -> Record | None:
        """Return what is kept of a run whose files have these stamps; None without it."""
        key, told = self.lines.of(folder.name)
        if not told or key != _key(stamps, told):
            return None
        try:
            record = self.unfolded(folder, told)
        except (LrbenchError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # by other means
            return None
        self.lines.used(folder.name)
        return record

    def keep(self, record: Record, stamps: Stamps) -> bytes:
        """Keep what was read, if its files can be told from later ones, and return the text that is kept.

        Of a run that has not ended, or is damaged or another program's, only the key is kept, and nothing returned.
        """
        told = _folded(record)
        newest = max((changed for changed, _, _ in stamps.values()), default=0)
        if abs(time.time() - newest / 1e9) > UNSURE_SECONDS and stamps_of(record.folder.path) == stamps:
            self._put(record.folder.name, _key(stamps, told), told)
        return told

    def _put(self, name: str, key: bytes, told: bytes) -> None:
        if self.lines.of(name) == (key, told):
            self.lines.used(name)
        else:
            self.lines.add(name, key, told)

    def unfolded(self, folder: RunFolder, told: bytes) -> Record:
        """Return the run of which this text was kept. Raises what damaged texts do."""
        common, own, rows = told.split(b"\t")
        if common not in self._common:
            self._common[common] = _Common.of(parse_json(common))
        return self._common[common].record(folder, parse_json(own), rows)


@dataclass(frozen=True)
class _Common:
    """What runs of a sweep have in common: most of the config and of the environment, and the columns of their rows.

    What each run has of its own is None in `config` and `plain`, so that the order of keys stays.
    """

    config: Mapping[str, Any]
    plain: Mapping[str, Any]
    environment: Environment
    columns: Sequence[str]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> _Common:
        """Parse it. Raises ValueError."""
        return cls(told["config"], told["environment"], Environment.of(told["environment"]), told["columns"])

    def record(self, folder: RunFolder, own: Mapping[str, Any], rows: bytes) -> Record:
        """Return the run with what it has of its own."""
        config = {**self.config, **own["config"]}
        experiment = validate(config, {}, folder.name)
        hashes = dict(zip(_HASHES, map(intern, own["hashes"]), strict=True))
        experiment.hashed("identity", lambda: hashes)
        described = Environment.of({key: _once(value) for key, value in own["environment"].items()})
        described = replace(
            self.environment,
            **{name: getattr(described, name) for name in own["environment"] if name in _DESCRIBED},
            plain={**self.plain, **own["environment"]},
        )
        values = np.frombuffer(base64.b64decode(rows, validate=True), "<f8").reshape(len(self.columns), -1)
        columns: dict[str, Any] = dict(zip(self.columns, values, strict=True))
        result = RunResult.of({key: _once(value) for key, value in own["result"].items()})
        record = Record(folder, result.status, "", experiment, config, result, described, Evaluations(counted(columns)))
        vars(record)["verdict"] = None if own["verdict"] is None else Verdict(**own["verdict"])
        if own["audit"] is not None:
            told = {**own["audit"], "notes": tuple(own["audit"]["notes"])}
            remember(record, Audit(folder.name, folder.path, **told))
        return record


def _once(value: Any) -> Any:
    """Return a text, or a mapping with its keys, that is in memory once: each line has the same ones."""
    if isinstance(value, str):
        return intern(value)
    return {intern(key): inner for key, inner in value.items()} if isinstance(value, dict) else value


def _key(stamps: Stamps, told: bytes) -> bytes:
    text = json.dumps([_code(), sorted(stamps.items())])
    return hashlib.blake2b(text.encode() + told, digest_size=16).hexdigest().encode()


@cache
def _code() -> str:
    """Return a hash that tells the code that reads runs from that of another version."""
    package = Path(__file__).parents[1]
    rooms = ("analysis", "components", "config", "runs", "schedules")
    files = sorted(file for room in rooms for file in package.glob(f"{room}/**/*.py"))
    told = [(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    return hashlib.blake2b(repr(told).encode()).hexdigest()


def _folded(record: Record) -> bytes:
    """Return what is kept of a run: what others have as well, its own values, and its rows; separated by tabs.

    Empty of one that is not over, damaged, or not lrbench's own. What another program's config means depends on where
    it lies.
    """
    experiment, result = record.experiment, record.result
    if not isinstance(experiment, Experiment) or result is None or record.problem or not record.status.over:
        return b""
    if not experiment.self_contained:
        return b""
    columns = {name: values.astype(np.float64) for name, values in record.epochs.columns.items()}
    rows = np.ascontiguousarray(np.array(list(columns.values()))).astype("<f8")
    config, own_config = _parted(record.plain, ("name", "seed"))
    environment, own_environment = _parted(record.environment.plain, _OWN)
    common = {"config": config, "environment": environment, "columns": list(columns)}
    own = {
        "config": own_config,
        "environment": own_environment,
        "result": result.plain(),
        "hashes": [find(experiment) for find in _HASHES.values()],
        "verdict": None if record.verdict is None else asdict(record.verdict),
        "audit": _audit(record),
    }
    return b"\t".join((*(json.dumps(one, separators=(",", ":")).encode() for one in (common, own)),
                       base64.b64encode(rows.tobytes())))  # fmt: skip


def _parted(plain: Mapping[str, Any], keys: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a mapping with None for these keys, and their values."""
    own = {key: plain[key] for key in keys if key in plain}
    return {**plain, **dict.fromkeys(own)}, own


def _audit(record: Record) -> dict[str, Any] | None:
    """Return what an audit found of a complete run; None if there are faults, which are looked at closely each time."""
    found = audited(record, briefly=True) if record.status.complete else None
    if found is None or found.faults:
        return None
    return {"notes": found.notes, "meant": found.meant, "steps": found.steps, "problem": found.problem}
