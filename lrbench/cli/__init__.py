"""The command line: parse, call, print.

Every command imports what it needs only when it runs, so that help is quick. Nothing imports this room.
"""

from lrbench.cli.app import main

__all__ = ["main"]
