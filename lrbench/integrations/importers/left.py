"""What looks like a log but is not read. Each is told: by itself if something is wrong with it, the others together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from lrbench.config import opened
from lrbench.errors import option
from lrbench.integrations.importers import MOST_DEEP, TOOLS, Claim
from lrbench.integrations.importers.mlflow import claimed_mlflow, of_mlflow
from lrbench.integrations.importers.tables import columns_at, is_known, known, text_at
from lrbench.runs import relative

_PACKED = re.compile(r".*\.(csv|tsv|jsonl|ndjson|json)\.(gz|bz2|xz|zst|zip)|.*tfevents.*\.(gz|bz2|xz|zst|zip)", re.I)
_OF_WANDB = re.compile(r"(offline-)?run-\w+-\w+")
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
_COLUMNS = "no column has a usual name of a metric"
_ADVICE = {
    _COLUMNS: "to import one, give its path",
    "links are not followed": "give the path of what they lead to",
    f"folders more than {MOST_DEEP} deep are not searched": "give the path of that folder",
    "compressed files are not read": "unpack them",
    "event files in the same place count": "to import it too, give its path",
    "MLflow's database is called mlflow.db": "to import another, give its path",
    "MLflow's experiments are read together": "give the folder that holds them, often called mlruns",
}
"""Why what is no fault of a file was left out, and what to do about it."""
COLUMNS, LINKS, DEEP, PACKED, EVENTS, DATABASE, EXPERIMENT = _ADVICE


def claimed_left(folder: Path, named: bool) -> Claim | None:
    """What has the name of a log, links, and the folder itself if it can't be read. See `Tool`."""
    try:
        with os.scandir(folder) as found:
            inner = sorted(found, key=lambda entry: entry.name)
    except OSError:
        return Claim((folder,))
    places = [Path(entry.path) for entry in inner if not entry.name.startswith(".") and _may_be_a_log(entry)]
    return Claim((*([folder] if _lacks_its_log(folder) else []), *places))


def _may_be_a_log(entry: os.DirEntry[str]) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return False
    if entry.name == "meta.yaml" and not of_mlflow(Path(entry.path).parent):
        return False
    marked = any(re.fullmatch(tool.marks, entry.name, re.IGNORECASE) for tool in TOOLS.values())
    return marked or _PACKED.fullmatch(entry.name) is not None or (entry.is_symlink() and Path(entry.path).is_dir())


def _lacks_its_log(folder: Path) -> str:
    """Say what a folder of W&B or MLflow lacks; empty if it is none, or complete."""
    if _OF_WANDB.fullmatch(folder.name) and (folder / "files").is_dir() and not any(folder.glob("*.wandb")):
        return "it has no .wandb file, in which W&B keeps the values"
    if folder.name == "mlruns" and claimed_mlflow(folder, True) is None and any(folder.iterdir()):
        return "none of its experiments has a whole meta.yaml, without which MLflow reads nothing"
    return ""


def why_left(path: Path) -> tuple[str, bool]:
    """Return why a path is not read, and whether that is a fault of what lies there."""
    if path.is_symlink():
        return (LINKS, False) if path.exists() else ("it is a link that leads nowhere", True)
    if path.is_dir():
        try:
            os.scandir(path).close()
        except OSError as error:
            return f"it cannot be read: {error.strerror}", True
        return (lack, True) if (lack := _lacks_its_log(path)) else (DEEP, False)
    if not path.is_file():
        return "it is not a regular file, but a pipe, a socket or a device", True
    try:
        with opened(path) as file:
            empty = not file.read(1)
    except OSError as error:
        return f"it cannot be read: {error.strerror}", True
    if empty:
        return "it is empty", True
    if _PACKED.fullmatch(path.name):
        return PACKED, False
    if path.suffix.lower() not in _TABLES:
        return (DATABASE if path.suffix.lower() == ".db" else EXPERIMENT), False
    text = text_at(path)
    if not text.strip():
        return "it is empty", True
    if "\0" in text or not text.strip("\ufffd"):
        return "it is not text in UTF-8, or in UTF-16 with a byte order mark", True
    return (EVENTS if is_known(path) else COLUMNS), False


def told(left: Iterable[Path], roots: Sequence[Path]) -> tuple[list[tuple[Path, str]], list[str]]:
    """Return the paths with a fault, and sentences about the others.

    Args:
        left: what was not read.
        roots: the folders that were searched; links into them lose nothing.
    """
    faults: list[tuple[Path, str]] = []
    others: dict[str, list[Path]] = {}
    for path in left:
        why, fault = why_left(path)
        if fault:
            faults.append((path, why))
        elif why != LINKS or not any(path.resolve().is_relative_to(root.resolve()) for root in roots):
            others.setdefault(why, []).append(path)
    return faults, [_sentence(why, paths) for why, paths in others.items()]


def _sentence(why: str, paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return f"left out, since {why}: {relative(paths[0].absolute())}{more}; {_ADVICE[why]}"


def having(column: str, left: Iterable[Path]) -> str:
    """Say which of the tables that are no logs has a column; empty if none has."""
    for path in left:
        if path.suffix.lower() in _TABLES and why_left(path) == (COLUMNS, False) and column in columns_at(path):
            advice = f"to import it, give its path, or {option('--from')} {known(path)}"
            return f"{relative(path.absolute())} has, but was left out, since {COLUMNS}; {advice}"
    return ""
