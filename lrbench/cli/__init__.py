"""The command line: parse, call, print. Every command imports what it needs when it runs, so that help is quick."""

from lrbench.cli.app import main

__all__ = ["main"]
