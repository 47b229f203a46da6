"""From an empty folder: configs that come with lrbench, starters, and the demo."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from forked import Starts
from jsonschema import Draft202012Validator

import lrbench
from lrbench.cli.starters import STARTERS
from lrbench.config import bundled, bundled_configs, identity, load_config, read_config
from lrbench.config.yaml_source import read

Cli = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("sketches")
ROOT = Path(__file__).parent.parent
TRAINED = ("tutorial", "image", "text", "regression", "own-model")
SCRIPTS = ("script", "huggingface", "lightning", "keras")
SHORT = ("--set", "epochs=1", "--set", "dataset.train_size=64")


@pytest.fixture(autouse=True)
def no_module_stays(tmp_path: Path, cli: Cli) -> Iterator[None]:
    """Starters are imported from the folder they were written to."""
    yield
    for name in ("own_model", "regression_data"):
        sys.modules.pop(name, None)
    sys.path[:] = [path for path in sys.path if path != str(tmp_path)]


# -- configs by name


def test_every_config_of_the_clone_has_a_name_and_says_what_it_is() -> None:
    files = sorted((ROOT / "configs").rglob("*.yaml"))
    assert sorted(bundled_configs().values()) == files
    for name, file in bundled_configs().items():
        assert file.read_text().startswith("# "), name


def test_a_config_by_name_is_the_clone_s(cli: Cli) -> None:
    for name, file in (("tutorial/too_large", "too_large.yaml"), ("digits/cosine.yaml", "digits/cosine.yaml")):
        assert identity(load_config(name)) == identity(load_config(ROOT / "configs" / file))
        assert load_config(name).name == load_config(ROOT / "configs" / file).name
    assert read_config("sweeps/digits").plain["sweep"]


def test_it_runs_anywhere(cli: Cli) -> None:
    code, out, err = cli("run", "digits/too_large", *SHORT)
    assert (code, err) == (0, "")
    assert "too-large" in out
    assert [path.name.split("-seed")[0] for path in Path("runs").iterdir()] == ["too-large"]


@pytest.mark.parametrize("file", ["digits/baseline", "digits/baseline.yaml"])
def test_a_file_of_that_path_goes_first(cli: Cli, file: str) -> None:
    Path("digits").mkdir()
    Path(file).write_text("extends: tutorial/baseline\noptimizer: {lr: 0.123}\n")
    assert load_config("digits/baseline").plain()["optimizer"]["lr"] == 0.123


def test_a_folder_of_that_path_does_not(cli: Cli) -> None:
    Path("digits/baseline").mkdir(parents=True)
    assert load_config("tutorial/baseline").name == "baseline"
    assert load_config("digits/baseline.yaml").name == "baseline"


def test_it_can_be_extended_and_the_file_beside_goes_first(cli: Cli) -> None:
    Path("mine.yaml").write_text("extends: digits/baseline\nepochs: 3\n")
    same = load_config(ROOT / "configs/digits/baseline.yaml", ["epochs=3"])
    assert identity(load_config("mine.yaml")) == identity(same)
    Path("digits").mkdir()
    Path("digits/baseline.yaml").write_text("extends: tutorial/baseline\nbatch_size: 7\n")
    assert load_config("mine.yaml").plain()["batch_size"] == 7


def test_found_configs_extend_it_by_name(cli: Cli) -> None:
    found = cli("find-lr", "digits/baseline", "--seeds", 1, "--iterations", 60, "--write", "found.yaml")
    assert found[0] == 0, found
    assert yaml.safe_load(Path("found.yaml").read_text())["extends"] == "digits/baseline"
    assert load_config("found.yaml").name == "found"


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["run"], ["CONFIG is missing", "mine.yaml", "lrbench init"]),
        (["run", "digits/baselin"], ["no such file", "did you mean 'digits/baseline'", "lrbench init"]),
        (["run", "configs/digits/cosine.yaml"], ["did you mean 'digits/cosine'"]),
        (["run", "digits"], ["did you mean 'digits/baseline'"]),
        (["run", "baseline.yaml"], ["'tutorial/baseline'?"]),
        (["run", "min.yaml"], ["did you mean 'mine.yaml'"]),
        (["run", "qqq"], ["qqq: no such file. `lrbench list configs`"]),
        (["run", "sweeps/digits"], ["is a grid of runs; use `lrbench sweep`"]),
        (["run", "../digits/baseline"], ["no such file"]),
        (["list", "configs", "digits/baselin"], ["did you mean 'digits/baseline'"]),
        (["init", "imgae"], ["unknown starter 'imgae'", "did you mean 'image'"]),
        (["init", "TEXT"], ["did you mean 'text'"]),
        (["init", "text", "mine.yaml"], ["FOLDER mine.yaml is a file, not a folder"]),
        (["init", "text", "mine.yaml/x"], ["FOLDER mine.yaml/x: mine.yaml is a file, not a folder"]),
        (["demo", "--runs", ""], ["--runs is empty"]),
        (["schema", "--out="], ["--out is empty"]),
        (["demo", "--seeds", "0"], ["--seeds"]),
        (["demo", "extra"], ["extra"]),
    ],
)
def test_mistakes_give_one_message(cli: Cli, words: list[str], fragments: list[str]) -> None:
    Path("mine.yaml").write_text("extends: digits/baseline\n")
    code, out, err = cli(*words)
    assert code == (1 if "cannot write" in fragments[0] else 2), (out, err)
    assert all(fragment in " ".join(err.split()) for fragment in fragments), err
    assert not Path("runs").exists()


def test_a_config_that_is_extended_and_missing_is_asked_for(cli: Cli) -> None:
    Path("mine.yaml").write_text("extends: digits/baselin\n")
    code, _, err = cli("run", "mine.yaml")
    assert code == 2 and "mine.yaml:1: extends: no such file" in err and "did you mean 'digits/baseline'?" in err


def test_run_without_a_config_in_an_empty_folder(cli: Cli) -> None:
    code, _, err = cli("run")
    assert code == 2
    assert "such as digits/baseline" in err
    assert len(err.strip().splitlines()) <= 2


def test_the_list_has_each_name_and_shows_one(cli: Cli) -> None:
    code, out, _ = cli("list", "configs")
    assert code == 0
    assert set(bundled_configs()) <= set(out.split())
    assert "The loss hardly moves." in out
    assert (
        cli("list", "configs", "digits/cosine")[1].rstrip() == bundled_configs()["digits/cosine"].read_text().rstrip()
    )


# -- starters


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """The schema of configs. That it is one is shown by test_schema.py."""
    return Draft202012Validator(lrbench.schema())


def test_init_lists_its_kinds_and_writes_nothing(cli: Cli) -> None:
    code, out, err = cli("init")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[:-1]] == [*STARTERS]
    assert not [*Path().iterdir()]


@pytest.mark.parametrize("kind", STARTERS)
def test_each_kind_writes_files_that_editors_and_lrbench_understand(
    cli: Cli, kind: str, schema: Draft202012Validator
) -> None:
    code, out, err = cli("init", kind, "new/folder")
    assert (code, err) == (0, "")
    names = {Path(file).name for file in STARTERS[kind].files}
    assert {path.name for path in Path("new/folder").iterdir()} == names | {".lrbench-schema.json"}
    assert all(command in out for command in ("cd new/folder", *STARTERS[kind].next))
    for file in Path("new/folder").glob("*.yaml"):
        first, second = file.read_text().splitlines()[:2]
        assert first == "# yaml-language-server: $schema=.lrbench-schema.json"
        assert second.startswith("# "), "what it is, for a newcomer"
        schema.validate(read(file)[0])
        read_config(file, ["sweep=null"]).experiment()
    for command in STARTERS[kind].next:
        assert all(Path("new/folder", word).exists() for word in command.split() if word.endswith((".py", ".yaml")))


@pytest.mark.parametrize("kind", TRAINED)
def test_each_kind_trains(cli: Cli, kind: str) -> None:
    assert cli("init", kind)[0] == 0
    _, command, *configs = STARTERS[kind].next[0].split()
    budget = ("--set", "steps=4", "--set", "epochs=null", "--set", "eval_every=null")
    code, _, err = cli(command, *configs, *budget, "--set", "warmup=null", "--device", "cpu")
    assert (code, err) == (0, "")
    assert len([*Path("runs").iterdir()]) == len(configs)


def test_nothing_is_overwritten_unless_forced(cli: Cli) -> None:
    Path("too_small.yaml").write_text("mine")
    code, out, err = cli("init", "tutorial")
    assert (code, out) == (2, "")
    assert "too_small.yaml" in err and "--force" in err and "baseline.yaml" not in err
    assert [path.name for path in Path().iterdir()] == ["too_small.yaml"]
    assert Path("too_small.yaml").read_text() == "mine"
    assert cli("init", "tutorial", "--force")[0] == 0
    assert "extends: baseline.yaml" in Path("too_small.yaml").read_text()


def test_kinds_share_a_folder_and_dangling_links_and_folders_stay(cli: Cli) -> None:
    scripts = [kind for kind, starter in STARTERS.items() if "train.py" in {Path(f).name for f in starter.files}]
    others = STARTERS.keys() - scripts
    assert len(scripts) == 4
    assert all(cli("init", kind)[0] == 0 for kind in [*others, "script"])
    code, _, err = cli("init", "keras")
    assert (code, "train.py" in err and "name another FOLDER" in err) == (2, True)
    Path("text").mkdir()
    Path("text/text.yaml").symlink_to("nowhere.yaml")
    assert cli("init", "text", "text")[0] == 2
    Path("image/image.yaml").mkdir(parents=True)
    code, _, err = cli("init", "image", "image", "--force")
    assert (code, "rename it" in err) == (2, True)


def test_what_is_not_installed_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "transformers" else found(name))
    code, out, _ = cli("init", "huggingface")
    assert code == 0
    assert re.search(r"pip install transformers$", out, flags=re.MULTILINE), out
    assert "pip install" not in cli("init", "script")[1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRAINED)
def test_each_kind_learns_as_it_is(cli: Cli, kind: str) -> None:
    cli("init", kind)
    assert cli(*STARTERS[kind].next[0].split()[1:], "--device", "cpu")[0] == 0
    best = lrbench.load_runs()["best_val_loss"].min()
    assert best < {"tutorial": 0.3, "image": 0.5, "text": 3.2, "regression": 0.02, "own-model": 0.35}[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", SCRIPTS)
def test_each_script_runs_as_it_is(cli: Cli, kind: str, tmp_path: Path, forks: Starts) -> None:
    if missing := STARTERS[kind].missing():
        pytest.skip(f"not installed: {missing}")
    cli("init", kind)
    _, script = STARTERS[kind].next[0].split()
    done = forks.run([script], cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    (accuracy,) = lrbench.load_runs()["val_accuracy"]
    assert accuracy > (0.4 if kind == "huggingface" else 0.8)  # its BERT is eight numbers wide; guessing gives 0.1


# -- the demo


def test_the_demo_trains_shows_the_answer_and_finds_its_runs_again(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("lrbench.cli.demo.CONFIGS", ("baseline", "far_too_small"))
    short = [*SHORT[1::2]]
    monkeypatch.setattr("lrbench.config.load_config", lambda path: load_config(path, short))
    code, out, err = cli("demo", "--seeds", 1, "--jobs", 1, "--device", "cpu")
    assert (code, err) == (0, "")
    assert "baseline has the lowest validation loss" in " ".join(out.split())
    assert "runs/demo/report/report.html" in out
    assert not opened, "there is no terminal"
    code, out, _ = cli("demo", "--seeds", 1, "--jobs", 1, "--device", "cpu", "--out", "page", "--open")
    assert code == 0
    assert "2 of 2 were already finished" in out
    assert opened == [Path("page/report.html").absolute().as_uri()]


def test_its_configs_are_those_of_the_comparison(cli: Cli) -> None:
    from lrbench.cli.demo import CONFIGS

    assert len({identity(load_config(f"digits/{name}")) for name in CONFIGS}) == 12


# -- the wheel


@pytest.mark.slow
def test_the_wheel_has_all_of_it(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(tmp_path / "lib")]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    for words in (
        ["init", "own-model"],
        ["run", "own_model.yaml", "--set", "epochs=1"],
        ["run", "digits/baseline", *SHORT],
        ["list", "configs"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "lrbench", *words],
            cwd=empty,
            env={**os.environ, "PYTHONPATH": str(tmp_path / "lib")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    assert {path.name for path in empty.iterdir()} >= {"own_model.yaml", "own_model.py", "runs"}
    for folder in ("configs", "examples", "starters"):
        assert files_in(tmp_path / "lib/lrbench/bundled" / folder) == files_in(bundled(folder))


def files_in(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.suffix in (".yaml", ".py")}
