"""TensorBoard's event files, read by tensorboard itself, without TensorFlow or torch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from lrbench.errors import UsageError


def scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Yield (tag, step, value) of a folder's event files, in order; of a step that came twice, the later ones.

    Raises UsageError without the package tensorboard.
    """
    try:
        from tensorboard.backend.event_processing.event_accumulator import SCALARS, TENSORS, EventAccumulator
        from tensorboard.util import tensor_util
    except ImportError as error:
        problem = "reading TensorBoard's event files needs tensorboard: pip install 'lrbench-torch[import]'"
        raise UsageError(problem) from error
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
