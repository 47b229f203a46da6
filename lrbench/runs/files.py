"""Atomic files, and their contents: text, strict JSON, tensors.

A file is written under a temporary name, synced and renamed, so that a killed process leaves the old file intact.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import stat
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from lrbench.config import opened, parse_json, read_bytes
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


def copy(source: IO[bytes], target: IO[bytes], length: int) -> None:
    """Append a file's first `length` bytes to another one; where it can, the file system copies or shares them.

    Raises OSError.
    """
    target.flush()
    done = 0
    with contextlib.suppress(OSError, AttributeError):  # not every system and file system can
        while done < length and (count := os.copy_file_range(source.fileno(), target.fileno(), length - done, done)):
            done += count
    target.seek(0, os.SEEK_END)
    source.seek(done)
    while done < length and (text := source.read(min(2**20, length - done))):
        target.write(text)
        done += len(text)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a FolderError that names `path`."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        dangling = path.is_symlink() and not path.exists()
        what = "it is a link that leads nowhere" if dangling else "a file is in the place of a folder"
        raise FolderError(f"cannot write to {path}: {what}") from error
    except OSError as error:
        raise FolderError(f"cannot write to {path}: {error.strerror or error}") from error


def relative(path: Path) -> Path:
    """Return a path as messages show it: from the working folder, if it lies in there."""
    with contextlib.suppress(OSError, ValueError):  # the working folder was deleted; or the path is elsewhere
        return path.relative_to(Path.cwd())
    return path


def check_replaceable(path: Path) -> None:
    """Raise OSError for a folder, and for a device or a pipe, of which the new file would take the place."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder; name a file")
    streams = Path("/dev"), Path("/proc")  # where /dev/stdout is a link to whatever this process writes to
    if not stat.S_ISREG(mode) or (path.is_symlink() and path.parent.resolve() in streams):
        raise OSError(errno.EINVAL, "it is a device or a pipe; name a file")


def write(path: Path, content: str | bytes, ready: Callable[[], None] = lambda: None) -> Path:
    """Write a file atomically, creating its folder if needed, and return its path. Raises FolderError.

    Bytes of a path that are not UTF-8 are written as `\\udcff`, which JSON reads back.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path):
        check_replaceable(path)
    with writing(path), replacing(path, ready) as file:
        file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
    return path


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):  # they do no harm
            path.unlink()


def _sync(folder: Path) -> None:
    """Flush the folder's entries to disk."""
    with contextlib.suppress(OSError):  # not every system can open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def leads_out(path: Path, root: Path) -> bool:
    """Return whether a path is a link, or leads through one, to a place outside the folder `root`."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))  # `resolve` raises for a loop


def check_links(folder: Path, root: Path) -> None:
    """Raise FolderError if a folder, or what lies in it, is a link out of `root`, the folder of the runs.

    So is a folder in one that is. A stranger's folder could thus have other files of this machine shown, or written to.
    """
    links = [] if folder.parent == root and not folder.is_symlink() else [folder]  # beside links, `root` alone leads on
    with contextlib.suppress(OSError), os.scandir(folder) as entries:  # one that is not there has none
        links += [Path(entry.path) for entry in entries if entry.is_symlink()]
    for link in links:
        if leads_out(link, root):
            problem = f"{link} is a link that leads out of {root}, so it is not followed"
            raise FolderError(f"{problem}; put the files there, or name their own folder")


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


_REPAIR = "restore it from a copy, or repeat the command that wrote it"


def read_json(path: Path, most: int = MOST_JSON) -> dict[str, Any] | None:
    """Read the mapping in a file; None if there is no file. Raises FolderError if it is damaged or unreadable."""
    text = read(path, most)
    try:
        value = None if text is None else parse_json(text, _refuse)
    except ValueError as error:
        raise FolderError(f"{path} is damaged: {error}; {_REPAIR}") from error
    if text is None:
        return None
    if not isinstance(value, dict):
        raise FolderError(f"{path} is damaged: it must contain a mapping; {_REPAIR}")
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
    """Read tensors onto the CPU. Raises ValueError for a wrong checksum, which torch does not check.

    Raises it, too, for a file that would unpack to more than its own size: torch compresses nothing.
    """
    import torch

    with opened(path) as file:
        with zipfile.ZipFile(file) as archive:
            if sum(part.file_size for part in archive.infolist()) > os.fstat(file.fileno()).st_size:
                raise ValueError(f"{path} is damaged: it would unpack to more than its size")
            if archive.testzip() is not None:
                raise ValueError(f"{path} is damaged")
        file.seek(0)
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return content
