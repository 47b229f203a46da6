"""From YAML files and overrides to an `Experiment`: read, extend, merge, validate. Does not import torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrbench.config import yaml_source
from lrbench.config.bundled import located, meant
from lrbench.config.files import exists, run_notes
from lrbench.config.merge import merge, normal
from lrbench.config.old_keys import modern_keys
from lrbench.config.overrides import check_once, override
from lrbench.config.run_config import RunConfig
from lrbench.config.validate import validate
from lrbench.errors import ConfigError, option
from lrbench.schedules import has_milestones, revised
from lrbench.types import PATH, TEXTS, Kind, Listed, arguments

_NOTHING = ("null", "~", "")
MOST_EXTENDED = 100
_NOT_INHERITED = ("name", "reference", "extends")
_USERS_OWN = "x-"
"""How keys at the top begin that are the user's own, for YAML anchors and notes."""


@dataclass(frozen=True)
class Config:
    """A YAML file merged with all that it extends and all overrides, before validation.

    Attributes:
        plain: the values.
        places: the file and line, or the option, of each key.
        shown: the file, for messages.
    """

    plain: dict[str, Any]
    places: yaml_source.Places
    shown: str

    def experiment(self) -> RunConfig:
        """Validate the config. Raises ConfigError."""
        if "sweep" in self.plain:
            where = self.places.get(("sweep",), self.shown)
            single = f"{option('--set')} sweep=null for a single run"
            raise ConfigError(f"is a grid of runs; use `lrbench sweep`, or {single}", key="sweep", where=where)
        return validate(self.plain, self.places, self.shown)


CONFIG = PATH | Kind("an Experiment", lambda value: isinstance(value, RunConfig))
CONFIGS = Listed("YAML files and experiments", CONFIG)


@arguments(path=PATH, overrides=TEXTS)
def load_config(path: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a YAML config: follow `extends`, apply overrides and validate.

    Args:
        path: the YAML file, or a config that comes with lrbench, such as `digits/baseline`; a file takes precedence.
        overrides: `key=value` as after `--set`, such as `optimizer.lr=0.01`; they merge like a file that extends it.

    Raises:
        ConfigError: the config is invalid; the message names file, line, key and value.
    """
    return read_config(path, overrides).experiment()


def read_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML config with all that it extends and overrides, without validation. Raises ConfigError."""
    path = located(path)
    plain, places = _resolve(path)
    overrides = list(overrides)
    given = {key.strip() for key, _, value in (o.partition("=") for o in overrides) if value.strip() not in _NOTHING}
    check_once(overrides)
    if {"epochs", "steps"} <= given:
        raise ConfigError("give either `epochs` or `steps`, not both", key="epochs", where=option("--set"))
    for text in overrides:
        child, child_places = override(text)
        plain = merge(plain, _without_own(child))
        at = next(iter(child_places))
        inherited = {k: v for k, v in places.items() if k[: len(at)] != at}
        outer = {at[:n]: option("--set") for n in range(1, len(at)) if at[:n] not in places}
        places = {**inherited, **outer, **child_places}
    plain.setdefault("name", path.stem)
    if plain.get("sweep", "") is None:  # removes the grid of the extended config
        del plain["sweep"]
    if isinstance(plain.get("continue"), str | int | float) and run_notes(path.parent) is not None:
        plain["continue"] = {"run": str(path.parent), "for": plain["continue"]}  # the run with this config
    return Config(plain, places, str(path))


def files_of(path: Path) -> list[tuple[Path, dict[str, Any], yaml_source.Places]]:
    """Read a file and all that it extends, one after the other: path, values and places of each. Raises ConfigError."""
    found = [(path, *_read(path))]
    while (parent := found[-1][1].pop("extends", None)) is not None:
        last, _, places = found[-1]
        where = places[("extends",)]
        if not isinstance(parent, str):
            raise ConfigError(f"must be the path of one YAML file (got {parent!r:.60})", key="extends", where=where)
        target, chain = _beside(last, parent, where), [file for file, *_ in found]
        if os.path.realpath(target) in map(os.path.realpath, chain):
            circle = " → ".join(str(p) for p in (*chain, target))
            raise ConfigError(f"forms a cycle: {circle}", key="extends", where=where)
        if len(chain) > MOST_EXTENDED:
            problem = f"leads through more than {MOST_EXTENDED} files that extend each other"
            raise ConfigError(problem, key="extends", where=where)
        found.append((target, *_read(target)))
    return found


def _resolve(path: Path) -> tuple[dict[str, Any], yaml_source.Places]:
    """Merge a file with all that it extends."""
    files = files_of(path)
    _, plain, places = files.pop()
    for _, child, child_places in reversed(files):
        inherited = {k: v for k, v in plain.items() if k not in _NOT_INHERITED}
        plain, places = merge(inherited, child), {**places, **child_places}
    return plain, places


def _read(path: Path) -> tuple[dict[str, Any], yaml_source.Places]:
    plain, places = yaml_source.read(path)
    plain, places = modern_keys(_without_own(plain), places)
    if plain.get("command") is not None:
        plain["folder"] = os.path.normpath(Path.cwd() / path.parent / str(plain.get("folder", "")))
    scaling = plain.get("lr_scaling")
    if isinstance(scaling, Mapping) and isinstance(scaling.get("from"), str):  # relative to this file
        plain["lr_scaling"] = {**scaling, "from": os.path.normpath(path.parent / scaling["from"])}
    return _with_old_meaning(path, normal(plain)), places


def _without_own(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the user's own keys; anchors in them are resolved by now."""
    return {key: value for key, value in plain.items() if not key.startswith(_USERS_OWN)}


def _beside(path: Path, parent: str, where: str) -> Path:
    """Return the file that `path` extends: beside it, or one that comes with lrbench. Raises ConfigError."""
    target = located(parent, path.parent)
    if not exists(target):
        problem = f"no such file: {target!s:.300} (the path is relative to {path}){meant(target, parent)}"
        raise ConfigError(problem, key="extends", where=where)
    return target


def _with_old_meaning(path: Path, plain: dict[str, Any]) -> dict[str, Any]:
    """Write out what a config meant when its run folder was made.

    Before format 3, milestones counted from the end of a warm-up, and some schedules had other learning rates.
    """
    warmup, schedule = plain.get("warmup"), plain.get("schedule")
    meant: dict[str, Any] = {}
    if isinstance(warmup, Mapping) and "over" not in warmup and has_milestones(schedule):
        meant["warmup"] = {**warmup, "over": False}
    if revised(schedule, None):
        meant["as_of"] = 2
    return {**plain, **meant} if meant and _made_before(3, path.parent) else plain


def _made_before(number: int, folder: Path) -> bool:
    """Return whether a run folder has an older format; False for other folders. Format 1 has no number."""
    try:
        return bool((run_notes(folder) or {"format": number}).get("format", 1) < number)
    except TypeError:
        return False
