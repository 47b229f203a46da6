"""The files of another program: those that its command names, or its config, and their hashes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import WithJsonSchema

from lrbench.config.files import read_bytes
from lrbench.config.program_log import TEXT
from lrbench.config.templates import placed, words_of
from lrbench.errors import ConfigError

_MOST_HASHED = 10_000_000  # bytes of a file that is hashed unasked
_FILES = {"anyOf": [TEXT, {"type": "array", "items": TEXT}, {"type": ["object", "null"]}]}
Hashes = Annotated[dict[str, str], WithJsonSchema(_FILES)]
"""The hash of each file, by path; a config gives the files."""


def hashed(asked: object, command: object, folder: Path) -> dict[str, str]:
    """Return the SHA-256 of files by path: those asked for, or those that the command names."""
    if asked is None:
        given = isinstance(command, str) or (isinstance(command, list) and all(isinstance(w, str) for w in command))
        words = words_of(command, "command") if given and str(command).strip() else []  # type: ignore[arg-type]
        found = [path for path in _scripts(words, folder) if path.stat().st_size <= _MOST_HASHED]
    else:
        patterns = [asked] if isinstance(asked, str) else asked
        if not isinstance(patterns, list) or not all(isinstance(one, str) and one for one in patterns):
            raise ConfigError(
                f"must be a list of files, such as [train.py, 'src/*.py'] (got {asked!r:.80})", key="files"
            )
        found = [path for pattern in patterns for path in _matching(pattern, folder)]
    try:
        return {
            _shown(path, folder): _hash(path, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(found)
        }
    except OSError as error:
        raise ConfigError(f"a file can't be read: {error.strerror}", key="files") from None


@functools.lru_cache(maxsize=1000)
def _hash(path: Path, size: int, changed: int) -> str:
    """Return the SHA-256 of a file, computed once for all cells of a sweep unless its size or time has changed."""
    return hashlib.sha256(read_bytes(path, 2**40)).hexdigest()


def _matching(pattern: str, folder: Path) -> Iterator[Path]:
    try:
        found = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
    except (ValueError, NotImplementedError):
        found = [folder / pattern] if Path(folder / pattern).is_file() else []
    if not found:
        raise ConfigError(f"no file matches '{pattern}' in {folder}", key="files")
    yield from found


def _scripts(words: Sequence[str], folder: Path) -> Iterator[Path]:
    """Yield the files in `folder` that a command names: `train.py`, `--config=a.yaml`, `-m mypkg.train`."""
    for before, word in zip(["", *words], words, strict=False):
        if before == "-m":
            module = folder.joinpath(*word.split("."))
            yield from (path for path in (module.with_suffix(".py"), module / "__main__.py") if path.is_file())
            continue
        path = Path(placed(word, folder).rpartition("=")[2])
        if path.is_absolute() and folder in path.parents and path.is_file():
            yield path


def _shown(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if folder in path.parents else str(path)
