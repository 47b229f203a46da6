"""CONTRIBUTING.md: the map of the house is that of the real rooms, and the examples work when they are followed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from test_architecture import PACKAGE, ROOMS

import lrbench

ROOT = PACKAGE.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = TEXT.partition("## Three examples")[2].partition("\n## ")[0]


class Block(NamedTuple):
    """A block of code, and the file that the last line before it names that ends with a colon."""

    file: str
    language: str
    code: str


def blocks() -> list[Block]:
    found, file = [], ""
    pattern = r"^[^`\n]*`(?P<file>[\w/]+\.py)`[^\n]*:\n|^```(?P<language>\w+)\n(?P<code>.*?)^```$"
    for match in re.finditer(pattern, EXAMPLES, re.MULTILINE | re.DOTALL):
        file = match["file"] or file
        if match["code"]:
            found.append(Block(file, match["language"], match["code"]))
    return found


def applied(block: Block, root: Path) -> None:
    """Do what a reader does: append code to its file, or change the lines that a diff shows."""
    path = root / block.file
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if block.language == "python":
        path.write_text(f"{text}\n\n{block.code}" if text else block.code, encoding="utf-8")
        return
    lines = block.code.splitlines(keepends=True)
    before, after = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))
    assert text.count(before) == 1, f"{block.file} has not exactly one\n{before}"
    path.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and what tests share, with all the examples applied."""
    root = tmp_path_factory.mktemp("contributed")
    shutil.copytree(PACKAGE, root / "lrbench")
    (root / "tests").mkdir()
    shutil.copy(ROOT / "pyproject.toml", root)
    for file in (ROOT / "tests").glob("*.py"):  # conftest.py, and what it imports
        if not file.name.startswith("test_"):
            shutil.copy(file, root / "tests")
    for block in blocks():
        applied(block, root)
    return root


def run(copy: Path, *words: str) -> str:
    paths = {"PYTHONPATH": str(copy)}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=copy,
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_map_has_all_rooms_in_import_order() -> None:
    rows = re.findall(r"^\| `(\w+)/` \| (.+) \|$", TEXT, re.MULTILINE)
    assert [room for room, _ in rows] == list(ROOMS)
    assert all((PACKAGE / room / "__init__.py").is_file() for room, _ in rows)


def test_the_examples_pass_their_own_tests(copy: Path) -> None:
    tests = [block.file for block in blocks() if block.file.startswith("tests/")]
    assert len(tests) == 3
    words = ["pytest", "-vv", "-p", "no:cacheprovider", *tests, "lrbench/schedules/decay.py", "--doctest-modules"]
    output = run(copy, *words)
    for passed in (*tests, "lrbench/schedules/decay.py::lrbench.schedules.decay.half_life"):
        assert re.search(rf"{re.escape(passed)}.* PASSED", output), output
    assert "FAILED" not in output


def test_the_examples_are_in_the_catalogue_and_fit_the_layout(copy: Path) -> None:
    assert "half_life" in run(copy, "lrbench", "list", "schedules")
    assert "relative_error" in run(copy, "lrbench", "list", "metrics")
    files = sorted({block.file for block in blocks()})
    run(copy, "ruff", "check", "--no-cache", *files)
    run(copy, "ruff", "format", "--check", "--no-cache", *files)


def test_the_citation_has_the_version_and_forms_can_be_read() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == lrbench.__version__
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
    assert {path.stem for path in forms} == {"bug", "feature", "wrong-statistics"}
    for path in forms:
        form = yaml.safe_load(path.read_text())
        assert form["name"] and form["description"]
        for part in form["body"]:
            assert part["type"] == "markdown" or part["attributes"]["label"], path


def test_a_diff_that_no_longer_fits_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\ntwo\n")
    applied(Block("a.py", "diff", " one\n+new\n two\n"), tmp_path)
    assert (tmp_path / "a.py").read_text() == "one\nnew\ntwo\n"
    with pytest.raises(AssertionError, match="not exactly one"):
        applied(Block("a.py", "diff", " one\n+new\n two\n"), tmp_path)
