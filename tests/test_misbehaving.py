"""User code that misbehaves ends its own run, with a reason that a person understands; the other runs go on."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from forked import Starts
from torch import nn
from torch.utils.data import Dataset

import lrbench
from lrbench.config import Limits, identity, load_config
from lrbench.errors import ConfigError, UsageError
from lrbench.events import Event
from lrbench.runs import RunFolder, Status
from lrbench.training import RunOptions, limits, run
from lrbench.training.executors import create
from lrbench.training.executors.pool import WorkerProcesses
from lrbench.training.limits import LimitWatch, memory_of, place_in, spoken
from lrbench.training.run_one import failure
from lrbench.types import OBJECTS


def became(outcomes: Any) -> list[str]:
    return [outcome.status.value for outcome in outcomes]


def log_of(outcome: Any) -> str:
    return (outcome.path / "error.log").read_text()


# -- limits in a config


@pytest.mark.parametrize(
    ("key", "written", "read"),
    [
        ("timeout", "2h", 7200.0), ("timeout", "90 min", 5400.0), ("timeout", 30, 30.0),
        ("stall", "1.5 days", 129600.0),
        ("memory", "8GB", 8_000_000_000), ("memory", "500 MiB", 524_288_000), ("memory", 1e9, 1_000_000_000),
    ],
)  # fmt: skip
def test_limits_are_read_and_are_no_part_of_the_identity(tiny: Any, key: str, written: Any, read: Any) -> None:
    one = tiny(**{key: written})
    assert getattr(one, key) == one.plain()[key] == read and one.limits == Limits(**{key: read})
    assert identity(one) == identity(tiny()) and one.replace(**one.plain()) == one
    assert key not in tiny().plain() and not tiny().limits.any


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("timeout", 0, "timeout: must be a time such as 2h"),
        ("timeout", "soon", "timeout: must be a time such as 2h, 90 min or 3600 (seconds) (got 'soon')"),
        (
            "timeout",
            "1:30",
            "must be a time such as 2h, 90 min or 3600 (seconds) (got '1:30'); 1:30 is written as 1.5h",
        ),
        ("stall", True, "stall: must be a time such as 2h"),
        ("memory", "auto", "memory: must be a size of memory such as 8GB or 500MB (got 'auto')"),
        ("memory", 0, "memory: must be a size of memory"),
        ("memory", "8 apples", "memory: must be a size of memory"),
        ("memory", 8, "memory: must be a size of memory such as 8GB or 500MB (got 8); a number alone is bytes"),
    ],
)
def test_wrong_limits_are_told(tmp_path: Path, key: str, value: Any, problem: str) -> None:
    command = {"name": "one", "command": "true", key: value}
    training = {"name": "one", "dataset": "digits", "model": "mlp", "optimizer": "sgd", "epochs": 1, key: value}
    for number, plain in enumerate((command, training)):
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump(plain))
        with pytest.raises(ConfigError) as told:
            load_config(file)
        assert problem in str(told.value) and str(told.value).startswith(f"{file}:")


def test_a_run_with_limits_is_executed_by_a_worker(tmp_path: Path, tiny: Any) -> None:
    alone = create(RunOptions(), tmp_path, [tiny(stall=60)])
    assert isinstance(alone, WorkerProcesses) and alone.jobs == 1


def test_limits_that_nobody_could_watch_are_refused(tmp_path: Path, tiny: Any) -> None:
    with pytest.raises(UsageError, match="limits need the executor 'local'; remove them"):
        create(RunOptions(executor="ray"), tmp_path, [tiny(timeout=60)])
    pytest.importorskip("submitit")
    with pytest.raises(UsageError, match=r"limits need the executor 'local'; .*Slurm's time and mem"):
        create(RunOptions(executor="slurm", slurm="cluster=local"), tmp_path, [tiny(stall=60)])
    with pytest.raises(UsageError, match=r"made from Python objects.*no timeout, stall or memory limit"):
        create(RunOptions(), tmp_path, [tiny(timeout=60, model=f"{OBJECTS}net-1")])


def test_times_are_told_as_people_write_them() -> None:
    assert [spoken(one) for one in (7200, 5400, 90, 0.3, 60, 3600)] == [
        "2 hours", "90 minutes", "90 seconds", "0.3 seconds", "1 minute", "1 hour",
    ]  # fmt: skip


def test_which_limit_is_exceeded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: now[0])
    watched = LimitWatch(Limits(timeout=60, stall=10), os.getpid(), *now * 2)
    now[0] = 109
    assert watched.exceeded() is None
    now[0] = 111
    told = "it was stopped because it got nowhere in the 10 seconds since its start (its `stall` limit)"
    assert watched.exceeded() == told
    watched.progressed()
    now[0] = 118
    assert watched.exceeded() is None
    now[0] = 122
    assert watched.exceeded() == "it was stopped because it got no further for 10 seconds (its `stall` limit)"
    watched.progressed()
    now[0] = 161
    watched.progressed()
    assert watched.exceeded() == "it was stopped after its timeout of 1 minute"
    greedy = LimitWatch(Limits(memory=1_000_000), os.getpid(), *now * 3)
    assert greedy.exceeded() is None and not greedy.out_of_memory, "it is not looked at each time"
    now[0] = 162
    told = greedy.exceeded()
    assert told is not None and told.endswith("more than its `memory` limit of 1 MB") and greedy.out_of_memory


def test_the_memory_of_a_process_that_has_ended_is_none() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert memory_of(child) == 0
    assert memory_of(os.getpid()) > 50_000_000


STACK = """Fatal Python error: Segmentation fault

Thread 0x00007f0000000001 (most recent call first):
  File "/home/me/other.py", line 3 in beat

Current thread 0x00007f0000000000 (most recent call first):
  File "{library}/ctypes/__init__.py", line 519 in string_at
  File "/home/me/my nets.py", line 27 in forward
  File "/home/me/train.py", line 2 in <module>
"""


def test_the_place_in_a_stack_is_the_innermost_of_the_user_s_code() -> None:
    stack = STACK.format(library=Path(os.__file__).parent)
    assert place_in(stack) == "; it was in forward (/home/me/my nets.py, line 27)"
    ours = f'Thread 0x1 (most recent call first):\n  File "{limits.__file__}", line 1 in one\n'
    assert place_in(ours) == place_in("") == ""
    assert place_in(ours + '\nThread 0x0 (most recent call first):\n  File "a.py", line 1 in b\n') == (
        "; it was in b (a.py, line 1)"
    )


@pytest.mark.parametrize(
    ("stack", "named"), [("", False), ("Thread 0x1:\n  <no Python frame>\n", False), (STACK, True)]
)
def test_a_log_is_named_only_if_it_has_a_traceback(tmp_path: Path, tiny: Any, stack: str, named: bool) -> None:
    folder = RunFolder.of(tmp_path, tiny())
    folder.create(tiny(), {})
    with folder.lock():
        result = failure(folder, tiny(), "it was stopped because it used 2 GB", stack)
    assert ("Python stack: " in result.reason) is named is (folder.path / "error.log").exists()


# -- runs of lrbench's own loop


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_runs_that_hang_or_grow_end_alone(bad: Any, tiny: Any, jobs: int) -> None:
    runs = [
        bad("hang", stall=10), bad("hang_in_c", timeout=30), bad("leak", memory="1200MB"),
        bad("leak_in_a_child", memory="1GB"), tiny(stall=60, timeout="1h", memory="8GB"),
    ]  # fmt: skip
    told: list[Event] = []
    hang, in_c, leak, child, good = outcomes = run(runs, runs="runs", jobs=jobs, watch=told.append)
    assert became(outcomes) == ["failed"] * 4 + ["finished"], [one.message for one in outcomes]
    assert hang.message.startswith(
        "it was stopped because it got no further for 10 seconds (its `stall` limit); it was in hang ("
    )
    assert in_c.message.startswith("it was stopped after its timeout of 30 seconds; it was in hang_in_c (")
    assert leak.message.startswith("it was stopped because it used 1.") and "; it was in leak (" in leak.message
    assert child.message.startswith("it was stopped because it used 1") and "in leak_in_a_child (" in child.message
    assert "in hang\n" in log_of(hang) and "in hang_in_c\n" in log_of(in_c)
    for one in outcomes:
        assert json.loads((one.path / "result.json").read_text())["reason"].startswith(one.message[:50])
        assert not (one.path / "lock").exists()
        (ended,) = [event for event in told if event.run == one.path.name and event.kind == "end"]
        assert ended.values["result"].reason == one.message
    assert not (good.path / "error.log").exists()


@pytest.mark.slow
def test_a_worker_has_the_threads_of_this_process(tmp_path: Path, tiny: Any) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    (here,) = run([tiny()], runs=tmp_path / "here")
    (there,) = run([tiny(timeout=600)], runs=tmp_path / "there")
    torch.set_num_threads(before)
    assert (there.path / "steps.csv").read_bytes() == (here.path / "steps.csv").read_bytes()
    assert RunFolder(there.path).environment().plain["threads"] == 1


@pytest.mark.slow
def test_a_run_beyond_a_limit_is_retried_if_asked(bad: Any) -> None:
    from lrbench.training import Outcome
    from lrbench.training.orchestrate import do
    from lrbench.training.outcome import look

    said: list[str] = []
    options = RunOptions(retries=1)
    one = bad("hang", stall=1)
    outcome: Outcome = look(Path("runs").absolute(), one, options.kind_of(one), again=False)
    do([outcome], Path("runs").absolute(), options, lambda event: said.append(str(event.values.get("text"))))
    assert outcome.status.value == "failed" and outcome.message.startswith("it was stopped because")
    assert sum("failed and is retried (it was stopped because it got no further" in text for text in said) == 1


@pytest.mark.slow
def test_crashes_end_alone_and_say_where(bad: Any, tiny: Any) -> None:
    crash, abort, thread, _ = outcomes = run(
        [bad("crash"), bad("abort"), bad("end_in_a_thread"), tiny()], runs="runs", jobs=2
    )
    assert became(outcomes) == ["failed", "failed", "failed", "finished"]
    assert crash.message.startswith("its worker process died 3 times (killed by SIGSEGV); it was in crash (")
    assert abort.message.startswith("its worker process died 3 times (killed by SIGABRT); it was in abort (")
    assert thread.message.startswith("user code ended the process: os._exit(3) in a thread")
    assert "in crash\n" in log_of(crash) and "in abort\n" in log_of(abort)
    assert [RunFolder(one.path).status().value for one in outcomes] == became(outcomes)


@pytest.mark.slow
def test_a_command_with_one_job_outlives_a_crash(bad: Any, tiny: Any, forks: Starts) -> None:
    for name, one in (("crash", bad("crash")), ("good", tiny(name="good"))):
        Path(f"{name}.yaml").write_text(one.yaml())
    done = forks.run(["-m", "lrbench", "run", "crash.yaml", "good.yaml", "--jobs", "1"], timeout=300)
    assert done.returncode == 1
    assert "its worker process died 3 times (killed by SIGSEGV); it was in crash (" in done.stderr + done.stdout
    assert RunFolder.of(Path("runs"), tiny(name="good")).status() is Status.FINISHED


def test_a_run_whose_command_was_killed_gets_a_worker(tmp_path: Path, tiny: Any) -> None:
    from lrbench.errors import command_line
    from lrbench.training import look
    from lrbench.training.orchestrate import _crashed

    folder, options = RunFolder.of(tmp_path, tiny()), RunOptions()
    folder.create(tiny(), {"crashed": True})
    said: list[Event] = []
    pending = [look(tmp_path, tiny(), options.kind_of(tiny()), again=False)]
    assert not _crashed(pending, said.append), "a script may lack a guard for its main part"
    with command_line():
        assert _crashed(pending, said.append)
        assert isinstance(create(options, tmp_path, [tiny()], lambda: True), WorkerProcesses)
    assert f"since the last process of {folder.name} was killed or crashed" in said[0].values["text"]


class Net(nn.Module):
    """A linear model that does something in each update, and perhaps in evaluation."""

    def __init__(self, outputs: int, act: Callable[[], object], evaluated: float = 1.0) -> None:
        super().__init__()
        self.last, self.act, self.evaluated = nn.Linear(64, outputs), act, evaluated

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and torch.is_grad_enabled():
            self.act()
            return self.last(x.flatten(1))
        return self.last(x.flatten(1)) * (1.0 if torch.is_grad_enabled() else self.evaluated)


def print_much() -> None:
    for number in range(50_000):
        print("line", number)


def reseed() -> None:
    torch.manual_seed(0)


def more_threads() -> None:
    torch.set_num_threads(torch.get_num_threads() + 1)


def start_threads() -> None:
    for _ in range(50):
        threading.Thread(target=time.sleep, args=(0.01,), daemon=True).start()


def elsewhere() -> None:
    os.chdir("/")


def acting(outputs: int, act: str) -> nn.Module:
    return Net(outputs, getattr(sys.modules[__name__], act))


@pytest.mark.parametrize("act", ["print_much", "reseed", "more_threads", "start_threads", "elsewhere"])
def test_what_is_only_rude_harms_nobody(
    tmp_path: Path, tiny: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    (alone,) = run([tiny()], runs="alone")
    rude, other = run([tiny(model={"name": f"{__name__}:acting", "act": act}), tiny()], runs="runs")
    assert became([rude, other]) == ["finished", "finished"], rude.message
    assert (other.path / "steps.csv").read_bytes() == (alone.path / "steps.csv").read_bytes()
    assert torch.get_num_threads() == threads and Path.cwd() == tmp_path
    assert capfd.readouterr().out.count("line ") == (200_000 if act == "print_much" else 0)


def not_finite_in_evaluation(outputs: int) -> nn.Module:
    return Net(outputs, float, evaluated=float("nan"))


def test_nan_in_evaluation_alone_is_a_divergence(tmp_path: Path, tiny: Any) -> None:
    bad, other = run([tiny(model=f"{__name__}:not_finite_in_evaluation"), tiny()], runs=tmp_path)
    assert became([bad, other]) == ["diverged", "finished"]
    assert bad.message == "the validation loss was not finite after update 2"


class Broken(Dataset[Any]):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == 41:
            raise LookupError("no file for example 41")
        return torch.zeros(64) + index % 2, index % 2


def one_broken() -> dict[str, Any]:
    inputs = torch.zeros(8, 64)
    return {"train": Broken(), "test": (inputs, torch.arange(8) % 2), "classes": 2}


@pytest.mark.parametrize("workers", [0, 1])
def test_an_example_that_raises_ends_its_run_alone(tmp_path: Path, tiny: Any, workers: int) -> None:
    data = {"name": f"{__name__}:one_broken", "workers": workers}
    bad, other = run([tiny(dataset=data), tiny()], runs=tmp_path)
    assert became([bad, other]) == ["failed", "finished"], bad.message
    assert "LookupError: no file for example 41" in bad.message and "__getitem__" in log_of(bad)


# -- commands


def run_command(tmp_path: Path, script: str, **keys: Any) -> Any:
    (tmp_path / "train.sh").write_text(script)
    plain = {"name": "mine", "command": "sh train.sh", "params": {"lr": 0.1}, **keys}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(plain))
    (outcome,) = lrbench.run([tmp_path / "mine.yaml"], runs=tmp_path / "runs")
    return outcome


def test_a_command_that_stalls_is_stopped(tmp_path: Path) -> None:
    outcome = run_command(tmp_path, "echo loading; exec sleep 100", stall=1.5)
    assert outcome.status.value == "failed"
    assert outcome.message.startswith(
        "it was stopped because it got no further for 1.5 seconds (its `stall` limit)\n  loading\nFull output: "
    )


def test_a_command_that_is_stopped_before_it_has_begun_is_told_as_such(tmp_path: Path) -> None:
    outcome = run_command(tmp_path, "exec sleep 100", stall=1)
    told = "it was stopped because it got nowhere in the 1 second since its start (its `stall` limit)"
    assert outcome.message.startswith(told)


def test_what_a_command_says_of_being_stopped_is_left_to_its_log(tmp_path: Path) -> None:
    """As torchrun, whose ranks print the traceback of a KeyboardInterrupt each."""
    outcome = run_command(tmp_path, "trap 'echo KeyboardInterrupt; exit 1' INT; echo loading; sleep 100", stall=1.5)
    assert "loading\nFull output: " in outcome.message and "KeyboardInterrupt" not in outcome.message
    assert "KeyboardInterrupt" in (outcome.path / "output.log").read_text()


def test_a_command_whose_output_can_t_be_searched_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lrbench.runs.logs import patterns

    monkeypatch.setattr(patterns, "LINE_SECONDS", 0.1)
    outcome = run_command(
        tmp_path, f"echo {'a' * 200}; exec sleep 1000", read={"stdout": "(?P<val_loss>(a|aa)+)b"}, timeout="1h"
    )
    assert outcome.status.value == "failed"
    assert outcome.message.startswith("it was stopped because the pattern '(?P<val_loss>(a|aa)+)b' of `read` took more")


@pytest.mark.slow
def test_output_or_rows_are_progress_of_a_command(tmp_path: Path) -> None:
    loop = "for i in 1 2 3 4 5 6 7 8; do {}; sleep 1; done"
    assert "recorded no values" in run_command(tmp_path, loop.format("echo $i"), stall=6).message
    (tmp_path / "other").mkdir()
    written = loop.format('echo "$i" >> "$LRBENCH_RUN/more.csv"')
    assert "recorded no values" in run_command(tmp_path / "other", written, stall=6).message


@pytest.mark.slow
def test_a_command_that_grows_is_killed_with_its_children(tmp_path: Path) -> None:
    grow = f"{sys.executable} -c 'import time; kept = bytearray(300_000_000); time.sleep(100)'"
    outcome = run_command(tmp_path, f"{grow} & wait", memory="200MB", command="sh train.sh")
    assert outcome.status.value == "failed" and outcome.message.startswith("it was stopped because it used ")
    assert "more than its `memory` limit of 200 MB" in outcome.message
