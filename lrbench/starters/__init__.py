"""Starter configs: what `lrbench init` writes into a folder, commented and ready to run.

The files lie in `starters/` and `examples/`, at the top of a clone and in the wheel. Nothing is trained here,
no torch is imported, and a file that exists is never overwritten unless that is asked for.
"""

from lrbench.starters.kinds import STARTERS, Starter
from lrbench.starters.write import write_starter
