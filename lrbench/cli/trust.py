"""The question before a command runs code that a config from outside the working folder names; `--trust` answers it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from lrbench.cli.options import option
from lrbench.cli.terminal import Terminal, flat, inline
from lrbench.errors import UsageError, printable

Trust = Annotated[
    bool, option("Run the code that configs from outside the working folder name, without asking.", "--trust")
]
_MOST_ASKED, _MOST_TEXT = 40, 2000
"""More code than this can't be read in a question, and what is cut says so."""


def ask_for_code(
    configs: Sequence[Path],
    overrides: Sequence[str] | None,
    trust: bool,
    *,
    silent: bool = False,
    check: Callable[[], object] | None = None,
) -> None:
    """Ask before code runs that a config from outside the working folder names.

    Args:
        configs: the configs that a command was given.
        overrides: what it was given after `--set`.
        trust: whether it may run, so that nothing is asked.
        silent: whether the output is for programs, so that nothing can be asked.
        check: checks the configs as far as that goes without running the code, so that nobody is asked about what is
            wrong anyway; by default, each is loaded.

    Raises UsageError unless it may run, ConfigError for a config that is invalid, and what `check` raises.
    """
    if trust:
        return
    from lrbench.config import foreign_code, load_config, not_folders

    found = dict.fromkeys(code for config in configs for code in foreign_code(config, overrides or ()))
    if not found:
        return
    if check is not None:
        check()
    else:
        for config in configs:
            load_config(config, overrides or ())
    left = len(found) - _MOST_ASKED
    lines = [f"  {code.where}: {code.key}: {_in_a_line(f'{code.text} {code.given}')}" for code in found]
    shown = "\n".join([*lines[:_MOST_ASKED], *([f"  and {left} more, too many to ask about"] if left > 0 else [])])
    if silent or left > 0 or not (sys.stdin.isatty() and sys.stderr.isatty()):
        problem = f"this would run code that a config from outside the working folder names:\n{shown}"
        ways = "add --trust to run it, or name the folder in LRBENCH_TRUST if all its configs are yours"
        raise UsageError(f"{problem}\nRead it, then {ways}{_doubt(not_folders())}")
    console = Terminal(stderr=True)
    console.print("This runs code that a config from outside the working folder names, with your rights:")
    for line in shown.split("\n"):
        console.print(inline(line), soft_wrap=True)
    files = list(dict.fromkeys(re.sub(r":\d+$", "", code.where) for code in found))
    if not _agreed(files[0] if len(files) == 1 else f"these {len(files)} files"):
        raise UsageError(f"nothing was run; --trust runs it without asking{_doubt(not_folders())}")


def _agreed(whose: str) -> bool:
    """Ask until the answer is yes or no; none is no."""
    question = f"Run the code named in {printable(flat(whose))}? [y/N]"
    while True:
        try:
            answer = typer.prompt(question, default="", show_default=False, err=True)
        except typer.Abort:
            return False
        if answer.strip().lower() in ("y", "yes"):
            return True
        if answer.strip().lower() in ("", "n", "no"):
            return False


def _doubt(names: Sequence[str]) -> str:
    """Say what is wrong with LRBENCH_TRUST, if anything is."""
    if not names:
        return ""
    right = f"it takes the paths of folders, such as ~/experiments, separated by {os.pathsep}"
    return f"\nLRBENCH_TRUST names no folder: {', '.join(names)}; {right}"


def _in_a_line(text: str) -> str:
    """Return code as one line without gaps, in which something could be hidden, and say what is cut off."""
    line = " ".join(text.split())
    left = len(line) - _MOST_TEXT
    return line if left <= 0 else f"{line[:_MOST_TEXT]}… and {left:,} more characters; read the file"
