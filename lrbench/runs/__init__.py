"""The run folder, the contract between training and analysis: its files, its lock, its result and status.

Everything that reads or writes a run goes through here. Nothing here trains, compares or draws. Torch is imported only
to read and write weights.
"""

from lrbench.runs.csv_columns import Columns, last_lines
from lrbench.runs.csv_columns import last as last_row
from lrbench.runs.csv_columns import read as read_csv
from lrbench.runs.csv_tail import Growing, Tail
from lrbench.runs.csv_thinned import read_thinned
from lrbench.runs.environment import NODE, UNKNOWN, Environment, Sizes, changes, describe, now, own_modules, place
from lrbench.runs.files import check_links, finite, leads_out, read_json, relative, replacing, to_json, writing
from lrbench.runs.files import write as write_file
from lrbench.runs.find import find_runs, folders_in, no_runs, of_range_test
from lrbench.runs.folder import RunFolder
from lrbench.runs.jobs import JOBS, Job
from lrbench.runs.lock import DEAD_AFTER_SECONDS, WATCHED_SECONDS, birth
from lrbench.runs.logs import (
    Log,
    Meaning,
    SlowPattern,
    Source,
    Values,
    encoding_of,
    guessed,
    read_events,
    read_log,
    read_number,
    written_again,
)
from lrbench.runs.outputs import check_output, nearest
from lrbench.runs.recorded import SPLITS, Recorded, conclude, ended_well, metrics_in, usual_metric
from lrbench.runs.recordings import STEP_COLUMNS
from lrbench.runs.result import DROPPED, RunResult, Status, listed, parsed, state_words, tally
from lrbench.runs.torchrun import first_failure, last_output
from lrbench.runs.writer import RowWriter
