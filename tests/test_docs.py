"""The code in the documentation: Python compiles, uses names that exist and runs; configs load as they stand.

A block that can't run is marked `<!-- not run: reason -->`, one that is no config `<!-- not a config -->`. A block with
`tab="…"` shows another tool's code, unless that is `lrbench`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

import lrbench
from lrbench.config import CommandConfig, Experiment

ROOT = Path(__file__).parent.parent
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "AGENTS.md"])
NOT_HERE = {"python.md": "run by test_objects", "README.md": "an outline; docs/ has it in full"}
FRAMEWORKS = ("lightning", "keras")  # slow to import
COMMAND_KEYS = {*CommandConfig.model_fields} - {*Experiment.model_fields}
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>python|yaml)(?: tab=\"(?P<tab>[^\"]+)\")?\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    language: str
    code: str
    mark: str
    tab: str

    @property
    def ours(self) -> bool:
        return self.tab in ("", "lrbench")


def blocks(page: Path, language: str) -> list[Block]:
    found = [
        Block(b["language"], b["code"], b["mark"] or "", b["tab"] or "") for b in _BLOCK.finditer(page.read_text())
    ]
    return [block for block in found if block.language == language]


def with_blocks(language: str) -> list[Any]:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if blocks(page, language)]


@pytest.mark.parametrize("page", with_blocks("python"))
def test_python_compiles_and_every_name_of_lrbench_exists(page: Path) -> None:
    for block in blocks(page, "python"):
        tree = ast.parse(block.code)
        for module, name in imported(tree):
            if module.partition(".")[0] == "lrbench" and name:
                assert name in source(module), f"{module}.{name}"
        for name in attributes(tree, "lrbench"):
            assert name in lrbench.__all__ or importlib.util.find_spec(f"lrbench.{name}"), f"lrbench.{name}"


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each import; the name is empty for a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def source(module: str) -> str:
    found = importlib.util.find_spec(module)
    assert found is not None and found.origin is not None, module
    return Path(found.origin).read_text()


def attributes(tree: ast.AST, root: str) -> Iterator[str]:
    """Yield `a.b` for each `root.a.b` in the code."""
    for node in ast.walk(tree):
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        if names and isinstance(node, ast.Name) and node.id == root:
            yield names[0] if root == "lrbench" else ".".join(names)


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page, "python") if block.ours and not block.mark.startswith("not run")]


def runs(frameworks: bool) -> list[Any]:
    chosen = [page for page in PAGES if runnable(page) and page.name not in NOT_HERE]
    return [
        pytest.param(page, id=str(page.relative_to(ROOT))) for page in chosen if (page.stem in FRAMEWORKS) == frameworks
    ]


@pytest.mark.usefixtures("sketches")
@pytest.mark.parametrize("page", runs(frameworks=False))
def test_python_runs_as_written(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(page, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own
@pytest.mark.parametrize("page", runs(frameworks=True))
def test_python_that_needs_a_framework_runs_as_written(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    run(page, tmp_path, monkeypatch)


def run(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "configs").symlink_to(ROOT / "configs")
    space: dict[str, Any] = {"__name__": "__main__", **given(page)}
    for block in runnable(page):
        exec(compile(block.code, str(page), "exec"), space)


def given(page: Path) -> dict[str, Any]:
    """What a reader who comes from another tool has: a model, data and an optimizer."""
    if page.parent.name != "coming-from":
        return {}
    if page.stem == "keras":
        return keras_model()
    import torch
    from torch import nn

    inputs, targets = torch.randn(96, 8, generator=torch.Generator().manual_seed(0)), torch.arange(96) % 3
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, targets), batch_size=16, shuffle=True)

    def make_model() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))

    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return {
        "make_model": make_model, "model": model, "optimizer": optimizer, "loader": loader,
        "criterion": nn.CrossEntropyLoss(), "train_one_epoch": lambda lr: lr,
    }  # fmt: skip


def keras_model() -> dict[str, Any]:
    import numpy as np

    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.layers.Dense(3, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return {
        "model": model,
        "x": np.random.default_rng(0).normal(size=(96, 8)).astype("float32"),
        "y": np.arange(96) % 3,
    }


def other_tools() -> list[tuple[str, str]]:
    """Return each module of another tool that pages import or use, with a name in it."""
    found: set[tuple[str, str]] = set()
    for page in (ROOT / "docs" / "coming-from").glob("*.md"):
        for block in blocks(page, "python"):
            tree = ast.parse(block.code)
            for module, name in imported(tree):
                if name:
                    found.add((module, name))
                else:
                    found |= {(module, used) for used in attributes(tree, module)}
    return sorted(one for one in found if one[0].partition(".")[0] not in ("lrbench", "torch", "torchvision"))


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name"), other_tools())
def test_names_of_other_tools_exist(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{module} is not installed")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    value: Any = importlib.import_module(module)
    for part in name.split("."):
        value = getattr(value, part)


@pytest.mark.parametrize("page", with_blocks("yaml"))
def test_configs_load_as_they_stand(page: Path, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for block in blocks(page, "yaml"):
        if not block.ours:
            assert isinstance(yaml.safe_load(block.code), dict)
        elif not block.mark.startswith("not a config"):
            for text in alternatives(block.code):
                check(text, re.match(r"# (configs/\S+\.yaml)", block.code), tmp_path, cli)


def check(text: str, shown: re.Match[str] | None, folder: Path, cli: Callable[..., tuple[int, str, str]]) -> None:
    """Load a config, or what a config may have beside the baseline's keys. One of the repository equals its file."""
    file = folder / (shown[1] if shown else "configs/digits/shown.yaml")
    keys = yaml.safe_load(text)
    rest = "name: shown\ncommand: python train.py\n" if COMMAND_KEYS & {*keys} else "extends: baseline.yaml\n"
    file.write_text(text if complete(text) else rest + text)
    loaded = lrbench.load_config(file, ["sweep=null"] if "sweep" in keys else [])
    if shown:
        assert loaded.plain() == lrbench.load_config(ROOT / shown[1], ["sweep=null"] * ("sweep" in keys)).plain()
    if "sweep" in keys and "command" not in keys:
        code, out, err = cli("sweep", file, "--dry-run")
        assert code == 0, (out, err)


def alternatives(code: str) -> list[str]:
    """Split a block that shows a key several times into configs that have it once."""
    entries = re.split(r"^(?=[a-z_]+:)", re.sub(r"\A(#.*\n)*", "", code), flags=re.MULTILINE)
    found: list[dict[str, str]] = [{}]
    for entry in filter(None, entries):
        key = entry.partition(":")[0]
        if key in found[-1]:
            found.append({})
        found[-1][key] = entry
    return ["".join(entries.values()) for entries in found]


def complete(text: str) -> bool:
    keys = yaml.safe_load(text)
    return "command" in keys or "extends" in keys or ({"dataset", "model", "optimizer"} <= {*keys} and "name" in keys)


def test_pages_are_found_and_marks_have_reasons() -> None:
    assert len(PAGES) > 30
    assert sum(len(blocks(page, "python")) for page in PAGES) > 30
    marks = [block.mark for page in PAGES for block in blocks(page, "python") if block.mark]
    assert all(re.fullmatch(r"not run: .+", mark) for mark in marks), marks


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in (ROOT / "docs").rglob("*.md")])
def test_links_and_pictures_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^()\s]+)\)", text):
        path = target.partition("#")[0]
        if path and not re.match(r"[a-z]+:", path):
            assert Path(os.path.normpath(page.parent / path)).exists(), target
