"""Sweeps: expand a grid, plan its runs on disk, have the orchestrator execute them, summarize the results.

A sweep's runs are ordinary runs. Nothing here trains by itself, draws or imports torch.
"""

from lrbench.sweeps.asked import Sweep
from lrbench.sweeps.axes import AUTO_POINTS
from lrbench.sweeps.decided import Decided, decided
from lrbench.sweeps.execution import carry_out, check_fits
from lrbench.sweeps.jobs import RunJob, jobs_of, unlucky
from lrbench.sweeps.plan import Plan, Planned, SweepFolder, find_sweeps, set_apart
from lrbench.sweeps.requests import (
    MoreSeeds,
    Requests,
    add_seeds,
    cancel_stop,
    drop_cell,
    keep_cell,
    request_stop,
    requests_of,
)
from lrbench.sweeps.status import Board, as_planned, board_of, left_words, time_left
from lrbench.sweeps.summary import Summary, summarize
from lrbench.sweeps.sweeping import ask as plan_sweep
from lrbench.sweeps.sweeping import sweep
from lrbench.sweeps.zoom import WIDTH, Zoom
