"""What `steps.csv` and `env.json` say about learning rates besides the schedule's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lrbench.training.parts import Parts

ESTIMATE = ("d", "effective_lr")


@dataclass(frozen=True)
class RateColumns:
    """The columns of `steps.csv` besides the usual ones.

    A parameter group whose ratio to the schedule changes has `lr_<pattern>`, 0 while it is frozen. An optimizer that
    estimates its own step size, such as Prodigy, has its estimate `d` before the step, and `effective_lr`, d·lr.
    """

    parts: Parts

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        stages = () if self.parts.stages is None else tuple(self.parts.stages.columns)
        return (*stages, *(ESTIMATE if "d0" in self.parts.optimizer.param_groups[0] else ()))

    def values(self, lr: float) -> dict[str, float]:
        """Return their values for a step at the schedule's learning rate `lr`, just before it."""
        found: dict[str, float] = {}
        if self.parts.stages is not None:
            found = {name: lr * self.parts.ratios[index] for name, index in self.parts.stages.columns.items()}
        group = self.parts.optimizer.param_groups[0]
        if "d0" in group:
            found |= {"d": float(group["d"]), "effective_lr": float(group["d"]) * lr}
        return found


def groups_of(parts: Parts) -> dict[str, Any]:
    """Return what `env.json` says about parameter groups, if there are several or one changes.

    Each has the `ratio` of its learning rate to the schedule's, its number of `parameters`, its `weight_decay`, and the
    `pattern` of one that starts or warms up by itself, with `start` (a step), `warmup_steps` and its `column` of
    `steps.csv`.
    """
    groups = parts.optimizer.param_groups
    if len(groups) < 2 and parts.stages is None:
        return {}
    found = []
    for index, group in enumerate(groups):
        ratio = parts.ratios[index] if parts.stages is None else parts.stages.ratios[index]
        known: dict[str, Any] = {"ratio": ratio, "parameters": sum(p.numel() for p in group["params"])}
        if "weight_decay" in group:
            known["weight_decay"] = float(group["weight_decay"])
        column = None if parts.stages is None else parts.stages.column_of(index)
        if parts.stages is not None and column is not None:
            stage = parts.stages.stages[index]
            known |= {"pattern": stage.name, "start": stage.start, "warmup_steps": stage.rise, "column": column}
        found.append(known)
    return {"groups": found}
