"""Runs in real processes: shared out, killed, interrupted, orphaned."""

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
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from forked import Forks, Starts
from PIL import Image
from waiting import PATIENCE, wait_until

from lrbench.config import Experiment, validate
from lrbench.events import Event
from lrbench.runs import RunFolder, Status
from lrbench.runs.lock import birth, owner_of
from lrbench.training import Outcome, RunOptions, run
from lrbench.training.executors import create
from lrbench.training.executors.pool import WorkerProcesses, threads_of
from lrbench.training.executors.serial import ThisProcess

# A data set whose reading takes as long as the test wants: 4 updates an epoch. With HELD, it waits for the file `go`.
SLOW_DATA = """
    import os, time, torch
    from pathlib import Path
    from torch.utils.data import Dataset

    class Slow(Dataset):
        def __init__(self, n, seconds):
            generator = torch.Generator().manual_seed(0)
            self.inputs = torch.randn(n, 6, generator=generator)
            self.targets = (self.inputs[:, 0] > 0).long()
            self.seconds = seconds

        def __len__(self):
            return len(self.inputs)

        def __getitem__(self, index):
            time.sleep(self.seconds)
            while "HELD" in os.environ and list(Path("runs").glob("*/steps.csv")) and not Path("go").exists():
                time.sleep(0.01)
            return self.inputs[index], self.targets[index]

    def make():
        return {"train": Slow(64, float(os.environ.get("SLOW_SECONDS", "0"))), "test": Slow(16, 0), "classes": 2}
"""

PROGRAM = """
    import sys
    from lrbench.config import load_config
    from lrbench.training import run

    if __name__ == "__main__":
        outcomes = run(["slow.yaml"], runs="runs", seeds=int(sys.argv[1]), jobs=int(sys.argv[1]))
        print([outcome.status.value for outcome in outcomes])
"""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_config: Any) -> Experiment:
    """An experiment of 60 epochs on slowly read data; the current folder has its module and its config."""
    (tmp_path / "slow_data.py").write_text(textwrap.dedent(SLOW_DATA))
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "slow_data", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings: dict[str, Any] = {
        "name": "slow",
        "dataset": {"name": "slow_data:make", "validation": {"how": "tail"}},
        "model": {"name": "mlp", "hidden": [8], "dropout": 0.2},
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "schedule": "cosine",
        "epochs": 60,
        "batch_size": 16,
    }
    write_config("slow.yaml", **settings)
    return validate({**settings, "device": "cpu"}, {}, "a test")


@pytest.fixture
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def wait_for(condition: Callable[[], Any], what: str, child: subprocess.Popen[str], seconds: float = PATIENCE) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        if child.poll() is not None:
            raise AssertionError(f"the program ended before {what}: {child.communicate()}")
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


def rows(folder: Path) -> int:
    path = folder / "steps.csv"
    return path.read_bytes().count(b"\n") - 1 if path.exists() else 0


def became(*outcomes: Outcome) -> list[str]:
    """What became of each run: `found` where it was done already, else its status."""
    return ["found" if o.found else o.status.value for o in outcomes]


def assert_same(one: Path, other: Path) -> None:
    assert (one / "steps.csv").read_bytes() == (other / "steps.csv").read_bytes()
    a, b = (json.loads((p / "result.json").read_text()) for p in (one, other))
    assert {**a, "seconds": 0} == {**b, "seconds": 0}
    weights, others = RunFolder(one).load_best(), RunFolder(other).load_best()
    assert all(torch.equal(weights[k], others[k]) for k in weights)


def uninterrupted(experiment: Experiment, where: Path) -> Path:
    (outcome,) = run([experiment], runs=where)
    assert became(outcome) == ["finished"], outcome.message
    return outcome.path


def test_one_run_or_one_job_stays_in_this_process(tmp_path: Path, tiny: Any) -> None:
    def chosen(jobs: int, runs: int) -> Any:
        return create(RunOptions(jobs=jobs), tmp_path, [tiny(seed=seed) for seed in range(runs)])

    for alone in (chosen(1, 5), chosen(4, 1)):
        assert isinstance(alone, ThisProcess) and alone.in_process
    several = chosen(4, 3)
    assert isinstance(several, WorkerProcesses) and several.jobs == 3 and not several.in_process


@pytest.mark.slow
def test_two_jobs_give_the_bytes_of_one(tmp_path: Path, tiny: Any) -> None:
    changes = {"model": {"name": "cnn", "padding": 1}, "optimizer": {"name": "adam", "lr": 0.001}}
    seen: list[Event] = []
    parallel = run([tiny(**changes)], runs=tmp_path / "two", seeds=3, jobs=2, watch=seen.append)
    before = torch.get_num_threads()
    torch.set_num_threads(threads_of(2) or 0)
    serial = run([tiny(**changes)], runs=tmp_path / "one", seeds=3)
    torch.set_num_threads(before)
    assert became(*parallel) == became(*serial) == ["finished"] * 3
    for a, b in zip(parallel, serial, strict=True):
        assert_same(a.path, b.path)
        environments = [RunFolder(o.path).environment().plain for o in (a, b)]
        assert environments[0]["threads"] == environments[1]["threads"]
    for outcome in parallel:
        kinds = [e.kind for e in seen if e.run == outcome.path.name and e.kind != "message"]
        assert kinds[0] == "start" and kinds[-1] == "end" and kinds.count("epoch") == 2


@pytest.mark.slow
def test_failures_and_lrbench_errors_come_back_from_workers(tmp_path: Path, tiny: Any, slow: Experiment) -> None:
    Path("bad_loss.py").write_text(
        "def fails(outputs, targets):\n"
        "    if outputs.requires_grad:\n"
        "        raise LookupError('lost in a worker')\n"
        "    return outputs.mean()\n"
    )
    held = RunFolder.of(tmp_path / "runs", tiny(seed=7))
    held.create(tiny(seed=7), {})
    with held.lock():
        outcomes = run([tiny(loss="bad_loss:fails"), tiny(), tiny(seed=7)], runs=tmp_path / "runs", jobs=2, wait=False)
    assert became(*outcomes) == ["failed", "finished", "running"]
    assert "LookupError: lost in a worker" in outcomes[0].message and "in fails" in outcomes[0].message
    assert f"process {os.getpid()}" in outcomes[2].message


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_killed_worker_is_replaced_and_its_run_goes_on(
    tmp_path: Path, slow: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    wholes = [uninterrupted(slow.replace(seed=s), tmp_path / "whole") for s in (0, 1)]
    monkeypatch.setenv("SLOW_SECONDS", "0.002")  # it takes eight seconds, and has a checkpoint after five
    killed: list[int] = []
    killed_runs: list[str] = []
    messages: list[str] = []

    def kill_once(event: Event) -> None:
        folder = tmp_path / "runs" / event.run
        if event.kind == "message":
            messages.append(str(event.values["text"]))
        if not killed and event.kind == "epoch" and (folder / "checkpoint.pt").exists():
            owner = owner_of(folder / "lock")
            assert owner is not None
            killed.append(owner.pid)
            killed_runs.append(event.run)
            os.kill(owner.pid, signal.SIGKILL)

    outcomes = run([slow], runs=tmp_path / "runs", seeds=2, jobs=2, watch=kill_once)
    assert len(killed) == 1 and killed[0] != os.getpid()
    assert any(text == f"a worker died; resuming {killed_runs[0]} in a new one" for text in messages), messages
    assert became(*outcomes) == ["finished", "finished"], outcomes
    resumed = {o.path.name: RunFolder(o.path).environment().plain["resumed"] for o in outcomes}
    assert len(resumed[killed_runs[0]]) == 1, "it went on, it did not begin anew"
    for outcome, whole in zip(outcomes, wholes, strict=True):
        assert_same(outcome.path, whole)


CRUEL = """
    import os, signal, sys, torch
    from torch import nn

    class Cruel(nn.Module):
        def __init__(self, inputs, outputs, how):
            super().__init__()
            self.linear, self.how = nn.Linear(inputs, outputs), how

        def forward(self, x):
            if self.training and torch.is_grad_enabled():  # not in the check
                if self.how == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                sys.exit(3)
            return self.linear(x.flatten(1))

    def build(input_shape, outputs, how):
        return Cruel(input_shape[0], outputs, how)
"""


@pytest.mark.slow
def test_a_worker_that_keeps_dying_is_given_up_and_the_others_go_on(tmp_path: Path, slow: Experiment) -> None:
    (tmp_path / "cruel.py").write_text(textwrap.dedent(CRUEL))
    killed, exited = (
        slow.replace(model={"name": "cruel:build", "how": how}, seed=seed)
        for seed, how in enumerate(("killed", "exit"))
    )
    messages: list[str] = []
    outcomes = run(
        [killed, slow.replace(epochs=2), exited, slow.replace(epochs=3)],
        runs=tmp_path / "runs",
        jobs=2,
        watch=lambda event: messages.append(str(event.values.get("text"))),
    )
    assert became(*outcomes) == ["failed", "finished", "failed", "finished"], outcomes
    assert "its worker process died 3 times (killed by SIGKILL; if out of memory" in outcomes[0].message
    assert "raised SystemExit: 3" in outcomes[2].message and "cruel.py" in outcomes[2].message
    assert messages.count(f"a worker died; resuming {outcomes[0].path.name} in a new one") == 2


Spawn = Callable[..., "subprocess.Popen[str]"]
Start = Callable[[int], "subprocess.Popen[str]"]


@pytest.fixture
def spawn(forks: Starts) -> Iterator[Spawn]:
    """Start Python with these words, in a session of its own; it ends with the test, whatever happens."""
    children = []

    def begin(*words: str, seconds: str = "0.004", starts: Starts = forks) -> subprocess.Popen[str]:
        children.append(
            starts.popen(
                words,
                env={**os.environ, "SLOW_SECONDS": seconds, "PYTHONPATH": str(Path(__file__).parents[1])},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return children[-1]

    yield begin
    for child in children:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()


@pytest.fixture
def start(spawn: Spawn) -> Start:
    """Start the program with that many jobs."""
    return lambda jobs: spawn("program.py", str(jobs))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_that_goes_on(tmp_path: Path, slow: Experiment, start: Start, number: int) -> None:
    folder = RunFolder.of(tmp_path / "runs", slow).path
    child = start(1)
    wait_for(lambda: rows(folder) > 10, "the first updates", child)
    child.send_signal(number)
    output, errors = child.communicate(timeout=PATIENCE)
    assert (child.returncode, output.strip(), errors) == (0, "['interrupted']", "")
    assert (folder / "checkpoint.pt").exists() and not (folder / "lock").exists()
    done = rows(folder)
    assert 10 < done < 240
    assert_same(uninterrupted(slow, tmp_path / "runs"), uninterrupted(slow, tmp_path / "whole"))
    assert len(RunFolder(folder).environment().plain["resumed"]) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("to_all", [True, False], ids=["as Ctrl-C does", "to the parent alone"])
def test_workers_stop_with_checkpoints_when_asked(tmp_path: Path, slow: Experiment, start: Start, to_all: bool) -> None:
    folders = [RunFolder.of(tmp_path / "runs", slow.replace(seed=s)).path for s in (0, 1)]
    child = start(2)
    wait_for(lambda: all(rows(f) > 10 for f in folders), "both workers' first updates", child)
    if to_all:
        os.killpg(child.pid, signal.SIGINT)
    else:
        child.send_signal(signal.SIGTERM)
    output, errors = child.communicate(timeout=PATIENCE)
    assert (child.returncode, output.strip()) == (0, "['interrupted', 'interrupted']"), errors
    assert "Traceback" not in errors
    for folder in folders:
        assert (folder / "checkpoint.pt").exists() and not (folder / "lock").exists()


# -- the command line, as a person meets it


@pytest.fixture
def command(spawn: Spawn) -> Spawn:
    """Start `lrbench run slow.yaml …`."""
    return functools.partial(spawn, "-m", "lrbench", "run", "slow.yaml")


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("number", "code", "jobs"), [(signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 1)])
def test_the_command_says_how_to_go_on_and_its_exit_code(
    slow: Experiment, command: Spawn, number: int, code: int, jobs: int
) -> None:
    folders = [RunFolder.of(Path("runs"), slow.replace(seed=s)).path for s in (0, 1)]
    child = command("--seeds", "2", "--jobs", str(jobs))
    wait_for(lambda: all(rows(f) > 10 for f in folders[:jobs]), "the first updates", child)
    child.send_signal(number)
    _, errors = child.communicate(timeout=PATIENCE)
    assert child.returncode == code
    assert "stopped with 2 of 2 runs left; the same command resumes" in errors
    assert "Traceback" not in errors
    assert not any((f / "lock").exists() for f in folders)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_second_ctrl_c_stops_at_once(
    slow: Experiment, command: Spawn, jobs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where an update takes long: its data never come."""
    folder = RunFolder.of(Path("runs"), slow).path
    monkeypatch.setenv("HELD", "yes")
    child = command("--seeds", jobs, "--jobs", jobs, seconds="0")
    wait_for((folder / "steps.csv").exists, "a run", child)
    family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    time.sleep(0.5)
    for _ in range(20):  # two signals are one to a process that has had no time to handle the first
        child.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            _, errors = child.communicate(timeout=5)
            break
    assert child.returncode == 130, "it goes on"
    assert (
        "stopped immediately; the same command resumes from the last checkpoint" in errors and "Traceback" not in errors
    )
    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert not alive


@pytest.fixture
def denied(tmp_path: Path, forks: Starts) -> Iterator[Callable[..., tuple[int, str]]]:
    """Run lrbench as somebody whom permissions bind, which root is only without that capability; exit code, output."""
    bound = None
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root, whom no permission binds, and no setpriv here")
        bound = Forks(["setpriv", "--bounding-set=-dac_override,-dac_read_search"])

    def run_it(*words: str) -> tuple[int, str]:
        done = (bound or forks).run(["-m", "lrbench", *words], cwd=tmp_path, timeout=240)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    yield run_it
    if bound is not None:
        bound.close()


@pytest.mark.slow
def test_what_may_not_be_read_or_written_is_named(
    tmp_path: Path, slow: Experiment, denied: Callable[..., tuple[int, str]]
) -> None:
    """The other runs go on; what is done already is shown."""
    command = ("run", "slow.yaml", "--set", "epochs=2")
    runs = tmp_path / "runs"
    assert denied(*command, "--seeds", "2")[0] == 0
    first, second = (RunFolder.of(runs, slow.replace(epochs=2, seed=s)).path for s in (0, 1))

    runs.chmod(0o555)
    code, text = denied(*command, "--seeds", "2")
    assert code == 0 and "2 of 2 were already finished" in text, "nothing needs to be written"
    assert denied(*command, "--seeds", "3") == (2, f"Error: --runs {runs}: {runs} is not writable")
    code, text = denied("report")
    assert code == 1 and text.endswith("Error: cannot write to runs/report: Permission denied")
    code, text = denied("preview", "slow.yaml")
    assert code in (1, 2) and "Traceback" not in text
    assert denied("report", "--out", "elsewhere")[0] == 0
    runs.chmod(0o755)

    result = (first / "result.json").read_bytes()
    (first / "result.json").chmod(0)
    code, text = denied(*command, "--seeds", "3")
    assert code == 1 and "result.json cannot be read: Permission denied" in text and "Traceback" not in text
    (first / "result.json").chmod(0o644)
    assert (first / "result.json").read_bytes() == result, "it was not done again over what may be whole"
    assert RunFolder.of(runs, slow.replace(epochs=2, seed=2)).status() is Status.FINISHED, "the others went on"

    (second / "env.json").chmod(0)
    code, text = denied("report")
    assert code == 0 and "env.json cannot be read: Permission denied" in text
    (second / "env.json").chmod(0o644)

    (first / "result.json").unlink()
    first.chmod(0o555)
    code, text = denied(*command, "--seeds", "4", "--jobs", "2")
    assert code == 1 and f"cannot write to {first}: Permission denied" in text and "Traceback" not in text
    first.chmod(0o755)
    assert denied(*command, "--seeds", "4")[0] == 0
    assert_same(first, uninterrupted(slow.replace(epochs=2), tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_two_commands_at_once_share_the_work(
    tmp_path: Path, slow: Experiment, command: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--seeds", "3", "--set", "epochs=20")
    with monkeypatch.context() as held:
        held.setenv("HELD", "yes")
        first = command(*words)
    wait_for(lambda: list(Path("runs").glob("slow-seed0-*/lock")), "its first run", first)
    second = command(*words)
    assert second.stdout is not None
    told = next((line for line in second.stdout if "waiting for " in line), "")
    assert re.search(r", which is running in process \d+ on ", told), "a worker, since the code is the user's"
    Path("go").touch()
    outputs = [child.communicate(timeout=PATIENCE) for child in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    done = sorted(Path("runs").glob("slow-seed*"))
    assert len(done) == 3 and all((path / "result.json").exists() for path in done)
    starts = [len(RunFolder(path).environment().plain["resumed"]) for path in done]
    assert starts == [0, 0, 0], "each was done once, by one of them"
    for seed, path in enumerate(done):
        experiment = slow.replace(seed=seed, epochs=20)
        assert_same(path, uninterrupted(experiment, tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_run_is_taken_over_when_its_owner_dies(tmp_path: Path, slow: Experiment, command: Spawn) -> None:
    folder = RunFolder.of(Path("runs"), slow.replace(epochs=60)).path
    first = command("--set", "epochs=60", seconds="0.01")
    wait_for(lambda: rows(folder) > 5, "the first updates", first)
    refused = command("--set", "epochs=60", "--no-wait")
    output, errors = refused.communicate(timeout=PATIENCE)
    assert refused.returncode == 1 and re.search(r"is running in process \d+ on", output + errors)
    second = command("--set", "epochs=60", seconds="0")
    time.sleep(6)
    assert second.poll() is None, "it waits"
    first.kill()
    first.communicate()
    output, errors = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, output + errors
    assert_same(folder, uninterrupted(slow.replace(epochs=60), tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_killed_parent_leaves_no_orphans(tmp_path: Path, slow: Experiment, start: Start) -> None:
    folders = [RunFolder.of(tmp_path / "runs", slow.replace(seed=s)).path for s in (0, 1)]
    child = start(2)
    wait_for(lambda: all(rows(f) > 10 for f in folders), "both workers' first updates", child)
    family = psutil.Process(child.pid).children(recursive=True)
    workers = {owner.pid for f in folders if (owner := owner_of(f / "lock"))}
    assert len(workers) == 2 and workers <= {p.pid for p in family}
    child.kill()
    child.communicate(timeout=PATIENCE)
    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert not alive
    for folder in folders:
        assert (folder / "checkpoint.pt").exists() and not (folder / "lock").exists()
    outcomes = run([slow], runs=tmp_path / "runs", seeds=2)
    for outcome in outcomes:
        assert_same(outcome.path, uninterrupted(outcome.experiment, tmp_path / "whole"))


STUCK = """
    import ctypes, os, torch
    from pathlib import Path
    from torch import nn

    def stay(how):
        Path(f"stuck-{os.getpid()}").touch()
        while how == "python":
            pass
        ctypes.PyDLL(None).sleep(3600)  # keeps the interpreter's lock

    class Net(nn.Module):
        def __init__(self, inputs, outputs, how):
            super().__init__()
            self.last, self.how = nn.Linear(inputs, outputs), how

        def forward(self, x):
            if self.training and torch.is_grad_enabled() and self.how:  # not in the check
                stay(self.how)
            return self.last(x.flatten(1))

    def build(input_shape, outputs, how=""):
        return Net(input_shape[0], outputs, how)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "stuck"),
    [
        (["--seeds=2", "--jobs=2", "--set", "model={name: 'stuck:build', how: python}"], 2),
        (["--seeds=2", "--jobs=2", "--set", "model={name: 'stuck:build', how: native}"], 2),
    ],
    ids=["a Python loop", "native code that keeps the interpreter's lock"],
)
def test_user_code_that_never_returns_dies_with_the_command(
    slow: Experiment, command: Spawn, words: list[str], stuck: int
) -> None:
    Path("stuck.py").write_text(textwrap.dedent(STUCK))
    child = command(*words, seconds="0")
    wait_for(lambda: len(list(Path.cwd().glob("stuck-*"))) == stuck, "all to be stuck", child)
    family = psutil.Process(child.pid).children(recursive=True)
    assert {int(path.name.partition("-")[2]) for path in Path.cwd().glob("stuck-*")} <= {p.pid for p in family}
    child.kill()
    child.communicate(timeout=PATIENCE)
    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert not alive
    for lock in Path("runs").glob("*/lock"):
        owner = owner_of(lock)
        assert owner is not None and owner.gone, "the next command need not wait"


LEAVING = """
    import multiprocessing, os, threading, time, torch
    from pathlib import Path
    from torch import nn

    def fork():
        child = os.fork()
        if child:
            Path(f"child-{child}").touch()

    ACTS = {
        "fork": fork,
        "thread": lambda: threading.Thread(target=time.sleep, args=(3600,), name="uploader").start(),
        "process": lambda: multiprocessing.Process(target=time.sleep, args=(3600,), name="server").start(),
    }

    class Net(nn.Module):
        def __init__(self, inputs, outputs, act):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(inputs, 512), nn.ReLU(), nn.Linear(512, 512), nn.Linear(512, outputs))
            self.act = act

        def forward(self, x):
            if self.training and torch.is_grad_enabled() and self.act:
                self.act = ACTS[self.act]() and None
            return self.layers(x.flatten(1))

    def build(input_shape, outputs, act):
        return Net(input_shape[0], outputs, act)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("act", "jobs"), [("fork", "1"), ("fork", "2"), ("thread", "1"), ("process", "2")])
def test_what_user_code_leaves_ends_with_the_command(
    tmp_path: Path, slow: Experiment, command: Spawn, act: str, jobs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork has none of torch's threads, for which it waits forever."""
    Path("leaving.py").write_text(textwrap.dedent(LEAVING))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    words = ["--set", f"model={{name: 'leaving:build', act: {act}}}", "--set", "epochs=2", "--set", "batch_size=64"]
    child = command(*words, "--seeds", "2", "--jobs", jobs, seconds="0")
    wait_for(lambda: list(Path.cwd().glob("runs/*/steps.csv")), "the runs", child)
    output, errors = child.communicate(timeout=PATIENCE)  # until nobody has the pipes
    assert child.returncode == 0, errors
    assert "Traceback" not in errors
    assert output.count(": finished") == 2 and "To compare them" in output
    left = [int(path.name.partition("-")[2]) for path in Path.cwd().glob("child-*")]
    wait_until(lambda: all(birth(pid) is None for pid in left))  # a process closes its pipes just before it has ended


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_data_loaders_die_with_a_killed_command(tmp_path: Path, write_config: Any, spawn: Spawn, jobs: int) -> None:
    """In the midst of a read: the images become pipes, from which nothing ever comes."""
    for number in range(24):
        for part, kind in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")):
            image = tmp_path / "images" / part / kind / f"{number:02}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), number).save(image)
    dataset = {"name": "image_folder", "path": str(tmp_path / "images"), "size": 8, "channels": 1, "in_memory": False}
    config = write_config(dataset={**dataset, "cache": 0}, batch_size=4, epochs=1000)
    child = spawn(
        "-m", "lrbench", "run", str(config), "--runs", str(tmp_path), "--seeds", str(jobs), "--jobs", str(jobs)
    )
    wait_for(lambda: sum(rows(path.parent) > 0 for path in tmp_path.glob("*/steps.csv")) == jobs, "the runs", child)
    for image in tmp_path.glob("images/train/*/*.png"):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "pipe").replace(image)
    trainers = {owner.pid for lock in tmp_path.glob("*/lock") if (owner := owner_of(lock))}

    def family() -> list[psutil.Process]:
        found = psutil.Process(child.pid).children(recursive=True)
        return found if sum(one.ppid() in trainers for one in found) >= 2 * jobs else []

    wait_for(family, "the loaders", child)
    time.sleep(0.5)
    everybody = wait_for(family, "those that read the pipes", child)
    child.kill()
    child.communicate(timeout=PATIENCE)
    _, alive = psutil.wait_procs(everybody, timeout=PATIENCE)
    assert not alive


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "number", "code"),
    [
        *((s, signal.SIGINT, 130) for s in (0.15, 0.4, 0.8, 1.5, 2.5, 3.5)),
        *((s, signal.SIGTERM, 143) for s in (0.6, 2)),
    ],
)
def test_a_signal_in_the_first_seconds_ends_the_command_at_once(
    slow: Experiment, command: Spawn, number: int, code: int, seconds: float
) -> None:
    """To the whole foreground group, as a terminal does; it may come while torch is imported, here or there."""
    for more in range(10):
        child = command("--seeds", "2", "--jobs", "2", starts=Starts())
        time.sleep(seconds * 1.5**more)
        os.killpg(child.pid, number)
        _, errors = child.communicate(timeout=PATIENCE)
        if child.returncode != -number:  # else Python itself was still starting, as on a busy machine: a moment later
            break
    assert child.returncode == code, errors
    kept = "interrupted; no run was under way, finished ones are kept, and the same command goes on"
    assert errors == "" or kept in errors or "stopped with 2 of 2 runs left; the same command resumes" in errors
    assert "Traceback" not in errors
