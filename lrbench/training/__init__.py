"""Training: the loop, the kinds of work that run on it, and the orchestrator that hands runs to executors.

It also makes experiments of Python objects (`objects/`). Training writes run folders and never compares runs. Torch is
imported only when something is built or trained.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lrbench.training.branching import expected_saving
from lrbench.training.executors import Executor, default_jobs
from lrbench.training.executors.guard import Guard
from lrbench.training.executors.slurm_states import State as JobState
from lrbench.training.executors.slurm_states import in_words as job_words
from lrbench.training.executors.slurm_states import states_of as job_states
from lrbench.training.kinds import LoopKind, Observer
from lrbench.training.objects.known import held
from lrbench.training.options import RunOptions
from lrbench.training.orchestrate import do as do_runs
from lrbench.training.orchestrate import run, stopped
from lrbench.training.orders import DROP, STOP, Orders
from lrbench.training.orders import drop as drop_run
from lrbench.training.outcome import Outcome, Outcomes, look, look_in, pending
from lrbench.training.pruning import RUNGS, Prune
from lrbench.training.signals import StopFlag
from lrbench.training.termination import Ended, not_finite
from lrbench.training.tracking import tools_of

if TYPE_CHECKING:
    from lrbench.training.doctor import check_machine, in_bytes
    from lrbench.training.evaluate import evaluate as evaluate_split
    from lrbench.training.generators import keep_generators
    from lrbench.training.isolation import isolated
    from lrbench.training.loop import Training
    from lrbench.training.objects.experiment import experiment_of
    from lrbench.training.objects.unchanged import unchanged

_WITH_TORCH = {
    "check_machine": ("lrbench.training.doctor", "check_machine"),
    "in_bytes": ("lrbench.training.doctor", "in_bytes"),
    "Training": ("lrbench.training.loop", "Training"),
    "keep_generators": ("lrbench.training.generators", "keep_generators"),
    "experiment_of": ("lrbench.training.objects.experiment", "experiment_of"),
    "unchanged": ("lrbench.training.objects.unchanged", "unchanged"),
    "isolated": ("lrbench.training.isolation", "isolated"),
    "evaluate_split": ("lrbench.training.evaluate", "evaluate"),  # renamed, since the module is called evaluate
}


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module 'lrbench.training' has no attribute '{name}'")
    module, attribute = _WITH_TORCH[name]
    return getattr(importlib.import_module(module), attribute)
