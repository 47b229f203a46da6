"""lrbench: which learning rate, which schedule, for my model and my data, and how sure can I be?

Public names are imported on first use, so that `import lrbench` is quick and needs no torch:

    load_config     read a YAML file into an Experiment
    run             train configs, or a model on data; finished runs are looked up, not repeated
    report          compare runs: figure, tables, HTML page
    load_runs       load all runs into a pandas DataFrame, one row per run
    sweep           train a grid of learning rates, schedules, seeds or any other key
    find_lr         run a learning rate range test, of a config or of a model, and suggest learning rates
    preview         compute the learning rates that configs would use, without training
    audit           compare the learning rates that ran with the schedule that was meant
    build_schedule  build a schedule as a function of the step
    torch_scheduler build the same schedule as a torch scheduler, for your own training loop
    build_optimizer, parameter_groups   use an `optimizer:` block in your own training loop
    Experiment, Finding, Outcome, Report, Sweep, LrbenchError
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lrbench._version import __version__

if TYPE_CHECKING:
    from lrbench.analysis import Audit, audit, load_runs
    from lrbench.components import build_optimizer, parameter_groups
    from lrbench.config import Experiment, load_config
    from lrbench.errors import LrbenchError
    from lrbench.lr_finder import Finding
    from lrbench.objects import find_lr, run
    from lrbench.reports import Report, preview, report
    from lrbench.reports import figure_of as figure_of
    from lrbench.reports import html_of as html_of
    from lrbench.schedules import build_schedule
    from lrbench.sweeps import Sweep, sweep
    from lrbench.torch_adapter import torch_scheduler
    from lrbench.training import Outcome

__all__ = [
    "Audit",
    "Experiment",
    "Finding",
    "LrbenchError",
    "Outcome",
    "Report",
    "Sweep",
    "__version__",
    "audit",
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
    "Audit": "analysis",
    "Experiment": "config",
    "Finding": "lr_finder",
    "LrbenchError": "errors",
    "Outcome": "training",
    "Report": "reports",
    "Sweep": "sweeps",
    "audit": "analysis",
    "build_optimizer": "components",
    "build_schedule": "schedules",
    "figure_of": "reports",
    "find_lr": "objects",
    "html_of": "reports",
    "load_config": "config",
    "load_runs": "analysis",
    "parameter_groups": "components",
    "preview": "reports",
    "report": "reports",
    "run": "objects",
    "sweep": "sweeps",
    "torch_scheduler": "torch_adapter",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lrbench' has no attribute '{name}'")
    return getattr(importlib.import_module(f"lrbench.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
