"""The Python names that lrbench gives, for mkdocstrings to document. A new name appears by itself."""

from __future__ import annotations

import lrbench

_GROUPS = {
    "Train and sweep": ("load_config", "run", "sweep", "preview", "Experiment", "Outcome", "Sweep"),
    "Find a learning rate": ("find_lr", "RangeTest", "Finding"),
    "Compare and show": ("report", "compare", "figure", "optima", "audit", "Report", "Decision", "TargetDecision",
                         "Optimum", "NoOptimum", "Audit"),
    "Tables of runs": ("load_runs", "load_evaluations", "load_steps"),
    "Your own loop": ("build_schedule", "torch_scheduler", "build_optimizer", "parameter_groups", "record", "param"),
    "Other sizes": ("transfer", "coordinate_check", "Transfer", "CoordinateCheck"),
    "Other tools": ("import_runs", "export", "schema"),
}  # fmt: skip
_MORE = "More"


def api() -> str:
    """Return a section for each group of names."""
    grouped = {name for names in _GROUPS.values() for name in names}
    rest = tuple(name for name in lrbench.__all__ if name not in grouped and not name.startswith("_"))
    groups = {**_GROUPS, **({_MORE: rest} if rest else {})}
    return "\n".join(f"## {title}\n\n" + "".join(f"::: lrbench.{name}\n\n" for name in names)
                     for title, names in groups.items())  # fmt: skip
