"""Sweeps on a real Ray cluster on this machine: a head without CPUs and nodes with one each, lost and added."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from cells import Start, ended, runs_of, steps_of, sweeps
from conftest import TINY
from forked import POSSIBLE, Forks, Starts
from waiting import PATIENCE, wait_until

from lrbench.errors import UsageError
from lrbench.runs import RunFolder
from lrbench.training import RunOptions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the package ray"),
]

RATES = "0.001,0.003,0.01,0.03"
OURS = ["lrbench.training.stacked", "lrbench.training.executors.cluster_task", "lrbench.sweeps"]
"""What forks find imported. Not Ray: each of its processes reads its settings when it imports it."""
SETUP = """
import os, sys
theirs = ("--language=", "--serialized-runtime-env-context=")
os.execv({python!r}, [{python!r}, *(word for word in sys.argv[1:] if not word.startswith(theirs))])
"""
"""What Ray's `setup_worker.py` does for tasks without an environment of their own: become the worker, here a fork."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for Ray, and its settings in this process's environment.

    The folder's path is short, since a socket's path has at most 107 bytes and Ray adds more than sixty.
    """
    made = Path(tempfile.mkdtemp(prefix="r"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        (made / "ray").mkdir()  # where Ray notes the address, in a folder that it does not create
        environment.setenv("RAY_TMPDIR", str(made))
        yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def ready(folder: Path) -> Iterator[Starts]:
    """Starts processes that need not import torch and lrbench anew."""
    started = Forks(modules=OURS) if POSSIBLE else Starts()
    yield started
    started.close()


@pytest.fixture(scope="module")
def head(folder: Path, ready: Starts) -> Iterator[Any]:
    """A cluster whose head has no CPUs; all on 127.0.0.1, in a folder of its own. Its workers are forks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        from ray.cluster_utils import Cluster

        made = Cluster()
        if POSSIBLE:
            ready.shims(folder)
            (folder / "setup.py").write_text(SETUP.format(python=str(folder / "python")))
            made.add_node = functools.partial(made.add_node, setup_worker_path=str(folder / "setup.py"))
        common = {"node_ip_address": "127.0.0.1", "object_store_memory": 100_000_000}
        made.add_node = functools.partial(made.add_node, **common)
        made.add_node(num_cpus=0, include_dashboard=False, temp_dir=str(folder / "s"))
        try:
            yield made
        finally:
            made.shutdown()


@pytest.fixture
def cluster(head: Any) -> Iterator[Any]:
    """The cluster, to which a test adds nodes. It takes over those that the test before has left."""
    yield head
    for process in owners_of_tasks():  # of a command that the test has killed, whose tasks end with it
        process.kill()


def nodes_of(cluster: Any, count: int) -> list[Any]:
    """The nodes with a CPU, after adding what is missing, or removing what is too much."""
    for node in list(cluster.worker_nodes)[count:]:
        cluster.remove_node(node, allow_graceful=False)
    while len(cluster.worker_nodes) < count:
        cluster.add_node(num_cpus=1)
    return list(cluster.worker_nodes)


@pytest.fixture(scope="module")
def begin(ready: Starts) -> Start:
    """Starts a sweep of 4 rates × 2 seeds, in a process of its own."""

    def start(config: Path, root: Path, *words: str) -> subprocess.Popen[str]:
        rates = [] if "--lr" in words else ["--lr", RATES]
        command = ["-m", "lrbench", "sweep", config, *rates, "--seeds", "2", "--runs", root, *words]
        return ready.popen(
            command, cwd=config.parent, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    return start


def write(folder: Path) -> Path:
    model = {"name": "mlp", "hidden": [32]}
    whole = {**TINY, "name": "cells", "dataset": "digits", "epochs": 40, "model": model}
    config = folder / "cells.yaml"
    config.write_text(yaml.safe_dump(whole))
    return config


@pytest.fixture
def start(tmp_path: Path, begin: Start) -> Iterator[Start]:
    """Start that sweep under `tmp_path / runs`."""
    config = write(tmp_path)
    with sweeps(lambda runs, *words: begin(config, tmp_path / runs, *words)) as started:
        yield started


def on(cluster: Any) -> list[str]:
    return ["--executor", "ray", "--address", cluster.address]


def environments(root: Path) -> list[dict[str, Any]]:
    return [json.loads((path / "env.json").read_text()) for path in runs_of(root)]


def done(root: Path) -> int:
    return len(list(root.glob("cells-*/result.json")))


def under_way(root: Path) -> bool:
    return done(root) >= 1 and bool(list(root.glob("cells-*/lock")))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, begin: Start) -> dict[str, str]:
    """What the workers of this machine come to, with a thread each as on the cluster."""
    folder = tmp_path_factory.mktemp("local")
    ended(begin(write(folder), folder / "runs", "--jobs", str(os.cpu_count())))
    return steps_of(folder / "runs")


def test_both_nodes_work_and_come_to_what_this_machine_s_workers_do(
    cluster: Any, start: Start, tmp_path: Path, local: dict[str, str]
) -> None:
    nodes_of(cluster, 2)
    output = ended(start("far", *on(cluster)))
    assert "Ray: 2 nodes with CPUs" in output and "8/8" in output
    assert steps_of(tmp_path / "far") == local and len(local) == 8
    assert len({environment["node"] for environment in environments(tmp_path / "far")}) == 2
    assert not list((tmp_path / "far").glob(".*")), "nothing is left over"

    again = ended(start("far", *on(cluster)))
    assert "0 of 8 runs pending" in again


def test_one_node_lost_then_the_other_and_one_added_back(
    cluster: Any, start: Start, tmp_path: Path, local: dict[str, str]
) -> None:
    first, second = nodes_of(cluster, 2)
    process = start("far", *on(cluster))
    wait_until(lambda: under_way(tmp_path / "far"))
    cluster.remove_node(first, allow_graceful=False)
    before = done(tmp_path / "far")
    wait_until(lambda: done(tmp_path / "far") > before + 1 and under_way(tmp_path / "far"))
    cluster.remove_node(second, allow_graceful=False)
    wait_until(lambda: not any(RunFolder(path).busy for path in runs_of(tmp_path / "far")))  # its processes end too
    before = done(tmp_path / "far")
    assert before < 8
    time.sleep(3)
    assert process.poll() is None and done(tmp_path / "far") == before, "it waits for a node"
    (added,) = nodes_of(cluster, 1)
    ended(process)
    assert steps_of(tmp_path / "far") == local
    assert added.node_id in {environment["node"] for environment in environments(tmp_path / "far")}


def test_stopped_and_killed_it_does_only_what_is_missing(
    cluster: Any, start: Start, tmp_path: Path, local: dict[str, str]
) -> None:
    nodes_of(cluster, 2)
    process = start("far", *on(cluster))
    wait_until(lambda: under_way(tmp_path / "far"))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and "the same command resumes" in output
    assert "stopping: running tasks have 1 minute to write their checkpoints, then they are cancelled" in output
    assert not list((tmp_path / "far").glob(".*"))

    output = ended(start("far", *on(cluster)))
    assert "8 of 8" not in output
    assert steps_of(tmp_path / "far") == local


WAITING = """
import os, time
from pathlib import Path
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.last, self.seen = nn.Linear(64, num_classes), 0
    def forward(self, x):
        self.seen += 1
        while self.seen > 20 and not Path(__file__).with_name("gate").exists():
            time.sleep(0.05)
        return self.last(x.flatten(1))
"""
"""A model whose training waits until a file is there."""


def tokens(root: Path) -> dict[str, str]:
    """Which locks are held, by the runs' names."""
    return {path.parent.name: json.loads(path.read_text())["token"] for path in root.glob("cells-*/lock")}


def owners_of_tasks() -> list[psutil.Process]:
    """The actors of commands, on the cluster that this process has started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found += [process] * ("TaskOwner" in " ".join(process.cmdline()))
    return found


def test_tasks_outlive_a_killed_command_and_the_next_one_follows_them(
    cluster: Any, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "nets.py").write_text(WAITING)
    words = ("far", "--set", "model=nets:Net", "--set", "epochs=2", *on(cluster))
    root = tmp_path / "far"
    nodes_of(cluster, 2)
    process = start(*words)
    wait_until(lambda: len(list(root.glob("cells-*/lock"))) == 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = tokens(root)

    process = start(*words, "--lr", RATES.rpartition(",")[0])  # not all of them
    assert process.stdout is not None and len(owners_of_tasks()) == 1
    line = next(line for line in process.stdout if "of an earlier command" in line)
    assert "Ray: 6 tasks of an earlier command" in line
    assert tokens(root) == before and len(before) == 2, "the same processes train on"
    (tmp_path / "gate").touch()
    ended(process)
    wait_until(lambda: done(root) == 8)
    assert not any(environment.get("resumed") for environment in environments(root))
    wait_until(lambda: not owners_of_tasks())
    assert "0 of 8 runs pending" in ended(start(*words))


FILLS = """
import sys
import numpy, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from lrbench.training.executors.ray import _connect

_connect(sys.argv[1])

@ray.remote(num_cpus=0)
class Fills:
    def __init__(self, size):
        self.kept = [ray.put(numpy.zeros(5_000_000, numpy.uint8)) for _ in range(size // 5_000_000 + 1)]
    def count(self):
        return len(self.kept)

fills = []
for node in sys.argv[2:]:  # not all that Ray knows: those of the test before may not be known to be dead yet
    here = NodeAffinitySchedulingStrategy(node, soft=False)
    fills.append(Fills.options(scheduling_strategy=here).remote(100_000_000))
print("full", ray.get([one.count.remote() for one in fills]), flush=True)
sys.stdin.read()
"""


def test_a_full_object_store_keeps_nothing_from_running(
    cluster: Any, start: Start, tmp_path: Path, local: dict[str, str]
) -> None:
    nodes = [cluster.head_node, *nodes_of(cluster, 2)]
    words = [sys.executable, "-c", FILLS, cluster.address, *(node.node_id for node in nodes)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as fills:
        assert fills.stdout is not None
        assert any(line.startswith("full [") for line in fills.stdout), "each node's store is full"
        ended(start("far", *on(cluster)))
        assert steps_of(tmp_path / "far") == local
        assert fills.poll() is None
        fills.kill()


def test_stacked_runs_are_stacked_on_the_nodes(
    cluster: Any, start: Start, tmp_path: Path, local: dict[str, str]
) -> None:
    nodes_of(cluster, 2)
    ended(start("far", "--stack", "yes", *on(cluster)))
    assert all(environment["stacked"] for environment in environments(tmp_path / "far"))
    assert len({environment["node"] for environment in environments(tmp_path / "far")}) == 2
    for name, rows in steps_of(tmp_path / "far").items():
        mine, theirs = ([float(row.split(",")[3]) for row in text.splitlines()[1:40]] for text in (rows, local[name]))
        assert mine == pytest.approx(theirs, rel=2e-4)


def test_a_stack_whose_node_is_lost_goes_on_elsewhere(cluster: Any, start: Start, tmp_path: Path) -> None:
    (first,), root = nodes_of(cluster, 1), tmp_path / "far"
    process = start("far", "--stack", "yes", "--set", "epochs=1000000", *on(cluster))
    wait_until(lambda: len(list(root.glob("cells-*/lock"))) == 8)
    cluster.remove_node(first, allow_graceful=False)
    (added,) = nodes_of(cluster, 1)
    wait_until(lambda: added.node_id in {environment.get("node") for environment in environments(root)})
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and "stopped with 8 of 8 runs left" in output, output


def test_a_model_that_ends_its_process_fails_alone(cluster: Any, start: Start, tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "import torch\nfrom torch import nn\n\nclass Net(nn.Module):\n    def __init__(self, num_classes):\n"
        "        super().__init__()\n        self.last = nn.Linear(64, num_classes)\n"
        "    def forward(self, x):\n"
        "        if self.training and torch.is_grad_enabled():\n            raise ValueError('no')\n"
        "        return self.last(x.flatten(1))\n"
    )
    nodes_of(cluster, 1)
    process = start("far", *on(cluster), "--set", "model=nets:Net", "--set", "epochs=1", "--max-failures", "1")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1 and "ValueError: no" in output


def test_what_ray_logs_while_nothing_answers_stays_out_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from lrbench.training.executors import ray as executor

    def connect(**_: Any) -> None:
        os.write(2, b"rpc_client.h:153: Failed to connect to GCS\n")
        raise ConnectionError("timed out")

    monkeypatch.setattr(executor, "_knock", lambda address: None)
    monkeypatch.setattr(executor.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(executor.ray, "init", connect)
    with pytest.raises(UsageError, match=r"no Ray cluster at 10\.0\.0\.1:6379 \(ConnectionError: timed out\)"):
        executor._connect("10.0.0.1:6379")
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"


def test_no_cluster_there(tmp_path: Path, start: Start) -> None:
    process = start("far", "--executor", "ray", "--address", "127.0.0.1:1")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2 and "no Ray cluster at 127.0.0.1:1" in output and "Traceback" not in output


def test_a_cluster_started_here_listens_to_this_machine_only(tmp_path: Path, start: Start) -> None:
    process = start("far", "--executor", "ray", "--set", "epochs=2000")
    wait_until(lambda: bool(list((tmp_path / "far").glob("cells-*/steps.csv"))))
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    sockets = [one for member in family for one in member.net_connections("inet") if one.status == psutil.CONN_LISTEN]
    assert len(sockets) > 3
    assert {one.laddr.ip.removeprefix("::ffff:") for one in sockets} == {"127.0.0.1"}


def test_options_that_need_ray() -> None:
    for needing in ({"address": "auto"}, {"runs_per_gpu": 2}):
        with pytest.raises(UsageError, match="needs executor ray"):
            RunOptions(jobs=1, **needing)
        assert RunOptions(jobs=1, executor="ray", **needing).executor == "ray"
    with pytest.raises(UsageError, match="did you mean 'ray'"):
        RunOptions(jobs=1, executor="rya")


def status_of(path: Path) -> str:
    found: str = json.loads((path / "result.json").read_text())["status"] if (path / "result.json").exists() else ""
    return found


def trained(root: Path) -> list[Path]:
    """The runs that have begun."""
    return [path for path in runs_of(root) if (path / "epochs.csv").exists()]


def test_a_sweep_on_a_cluster_obeys_requests(cluster: Any, start: Start, tmp_path: Path) -> None:
    """The nodes see the files on the shared storage: a dropped run ends or is not started, and others do not start."""
    nodes_of(cluster, 1)
    root, requests = tmp_path / "far", tmp_path / "far/sweeps/mine/requests"
    process = start("far", "--name", "mine", "--set", "epochs=100000", *on(cluster))
    wait_until(lambda: len(runs_of(root)) == 8 and len(trained(root)) == 1)
    (first,) = trained(root)
    requests.mkdir()
    (requests / f"drop-{first.name}").touch()
    wait_until(lambda: len(trained(root)) == 2)
    (second,) = (path for path in trained(root) if path != first)
    waiting = next(path for path in runs_of(root) if path not in (first, second))
    (requests / f"drop-{waiting.name}").touch()
    (requests / "stop").touch()
    (requests / f"drop-{second.name}").touch()
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and "stopped with 5 of 8 runs left" in output, output
    over = {path for path in runs_of(root) if status_of(path)}
    assert over == {first, second, waiting} and {status_of(path) for path in over} == {"pruned"}
    assert set(trained(root)) == {first, second} and not (requests / "stop").exists()


def test_a_halved_sweep_on_a_cluster_obeys_requests(cluster: Any, start: Start, tmp_path: Path) -> None:
    nodes_of(cluster, 2)
    root, requests = tmp_path / "far", tmp_path / "far/sweeps/mine/requests"
    words = ("far", "--name", "mine", "--halve", *on(cluster))
    process = start(*words)
    wait_until(lambda: any((path / "epochs.csv").exists() for path in runs_of(root)))
    requests.mkdir(exist_ok=True)
    (requests / "stop").touch()
    (requests / "seeds").write_text("1 best")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and "the same command resumes" in output, output
    assert [path.name for path in requests.iterdir()] == ["seeds"]
    output = ended(start(*words))
    assert "1 run added" in output and not list(requests.iterdir())
    states = [status_of(path) for path in runs_of(root)]
    assert len(states) == 9 and states.count("pruned") == 6 and states.count("finished") == 3


RECORDING = """
import sys, time, lrbench
with lrbench.record() as run:
    for step in range(1, 21):
        run.step(lr=float(sys.argv[1]), loss=1 / step)
        time.sleep(0.05)
    run.evaluate(val_loss=float(sys.argv[1]) + int(sys.argv[2]))
"""


def command_file(folder: Path, script: str, **keys: Any) -> Path:
    (folder / "train.py").write_text(script)
    plain = {"name": "cells", "command": [sys.executable, "train.py", "{lr}", "{seed}"], "params": {"lr": 1.0}, **keys}
    (folder / "command.yaml").write_text(yaml.safe_dump(plain))
    return folder / "command.yaml"


def test_limits_of_commands_hold_on_the_nodes(cluster: Any, begin: Start, tmp_path: Path) -> None:
    nodes_of(cluster, 2)
    hang = f"print('loading', flush=True)\nimport time\ntime.sleep(1000 * (sys.argv[2] == '1'))\n{RECORDING}"
    config = command_file(tmp_path, f"import sys\n{hang}", stall=20)
    process = begin(config, tmp_path / "runs", "--lr", "0.1", *on(cluster))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, output
    results = {folder.config().seed: folder.result() for folder in map(RunFolder, runs_of(tmp_path / "runs"))}
    assert [result and result.status.value for _, result in sorted(results.items())] == ["finished", "failed"]
    assert "it was stopped because it got no further for 20 seconds (its `stall` limit)\n  loading" in results[1].reason


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"timeout": 3}, "it was stopped after its timeout of 3 seconds"),
        ({"memory": "200MB"}, "more than its `memory` limit of 200 MB\n  loading"),
    ],
)
def test_time_and_memory_of_commands_are_limited_on_the_nodes(
    cluster: Any, begin: Start, tmp_path: Path, limit: dict[str, Any], said: str
) -> None:
    nodes_of(cluster, 1)
    hang = "import time\nprint('loading', flush=True)\nkept = bytearray(300_000_000)\ntime.sleep(1000)"
    process = begin(command_file(tmp_path, hang, **limit), tmp_path / "runs", "--lr", "0.1", *on(cluster))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, output
    results = [RunFolder(path).result() for path in runs_of(tmp_path / "runs")]
    assert len(results) == 2
    for result in results:
        assert result is not None and result.status.value == "failed" and said in result.reason


def test_commands_run_on_the_nodes_of_a_cluster(cluster: Any, begin: Start, tmp_path: Path) -> None:
    nodes_of(cluster, 2)
    ended(begin(command_file(tmp_path, RECORDING), tmp_path / "runs", *on(cluster)))
    found = {}
    for path in (tmp_path / "runs").glob("cells-seed*"):
        folder = RunFolder(path)
        result, lr = folder.result(), folder.config().lr
        assert result is not None and result.steps == 20
        found[lr, folder.config().seed] = result.metric("val_loss")
    assert found == {(lr, seed): lr + seed for lr in (0.001, 0.003, 0.01, 0.03) for seed in (0, 1)}
    assert len({environment["host"] for environment in environments(tmp_path / "runs")}) == 1


# -- what the page shows


PAGE = Path(__file__).parent.parent / "docs" / "ray.md"


def shown(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_the_cluster_configs_of_the_page_are_valid() -> None:
    """By Ray's own check of `ray up`; KubeRay's operator is not here, so only the names and sums of its job."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    autoscaled, job = (yaml.safe_load(text) for text in shown("yaml"))
    whole = prepare_config(autoscaled)
    validate_config(whole)
    types = whole["available_node_types"]
    assert whole["head_node_type"] in types and types["worker"]["max_workers"] <= whole["max_workers"]
    with pytest.raises(Exception, match="'head_node_typ' was unexpected"):
        validate_config({**whole, "head_node_typ": "head"})

    cluster = job["spec"]["rayClusterSpec"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for pod in (group["template"]["spec"] for group in groups):
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_scripts_of_the_page_are_valid() -> None:
    for text in shown("sh"):
        assert subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True).stderr == ""
