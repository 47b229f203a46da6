"""Sweeps as jobs: processes on this machine through submitit, and a real Slurm of one node that tests start and end.

Slurm is that of Debian's packages (`apt-get install slurm-wlm munge`). Everything of it lies in a temporary folder.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import yaml
from cells import Start, ended, runs_of, steps_of, sweeps
from conftest import TINY
from forked import Starts
from waiting import PATIENCE, wait_until

from lrbench.training.limits import kill

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("submitit") is None, reason="needs the package submitit"),
]

DAEMONS = ("munged", "slurmctld", "slurmd")


def tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


CONF = """
ClusterName=lrbench
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=20
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE PriorityTier=1
PartitionName=urgent Nodes={host} MaxTime=INFINITE PriorityTier=10
"""
"""A cluster of this machine, without control groups and accounting. Requeued jobs wait for `cred_expire` seconds."""


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    """A Slurm of one node with two CPUs; its commands find it by the environment."""
    if missing := [name for name in (*DAEMONS, "sbatch", "squeue") if tool(name) is None]:
        pytest.skip(f"needs Slurm: apt-get install slurm-wlm munge (no {', '.join(missing)})")
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    folder.chmod(0o755)
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    host, ports = socket.gethostname().partition(".")[0], (free_port(), free_port())
    text = CONF.format(host=host, user=getpass.getuser(), ports=ports, folder=folder)
    (folder / "slurm.conf").write_text(text)
    begun: list[subprocess.Popen[bytes]] = []
    with pytest.MonkeyPatch.context() as environment, (folder / "output.log").open("wb") as output:
        environment.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        for name in [name for name in os.environ if name.startswith("SLURM_") and name != "SLURM_CONF"]:
            environment.delenv(name)
        munge = [
            f"--{key}={folder}/munge.{key.removesuffix('-file')}"
            for key in ("key-file", "pid-file", "log-file", "seed-file")
        ]
        daemons = (
            [
                "munged",
                "--foreground",
                "--force",
                f"--socket={folder}/munge.socket",
                *munge,
            ],
            ["slurmctld", "-D"],
            ["slurmd", "-D"],
        )
        try:
            for name, *words in daemons:
                command = [str(tool(name)), *words]
                begun.append(subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True))
                time.sleep(1)
            wait_until(lambda: "idle" in asked("sinfo", "-h", "-o", "%T"), 60)
            yield
        finally:
            asked("scancel", "--user", getpass.getuser())
            time.sleep(1)
            for process in reversed(begun):
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            shutil.rmtree(folder, ignore_errors=True)


def asked(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


SLOW = """
import time

from torch import nn


class Slow(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, images):
        time.sleep(0.01)
        return super().forward(images)
"""
"""A run of this lasts as long on a fast machine as on a slow one: twelve seconds, with a checkpoint after five."""


def write(folder: Path) -> Path:
    config = folder / "cells.yaml"
    (folder / "slow.py").write_text(SLOW)
    whole = {**TINY, "name": "cells", "dataset": "digits", "model": "slow:Slow", "epochs": 35}
    config.write_text(yaml.safe_dump(whole))
    return config


IMPATIENT = """
from lrbench.cli.app import main
from lrbench.training.executors import slurm

slurm.ASK_SECONDS = slurm.SETTLE_SECONDS = 1.0
main()
"""
"""lrbench, which asks Slurm every second; a shared cluster is to be asked less often."""


@pytest.fixture(scope="module")
def begin(forks: Starts) -> Start:
    """Starts a sweep of two learning rates, in a process of its own."""

    def started(config: Path, root: Path, *words: str) -> subprocess.Popen[str]:
        return forks.popen(
            ["-c", IMPATIENT, "sweep", config, "--lr", "0.01,0.03", "--runs", root, *words],
            cwd=config.parent, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    return started


@pytest.fixture
def start(tmp_path: Path, begin: Start) -> Iterator[Start]:
    """Start that sweep under `tmp_path / far`."""
    config = write(tmp_path)
    with sweeps(lambda *words: begin(config, tmp_path / "far", "--executor", "slurm", *words)) as started:
        yield started


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, begin: Start) -> dict[str, str]:
    """What the workers of this machine come to, with a thread each as in a job."""
    folder = tmp_path_factory.mktemp("local")
    config = write(folder)
    (folder / "slow.py").write_text(SLOW.replace("time.sleep(0.01)", "pass"))
    ended(begin(config, folder / "runs", "--jobs", str(os.cpu_count())))
    return steps_of(folder / "runs")


def told(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text())
    return found


def training(root: Path) -> list[Path]:
    """The runs under way that have a checkpoint."""
    return [path for path in runs_of(root) if (path / "lock").exists() and (path / "checkpoint.pt").exists()]


def resumed(root: Path) -> list[object]:
    return [one for path in runs_of(root) for one in told(path / "env.json")["resumed"]]  # type: ignore[attr-defined]


# ---- processes on this machine ---------------------------------------------------------------------------------------


def test_a_signal_before_the_time_is_up_ends_in_a_checkpoint_and_goes_on(
    start: Start, tmp_path: Path, local: dict[str, str]
) -> None:
    process = start("--slurm", "cluster=local", "--jobs", "2")
    wait_until(lambda: bool(training(tmp_path / "far")))
    first = training(tmp_path / "far")[0]
    os.kill(int(str(told(first / "lock")["pid"])), signal.SIGUSR2)
    ended(process)
    assert len(resumed(tmp_path / "far")) == 1 and steps_of(tmp_path / "far") == local
    log = tmp_path / "far/slurm" / str(told(first / "job.json")["log"])
    assert "Caught signal SIGUSR2" in log.read_text() and "Requeued job" in log.read_text()
    assert not [path for path in (tmp_path / "far/slurm").iterdir() if not path.name.endswith("_log.out")]


def test_a_cancelled_job_is_seen_as_that(start: Start, tmp_path: Path, local: dict[str, str]) -> None:
    process = start("--slurm", "cluster=local", "--jobs", "2")
    wait_until(lambda: bool(training(tmp_path / "far")))
    first = training(tmp_path / "far")[0]
    kill(int(str(told(first / "job.json")["id"])))
    output = ended(process, 130)
    assert f"{first.name}: its job {told(first / 'job.json')['id']} was cancelled" in output
    assert "stopped with 1 of 2 runs left" in output
    ended(start("--slurm", "cluster=local"))
    assert steps_of(tmp_path / "far") == local


def test_a_job_whose_python_fails_tells_why(start: Start, tmp_path: Path) -> None:
    output = ended(start("--slurm", "cluster=local,setup='export PYTHONHOME=/nowhere'"), 1)
    assert "failed with exit code 1" in output and "Traceback" not in output
    assert "Fatal Python error" not in output.partition("its job")[0], "a job prints to its log alone"


def test_a_failing_setup_is_told_with_its_exit_code(start: Start, tmp_path: Path) -> None:
    output = ended(start("--slurm", "cluster=local,setup='echo no such module; exit 3'"), 1)
    assert "failed with exit code 3: no such module" in output and "far/slurm/" in output
    assert "2 of 2 runs failed" in output, "not pending, though nothing was trained"


HANGS = """
import os
import time
from pathlib import Path

import torch
from torch import nn


class Hangs(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, images):
        if "SUBMITIT_LOCAL_JOB_ID" in os.environ and torch.is_grad_enabled():
            Path(__file__).with_name(f"hangs-{os.environ['SUBMITIT_LOCAL_JOB_ID']}").touch()
            while True:
                time.sleep(1000)
        return super().forward(images)
"""


@pytest.mark.parametrize("terminal", [False, True])
def test_ctrl_c_ends_hanging_jobs_of_this_machine(tmp_path: Path, begin: Start, terminal: bool) -> None:
    """In a terminal, the jobs get the signal too."""
    config = write(tmp_path)
    (tmp_path / "slow.py").write_text(HANGS.replace("Hangs", "Slow"))
    process = begin(config, tmp_path / "far", "--executor", "slurm", "--slurm", "cluster=local", "--jobs", "2")
    wait_until(lambda: len([*tmp_path.glob("hangs-*")]) == 2)
    jobs = [int(path.name.removeprefix("hangs-")) for path in tmp_path.glob("hangs-*")]
    family = [one for job in jobs for one in psutil.Process(job).children(recursive=True)]
    if terminal:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    output = ended(process, 130)
    assert "stopping: running jobs have 10 seconds to write their checkpoints, then they are cancelled" in output
    assert "stopped with 2 of 2 runs left" in output and "Traceback" not in output
    assert len(family) >= 4 and not psutil.wait_procs(family, timeout=PATIENCE)[1]


def test_the_next_command_ends_the_jobs_of_a_killed_one(tmp_path: Path, begin: Start) -> None:
    config = write(tmp_path)
    (tmp_path / "slow.py").write_text(HANGS.replace("Hangs", "Slow"))
    words = ("--executor", "slurm", "--slurm", "cluster=local", "--jobs", "2")
    process = begin(config, tmp_path / "far", *words)
    wait_until(lambda: len([*tmp_path.glob("hangs-*")]) == 2)
    jobs = [int(path.name.removeprefix("hangs-")) for path in tmp_path.glob("hangs-*")]
    family = [one for job in jobs for one in psutil.Process(job).children(recursive=True)]
    assert process.stdout is not None
    process.stdout.close()
    process.kill()  # it alone, not its group
    process.wait()
    process = begin(config, tmp_path / "far", *words)
    assert process.stdout is not None and any("2 jobs of an earlier command" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    assert "stopped with 2 of 2 runs left" in ended(process, 130)
    assert len(family) >= 4 and not psutil.wait_procs(family, timeout=PATIENCE)[1]


# ---- a real Slurm ----------------------------------------------------------------------------------------------------


ASKED = ("--slurm", "partition=main,time=1:00:00")


@pytest.mark.usefixtures("slurm")
def test_jobs_outlive_the_command_and_come_to_what_this_machine_s_workers_do(
    start: Start, tmp_path: Path, local: dict[str, str]
) -> None:
    process = start(*ASKED, "--jobs", "1")
    wait_until(lambda: len(training(tmp_path / "far")) == 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    output = ended(start(*ASKED))
    assert re.search("Slurm: [12] jobs? of an earlier command", output) and "2 runs, 2 finished" in output
    assert steps_of(tmp_path / "far") == local and not resumed(tmp_path / "far")
    assert {told(path / "env.json")["node"] for path in runs_of(tmp_path / "far")} == {socket.gethostname()}
    assert "0 of 2 runs pending" in ended(start(*ASKED))


@pytest.mark.usefixtures("slurm")
def test_preempted_and_warned_jobs_are_requeued_and_go_on(start: Start, tmp_path: Path, local: dict[str, str]) -> None:
    process = start(*ASKED)
    wait_until(lambda: len(training(tmp_path / "far")) == 2)
    asked("sbatch", "--partition=urgent", "--ntasks=2", "--output=/dev/null", "--wrap=sleep 3")
    wait_until(lambda: not training(tmp_path / "far"))
    wait_until(lambda: bool(training(tmp_path / "far")))
    warned = training(tmp_path / "far")[0]
    asked("scancel", "--signal=USR2", str(told(warned / "job.json")["id"]))
    ended(process)
    assert len(resumed(tmp_path / "far")) >= 3 and steps_of(tmp_path / "far") == local


@pytest.mark.usefixtures("slurm")
def test_cancelled_jobs_and_an_interrupted_command(
    start: Start, tmp_path: Path, local: dict[str, str], forks: Starts
) -> None:
    process = start(*ASKED, "--jobs", "1")
    wait_until(lambda: bool(training(tmp_path / "far")))
    first = training(tmp_path / "far")[0]
    asked("scancel", str(told(first / "job.json")["id"]))
    wait_until(lambda: bool(set(training(tmp_path / "far")) - {first}))
    process.send_signal(signal.SIGINT)
    output = ended(process, 130)
    assert "stopped with 2 of 2 runs left" in output and not asked("squeue", "--me", "-h", "-t", "PENDING")
    wait_until(lambda: not asked("squeue", "--me", "-h", "-t", "RUNNING"))  # Python is about to end
    assert not [path for path in (tmp_path / "far/slurm").iterdir() if path.name.startswith("stop-")]
    seen = forks.run(["-m", "lrbench", "sweep", "--status", "--runs", "far"], cwd=tmp_path, timeout=60).stdout
    assert f"{first.name}: job {told(first / 'job.json')['id']} was cancelled; log: far/slurm/" in seen
    ended(start(*ASKED))
    assert steps_of(tmp_path / "far") == local


@pytest.mark.usefixtures("slurm")
def test_what_sbatch_refuses(start: Start) -> None:
    output = ended(start("--slurm", "partition=mian,time=5"), 2)
    assert "--slurm: sbatch: error: invalid partition specified: mian" in output and "Traceback" not in output


@pytest.mark.usefixtures("slurm")
def test_a_job_that_can_not_start_python(start: Start, tmp_path: Path) -> None:
    output = ended(start("--slurm", "time=5,setup='echo no such module; exit 3'"), 1)
    assert "failed with exit code 3: no such module" in output
    assert f"Log: {tmp_path}" not in output and "far/slurm/" in output
