"""The environment of a run: versions, machine, device, git commit, hashes of the user's own code."""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from lrbench._version import __version__
from lrbench.config import RunConfig, identity
from lrbench.runs.result import FORMAT, Size, Text, known_format, parsed

_KNOWN = ("torch", "torchvision", "lrbench")  # their versions tell their code
_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn")


UNKNOWN = 0
"""The number of classes of a run that did not record it."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of a run's data and model. `classes` is None for regression, `UNKNOWN` if it was not recorded."""

    parameters: Size | None = None
    train_examples: Size | None = None
    validation_examples: Size | None = None
    test_examples: Size | None = None
    steps_per_epoch: Size | None = None
    total_steps: Size | None = None
    classes: Size | None = UNKNOWN


@dataclass(frozen=True)
class Before:
    """What a continued run counts as done before it: steps of the schedule, and epochs of the data's order."""

    steps: Size = 0
    epochs: Size = 0


@dataclass(frozen=True)
class Branched:
    """The run whose first steps this one has, so that it did not train them, and their number."""

    source: Annotated[Text, Field(alias="from")]
    step: Size


@dataclass(frozen=True)
class Commit:
    """The git commit of the folder where a run was started; `dirty` if files had been changed since."""

    commit: Text | None = None
    dirty: bool = False


@dataclass(frozen=True)
class Seal:
    """The hash of `config.yaml` as lrbench wrote it; beside it are the fields that are not part of the identity."""

    sha256: Text


@dataclass(frozen=True)
class Environment:
    """The environment of a run, as read from `env.json`; `plain` is all that the file holds."""

    identity: Text | None = None
    lrbench: Text | None = None
    packages: Mapping[str, Text | None] = field(default_factory=dict)
    processor: Text | None = None
    device: Text | None = None
    gpu: Text | None = None
    threads: Size | None = None
    git: Commit = Commit()
    user_code: Mapping[str, Text] = field(default_factory=dict)
    arguments: tuple[Text, ...] = ()
    started: Text | None = None
    resumed: tuple[Text, ...] = ()
    resumed_with: Mapping[str, Any] = field(default_factory=dict)
    config: Seal | None = None
    sizes: Sizes = Sizes()
    before: Before = Before()
    branched: Branched | None = None
    metrics: Mapping[str, Mapping[str, Any]] | None = None
    added: Size = 0
    stacked: bool = False
    crashed: bool = False
    plain: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Environment:
        """Parse the contents of `env.json`. Raises ValueError if they are invalid."""
        known = {key: value for key, value in known_format(plain).items() if value is not None}
        return parsed(cls, {**known, "plain": plain})


def describe(experiment: RunConfig, *, device: str, code: Path | None = None) -> dict[str, Any]:
    """Return the contents of a new `env.json`; `code` is the folder of the user's code, by default the current one."""
    return {
        "format": FORMAT,
        "identity": identity(experiment),
        "lrbench": __version__,
        "python": platform.python_version(),
        "packages": {p: importlib.metadata.version(p) for p in _PACKAGES},
        "platform": platform.platform(),
        **place(),
        "cores": os.cpu_count(),
        "device": device,
        "git": _git(Path.cwd() if code is None else code),
        "user_code": code_hashes(experiment),
        "arguments": [_program(), *sys.argv[1:]],
        "started": now(),
        "resumed": [],
    }


def _program() -> str:
    """Return the name of the started script, without its folders, which may be private."""
    name = Path(sys.argv[0]).name
    return "lrbench" if name == "__main__.py" else name


NODE = "LRBENCH_NODE"  # the variable that names this process's node of a cluster


def place() -> dict[str, Any]:
    """Return where this process trains, which may differ from where the run was created."""
    node = {"node": os.environ[NODE]} if NODE in os.environ else {}
    return {"host": socket.gethostname(), "processor": _processor(), **node}


def now() -> str:
    """Return the current time in UTC, as ISO 8601 to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def own_modules(experiment: RunConfig) -> list[str]:
    """Return the modules of the user's code that the config imports: all but torch's, torchvision's and lrbench's."""
    modules = {name.partition(":")[0] for name in experiment.imports}
    return sorted(module for module in modules if module.split(".")[0] not in _KNOWN)


def code_hashes(experiment: RunConfig) -> dict[str, str]:
    """Return the SHA-256 of the file of each of `own_modules`."""
    files = {module: _file_of(module) for module in own_modules(experiment)}
    return {module: hashlib.sha256(file.read_bytes()).hexdigest() for module, file in files.items() if file is not None}


def _file_of(module: str) -> Path | None:
    """Return the file of a module without importing it; the current folder is searched first, as on import.

    Nor are its packages imported, as `importlib.util.find_spec` would: they are the user's code.
    """
    first, *rest = module.split(".")
    places = [Path.cwd().joinpath(first)]
    with contextlib.suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(first)
        if spec is not None and spec.origin is not None and not rest:
            return next(filter(Path.is_file, [*_files_at(places[0]), Path(spec.origin)]), None)
        places += map(Path, (spec and spec.submodule_search_locations) or ())
    files = (file for place in places for file in _files_at(place.joinpath(*rest)))
    return next(filter(Path.is_file, files), None)


def _files_at(place: Path) -> list[Path]:
    """Return where a module's file would be, if it has its parts' names as its path."""
    return [place.with_name(f"{place.name}.py"), place / "__init__.py", *place.parent.glob(f"{place.name}.*.so")]


def changes(recorded: Environment, experiment: RunConfig) -> list[str]:
    """Return what has changed since a run apart from its config: lrbench's version, the user's code."""
    found = []
    if recorded.lrbench != __version__:
        found.append(f"lrbench was {recorded.lrbench}, now {__version__}")
    before = recorded.user_code
    found += [f"{m} has changed" for m, h in code_hashes(experiment).items() if before.get(m, h) != h]
    return found


@functools.cache
def _git(folder: Path) -> dict[str, Any] | None:
    def ask(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
