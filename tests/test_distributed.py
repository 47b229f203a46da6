"""Commands that train one model with several processes: what befalls a rank, real torchrun and gloo, the example."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked import Starts
from recording import nothing_recorded
from waiting import PATIENCE, alive, gone, wait_until

import lrbench
from lrbench.errors import LockedError
from lrbench.integrations import recording
from lrbench.runs import RunFolder, Status, first_failure, last_output, read_csv

EXAMPLE = Path(__file__).parent.parent / "examples" / "distributed"
STEPS = 1437 // 64
"""The steps of an epoch of the example."""

# -- what torchrun prints

LOGGED = """\
W1130 10:43:17.239000 27197 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 6 closing signal \
SIGTERM
E1130 10:43:17.363000 27197 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1) local_rank: 1 \
(pid: 7) of binary: /usr/bin/python
"""
FAILURE = """\
[0]:
  time      : 2026-11-30_10:43:{second}
  host      : localhost
  rank      : {rank} (local_rank: {local})
  exitcode  : {code} (pid: 27206) {signal}
  error_file: <N/A>
  traceback : Signal 15 (SIGTERM) received by PID 27206
"""
REPORT = """\
Traceback (most recent call last):
  File "/usr/bin/torchrun", line 8, in <module>
    sys.exit(main())
             ^^^^^^
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
=======================================================
train.py FAILED
-------------------------------------------------------
Failures:
{others}-------------------------------------------------------
Root Cause (first observed failure):
{root}=======================================================
"""
"""As torchrun of PyTorch 2.14 prints it, if a part of the way through itself is left out."""
TRACEBACK = """\
[rank{rank}]: Traceback (most recent call last):
[rank{rank}]:   File "train.py", line 8, in <module>
[rank{rank}]: {error}
"""


def failure(rank: int, code: int, second: int = 17, local: int | None = None) -> str:
    name = f" ({signal.Signals(-code).name})" if code < 0 else ""
    return FAILURE.format(rank=rank, local=rank if local is None else local, code=code, second=second, signal=name)


def report(root: str, *others: str) -> str:
    return LOGGED + REPORT.format(root=root, others="".join(others) or "  <NO_OTHER_FAILURES>\n")


RAISED = TRACEBACK.format(rank=1, error="ValueError: no") + TRACEBACK.format(rank=0, error="RuntimeError: Connection")


@pytest.mark.parametrize(
    ("output", "rank", "code", "last"),
    [
        (f"epoch 1\n{RAISED}{report(failure(1, 1), failure(0, -15))}", 1, 1, "[rank1]: ValueError: no"),
        (f"epoch 1\n{report(failure(1, -9), failure(0, -15))}", 1, -9, "epoch 1"),
        (f"epoch 1\n{report(failure(1, -9))}\nsemaphores leaked\n", 1, -9, "epoch 1"),
        (f"a\n{report(failure(0, 1), failure(1, -11))}", 1, -11, "a"),
        (f"a\n{report(failure(0, 1), failure(1, -9, second=47))}", 0, 1, "a"),
        (f"a\n{report(failure(0, 1), failure(1, -15))}", 0, 1, "a"),
        (f"{report(failure(0, 2))}{RAISED}{report(failure(1, 1))}", 1, 1, "[rank1]: ValueError: no"),
        (f"[default0]:x\n[default1]:y\n[default0]:z\n{LOGGED}[default0]:w\n{report(failure(2, 1, local=0))}",
         2, 1, "[default0]:w"),
        (f"[rank3]: x\nunmarked\n[rank1]: y\n{report(failure(2, 1, local=0))}", 2, 1, "unmarked"),
    ],
)  # fmt: skip
def test_the_rank_that_failed_first(tmp_path: Path, output: str, rank: int, code: int, last: str) -> None:
    (tmp_path / "output.log").write_text(output)
    found = first_failure(tmp_path / "output.log")
    assert found is not None and (found.rank, found.code, found.lines[-1]) == (rank, code, last)
    assert last_output(tmp_path / "output.log", 1) == [last]


@pytest.mark.parametrize(
    "output",
    [
        "", "Failures:\n", "a\nb\n", "Root Cause (first observed failure):\n====\n", "=\n", "\n".join(["x"] * 3000),
        f"{report(failure(1, 1))}starts again\n1\n2\n3\n4\n", report(failure(1, 1)).replace("exitcode", "code"),
    ],
)  # fmt: skip
def test_other_output_is_shown_as_it_is(tmp_path: Path, output: str) -> None:
    path = tmp_path / "output.log"
    path.write_text(output)
    assert first_failure(path) is None and last_output(path, 3) == [one for one in output.splitlines() if one][-3:]


def test_the_reason_names_the_rank(tmp_path: Path) -> None:
    (tmp_path / "torchrun.txt").write_text(RAISED + report(failure(1, 1), failure(0, -15)))
    plain = {"name": "mine", "command": f"cat {tmp_path}/torchrun.txt; exit 1", "shell": True}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(plain))
    (outcome,) = lrbench.run([tmp_path / "mine.yaml"], runs=tmp_path / "runs")
    assert outcome.message.startswith("rank 1: ValueError: no\n  Traceback (most recent call last):\n    File")
    assert "[rank" not in outcome.message and "Root Cause" not in outcome.message


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (f"a\n{report(failure(1, -9))}", "rank 1 was killed by SIGKILL; it may have run out of memory\n  a\nFull"),
        (f"no data\n{report(failure(1, 3))}", "rank 1 ended with exit code 3: no data\nFull"),
        (report(failure(1, 3)), "rank 1 ended with exit code 3\nFull"),
        ("ok\ntorch.OutOfMemoryError: CUDA\n", "torch.OutOfMemoryError: CUDA\n  ok\nFull"),
        ("bye\n", "the command ended with exit code 1: bye\nFull"),
    ],
)  # fmt: skip
def test_a_reason_begins_with_what_says_most(tmp_path: Path, output: str, reason: str) -> None:
    (tmp_path / "output.txt").write_text(output)
    plain = {"name": "mine", "command": f"cat {tmp_path}/output.txt; exit 1", "shell": True}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(plain))
    (outcome,) = lrbench.run([tmp_path / "mine.yaml"], runs=tmp_path / "runs")
    assert outcome.message.startswith(reason)


# -- who records


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The folder of a run whose command is this program."""
    (tmp_path / "given").mkdir()
    with nothing_recorded(monkeypatch, tmp_path):
        monkeypatch.setenv("LRBENCH_RUN", str(tmp_path / "given"))
        yield RunFolder(tmp_path / "given")


RECORDS = """
import lrbench, os, sys
run = lrbench.record()
run.evaluate(val_loss=2.0)
if sys.argv[1:] == ["waits"]:
    print("recording", flush=True)
    sys.stdin.read()
os._exit(0)
"""


def test_two_processes_that_do_not_say_their_rank_are_refused(cell: RunFolder, forks: Starts) -> None:
    script = cell.path.parent / "train.py"
    script.write_text(RECORDS)
    first = forks.popen([script, "waits"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "recording\n"
    second = forks.run([script], timeout=PATIENCE)
    assert second.returncode == 1
    told = second.stderr.splitlines()[-1]
    assert told.startswith(f"lrbench.errors.LockedError: two processes of one command record {cell.name}")
    assert f"process {first.pid} on " in told and told.endswith("set RANK before lrbench.record, or pass rank=")
    assert forks.run([script], timeout=PATIENCE, env={**os.environ, "RANK": "1"}).returncode == 0
    first.kill()
    first.communicate()
    assert forks.run([script], timeout=PATIENCE).returncode == 0, "the lock of a killed process binds nobody"
    assert read_csv(cell.epochs.path)["val_loss"].tolist() == [2.0]


def test_one_process_after_the_other_may_record(cell: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (2.0, 1.0):
        monkeypatch.setattr(recording, "_of_commands", {})  # as another process
        with lrbench.record() as run:
            run.evaluate(val_loss=value)
            monkeypatch.setattr(recording, "_of_commands", {})
            with pytest.raises(LockedError, match="two processes of one command record given is running in process"):
                lrbench.record()
    assert read_csv(cell.epochs.path)["val_loss"].tolist() == [1.0]
    assert not list(cell.path.glob("*.lock"))


def test_the_lock_of_the_recorder_is_no_progress(cell: RunFolder) -> None:
    before = cell.written()
    with cell.recorder_lock():
        os.utime(cell.path / "recorder.lock")
        assert cell.written() == before
    cell.output.write_text("epoch 1\n")
    assert cell.written() != before


# -- real processes

FAULTY = """
import json, os, runpy, signal, sys, time
from pathlib import Path
from torch.optim.optimizer import register_optimizer_step_pre_hook

folder, steps = Path(__file__).parent, 0


def fail(*_):
    global steps
    steps += 1
    if steps < int(os.environ["FAULT_AT"]) or os.environ["RANK"] != "1":  # rank 1 alone reads what it writes
        return
    told = json.loads((folder / "faults.json").read_text())
    if not told:
        return
    fault, *left = told
    (folder / "faults.json").write_text(json.dumps(left))
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "raises":
        raise ValueError("no such batch")
    (folder / "hangs").touch()
    time.sleep(10_000)


register_optimizer_step_pre_hook(fail)
try:
    runpy.run_path(str(folder / "train.py"), run_name="__main__")
except RuntimeError:  # the other rank is lost
    time.sleep(10_000)
"""
"""The example's script, whose rank 1 meets the next of the faults in `faults.json` at a step of each start."""
BUSY = "rm -f {folder}/hangs; (until [ -e {folder}/hangs ]; do echo; sleep 0.2; done) & exec "
"""Output until a rank hangs, so that nothing depends on how long torchrun takes to start."""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory, forks: Starts) -> dict[str, str]:
    """Environment variables by which torchrun starts ranks that need not import torch anew."""
    folder = tmp_path_factory.mktemp("ranks")
    forks.shims(folder)
    python = {"PYTHON_EXEC": str(folder / "python")} if (folder / "python").exists() else {}
    return {"OMP_NUM_THREADS": "1", **python}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, forks: Starts, ranks: dict[str, str]) -> Callable[[str], RunFolder]:
    """The example's script by itself, uninterrupted, by each strategy."""
    folder = tmp_path_factory.mktemp("whole")
    found: dict[str, RunFolder] = {}

    def trained(strategy: str) -> RunFolder:
        if strategy not in found:
            words = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", EXAMPLE / "train.py"]
            words += ["--epochs", "4", "--strategy", strategy]
            (folder / strategy).mkdir()
            done = forks.run(words, PATIENCE, env={**os.environ, **ranks}, cwd=folder / strategy)
            assert done.returncode == 0, done.stderr
            (path,) = (folder / strategy / "runs").iterdir()
            found[strategy] = RunFolder(path)
        return found[strategy]

    return trained


def started(forks: Starts, config: Path, *words: str) -> subprocess.Popen[str]:
    command = ["-m", "lrbench", "sweep", config, "--seeds", "1", "--jobs", "1", *words]
    return forks.popen(
        command, cwd=config.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def the_run(tmp_path: Path) -> RunFolder:
    (path,) = (tmp_path / "runs").glob("*-seed0-*")
    return RunFolder(path)


def equals(folder: RunFolder, other: RunFolder) -> None:
    """The same rows, bit for bit."""
    assert folder.steps.path.read_text() == other.steps.path.read_text()
    mine, theirs = read_csv(folder.epochs.path), read_csv(other.epochs.path)
    for name in ("epoch", "step", "train_loss", "val_loss", "val_accuracy"):
        assert mine[name].tolist() == theirs[name].tolist(), name


@pytest.mark.slow
def test_a_lost_rank_ends_the_others_and_a_retry_goes_on_from_the_checkpoint(
    tmp_path: Path, forks: Starts, ranks: dict[str, str], whole: Callable[[str], RunFolder]
) -> None:
    (tmp_path / "train.py").write_text((EXAMPLE / "train.py").read_text())
    (tmp_path / "faulty.py").write_text(FAULTY)
    (tmp_path / "faults.json").write_text(json.dumps(["killed", "raises", "hangs"]))
    plain = yaml.safe_load((EXAMPLE / "train.yaml").read_text())
    rest = plain["command"].removeprefix("torchrun").replace(" train.py ", f" {tmp_path}/faulty.py ")
    plain |= {
        "command": f"{BUSY.format(folder=tmp_path)}{sys.executable} -m torch.distributed.run{rest}", "shell": True,
        "params": {**plain["params"], "epochs": 4}, "sweep": {"lr": [0.1]}, "stall": 10,
        "env": {**plain["env"], **ranks, "MARK": str(tmp_path), "FAULT_AT": STEPS + 3},
    }  # fmt: skip
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(plain))
    process = started(forks, tmp_path / "train.yaml", "--retries", "3")
    output, _ = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode == 0, output
    assert gone(str(tmp_path))
    told = " ".join(output.split())
    why = [
        "rank 1 was killed by SIGKILL; it may have run out of memory)",
        "rank 1: ValueError: no such batch)",
        "it was stopped because it got no further for 10 seconds (its `stall` limit))",
    ]
    assert [told.count(f"{the_run(tmp_path).name} failed and is retried ({one}") for one in why] == [1, 1, 1], output
    assert len(the_run(tmp_path).environment().resumed) == 3
    equals(the_run(tmp_path), whole("ddp"))


STUBBORN = """
import os, signal, sys, time
from pathlib import Path

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
Path(sys.argv[1], f"rank{os.environ['RANK']}").touch()
while sys.argv[2] == "ends" and len(list(Path(sys.argv[1]).glob("rank*"))) < 2:
    time.sleep(0.05)
if sys.argv[2] == "ends" and os.environ["RANK"] == "1":
    os.kill(os.getppid(), signal.SIGKILL)
time.sleep(10_000)
"""
"""A rank that ignores signals; rank 1 may kill torchrun. It needs no torch."""


@pytest.mark.slow
@pytest.mark.parametrize("who", ["torchrun", "lrbench"])
def test_no_rank_outlives_torchrun_or_lrbench(tmp_path: Path, forks: Starts, who: str) -> None:
    (tmp_path / "rank.py").write_text(STUBBORN)
    torchrun = f"{sys.executable} -m torch.distributed.run --standalone --nproc_per_node 2"
    command = f"{torchrun} rank.py {tmp_path} {'ends' if who == 'torchrun' else 'waits'}"
    plain = {"name": "mine", "command": command, "env": {"MARK": str(tmp_path)}, "params": {"lr": 0.1}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**plain, "sweep": {"lr": [0.1]}}))
    process = started(forks, tmp_path / "mine.yaml")
    if who == "lrbench":
        wait_until(lambda: len(list(tmp_path.glob("rank?"))) == 2)
        assert len(alive(str(tmp_path))) >= 4, "the ranks, torchrun and the process that watches it"
        process.kill()
        process.communicate()
        assert gone(str(tmp_path))
        return
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1 and "the command was killed by SIGKILL" in output
    assert gone(str(tmp_path))
    result = the_run(tmp_path).result()
    assert result is not None and result.status is Status.FAILED


@pytest.mark.slow
def test_fsdp_comes_to_the_losses_of_ddp(whole: Callable[[str], RunFolder]) -> None:
    ddp, fsdp = (read_csv(whole(strategy).steps.path)["loss"] for strategy in ("ddp", "fsdp"))
    assert len(ddp) == 4 * STEPS and ddp[-5:].mean() < ddp[:5].mean() / 3
    assert fsdp.tolist() == pytest.approx(ddp.tolist(), rel=1e-3)
