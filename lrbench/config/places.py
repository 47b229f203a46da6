"""Where in the YAML files a key was written, for messages."""

from __future__ import annotations

from lrbench.config import yaml_source


def path_of(key: str) -> tuple[str, ...]:
    """`schedule.parts[1].name` as the path that `yamlfile` notes places under."""
    return tuple(key.replace("[", ".").replace("]", "").split("."))


def place_of(places: yaml_source.Places, path: tuple[str, ...]) -> str:
    """Where the key at `path`, or the nearest one that encloses it, was written."""
    for length in range(len(path), -1, -1):
        if path[:length] in places:
            return places[path[:length]]
    return ""
