"""When each parameter group trains: frozen until a step, with a warm-up of its own. Does not import torch."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lrbench.errors import ConfigError
from lrbench.types import Duration

if TYPE_CHECKING:
    from torch.optim import Optimizer

UNFREEZE, WARMUP = "unfreeze", "group_warmup"
"""The keys of a parameter group that hold its patterns, each with a duration as text."""


@dataclass(frozen=True)
class Stage:
    """When a parameter group trains.

    Attributes:
        name: the pattern that says so.
        start: the first step that updates it; before, it is frozen.
        rise: the steps of its own warm-up from there, during which its learning rate is (t − start + 1)/rise of what it
            would be.
    """

    name: str
    start: int
    rise: int

    def factor(self, step: int) -> float:
        """Return what multiplies the group's learning rate at `step`; 0 while it is frozen."""
        done = step - self.start
        return 0.0 if done < 0 else min((done + 1) / self.rise, 1.0) if self.rise else 1.0


@dataclass
class Stages:
    """The stages of an optimizer's parameter groups, as a pure function of the step."""

    optimizer: Optimizer
    ratios: Sequence[float]
    stages: Sequence[Stage]
    frozen: list[bool | None] = field(default_factory=list)

    @classmethod
    def of(
        cls, optimizer: Optimizer, ratios: Sequence[float], *, total_steps: int, steps_per_epoch: int
    ) -> Stages | None:
        """Return the stages of an optimizer from `build_optimizer`; None if all groups just train.

        Args:
            optimizer: the optimizer.
            ratios: each group's ratio to the schedule's learning rate.
            total_steps: steps in the run.
            steps_per_epoch: steps in an epoch.

        Raises:
            ConfigError: no parameter would train at the first step.
        """
        groups = optimizer.param_groups
        if not any(UNFREEZE in group or WARMUP in group for group in groups):
            return None

        def steps(text: str) -> int:
            return Duration.parse(text, "epochs").steps(total_steps=total_steps, steps_per_epoch=steps_per_epoch)

        stages = [_stage(group, steps) for group in groups]
        if all(stage.start > 0 for stage in stages):
            raise ConfigError("freezes every parameter at the start, so nothing would train", key="optimizer.unfreeze")
        return cls(optimizer, ratios, stages, [None] * len(stages))

    def enter(self, step: int) -> list[float]:
        """Freeze and unfreeze the weights as of `step`, and return each group's ratio to the schedule."""
        for index, (group, stage) in enumerate(zip(self.optimizer.param_groups, self.stages, strict=True)):
            frozen = step < stage.start
            if frozen is not self.frozen[index]:
                self.frozen[index] = frozen
                for parameter in group["params"]:
                    parameter.requires_grad_(not frozen)
        return [ratio * stage.factor(step) for ratio, stage in zip(self.ratios, self.stages, strict=True)]

    @functools.cached_property
    def columns(self) -> dict[str, int]:
        """The groups whose ratio changes, by the name of their column, `lr_` and the pattern."""
        found: dict[str, int] = {}
        known: set[tuple[Stage, float]] = set()
        for index, (stage, ratio) in enumerate(zip(self.stages, self.ratios, strict=True)):
            if (stage.start or stage.rise) and (stage, ratio) not in known:
                known.add((stage, ratio))
                name = "lr_" + re.sub(r"[^\w.*?-]", "_", stage.name)
                same = sum(other == name or other.startswith(f"{name}#") for other in found)
                found[f"{name}#{same + 1}" if same else name] = index
        return found

    def column_of(self, index: int) -> str | None:
        """Return the column that has a group's learning rate; None if its ratio does not change."""
        mine = self.stages[index], self.ratios[index]
        alike = (name for name, at in self.columns.items() if (self.stages[at], self.ratios[at]) == mine)
        return next(alike, None)

    def unreached(self, total_steps: int) -> list[str]:
        """Describe each pattern whose weights would stay frozen to the end of the run."""
        late = sorted({stage.name for stage in self.stages if stage.start >= total_steps})
        return [f"optimizer.unfreeze: '{name}' would stay frozen, to the end of the run and beyond" for name in late]


def _stage(group: Mapping[str, Any], steps: Callable[[str], int]) -> Stage:
    """Return a group's stage: the earliest of its times to be unfrozen, and the longest of its warm-ups."""
    starts = sorted((steps(text), pattern) for pattern, text in group.get(UNFREEZE, {}).items())
    rises = sorted((steps(text), pattern) for pattern, text in group.get(WARMUP, {}).items())
    start, first = starts[0] if starts else (0, "")
    rise, longest = rises[-1] if rises else (0, "")
    return Stage(first if start else longest, start, rise)
