"""Runs on a Ray cluster. Only this file, `ray_tasks` and `ray_owner` import Ray.

A task takes the paths of run folders and returns what kept them from a result; all else is in the folders, on storage
that every node sees. Ray may execute a task twice, for example after losing a node; the folder's lock ensures that
only one of them trains, and an existing result is kept.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lrbench.errors import RunError, UsageError, counted, option
from lrbench.events import Watch, message
from lrbench.training.executors.cluster_task import Setting, see
from lrbench.training.options import RunOptions
from lrbench.training.run_one import Done, WorkItem
from lrbench.training.signals import StopFlag

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from lrbench.training.executors.ray_owner import first_line
    from lrbench.training.executors.ray_tasks import Tasks
except ImportError as error:
    raise UsageError(f"{option('--executor')} ray needs Ray: pip install 'lrbench-torch[ray]'") from error

ANSWER_SECONDS = 60.0


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
        setting = Setting.here(self.root / f".stop-{uuid.uuid4().hex}")
        try:
            self._check_nodes(watch)
            tasks = Tasks(self.root, setting, self.options, items)
            try:
                tasks.attach(watch)
                yield from tasks.outcomes(watch, stop)
            finally:
                tasks.end()
        except RayError as error:
            raise RunError(f"Ray: {first_line(error)}") from error
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
                    problem = f"can't run lrbench: {first_line(error.cause)}"
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
        with _this_machine_by_its_loopback_address(address), _quiet(address):
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **alone)
    except Exception as error:  # Ray raises many kinds of errors if there is no cluster at an address
        raise UsageError(f"{option('--address')}: no Ray cluster at {address} ({first_line(error)})") from error
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
def _quiet(address: str) -> Iterator[None]:
    """Keep out of the terminal what Ray's C++ code logs while no cluster answers, at any log level."""
    if address == "local":
        yield
        return
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


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
