"""Atomic files, and their contents: text, strict JSON, tensors.

A file is written under a temporary name, synced and renamed, so that a killed process leaves the old file intact.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from lrbench.config import opened, read_bytes
from lrbench.errors import FolderError

MOST_JSON = 16_000_000
"""Maximum size in bytes of a JSON file that is read."""


@contextlib.contextmanager
def replacing(path: Path, ready: Callable[[], None] = lambda: None) -> Iterator[IO[bytes]]:
    """Open a file that replaces `path` if the block ends without an error.

    Args:
        path: the file to replace.
        ready: called when the new file is complete and on disk, before it replaces the old one.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        ready()
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()  # the disk may be full
        raise
    _sync(path.parent)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a FolderError that names `path`."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise FolderError(f"cannot write to {path}: a file is in the place of a folder") from error
    except OSError as error:
        raise FolderError(f"cannot write to {path}: {error.strerror or error}") from error


def relative(path: Path) -> Path:
    """Return a path as messages show it: from the working folder, if it lies in there."""
    with contextlib.suppress(OSError, ValueError):  # the working folder was deleted; or the path is elsewhere
        return path.relative_to(Path.cwd())
    return path


def write(path: Path, content: str | bytes, ready: Callable[[], None] = lambda: None) -> Path:
    """Write a file atomically, creating its folder if needed, and return its path. Raises FolderError.

    Bytes of a path that are not UTF-8 are written as `\\udcff`, which JSON reads back.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path), replacing(path, ready) as file:
        file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
    return path


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Flush the folder's entries to disk."""
    with contextlib.suppress(OSError):  # not every system can open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def to_json(value: Mapping[str, Any]) -> str:
    """Return a mapping as strict JSON. Raises ValueError for a number that is not finite."""
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def finite(value: Any) -> Any:
    """Return a value as JSON has it: None for a number that is not finite, text for paths, lists for tuples."""
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def read(path: Path, most: int) -> bytes | None:
    """Read a file of at most `most` bytes; None if there is no file. Raises FolderError if it can't be read."""
    try:
        return read_bytes(path, most)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from error


def read_json(path: Path, most: int = MOST_JSON) -> dict[str, Any] | None:
    """Read the mapping in a file; None if there is no file. Raises FolderError if it is damaged or unreadable."""
    text = read(path, most)
    try:
        value = None if text is None else json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FolderError(f"{path} is damaged: {error}") from error
    if text is None:
        return None
    if not isinstance(value, dict):
        raise FolderError(f"{path} is damaged: it must contain a mapping")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def save_tensors(content: Mapping[str, Any], file: IO[bytes]) -> None:
    """Write tensors, numbers, strings and containers. Raises OSError, which torch hides in a RuntimeError."""
    import torch

    try:
        torch.save(dict(content), file)
    except RuntimeError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        if cause is not None:
            raise cause from error
        raise OSError(errno.EIO, f"torch could not write it: {str(error).splitlines()[0]}") from error


def load_tensors(path: Path) -> dict[str, Any]:
    """Read tensors onto the CPU. Raises ValueError for a wrong checksum, which torch does not check."""
    import torch

    with opened(path) as file:
        with zipfile.ZipFile(file) as archive:
            if archive.testzip() is not None:
                raise ValueError(f"{path} is damaged")
        file.seek(0)
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return content
