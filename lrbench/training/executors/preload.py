"""Imports of torch that all workers share, made once in the process they are forked from.

That process ends itself a moment after the command was killed, and the kernel then kills the workers, whatever their
runs are doing; see `lrbench.training.executors.worker`.
"""

import os
import signal

import torch.multiprocessing

import lrbench.training.executors.shared_data
import lrbench.training.loop
import lrbench.training.pruning
import lrbench.training.run_one
from lrbench.training.executors.worker import GRACE_SECONDS

__all__ = ["lrbench", "torch"]

_parent = os.getppid()


def _parent_died(*_: object) -> None:
    """End this process after the grace period, unless only a thread of the parent has ended."""
    if os.getppid() != _parent:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(GRACE_SECONDS)


signal.signal(signal.SIGALRM, _parent_died)
torch.multiprocessing._prctl_pr_set_pdeathsig(signal.SIGALRM)  # type: ignore[attr-defined]
