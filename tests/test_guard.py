"""User code that hangs, crashes or ends its process before it is trained, as in the check, fails its own runs alone."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import lrbench
from lrbench.errors import ConfigError, UsageError, UserCodeError, command_line
from lrbench.events import Event
from lrbench.runs import RunFolder, Status, own_modules
from lrbench.runs.environment import code_hashes
from lrbench.training import RunOptions, run
from lrbench.training import outcome as looking
from lrbench.training.executors import create, guard
from lrbench.training.executors.guard import Guard
from lrbench.training.executors.pool import WorkerProcesses
from lrbench.training.executors.serial import ThisProcess
from lrbench.training.executors.worker import Answer, Call

MINE = """
    import ctypes, os, signal, sys, time
    import torch
    from torch import nn

    def note(what):
        with open("noted.txt", "a") as file:
            print(what, os.getpid(), file=file)

    def build(outputs, act):
        note("built in")
        globals()[act]()
        return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))

    def nothing():
        pass

    def hang():
        while True:
            try:
                time.sleep(1000)
            except BaseException:
                pass

    def crash():
        ctypes.string_at(0)

    def end():
        os._exit(0)

    def killed():
        os.kill(os.getpid(), signal.SIGKILL)

    def grow():
        kept = []
        while True:
            kept.append(bytearray(50_000_000))
            time.sleep(0.02)

    def fail():
        raise LookupError("no such thing")

    def data():
        note("loaded in")
        x, y = torch.rand(5000, 64), torch.arange(5000) % 2
        return {"train": (x, y), "test": (x[:100], y[:100]), "classes": 2}
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Any) -> Iterator[Callable[..., Any]]:
    """Make experiments whose model does something when it is built."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(MINE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield lambda act, **keys: tiny(name=act, model={"name": "mine:build", "act": act}, **keys)
    assert "mine" not in sys.modules, "it was executed in this process"


def test_what_hangs_or_crashes_when_built_fails_alone(mine: Any, tiny: Any) -> None:
    wanted = [mine("hang", timeout=3), mine("crash"), mine("end"), mine("killed"), mine("fail"), tiny(name="good")]
    wanted += [mine("grow", memory="1500MB", seed=seed) for seed in (0, 1)]
    told: list[Event] = []
    outcomes = run(wanted, runs="runs", jobs=2, watch=told.append)
    by_name = {one.experiment.name: one for one in outcomes}
    assert by_name["good"].status is Status.FINISHED
    reasons = {
        "hang": "in the check before training, it was stopped after its timeout of 3 seconds; it was in hang (",
        "crash": "in the check before training, its process died (killed by SIGSEGV); it was in crash (",
        "end": "your code called os._exit(0) (mine.py, line ",
        "killed": "in the check before training, its process died (killed by SIGKILL",
        "fail": "model: mine:build raised LookupError: no such thing",
        "grow": "in the check before training, it was stopped because it used 1.",
    }
    for outcome in outcomes:
        name = outcome.experiment.name
        if name == "good":
            continue
        assert outcome.status is Status.FAILED and outcome.message.startswith(reasons[name]), outcome.message
        assert json.loads((outcome.path / "result.json").read_text())["reason"] == outcome.message
        (ended,) = [event for event in told if event.run == outcome.path.name and event.kind == "end"]
        assert ended.values["result"].reason == outcome.message and not (outcome.path / "lock").exists()
        if name != "killed":
            function = "in grow" if name == "grow" else f"in {name}"
            assert function in (outcome.path / "error.log").read_text()


def test_a_command_trains_user_code_in_the_worker_that_checked_it(mine: Any, tiny: Any) -> None:
    with command_line():
        bad, good = run([mine("crash"), mine("nothing")], runs="runs")
        assert (bad.status, good.status) == (Status.FAILED, Status.FINISHED), bad.message
        with pytest.raises(UserCodeError, match=r"^crash: in the check before training, its process died \(killed by"):
            run([mine("crash")], runs="runs")
    built = [int(line.split()[-1]) for line in Path("noted.txt").read_text().splitlines()]
    assert os.getpid() not in built and len(built) == 3, "two of them crashed, the other one built the good model once"
    (same,) = run([mine("nothing")], runs="runs")
    assert same.found
    RunFolder(good.path).path.joinpath("steps.csv").rename("worker.csv")
    mine_here = tiny(name="here", model={"name": f"{__name__}:built_here"})
    (here,) = run([mine_here], runs="here")
    assert (here.path / "steps.csv").read_bytes() == Path("worker.csv").read_bytes()


def built_here(outputs: int) -> Any:
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))


def test_data_of_one_s_own_is_loaded_once_for_all_workers(mine: Any, tiny: Any) -> None:
    outcomes = run([tiny(dataset="mine:data", seed=seed) for seed in range(3)], runs="runs", jobs=2)
    assert [one.status for one in outcomes] == [Status.FINISHED] * 3
    assert Path("noted.txt").read_text().count("loaded in") == 1


def test_a_mistake_in_the_config_still_ends_the_command(mine: Any, tiny: Any) -> None:
    Path("one.yaml").write_text(yaml.safe_dump({**mine("nothing").plain(), "model": "mine:bild"}))
    with (
        command_line(),
        pytest.raises(ConfigError, match=r"one.yaml:\d+: model\S*: 'mine' has no 'bild'"),
    ):
        run(["one.yaml", tiny(name="good")], runs="runs")
    assert not Path("runs").exists()


def test_no_more_runs_are_started_after_failures_in_the_check(mine: Any, tiny: Any) -> None:
    from lrbench.training.orchestrate import do
    from lrbench.training.outcome import look

    options, root = RunOptions(jobs=2, max_failures=1), Path("runs").absolute()
    outcomes = [look(root, one, options.kind_of(one), again=False) for one in (mine("fail"), tiny(name="good"))]
    do(outcomes, root, options, lambda event: None)
    assert [one.status for one in outcomes] == [Status.FAILED, Status.INTERRUPTED]


def test_who_waits_without_a_limit_is_told_for_what(mine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SLOW_SECONDS", 0.5)
    said: list[str] = []

    def watch(event: Event) -> None:
        said.append(str(event.values.get("text")))
        if "now in hang (" in said[-1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([mine("hang"), mine("nothing")], runs="runs", jobs=2, watch=watch)
    assert said[-1].startswith("hang: in the check before training, its code has been at work for ")
    assert said[-1].endswith("; Ctrl-C stops it, and so would a `timeout` in its config")


def test_which_configs_are_kept_out_of_this_process(tmp_path: Path, tiny: Any) -> None:
    own, torchs = tiny(model="mine:build"), tiny(optimizer={"name": "torch.optim:Adam", "lr": 0.1})
    assert own_modules(own) == ["mine"] and own_modules(torchs) == []
    with Guard(lambda event: None) as plain, Guard(lambda event: None, workers=True) as careful:
        assert not plain.keeps_from(own) and careful.keeps_from(own)
        assert (
            not careful.keeps_from(torchs) and not careful.keeps_from(tiny()) and careful.keeps_from(tiny(timeout=60))
        )
    assert isinstance(create(RunOptions(), tmp_path, [own]), ThisProcess), "a script may lack a guard for its main part"
    with command_line():
        assert isinstance(create(RunOptions(), tmp_path, [tiny()]), ThisProcess)
        assert isinstance(create(RunOptions(), tmp_path, [own]), WorkerProcesses)


def test_the_hash_of_a_module_is_found_without_its_package(
    tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "far" / "hung"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "deep" / "nets.py").write_text("def build(): ...")
    monkeypatch.syspath_prepend(str(tmp_path / "far"))
    assert list(code_hashes(tiny(model="hung.deep.nets:build"))) == ["hung.deep.nets"]
    assert code_hashes(tiny(model="hung.deep.none:build")) == {}


def test_what_a_call_raises_is_told(tmp_path: Path) -> None:
    assert Call("builtins:max", (1, 2)).answer() == Answer(2)
    error = Call("builtins:int", ("x",)).answer().error
    assert isinstance(error, UserCodeError) and "ValueError" in str(error) and "Traceback" in error.trace


def test_the_coordinate_check_ends_what_hangs(mine: Any) -> None:
    with (
        command_line(),
        pytest.raises(UserCodeError, match="in its first steps, it was stopped after its timeout"),
    ):
        lrbench.coordinate_check(mine("hang", timeout=2), [8, 16], key="model.outputs", seeds=2)


@pytest.mark.parametrize("words", [["run", "one.yaml"], ["sweep", "one.yaml", "--lr", "0.1,0.2"]])
def test_a_signal_during_the_summary_says_what_is_done(words: list[str], tmp_path: Path, tiny: Any) -> None:
    (tmp_path / "one.yaml").write_text(tiny().yaml())
    code = """
        import os, signal, sys
        import lrbench.cli.tables, lrbench.reports
        from lrbench.cli import main

        def stop(*_, **__):
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()

        lrbench.reports.save_summary = lrbench.cli.tables.show_groups = stop
        signal.signal(signal.SIGINT, signal.default_int_handler)
        main()
    """
    command = [sys.executable, "-c", textwrap.dedent(code), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    count = "1 of 1 run" if words[0] == "run" else "2 of 2 runs"
    assert done.returncode == 130, done.stderr
    assert f"stopped during the summary: {count} done and kept; the same command shows the summary" in done.stderr


@pytest.mark.parametrize("root", ["/proc/nowhere", "/proc/self/task"])
def test_a_place_where_no_folder_can_be_made_is_told_once(root: str, tiny: Any) -> None:
    with pytest.raises(UsageError, match=rf"{root}: (no folder can be made there|{root} is not writable)"):
        run([tiny(seed=seed) for seed in range(3)], runs=root)


def test_a_full_disk_is_left_to_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(looking.tempfile, "mkdtemp", full)
    looking.make(tmp_path / "runs")
    assert (tmp_path / "runs").is_dir()


def test_the_threads_of_a_single_worker_are_torchs_own_unless_this_process_knows_better() -> None:
    code = """
        import sys
        from lrbench.training.executors.worker_handle import threads_of
        assert threads_of(1) is None and "torch" not in sys.modules
        import torch
        torch.set_num_threads(1)
        assert threads_of(1) == 1
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
