"""Code that a config from outside the working folder names runs only if the user says so."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import lrbench
from lrbench.config import foreign_code
from lrbench.errors import ConfigError

Cli = Callable[..., tuple[int, str, str]]
NETS = """
from pathlib import Path
from torch import nn

Path("imported").touch()

def build(outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))

def schedule(step, lr):
    return lr
"""
CONFIG: dict[str, Any] = {
    "name": "theirs", "dataset": {"name": "digits", "train_size": 64}, "model": "nets:build",
    "optimizer": {"name": "sgd", "lr": 0.1}, "epochs": 1, "batch_size": 32, "device": "cpu",
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a module, beside which `elsewhere` has configs."""
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (folder / "nets.py").write_text(NETS)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    monkeypatch.delenv("LRBENCH_TRUST", raising=False)
    return folder


@pytest.fixture
def call(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run the command line in `here`."""
    monkeypatch.chdir(here)
    return cli


def written(path: Path, **changes: Any) -> Path:
    plain = {key: value for key, value in {**CONFIG, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(plain, sort_keys=False))
    return path


def named(config: Path) -> list[tuple[str, str]]:
    return [(code.key, code.text) for code in foreign_code(config)]


COMMANDS = {
    "run": ["run"],
    "sweep": ["sweep", "--lr", "0.1,0.2", "--jobs", "1"],
    "find-lr": ["find-lr", "--seeds", "1", "--iterations", "20"],
    "preview": ["preview"],
    "check-width": ["check-width", "--widths", "8,16"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_runs_configs_refuses_and_names_the_code(command: str, call: Cli, here: Path) -> None:
    config = written(here.parent / "elsewhere" / "theirs.yaml", schedule="nets:schedule")
    code, out, said = call(*COMMANDS[command], "../elsewhere/theirs.yaml")
    assert code == 2 and out == ""
    assert said.splitlines() == [
        "Error: this would run code that a config from outside the working folder names:",
        "  ../elsewhere/theirs.yaml:5: model: nets:build",
        "  ../elsewhere/theirs.yaml:12: schedule: nets:schedule",
        "Read it, then add --trust to run it, or name the folder in LRBENCH_TRUST if all its configs are yours",
    ]
    assert not (here / "imported").exists() and not (here / "runs").exists()
    assert config.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_is_asked_about_a_config_that_is_wrong(command: str, call: Cli, here: Path) -> None:
    written(here.parent / "elsewhere" / "theirs.yaml", epochs=-1)
    code, _, said = call(*COMMANDS[command], "../elsewhere/theirs.yaml")
    assert code == 2 and "epochs: must be" in said and "nets:build" not in said
    assert not (here / "imported").exists()


@pytest.mark.parametrize("command", ["run", "preview"])
def test_trust_runs_it(command: str, call: Cli, here: Path) -> None:
    written(here.parent / "elsewhere" / "theirs.yaml", schedule="nets:schedule")
    code, _, said = call(*COMMANDS[command], "../elsewhere/theirs.yaml", "--trust")
    assert code == 0, said
    assert (here / "imported").exists()


def test_it_is_told_in_json_too(call: Cli, here: Path) -> None:
    written(here.parent / "elsewhere" / "theirs.yaml")
    code, out, _ = call("run", "../elsewhere/theirs.yaml", "--json")
    assert code == 2 and "add --trust to run it" in out


def test_a_folder_that_the_environment_names_is_trusted(
    here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = written(tmp_path / "elsewhere" / "theirs.yaml")
    for value, trusted in (
        ("/nowhere", False),
        ("~nobody-of-this-name/x", False),
        ("relative", False),
        (str(config), False),
        (f"/nowhere{os.pathsep}../elsewhere", True),
        ("", False),
    ):
        monkeypatch.setenv("LRBENCH_TRUST", value)
        assert (named(config) == []) is trusted


def test_what_the_environment_names_has_to_be_folders(call: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(here.parent / "elsewhere" / "theirs.yaml")
    for value, wrong in (("banana", "banana"), (f"yes{os.pathsep}{here}", "yes"), (str(here), "")):
        monkeypatch.setenv("LRBENCH_TRUST", value)
        code, _, said = call("run", "../elsewhere/theirs.yaml")
        told = f"LRBENCH_TRUST names no folder: {wrong}; it takes the paths of folders, such as ~/experiments"
        assert code == 2 and (told in said if wrong else "names no folder" not in said)


def test_users_who_need_nothing_are_asked_nothing(here: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    assert named(written(here / "mine.yaml")) == []
    (here / "configs").mkdir()
    assert named(written(here / "configs" / "mine.yaml")) == []
    assert named(written(elsewhere / "plain.yaml", model="mlp")) == [], "it names no code"
    reference = {"test_loss": 0.1, "source": "doi:abc"}
    assert named(written(elsewhere / "cited.yaml", model="mlp", reference=reference)) == []
    assert named(written(here / "mine.yaml", extends="../elsewhere/plain.yaml")) == []
    for name in ("digits/baseline", "tutorial/baseline"):
        assert foreign_code(name) == []
    (here / "over.yaml").write_text("extends: ../elsewhere/theirs.yaml\nmodel: mlp\n")
    written(elsewhere / "theirs.yaml")
    assert named(here / "over.yaml") == [], "what the user's own file replaces is not run"


def test_what_the_user_sets_instead_is_the_user_s(here: Path, tmp_path: Path) -> None:
    config = written(tmp_path / "elsewhere" / "theirs.yaml", schedule="nets:schedule")
    assert [code.text for code in foreign_code(config, ["model=mlp"])] == ["nets:schedule"]
    assert foreign_code(config, ["model=mine:net", "schedule=mine:schedule"]) == []


def test_python_users_run_their_own_code(here: Path, tmp_path: Path) -> None:
    config = written(tmp_path / "elsewhere" / "theirs.yaml")
    (outcome,) = lrbench.run([config])
    assert outcome.status.value == "finished" and (here / "imported").exists()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"model": {"name": "os:system", "command": "true"}}, [("model", "os:system"), ("model.command", "true")]),
        ({"dataset": {"name": "torchvision.datasets:FakeData"}}, [("dataset", "torchvision.datasets:FakeData")]),
        ({"metrics": {"mine:Metric": "higher"}, "model": "mlp"}, [("metrics.mine:Metric", "mine:Metric")]),
        ({"step": "mine:step", "model": "mlp"}, [("step", "mine:step")]),
        ({"track": ["mine:Tool"], "model": "mlp"}, [("track.0", "mine:Tool")]),
        ({"dataset": {"name": "digits", "collate": "mine:f"}, "model": "mlp"}, [("dataset.collate", "mine:f")]),
        (
            {"schedule": {"name": "sequence", "parts": [{"name": "a:b", "for": "1 epochs"}, {"name": "cosine"}]},
             "model": "mlp"}, [("schedule.parts.0", "a:b")],
        ),
        ({"sweep": {"model": ["mlp", "a.b:c.d"]}, "model": "mlp"}, [("sweep.model.1", "a.b:c.d")]),
        ({"sweep": {"metrics.a:B": ["higher"]}, "model": "mlp"}, [("sweep.metrics.a:B", "metrics.a:B")]),
        ({"x-shared": "a:b", "model": "mlp"}, []),
    ],
)  # fmt: skip
def test_code_is_found_wherever_a_config_may_name_it(
    here: Path, tmp_path: Path, changes: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    config = written(tmp_path / "elsewhere" / "theirs.yaml", **{"model": None, **changes})
    assert [one for one in named(config) if one[1] != "nets:build"] == found


def test_code_of_a_file_that_is_extended_or_linked_is_found(here: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    written(elsewhere / "theirs.yaml")
    (elsewhere / "middle.yaml").write_text("extends: theirs.yaml\n")
    (here / "mine.yaml").write_text("extends: ../elsewhere/middle.yaml\nepochs: 2\n")
    (code,) = foreign_code(here / "mine.yaml")
    assert (code.key, code.text) == ("model", "nets:build") and code.where.endswith("elsewhere/theirs.yaml:5")
    (here / "link.yaml").symlink_to(elsewhere / "theirs.yaml")
    assert named(here / "link.yaml") == [("model", "nets:build")]


def test_a_command_is_code(here: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "base.yaml").write_text("command: python train.py --lr {lr}\nparams: {lr: 0.1}\n")
    assert named(elsewhere / "base.yaml") == [("command", "python train.py --lr {lr}")]
    (elsewhere / "env.yaml").write_text("env: {LD_PRELOAD: ./evil.so}\nparams: {lr: 0.1}\n")
    (here / "mine.yaml").write_text("extends: ../elsewhere/env.yaml\ncommand: [python, train.py]\n")
    (code,) = foreign_code(here / "mine.yaml")
    assert (code.key, code.text) == ("env, params", "python train.py"), "what it runs with comes from outside"
    assert "./evil.so" in code.given and code.where.endswith("env.yaml")


def test_nothing_that_would_run_is_hidden(call: Cli, here: Path) -> None:
    theirs = here.parent / "elsewhere"
    (theirs / "gap.yaml").write_text(f"command: 'echo harmless {' ' * 3000}; touch PWNED'\nshell: true\n")
    code, _, said = call("run", "../elsewhere/gap.yaml")
    assert code == 2 and 'echo harmless ; touch PWNED {"shell": true}' in said
    decoys = "".join(f"  a{number}: torchmetrics:M{number}\n" for number in range(60))
    (theirs / "decoys.yaml").write_text(f"params:\n{decoys}command: touch PWNED\n")
    code, _, said = call("run", "../elsewhere/decoys.yaml")
    assert code == 2 and "touch PWNED" in said and "and 21 more, too many to ask about" in said
    written(theirs / "source.yaml", model={"name": "builtins:exec", "source": "import os; os.system('x')"})
    assert "os.system('x')" in call("run", "../elsewhere/source.yaml")[2]
    (theirs / "long.yaml").write_text(f"command: echo {'x' * 9000}\n")
    assert "more characters; read the file" in call("run", "../elsewhere/long.yaml")[2]


def test_what_is_no_config_is_not_shown(call: Cli, here: Path) -> None:
    (here.parent / "elsewhere" / "secret.yaml").write_text("password: AKIA:zzz\n")
    code, _, said = call("run", "../elsewhere/secret.yaml")
    assert code == 2 and "unknown key 'password'" in said and "zzz" not in said


def test_a_wrong_config_is_told_as_ever(call: Cli, here: Path) -> None:
    assert "no such file" in call("run", "../elsewhere/nothing.yaml")[2]
    (here.parent / "elsewhere" / "bad.yaml").write_text("model: [")
    code, _, said = call("run", "../elsewhere/bad.yaml")
    assert code == 2 and "is not valid YAML" in said
    with pytest.raises(ConfigError):
        foreign_code("../elsewhere/bad.yaml")


def test_hostile_names_cannot_steer_the_terminal(call: Cli, here: Path) -> None:
    written(here.parent / "elsewhere" / "\x1b[31m\nred.yaml", model="a:b", command=None)
    (here.parent / "elsewhere" / "long.yaml").write_text(f"command: ['\\e]8;;x', '{'x' * 5000}\\nError']\n")
    for name in ("\x1b[31m\nred.yaml", "long.yaml"):
        code, _, said = call("run", f"../elsewhere/{name}")
        assert code == 2 and "\x1b" not in said and len(said) < 3000


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "code"), [("banana\nYES", 0), ("n", 2), ("", 2)])
def test_on_a_terminal_it_is_asked(here: Path, tmp_path: Path, answer: str, code: int) -> None:
    written(tmp_path / "elsewhere" / "theirs.yaml", schedule="nets:schedule")
    words = [sys.executable, "-m", "lrbench", "preview", "../elsewhere/theirs.yaml", "--steps-per-epoch", "3"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(words, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, cwd=here) as process:
        os.close(theirs)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(ours, 1000)
        os.write(ours, answer.encode() + b"\n")
        while process.poll() is None:
            try:
                said += os.read(ours, 1000)
            except OSError:  # the other end was closed
                break
        assert process.wait(120) == code, said
    os.close(ours)
    assert b"nets:build" in said and (b"nothing was run" in said) is bool(code)
    assert said.count(b"Run the code named in ../elsewhere/theirs.yaml? [y/N]") == 1 + answer.count("\n")
    assert (here / "imported").exists() is not bool(code)


def test_a_dry_run_asks_for_no_trust_and_imports_nothing(cli: Cli, here: Path, tmp_path: Path) -> None:
    there = tmp_path / "theirs"
    there.mkdir(exist_ok=True)
    (there / "nets.py").write_text(NETS)
    config = {**CONFIG, "schedule": "nets:schedule", "track": ["nets:Tool"]}
    (there / "theirs.yaml").write_text(yaml.safe_dump(config))
    code, out, err = cli("sweep", there / "theirs.yaml", "--lr", "0.1,0.2", "--dry-run")
    assert code == 0 and "2 runs, 0 already finished" in out and "--trust" not in out + err
    assert not [*tmp_path.rglob("imported")]
