"""Reads the logs of other programs: rows in their own names, and what these mean in ours.

Each format has a file with a function from a path to rows. Nothing here writes a run folder.
"""

from lrbench.runs.logs.log import Log, Values, read_number
from lrbench.runs.logs.meaning import Meaning, guessed
from lrbench.runs.logs.patterns import SlowPattern
from lrbench.runs.logs.read import encoding_of, read_events, read_log, written_again
from lrbench.runs.logs.source import Source
