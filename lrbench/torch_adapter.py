"""lrbench's schedules as torch schedulers, for your own training loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrbench.components import peak_and_ratios
from lrbench.errors import ConfigError
from lrbench.schedules import UNTUNED, Schedule, build_schedule, momentum_of, untuned
from lrbench.types import Part

__all__ = ["ScheduleLR", "torch_scheduler"]


class ScheduleLR(LRScheduler):
    """A torch scheduler that follows a pure function of the step.

    The learning rate of group i is schedule(step)·rᵢ, where rᵢ is its `lr_factor` (see `parameter_groups`) or else the
    ratio of its initial learning rate to that of the first group. After the last step the learning rates stay constant.
    The `state_dict` contains only numbers, not the function.
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule, total_steps: int, last_epoch: int = -1) -> None:
        self.schedule, self.total_steps = schedule, total_steps
        _, self.ratios = peak_and_ratios(optimizer)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the learning rate of each parameter group for the next step."""
        step = min(self.last_epoch, self.total_steps - 1)
        self._set_momentum(step)
        lr = self.schedule(step)
        return [lr * ratio for ratio in self.ratios]

    def _set_momentum(self, step: int) -> None:
        momentum = momentum_of(self.schedule)
        value = momentum(step) if momentum else None
        for group in self.optimizer.param_groups if value is not None else ():
            if "betas" in group:
                group["betas"] = (value, *group["betas"][1:])
            else:
                group["momentum"] = value

    def state_dict(self) -> dict[str, Any]:
        """Return the scheduler's state without the schedule function."""
        return {k: v for k, v in super().state_dict().items() if k != "schedule"}


def torch_scheduler(
    optimizer: Optimizer,
    part: Part | Mapping[str, Any] | str,
    *,
    total_steps: int,
    steps_per_epoch: int,
    warmup: Mapping[str, Any] | str | None = None,
    last_epoch: int = -1,
) -> ScheduleLR:
    """Build a config's `schedule:` block as a torch scheduler; call its `step()` after every optimizer step.

    The learning rates equal those of an lrbench run of `total_steps` steps. The peak is the optimizer's `lr`.

    Args:
        optimizer: its parameter groups keep the ratios of their learning rates.
        part: `"cosine"` or `{"name": "one_cycle", "warmup_fraction": 0.2}`.
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps per epoch.
        warmup: a config's `warmup:` block, `{"for": "5%"}`; `{"for": "untuned"}` takes β₂ from the optimizer.
        last_epoch: as in torch: steps already done minus one, when resuming without a `state_dict`.

    Raises:
        ConfigError: unknown name or invalid parameters.
    """
    group = optimizer.param_groups[0]
    lr, _ = peak_and_ratios(optimizer)
    if isinstance(warmup, str):
        warmup = {"for": warmup}
    if warmup is not None and warmup.get("for") == UNTUNED and "betas" in group:
        warmup = {**warmup, "for": untuned(group["betas"][1])}
    schedule = build_schedule(part, lr=lr, total_steps=total_steps, steps_per_epoch=steps_per_epoch, warmup=warmup)
    if momentum_of(schedule) is not None and not ("betas" in group or "momentum" in group):
        raise ConfigError("this optimizer has no momentum to cycle", key="schedule.cycle_momentum")
    return ScheduleLR(optimizer, schedule, total_steps, last_epoch)
