"""Commands as runs: their templates, identity and axes; starting, following, stopping and resuming them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from forked import Starts
from waiting import PATIENCE, alive, gone, wait_until

import lrbench
from lrbench.config import CommandConfig, canonical, group, identity, load_config, read_config, validate, without_rate
from lrbench.config.templates import filled, filled_for_shell, names_in, placed, words_of
from lrbench.errors import ConfigError, Interrupted, UsageError
from lrbench.events import Event
from lrbench.runs import RunFolder, Status, read_csv
from lrbench.sweeps import plan_sweep
from lrbench.training.commands import execution, taking_turns
from lrbench.training.commands import gpus as known_gpus
from lrbench.training.commands.gpus import Pool, visible

Cli = Callable[..., tuple[int, str, str]]

METRICS = """
printf 'step,eval/loss,eval/f1,rate\\n10,%s,0.5,{lr}\\n20,%s,0.6,{lr}\\n' "$1" "$2" > metrics.csv
"""


def script(folder: Path, text: str, name: str = "train.sh") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def config_file(folder: Path, **keys: Any) -> Path:
    path = folder / "mine.yaml"
    plain = {"name": "mine", "command": "sh train.sh {lr} {seed}", "params": {"lr": 0.01}, **keys}
    path.write_text(yaml.safe_dump({key: value for key, value in plain.items() if value is not None}))
    return path


def command(**keys: Any) -> CommandConfig:
    made = validate({"name": "mine", "command": "run --lr {lr}", "params": {"lr": 0.01}, **keys}, {}, "a test")
    assert isinstance(made, CommandConfig)
    return made


# -- templates


@pytest.mark.parametrize(
    ("template", "values", "arguments"),
    [
        ("python train.py --lr {lr}", {"lr": 1e-05}, ["python", "train.py", "--lr", "1e-05"]),
        ("a {model.width}", {"model.width": 64}, ["a", "64"]),
        ("a --x={x}", {"x": "two words; rm -rf /"}, ["a", "--x=two words; rm -rf /"]),
        ("a {x}", {"x": "two words"}, ["a", "two words"]),
        ("a {x} b", {"x": None}, ["a", "b"]),
        ("a --hidden {x}", {"x": [64, 32]}, ["a", "--hidden", "64", "32"]),
        ("a hidden={x}", {"x": [64, 32]}, ["a", "hidden=[64, 32]"]),
        ("a {x} {y}", {"x": True, "y": False}, ["a", "true", "false"]),
        ("a '{{x}} {x}'", {"x": 1}, ["a", "{x} 1"]),
        ("""a '{"lr": {lr}, "b": {"c": 1}}'""", {"lr": 0.1}, ["a", '{"lr": 0.1, "b": {"c": 1}}']),
        ("a {x}", {"x": ""}, ["a", ""]),
    ],
)
def test_templates(template: str, values: dict[str, Any], arguments: list[str]) -> None:
    assert filled(words_of(template, "command"), values) == arguments


def test_a_shell_sees_each_value_as_one_word() -> None:
    evil = "$(touch pwned); `id` 'x' \"y\""
    told = subprocess.run(
        ["/bin/sh", "-c", filled_for_shell("printf '%s|' {x} a{x}", {"x": evil})],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert told == f"{evil}|a{evil}|"


def test_names_of_a_template() -> None:
    assert list(names_in("{a} {{b}} {c.d}{e} { f } {1}")) == ["a", "c.d", "e"]


def test_words_that_name_files_get_their_place(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    (tmp_path / "data").mkdir()
    assert placed("train.py", tmp_path) == str(tmp_path / "train.py")
    assert placed("--config=train.py", tmp_path) == f"--config={tmp_path / 'train.py'}"
    assert placed("data/", tmp_path) == str(tmp_path / "data")
    for word in ("data", "--lr", "-m", "other.py", "--x=", "/bin/sh", ""):
        assert placed(word, tmp_path) == word


# -- identity


def test_identity_covers_what_changes_the_result(tmp_path: Path) -> None:
    script(tmp_path, "echo 1", "train.py")
    plain = {"command": "python train.py --lr {lr}", "folder": str(tmp_path)}
    one = command(**plain)
    for same in (
        {"name": "other"}, {"timeout": "2h"}, {"resume": "--resume {checkpoint}"}, {"gpus": 2}, {"shell": False},
        {"params": {"lr": 1e-2}}, {"reference": {"test_loss": 0.1}},
    ):  # fmt: skip
        assert identity(command(**{**plain, **same})) == identity(one), same
    for other in (
        {"seed": 1}, {"params": {"lr": 0.02}}, {"params": {"lr": 0.01, "x": 1}}, {"env": {"A": "1"}},
        {"command": "python train.py --lr {lr} -v"}, {"files": []}, {"read": "a.csv"}, {"best_by": "val_f1"},
        {"metrics": {"val_loss": "x"}},
    ):  # fmt: skip
        assert identity(command(**{**plain, **other})) != identity(one), other
    script(tmp_path, "echo 2", "train.py")
    assert identity(command(**plain)) != identity(one)


def test_identity_is_the_same_wherever_the_project_is(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        script(tmp_path / name, "echo", "train.py")
        path = config_file(tmp_path / name, command="python train.py {lr}")
        made.append(identity(load_config(path)))
    assert made[0] == made[1]


def test_golden_identities() -> None:
    """These may never change: runs are found by them."""
    one = command()
    assert identity(one).startswith("1e8a1abf4cfe")
    assert group(one).startswith("c1e3bda4e738")
    assert group(command(seed=3)) == group(one) != identity(one)
    assert without_rate(command(params={"lr": 3.0})) == without_rate(one)
    recorded = validate({"name": "r", "recorded": "lrbench.record", "params": {"lr": 0.1}, "seed": 0}, {}, "")
    assert identity(recorded).startswith("818011911da6")


def test_the_resolved_config_repeats_the_run(tmp_path: Path) -> None:
    script(tmp_path, "echo")
    one = load_config(config_file(tmp_path, timeout="90 min", read="m.csv", metrics={"val_loss": "x"}, cwd="."))
    (tmp_path / "runs" / "r").mkdir(parents=True)
    (tmp_path / "runs" / "r" / "config.yaml").write_text(one.yaml())
    script(tmp_path, "echo changed")
    again = load_config(tmp_path / "runs" / "r" / "config.yaml")
    assert identity(again) == identity(one)
    assert again == one
    assert isinstance(again, CommandConfig)
    assert again.timeout == 5400


def test_a_config_extends_one_of_another_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    script(tmp_path, "echo")
    config_file(tmp_path, sweep={"lr": [0.1, 0.2], "batch": [1, 2]})
    (tmp_path / "sub" / "child.yaml").write_text("extends: ../mine.yaml\nsweep: {lr: [0.3]}\nparams: {batch: 4}\n")
    read = read_config(tmp_path / "sub" / "child.yaml")
    assert read.plain["sweep"] == {"lr": [0.3], "batch": [1, 2]}
    assert read.plain["params"] == {"lr": 0.01, "batch": 4}
    assert Path(read.plain["folder"]) == tmp_path


def test_which_parameter_is_the_learning_rate() -> None:
    assert command().lr_key == "params.lr"
    for params, key in (
        ({"learning_rate": 0.1, "x": 1}, "params.learning_rate"),
        ({"optim": {"lr": 0.1}, "max_lr": 0.2}, "params.optim.lr"),
        ({"optim": {"lr": 0.1}, "lr": 0.2}, "params.lr"),
        ({"eta": 0.1}, "params.lr"),
    ):
        assert command(command="run", params=params).lr_key == key, params
    assert command(command="run", params={"eta": 0.5, "lr": 0.1}, lr_param="eta").lr == 0.5
    assert command(command="run", params={}).lr is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"command": "run {lrr}"}, "nothing fills in {lrr}; did you mean 'lr'?"),
        ({"command": "run '"}, "command: can't be split into arguments"),
        ({"command": ""}, "command: must be a program and its arguments"),
        ({"command": []}, "command: must be a program and its arguments"),
        ({"command": 3}, "command: must be a program and its arguments"),
        ({"command": None}, "command: must be a program and its arguments"),
        ({"command": ["a", 1]}, "command: must be a program and its arguments"),
        ({"params": {"lr": -1.0}}, "params.lr: must be a number greater than 0"),
        ({"params": {"lr": "fast"}}, "params.lr: must be a number greater than 0"),
        ({"params": {"seed": 1, "lr": 0.1}}, "params.seed: is set by lrbench"),
        ({"params": {"a b": 1, "lr": 0.1}}, "names can't contain spaces"),
        ({"params": [1]}, "params: must be a mapping"),
        ({"lr_param": "x"}, "lr_param: params has no 'x'"),
        ({"read": "x.foo"}, "read: must be a .csv"),
        ({"read": {"parquet": "x"}}, "read: must be a .csv"),
        ({"metrics": {"f1": "x"}}, "start with train_, val_ or test_"),
        ({"metrics": {"val_f1": {"better": "bigger"}}}, "better must be lower or higher"),
        ({"timeout": "soon"}, "timeout: must be a time"),
        ({"timeout": 0}, "timeout: must be a time"),
        ({"resume": "--resume {check}"}, "resume: nothing fills in {check}"),
        ({"cwd": "nowhere"}, "cwd: no such folder"),
        ({"cwd": __file__}, "test_commands.py is a file, not a folder"),
        ({"files": ["no.py"]}, "files: no file matches 'no.py'"),
        ({"model": "cnn"}, "unknown key 'model'"),
        ({"command": ["a"], "shell": True}, "must be a single text if a shell interprets it"),
        ({"gpus": 0}, "gpus"),
        ({"seed": None}, "seed"),
    ],
)  # fmt: skip
def test_wrong_configs(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        command(**keys)
    assert said in str(error.value)


# -- sweeps


def test_axes_are_parameters(tmp_path: Path) -> None:
    script(tmp_path, "echo")
    path = config_file(
        tmp_path,
        command="sh train.sh {lr} {schedule} {model.width} {seed}",
        params={"lr": 0.1, "schedule": "cosine", "model": {"width": 8}},
        sweep={"lr": {"log": [0.01, 1.0], "points": 3}, "model.width": [8, 16], "seeds": 2},
    )
    asked = plan_sweep([path], {"schedule": ["linear", "cosine"]}, runs=tmp_path / "runs")
    values = [cell.experiment.plain()["params"] for cell in asked.cells]
    assert len(values) == 3 * 2 * 2 * 2
    assert {(v["lr"], v["schedule"], v["model"]["width"]) for v in values} == {
        (lr, s, w) for lr in (0.01, 0.1, 1.0) for s in ("linear", "cosine") for w in (8, 16)
    }
    assert {row.lr for row in asked.plan.cells} == {0.01, 0.1, 1.0}
    assert set(asked.plan.series) == {f"schedule {s}, width {w}" for s in ("linear", "cosine") for w in (8, 16)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("find-lr",), "use lrbench.RangeTest"),
        (("preview",), "its schedule is in its own code"),
        (("sweep", "--lr", "auto"), "give learning rates"),
        (("sweep", "--lr", "0.1,0.2", "--halve"), "--prune and --halve can't end early"),
        (("run", "--device", "cpu"), "--device has no effect"),
        (("run", "--set", "command=pyhton train.sh"), "no program 'pyhton' on the PATH"),
        (("run", "--set", "command=./train.sh"), "is not executable; add its interpreter"),
        (("run", "--set", "command=/no/such"), "'/no/such' does not exist"),
        (("run", "--set", "command=python -u tran.py {lr}"), "there is no file 'tran.py' in"),
        (("sweep", "--lr", "0.1,0.2", "--set", "command=python tran.py {lr}"), "did you mean 'train.py'?"),
    ],
)
def test_what_commands_can_not_do_is_said(cli: Cli, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    script(tmp_path, "echo")
    (tmp_path / "train.py").touch()
    code, _, err = cli(words[0], config_file(tmp_path), *words[1:])
    assert code == 2
    assert said in err
    assert not list(tmp_path.glob("runs/mine-*"))


# -- execution


def finished(root: Path) -> RunFolder:
    (path,) = root.glob("mine-seed*")
    return RunFolder(path)


def run_command(tmp_path: Path, text: str, **keys: Any) -> RunFolder:
    script(tmp_path, text)
    lrbench.run([config_file(tmp_path, **keys)], runs=tmp_path / "runs")
    return finished(tmp_path / "runs")


def test_a_command_starts_in_its_run_s_folder_with_all_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    folder = run_command(
        tmp_path, 'pwd; echo "$1 $2"; env', command="sh train.sh {lr} {name}", params={"lr": 0.25, "m": {"w": 1}},
        env={"MINE": 7}, seed=3,
    )  # fmt: skip
    lines = folder.output.read_text().splitlines()
    assert lines[:2] == [str(folder.path), "0.25 mine"]
    told = dict(line.partition("=")[::2] for line in lines[2:])
    assert told["LRBENCH_RUN"] == str(folder.path)
    assert json.loads(told["LRBENCH_PARAMS"]) == {"params": {"lr": 0.25, "m": {"w": 1}}, "seed": 3, "name": "mine"}
    assert told["PYTHONPATH"] == f"{tmp_path}{os.pathsep}/elsewhere"
    assert told["MINE"] == "7"
    assert "LRBENCH_RESUMED" not in told


def test_a_command_starts_where_cwd_says(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    folder = run_command(tmp_path, "pwd; echo > left.txt", cwd="there")
    assert folder.output.read_text() == f"{tmp_path / 'there'}\n"
    assert (tmp_path / "there" / "left.txt").exists()


def test_a_shell_interprets_a_command_only_if_asked(tmp_path: Path) -> None:
    folder = run_command(tmp_path, "", command="printf '%s' a | cat; echo \";{lr}\"", shell=True, files=[])
    assert folder.output.read_text() == "a;0.01\n"


def test_a_failure_says_the_exit_code_and_the_last_lines(cli: Cli, tmp_path: Path) -> None:
    script(
        tmp_path,
        "for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; done; printf '\\033[31mno data\\033[0m\\n' >&2; exit 3",
    )
    code, out, _ = cli("run", config_file(tmp_path))
    assert code == 1
    folder = finished(tmp_path / "runs")
    assert "the command ended with exit code 3: no data\n" in out
    assert "  line 10\nFull output: " in out and out.count("no data") == 2, "in the progress and in the reason"
    assert "line 3\n" not in out
    result = folder.result()
    assert result is not None
    assert result.status is Status.FAILED
    assert folder.environment().plain["exit_code"] == 3


def test_a_command_that_has_said_nothing_yet_is_not_in_the_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(execution.Running, "rest", 0.0)
    script(tmp_path, f"sleep 0.5; {METRICS.strip()}; sleep 0.5")
    told: list[Event] = []
    path = config_file(tmp_path, command="sh train.sh 3 2", read={"csv": "metrics.csv"})
    lrbench.run([path], runs=tmp_path / "runs", watch=told.append)
    looked = [event for event in told if event.kind in ("progress", "epoch")]
    assert looked and all(event.step or event.values for event in looked)


def test_printed_metrics_are_read(tmp_path: Path) -> None:
    """Training lines and evaluation lines have a pattern each; an accuracy of 93.5 is a number, not 9350 %."""
    text = """
    printf 'step 1 loss 2.0 lr 1e-2\\rstep 2 loss 1.0 lr 5e-3\\n'
    printf 'val_loss 1.5, acc 90%%\\nstep 3 loss 0.5 lr 1e-3\\nval_loss 1.25, acc 93.5%%\\n'
    """
    patterns = ["step {step} loss {loss:.1f} lr {lr:g}", "val_loss {val_loss}, acc {val_accuracy:.1f}%"]
    metrics = {"val_accuracy": {"better": "higher"}}
    folder = run_command(tmp_path, text, read={"stdout": patterns}, metrics=metrics)
    assert folder.steps.path.read_text() == (
        "step,lr,momentum,loss,grad_norm\n1,0.01,,2.0,\n2,0.005,,1.0,\n3,0.001,,0.5,\n"
    )
    result = folder.result()
    assert result is not None
    assert result.final is not None
    assert (result.status, result.steps) == (Status.FINISHED, 3)
    assert {name: result.final[name] for name in ("train_loss", "val_loss", "val_accuracy")} == {
        "train_loss": 0.5, "val_loss": 1.25, "val_accuracy": 93.5,
    }  # fmt: skip
    assert folder.environment().plain["metrics"]["accuracy"] == {"better": "higher", "form": "number"}


def test_several_patterns_are_one_text() -> None:
    assert command(read={"stdout": ["a {step}", "b {loss}"]}).read == {"stdout": "a {step}\nb {loss}"}
    assert command(read={"stdout": ["a {step}"]}) == command(read={"stdout": "a {step}"})


@pytest.mark.parametrize(
    ("read", "metrics", "code", "said"),
    [
        ({"stdout": "no names"}, {}, 2, "read.stdout: the pattern 'no names' names no values"),
        ({"stdout": "(?P<a>["}, {}, 2, "read.stdout: the pattern '(?P<a>[' is not a regular expression"),
        ({"stdout": "{loss} then {loss}"}, {}, 2, "the pattern '{loss} then {loss}' names 'loss' twice"),
        (
            {"stdout": r"(?P<a>\d) (?P<a>\d)"},
            {},
            2,
            r"the pattern '(?P<a>\d) (?P<a>\d)' names 'a' twice; a pattern names",
        ),
        ({"stdout": ["a {step}", 3]}, {}, 2, "read"),
        ({"stdout": []}, {}, 2, "read"),
        ({"stdout": "lost {val_loss}"}, {}, 1, "nothing in the output fits the pattern"),
        ("logs/metrics.csv", {}, 1, "logs/metrics.csv; "),
        ("metrics.csv", {"val_loss": "eval/los"}, 1, "the log has no column 'eval/los' for val_loss; did you mean"),
        ({"tensorboard": "."}, {}, 1, "has no event files; "),
        ({"trainer_state": "."}, {}, 1, "has no trainer_state.json; "),
        ({"trainer_state": "metrics.csv"}, {}, 1, "has no log_history"),
        ({"jsonl": "metrics.csv"}, {}, 1, "metrics.csv has no numbers yet"),
    ],
)
def test_a_log_that_can_not_be_read_is_told(
    cli: Cli, tmp_path: Path, read: Any, metrics: dict[str, str], code: int, said: str
) -> None:
    script(tmp_path, f"set -- 1 2; {METRICS.format(lr=0.1)}")
    path = config_file(tmp_path, read=read, metrics=metrics or None)
    found, out, err = cli("run", path, "--runs", tmp_path / "runs")
    assert (found, said in " ".join((out + err).split())) == (code, True), out + err
    assert (tmp_path / "runs").exists() == (code == 1)


def test_a_command_that_records_nothing_failed(cli: Cli, tmp_path: Path) -> None:
    script(tmp_path, "echo fine")
    code, out, _ = cli("run", config_file(tmp_path))
    assert code == 1
    assert "recorded no values to compare; record them with lrbench.record, or set `read`" in out


@pytest.mark.parametrize(("text", "said"), [("kill -9 $$", "was killed by SIGKILL"), ("exec /no", "exit code 12")])
def test_how_a_command_ended(tmp_path: Path, text: str, said: str) -> None:
    result = run_command(tmp_path, text).result()
    assert result is not None
    assert said in result.reason


def test_a_command_is_stopped_after_its_timeout(tmp_path: Path) -> None:
    result = run_command(tmp_path, "echo on; exec sleep 10000", timeout=0.3).result()
    assert result is not None
    assert result.status is Status.FAILED
    assert result.reason.startswith("it was stopped after its timeout of 0.3 seconds")


def test_a_command_that_ended_is_not_stopped_while_its_output_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look at its output lasts until it has ended, and much longer than its limits allow."""
    read = execution.Running.read

    def slow(running: execution.Running) -> None:
        (tmp_path / "looked").touch()
        with contextlib.suppress(ValueError):  # it has been waited for
            wait_until(lambda: bool(select.select([running.process._socket], [], [], 0)[0]))
        running.limits.began -= 10_000
        running.limits.heard -= 10_000
        read(running)

    monkeypatch.setattr(execution.Running, "read", slow)
    text = f"""
    echo val_loss 0.5
    until [ -e {tmp_path}/looked ]; do sleep 0.1; done
    """
    result = run_command(tmp_path, text, read={"stdout": "val_loss {val_loss}"}, timeout="1h", stall="1h").result()
    assert result is not None
    assert result.status is Status.FINISHED, result.reason


def test_the_time_of_a_command_ends_with_it(tmp_path: Path) -> None:
    """Not when lrbench finds time to notice."""
    process = execution.Process(["true"], folder=tmp_path, environment=os.environ, output=tmp_path / "output")
    wait_until(lambda: bool(select.select([process._socket], [], [], 0)[0]))
    noticed = time.monotonic()
    end = process.wait(PATIENCE)
    assert end is not None and end.well
    assert end.at <= noticed


def test_a_failed_command_is_retried(tmp_path: Path) -> None:
    script(tmp_path, f"echo x >> {tmp_path}/tries; exit 1")
    lrbench.sweep([config_file(tmp_path)], runs=tmp_path / "runs", retries=2)
    assert (tmp_path / "tries").read_text() == "x\n" * 3


def test_threads_are_divided_between_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    script(tmp_path, f"echo $OMP_NUM_THREADS > {tmp_path}/threads-$2; exit 1")
    lrbench.sweep([config_file(tmp_path)], runs=tmp_path / "runs", seeds=2, jobs=2)
    assert [(tmp_path / f"threads-{seed}").read_text() for seed in (0, 1)] == ["4\n", "4\n"]


def test_commands_run_at_once(tmp_path: Path) -> None:
    """Each waits until all have begun."""
    text = f"touch {tmp_path}/began-$2; until [ $(ls {tmp_path} | grep -c began) = 3 ]; do sleep 0.02; done"
    script(tmp_path, text)
    done = lrbench.sweep([config_file(tmp_path, timeout=20)], runs=tmp_path / "runs", seeds=3, jobs=3)
    assert all(outcome.result and "timeout" not in outcome.result.reason for outcome in done.outcomes)


def test_each_command_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    known_gpus.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5,7")
    try:
        with taking_turns(3), visible(1) as one, visible(2) as others:
            assert one == {"CUDA_VISIBLE_DEVICES": "2"}
            assert others == {"CUDA_VISIBLE_DEVICES": "5,7"}
        with visible(1) as alone:  # one after another, a command sees them all
            assert alone == {}
    finally:
        known_gpus.cache_clear()
    pool = Pool(["0", "1"], jobs=3)
    assert sorted(pool.free) == ["0", "0", "1", "1"]
    with pool.held(5) as both:
        assert sorted(both) == ["0", "1"]


def test_a_changed_script_is_told(cli: Cli, tmp_path: Path) -> None:
    script(tmp_path, "echo 1")
    cli("run", config_file(tmp_path))
    script(tmp_path, "echo 2")
    _, out, _ = cli("run", config_file(tmp_path))
    assert "mine: train.sh has changed since the earlier runs, which are kept; these are new runs" in out
    assert len(list((tmp_path / "runs").glob("mine-*"))) == 2


def test_what_varies_but_does_not_reach_the_command_is_told(cli: Cli, tmp_path: Path) -> None:
    script(tmp_path, "exit 1")
    path = config_file(tmp_path, command="sh train.sh {lr}", params={"lr": 0.1, "width": 3})
    _, out, _ = cli("sweep", path, "--seeds", 2, "--set", "sweep.width=[1,2]")
    assert "the command has no {seed}; unless it calls lrbench.param, all seeds are equal" in out
    assert "the command has no {width}; unless it calls lrbench.param, it stays the same" in out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import lrbench\nwidth = lrbench.param('width', 8)\nseed = lrbench.param(\"seed\", 0)\n", []),
        ("from lrbench import param\nwidth = param('width', 8)\n", ["seed"]),
        ("import json, os\nwidth = json.loads(os.environ['LRBENCH_PARAMS'])['width']\n", ["seed"]),
        ("import lrbench\nsettings = {'width': 8, 'seed': 0}\n", ["width", "seed"]),
    ],
)
def test_what_the_script_asks_for_is_no_doubt(cli: Cli, tmp_path: Path, text: str, told: list[str]) -> None:
    script(tmp_path, f"raise SystemExit(1)\n{text}", "train.py")
    path = config_file(tmp_path, command=f"{sys.executable} train.py {{lr}}", params={"lr": 0.1, "width": 3})
    _, out, _ = cli("sweep", path, "--seeds", 2, "--set", "sweep.width=[1,2]")
    assert re.findall(r"the command has no {(\w+)}", out) == told


# -- stopping and resuming


def stopping_after(tmp_path: Path, file: str) -> Callable[[], bool]:
    return lambda: (tmp_path / file).exists()


def interrupted(tmp_path: Path, **keys: Any) -> RunFolder:
    """Start the command of a config and stop it as Ctrl-C does once it has made the file `began`."""
    from lrbench.training.commands import CommandRun
    from lrbench.training.run_one import WorkItem, do_run

    config = load_config(config_file(tmp_path, **keys))
    folder = RunFolder.of(tmp_path / "runs", config)
    folder.path.mkdir(parents=True, exist_ok=True)
    if not folder.has_config:
        folder.create(config, {})
    with pytest.raises(Interrupted):
        do_run(
            WorkItem(folder.path, config, CommandRun()), threads=None, watch=lambda event: None,
            stop=stopping_after(tmp_path, "began"),
        )  # fmt: skip
    (tmp_path / "began").unlink()
    return folder


WAITING = """
trap 'echo interrupted; exit 0' INT
touch {tmp}/began
while true; do sleep 0.02; done
"""


def test_a_stopped_command_gets_sigint_first_and_its_run_stays_interrupted(tmp_path: Path) -> None:
    script(tmp_path, WAITING.format(tmp=tmp_path))
    folder = interrupted(tmp_path)
    assert folder.output.read_text() == "interrupted\n"
    assert folder.result() is None


def test_a_command_without_resume_begins_anew(cli: Cli, tmp_path: Path) -> None:
    script(tmp_path, WAITING.format(tmp=tmp_path))
    config = {"files": []}
    folder = interrupted(tmp_path, **config)
    script(tmp_path, "echo again; echo $LRBENCH_RESUMED")
    _, out, _ = cli("run", config_file(tmp_path, **config))
    assert f"{folder.name} starts over because its config has no `resume`" in out
    assert folder.output.read_text() == "again\n\n"


def test_a_command_resumes_from_its_newest_checkpoint(cli: Cli, tmp_path: Path) -> None:
    script(tmp_path, WAITING.format(tmp=tmp_path))
    config = {"files": [], "resume": "--resume {checkpoint} {seed}", "checkpoint": "ckpt-*.pt"}
    folder = interrupted(tmp_path, **config)
    for age, name in enumerate(("ckpt-9.pt", "ckpt-10.pt"), start=1):
        (folder.path / name).touch()
        os.utime(folder.path / name, (age, age))
    script(tmp_path, 'echo "$@"; echo $LRBENCH_RESUMED')
    cli("run", config_file(tmp_path, **config))
    assert folder.output.read_text() == f"interrupted\n0.01 0 --resume {folder.path}/ckpt-10.pt 0\n1\n"
    assert len(folder.environment().resumed) == 1


def test_without_a_checkpoint_it_begins_anew(cli: Cli, tmp_path: Path) -> None:
    script(tmp_path, WAITING.format(tmp=tmp_path))
    config = {"files": [], "resume": "--resume {checkpoint}", "checkpoint": "ckpt-*.pt"}
    folder = interrupted(tmp_path, **config)
    script(tmp_path, 'echo "$@"')
    _, out, _ = cli("run", config_file(tmp_path, **config))
    assert "starts over because it left no checkpoint" in out
    assert folder.output.read_text() == "0.01 0\n"


def test_a_command_s_own_checkpoint_pt_is_kept(tmp_path: Path) -> None:
    """Although lrbench calls its own checkpoints so, which it removes at the end."""
    text = f"[ -e checkpoint.pt ] || {{ echo > checkpoint.pt; exit 1; }}; set -- 1 2; {METRICS.format(lr=0.1)}"
    script(tmp_path, text)
    keys = {"read": "metrics.csv", "checkpoint": "checkpoint.pt", "resume": "--resume {checkpoint}"}
    config = config_file(tmp_path, metrics={"val_loss": "eval/loss"}, **keys)
    (outcome,) = lrbench.sweep([config], runs=tmp_path / "runs", retries=1).outcomes
    assert outcome.status is Status.FINISHED, outcome.message
    folder = finished(tmp_path / "runs")
    assert (folder.path / "checkpoint.pt").exists() and len(folder.environment().resumed) == 1
    with folder.lock():
        held = (folder.path / "lock").read_text()
    (folder.path / "lock").write_text(held.replace(f'"pid": {os.getpid()}', '"pid": 4194305'))  # it was killed
    (again,) = lrbench.sweep([config], runs=tmp_path / "runs").outcomes
    assert again.found and folder.owner is None and (folder.path / "checkpoint.pt").exists()


def test_a_command_that_resumes_by_itself_is_called_again(cli: Cli, tmp_path: Path) -> None:
    script(tmp_path, WAITING.format(tmp=tmp_path))
    config = {"files": [], "resume": True}
    folder = interrupted(tmp_path, **config)
    script(tmp_path, 'echo "$@ $LRBENCH_RESUMED"')
    cli("run", config_file(tmp_path, **config))
    assert folder.output.read_text() == "interrupted\n0.01 0 1\n"


FAMILY = """
sh -c 'while true; do sleep 0.1; done' &
setsid sh -c 'trap "" INT TERM; while true; do sleep 0.1; done' &
{trap}
touch {tmp}/began-$2
while true; do sleep 0.1; done
"""
"""A command with a child, a child in a session of its own that ignores signals, and perhaps no ear for signals."""


def started(tmp_path: Path, *, trap: str = "", jobs: int = 2) -> subprocess.Popen[str]:
    script(tmp_path, FAMILY.format(tmp=tmp_path, trap=trap))
    path = config_file(tmp_path, env={"MARK": str(tmp_path)})
    words = [sys.executable, "-m", "lrbench", "sweep", str(path), "--seeds", "2", "--jobs", str(jobs)]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(list(tmp_path.glob("began-*"))) == jobs or process.poll() is not None)
    assert process.poll() is None
    assert len(alive(str(tmp_path))) >= 4 * jobs
    return process


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("trap", ["", "trap '' TERM"])
def test_nothing_is_left_when_lrbench_is_killed(tmp_path: Path, jobs: int, trap: str) -> None:
    process = started(tmp_path, trap=trap, jobs=jobs)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert gone(str(tmp_path)), [one.cmdline() for one in alive(str(tmp_path))]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_lrbench_is_asked_to_stop(tmp_path: Path, number: int) -> None:
    process = started(tmp_path)
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number
    assert gone(str(tmp_path)), [one.cmdline() for one in alive(str(tmp_path))]
    assert all(RunFolder(path).result() is None for path in (tmp_path / "runs").glob("mine-*"))


@pytest.mark.slow
def test_a_second_ctrl_c_ends_commands_at_once(tmp_path: Path) -> None:
    process = started(tmp_path, trap=f"trap 'touch {tmp_path}/told-$2' INT")
    process.send_signal(signal.SIGINT)
    wait_until(lambda: any(tmp_path.glob("told-*")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and "stopped immediately" in errors
    assert gone(str(tmp_path))


@pytest.mark.slow
def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    process = started(tmp_path, jobs=1)
    (supervisor,) = psutil.Process(process.pid).children()
    family = supervisor.children(recursive=True)
    supervisor.kill()
    _, alive_ones = psutil.wait_procs(family, timeout=PATIENCE)
    assert not alive_ones, "the kernel ends the command, lrbench what left its session"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert gone(str(tmp_path))


@pytest.mark.slow
def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    text = "setsid sh -c 'trap \"\" TERM; while true; do sleep 0.1; done' & sleep 10000 & exit 0"
    run_command(tmp_path, text, env={"MARK": str(tmp_path)})
    assert gone(str(tmp_path))


def test_commands_need_no_torch(tmp_path: Path) -> None:
    script(tmp_path, "echo")
    code = (
        "import sys, lrbench; lrbench.run([sys.argv[1]]); "
        "assert not {'torch', 'pandas', 'matplotlib'} & sys.modules.keys(), 'heavy'"
    )
    done = subprocess.run([sys.executable, "-c", code, config_file(tmp_path)], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_mixed_sweeps_are_possible(tmp_path: Path, write_config: Callable[..., Path]) -> None:
    script(tmp_path, "exit 1")
    outcomes = lrbench.run([config_file(tmp_path), write_config(epochs=1)], runs=tmp_path / "runs", jobs=1)
    assert [outcome.status for outcome in outcomes] == [Status.FAILED, Status.FINISHED]


def test_arguments_of_python_functions(tmp_path: Path) -> None:
    script(tmp_path, "echo")
    with pytest.raises(UsageError, match="RangeTest"):
        lrbench.find_lr(config_file(tmp_path))


def test_canonical_form() -> None:
    assert canonical(command()) == {
        "version": 1, "command": "run --lr {lr}", "params": {"lr": 0.01}, "seed": 0.0,
    }  # fmt: skip


@pytest.mark.slow
def test_two_processes_of_torchrun_are_one_run(cli: Cli, tmp_path: Path, forks: Starts) -> None:
    text = """
        import sys, torch, torch.distributed as dist, lrbench
        dist.init_process_group("gloo")
        total = torch.ones(1)
        with lrbench.record() as run:
            for step in range(5):
                dist.all_reduce(total)
                run.step(lr=float(sys.argv[1]), loss=float(total) + dist.get_rank())
            run.evaluate(val_loss=float(sys.argv[1]) + dist.get_rank())
        dist.destroy_process_group()
        """
    script(tmp_path, text, "train.py")
    forks.shims(tmp_path)
    places = [tmp_path, Path(sys.executable).parent, os.environ["PATH"]]
    environment = {"PATH": os.pathsep.join(map(str, places))}
    if (tmp_path / "python").exists():
        environment["PYTHON_EXEC"] = str(tmp_path / "python")  # what torchrun starts
    torchrun = "torchrun --standalone --nproc-per-node 2 train.py {lr}"
    path = config_file(tmp_path, command=torchrun, files=["train.py"], env=environment)
    code, out, err = cli("sweep", path, "--lr", "0.1,0.2", "--jobs", 1)
    assert code == 0, out + err
    found = [RunFolder(path) for path in sorted((tmp_path / "runs").glob("mine-*"))]
    values = {
        folder.config().lr: (result.metric("val_loss"), result.steps) for folder in found if (result := folder.result())
    }
    assert values == {0.1: (0.1, 5), 0.2: (0.2, 5)}, "rank 0 alone records"
    assert read_csv(found[0].steps.path)["loss"].tolist() == [2.0, 4.0, 8.0, 16.0, 32.0]
