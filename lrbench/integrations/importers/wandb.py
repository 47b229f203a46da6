"""W&B: the logs of its offline runs, in W&B's own messages, and the CSV files that its page exports."""

from __future__ import annotations

import csv
import io
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lrbench.config import parse_json, read_bytes
from lrbench.errors import FolderError, UsageError
from lrbench.integrations.importers import Claim, Foreign, files_in
from lrbench.integrations.importers.settings import iso, key_of, typed
from lrbench.runs import Status, Values, encoding_of, guessed, read_number
from lrbench.types import number_of

_MOST = 2_000_000_000  # bytes
_MOST_EXPORTED, _MOST_HEADER = 100_000_000, 1_000_000  # bytes of a CSV file, characters of its header
_BLOCK, _HEAD = 32_768, 7  # of LevelDB's log format, which W&B uses
_PANEL = re.compile(r"(.+) - (.+?)(__MIN|__MAX)?")
_TABLE = {"Name", "State", "Runtime"}


def claimed_wandb(folder: Path, named: bool) -> Claim | None:
    """A folder `offline-run-…` or `run-…` with a log, or exported CSV files. See `Tool`."""
    logs = [path for path in files_in(folder) if path.suffix == ".wandb"]
    if logs:
        return Claim(tuple(logs), whole=True)
    exported = [path for path in files_in(folder) if path.suffix == ".csv" and _exported(_header(path))]
    return Claim(tuple(exported), files=False) if exported else None


def read_wandb(path: Path) -> list[Foreign]:
    """See `Tool`."""
    return [_offline(path)] if path.suffix == ".wandb" else _export(path)


# -- offline runs


def _offline(path: Path) -> Foreign:
    try:
        from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]
    except ImportError as error:
        raise UsageError("reading W&B's runs needs wandb: pip install 'lrbench-torch[wandb]'") from error
    log: list[dict[str, float]] = []
    run: Any = None
    config: dict[str, Any] = {}
    status: Status | None = None
    reason = "its log has no end, so it may still be running"
    for content in _records(path):
        try:
            record = Record.FromString(content)
        except Exception as error:  # protobuf's own
            raise FolderError(f"{path} is damaged: one of its records can't be read") from error
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            config |= {_name(item): _value(item) for item in run.config.update}
        elif kind == "config":
            config |= {_name(item): _value(item) for item in record.config.update}
        elif kind == "history":
            log.append(_numbers({_name(item): _value(item) for item in record.history.item}))
        elif kind == "exit":
            code = record.exit.exit_code
            status = Status.FINISHED if code == 0 else Status.FAILED
            reason = "" if code == 0 else f"it ended with exit code {code}"
    if run is None:
        raise FolderError(f"{path} is damaged: it does not say which run it is")
    params = {key: value for key, value in config.items() if not key.startswith("_")}
    start = run.start_time.seconds if run.HasField("start_time") else None
    return Foreign(
        run.run_id or key_of(path), run.display_name or run.run_id, run.run_group or run.project, log, params,
        status, reason, started=None if start is None else iso(start),
    )  # fmt: skip


def _records(path: Path) -> Iterator[bytes]:
    """Yield the records of a log in LevelDB's format; a torn last one is left out. Raises FolderError."""
    try:
        data = read_bytes(path, _MOST)
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from error
    if data[:4] != b":W&B":
        raise FolderError(f"{path} is not a log of W&B")
    place, whole = _HEAD, b""
    while place + _HEAD <= len(data):
        if (left := _BLOCK - place % _BLOCK) < _HEAD:  # the rest of a block is empty
            place += left
            continue
        size, kind = struct.unpack("<HB", data[place + 4 : place + _HEAD])
        if place + _HEAD + size > len(data):
            return
        whole += data[place + _HEAD : place + _HEAD + size]
        place += _HEAD + size
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b""


def _name(item: Any) -> str:
    return str(item.key or "/".join(item.nested_key))


def _value(item: Any) -> Any:
    try:
        found = parse_json(item.value_json)
    except ValueError:
        return None
    return found["value"] if isinstance(found, dict) and set(found) == {"desc", "value"} else found


def _numbers(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and "_type" not in value:
            found |= _numbers(value, f"{prefix}{name}.")
        elif not isinstance(value, str) or value in ("NaN", "Infinity", "-Infinity"):
            number = number_of(value)
            if number is not None:
                found[prefix + name] = number
    return found


# -- CSV files of the page


def _header(path: Path) -> list[str]:
    try:
        return next(csv.reader([_text(path).readline(_MOST_HEADER)]), [])
    except (OSError, csv.Error):
        return []


def _text(path: Path) -> io.StringIO:
    """Return the text of a file that W&B's page exported. Raises OSError."""
    content = read_bytes(path, _MOST_EXPORTED)
    return io.StringIO(content.decode(encoding_of(content), errors="replace"), newline="")


def _exported(header: list[str]) -> bool:
    panel = any(name.endswith("__MIN") for name in header) and any(_PANEL.fullmatch(name) for name in header[1:])
    return panel or set(header) >= _TABLE


def _export(path: Path) -> list[Foreign]:
    """Return the runs in an exported panel, or the final values of those in an exported table."""
    try:
        rows = list(csv.DictReader(_text(path)))
    except (OSError, csv.Error) as error:
        raise FolderError(f"{path} cannot be read: {error}") from error
    return _table(path, rows) if set(_header(path)) >= _TABLE else _panel(path, rows)


def _panel(path: Path, rows: list[dict[str, str]]) -> list[Foreign]:
    first = _header(path)[0]
    logs: dict[str, list[dict[str, float]]] = {}
    seen: dict[str, Values] = {}
    for number, row in enumerate(rows, 1):
        texts: dict[str, dict[str, str]] = {}
        for column, text in row.items():
            named = _PANEL.fullmatch(column or "")
            if named and not named[3]:
                texts.setdefault(named[1], {})[named[2]] = text
        at = read_number(row.get(first))
        step = {"step": at} if at is not None and first.lower().endswith("step") else {}
        for run, of_run in texts.items():
            if values := seen.setdefault(run, Values("row")).numbers(of_run, number):
                logs.setdefault(run, []).append({**step, **values})
    made = [Foreign(f"{key_of(path)}-{run}", run, "", log, faults=seen[run].told) for run, log in logs.items()]
    return [_noted(one, "exported from a panel of W&B, which may sample its points") for one in made]


def _table(path: Path, rows: list[dict[str, str]]) -> list[Foreign]:
    known = {
        "Name",
        "State",
        "Runtime",
        "Created",
        "Notes",
        "User",
        "Tags",
        "Sweep",
        "ID",
        "Hostname",
        "Updated",
        "End Time",
    }
    states = {"finished": Status.FINISHED, "failed": Status.FAILED, "crashed": Status.FAILED}
    found: list[Foreign] = []
    keys: set[str] = set()
    for at, row in enumerate(rows, 1):
        values = {key: typed(text) for key, text in row.items() if key and text not in ("", None) and key not in known}
        numbers = {key: number for key, value in values.items() if (number := read_number(value)) is not None}
        metrics = {name for ours, name in guessed(numbers).items() if ours != "lr" and not ours.startswith("lr_")}
        params = {key: value for key, value in values.items() if key not in metrics and not key.startswith("_")}
        name = row.get("Name") or f"row {at}"
        state = (row.get("State") or "").lower()
        log = [{key: numbers[key] for key in metrics}]
        key = row.get("ID") or f"{key_of(path)}-{name}"
        key = f"{key}-{at}" if key in keys else key  # of two runs with one name, both are kept
        keys.add(key)
        made = Foreign(key, name, "", log, params, states.get(state), f"its state is {state or 'unknown'}")
        found.append(
            _noted(made, "exported from a table of W&B, which has only the last, or best, value of each metric")
        )
    return found


def _noted(run: Foreign, note: str) -> Foreign:
    from dataclasses import replace

    return replace(run, notes=(*run.notes, note), reason="" if run.status is Status.FINISHED else run.reason)
