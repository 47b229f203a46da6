"""The place of a key in the YAML files, for messages."""

from __future__ import annotations

from lrbench.config import yaml_source


def path_of(key: str) -> tuple[str, ...]:
    """Split `schedule.parts[1].name` into a path, the keys of `Places`."""
    return tuple(key.replace("[", ".").replace("]", "").split("."))


def place_of(places: yaml_source.Places, path: tuple[str, ...]) -> str:
    """Return the place of the key at `path`, or of the nearest enclosing one."""
    for length in range(len(path), -1, -1):
        if path[:length] in places:
            return places[path[:length]]
    return ""
