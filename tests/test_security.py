"""SECURITY.md keeps its word: reading runs of somebody else runs none of the code that their configs name."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_architecture import PACKAGE

import lrbench
from lrbench.server.content import Runs

MakeRun = Callable[..., Path]
Cli = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("sketches")
OWN = {
    "dataset": "trap:data", "model": "trap:model", "loss": "trap:loss", "schedule": "trap:schedule",
    "metrics": [{"name": "trap:Metric"}], "track": ["trap:Tool"],
}  # fmt: skip
COMMANDS = {
    "report": ["report", "runs"],
    "compare": ["compare", "a", "b"],
    "figure": ["figure", "curves", "runs", "--out", "figure.svg"],
    "audit": ["audit", "runs"],
    "export": ["export", "--to", "csv", "tables"],
    "import": ["import", "runs", "--runs", "imported"],
    "transfer": ["transfer", "runs"],
    "watch": ["watch", "--once"],
}


@pytest.fixture
def foreign(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Runs of two configs that name imports everywhere; a module of that name lies in the working folder."""
    (tmp_path / "trap.py").write_text("def schedule(step, lr):\n    return lr\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, loss in (("a", 0.5), ("b", 0.9)):
        for lr in (0.1, 0.2, 0.4):
            for seed in range(2):
                make_run([1.0, loss + lr + seed / 100], name=name, lr=lr, seed=seed, clip_grad_norm=1 + loss, **OWN)
    yield tmp_path / "runs"
    sys.modules.pop("trap", None)


@pytest.mark.parametrize("command", COMMANDS)
def test_reading_runs_nothing(command: str, foreign: Path, cli: Cli) -> None:
    code, out, said = cli(*COMMANDS[command])
    assert code in (0, 1, 2, 3, 4) and "damaged" not in out + said
    assert "trap" not in sys.modules
    assert command != "report" or "trap:model" in (foreign / "report" / "report.html").read_text(), "it was read"


def test_the_live_page_runs_nothing(foreign: Path) -> None:
    assert Runs([foreign]).page().parts
    assert "trap" not in sys.modules


def test_what_the_user_names_is_run(foreign: Path, cli: Cli, write_config: Callable[..., Path]) -> None:
    """Or the tests above would pass wherever the module can't be found."""
    assert cli("preview", write_config(schedule="trap:schedule"))[0] == 0 and sys.modules.pop("trap")
    lrbench.audit([foreign], schedule="trap:schedule")
    assert sys.modules.pop("trap")


def test_the_page_names_every_command() -> None:
    text = (PACKAGE.parent / "SECURITY.md").read_text(encoding="utf-8")
    promised = re.search(r"## What never runs code\n\n(.*?) read run folders", text, re.DOTALL)
    assert promised is not None
    assert set(re.findall(r"`([\w-]+)`", promised[1])) == {*COMMANDS, "serve"}
