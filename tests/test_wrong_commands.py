"""Mistakes in commands that start something: told in one line before any work, with nothing written or lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from forked import Starts
from waiting import PATIENCE, wait_until

import lrbench
from lrbench.cli.progress import Lines
from lrbench.cli.terminal import Terminal
from lrbench.config.yaml_source import read
from lrbench.errors import ConfigError, FolderError, UsageError, UserCodeError, command_line
from lrbench.events import message
from lrbench.runs import nearest, write_file
from lrbench.training import RunOptions

Cli = Callable[..., tuple[int, str, str]]
MODEL = """
    import os, time
    from torch import nn

    def build(outputs, width=8):
        with open("noted.txt", "a") as file:
            print(os.getpid(), file=file)
        while True:
            try:
                time.sleep(1000)
            except BaseException:
                pass

    def crash(outputs, width=8):
        import ctypes
        ctypes.string_at(0)
"""


def said(done: tuple[int, str, str]) -> str:
    """What a command says of a mistake in it."""
    code, out, err = done
    assert code == 2, out + err
    assert err.startswith("Error: ") and err.count("\n") == 1
    return err.removeprefix("Error: ").strip()


@pytest.fixture
def config(cli: Cli, write_config: Callable[..., Path]) -> str:
    return write_config().name


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("sweep {config} --lr 1e-3:1:4 --lr 0.1", "--lr is given twice, as 1e-3:1:4 and as 0.1; give it once"),
        ("sweep {config} --jobs=1 --jobs 2", "--jobs is given twice, as 1 and as 2; give it once"),
        ("preview {config} --out a.png --out=b.png", "--out is given twice, as a.png and as b.png; give it once"),
        ("run -x.yaml", "no such option: -x; for the file, write ./-x.yaml; see lrbench run --help"),
        ("run {config} --seeds 5000000", "--seeds must be a whole number from 1 to 10,000 (got 5000000)"),
        ("demo --seeds 99999999999999999999", "--seeds must be a whole number from 1 to 10,000"),
        ("find-lr {config} --seeds 10001", "--seeds must be a whole number from 1 to 10,000 (got 10001)"),
        ("run {config} --device tpu", "--device: device: must be auto, cpu, cuda, cuda:0 (…) or mps (got 'tpu')"),
        ("run {config} --device cuda:99", "--device: device: 'cuda:99' is not available on this machine"),
        ("find-lr {config} --device tpu", "--device: device: must be auto"),
        ("check-width {config} --widths 8,16 --key model.hidden --device tpu", "--device: device: must be auto"),
        ("run {config} --set lr=1", "--set: lr: unknown key 'lr'; the learning rate is 'optimizer.lr'; choices: "),
        ("sweep {config} --lr ٣", "--lr: a learning rate must be a number greater than 0 (got '٣')"),
        ("sweep {config} --runs-per-gpu 2", "--runs-per-gpu needs --executor ray"),
        ("sweep {config} --address x", "--address needs --executor ray"),
        ("sweep {config} --fail-fast --max-failures 3", "--fail-fast stops after 1 failure, --max-failures after 3"),
        ("sweep {config} --dry-run --serve", "--serve shows runs while they train, and --dry-run trains none"),
        ("sweep --status {config}", "--status takes only --runs, --name and --json; leave out CONFIG"),
        ("sweep --status --lr 0.1 --zoom", "--status takes only --runs, --name and --json; leave out --lr, --zoom"),
        ("sweep --status --runs {config}", "--runs {config} is a file, not a folder"),
        ("check-width {config} --widths 8,٣", "--widths must be whole numbers with commas between, such as 64,128,256"),
        ("check-width {config} --widths 8,99999999999999999999", "--widths must be whole numbers"),
        ("list schedules cosin", "unknown schedule 'cosin'; did you mean 'cosine'? Choices: "),
        ("list metrics val_loss", "unknown metric 'val_loss'; choices: "),
        ("list schedules adam", "; `lrbench list optimizers adam` shows that of the optimizers"),
        ("list models os:sep", "'os:sep' is neither a class nor a function, so it can't make a model"),
        ("init --force", "--force needs a KIND, whose files it overwrites; kinds: huggingface, "),
        ("init {config}", "unknown starter 'tiny.yaml'; choices: "),
        ("schema --out {config}", "--out must be a .json file (got tiny.yaml)"),
    ],
)
def test_a_mistake_is_told_in_a_line(words: str, text: str, config: str, cli: Cli) -> None:
    Path("-x.yaml").write_text("")
    before = sorted(Path().rglob("*"))
    assert text.format(config=config) in said(cli(*words.format(config=config).split()))
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("word", ["  ", "\t"])
def test_a_blank_argument_is_an_empty_one(word: str, cli: Cli) -> None:
    assert said(cli("run", word)).startswith("an argument is empty: ")


def test_no_line_of_a_message_comes_from_a_name(cli: Cli) -> None:
    assert said(cli("list", "a\nb")).startswith(r"unknown kind 'a\nb'; choices: configs, ")


def test_an_option_that_may_be_repeated_is(config: str, cli: Cli) -> None:
    assert cli("preview", config, "--set", "steps=5", "--set", "epochs=null")[0] == 0


# -- where to write


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("demo --out {place}/x", "--out"),
        ("demo --out {place}", "--out"),
        ("check-width {config} --widths 8,16 --out {place}/x.png", "--out"),
        ("check-width {config} --widths 8,16 --runs {place}", "--runs"),
        ("preview {config} --out {place}/x.png", "--out"),
        ("preview {config} --runs {place}", "--runs"),
        ("find-lr {config} --write {place}/x.yaml", "--write"),
        ("schema --out {place}/x.json", "--out"),
        ("init tutorial {place}/x", "FOLDER"),
        ("init tutorial {place}", "FOLDER"),
    ],
)
@pytest.mark.parametrize("place", ["note.txt", "x" * 300, "dangling"])
def test_a_place_where_nothing_can_be_written_is_told_before_the_work(
    words: str, option: str, place: str, config: str, cli: Cli
) -> None:
    Path("note.txt").write_text("mine")
    Path("dangling").symlink_to("gone")
    before = sorted(Path().rglob("*"))
    assert said(cli(*words.format(config=config, place=place).split())).startswith(f"{option} ")
    assert sorted(Path().rglob("*")) == before and Path("note.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "words",
    ["schema --out {}.json", "preview {config} --out {}.png", "check-width {config} --widths 8,16 --out {}.png"],
)
def test_a_pipe_and_a_folder_are_not_replaced(words: str, config: str, cli: Cli) -> None:
    kind = words.rpartition("}")[2]
    os.mkfifo(f"pipe{kind}")
    Path(f"folder{kind}").mkdir()
    text = said(cli(*words.replace("{}", "pipe").format(config=config).split()))
    assert text == f"--out pipe{kind}: it is a device or a pipe; name a file"
    text = said(cli(*words.replace("{}", "folder").format(config=config).split()))
    assert text == f"--out folder{kind}: it is a folder; name a file"
    assert Path(f"pipe{kind}").is_fifo()


def test_no_device_is_replaced_by_a_file(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="cannot write to /dev/null: it is a device or a pipe; name a file"):
        write_file(Path("/dev/null"), "x")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(FolderError, match="it is a folder"):
        write_file(tmp_path, "x")


def test_a_folder_that_is_a_file_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"^--to \S*/file is a file, not a folder$"):
        nearest(tmp_path / "file", "--to")


def test_init_writes_all_of_its_files_or_none(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".lrbench-schema.json").mkdir()
    assert "nothing was written" in said(cli("init", "tutorial"))
    assert [path.name for path in Path().iterdir()] == [".lrbench-schema.json"]

    def full(path: Path) -> Path:
        raise FolderError(f"cannot write to {path}: No space left on device")

    monkeypatch.setattr("lrbench.cli.starters.save_schema", full)
    code, _, err = cli("init", "tutorial", "new")
    assert code == 1 and "No space left" in err and not list(Path("new").iterdir())


def test_a_sweep_that_is_not_there_is_told_with_those_that_are(config: str, cli: Cli) -> None:
    assert cli("sweep", config, "--lr", "0.1", "--jobs", "1", "--name", "rates")[0] == 0
    assert said(cli("sweep", "--status", "--name", "rate")) == (
        "no sweep 'rate' in runs/sweeps; did you mean 'rates'? Choices: rates"
    )


# -- YAML


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\n---\nb: 2\n", "has a second document after a line '---'"),
        ("a: 1\n\tb: 2\n", "has a tab where YAML allows only spaces"),
        ("a: [1, 2\n", "a bracket that is not closed"),
        ("a: *b\n", "undefined alias 'b'; &name defines what *name repeats"),
    ],
)
def test_yaml_that_is_none_is_told_in_plain_words(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / "a.yaml")
    assert problem in str(caught.value) and "token" not in str(caught.value) and "<" not in str(caught.value)


def test_a_broken_link_and_a_folder_are_no_configs(cli: Cli) -> None:
    Path("a.yaml").symlink_to("gone.yaml")
    Path("b.yaml").mkdir()
    assert said(cli("run", "a.yaml")) == "a.yaml: is a broken link"
    assert said(cli("run", "b.yaml")) == "b.yaml: is a folder; name a config in it"


# -- output that nobody takes


class Broken:
    """A standard output that fails."""

    encoding = "utf-8"

    def __init__(self, error: OSError) -> None:
        self.error, self.tries = error, 0

    def write(self, text: str) -> int:
        self.tries += 1
        raise self.error

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        raise OSError


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device")])
def test_runs_stop_and_do_not_fail_when_their_progress_can_t_be_shown(
    error: OSError, capsys: pytest.CaptureFixture[str]
) -> None:
    output, signals = Broken(error), list[int]()
    shown = Lines(Terminal(file=output))
    before = signal.signal(signal.SIGINT, lambda number, frame: signals.append(number))
    try:
        shown(message("one"))
        shown(message("two"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert signals == [signal.SIGINT] and output.tries == 1
    reason = error.strerror or "its reader is gone"
    assert capsys.readouterr().err == f"cannot write the output ({reason}), so the command stops\n"


@pytest.mark.parametrize("words", ["list schedules", "schema", "preview tiny.yaml --code", "doctor --quick --json"])
def test_a_full_disk_behind_the_output_is_told(words: str, config: str, forks: Starts, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        child = forks.popen(
            ["-m", "lrbench", *words.split()], stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, text=True
        )
        _, errors = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1
    assert errors.endswith("Error: cannot write the output: No space left on device\n"), errors


# -- Ctrl-C and crashes in a check


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("run mine.yaml", "no run was under way, finished ones are kept, and the same command goes on"),
        ("sweep mine.yaml --lr 0.1,0.2", "no run was under way, finished ones are kept, and the same command goes on"),
        ("check-width mine.yaml --widths 8,16 --key model.width", "what was measured is lost"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_signal_in_a_check_is_told_and_leaves_no_process(
    words: str, kept: str, as_json: bool, write_config: Callable[..., Path], forks: Starts, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(textwrap.dedent(MODEL))
    write_config("mine.yaml", model="mine:build")
    child = forks.popen(
        ["-m", "lrbench", *words.split(), *["--json"] * as_json],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    noted = tmp_path / "noted.txt"
    wait_until(lambda: child.poll() is not None or (noted.exists() and noted.read_text().endswith("\n")))
    worker = psutil.Process(int(noted.read_text().split()[0]))
    assert worker.pid != child.pid
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 130 and f"interrupted; {kept}" in err, err
    assert not as_json or json.loads(out.splitlines()[-1])["message"] == f"interrupted; {kept}"
    _, alive = psutil.wait_procs([worker], timeout=PATIENCE)
    assert not alive and not (tmp_path / "runs").exists()


def test_the_coordinate_check_names_the_config_whose_code_crashed(
    tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashing.py").write_text(textwrap.dedent(MODEL))
    monkeypatch.chdir(tmp_path)
    with (
        command_line(),
        pytest.raises(UserCodeError, match=r"^wide with model.width = 8: in its first steps, its process died .*crash"),
    ):
        lrbench.coordinate_check(tiny(name="wide", model="crashing:crash"), [8, 16], key="model.width", seeds=2)


def test_what_is_asked_of_slurm_is_read_once() -> None:
    options = RunOptions(executor="slurm", slurm="time=5,partition=gpu")
    assert options.slurm_request is options.slurm_request and options.slurm_request.minutes == 5
