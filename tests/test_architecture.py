"""The law of the house: who may import whom, which names are public, how large things may get."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lrbench

PACKAGE = Path(lrbench.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    names = ["lrbench", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def imports_of(path: Path) -> set[str]:
    """Modules of lrbench that a file imports anywhere, those for type checkers alone left out."""
    tree = ast.parse(path.read_text())
    typing_only = [
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    ]
    found = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    modules = {module_of(file) for file in FILES}
    return {name for name in found if name in modules}


def room(module: str) -> str:
    """`lrbench.components.data.batches` → `components`."""
    return [*module.split("."), ""][1]


TOP = {"__init__", "__main__", "_version", "errors", "events", "registry", "torch_adapter", "types"}
ROOMS = (
    "schedules",
    "components",
    "config",
    "runs",
    "training",
    "lr_finder",
    "analysis",
    "sweeps",
    "reports",
    "cli",
)
"""The rooms in import order: each imports only from rooms before it, and from the files at the top."""


def test_what_may_lie_at_the_top() -> None:
    files = {path.stem for path in PACKAGE.glob("*.py")}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert files == TOP
    assert folders == set(ROOMS)


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports_point_one_way(file: Path) -> None:
    own = room(module_of(file))
    others = {room(name) for name in imports_of(file)} - {own, ""}
    if own in ROOMS:
        assert others & set(ROOMS) <= set(ROOMS[: ROOMS.index(own)]), f"{module_of(file)} imports {sorted(others)}"
    elif own in ("_version", "errors", "events", "types", "registry"):
        assert not others & set(ROOMS), f"{module_of(file)} imports {sorted(others)}"


NO_TORCH = (
    "lrbench",
    "lrbench.cli.app",
    "lrbench.cli.progress",
    "lrbench.cli.list",
    "lrbench.config.load",
    "lrbench.schedules",
    "lrbench.components.data",
    "lrbench.components.models",
    "lrbench.components.optimizers",
    "lrbench.components.losses",
    "lrbench.runs.folder",
    "lrbench.training.runner",
    "lrbench.reports.reporting",
    "lrbench.reports.code",
    "lrbench.reports.page",
    "lrbench.reports.figures.overview",
    "lrbench.reports.figures.range_test",
    "lrbench.reports.range_tests",
    "lrbench.lr_finder.find",
    "lrbench.lr_finder.result",
    "lrbench.lr_finder.write_config",
    "lrbench.sweeps.sweeping",
    "lrbench.sweeps.summary",
    "lrbench.reports.figures.sweeps",
    "lrbench.analysis.sensitivity",
    "lrbench.reports.figures.sensitivity",
    "lrbench.cli.sweeptable",
    "lrbench.reports.previewing",
    "lrbench.cli.terminal",
)


def test_these_never_import_torch() -> None:
    script = (
        "import importlib, sys\nfor name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n    assert 'torch' not in sys.modules, name"
    )
    done = subprocess.run([sys.executable, "-c", script, *NO_TORCH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names() -> None:
    assert lrbench.__all__ == [
        "Experiment",
        "Finding",
        "LrbenchError",
        "Outcome",
        "Report",
        "Sweep",
        "__version__",
        "build_optimizer",
        "build_schedule",
        "find_lr",
        "load_config",
        "load_runs",
        "parameter_groups",
        "preview",
        "report",
        "run",
        "sweep",
        "torch_scheduler",
    ]
    for name in lrbench.__all__:
        assert getattr(lrbench, name).__doc__


def test_functions_stay_short_and_files_readable() -> None:
    for file in FILES:
        text = file.read_text()
        assert text.count("\n") < 350, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{file}: {node.name}"


def test_only_runs_knows_the_names_of_a_run_s_files() -> None:
    names = (
        "config.yaml",
        "env.json",
        "epochs.csv",
        "steps.csv",
        "checkpoint.pt",
        "best.pt",
        "result.json",
        "error.log",
    )
    for file in FILES:
        if module_of(file) == "lrbench.runs.folder":
            continue
        tree = ast.parse(file.read_text())
        documentation = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                assert node.value not in names, f"{file}:{node.lineno}"


def test_ray_is_imported_in_one_file() -> None:
    for file in FILES:
        names = {
            n.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Import) for n in node.names
        }
        assert "ray" not in names or module_of(file) == "lrbench.training.executors.ray"
