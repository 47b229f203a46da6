"""The examples: each folder's README is what is run, with the words that it gives for a quick try."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked import Starts

from lrbench.analysis import read_runs
from lrbench.runs import RunFolder, Status, read_csv

Cli = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))
RUNS = {
    "ci": 10,
    "distributed": 3,
    "finetune": 2,
    "gan": 3,
    "gpt": 2,
    "huggingface": 2,
    "image-model": 1,
    "jax": 3,
    "keras": 2,
    "lightning": 2,
    "multilabel": 1,
    "notebook": 11,
    "record": 3,
    "regression": 1,
    "script": 2,
    "segmentation": 1,
    "sequences": 1,
    "slurm": 4,
    "vae": 2,
}
"""How many runs the commands of each README leave."""
NEEDS = {
    "finetune": ("transformers", "peft"),
    "huggingface": ("transformers", "accelerate"),
    "jax": ("jax",),
    "keras": ("keras",),
    "lightning": ("lightning",),
    "notebook": ("nbclient", "ipykernel"),
}
ONE_PROCESS = {"image-model", "gpt", "multilabel", "regression", "segmentation", "sequences", "vae"}
"""What needs no processes of its own, which import torch anew, and so takes a second or two."""
SAYS = {
    "gan": "lr_generator,lr_discriminator",
    "huggingface": "as meant: ",
    "jax": "as meant: ",
    "keras": "as meant: ",
    "lightning": "as meant: ",
    "record": "as meant: ",
    "script": "has the lowest validation loss",
    "slurm": "4 of 4",
}
"""What the README says that you will see, in the commands' words."""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, forks: Starts) -> Callable[[str], None]:
    """Copies an example's folder, and makes that copy the current folder. Its commands need not import torch anew."""

    def enter(folder: str) -> None:
        shutil.copytree(EXAMPLES / folder, tmp_path / folder, ignore=shutil.ignore_patterns("runs", "weights"))
        monkeypatch.chdir(tmp_path / folder)
        monkeypatch.syspath_prepend(str(tmp_path / folder))
        for path in Path().glob("*.py"):
            monkeypatch.delitem(sys.modules, path.stem, raising=False)
        (tmp_path / "bin").mkdir()
        if folder != "jax":  # which is to do without torch
            forks.shims(tmp_path / "bin")
        places = [tmp_path / "bin", Path(sys.executable).parent, os.environ["PATH"]]
        monkeypatch.setenv("PATH", os.pathsep.join(map(str, places)))
        if (tmp_path / "bin/python").exists():
            monkeypatch.setenv("PYTHON_EXEC", str(tmp_path / "bin/python"))  # what torchrun starts

    return enter


def needs(folder: str) -> None:
    """Skips where a framework is not installed, without importing it: the commands do that in their own processes."""
    if missing := [name for name in NEEDS.get(folder, ()) if importlib.util.find_spec(name) is None]:
        pytest.skip(f"needs {' and '.join(missing)}")


def quick_commands(readme: str) -> list[str]:
    """The lines of the code block, each with the words for a quick try after the command that they are for."""
    (block,) = re.findall(r"```sh\n(.*?)```", readme, flags=re.DOTALL)
    for words, command in re.findall(r"`([^`]+)`\s+to\s+`([^`]+)`", readme.partition("For a quick try")[2]):
        assert command in block, f"a quick try of {command!r}, which is not in the block"
        block = block.replace(command, f"{command} {words}")
    return block.splitlines()


def perform(command: str, cli: Cli) -> str:
    """What a command prints. lrbench's own run here, where torch is imported already."""
    if command.startswith("lrbench "):
        code, out, said = cli(*shlex.split(command)[1:])
    else:
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=300)
        code, out, said = done.returncode, done.stdout, done.stderr
    assert code == 0, f"{command}: {code}\n{out}\n{said}"
    return out + said


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of peft
@pytest.mark.parametrize(
    "folder", [f if f in ONE_PROCESS else pytest.param(f, marks=pytest.mark.slow) for f in FOLDERS if f != "ci"]
)
def test_a_readme_s_commands_do_what_it_says(folder: str, go: Callable[[str], None], cli: Cli, sketches: None) -> None:
    needs(folder)
    go(folder)
    follow(folder, cli)
    if folder == "jax":  # the first command is the script by itself
        recorded_by_itself(max(read_runs([Path("runs")]), key=lambda run: run.result.steps if run.result else 0).folder)


def follow(folder: str, cli: Cli) -> None:
    """Do what a README says, and look at what it leaves."""
    said = "".join(perform(command, cli) for command in quick_commands(Path("README.md").read_text()))
    runs = read_runs([Path("runs")])
    assert len(runs) == RUNS[folder] and all(run.status is Status.FINISHED for run in runs)
    assert SAYS.get(folder, "") in " ".join(said.split())


RECORDED = ["huggingface", "keras", "lightning", "record"]
"""Folders whose train.py records itself, with an accuracy and a schedule."""


@pytest.mark.slow
@pytest.mark.parametrize("folder", RECORDED)
def test_each_script_records_by_itself(
    folder: str, go: Callable[[str], None], forks: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(folder)
    go(folder)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    done = forks.run(["train.py"], timeout=300)
    assert done.returncode == 0, done.stderr
    (path,) = Path("runs").iterdir()
    recorded_by_itself(RunFolder(path))


def recorded_by_itself(folder: RunFolder) -> None:
    result = folder.result()
    assert result is not None and result.status is Status.FINISHED and result.final is not None
    accuracy = result.final["val_accuracy"]
    assert accuracy is not None and accuracy > 0.4
    steps = read_csv(folder.path / "steps.csv")
    assert len(set(steps["lr"])) > 50 and folder.config().lr == pytest.approx(steps["lr"].max(), rel=0.01)


LEAST: dict[tuple[str, str], tuple[str, float]] = {
    ("image-model", "images"): ("f1", 0.9),
    ("gpt", "sums"): ("accuracy", 0.9),
    ("multilabel", "multilabel"): ("average_precision", 0.75),
    ("regression", "regression"): ("r2", 0.7),
    ("segmentation", "segmentation"): ("mean_iou", 0.6),
    ("sequences", "sequences"): ("mae", -0.1),
    ("vae", "vae"): ("psnr", 11.0),
}
"""A metric that each config of one process reaches at its full length, with the sign of what is better."""


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "config"), LEAST)
def test_each_learns(folder: str, config: str, go: Callable[[str], None], cli: Cli) -> None:
    go(folder)
    perform(f"lrbench run {config}.yaml", cli)
    (result,) = Path("runs").glob(f"{config}-seed0-*/result.json")
    metric, least = LEAST[folder, config]
    value = json.loads(result.read_text())["test"][metric]
    assert (value if least > 0 else -value) > least


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of peft
def test_weights_of_transformers_are_trained_on(go: Callable[[str], None], cli: Cli) -> None:
    needs("finetune")
    go("finetune")
    perform("python finetune.py", cli)
    perform("lrbench run finetune.yaml lora.yaml", cli)
    for name, least in (("finetune", 0.9), ("lora", 0.55)):  # LoRA on random weights
        (result,) = Path("runs").glob(f"{name}-seed0-*/result.json")
        assert json.loads(result.read_text())["test"]["accuracy"] > least


@pytest.mark.slow
def test_the_guard_passes_and_fails_if_the_learning_rate_is_worse(go: Callable[[str], None], cli: Cli) -> None:
    go("ci")
    follow("ci", cli)
    for path in Path("runs").glob("candidate-*"):
        shutil.rmtree(path)
    Path("candidate.yaml").write_text("extends: baseline.yaml\nname: candidate\noptimizer: {lr: 1e-5}\n")
    done = subprocess.run(["bash", "guard.sh", "--set", "epochs=2"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    assert json.loads(Path("decision.json").read_text())["word"] == "worse"
    Path("candidate.yaml").write_text("extends: baseline.yaml\nname: candidate\noptimizer: {rate: 1e-5}\n")
    done = subprocess.run(["bash", "guard.sh"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "rate" in done.stderr, "a mistake in a config does not pass"


# -- what is read, not run


def test_the_table_names_every_folder() -> None:
    rows = re.findall(r"^\| \[(.+?)\]\((.+?)\) \|", (EXAMPLES / "README.md").read_text(), flags=re.MULTILINE)
    assert sorted(rows) == [(folder, folder) for folder in FOLDERS]
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == set(FOLDERS) == set(RUNS)


def test_links_of_readmes_lead_somewhere() -> None:
    for readme in EXAMPLES.glob("*/README.md"):
        for target in re.findall(r"\]\(([^)#]+)", readme.read_text()):
            assert (readme.parent / target).exists(), f"{readme.parent.name}: {target}"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda path: path.name)
def test_every_config_says_what_it_shows(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ") and yaml.safe_load(text)


@pytest.mark.parametrize("path", [*EXAMPLES.glob("*/*.sbatch"), *EXAMPLES.glob("*/*.sh")], ids=lambda path: path.name)
def test_scripts_are_valid(path: Path) -> None:
    assert subprocess.run(["bash", "-n", path], capture_output=True, text=True).stderr == ""


def test_the_workflow_runs_the_guard() -> None:
    (job,) = yaml.safe_load((EXAMPLES / "ci" / "learning-rate.yml").read_text())["jobs"].values()
    (guard,) = (step for step in job["steps"] if "guard.sh" in step.get("run", ""))
    assert guard == {"run": "bash guard.sh", "working-directory": "ci"}


def test_the_notebook_is_stripped_of_its_outputs() -> None:
    cells = json.loads((EXAMPLES / "notebook" / "learning_rate.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


# -- what documentation shows of the examples


def shown_of_examples() -> list[Any]:
    """Code blocks whose first line names an example's file."""
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for path, block in re.findall(
            r"^```\w+\n# (examples/\S+)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
        ):
            found.append(pytest.param(path, block, id=f"{page.name}: {path}"))
    return found


def text_of(path: Path) -> str:
    text = path.read_text()
    if path.suffix == ".ipynb":
        return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return text


def code_of(text: str) -> list[str]:
    """The lines of code, without comments at their ends."""
    return [line.partition("  #")[0].rstrip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(("path", "block"), shown_of_examples())
def test_documentation_shows_what_the_example_has(path: str, block: str) -> None:
    there = iter(code_of(text_of(ROOT / path)))
    for line in code_of(block):
        assert line in there, f"{path} has no such line, or not in this order: {line}"


def test_pages_about_examples_show_them() -> None:
    assert len(shown_of_examples()) >= 8
