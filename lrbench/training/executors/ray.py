"""Runs on a Ray cluster. The only file that imports Ray.

A task takes the path of a run's folder and returns the run's name; everything else is in the folder, on storage that
every node sees. Ray may execute a task twice, for example after losing a node; the folder's lock ensures that only one
of them trains, and an existing result is kept.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lrbench.config import CommandConfig, Experiment, RunConfig
from lrbench.errors import (
    FolderError,
    Interrupted,
    LrbenchError,
    RunError,
    UsageError,
    at_command_line,
    counted,
    option,
)
from lrbench.events import Event, Watch, message
from lrbench.runs import RunFolder, RunResult, last_row
from lrbench.training.executors.ray_task import Setting, do, see
from lrbench.training.options import RunOptions
from lrbench.training.run_one import Done, WorkItem
from lrbench.training.signals import StopFlag

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise UsageError(f"{option('--executor')} ray needs Ray: pip install 'lrbench-torch[ray]'") from error

ATTEMPTS = 20  # how often Ray retries a task whose node or process died; each resumes from the checkpoint
SUBMISSIONS = 5  # how often a run is submitted whose task Ray gave up, as it does at once for some lost nodes
POLL_SECONDS = 0.5
LOOK_SECONDS = 2.0  # how often run folders are read for progress
ANSWER_SECONDS = 60.0
STOP_SECONDS = 60.0


class RayCluster:
    """An `Executor` on a Ray cluster. It connects when created, before anything is written.

    Without an address it takes `RAY_ADDRESS` or starts a cluster on this machine; without a number of jobs, as many run
    at once as the cluster has room for. Every node must see the folder of the runs, `root`, at the same path.
    """

    in_process = False

    def __init__(self, options: RunOptions, root: Path) -> None:
        self.options, self.root = options, root.resolve()
        self.ours = _connect(options.address)

    def execute(self, items: Sequence[WorkItem], watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """See `lrbench.training.executors.Executor`."""
        stopped = self.root / f".stop-{uuid.uuid4().hex}"
        known = {name: os.environ[name] for name in ("LRBENCH_DATA",) if name in os.environ}
        setting = Setting(str(stopped), str(Path.cwd()), known, at_command_line())
        try:
            self._check_nodes(watch)
            tasks = Tasks(setting, self.options, deque(items))
            try:
                yield from tasks.outcomes(watch, stop)
            finally:
                tasks.give_up()
                stopped.unlink(missing_ok=True)
        finally:
            if self.ours:
                ray.shutdown()

    def _check_nodes(self, watch: Watch) -> None:
        """Raise RunError unless every node with CPUs sees the runs folder and has the same lrbench version."""
        all_nodes = ray.nodes()  # type: ignore[no-untyped-call]
        nodes = [node for node in all_nodes if node["Alive"] and node["Resources"].get("CPU", 0) > 0]
        watch(message(f"Ray: {counted(len(nodes), 'node')} with CPUs"))
        token = self.root / f".seen-{uuid.uuid4().hex}"
        token.touch()
        try:
            answers = {}
            for node in nodes:
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                task = ray.remote(see).options(num_cpus=0, scheduling_strategy=there, max_retries=0)
                answers[node["NodeManagerHostname"], node["NodeID"]] = task.remote(str(token))
            for (host, number), answer in answers.items():
                name = f"{host} ({number[:8]})"
                try:
                    problem = ray.get(answer, timeout=ANSWER_SECONDS)
                except RayTaskError as error:
                    problem = f"can't run lrbench: {_first_line(error.cause)}"
                except RayError as error:  # the node may be lost by now; if not, its tasks will report the error
                    watch(message(f"Ray: node {name} did not answer ({type(error).__name__})"))
                    problem = None
                if problem is not None:
                    raise RunError(f"node {name}: {problem}")
        finally:
            token.unlink(missing_ok=True)


def _connect(address: str | None) -> bool:
    """Connect to the cluster unless connected already; return whether this call connected. Raises UsageError."""
    if ray.is_initialized():
        return False
    if address is not None and not address.strip():
        raise UsageError(
            f"{option('--address')} must be the address of a Ray cluster, such as 10.0.0.1:6379, or auto (got nothing)"
        )
    _knock(address or os.environ.get("RAY_ADDRESS"))
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    alone: dict[str, Any] = {"_node_ip_address": "127.0.0.1", "include_dashboard": False} if address == "local" else {}
    try:
        with _this_machine_by_its_loopback_address(address):
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **alone)
    except Exception as error:  # Ray raises many kinds of errors if there is no cluster at an address
        raise UsageError(f"{option('--address')}: no Ray cluster at {address} ({_first_line(error)})") from error
    return True


def _knock(address: str | None) -> None:
    """Raise UsageError if nothing listens at `host:port`, which Ray would take minutes to report."""
    match = re.fullmatch(r"(?:ray://)?\[?([^\]/]+?)\]?:(\d{1,5})", address or "")
    if match is None:
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"{option('--address')}: no Ray cluster at {address} ({error})") from error


@contextlib.contextmanager
def _this_machine_by_its_loopback_address(address: str) -> Iterator[None]:
    """Keep 127.0.0.1 as the address: Ray replaces it with the machine's external address.

    Nothing listens there on a cluster of 127.0.0.1, and a cluster started here would listen to the whole network.
    See https://github.com/ray-project/ray/issues/59110. This is Ray's default on macOS and Windows.
    """
    host = address.rpartition(":")[0] or address
    constants = ray._private.ray_constants
    before = getattr(constants, "ENABLE_RAY_CLUSTER", None)
    if host not in ("local", "127.0.0.1", "localhost", "[::1]") or before is None:
        yield
        return
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


class LostError(RunError):
    """Ray gave up a task because its process or its node was lost."""


@dataclass
class Tasks:
    """The submitted tasks, and the runs not submitted yet."""

    setting: Setting
    options: RunOptions
    left: deque[WorkItem]
    pending: dict[Any, WorkItem] = field(default_factory=dict)
    lost: Counter[Path] = field(default_factory=Counter)
    seen: dict[Path, int] = field(default_factory=dict)
    looked: float = 0.0
    stop_by: float | None = None

    def outcomes(self, watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """Yield each run with its result, or the exception that prevented one, as they end."""
        jobs = self.options.jobs
        while self.left or self.pending:
            if stop():
                yield from self._stop()
            while self.left and (jobs is None or len(self.pending) < jobs):
                item = self.left.popleft()
                self.pending[self._begin(item)] = item
            if not self.pending:
                continue
            ended, _ = ray.wait(list(self.pending), num_returns=1, timeout=POLL_SECONDS)
            self._look(watch)
            for reference in ended:
                item = self.pending.pop(reference)
                path = item.path
                outcome = _outcome(reference, path)
                if isinstance(outcome, LostError):
                    self.lost[path] += 1
                    if self.lost[path] < SUBMISSIONS:
                        watch(message(f"{outcome}; it resumes elsewhere"))
                        self.left.append(item)
                        continue
                if isinstance(outcome, RunResult):
                    watch(Event(path.name, "end", values={"result": outcome, "folder": path}))
                yield path, outcome

    def give_up(self) -> None:
        """Cancel the submitted tasks, after an error or a second signal."""
        for reference in self.pending:
            with contextlib.suppress(Exception):
                ray.cancel(reference, force=True)

    def _begin(self, item: WorkItem) -> Any:
        gpus = ray.cluster_resources().get("GPU", 0)  # type: ignore[no-untyped-call]
        share = self._share(item.experiment) if gpus else 0
        task = ray.remote(_do).options(num_cpus=1, num_gpus=share, max_retries=ATTEMPTS, name=item.path.name)
        return task.remote(replace(item, path=item.path.resolve()), self.setting)

    def _share(self, config: RunConfig) -> float:
        """Return how many GPUs a run takes: a part of one, or as many as a command asks for."""
        if isinstance(config, Experiment):
            return 0 if config.device == "cpu" else 1 / self.options.runs_per_gpu
        wanted = config.gpus if isinstance(config, CommandConfig) else None
        return wanted or 1 / self.options.runs_per_gpu

    def _stop(self) -> Iterator[Done]:
        """Submit no more tasks and give running ones a minute to write their checkpoints."""
        if self.stop_by is None:
            Path(self.setting.stopped).touch()
            self.stop_by = time.monotonic() + STOP_SECONDS
        while self.left:
            path = self.left.popleft().path
            yield path, Interrupted(f"{path.name} was not started")
        if time.monotonic() > self.stop_by:
            self.give_up()
            for item in self.pending.values():
                yield item.path, Interrupted(f"{item.path.name} was stopped; its last checkpoint is kept")
            self.pending.clear()

    def _look(self, watch: Watch) -> None:
        """Report the progress found in the run folders."""
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self.looked = time.monotonic()
        for path in [item.path for item in self.pending.values()]:
            with contextlib.suppress(LrbenchError, OSError, ValueError, KeyError):
                event = _progress(RunFolder(path), path in self.seen)
                if event is not None and self.seen.get(path) != event.step:
                    self.seen[path] = event.step
                    watch(event)


def _progress(folder: RunFolder, started: bool) -> Event | None:
    """Return the progress of a run from its folder; None if no process is training it."""
    if not folder.busy:
        return None
    sizes = folder.environment().sizes
    row = last_row(folder.epochs.path)
    step, total = int(row.get("step", 0)), sizes.total_steps or 0
    epochs = -(-total // sizes.steps_per_epoch) if sizes.steps_per_epoch else 0
    values = {key: value for key, value in row.items() if key.startswith(("train_", "val_"))}
    lr, epoch = row.get("lr", 0.0), int(row.get("epoch", 0))
    return Event(folder.name, "epoch" if started else "start", step, total, epoch, epochs, lr, values=values)


def _outcome(reference: Any, path: Path) -> RunResult | Exception:
    """Return the result of an ended task, read from the run's folder, or its error."""
    try:
        ray.get(reference)
    except RayTaskError as error:
        cause = error.cause
        return cause if isinstance(cause, LrbenchError) else RunError(f"{path.name}: {_first_line(cause)}")
    except RayError as error:
        return LostError(f"{path.name}: its process or its node was lost ({_first_line(error)})")
    try:
        result = RunFolder(path).result()
    except FolderError as error:
        return error
    return result or RunError(
        f"{path.name}: finished, but its result is not visible here; do all nodes share the folder?"
    )


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def _do(item: WorkItem, setting: Setting) -> str:
    return do(item, setting, ray.get_runtime_context().get_node_id())
