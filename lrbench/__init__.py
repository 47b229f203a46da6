"""lrbench: which learning rate, which schedule, for my model and my data, and how sure can I be?

The public names, imported when they are first used, so that `import lrbench` is quick and needs no torch:

    load_config     a YAML file as an Experiment
    run             train configs, or find what is trained already
    report          set runs side by side: figure, tables, page
    load_runs       all runs as a pandas DataFrame, one row a run
    sweep           train a grid of rates, schedules, seeds or any key
    find_lr         the learning rate range test: which rates to take, and how sure that is
    preview         the rates that configs would use, without training
    build_schedule  a schedule as a function of the step
    torch_scheduler the same as a torch scheduler, for one's own loop
    build_optimizer, parameter_groups   an `optimizer:` block for one's own loop
    Experiment, Finding, Outcome, Report, Sweep, LrbenchError
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lrbench.version import __version__

if TYPE_CHECKING:
    from lrbench.config import Experiment, load_config
    from lrbench.errors import LrbenchError
    from lrbench.find import find_lr
    from lrbench.finder.finding import Finding
    from lrbench.optimizers import build_optimizer, parameter_groups
    from lrbench.previewing import preview
    from lrbench.reporting import Report, load_runs, report
    from lrbench.runner import Outcome, run
    from lrbench.schedules import build_schedule
    from lrbench.sweeping import Sweep, sweep
    from lrbench.torch_bridge import torch_scheduler

__all__ = [
    "Experiment",
    "Finding",
    "LrbenchError",
    "Outcome",
    "Report",
    "Sweep",
    "__version__",
    "build_optimizer",
    "build_schedule",
    "find_lr",
    "load_config",
    "load_runs",
    "parameter_groups",
    "preview",
    "report",
    "run",
    "sweep",
    "torch_scheduler",
]

_HOMES = {
    "Experiment": "lrbench.config",
    "Finding": "lrbench.finder.finding",
    "LrbenchError": "lrbench.errors",
    "Outcome": "lrbench.runner",
    "Report": "lrbench.reporting",
    "Sweep": "lrbench.sweeping",
    "build_optimizer": "lrbench.optimizers",
    "build_schedule": "lrbench.schedules",
    "find_lr": "lrbench.find",
    "load_config": "lrbench.config",
    "load_runs": "lrbench.reporting",
    "parameter_groups": "lrbench.optimizers",
    "preview": "lrbench.previewing",
    "report": "lrbench.reporting",
    "run": "lrbench.runner",
    "sweep": "lrbench.sweeping",
    "torch_scheduler": "lrbench.torch_bridge",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lrbench' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
