"""Shell completion: answers the scripts that `lrbench --install-completion` installs, without importing typer.

What can follow is looked up in a table of commands, options, config keys and names, which is made from the command line
and the schema of configs, and kept in the user's cache. Nothing here imports torch.
"""

from __future__ import annotations

import os

VARIABLE = "_LRBENCH_COMPLETE"
"""The environment variable with which a shell asks: `complete_bash`; `source_bash` asks for the script."""


def asked() -> bool:
    """Return whether a shell wants completions, not a command."""
    return os.environ.get(VARIABLE, "").startswith("complete_")


def answer() -> int:
    """Print what can follow the words of the shell's command line, and return the exit code.

    A shell shows no errors while a line is typed, so that whatever fails, there is just nothing to complete.
    """
    from lrbench.cli.completion.shells import SHELLS

    shell = SHELLS.get(os.environ[VARIABLE].removeprefix("complete_"))
    if shell is None:
        return 1
    try:
        from lrbench.cli.completion.table import table
        from lrbench.cli.completion.words import candidates

        words, current = shell.words(os.environ)
        found = candidates(table(), words, current)
    except Exception:
        found = []
    return shell.say(found, os.environ)
