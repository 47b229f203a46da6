"""TensorBoard's event files: a run for each folder that has them, with folders such as `validation` as parts of it."""

from __future__ import annotations

import re
from pathlib import Path

from lrbench.integrations.importers import Claim, Foreign, files_in, folders_in
from lrbench.integrations.importers.settings import iso, key_of, names_of, plain_name, settings_beside
from lrbench.runs import read_events

_SPLIT = re.compile(r"train(ing)?|val(id|idation)?|eval(uation)?|test|dev", re.IGNORECASE)


def claimed_tensorboard(folder: Path, named: bool) -> Claim | None:
    """See `Tool`."""
    parts = (inner for inner in folders_in(folder) if _SPLIT.fullmatch(inner.name))
    if not _has_events(folder) and not any(map(_has_events, parts)):
        return None
    return Claim((folder,), whole=True)


def read_tensorboard(path: Path) -> list[Foreign]:
    """See `Tool`."""
    log, told = read_events(path)
    params, notes = settings_beside(path)
    params = {**told, **params}
    names = names_of(path)
    times = [row["wall_time"] for row in log if "wall_time" in row]
    started = iso(min(times)) if times else None
    return [
        Foreign(
            key_of(path), names[0], plain_name(names), log, params, started=started, notes=notes,
            faults=(*log.faults, *notes),
        )
    ]  # fmt: skip


def _has_events(folder: Path) -> bool:
    return any("tfevents" in path.name for path in files_in(folder))
