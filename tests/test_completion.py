"""Shell completion, through the protocol of each shell and in bash itself."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.main import get_command

from lrbench.cli.app import app
from lrbench.cli.catalogue import CATALOGUES
from lrbench.cli.completion import make, words
from lrbench.cli.completion.make import _CHOICES, _FIGURES
from lrbench.cli.completion.shells import SHELLS
from lrbench.cli.completion.table import table
from lrbench.reports.figures.kinds import KINDS

ROOT = Path(__file__).parent.parent
TABLE = make.make()
COMMANDS = [*get_command(app).commands]  # type: ignore[attr-defined]


def completed(line: str) -> list[str]:
    """The candidates for the last word of a command line."""
    *before, current = line.split(" ")
    return [word for word, _ in words.candidates(TABLE, before, current)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with configs, a run with a result, and a sweep."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "more").mkdir(parents=True)
    for name in ("a.yaml", "b.yml", "notes.txt", "more/c.yaml"):
        (tmp_path / "configs" / name).write_text("optimizer: {name: sgd, lr: 0.1}\n")
    (tmp_path / "cmd.yaml").write_text("command: python x.py --lr {lr}\nparams: {lr: 1.0, model: {width: 3}}\n")
    for seed in (0, 1):
        run = tmp_path / "runs" / f"baseline-seed{seed}-0123abc{seed}"
        run.mkdir(parents=True)
        result = {"final": {"val_loss": 1, "val_f1": 1, "train_loss": 1}, "best": {"val_f1": 1}, "test": {"f1": 1}}
        (run / "result.json").write_text(json.dumps(result))
        (run / "env.json").write_text("{}")
    (tmp_path / "runs" / "sweeps" / "rates").mkdir(parents=True)
    return tmp_path


def test_commands_and_options() -> None:
    assert completed("") == COMMANDS
    assert completed("sw") == ["sweep"]
    assert {"--set", "--seeds", "--jobs", "--help"} <= {*completed("run --")}
    assert "--seeds" not in completed("run --seeds 3 --")
    assert "--set" in completed("run --set a=1 --"), "it may be repeated"
    assert "--version" in completed("--") and "--set" not in completed("--")
    assert completed("nosuch --x") == completed("nosuch a") == completed("run --seeds ") == []


def test_every_command_option_and_argument_is_known() -> None:
    for name, command in TABLE["commands"].items():
        assert command["help"] and not re.search(r"\[/?(dim|bold|red)", command["help"])
        assert all(one["help"] for one in command["options"].values()), name
    assert [*CATALOGUES, "configs"] == completed("list ") == [*TABLE["names"]]
    assert {*_FIGURES} == {*KINDS, "all"}
    for option, choices in _CHOICES.items():
        own, _, name = option.rpartition(" ")
        texts = [one["options"][name]["help"] for key, one in TABLE["commands"].items() if name in one["options"]]
        texts = [TABLE["commands"][own]["options"][name]["help"]] if own else texts
        assert texts and all(all(choice in text for choice in choices) for text in texts), option


def test_keys_and_values_of_a_config() -> None:
    keys = completed("run --set ")
    assert {"epochs=", "optimizer.lr=", "warmup.for=", "plateau.growth.factor=", "dataset.validation.how="} <= {*keys}
    assert completed("run --set optimizer=ada") == [
        *("optimizer=adadelta", "optimizer=adafactor", "optimizer=adagrad", "optimizer=adam", "optimizer=adamax"),
        "optimizer=adamw",
    ]
    assert {"schedule=cosine", "schedule=hf/cosine"} <= {*completed("sweep --set schedule=")}
    assert completed("run --set precision=") == [f"precision={one}" for one in ("fp32", "tf32", "bf16", "fp16")]
    assert completed("run --set=precision=b") == ["--set=precision=bf16"]
    assert completed("run --set batch_s") == ["batch_size=", "batch_size=64"], "two, so that no shell ends the word"


def test_parameters_are_those_of_the_part_that_is_chosen(here: Path) -> None:
    assert completed("run --set schedule=step --set schedule.e")[:2] == ["schedule.every=", "schedule.every=15epochs"]
    assert "optimizer.momentum=" in completed("run configs/a.yaml --set optimizer.m")
    assert "optimizer.betas=" not in completed("run configs/a.yaml --set optimizer.")
    assert "optimizer.betas=" in completed("run --set optimizer=adam --set optimizer.")
    assert completed("run cmd.yaml --set ") == ["params.lr=", "params.model=", "seed=", "name="]


def test_names() -> None:
    assert completed("list schedules one") == ["one_cycle", "onecycle"]
    assert completed("list model ml") == ["mlp"]
    assert completed("list nothing ") == []
    assert completed("sweep --schedule cosine,lin") == ["cosine,linear"]
    assert "constant,cosine" not in completed("sweep --schedule constant,cosine,")
    assert completed("run --track t") == ["tensorboard", "trackio"]
    assert completed("figure hea") == ["heatmap"]


def test_config_files_and_folders(here: Path) -> None:
    assert completed("run ") == ["cmd.yaml", "configs/", "runs/"]
    inside = ["configs/a.yaml", "configs/b.yml", "configs/more/"]
    assert completed("run con") == completed("run configs") == completed("run configs/") == inside
    assert completed("run configs/a.yaml configs/mo") == ["configs/more/c.yaml"]
    assert completed("run no/such/") == []
    assert completed("sweep --runs ru") == ["runs/sweeps/rates/"] or "runs/sweeps/" in completed("sweep --runs ru")[-1]


def test_runs_sweeps_and_metrics(here: Path) -> None:
    runs = ["runs/baseline-seed0-0123abc0", "runs/baseline-seed1-0123abc1"]
    assert completed("compare ") == completed("compare b") == completed("compare baseline b") == ["baseline"]
    assert completed("audit runs/b") == completed("report runs/ba") == runs
    assert completed("compare --runs elsewhere b") == []
    (here / "elsewhere" / "other-seed3-0123abcd").mkdir(parents=True)
    assert completed("compare --runs elsewhere o") == ["other"]
    assert completed("sweep --status --name r") == completed("watch ra") == ["rates"]
    assert completed("report --metric ") == ["val_loss", "val_f1", "best_val_f1", "test_f1"]
    assert completed("compare baseline --target t") == ["test_f1="]
    assert completed("report --columns run,st") == ["run,status"]
    assert "val_loss" in completed("report --runs empty --metric ")
    assert {"baseline", "optimizer.lr="} <= {*completed("report --filter ")}


def test_bash_ends_words_at_equals_and_colons(capsys: pytest.CaptureFixture[str]) -> None:
    def asked(*typed: str) -> tuple[list[str], str, str]:
        before, current = SHELLS["bash"].words({"COMP_WORDS": "\n".join(typed), "COMP_CWORD": str(len(typed) - 1)})
        SHELLS["bash"].say([("schedule=cosine", ""), ("lr=1e-5:1:11", "")], {})
        return before, current, capsys.readouterr().out

    options, word, out = asked("lrbench", "run", "--set", "schedule", "=", "co")
    assert (options, word, out.partition("\n")[0]) == (["run", "--set"], "schedule=co", "cosine")
    assert asked("lrbench", "run", "--set", "schedule", "=")[1] == "schedule="
    assert asked("lrbench", "run", "--lr", "1e-5", ":", "1", ":", "1")[1] == "1e-5:1:1"
    assert asked("lrbench", "run", "'a b", "")[0] == ["run", "a b"]
    assert asked("lrbench", "s")[1:] == ("s", "schedule=cosine\nlr=1e-5:1:11\n")


def test_zsh_fish_and_powershell(capsys: pytest.CaptureFixture[str]) -> None:
    found = [("a:b", "it's $5: `x`"), ("c", "")]
    line = {"_TYPER_COMPLETE_ARGS": "lrbench run 'a b' c"}
    for name in ("zsh", "fish"):
        assert SHELLS[name].words(line) == (["run", "a b"], "c")
        assert SHELLS[name].words({"_TYPER_COMPLETE_ARGS": "lrbench run "}) == (["run"], "")
    assert SHELLS["zsh"].say(found, {}) == 0
    assert capsys.readouterr().out == '_arguments \'*: :(("a\\\\:b":"it\'\'s \\$5\\\\: \\`x\\`"\n"c"))\'\n'
    assert SHELLS["zsh"].say([], {}) == 0 and capsys.readouterr().out == "_files\n"
    is_args = {"_TYPER_COMPLETE_FISH_ACTION": "is-args"}
    assert (SHELLS["fish"].say(found, is_args), SHELLS["fish"].say([], is_args)) == (0, 1)
    assert SHELLS["fish"].say([("c", "text"), ("d", "")], {}) == 0 and capsys.readouterr().out == "c\ttext\nd\n"
    power = {"_TYPER_COMPLETE_ARGS": "lrbench run con", "_TYPER_COMPLETE_WORD_TO_COMPLETE": "con"}
    assert SHELLS["pwsh"].words(power) == (["run"], "con")
    assert SHELLS["pwsh"].say([("c", "")], {}) == 0 and capsys.readouterr().out == "c::: \n"


def asked_for(shell: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """What a process of lrbench answers, and whether it imported what takes long."""
    script = (
        "import sys\nfrom lrbench.cli import main\ntry:\n    main()\nexcept SystemExit as end:\n    code = end.code\n"
        "slow = {'torch', 'typer', 'pydantic', 'rich', 'yaml'} & sys.modules.keys()\n"
        "print(sorted(slow), file=sys.stderr)\nsys.exit(code)\n"
    )
    known = {**os.environ, "_LRBENCH_COMPLETE": f"complete_{shell}", "XDG_CACHE_HOME": str(folder / "cache"), **environ}
    return subprocess.run([sys.executable, "-c", script], env=known, cwd=folder, capture_output=True, text=True)


def test_the_table_is_kept_and_later_answers_import_little(tmp_path: Path) -> None:
    line = {"_TYPER_COMPLETE_ARGS": "lrbench run --set precision=b"}
    first, second = (asked_for("zsh", tmp_path, **line) for _ in range(2))
    assert first.stdout == second.stdout == "_arguments '*: :((\"precision=bf16\"))'\n"
    assert (first.returncode, second.returncode) == (0, 0)
    assert "torch" not in first.stderr
    assert second.stderr == "[]\n"
    assert asked_for("tcsh", tmp_path, **line).returncode == 1


def test_a_table_that_no_longer_holds_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_users_data: None
) -> None:
    monkeypatch.setattr(make, "make", lambda: {"commands": {}})
    kept = tmp_path / "cache" / "lrbench" / "completion.json"
    assert table()["commands"] == {} and json.loads(kept.read_text())["commands"] == {}
    for text in ("{", "[]", '{"stamp": "old", "commands": {"x": 1}}'):
        kept.write_text(text)
        assert table()["commands"] == {}
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "commands": {"kept": 1}}))
    assert table()["commands"] == {"kept": 1}


def test_a_failure_completes_nothing(tmp_path: Path) -> None:
    done = asked_for("bash", tmp_path, COMP_WORDS="lrbench", COMP_CWORD="many")
    assert (done.returncode, done.stdout) == (0, "")
    assert "Traceback" not in done.stderr


def shell_script(shell: str) -> str:
    """The script that `lrbench --show-completion` prints."""
    known = {**os.environ, "_LRBENCH_COMPLETE": f"source_{shell}"}
    return subprocess.run([sys.executable, "-m", "lrbench"], env=known, capture_output=True, text=True).stdout


class Bash:
    """An interactive bash in a terminal, with the completion script sourced."""

    def __init__(self, folder: Path) -> None:
        command = folder / "bin" / "lrbench"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m lrbench "$@"\n')
        command.chmod(0o755)
        (folder / "rc").write_text(
            shell_script("bash") + f"PATH={command.parent}:$PATH PS1='> '\nbind 'set enable-bracketed-paste off'\n"
        )
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.environ |= {
                "TERM": "dumb",
                "XDG_CACHE_HOME": str(folder / "cache"),
                "HOME": str(folder),
                "COLUMNS": "200",
            }
            os.execvp("bash", ["bash", "--rcfile", "rc", "--noprofile", "-i"])
        self.until("> ")

    def until(self, text: str, seconds: float = 60) -> str:
        """Read what the terminal shows until it has a text."""
        shown, end = "", time.monotonic() + seconds
        while text not in shown and time.monotonic() < end:
            if select.select([self.terminal], [], [], 0.2)[0]:
                shown += os.read(self.terminal, 10_000).decode(errors="replace").replace("\a", "")
        assert text in shown, shown
        return shown

    def type(self, keys: str, expected: str) -> None:
        """Type keys, wait for what should then be on the line, and clear it."""
        os.write(self.terminal, keys.encode())
        self.until(expected)
        os.write(self.terminal, b"\x15\n")
        self.until("> ")

    def close(self) -> None:
        """End it."""
        os.write(self.terminal, b"\x15exit\n")
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_in_bash_itself(here: Path) -> None:
    bash = Bash(here)
    try:
        bash.type("lrbench swe\t", "lrbench sweep ")
        bash.type("lrbench run con\t", "configs/")
        bash.type("lrbench run configs/a\t", "configs/a.yaml ")
        bash.type("lrbench run configs/a.yaml --set opti\t.mom\t", "optimizer.momentum=")
        bash.type("lrbench run --set precision=b\t", "precision=bf16 ")
        bash.type("lrbench run --set batch_s\t", "batch_size=")
        bash.type("lrbench list schedules one_\t", "one_cycle ")
        bash.type("lrbench compare ba\t", "baseline ")
    finally:
        bash.close()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_in_other_shells(shell: str, here: Path) -> None:
    assert f"complete_{shell}" in shell_script(shell)
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here: its script was not run")
    (here / "script").write_text(shell_script(shell))
    prepared = "autoload -U compinit; compinit -u; " if shell == "zsh" else ""
    done = subprocess.run([shell, "-c", f"{prepared}source script"], cwd=here, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
