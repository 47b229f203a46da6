"""The command line."""

from lrbench.cli.app import main

__all__ = ["main"]
