"""The command line: parse, call, print.

Commands import what they need only when they run, so that `--help` is quick. No other room imports this one.
"""

import signal
import sys
from os import _exit, write


def main() -> None:
    """Run the command line as this process. Ctrl-C and SIGTERM end it silently until training handles them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    from lrbench.cli.app import main

    main()


def _end(number: int, _: object) -> None:
    if sys.stderr.isatty():
        write(2, b"\x1b[?25h\n")  # show the cursor, which a progress display may have hidden
    _exit(128 + number)


__all__ = ["main"]
