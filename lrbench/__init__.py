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

from lrbench._version import __version__

if TYPE_CHECKING:
    from lrbench.components.optimizers import build_optimizer, parameter_groups
    from lrbench.config.load import Experiment, load_config
    from lrbench.errors import LrbenchError
    from lrbench.lr_finder.find import find_lr
    from lrbench.lr_finder.result import Finding
    from lrbench.reports.preview import preview
    from lrbench.reports.report import Report, load_runs, report
    from lrbench.schedules import build_schedule
    from lrbench.sweeps.sweep import Sweep, sweep
    from lrbench.torch_adapter import torch_scheduler
    from lrbench.training.outcome import Outcome
    from lrbench.training.run import run

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
    "Experiment": "lrbench.config.load",
    "Finding": "lrbench.lr_finder.result",
    "LrbenchError": "lrbench.errors",
    "Outcome": "lrbench.training.outcome",
    "Report": "lrbench.reports.report",
    "Sweep": "lrbench.sweeps.sweep",
    "build_optimizer": "lrbench.components.optimizers",
    "build_schedule": "lrbench.schedules",
    "find_lr": "lrbench.lr_finder.find",
    "load_config": "lrbench.config.load",
    "load_runs": "lrbench.reports.report",
    "parameter_groups": "lrbench.components.optimizers",
    "preview": "lrbench.reports.preview",
    "report": "lrbench.reports.report",
    "run": "lrbench.training.run",
    "sweep": "lrbench.sweeps.sweep",
    "torch_scheduler": "lrbench.torch_adapter",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lrbench' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
