"""What is asked of Slurm, and what its answers mean; no jobs are submitted. Those are in test_slurm_jobs.py."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lrbench
from lrbench.errors import ArgumentError, Interrupted, UsageError
from lrbench.runs import Job, RunFolder
from lrbench.training import RunOptions
from lrbench.training.executors import slurm_states
from lrbench.training.executors.slurm_request import SlurmRequest
from lrbench.training.executors.slurm_states import State

Cli = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]
JOB = {"queue": "slurm", "id": "12_3", "log": "12_3_0_log.out", "stop": "stop-1", "submitted": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("time=4:00:00", SlurmRequest(240)),
        ("time=1", SlurmRequest(1, signal_delay=30)),
        ("time=3,nice=-5,gpus=a100:2", SlurmRequest(3, passed_on={"nice": "-5", "gpus": "a100:2"})),
        (
            "partition=gpu,time=4:00:00,gpus_per_node=1,cpus_per_task=8",
            SlurmRequest(240, cpus=8, passed_on={"partition": "gpu", "gpus_per_node": "1"}),
        ),
        (
            "--mem-per-cpu=4G, time=90 ,exclude='n1,n2',exclusive",
            SlurmRequest(90, passed_on={"mem_per_cpu": "4G", "exclude": "n1,n2", "exclusive": True}),
        ),
        (
            'time=1,setup="module load a,b; export X=1",job_name=mine,signal_delay=30',
            SlurmRequest(1, name="mine", setup="module load a,b; export X=1", signal_delay=30),
        ),
        ("cluster=local", SlurmRequest(None, local=True)),
    ],
)
def test_what_is_asked(text: str, wanted: SlurmRequest) -> None:
    assert SlurmRequest.parse(text) == wanted


@pytest.mark.parametrize(
    ("time", "minutes"),
    [("90", 90), ("1:30", 2), ("0:30:00", 30), ("2-12", 3600), ("1-0:01", 1441), ("1-00:00:01", 1441), ("0:0:1", 1)],
)
def test_times_as_sbatch_writes_them(time: str, minutes: int) -> None:
    assert SlurmRequest.parse(f"time={time}").minutes == minutes


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("partition=gpu", "needs the time of a job"),
        ("time=4h", "time must be a time limit such as 4:00:00"),
        ("time=0", "time must be a time limit"),
        ("time=1:2:3:4", "time must be a time limit"),
        ("time=3,partiton=gpu", "did you mean 'partition'"),
        ("time=3,exclude=n1,n2", "unknown key 'n2' (values with commas are quoted)"),
        ("time=3,mem=", "mem needs a value"),
        ("time=3,mem", "mem needs a value"),
        ("time=3,time=4", "time is given twice"),
        ("time=3,nodes=2", "each run is one task on one node"),
        ("time=3,array=0-3", "lrbench submits the runs as one array"),
        ("time=3,cpus_per_task=0", "cpus_per_task must be a whole number from 1"),
        ("time=3,cluster=lokal", "did you mean 'local'"),
        ("time='3", "a quotation mark is not closed"),
        ("cluster=local,mem=banana", "mem must be a size such as 8G or 500M (got 'banana')"),
        ("time=3,mem_per_cpu=1.5G", "mem_per_cpu must be a size such as 8G"),
        ("tme=3", "as in partition=gpu,time=4:00:00"),
        ("time=3,comment='a\nb'", "comment must be on one line"),
        ("time=3,nice=high", "nice must be a whole number such as 100 (got 'high')"),
        ("time=3,gpus_per_node=two", "gpus_per_node must be a number of GPUs such as 1 or a100:1"),
        ("time=3,cpus_per_gpu=0", "cpus_per_gpu must be a whole number from 1"),
        ("time=3,mail_type=ending", "mail_type must be types such as END"),
        ("time=3,mail_user='a b'", "mail_user must be a user or an address"),
        ("time=3,signal_delay=180", "signal_delay must be less than the time of a job, 180 seconds (got 180)"),
        ("time=3,signal_delay=soon", "signal_delay must be a whole number from 1"),
    ],
)
def test_mistakes_in_what_is_asked(text: str, fragment: str) -> None:
    with pytest.raises(UsageError) as told:
        SlurmRequest.parse(text)
    assert fragment in str(told.value)


def test_options_that_need_slurm() -> None:
    with pytest.raises(UsageError, match="slurm needs executor slurm"):
        RunOptions(slurm="time=3")
    with pytest.raises(ArgumentError, match="slurm must be text"):
        RunOptions(executor="slurm", slurm=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="did you mean 'slurm'"):
        RunOptions(executor="slrum")


def test_options_are_checked_though_all_runs_are_finished(cli: Cli, write_config: Write) -> None:
    words = ("sweep", write_config(), "--lr", "0.1,0.2")
    assert cli(*words, "--jobs", "1")[0] == 0
    for asked, problem in (
        ("cluster=locl", "did you mean 'local'"),
        ("cluster=local,mem=banana", "mem must be a size"),
    ):
        code, _, err = cli(*words, "--executor", "slurm", "--slurm", asked)
        assert code == 2 and problem in err
    code, _, err = cli(*words, "--executor", "slurm")
    assert code == 2 and "needs the time of a job" in err


@pytest.mark.parametrize(
    "said",
    [
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "sbatch: error: fetch_config: DNS SRV lookup failed\nsbatch: fatal: Could not establish a configuration source",
    ],
)
def test_no_cluster_answers(
    cli: Cli, write_config: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str
) -> None:
    pytest.importorskip("submitit")
    (tmp_path / "bin").mkdir()
    for name in ("sbatch", "srun"):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    code, _, err = cli("sweep", write_config(), "--lr", "0.1,0.2", "--executor", "slurm", "--slurm", "time=3")
    assert code == 2 and f"no Slurm cluster answers on this machine ({said.splitlines()[-1]}); use it on" in err
    assert "--slurm cluster=local" in err and "DNS" not in err
    assert not Path("runs").exists(), "or its status would be pending for ever"


def test_no_slurm_here(cli: Cli, write_config: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    config = write_config()
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = cli("sweep", config, "--lr", "0.1,0.2", "--executor", "slurm", "--slurm", "time=3")
    assert code == 2 and "needs Slurm's commands" in err and "--slurm cluster=local" in err
    assert not Path("runs").exists()


def test_from_python_the_same_is_asked(write_config: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    config = write_config()
    with pytest.raises(ArgumentError, match=r"slurm must be text such as 'partition=gpu,time=4:00:00'.*\(got {"):
        lrbench.sweep([config], lr="0.1,0.2", executor="slurm", slurm={"tme": 3}, runs=tmp_path / "runs")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="slurm needs executor slurm"):
        lrbench.sweep([config], lr="0.1,0.2", slurm="time=3", runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    done = lrbench.sweep([config], lr="0.1,0.2", executor="slurm", slurm="cluster=local", runs=tmp_path / "runs")
    assert [outcome.status for outcome in done.outcomes] == ["finished"] * 2
    assert [one.queue for path in (tmp_path / "runs").glob("tiny-*") if (one := RunFolder(path).job)] == ["local"] * 2


Fake = Callable[[str, str], None]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    """Make a command that prints a text, or fails without one."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()

    def made(name: str, text: str) -> None:
        script = tmp_path / "bin" / name
        (tmp_path / f"{name}.txt").write_text(text)
        body = f"cat {tmp_path / name}.txt" if text else "echo 'accounting storage is disabled' >&2; exit 1"
        script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / name}.calls\n{body}\n')
        script.chmod(0o755)

    return made


def test_states_of_jobs(fake: Fake, tmp_path: Path) -> None:
    fake("squeue", "12_0|RUNNING|None\n12_1|PENDING|Priority\n7|COMPLETED|None\n12_2|OUT_OF_MEMORY|OutOfMemory\n")
    fake("sacct", "12_0|FAILED\n12_3|CANCELLED by 1000\n12_4|TIMEOUT\n12_[5-9]|PENDING\n")
    found = slurm_states.states_of(["12_0", "12_1", "12_2", "12_3", "12_4", "13"])
    assert found == {
        "12_0": State("RUNNING"),
        "12_1": State("PENDING", "Priority"),
        "12_2": State("OUT_OF_MEMORY", "OutOfMemory"),
        "12_3": State("CANCELLED"),
        "12_4": State("TIMEOUT"),
    }
    assert slurm_states.in_words(found.values()) == "1 running, 1 pending (Priority)"
    assert [state.over for state in found.values()] == [False, False, True, True, True]
    assert (found["12_2"].words, found["12_4"].words) == ("ran out of memory", "ran out of time")
    assert "-j 12,13" in (tmp_path / "sacct.calls").read_text()
    slurm_states.states_of(["12_0"])
    assert len((tmp_path / "sacct.calls").read_text().splitlines()) == 1, "it is asked only for what squeue forgot"


def test_exit_codes_of_jobs(fake: Fake) -> None:
    fake("scontrol", "JobId=12 ArrayJobId=12 ArrayTaskId=3 JobState=FAILED Requeue=1 ExitCode=3:0 RunTime=00:00:01")
    assert slurm_states.exit_code("12_3") == 3
    fake("scontrol", "")
    fake("sacct", "7:0\n")
    assert slurm_states.exit_code("12_3") == 7
    fake("sacct", "")
    assert slurm_states.exit_code("12_3") is None


def test_clusters_without_accounting_and_without_an_answer(fake: Fake) -> None:
    fake("squeue", "12_0|RUNNING|None\n")
    fake("sacct", "")
    assert slurm_states.states_of(["12_0", "12_1"]) == {"12_0": State("RUNNING")}
    assert not State().known and State().over
    fake("squeue", "")
    assert slurm_states.states_of(["12_0"]) is None


@pytest.mark.parametrize("change", [{"log": "../x"}, {"log": "a/b"}, {"log": ".x"}, {"log": "x\n"}, {"id": "1;2"}, {}])
def test_job_files_that_lead_elsewhere_are_ignored(tmp_path: Path, change: dict[str, Any]) -> None:
    run = tmp_path / "runs" / "tiny"
    run.mkdir(parents=True)
    (run / "job.json").write_text(json.dumps({**JOB, **change}))
    job, log = RunFolder(run).job, RunFolder(run).job_log
    if change:
        assert job is None and log is None
    else:
        assert job == Job(**JOB) and log == tmp_path / "runs/slurm/12_3_0_log.out"
    RunFolder(run).note_job(Job(**JOB))
    assert RunFolder(run).job == Job(**JOB)


@pytest.fixture
def interrupted(cli: Cli, write_config: Write) -> Path:
    """A sweep of two runs; the first one's job was cancelled."""
    assert cli("sweep", write_config(), "--lr", "0.1,0.2", "--jobs", "1")[0] == 0
    first = sorted(Path("runs").glob("tiny-seed0-*"))[0]
    (first / "result.json").unlink()
    (first / "job.json").write_text(json.dumps(JOB))
    Path("runs/slurm").mkdir()
    Path("runs/slurm/12_3_0_log.out").write_text("slurmstepd: error: *** JOB 12 ON n1 CANCELLED ***\n")
    return first


def test_the_status_names_jobs_and_logs(cli: Cli, interrupted: Path, fake: Fake) -> None:
    fake("squeue", "12_3|CANCELLED|None\n")
    fake("sacct", "")
    _, out, _ = cli("sweep", "--status")
    assert f"{interrupted.name}: job 12_3 was cancelled; log: runs/slurm/12_3_0_log.out" in out
    _, out, _ = cli("sweep", "--status", "--json")
    jobs = [cell.get("job") for cell in json.loads(out.splitlines()[-1])["sweeps"][0]["cells"]]
    assert sorted(jobs, key=bool) == [
        None, {"id": "12_3", "log": "runs/slurm/12_3_0_log.out", "state": "CANCELLED", "reason": ""}
    ]  # fmt: skip
    fake("squeue", "12_3|PENDING|BeginTime\n")
    _, out, _ = cli("sweep", "--status")
    assert "Slurm jobs: 1 pending (BeginTime)" in out and "log:" not in out


def test_the_status_names_the_logs_of_running_local_jobs(cli: Cli, interrupted: Path) -> None:
    (interrupted / "job.json").write_text(json.dumps({**JOB, "queue": "local", "id": "123"}))
    with RunFolder(interrupted).lock():
        _, out, _ = cli("sweep", "--status")
    assert f"{interrupted.name}: job 123; log: runs/slurm/12_3_0_log.out" in out
    _, out, _ = cli("sweep", "--status")
    assert out.count("job 123; log:") == 1, "it was interrupted"


def test_the_page_names_jobs_and_shows_the_end_of_their_logs(cli: Cli, interrupted: Path) -> None:
    assert cli("report")[0] == 0
    text = Path("runs/report/report.html").read_text()
    assert "job 12_3, log slurm/12_3_0_log.out" in text and "*** JOB 12 ON n1 CANCELLED ***" in text


def test_signals_end_a_job_with_its_checkpoint(monkeypatch: pytest.MonkeyPatch, tiny: Any, tmp_path: Path) -> None:
    """Requeued before its time is up and if preempted; ended if cancelled, so that it does not start again."""
    pytest.importorskip("submitit")
    from lrbench.training.executors import slurm_queue as queue
    from lrbench.training.executors.cluster_task import Setting
    from lrbench.training.run_one import WorkItem

    task = queue.Task(WorkItem(tmp_path / "tiny", tiny()), Setting.here(tmp_path / "stop"))
    heard: list[int] = []

    class Requeued(SystemExit):
        pass

    def requeue(number: int, frame: object) -> None:
        heard.append(number)
        raise Requeued

    def interrupted(number: int) -> Callable[..., str]:
        def do(item: WorkItem, setting: Setting, node: str, asked: Callable[[], bool]) -> str:
            assert not asked()
            signal.raise_signal(number)
            assert asked()
            raise Interrupted("stopped")

        return do

    known = {number: signal.getsignal(number) for number in (queue.SAVE, signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    try:
        for number, running, again in (
            (queue.SAVE, False, True),
            (signal.SIGTERM, True, True),
            (signal.SIGTERM, False, False),
            (signal.SIGINT, True, False),
        ):
            heard.clear()
            signal.signal(queue.SAVE, requeue)
            monkeypatch.setattr(queue, "do", interrupted(number))
            monkeypatch.setattr(slurm_states, "still_running", lambda _, running=running: running)
            with pytest.raises(SystemExit) as ended:
                task()
            assert (ended.type is Requeued, heard) == (again, [queue.SAVE] * again)
            assert again or ended.value.code == 128 + number
    finally:
        for number, handler in known.items():
            signal.signal(number, handler)
