"""CSV files and JSON lines: those of Lightning and Keras, and any other."""

from __future__ import annotations

import re
from pathlib import Path

from lrbench.config import opened
from lrbench.errors import FolderError
from lrbench.integrations.importers import Claim, Foreign, files_in, is_log
from lrbench.integrations.importers.settings import key_of, names_of, plain_name, settings_beside, settings_in_name
from lrbench.runs import Log, encoding_of, guessed, read_log

_OF_A_FOLDER = re.compile(r"(metrics?|logs?|training(_log)?|train(_log)?|history|progress|results?|scalars)")
_MOST_LOOKED_AT = 65_536  # bytes
_OF_CSV, _OF_JSONL = (".csv", ".tsv"), (".jsonl", ".ndjson")


def claimed_lightning(folder: Path, named: bool) -> Claim | None:
    """A folder `version_3` of Lightning's CSV logger. See `Tool`."""
    place = folder / "metrics.csv"
    marked = (folder / "hparams.yaml").is_file() or re.fullmatch(r"version_\d+", folder.name) or named
    return Claim((place,)) if marked and is_log(place) else None


def read_lightning(path: Path) -> list[Foreign]:
    """See `Tool`."""
    return _read("csv", path, "")


def claimed_csv(folder: Path, named: bool) -> Claim | None:
    """CSV files that have columns with usual names. See `Tool`."""
    return _claimed(folder, _OF_CSV, named)


def read_csv(path: Path) -> list[Foreign]:
    """See `Tool`."""
    return _read("csv", path, _stem(path))


def claimed_jsonl(folder: Path, named: bool) -> Claim | None:
    """Files of JSON lines that have keys with usual names. See `Tool`."""
    return _claimed(folder, _OF_JSONL, named)


def read_jsonl(path: Path) -> list[Foreign]:
    """See `Tool`."""
    return _read("jsonl", path, _stem(path))


def _claimed(folder: Path, endings: tuple[str, ...], named: bool) -> Claim | None:
    files = [path for path in files_in(folder) if path.suffix.lower() in endings]
    places = tuple(path for path in files if named or is_known(path))
    return Claim(places, files=False) if places else None


def is_known(path: Path) -> bool:
    """Return whether the beginning of a file has a loss or another metric under a usual name."""
    return any(name.startswith(("train_", "val_", "test_", "loss")) for name in guessed(columns_at(path)))


def columns_at(path: Path) -> list[str]:
    """Return the columns or keys at the beginning of a file."""
    head = text_at(path)
    if known(path) == "jsonl":
        return re.findall(r'"([^"\\]{1,200})"\s*:', head)
    header = next((line for line in head.splitlines() if line.strip()), "")
    return [name.strip().strip('"') for name in re.split(r"[,\t;]", header)]


def known(path: Path) -> str:
    """Return the format of a file by its name."""
    return "jsonl" if path.suffix.lower() in _OF_JSONL else "csv"


def text_at(path: Path) -> str:
    """Return the beginning of a file; empty if it can't be read."""
    try:
        with opened(path) as file:
            start = file.read(_MOST_LOOKED_AT)
    except OSError:
        return ""
    return start.decode(encoding_of(start), errors="replace")


def _stem(path: Path) -> str:
    """Return a file's name without its suffix; empty if it is that of any log, so that its folder names the run."""
    return "" if _OF_A_FOLDER.fullmatch(path.stem.lower()) else path.stem


def _read(kind: str, path: Path, stem: str) -> list[Foreign]:
    log = read_log(kind, path)
    if not log:
        raise FolderError(_without_numbers(log, path))
    params, notes = settings_beside(path.parent, stem)
    params |= {key: value for key, value in settings_in_name(path.parent.name).items() if key not in params}
    names = [*([stem] if stem else []), *names_of(path.parent)]
    return [
        Foreign(
            key_of(path), names[0], plain_name(names), log, params, notes=notes, texts=log.texts,
            faults=(*log.faults, *notes),
        )
    ]  # fmt: skip


def _without_numbers(log: Log, path: Path) -> str:
    """Say why a log without any number has none."""
    if path.stat().st_size == 0:
        return "it is empty"
    if any("\ufffd" in name for name in log.texts):
        return "it is not text"
    if log.texts:
        columns = "; ".join(f"{name} has {text!r:.40}" for name, text in list(log.texts.items())[:4])
        return f"there are no numbers in it, but texts ({columns})"
    return "; ".join(["there are no numbers in it", *log.faults])
