"""lrbench: which learning rate, which schedule, for my model and my data, and how sure can I be?

Public names are imported on first use, so that `import lrbench` is quick and needs no torch:

    load_config     read a YAML file into an Experiment
    run             train configs, or a model on data; finished runs are looked up, not repeated
    report          compare runs: figure, tables, HTML page
    compare         decide whether one group of runs is better than another, or reaches a target
    figure          draw a figure of runs, in the size and font of a paper, as a matplotlib Figure
    load_runs       load all runs into a pandas DataFrame, one row per run
    load_evaluations, load_steps   the same with one row per evaluation, or per step
    optima          find the best learning rate between those tried, with its interval
    import_runs     import other tools' runs: TensorBoard, Lightning, Hugging Face, Keras, W&B, MLflow, CSV
    export          export runs to TensorBoard, MLflow, W&B or Trackio, or as CSV or Parquet tables
    RangeTest       a range test in your own training loop
    sweep           train a grid of learning rates, schedules, seeds or any other key
    find_lr         run a learning rate range test, of a config or of a model, and suggest learning rates
    transfer        fit how the best learning rate depends on batch size, length, data and model, and predict it
    preview         compute the learning rates that configs would use, without training
    coordinate_check   measure whether layers' outputs depend on the width, as they must not in μP
    audit           compare the learning rates that ran with the schedule that was meant
    build_schedule  build a schedule as a function of the step
    torch_scheduler build the same schedule as a torch scheduler, for your own training loop
    schema          a JSON schema of configs, for editors
    record          record the run of your own training script, step by step
    param           the value that a sweep gives your script
    build_optimizer, parameter_groups   use an `optimizer:` block in your own training loop
    Decision, TargetDecision   what `compare` returns
    Optimum, NoOptimum   what `optima` returns
    Experiment, Finding, Outcome, Report, Sweep, Transfer, LrbenchError
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lrbench._version import __version__

if TYPE_CHECKING:
    from lrbench.analysis import Audit, NoOptimum, Optimum, audit, load_evaluations, load_runs, load_steps, optima
    from lrbench.components import build_optimizer, parameter_groups
    from lrbench.config import Experiment, load_config
    from lrbench.config import schema as schema
    from lrbench.errors import LrbenchError
    from lrbench.integrations import export, import_runs, param, record
    from lrbench.lr_finder import Finding, RangeTest
    from lrbench.objects import find_lr, run
    from lrbench.reports import Decision, Report, TargetDecision, compare, figure, preview, report
    from lrbench.reports import figure_of as figure_of
    from lrbench.reports import html_of as html_of
    from lrbench.reports import save_finding as save_finding
    from lrbench.reports import text_of as text_of
    from lrbench.schedules import build_schedule
    from lrbench.sweeps import Sweep, sweep
    from lrbench.torch_adapter import torch_scheduler
    from lrbench.training import Outcome
    from lrbench.transfers import CoordinateCheck, Transfer, coordinate_check, transfer

__all__ = [
    "Audit",
    "CoordinateCheck",
    "Decision",
    "Experiment",
    "Finding",
    "LrbenchError",
    "NoOptimum",
    "Optimum",
    "Outcome",
    "RangeTest",
    "Report",
    "Sweep",
    "TargetDecision",
    "Transfer",
    "__version__",
    "audit",
    "build_optimizer",
    "build_schedule",
    "compare",
    "coordinate_check",
    "export",
    "figure",
    "find_lr",
    "import_runs",
    "load_config",
    "load_evaluations",
    "load_runs",
    "load_steps",
    "optima",
    "param",
    "parameter_groups",
    "preview",
    "record",
    "report",
    "run",
    "schema",
    "sweep",
    "torch_scheduler",
    "transfer",
]

_HOMES = {
    "Audit": "analysis",
    "CoordinateCheck": "transfers",
    "Decision": "reports",
    "Experiment": "config",
    "Finding": "lr_finder",
    "LrbenchError": "errors",
    "NoOptimum": "analysis",
    "Optimum": "analysis",
    "Outcome": "training",
    "RangeTest": "lr_finder",
    "Report": "reports",
    "Sweep": "sweeps",
    "TargetDecision": "reports",
    "Transfer": "transfers",
    "audit": "analysis",
    "build_optimizer": "components",
    "build_schedule": "schedules",
    "compare": "reports",
    "coordinate_check": "transfers",
    "export": "integrations",
    "figure": "reports",
    "figure_of": "reports",
    "find_lr": "objects",
    "html_of": "reports",
    "import_runs": "integrations",
    "load_config": "config",
    "load_evaluations": "analysis",
    "load_runs": "analysis",
    "load_steps": "analysis",
    "optima": "analysis",
    "param": "integrations",
    "parameter_groups": "components",
    "preview": "reports",
    "record": "integrations",
    "report": "reports",
    "run": "objects",
    "save_finding": "reports",
    "schema": "config",
    "sweep": "sweeps",
    "text_of": "reports",
    "torch_scheduler": "torch_adapter",
    "transfer": "transfers",
}


_OLD_NAMES: dict[str, str] = {}
"""Public names that were renamed, and what they are called now."""


def __getattr__(name: str) -> Any:
    if name in _OLD_NAMES:
        from lrbench.errors import old_name

        old_name(f"lrbench.{name}", f"lrbench.{_OLD_NAMES[name]}")
        name = _OLD_NAMES[name]
    if name not in _HOMES:
        raise AttributeError(f"module 'lrbench' has no attribute '{name}'")
    return getattr(importlib.import_module(f"lrbench.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
