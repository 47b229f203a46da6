"""The documentation site builds strictly: every link, anchor and page of the navigation exists."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lrbench import __all__ as names
from lrbench.config import CommandConfig, Experiment
from lrbench.schedules import SCHEDULES

ROOT = Path(__file__).parent.parent
INSTALLED = all(importlib.util.find_spec(name) for name in ("material", "mkdocstrings_handlers"))
pytestmark = pytest.mark.skipif(not INSTALLED, reason="mkdocs-material is not installed: pip install '.[docs]'")


def build(folder: Path, *, drawn: bool) -> None:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = {**os.environ, "LRBENCH_SITE_DRAWN": str(drawn).lower(), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def files_here() -> set[Path]:
    found = {path for name in ("docs", "website") for path in (ROOT / name).rglob("*")}
    return {path for path in found if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, before = tmp_path_factory.mktemp("site"), files_here()
    build(folder, drawn=False)
    assert files_here() == before, "a build leaves nothing in the repository"
    return folder


def anchors(page: Path) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', page.read_text()))


def test_the_reference_has_every_command_key_schedule_and_name(site: Path) -> None:
    from lrbench.cli.app import app

    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert commands <= anchors(site / "command-line/index.html")
    config = (site / "config/index.html").read_text()
    for model in (Experiment, CommandConfig):
        for name, field in model.model_fields.items():
            if name != "folder":
                assert f"<code>{field.alias or name}</code>" in config, name
    assert {name for name in SCHEDULES.entries if "/" not in name} <= anchors(site / "schedules/index.html")
    documented = anchors(site / "api/index.html")
    assert all(any(anchor.endswith(f".{name}") for anchor in documented) for name in names if name != "__version__")


def test_marks_and_tabs_are_filled_in(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert "<!-- site:" not in text and ' tab="' not in text, page
    assert 'class="tabbed-set' in (site / "coming-from/lightning/index.html").read_text()


@pytest.mark.slow
def test_figures_and_reports_are_drawn_from_the_study(tmp_path: Path) -> None:
    build(tmp_path, drawn=True)
    for name in ("mnist", "rates", "digits"):
        assert (tmp_path / "gallery" / name / "report.html").stat().st_size > 100_000
    assert (tmp_path / "schedules" / "cosine.svg").read_bytes().startswith(b"<?xml")
    assert (tmp_path / "tutorial-decay.png").read_bytes().startswith(b"\x89PNG")
