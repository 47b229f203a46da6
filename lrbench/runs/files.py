"""Files that are whole or not there, and what they hold: text, strict JSON, tensors.

A file is written beside its place, synced, then renamed, so that a process that is killed leaves the old one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from lrbench.errors import FolderError


@contextlib.contextmanager
def replacing(path: Path, ready: Callable[[], None] = lambda: None) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of `path` once the block is left without an error.

    Args:
        path: the place.
        ready: is called when the new file is whole and on the disk, before it takes its place.
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
            temporary.unlink()  # a full disk is not made fuller by what could not be written
        raise
    _sync(path.parent)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's errors inside the block into one FolderError that names `path`."""
    try:
        yield
    except OSError as error:
        raise FolderError(f"cannot write to {path}: {error.strerror or error}") from error


def write(path: Path, content: str | bytes, ready: Callable[[], None] = lambda: None) -> Path:
    """Write a file whole or not at all, its folder made if need be; its path. Raises FolderError."""
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, ready) as file:
            file.write(content.encode() if isinstance(content, str) else content)
    return path


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left half written."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Wait until the folder's own entries are on the disk."""
    with contextlib.suppress(OSError):  # not every system lets a folder be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def to_json(value: Mapping[str, Any]) -> str:
    """A mapping as strict JSON. Raises ValueError for a number that is not finite."""
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def read_json(path: Path) -> dict[str, Any] | None:
    """The mapping in a file; None where there is no file. Raises FolderError where it is damaged or can't be read."""
    try:
        value = json.loads(path.read_bytes(), parse_constant=_refuse)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FolderError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise FolderError(f"{path} is damaged: it must hold a mapping")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def save_tensors(content: Mapping[str, Any], file: IO[bytes]) -> None:
    """Write tensors, numbers, text and containers. Raises OSError, a full disk's too, which torch hides."""
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
    """Read them back, onto the CPU. Raises ValueError where a checksum is wrong, which torch does not look at."""
    import torch

    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise ValueError(f"{path} is damaged")
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content
