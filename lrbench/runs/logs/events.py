"""TensorBoard's event files, read by tensorboard itself, without TensorFlow or torch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lrbench.errors import UsageError


def check_installed() -> None:
    """Raise UsageError without the package tensorboard."""
    if find_spec("tensorboard") is None:
        problem = "reading TensorBoard's event files needs tensorboard: pip install 'lrbench-torch[tensorboard]'"
        raise UsageError(problem)


def loaded(folder: Path) -> Any:
    """Read an event file, or a folder's, with tensorboard. Raises UsageError without that package."""
    check_installed()
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, TENSORS, EventAccumulator

    log = logging.getLogger("tensorboard")
    level, before = logging.ERROR, log.level
    log.setLevel(level)
    try:
        events = EventAccumulator(str(folder), size_guidance={SCALARS: 0, TENSORS: 0})
        events.Reload()
    finally:
        log.setLevel(before)
    return events


def scalars(events: Any) -> Iterator[tuple[str, int, float, float]]:
    """Yield (tag, step, value, wall time) of loaded files, each tag in the order in which it was written."""
    from tensorboard.util import tensor_util

    tags = events.Tags()
    for tag in tags["scalars"]:
        yield from ((tag, event.step, event.value, event.wall_time) for event in events.Scalars(tag))
    for tag in tags["tensors"]:
        for event in events.Tensors(tag):
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
