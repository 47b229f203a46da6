"""TensorBoard's event files, read by tensorboard itself, without TensorFlow or torch."""

from __future__ import annotations

import logging
import math
import os
from collections import deque
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lrbench.config import opened
from lrbench.errors import FolderError, UsageError, counted, reason_of
from lrbench.runs.files import leads_out

_LOOKED_AT = 200  # records at the end of a file
MOST_BYTES = 2_000_000_000
"""Maximum size in bytes of an event file that is read."""


def check_installed() -> None:
    """Raise UsageError without the package tensorboard."""
    if find_spec("tensorboard") is None:
        problem = "reading TensorBoard's event files needs tensorboard: pip install 'lrbench-torch[tensorboard]'"
        raise UsageError(problem)


def loaded(folder: Path) -> Any:
    """Read an event file, or a folder's, with tensorboard.

    Raises FolderError for a file that can't be read, UsageError without that package.
    """
    check_installed()
    for file in [folder] if folder.is_file() else folder.glob("*tfevents*"):
        if leads_out(file, folder):
            raise FolderError(f"{file} is a link that leads out of {folder}, so it is not followed")
        try:
            with opened(file) as content:  # or OSError for a pipe, which tensorboard would wait for
                size = os.fstat(content.fileno()).st_size
        except OSError as error:
            raise FolderError(f"{file} cannot be read: {error.strerror}") from error
        if size > MOST_BYTES:
            raise FolderError(f"{file} cannot be read: it is larger than {MOST_BYTES // 1_000_000:,} MB")
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, TENSORS, EventAccumulator

    log = logging.getLogger("tensorboard")
    level, before = logging.ERROR, log.level
    log.setLevel(level)
    try:
        events = EventAccumulator(str(folder), size_guidance={SCALARS: 0, TENSORS: 0})
        events.Reload()
    except Exception as error:  # tensorboard's and protobuf's own, and MemoryError for a length that is a lie
        raise FolderError(f"{folder} is damaged: {reason_of(error)}") from error
    finally:
        log.setLevel(before)
    return events


def unread(folder: Path, events: Any) -> list[str]:
    """Say what of event files tensorboard did not read: it stops at a damaged record without a word.

    Args:
        folder: the folder, or a file.
        events: what was read of it.
    """
    found = []
    files = [folder] if folder.is_file() else sorted(folder.glob("*tfevents*"))
    for file in files:
        size, place, last = _records(file)
        if place < size:
            rest = counted(size - place, "byte")
            found.append(f"{file.name} is damaged or was cut off: its last {rest} can't be read")
        elif file == files[-1] and not _has_last(file, last, events):
            found.append(f"{file.name} is damaged: its last values can't be read")
    return found


def _records(file: Path) -> tuple[int, int, list[tuple[int, int]]]:
    """Return a file's size, where its whole records end, and the places and lengths of the last ones.

    A record is its length in 8 bytes, a checksum of that, the data, and their checksum.
    """
    last: deque[tuple[int, int]] = deque(maxlen=_LOOKED_AT)
    with opened(file) as content:
        size, place = os.fstat(content.fileno()).st_size, 0
        while len(head := content.read(8)) == 8:
            length = int.from_bytes(head, "little")
            if not length or place + length + 16 > size:
                break
            last.append((place + 12, length))
            place += length + 16
            content.seek(place)
    return size, place, list(last)


def _has_last(file: Path, last: list[tuple[int, int]], events: Any) -> bool:
    """Return whether the last scalar among the last records was read; True if they have none."""
    from tensorboard.compat.proto.event_pb2 import Event

    tags = events.Tags()
    with opened(file) as content:
        for place, length in reversed(last):
            content.seek(place)
            try:
                event = Event.FromString(content.read(length))
            except Exception:  # protobuf's own
                return False
            for tag in (value.tag for value in event.summary.value):
                if tag in tags["scalars"] or tag in tags["tensors"]:
                    read = events.Scalars(tag) if tag in tags["scalars"] else events.Tensors(tag)
                    return any(one.wall_time == event.wall_time for one in reversed(read))
    return True


def scalars(events: Any) -> Iterator[tuple[str, int, float, float]]:
    """Yield (tag, step, value, wall time) of loaded files, each tag in the order in which it was written."""
    from tensorboard.util import tensor_util

    tags = events.Tags()
    for tag in tags["scalars"]:
        yield from ((tag, event.step, event.value, event.wall_time) for event in events.Scalars(tag))
    for tag in tags["tensors"]:
        for event in events.Tensors(tag):
            if math.prod(one.size for one in event.tensor_proto.tensor_shape.dim) != 1:
                continue  # a few bytes may stand for a tensor of any size
            array = tensor_util.make_ndarray(event.tensor_proto)
            if array.size == 1 and array.dtype.kind in "fiu":
                yield tag, event.step, float(array.reshape(-1)[0]), event.wall_time


def hyperparameters(events: Any) -> dict[str, Any]:
    """Return the hyperparameters that TensorBoard's HParams plugin wrote into loaded files; empty if there are none."""
    from tensorboard.plugins.hparams import metadata

    try:
        content = events.PluginTagToContent(metadata.PLUGIN_NAME)[metadata.SESSION_START_INFO_TAG]
    except KeyError:
        return {}
    told = metadata.parse_session_start_info_plugin_data(content).hparams
    values = {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in told.items()}
    return {n: int(v) if isinstance(v, float) and v.is_integer() and abs(v) < 2**53 else v for n, v in values.items()}
