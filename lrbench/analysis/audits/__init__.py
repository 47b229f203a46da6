"""Audits: does the learning rate that ran equal the schedule that was meant?

`recorded` reads what ran, `meant` and `own` build what was meant, and `side_by_side` compares the two. `diagnosis`
finds the mistake that explains a difference (`warmup`, `horizon`, `tail`); `groups` and `shape` look at what needs no
schedule; `monitor` watches a run in progress.
"""

from lrbench.analysis.audits.auditing import Audit, audit, audited, remember
from lrbench.analysis.audits.faults import Fault
from lrbench.analysis.audits.monitor import RateMonitor
