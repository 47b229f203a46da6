"""What the values of options and arguments can be: config files, keys, names, and the runs that there are."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from lrbench.cli.completion.shells import Candidate

_RUN = re.compile(r"(.+)-seed\d+-[0-9a-f]{8}")
_YAML = (".yaml", ".yml")
_FEW = 20  # runs whose results are read for the names of metrics
_METRICS = ("val_loss", "val_accuracy", "best_val_loss", "best_val_accuracy", "test_loss", "test_accuracy")
_COLUMNS = ("run", "seeds", "status", "verdict", "seconds")


class Line:
    """What is typed of a command line."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.table = table
        self.command: str | None = None
        self.options: Mapping[str, Any] = table["options"]
        self.given: dict[str, list[str]] = {}
        self.arguments: list[str] = []
        self.open: Any = None

    def enter(self, command: str) -> None:
        """Go on with the options of a command."""
        self.command = command
        self.options = self.table["commands"].get(command, {}).get("options", {})

    @property
    def argument(self) -> Any:
        """What the next argument is."""
        kinds = self.table["commands"].get(self.command, {}).get("arguments", [])
        ahead = list(itertools.takewhile(lambda one: not one[1], kinds))
        found = kinds[min(len(self.arguments), len(ahead)) :]
        return found[0][0] if found else None

    @property
    def folders(self) -> list[str]:
        """The folders of runs that the command looks in."""
        return [os.path.expanduser(folder) for folder in self.given.get("--runs", ())] or ["runs"]


def _listed(current: str, names: Mapping[str, str]) -> list[Candidate]:
    """Return the names that can follow in a list such as `cosine,lin`."""
    before, comma, _ = current.rpartition(",")
    return [(f"{before}{comma}{name}", text) for name, text in names.items() if name not in before.split(",")]


# -- files


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder or ".") as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:
        return []


def _paths(current: str, fits: Callable[[os.DirEntry[str]], bool]) -> list[Candidate]:
    """Return the files that fit, and folders; of a single folder, what is in it, since shells would end the word."""
    folder, name = os.path.split(current)
    entries = [one for one in _entries(os.path.expanduser(folder)) if one.name.startswith(name)]
    shown = [one for one in entries if one.name[:1] != "." or name[:1] == "."]
    found = [_path(folder, one) for one in shown if one.is_dir() or fits(one)]
    if len(found) == 1 and found[0].endswith("/"):
        return _paths(found[0], fits) or [(found[0], "")]
    return [(path, "") for path in found]


def _path(folder: str, entry: os.DirEntry[str]) -> str:
    """Return the path of an entry; that of a folder ends with a slash, unless it is a run's, which is named itself."""
    return os.path.join(folder, entry.name) + "/" * (entry.is_dir() and not _RUN.fullmatch(entry.name))


def _configs(line: Line, current: str) -> list[Candidate]:
    """Files; once something is typed, the configs that come with lrbench too."""
    bundled = line.table["names"]["configs"] if current else {}
    return [*_paths(current, lambda entry: entry.name.endswith(_YAML)), *bundled.items()]


def _folders(line: Line, current: str) -> list[Candidate]:
    return _paths(current, lambda entry: False)


# -- runs


def _runs_in(line: Line) -> Iterator[tuple[str, str]]:
    """Yield the path and the name of each run."""
    for folder in line.folders:
        for entry in _entries(folder):
            if found := _RUN.fullmatch(entry.name):
                yield os.path.join(folder, entry.name), found[1]


def _runs(line: Line, current: str) -> list[Candidate]:
    """Folders, and the runs in the folder of runs while no folder is typed."""
    known = () if "/" in current else _runs_in(line)
    return [*_folders(line, current), *((path, "") for path, _ in known)]


def _labels(line: Line, current: str) -> list[Candidate]:
    """The names of runs; once more is typed, their folders."""
    names = dict.fromkeys(name for _, name in _runs_in(line))
    return [*((name, "") for name in names), *(_runs(line, current) if "/" in current else ())]


def _sweeps(line: Line, current: str) -> list[Candidate]:
    return [
        (one.name, "") for folder in line.folders for one in _entries(os.path.join(folder, "sweeps")) if one.is_dir()
    ]


def _watched(line: Line, current: str) -> list[Candidate]:
    return [*_sweeps(line, current), *_folders(line, current)]


def _measured(line: Line) -> dict[str, str]:
    """The metrics that the first few runs have, or the usual ones."""
    results = [_result(path) for path, _ in itertools.islice(_runs_in(line), _FEW)]
    found = {
        prefix + key: ""
        for result in results
        for section, prefix in (("final", ""), ("best", "best_"), ("test", "test_"), ("test_best", "test_best_"))
        for key in result.get(section) or ()
        if section.startswith("test") or key.startswith("val_")
    }
    return found or dict.fromkeys(_METRICS, "")


def _result(folder: str) -> dict[str, Any]:
    """Return a run's result, the JSON file that has final values; empty if there is none."""
    for entry in _entries(folder):
        if entry.name.endswith(".json"):
            with contextlib.suppress(OSError, ValueError, RecursionError):
                found = json.loads(_text(entry.path))
                if isinstance(found, dict) and "final" in found:
                    return found
    return {}


def _metrics(line: Line, current: str) -> list[Candidate]:
    return [*_measured(line).items()]


def _targets(line: Line, current: str) -> list[Candidate]:
    return [(f"{name}=", "") for name in _measured(line) if not name.startswith("best_")]


def _columns(line: Line, current: str) -> list[Candidate]:
    return _listed(current, {**dict.fromkeys(_COLUMNS, ""), **_measured(line), "all": "every column"})


# -- names


def _schedules(line: Line, current: str) -> list[Candidate]:
    return _listed(current, line.table["names"]["schedules"])


def _kinds(line: Line, current: str) -> list[Candidate]:
    return [(kind, "") for kind in line.table["names"]]


def _names(line: Line, current: str) -> list[Candidate]:
    kind = line.arguments[-1] if line.arguments else ""
    names = line.table["names"]
    return [*names.get(kind, names.get(f"{kind}s", {})).items()]


# -- keys of configs


def _set(line: Line, current: str) -> list[Candidate]:
    """Keys, or the values of one. A key that alone fits comes with its values, so that shells don't end the word."""
    keys = _keys(line)
    key, equals, _ = current.partition("=")
    if equals:
        return _assigned(key, keys.get(key, {}))
    fitting = [name for name in keys if name.startswith(key)]
    alone = _assigned(fitting[0], keys[fitting[0]]) if len(fitting) == 1 else []
    return [*((f"{name}=", keys[name]["help"]) for name in fitting), *alone]


def _assigned(key: str, found: Mapping[str, Any]) -> list[Candidate]:
    return [(f"{key}={value}", text) for value, text in found.get("values", {}).items()]


def _keys(line: Line) -> dict[str, Any]:
    """The keys of the configs that are given: those of a command's parameters, or of lrbench's own training."""
    texts = [_text(path) for path in line.arguments if path.endswith(_YAML)]
    params = [key for text in texts if re.search(r"^command\s*:", text, re.MULTILINE) for key in _params(text)]
    if params:
        return {key: {"help": "", "values": {}} for key in (*params, "seed", "name")}
    keys = dict(line.table["keys"])
    for part, entries in line.table["entries"].items():
        chosen = _chosen(part, line, texts)
        for name in [chosen] if chosen in entries else entries:
            keys |= {f"{part}.{key}": found for key, found in entries[name].items()}
    return keys


def _chosen(part: str, line: Line, texts: Iterable[str]) -> str:
    """Return the name that `--set` or a config gives to a part, if it is easily found."""
    for text in reversed(line.given.get("--set", [])):
        if found := re.fullmatch(rf"{part}(?:\.name)?=(\S+)", text):
            return found[1]
    for text in texts:
        if found := re.search(rf"^{part}\s*:\s*(?:\{{?\s*(?:name\s*:)?)?\s*([\w/.]+)", text, re.MULTILINE):
            return found[1]
    return ""


def _params(text: str) -> list[str]:
    import yaml

    found = yaml.safe_load(text).get("params") or {}
    return [f"params.{key}" for key in found]


def _text(path: str) -> str:
    path = os.path.expanduser(path)
    try:
        if not os.path.isfile(path):  # a pipe would block for ever
            return ""
        with open(path, encoding="utf-8") as file:
            return file.read(100_000)
    except (OSError, ValueError):
        return ""


def _filters(line: Line, current: str) -> list[Candidate]:
    """The names of runs, and keys with a value."""
    return [*_labels(line, current), *_set(line, current)]


SOURCES: Mapping[str, Callable[[Line, str], list[Candidate]]] = {
    "columns": _columns,
    "configs": _configs,
    "filters": _filters,
    "folders": _folders,
    "kinds": _kinds,
    "labels": _labels,
    "metrics": _metrics,
    "names": _names,
    "runs": _runs,
    "schedules": _schedules,
    "set": _set,
    "sweeps": _sweeps,
    "targets": _targets,
    "watched": _watched,
}
"""The sources of values by their names in the table."""
