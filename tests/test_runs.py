from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from torch import nn

from lrbench.analysis import read_one
from lrbench.components.metrics import ACCURACY
from lrbench.config import dump_yaml, group, identity, load_config
from lrbench.errors import ConfigError, FolderError, Interrupted, LockedError, UsageError
from lrbench.events import Event, Watch, silent
from lrbench.runs import RunFolder, RunResult, Status, birth, describe, find_runs, last_row, read_csv
from lrbench.runs.csv_log import CsvLog
from lrbench.runs.files import read_json, save_tensors, write
from lrbench.runs.lock import Lock, owner_of
from lrbench.training import Outcome, StopFlag, run
from lrbench.training.run_one import WorkItem, do_run

# -- the folder: written out here so that nobody changes the contract unawares

FILES = ["best.pt", "config.yaml", "env.json", "epochs.csv", "result.json", "steps.csv"]
RESULT_KEYS = {
    "status",
    "reason",
    "epochs",
    "steps",
    "evaluations",
    "seconds",
    "effective_lr",
    "identity",
    "group",
    "format",
    "final",
    "best",
    "test",
    "test_best",
}
ENVIRONMENT_KEYS = {
    "format",
    "identity",
    "config",
    "lrbench",
    "python",
    "packages",
    "platform",
    "host",
    "processor",
    "cores",
    "device",
    "threads",
    "git",
    "user_code",
    "arguments",
    "started",
    "resumed",
    "metrics",
    "sizes",
}


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def became(*outcomes: Outcome) -> list[str]:
    """What became of each run: `found` where it was done already, else its status."""
    return ["found" if o.found else o.status.value for o in outcomes]


def carry_on(folder: RunFolder, stop: Callable[[], bool] = lambda: False, watch: Watch = silent) -> RunResult:
    """Do a folder's run in this process, or go on with it."""
    return do_run(WorkItem(folder.path, folder.config()), threads=None, watch=watch, stop=stop)


def test_a_finished_run_has_exactly_the_files_of_the_contract(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(seed=4)
    (outcome,) = run([experiment], runs=tmp_path)
    assert became(outcome) == ["finished"] and outcome.message == ""
    assert outcome.path == tmp_path / f"tiny-seed4-{identity(experiment)[:8]}"
    assert names(tmp_path) == [outcome.path.name]
    assert names(outcome.path) == FILES
    epochs = (outcome.path / "epochs.csv").read_text().splitlines()
    assert epochs[0] == "epoch,step,lr,train_loss,val_loss,train_accuracy,val_accuracy,seconds,examples_per_second"
    assert [row.split(",")[:2] for row in epochs[1:]] == [["1", "2"], ["2", "4"]]
    steps = (outcome.path / "steps.csv").read_text().splitlines()
    assert steps[0] == "step,lr,momentum,loss,grad_norm"
    assert [row.split(",")[0] for row in steps[1:]] == ["1", "2", "3", "4"]


def test_the_result(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny()
    (outcome,) = run([experiment], runs=tmp_path)
    plain = json.loads((outcome.path / "result.json").read_text())
    result = outcome.result
    assert result is not None and plain == result.plain() and plain.keys() == RESULT_KEYS
    assert RunFolder(outcome.path).result() == result
    assert (plain["status"], plain["reason"], plain["epochs"], plain["steps"]) == ("finished", "", 2, 4)
    assert (plain["evaluations"], plain["format"]) == (2, 3)
    assert plain["effective_lr"] == 0.1
    assert plain["identity"] == identity(experiment) and plain["group"] == group(tiny(seed=8))
    measured = ["train_loss", "val_loss", "train_accuracy", "val_accuracy"]
    assert list(plain["final"]) == list(plain["best"]) == ["epoch", "step", *measured]
    assert plain["test"].keys() == plain["test_best"].keys() == {"loss", "accuracy"}
    rows = (outcome.path / "epochs.csv").read_text().splitlines()[1:]
    assert [float(v) for v in rows[1].split(",")[3:7]] == [plain["final"][name] for name in measured]
    assert (plain["final"]["epoch"], plain["final"]["step"]) == (2, 4)
    best = rows[plain["best"]["epoch"] - 1].split(",")
    assert [float(v) for v in (*best[:2], *best[3:7])] == list(plain["best"].values())
    assert plain["seconds"] == pytest.approx(sum(float(row.split(",")[7]) for row in rows))


def test_the_environment(tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/home/some/one/lrbench/__main__.py", "run", "tiny.yaml"])
    (outcome,) = run([tiny(model=f"{__name__}:linear")], runs=tmp_path)
    environment = RunFolder(outcome.path).environment().plain
    assert environment.keys() == ENVIRONMENT_KEYS
    assert environment["packages"].keys() == {"torch", "torchvision", "numpy", "scikit-learn"}
    assert torch.__version__.startswith(environment["packages"]["torch"])
    assert environment["device"] == "cpu" and environment["threads"] == torch.get_num_threads()
    assert environment["resumed"] == [] and environment["arguments"] == ["lrbench", "run", "tiny.yaml"]
    assert environment["format"] == 3
    assert environment["metrics"] == {"accuracy": {"better": "higher", "form": "percent"}}
    assert environment["sizes"] == {
        "parameters": 650,
        "train_examples": 64,
        "validation_examples": 359,
        "test_examples": 360,
        "steps_per_epoch": 2,
        "total_steps": 4,
        "classes": 10,
    }
    assert environment["user_code"] == {__name__: hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}


def linear(*, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))


def test_the_config_repeats_the_run(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(schedule="cosine", warmup={"for": "1 steps"}, early_stopping={"patience": 3})
    (outcome,) = run([experiment], runs=tmp_path / "a")
    (again,) = run([outcome.path / "config.yaml"], runs=tmp_path / "b")
    assert again.path.name == outcome.path.name
    assert (again.path / "steps.csv").read_bytes() == (outcome.path / "steps.csv").read_bytes()
    assert identity(load_config(outcome.path / "config.yaml")) == identity(experiment)


def test_best_weights_load_into_the_plain_module(tmp_path: Path, tiny: Any) -> None:
    (outcome,) = run([tiny()], runs=tmp_path)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    model.load_state_dict(torch.load(outcome.path / "best.pt", weights_only=True))


# -- finding what is done


def test_a_run_is_found_by_its_identity_under_any_name(tmp_path: Path, tiny: Any) -> None:
    (first,) = run([tiny()], runs=tmp_path)
    before = {p: p.stat().st_mtime_ns for p in first.path.iterdir()}
    (second,) = run([tiny(name="another name")], runs=tmp_path)
    assert became(second) == ["found"] and second.path == first.path and second.result == first.result
    assert second.experiment.name == "another name"
    assert {p: p.stat().st_mtime_ns for p in first.path.iterdir()} == before and len(names(tmp_path)) == 1
    (longer,) = run([tiny(epochs=3)], runs=tmp_path)
    assert became(longer) == ["finished"] and len(names(tmp_path)) == 2


def test_seeds_count_up_and_equal_configs_are_one_run(tmp_path: Path, tiny: Any, write_config: Any) -> None:
    outcomes = run([tiny(seed=2), write_config(seed=2, name="same"), tiny(seed=3)], runs=tmp_path, seeds=2)
    assert [o.experiment.seed for o in outcomes] == [2, 3, 4]
    assert len({o.result.group for o in outcomes if o.result}) == 1
    assert len({o.result.final["val_loss"] for o in outcomes if o.result}) == 3


@pytest.mark.parametrize("known_by", ["env.json", "result.json"])
def test_an_edited_config_is_noticed_wherever_the_folder_is(tmp_path: Path, tiny: Any, known_by: str) -> None:
    (outcome,) = run([tiny()], runs=tmp_path / "runs")
    moved = tmp_path / "elsewhere"
    outcome.path.rename(moved)
    for name in {"env.json", "result.json"} - {known_by}:
        (moved / name).unlink()
    config = moved / "config.yaml"
    config.write_text(config.read_text().replace("epochs: 2", "epochs: 3"))
    record = read_one(RunFolder(moved))
    assert record.status is Status.DAMAGED and "config.yaml has been edited" in record.problem
    with pytest.raises(FolderError, match="has been edited"):
        do_run(WorkItem(moved, tiny()), threads=None, watch=silent, stop=lambda: False)


def test_an_edited_config_is_not_taken_for_the_run(tmp_path: Path, tiny: Any) -> None:
    (outcome,) = run([tiny()], runs=tmp_path)
    path = outcome.path / "config.yaml"
    plain = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**plain, "epochs": 9}))
    refused, other = run([tiny(), tiny(seed=1)], runs=tmp_path)
    assert became(refused, other) == ["failed", "finished"] and "has been edited" in refused.message
    path.write_text(yaml.safe_dump({**plain, "name": "renamed", "reference": {"test_loss": 1.0}}))
    assert became(*run([tiny()], runs=tmp_path)) == ["found"], "what isn't in the identity may be edited"
    path.write_text("epochs: [")
    (refused,) = run([tiny()], runs=tmp_path)
    assert became(refused) == ["failed"] and "is not valid YAML" in refused.message


@pytest.mark.parametrize("damage", ["", "{", '{"status": "fine"}', "[]", '{"status": "finished", "seconds": NaN}'])
def test_a_damaged_result_is_done_again(tmp_path: Path, tiny: Any, damage: str) -> None:
    (first,) = run([tiny()], runs=tmp_path)
    (first.path / "result.json").write_text(damage)
    with pytest.raises(FolderError, match=r"result\.json"):
        RunFolder(first.path).status()
    (second,) = run([tiny()], runs=tmp_path)
    assert became(second) == ["finished"] and second.result is not None and first.result is not None
    assert replace(second.result, seconds=0) == replace(first.result, seconds=0)
    assert names(first.path) == FILES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "it is empty"),
        (b'{"status": "finished",\n "seconds": 1', "its JSON breaks off in line 2"),
        (b'{"status": "fini', "its JSON breaks off in line 1"),
        (b"{'status': 1}", "it is no JSON from line 1, column 2 on"),
        (b"<html>", "it is no JSON from line 1, column 1 on"),
        (b'{"status": "\xff"}', "it is not text in UTF-8"),
    ],
)
def test_a_file_that_is_no_json_is_told_in_words(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "result.json").write_bytes(text)
    with pytest.raises(FolderError) as told:
        read_json(tmp_path / "result.json")
    repair = "restore it from a copy, or repeat the command that wrote it"
    assert str(told.value) == f"{tmp_path / 'result.json'} is damaged: {said}; {repair}"


def test_again_trains_anew_and_says_what_it_ran_on_now(tmp_path: Path, tiny: Any) -> None:
    (first,) = run([tiny()], runs=tmp_path)
    steps = (first.path / "steps.csv").read_bytes()
    (first.path / "steps.csv").write_text("step,lr,momentum,loss,grad_norm\n1,9,9,9,9\n")
    folder = RunFolder(first.path)
    folder.amend_environment({"lrbench": "0.0.1", "resumed": ["2020-01-01"]})
    (second,) = run([tiny(name="other")], runs=tmp_path, again=True)
    assert became(second) == ["finished"] and second.path == first.path
    assert (first.path / "steps.csv").read_bytes() == steps
    assert folder.config().name == "tiny", "the folder keeps the name it was made with"
    assert folder.environment().plain["lrbench"] != "0.0.1" and folder.environment().plain["resumed"] == []


def test_wrong_arguments_and_unknown_files(tmp_path: Path, tiny: Any) -> None:
    with pytest.raises(UsageError, match=r"^jobs must be at least 1"):
        run([tiny()], runs=tmp_path, jobs=0)
    with pytest.raises(UsageError, match=r"^seeds must be at least 1"):
        run([tiny()], runs=tmp_path, seeds=0)
    with pytest.raises(ConfigError, match="no such file"):
        run([tmp_path / "absent.yaml"], runs=tmp_path)


# -- failures


def breaks_after_three(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    global calls
    calls += outputs.requires_grad
    if calls == 3 and outputs.requires_grad:
        raise LookupError("the third is missing")
    return nn.functional.cross_entropy(outputs, targets)


calls = 0


def test_a_failed_run_says_why_and_is_tried_again(tmp_path: Path, tiny: Any) -> None:
    global calls
    calls = 0
    experiment = tiny(loss=f"{__name__}:breaks_after_three")
    (failed,) = run([experiment], runs=tmp_path)
    assert became(failed) == ["failed"] and failed.result is not None
    assert failed.result.status == "failed" and failed.result.plain().keys() == RESULT_KEYS
    assert "LookupError: the third is missing" in failed.message and "in breaks_after_three" in failed.message
    log = failed.path / "error.log"
    assert str(log) in failed.message
    assert "Traceback" in log.read_text() and "the third is missing" in log.read_text()
    assert RunFolder(failed.path).status() is Status.FAILED and not (failed.path / "lock").exists()
    (second,) = run([experiment], runs=tmp_path)
    assert became(second) == ["finished"] and second.result is not None and second.result.status is Status.FINISHED
    assert names(failed.path) == FILES, "the error of the first attempt is gone"


def test_a_failed_run_does_not_keep_the_others(tmp_path: Path, tiny: Any) -> None:
    global calls
    calls = 0
    outcomes = run([tiny(loss=f"{__name__}:breaks_after_three"), tiny()], runs=tmp_path)
    assert became(*outcomes) == ["failed", "finished"]


def test_a_run_that_another_process_does_is_left_to_it(tmp_path: Path, tiny: Any) -> None:
    folder = RunFolder.of(tmp_path, tiny())
    folder.create(tiny(), {})
    with folder.lock():
        assert folder.status() is Status.RUNNING
        outcomes = run([tiny(), tiny(seed=1)], runs=tmp_path, wait=False)
    assert became(*outcomes) == ["running", "finished"]
    assert outcomes[0].result is None and f"process {os.getpid()} on" in outcomes[0].message
    assert folder.status() is Status.PENDING


def hold(folder: RunFolder, seconds: float, finish: Callable[[], Any]) -> threading.Thread:
    """Another writer, for so long; it calls `finish` before it lets go."""
    held = threading.Event()

    def work() -> None:
        with RunFolder(folder.path).lock():
            held.set()
            time.sleep(seconds)
            finish()

    thread = threading.Thread(target=work)
    thread.start()
    assert held.wait(10)
    return thread


@pytest.mark.parametrize("finishes", [True, False])
def test_a_run_of_another_process_is_waited_for_or_taken_over(
    tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch, finishes: bool
) -> None:
    monkeypatch.setattr("lrbench.training.execution.POLL_SECONDS", 0.02)
    (whole,) = run([tiny()], runs=tmp_path / "whole")
    folder = RunFolder.of(tmp_path / "runs", tiny())
    folder.create(tiny(), {})

    def finish() -> None:
        if finishes:
            shutil.copytree(whole.path, folder.path, dirs_exist_ok=True)

    waited = threading.Event()
    other = hold(folder, 0.5, lambda: (waited.wait(60), finish()))
    said: list[str] = []

    def watch(event: Event) -> None:
        said.append(str(event.values.get("text", "")))
        if "waiting for " in said[-1]:
            waited.set()

    outcomes = run([tiny(), tiny(seed=1)], runs=tmp_path / "runs", watch=watch)
    other.join()
    assert became(*outcomes) == ["found" if finishes else "finished", "finished"]
    assert outcomes[0].result is not None and whole.result is not None
    assert replace(outcomes[0].result, seconds=0) == replace(whole.result, seconds=0)
    waiting = [text for text in said if "waiting for " in text]
    assert len(waiting) == 1 and f"is running in process {os.getpid()}" in waiting[0]
    assert names(folder.path) == ["best.pt", "config.yaml", "env.json", "epochs.csv", "result.json", "steps.csv"]


def test_a_writer_whose_run_was_taken_over_stops_and_leaves_it_alone(tmp_path: Path, tiny: Any) -> None:
    """As after a minute of Ctrl-Z: the lock is another's, and the old rows reach no file of the new one."""
    experiment = tiny(epochs=30)
    (whole,) = run([experiment], runs=tmp_path / "whole")
    folder = RunFolder.of(tmp_path / "runs", experiment)
    folder.create(experiment, {})
    taken: list[bytes] = []

    def take_over(event: Event) -> None:
        if event.kind == "epoch" and event.epoch == 3:
            (folder.path / "lock").unlink()
            with RunFolder(folder.path).lock():
                new = RunFolder(folder.path)
                new.open_logs((ACCURACY,))
                new.steps.append([{"step": 1, "lr": 0.5, "momentum": None, "loss": 2.0, "grad_norm": 1.0}])
                new.close_logs()
            forge(folder.path / "lock", pid=1, host="another.example", age=0)
            taken.append((folder.path / "steps.csv").read_bytes())

    with pytest.raises(LockedError, match=r"suspended for too long .* taken over by process 1 on another\.example"):
        carry_on(folder, watch=take_over)
    assert taken == [(folder.path / "steps.csv").read_bytes()], "not a row more"
    assert not (folder.path / "result.json").exists() and (folder.path / "lock").exists()
    (folder.path / "lock").unlink()
    (again,) = run([experiment], runs=tmp_path / "runs")
    assert (again.path / "steps.csv").read_bytes() == (whole.path / "steps.csv").read_bytes()


def test_a_folder_that_is_removed_meanwhile(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(epochs=30)

    def remove(event: Event) -> None:
        if event.kind == "epoch" and event.epoch == 3:
            shutil.rmtree(tmp_path / event.run)

    outcomes = run([experiment, tiny(seed=1)], runs=tmp_path, watch=remove)
    assert became(*outcomes) == ["failed", "finished"]
    assert "was removed during the run" in outcomes[0].message
    assert not outcomes[0].path.exists()
    assert became(*run([experiment], runs=tmp_path)) == ["finished"]


def test_best_weights_come_back_from_the_checkpoint(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(epochs=12, optimizer={"name": "sgd", "lr": 0.5})
    (whole,) = run([experiment], runs=tmp_path / "whole")
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls > 20

    folder = RunFolder.of(tmp_path / "runs", experiment)
    folder.create(experiment, {})
    with pytest.raises(Interrupted):
        carry_on(folder, stop)
    (folder.path / "best.pt").write_bytes(b"of an epoch that was lost")
    (again,) = run([experiment], runs=tmp_path / "runs")
    ours, theirs = RunFolder(again.path).load_best(), RunFolder(whole.path).load_best()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_runs_that_cannot_be_written_are_a_folder_error(tmp_path: Path, tiny: Any) -> None:
    (tmp_path / "runs").write_text("a file where a folder should be")
    with pytest.raises(UsageError, match=r"^runs .* is a file, not a folder"):
        run([tiny()], runs=tmp_path / "runs")
    with pytest.raises(UsageError, match="is a file"):
        run([tiny()], runs=tmp_path / "runs" / "inner")


def test_states(tmp_path: Path, tiny: Any) -> None:
    folder = RunFolder.of(tmp_path, tiny())
    folder.create(tiny(), {})
    assert folder.status() is Status.PENDING and folder.result() is None
    assert folder.load_checkpoint(identity(tiny()), (ACCURACY,)) is None
    with pytest.raises(Interrupted):
        carry_on(folder, lambda: True)
    assert folder.status() is Status.INTERRUPTED
    carry_on(folder)
    assert folder.status() is Status.FINISHED
    assert len(folder.environment().plain["resumed"]) == 1


def test_find_runs(tmp_path: Path, tiny: Any) -> None:
    outcomes = run([tiny(seed=s) for s in (1, 0)], runs=tmp_path / "runs")
    (tmp_path / "runs" / "report").mkdir()
    (tmp_path / "runs" / "notes.txt").write_text("mine")
    paths = sorted(o.path for o in outcomes)
    assert [f.path for f in find_runs([tmp_path / "runs"])] == paths
    assert [f.path for f in find_runs([paths[1], tmp_path / "runs", paths[0]])] == [paths[1], paths[0]]
    assert [f.path for f in find_runs([paths[0]])] == [paths[0]]
    with pytest.raises(UsageError, match="no such run"):
        find_runs([tmp_path / "absent"])
    with pytest.raises(UsageError, match="is a file"):
        find_runs([tmp_path / "runs" / "notes.txt"])


# -- one run, one writer


@pytest.fixture(autouse=True)
def short_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrbench.runs.lock.WATCHED_SECONDS", 0.3)


def forge(path: Path, *, pid: int, host: str, age: float, born: str | None = "", space: str | None = None) -> None:
    space = str(Path("/proc/self/ns/pid").readlink()) if space is None else space
    path.write_text(json.dumps({"pid": pid, "host": host, "space": space, "token": "forged", "born": born}))
    os.utime(path, (time.time() - age, time.time() - age))


def test_a_second_writer_is_refused_and_the_lock_goes_with_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    with Lock(path) as first:
        assert first.held
        with pytest.raises(LockedError, match=f"is running in process {os.getpid()}"), Lock(path):
            raise AssertionError("never here")
        assert first.held and names(tmp_path) == ["lock"]
        with monkeypatch.context() as patched, pytest.raises(LockedError):
            patched.setattr(os, "link", lambda *paths: pytest.fail("it left a file, had it been killed now"))
            Lock(path).__enter__()
        owner = owner_of(path)
        assert owner is not None and owner.pid == os.getpid() and owner.host == socket.gethostname() and owner.alive
    assert names(tmp_path) == []
    with Lock(path):
        pass


def test_a_run_whose_folder_another_process_began_to_prepare_is_executed(tmp_path: Path, tiny: Any) -> None:
    """It was killed before it had written the config; or the config is there, and seen late."""
    experiment = tiny()
    folder = RunFolder.of(tmp_path, experiment)
    folder.path.mkdir()
    done = do_run(WorkItem(folder.path, experiment), threads=None, watch=silent, stop=lambda: False)
    assert done.status is Status.FINISHED and folder.environment().identity == identity(experiment)
    assert run([experiment], runs=tmp_path)[0].found


def test_a_foreign_host_holds_its_lock_while_its_heart_beats(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    forge(path, pid=1, host="another.example", age=50)
    with pytest.raises(LockedError, match=r"process 1 on another\.example"), Lock(path):
        raise AssertionError("never here")
    forge(path, pid=1, host="another.example", age=70)
    with Lock(path) as lock:
        assert lock.held
    assert names(tmp_path) == []


def test_a_dead_process_on_this_host_loses_its_lock_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    forge(path, pid=child.pid, host=socket.gethostname(), age=0)
    with Lock(path) as lock:
        assert lock.held


def test_a_later_process_with_the_same_number_is_another(tmp_path: Path) -> None:
    path, born = tmp_path / "lock", birth(os.getpid())
    forge(path, pid=os.getpid(), host=socket.gethostname(), age=0, born="an earlier boot 17")
    with Lock(path) as lock:
        assert lock.held
    forge(path, pid=os.getpid(), host=socket.gethostname(), age=0, born=born)
    with pytest.raises(LockedError), Lock(path):
        raise AssertionError("never here")
    forge(path, pid=os.getpid(), host=socket.gethostname(), age=61, born=born)
    with Lock(path) as lock:
        assert lock.held, "alive but silent for a minute is dead"


def test_another_container_of_this_name_is_another_host(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    forge(path, pid=2**22 + 1, host=socket.gethostname(), age=5, space="pid:[1]")
    with pytest.raises(LockedError), Lock(path):
        raise AssertionError("its process can't be seen from here, and its heart beats")


def test_a_zombie_is_dead(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert birth(child.pid) is None
    child.wait()
    assert birth(child.pid) is None and birth(os.getpid()) == birth(os.getpid()) != birth(1) is not None


def beating(path: Path, every: float, shift: float, end: threading.Event) -> None:
    """A live owner whose clock is wrong by `shift` seconds."""
    while not end.wait(every):
        os.utime(path, (time.time() + shift, time.time() + shift))


def test_what_a_process_left_that_died_is_removed_at_the_end_of_the_run(tmp_path: Path, tiny: Any) -> None:
    """Not only at its beginning: file systems show another host's files late."""

    def watch(event: Event) -> None:
        if event.kind == "epoch":
            (tmp_path / event.run / ".best.pt.x.tmp").write_bytes(b"")

    (outcome,) = run([tiny()], runs=tmp_path, watch=watch)
    assert outcome.status is Status.FINISHED and names(outcome.path) == FILES


def test_what_a_process_left_that_died_after_the_result_is_removed(tmp_path: Path, tiny: Any) -> None:
    (outcome,) = run([tiny()], runs=tmp_path)
    dead = {"pid": os.getpid(), "host": socket.gethostname(), "token": "x", "born": "earlier"}
    dead["space"] = str(Path("/proc/self/ns/pid").readlink()) if sys.platform == "linux" else ""
    for file in ("checkpoint.pt", ".best.pt.x.tmp"):
        (outcome.path / file).write_bytes(b"")
    (outcome.path / "lock").write_text(json.dumps(dead))
    (again,) = run([tiny()], runs=tmp_path)
    assert became(again) == ["found"] and names(outcome.path) == FILES
    (outcome.path / "lock").write_text(json.dumps({**dead, "host": "another"}))
    run([tiny()], runs=tmp_path)
    assert (outcome.path / "lock").exists(), "it may be alive"


@pytest.mark.parametrize("shift", [-3600.0, 3600.0])
def test_an_owner_whose_clock_is_wrong_keeps_its_lock_while_it_beats(tmp_path: Path, shift: float) -> None:
    path, end = tmp_path / "lock", threading.Event()
    forge(path, pid=1, host="another.example", age=-shift)
    heart = threading.Thread(target=beating, args=(path, 0.05, shift, end))
    heart.start()
    try:
        with pytest.raises(LockedError, match="another"), Lock(path):
            raise AssertionError("never here")
    finally:
        end.set()
        heart.join()
    with Lock(path) as lock:
        assert lock.held, "once it beats no more, its lock is taken"


def test_the_age_of_a_heartbeat_is_measured_by_the_file_systems_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    forge(path, pid=1, host="another.example", age=5)
    monkeypatch.setattr(time, "time", lambda: 1e9)  # this machine's clock, years behind
    owner = owner_of(path)
    assert owner is not None and owner.age == pytest.approx(5, abs=4) and owner.alive
    assert names(tmp_path) == ["lock"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"pid": "x"}'])
def test_an_unreadable_lock_is_nobodys(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lock"
    path.write_text(content)
    assert owner_of(path) is None
    with Lock(path) as lock:
        assert lock.held


def test_a_lock_taken_over_is_not_removed_by_its_old_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(path) as lock:
        forge(path, pid=1, host="another.example", age=0)
        assert not lock.held
    assert path.exists()


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrbench.runs.lock.HEARTBEAT_SECONDS", 0.01)
    path = tmp_path / "lock"
    with Lock(path):
        os.utime(path, (1, 1))
        deadline = time.time() + 10
        while path.stat().st_mtime < 2 and time.time() < deadline:
            time.sleep(0.01)
        assert time.time() - path.stat().st_mtime < 10


# -- rows


def test_csv_rows_read_back_equal(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "x.csv", ("a", "b"))
    log.open()
    log.append([{"a": 1, "b": 0.1}, {"b": None, "a": 2}, {"a": 3, "b": 1e-300}])
    log.append([{"a": 4, "b": 1 / 3}])
    log.sync()
    log.close()
    lines = (tmp_path / "x.csv").read_bytes().split(b"\n")
    assert lines == [b"a,b", b"1,0.1", b"2,", b"3,1e-300", b"4,0.3333333333333333", b""]
    assert float(lines[4].split(b",")[1]) == 1 / 3
    columns = read_csv(log.path)
    assert list(columns) == ["a", "b"] and columns["a"].tolist() == [1, 2, 3, 4]
    assert columns["b"][[0, 2, 3]].tolist() == [0.1, 1e-300, 1 / 3] and math.isnan(columns["b"][1])
    assert last_row(log.path) == {"a": 4, "b": 1 / 3}


@pytest.mark.parametrize(
    ("before", "end", "after"),
    [
        (None, 0, b"a,b\n"),
        (b"", 0, b"a,b\n"),
        (b"a,", 0, b"a,b\n"),
        (b"a,b", 0, b"a,b\n"),
        (b"a,b\n1,2\n3,4\n5,", 12, b"a,b\n1,2\n3,4\n"),
        (b"a,b\n1,2\n3,4\n5,6\n", 8, b"a,b\n1,2\n"),
        (b"a,b\n1,2\n", 4, b"a,b\n"),
        (b"a,b\n1,2\n", 0, b"a,b\n"),
        (b"other,header,altogether\n1,2,3\n", 0, b"a,b\n"),
        (b"\x00\x00\x00\x00\x00\x00\x00", 0, b"a,b\n"),
    ],
)
def test_opening_cuts_to_the_rows_that_count(tmp_path: Path, before: bytes | None, end: int, after: bytes) -> None:
    path = tmp_path / "x.csv"
    if before is not None:
        path.write_bytes(before)
    log = CsvLog(path, ("a", "b"))
    log.open(end)
    assert path.read_bytes() == after
    log.append([{"a": 7, "b": 8}])
    log.close()
    assert path.read_bytes() == after + b"7,8\n"


@pytest.mark.parametrize("header", [b"b,a", b"b,images_per_second"])
def test_going_on_keeps_the_order_and_the_names_of_a_file_that_is_there(tmp_path: Path, header: bytes) -> None:
    path, other = tmp_path / "x.csv", "examples_per_second" if b"images" in header else "a"
    path.write_bytes(header + b"\n1,2\n3,4\n")
    log = CsvLog(path, (other, "b"))
    log.open(len(header) + 5)
    log.append([{other: 6, "b": 5}])
    mark = log.mark
    log.close()
    assert path.read_bytes() == header + b"\n1,2\n5,6\n"
    assert {name: values.tolist() for name, values in read_csv(path).items()} == {"b": [1, 5], other: [2, 6]}
    assert log.end_of(mark) == path.stat().st_size


def test_missing_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n1,2\n3,")
    for columns, end in ((("a", "b"), 9), (("a", "b"), 10), (("a", "b"), 100), (("a", "c"), 8)):
        with pytest.raises(ValueError, match=f"no row that ends at byte {end}"):
            CsvLog(path, columns).open(end)
    assert path.read_bytes() == b"a,b\n1,2\n3,"


def test_rows_after_a_mark_do_not_count_and_those_before_must_be_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    log = CsvLog(path, ("a", "b"))
    log.open()
    log.append([{"a": 1, "b": 2}])
    mark = log.mark
    log.append([{"a": 3, "b": 4}])
    log.close()
    assert mark["bytes"] == 8 and log.end_of(mark) == 8
    for changed in (b"a,b\n1,2\n", b"a,b\n1,2\n9,9\n9,"):
        path.write_bytes(changed)
        assert log.end_of(mark) == 8
    for changed in (b"a,b\n1,3\n3,4\n", b"a,b\n1,2", b"b,a\n1,2\n", b"a,c\n1,2\n", b"a,b\n1,22\n", b""):
        path.write_bytes(changed)
        assert log.end_of(mark) is None


def test_rows_of_older_checkpoints_are_told_by_their_number_and_checksum(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = b"".join(b"%d,%d\n" % (n, n * n) for n in range(200_000))
    path.write_bytes(b"a,b\n" + rows + b"3,")
    log, lines = CsvLog(path, ("a", "b")), rows.splitlines(keepends=True)
    for count in (1, 2, 70_000, 199_999, 200_000):
        kept = b"a,b\n" + b"".join(lines[:count])
        digest = hashlib.blake2b(kept, digest_size=16).hexdigest()
        assert log.end_of_rows(count, digest) == len(kept)
        assert log.end_of_rows(count + 1, digest) is None and log.end_of_rows(count - 1, digest) in (None, 0)
    assert log.end_of_rows(0, "") == 0
    assert CsvLog(path, ("a", "c")).end_of_rows(count, digest) is None


# -- asking to stop, and workers' errors, without processes


def test_the_flag_is_set_by_signals_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    for number in (signal.SIGTERM, signal.SIGINT):
        flag = StopFlag()
        with flag.on_signals():
            assert not flag()
            os.kill(os.getpid(), number)
            assert flag() and flag.signal == number
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
                time.sleep(1)
    assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))


def test_runs_not_begun_are_interrupted_when_asked_to_stop(tmp_path: Path, tiny: Any) -> None:
    def interrupt(event: Any) -> None:
        if event.kind == "epoch" and event.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    outcomes = run([tiny(), tiny(seed=1)], runs=tmp_path, watch=interrupt)
    assert became(*outcomes) == ["interrupted", "interrupted"]
    assert "stopped after step 3" in outcomes[0].message and "was not started" in outcomes[1].message
    assert became(*run([tiny(), tiny(seed=1)], runs=tmp_path)) == ["finished", "finished"]


# -- what a machine, a person or a model may do to a run


def interrupted(root: Path, experiment: Any, updates: int = 20) -> RunFolder:
    folder = RunFolder.of(root, experiment)
    if not folder.has_config:
        folder.create(experiment, {"identity": identity(experiment)})
    left = iter(range(updates))
    with pytest.raises(Interrupted):
        carry_on(folder, lambda: next(left, None) is None)
    return folder


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = RunFolder(one).load_best(), RunFolder(other).load_best()
    return all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_one_flipped_bit_in_a_checkpoint_is_noticed(tmp_path: Path, tiny: Any, part: float) -> None:
    experiment = tiny(epochs=20)
    (whole,) = run([experiment], runs=tmp_path / "whole")
    folder = interrupted(tmp_path / "runs", experiment)
    raw = bytearray((folder.path / "checkpoint.pt").read_bytes())
    raw[int(part * len(raw))] ^= 0x40
    (folder.path / "checkpoint.pt").write_bytes(raw)
    (again,) = run([experiment], runs=tmp_path / "runs")
    assert became(again) == ["finished"] and same_weights(again.path, whole.path)
    assert (again.path / "steps.csv").read_bytes() == (whole.path / "steps.csv").read_bytes()


class Leaving(nn.Linear):
    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and torch.is_grad_enabled():  # not in the check
            sys.exit(0)
        return super().forward(x.flatten(1))


def leaving(input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    return Leaving(64, outputs)


def test_a_model_that_exits_fails_alone(tmp_path: Path, tiny: Any) -> None:
    outcomes = run([tiny(model=f"{__name__}:leaving"), tiny()], runs=tmp_path)
    assert became(*outcomes) == ["failed", "finished"]
    assert "raised SystemExit: 0" in outcomes[0].message and (outcomes[0].path / "error.log").exists()


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Raising(nn.Linear):
    kind = ""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and torch.is_grad_enabled():
            raise {
                "file": FileNotFoundError(2, "No such file or directory", "/data/imgs/77.png"),
                "time": TimeoutError("the server is slow"),
                "speechless": Speechless(),
                "long": ValueError("x" * 100_000),
            }[self.kind]
        return super().forward(x.flatten(1))


def raising(input_shape: tuple[int, ...], outputs: int, *, kind: str) -> nn.Module:
    model = Raising(64, outputs)
    model.kind = kind
    return model


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("file", "raised FileNotFoundError: [Errno 2] No such file or directory: '/data/imgs/77.png'\n"),
        ("time", "raised TimeoutError: the server is slow\n"),
        ("speechless", "raised Speechless\n"),
        ("long", "raised ValueError: " + "x" * 2000 + "…\n"),
    ],
)
def test_what_user_code_raises_is_told_as_it_is(tmp_path: Path, tiny: Any, kind: str, said: str) -> None:
    (outcome,) = run([tiny(model={"name": f"{__name__}:raising", "kind": kind})], runs=tmp_path)
    assert became(outcome) == ["failed"]
    assert said in outcome.message and (outcome.path / "error.log").exists()
    assert len(outcome.message) < 4000


MODEL = "import torch\n\ndef build(input_shape, outputs):\n    return torch.nn.Sequential(torch.nn.Flatten(), {})\n"


@pytest.fixture
def users_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(layers: str) -> None:
        sys.modules.pop("users_model", None)
        (tmp_path / "users_model.py").write_text(MODEL.format(layers))
        os.utime(tmp_path / "users_model.py", (1, len(layers)))  # or the compiled file of a second ago would be taken

    return write


def test_code_that_changed_before_a_resumption_is_said(
    tmp_path: Path, tiny: Any, users_model: Callable[[str], None]
) -> None:
    users_model("torch.nn.Linear(64, outputs)")
    experiment = tiny(model="users_model:build", epochs=20)
    folder = RunFolder.of(tmp_path / "runs", experiment)
    folder.create(experiment, describe(experiment, device="cpu"))
    interrupted(tmp_path / "runs", experiment)
    before = folder.environment().plain["user_code"]
    users_model("torch.nn.Linear(64, outputs), torch.nn.Identity()")
    (outcome,) = run([experiment], runs=tmp_path / "runs")
    assert became(outcome) == ["finished"]
    assert outcome.warnings == [
        "users_model has changed since this run started, so its results mix both versions; again=True starts it over"
    ]
    assert folder.environment().plain["resumed_with"]["user_code"] != before == folder.environment().plain["user_code"]


def test_code_that_fits_its_checkpoint_no_longer(tmp_path: Path, tiny: Any, users_model: Callable[[str], None]) -> None:
    users_model("torch.nn.Linear(64, outputs)")
    experiment = tiny(model="users_model:build", epochs=20)
    interrupted(tmp_path / "runs", experiment)
    users_model("torch.nn.Linear(64, 9), torch.nn.Linear(9, outputs)")
    (outcome,) = run([experiment], runs=tmp_path / "runs")
    assert became(outcome) == ["failed"]
    assert "does not fit the current model and optimizer" in outcome.message
    assert "restore the code, or start over with again=True" in outcome.message
    assert became(*run([experiment], runs=tmp_path / "runs", again=True)) == ["finished"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_messages_of_workers_name_the_options_of_the_command(
    jobs: int, cli: Callable[..., Any], tmp_path: Path, tiny: Any, users_model: Callable[[str], None]
) -> None:
    users_model("torch.nn.Linear(64, outputs)")
    experiments = [tiny(model="users_model:build", epochs=20, seed=seed) for seed in range(2)]
    for experiment in experiments:
        interrupted(tmp_path / "runs", experiment)
    users_model("torch.nn.Linear(64, 9), torch.nn.Linear(9, outputs)")
    (tmp_path / "tiny.yaml").write_text(dump_yaml(experiments[0].plain()))
    code, out, _ = cli("run", "tiny.yaml", "--seeds", 2, "--jobs", jobs)
    said = " ".join(out.split())
    assert code == 1 and said.count("restore the code, or start over with --again") >= 2 and "again=True" not in said
    outcomes = run(experiments, runs=tmp_path / "runs", jobs=jobs)
    assert all("or start over with again=True" in outcome.message for outcome in outcomes)


@pytest.mark.parametrize("what", ["another run's", "a bare status"])
def test_a_result_that_is_not_this_runs_is_none(tmp_path: Path, tiny: Any, what: str) -> None:
    experiment = tiny(epochs=20)
    (other,) = run([tiny(seed=3)], runs=tmp_path / "other")
    folder = interrupted(tmp_path / "runs", experiment)
    foreign = (other.path / "result.json").read_text()
    (folder.path / "result.json").write_text(foreign if what == "another run's" else '{"status": "finished"}')
    if what == "another run's":
        assert "belongs to another run" in read_one(folder).problem or "edited" in read_one(folder).problem
    (outcome,) = run([experiment], runs=tmp_path / "runs")
    assert became(outcome) == ["finished"] and outcome.result is not None
    assert outcome.result.identity == identity(experiment) and outcome.result.steps == 40


@pytest.mark.parametrize("text", ["[]", "null", '{"resumed": 5}', "[" * 100_000, '{"a": NaN}'])
@pytest.mark.parametrize("name", ["env.json", "result.json", "lock"])
def test_odd_json_is_no_reason_to_lose_a_run(tmp_path: Path, tiny: Any, name: str, text: str) -> None:
    folder = interrupted(tmp_path, tiny(epochs=20))
    (folder.path / name).write_text(text)
    assert became(*run([tiny(epochs=20)], runs=tmp_path)) == ["finished"]


@pytest.mark.parametrize("name", ["result.json", "steps.csv", "best.pt"])
def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path, tiny: Any, name: str) -> None:
    folder = interrupted(tmp_path, tiny(epochs=20))
    (folder.path / name).unlink(missing_ok=True)
    (folder.path / name).mkdir()
    try:
        (outcome,) = run([tiny(epochs=20)], runs=tmp_path)
        said = outcome.message
    except FolderError as error:
        said = str(error)
    assert folder.name in said and "Is a directory" in said


def test_a_lock_that_may_not_be_read_is_somebodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    forge(path, pid=1, host="another.example", age=0)
    read = os.open

    def refused(file: str, flags: int, *args: Any, **kwargs: Any) -> int:
        if Path(file).name == "lock" and not flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return read(file, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(LockedError, match="an unknown host"), Lock(path):
        raise AssertionError("never here")


def test_beginnings_of_a_lock_that_are_cleared_away_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, lost = os.link, []

    def once(source: Path, target: Path) -> None:
        if not lost:
            lost.append(source)
            Path(source).unlink()  # by another command, which takes it for a dead one's
        link(source, target)

    monkeypatch.setattr(os, "link", once)
    with Lock(tmp_path / "lock") as lock:
        assert lock.held and len(lost) == 1


def test_a_runs_folder_that_cannot_be(tmp_path: Path, tiny: Any) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for root, fragment in (
        (tmp_path / "dangling", "is a broken link"),
        (tmp_path / "dangling" / "inside", "is a broken link"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        with pytest.raises(UsageError, match=fragment):
            run([tiny()], runs=root)


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a power cut leaves the old file or the new one: both its content and its folder are synced."""
    path = tmp_path / "result.json"
    write(path, "old")
    synced: list[tuple[bool, str]] = []

    def sync(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), path.read_text()))

    monkeypatch.setattr(os, "fsync", sync)
    write(path, "new")
    assert synced == [(False, "old"), (True, "new")]


class Full:
    """A file on a full disk."""

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        pass


def test_a_full_disk_is_named_through_torch() -> None:
    with pytest.raises(OSError, match="No space left on device"):
        save_tensors({"weights": torch.zeros(1000)}, Full())  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["1", True, float("nan"), 10**400])
def test_a_value_that_is_no_number_is_named(value: object) -> None:
    with pytest.raises(ValueError, match=r"^'final\.val_loss' must be a finite number"):
        RunResult.of({"status": "finished", "final": {"val_loss": value}})
