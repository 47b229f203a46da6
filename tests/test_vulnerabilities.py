"""`make check` looks up known vulnerabilities of dependencies, and fails for none that it could not look up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import vulnerabilities
from vulnerabilities import Unanswered, dependencies, main


def answering(found: list[dict[str, Any]]) -> Any:
    """A pip-audit that finds these vulnerabilities of numpy."""

    def ask(words: Sequence[str]) -> str:
        lines = Path(words[words.index("--requirement") + 1]).read_text().splitlines()
        packages = [dict(zip(("name", "version"), line.split("=="), strict=True)) for line in lines]
        return json.dumps({"dependencies": [{**one, "vulns": found * (one["name"] == "numpy")} for one in packages]})

    return ask


def test_the_declared_dependencies_are_looked_up_as_they_are_installed() -> None:
    found = dependencies((vulnerabilities.ROOT / "pyproject.toml").read_text())
    names = [one.partition("==")[0] for one in found]
    assert {"torch", "numpy", "pyyaml", "jinja2"} <= set(names) and "ray" not in names
    assert all("+" not in one and one.partition("==")[2] for one in found)


def test_a_vulnerability_that_a_later_version_has_mended_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(answering([{"id": "CVE-1", "fix_versions": ["99.1"]}])) == 1
    said = capsys.readouterr().out
    assert said.startswith("numpy ") and said.endswith(": CVE-1, mended in 99.1\n")


@pytest.mark.parametrize("found", [[], [{"id": "CVE-2", "fix_versions": []}]])
def test_what_nobody_can_mend_fails_nothing(found: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(answering(found)) == 0
    assert capsys.readouterr().out.startswith("Known vulnerabilities: none in ")


def test_what_was_not_looked_up_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    packages = [{"name": "numpy", "version": "1", "vulns": []}, {"name": "torch", "skip_reason": "not found"}]
    assert main(lambda words: json.dumps({"dependencies": packages})) == 0
    assert capsys.readouterr().out.startswith("Known vulnerabilities: none in 1 of ")
    assert main(lambda words: json.dumps({"dependencies": packages[1:]})) == 0
    assert "skipped, the index that was asked knows none" in capsys.readouterr().out


@pytest.mark.parametrize("answer", ["", "[]", "{}", '{"dependencies": [{"vulns": [{}]}]}'])
def test_an_answer_of_another_form_is_none(answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(lambda words: answer) == 0
    assert capsys.readouterr().out == "Known vulnerabilities: skipped, pip-audit gave an answer of another form\n"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import time; time.sleep(60)", "no answer within 0.5 seconds"),
        ("import sys; sys.exit('cannot connect')", "cannot connect"),
        ("", "pip-audit said nothing"),
    ],
)
def test_without_a_network_it_is_skipped(code: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = subprocess.run
    monkeypatch.setattr(vulnerabilities, "MOST_SECONDS", 0.5 if "sleep" in code else 60)
    monkeypatch.setattr(vulnerabilities.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(subprocess, "run", lambda words, **how: run([sys.executable, "-c", code], **how))
    with pytest.raises(Unanswered, match=why):
        vulnerabilities.pip_audit([])


def test_without_pip_audit_it_is_skipped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(vulnerabilities.importlib.util, "find_spec", lambda name: None)
    assert main() == 0 and capsys.readouterr().out == "Known vulnerabilities: skipped, pip-audit is not installed\n"
