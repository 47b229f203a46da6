"""The table of what can be completed, made from the command line and the schema of configs, and kept in the cache.

Making it takes about a second, since it imports both; reading it takes milliseconds. It is made again whenever a file
of lrbench, or what is installed beside it, has changed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

Table = dict[str, Any]


def table() -> Table:
    """Return the table, from the cache if it is there and still holds."""
    path, stamp = _path(), _stamp()
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        with open(path, encoding="utf-8") as file:
            kept: Table = json.load(file)
        if kept["stamp"] == stamp:
            return kept
    from lrbench.cli.completion.make import make

    made = {"stamp": stamp, **make()}
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = f"{path}.{os.getpid()}"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(made, file, ensure_ascii=False)
        os.replace(temporary, path)
    return made


def _path() -> str:
    import platformdirs

    return os.path.join(platformdirs.user_cache_dir("lrbench"), "completion.json")


def _stamp() -> str:
    """Return what changes whenever the table might: the newest file of lrbench, and of the folder it is used from."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    newest, count = 0, 0
    for folder, _, files in os.walk(package):
        for name in files:
            if name.endswith(".py"):
                newest = max(newest, os.stat(os.path.join(folder, name)).st_mtime_ns)
                count += 1
    installed = max((os.stat(path).st_mtime_ns for path in sys.path if path.endswith("-packages")), default=0)
    return f"{package} {count} {newest} {installed}"
