"""TensorBoard's event files, read by tensorboard itself, without TensorFlow or torch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from lrbench.errors import UsageError


def check_installed() -> None:
    """Raise UsageError without the package tensorboard."""
    if find_spec("tensorboard") is None:
        problem = "reading TensorBoard's event files needs tensorboard: pip install 'lrbench-torch[tensorboard]'"
        raise UsageError(problem)


def scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Yield (tag, step, value) of an event file, or a folder's, each tag in the order in which it was written.

    Raises UsageError without the package tensorboard.
    """
    check_installed()
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, TENSORS, EventAccumulator
    from tensorboard.util import tensor_util

    log = logging.getLogger("tensorboard")
    level, before = logging.ERROR, log.level
    log.setLevel(level)
    try:
        events = EventAccumulator(str(folder), size_guidance={SCALARS: 0, TENSORS: 0})
        events.Reload()
    finally:
        log.setLevel(before)
    tags = events.Tags()
    for tag in tags["scalars"]:
        yield from ((tag, event.step, event.value) for event in events.Scalars(tag))
    for tag in tags["tensors"]:
        for event in events.Tensors(tag):
            array = tensor_util.make_ndarray(event.tensor_proto)
            if array.size == 1 and array.dtype.kind in "fiu":
                yield tag, event.step, float(array.reshape(-1)[0])
