"""What other tools' runs say of themselves: names, seeds and settings, from files beside the logs and folder names."""

from __future__ import annotations

import ast
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lrbench.config import flat, parse_foreign, parse_json, read_bytes
from lrbench.errors import ConfigError
from lrbench.integrations.importers import is_log

SEEDS = ("seed", "random_seed", "rng_seed", "manual_seed", "global_seed", "seed_everything", "np_seed")
"""What programs call the seed, the likeliest first."""
_BESIDE = ("hparams", "config", "args", "params", "hyperparameters", ".hydra/config")
_ENDINGS = (".yaml", ".yml", ".json")
_MOST, _MOST_YAML = 10_000_000, 1_000_000  # bytes of a file of settings; YAML is read slowly
_STRUCTURE = re.compile(
    r"(lightning_logs|logs?|runs?|outputs?|results?|tensorboard|tb|checkpoints?|csv_logs|wandb|mlruns|multirun|ray_results"
    r"|train|training|files|\.|\d+)",
    re.IGNORECASE,
)
"""Names of folders that say nothing of what is in them."""
_PIECE = r"(?:^|(?<=[-_,./ ]))"
_SEED = re.compile(rf"{_PIECE}(?:seed|s)[=_-]?(\d{{1,15}})(?=$|[-_,./ ])", re.IGNORECASE)
_REPEAT = re.compile(
    rf"{_PIECE}(?:(?:version|v|run|trial|rep|repeat|checkpoint|job)[_-]?\d+"
    r"|\d{4}-?\d\d-?\d\d([T_-]?\d\d[-:]?\d\d([-:]?\d\d)?)?|[0-9a-f]{20,})(?=$|[-_,./ ])",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"_.*|(.*_)?(dir|directory|path|folder|root|file|url|uri)|(run|exp|experiment|job|log|trial)?_?(name|id)|version|date"
    r"|(.*_)?time(stamp)?|host(name)?|device|local_rank|rank|verbose|debug|.*_to_disk|report_to|num_workers|resume.*",
    re.IGNORECASE,
)
"""Settings that differ between repeats and change no result."""


def key_of(path: Path) -> str:
    """Return what tells a file or folder from all others."""
    return hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()[:12]


def iso(seconds: float) -> str | None:
    """Return a Unix time as ISO 8601 in UTC; None if it is no time."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return None


def typed(value: Any) -> Any:
    """Return text that is a number, `true`, `None`, a list or a mapping as what it says.

    >>> typed("1e-3"), typed("32"), typed("True"), typed("{'width': 64}"), typed("cosine")
    (0.001, 32, True, {'width': 64}, 'cosine')
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    word = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in word:
        return word[text.lower()]
    for kind in (int, float):
        try:
            return kind(text) if "_" not in text else value
        except ValueError:
            continue
    if text[:1] in ("[", "{", "("):
        try:
            found = ast.literal_eval(text) if len(text) < 10_000 else value
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            found = _json(text)
        return list(found) if isinstance(found, tuple) else found
    return value


def _json(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text


def settings_in(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file of settings. Raises OSError, or ConfigError or ValueError if it can't be read.

    One that is empty has none.
    """
    if path.suffix == ".json":
        found = parse_json(read_bytes(path, _MOST))
    else:
        found = parse_foreign(read_bytes(path, _MOST_YAML).decode(errors="replace"), path.name)
    if found and not isinstance(found, Mapping):
        raise ValueError("it has no keys with values")
    return dict(found or {})


def settings_beside(folder: Path, stem: str = "") -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings in the files beside a log and in its folder's name, and notes on unreadable ones.

    Args:
        folder: the log's folder.
        stem: the log's name without its suffix, for settings of that log alone.
    """
    notes: list[str] = []
    for name in ((stem,) if stem else ()) + _BESIDE:
        for path in (folder / f"{name}{ending}" for ending in _ENDINGS):
            if is_log(path):
                try:
                    if found := settings_in(path):
                        return found, tuple(notes)
                except ConfigError as error:
                    notes.append(str(error))
                except (OSError, ValueError) as error:
                    reason = error.strerror if isinstance(error, OSError) else error
                    notes.append(f"{path.name} cannot be read: {reason}")
            elif os.path.lexists(path):
                notes.append(f"{path.name} is not read: it is a link, or no regular file")
    return settings_in_name(stem or folder.name), tuple(notes)


def settings_in_name(name: str) -> dict[str, Any]:
    """Return the settings in a name such as `lr=0.1,seed=1`; nothing for other names."""
    pairs = [piece.partition("=") for piece in re.split(r"[,&;]", name)]
    whole = all(equals and re.fullmatch(r"[+~]*[A-Za-z][\w.]*", key.strip()) for key, equals, _ in pairs)
    return {key.strip().lstrip("+~"): typed(value) for key, _, value in pairs} if whole else {}


def seed_in_name(name: str) -> int | None:
    """Return the seed in a name such as `resnet_seed3`; None if there is none."""
    found = _SEED.search(name)
    return int(found[1]) if found else None


def plain_name(names: Iterable[str]) -> str:
    """Return the first name that says something, without seed, date and number; empty if there is none.

    >>> plain_name(["version_3", "lightning_logs", "resnet18_lr0.1_seed2"])
    'resnet18_lr0.1'
    """
    for name in names:
        if settings_in_name(name):
            continue
        bare = re.sub(r"[-_,. ]{2,}", lambda found: found[0][0], _REPEAT.sub("", _SEED.sub("", name))).strip("-_,. ")
        if bare and not _STRUCTURE.fullmatch(bare):
            return bare
    return ""


def names_of(place: Path) -> list[str]:
    """Return the names of a folder and of those above it."""
    return [part.name for part in (place.resolve(), *place.resolve().parents) if part.name]


def seed_among(params: Mapping[str, Any], named: str | None) -> str | None:
    """Return the dotted key of the seed: `named`, or the likeliest; None if there is none."""
    values = {key: value for key, value in flat(params).items() if natural_number(value) is not None}
    if named is not None:
        return named if named in values else None
    keys = sorted(values, key=lambda key: key.count("."))
    return next((key for name in SEEDS for key in keys if key.rpartition(".")[2].lower() == name), None)


def natural_number(value: Any) -> int | None:
    """Return a whole number from 0; None for anything else."""
    value = typed(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or not 0 <= value < 2**63:
        return None
    return int(value) if int(value) == value else None


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted key as nested mappings; where that can't be, the key has underscores."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        *above, last = [piece or "_" for piece in key.split(".")]
        place: Any = found
        for piece in above:
            place = place.setdefault(piece, {}) if isinstance(place, dict) else None
        if isinstance(place, dict) and last not in place:
            place[last] = value
        else:
            found["_".join((*above, last))] = value
    return found


def matters(key: str, value: Any) -> bool:
    """Return whether a setting may tell runs apart that are no repeats of each other."""
    last = key.rpartition(".")[2]
    path = isinstance(value, str) and (len(value) > 200 or value.startswith(("/", "./", "../", "~/")))
    return value is not None and not path and not _ASIDE.fullmatch(last) and last.lower() not in SEEDS
