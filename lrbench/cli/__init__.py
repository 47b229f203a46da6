"""The command line: parse, call, print.

Commands import what they need only when they run, so that `--help` is quick. No other room imports this one.
"""

from lrbench.cli.app import main
