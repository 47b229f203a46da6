"""Look up known vulnerabilities of what the project depends on. See `make check`.

python tests/vulnerabilities.py    # says in a line why it can't, without pip-audit or a network

Fails only for one that a later version has mended.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
MOST_SECONDS = 8
Ask = Callable[[Sequence[str]], str]
"""Runs pip-audit with some words and returns what it prints. Raises Unanswered."""


class Unanswered(Exception):
    """Nothing could be looked up; the message says why."""


def dependencies(text: str) -> list[str]:
    """Return what a pyproject.toml declares to depend on, as `name==version` of what is installed."""
    found = []
    for line in tomllib.loads(text)["project"]["dependencies"]:
        name = re.match(r"[\w.-]+", line)
        assert name is not None, line
        version = importlib.metadata.version(name[0])
        found.append(f"{name[0]}=={version.partition('+')[0]}")  # a build for a device is the same code
    return found


def pip_audit(words: Sequence[str]) -> str:
    """See `Ask`."""
    if importlib.util.find_spec("pip_audit") is None:
        raise Unanswered("pip-audit is not installed")
    command = [sys.executable, "-m", "pip_audit", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Unanswered(f"no answer within {MOST_SECONDS} seconds") from None
    if not done.stdout.strip():
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip-audit said nothing"]
        raise Unanswered(lines[-1].strip()[:200])
    return done.stdout


def known(pinned: Iterable[str], ask: Ask) -> tuple[list[str], int]:
    """Return the known vulnerabilities of packages that a later version has mended, and how many were looked up.

    Raises Unanswered if none could be.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("".join(f"{one}\n" for one in pinned), encoding="utf-8")
        words = ["--requirement", str(file), "--no-deps", "--disable-pip", "--progress-spinner", "off"]
        answer = ask([*words, "--format", "json"])
    try:
        packages = [one for one in json.loads(answer)["dependencies"] if "skip_reason" not in one]
        found = [
            f"{package['name']} {package['version']}: {one['id']}, mended in {', '.join(one['fix_versions'])}"
            for package in packages
            for one in package.get("vulns", [])
            if one["fix_versions"]
        ]
    except (ValueError, KeyError, TypeError):
        raise Unanswered("pip-audit gave an answer of another form") from None
    if not packages:
        raise Unanswered("the index that was asked knows none of the dependencies")
    return found, len(packages)


def main(ask: Ask = pip_audit) -> int:
    """Print what is known, or why nothing was looked up, and return the exit code."""
    pinned = dependencies((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    try:
        found, looked_up = known(pinned, ask)
    except Unanswered as error:
        print(f"Known vulnerabilities: skipped, {error}")
        return 0
    print("\n".join(found) or f"Known vulnerabilities: none in {looked_up} of {len(pinned)} dependencies")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
