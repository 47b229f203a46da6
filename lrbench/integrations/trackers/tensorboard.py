"""TensorBoard: a folder of event files per run, and seeds as one session group of the HParams tab."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lrbench.integrations.trackers import Ending, Log, Row, Run, Tool, quoted, split_of

SUFFIX = ".lrbench"
"""The end of the names of lrbench's event files, which an export or a resumed run replaces."""


class TensorBoard(Tool):
    """Log to TensorBoard's event files.

    Scalars are `loss/step`, `loss/train`, `loss/val`, `accuracy/val`, `lr`, …: one section per metric.
    """

    title: ClassVar[str] = "TensorBoard"
    needs: ClassVar[tuple[str, ...]] = ("tensorboard",)
    extra: ClassVar[str] = "tensorboard"
    in_folders: ClassVar[bool] = True

    @property
    def hint(self) -> str:
        """See `Tool`."""
        return f"tensorboard --logdir {quoted(self.into)}"

    def open(self, run: Run) -> Log:
        """See `Tool`."""
        return _EventFile(self, run)


def tag_of(column: str, of_step: bool = False) -> str:
    """Return the tag of a column of `steps.csv` or `epochs.csv`, or of a measure.

    >>> [tag_of("loss", of_step=True), tag_of("val_loss"), tag_of("lr")]
    ['loss/step', 'loss/val', 'lr']
    """
    metric, where = split_of(column)
    where = where or ("step" if of_step and column == "loss" else "")
    return f"{metric}/{where}" if where else column


class _EventFile(Log):
    """The event file of a run. It replaces an earlier one of the same run.

    It is written here and not by TensorBoard's writer, whose thread would keep to itself that a disk is full.
    """

    def __init__(self, tool: TensorBoard, run: Run) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = tool.folder_of(run)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"events.out.tfevents.*{SUFFIX}"):
            old.unlink()
        maker = f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        path = folder / f"events.out.tfevents.{int(time.time()):010d}.{maker}{SUFFIX}"
        self.writer = RecordWriter(path.open("wb"))
        self.writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        session = hparams_pb(run.flat, trial_id=run.group, start_time_secs=run.started)
        self._write(session, 0, run.started)
        self.writer.flush()

    def steps(self, rows: Sequence[Row]) -> None:
        """See `Log`."""
        for row in rows:
            self._scalars(row.step, row.time, row.values, of_step=True)
        self.writer.flush()

    def evaluation(self, row: Row) -> None:
        """See `Log`."""
        self._scalars(row.step, row.time, self.measured(row))
        self.writer.flush()

    def end(self, ending: Ending) -> None:
        """See `Log`."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        self._scalars(ending.step, ending.time, ending.values)
        good = api_pb2.STATUS_SUCCESS if ending.good else api_pb2.STATUS_FAILURE
        status = good if ending.over else api_pb2.STATUS_UNKNOWN
        end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ending.time)
        content = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=end))
        value = {"tag": metadata.SESSION_END_INFO_TAG, "metadata": content, "tensor": metadata.NULL_TENSOR}
        self._write(Summary(value=[Summary.Value(**value)]), ending.step, ending.time)
        self.writer.close()

    def discard(self) -> None:
        """See `Log`."""
        self.writer.close()

    def _scalars(self, step: int, time: float, values: Mapping[str, float], *, of_step: bool = False) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        scalars = [Summary.Value(tag=tag_of(name, of_step), simple_value=value) for name, value in values.items()]
        self._write(Summary(value=scalars), step, time)

    def _write(self, summary: Any, step: int, when: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self.writer.write(Event(summary=summary, step=step, wall_time=when).SerializeToString())
