"""The parts that a run trains with, and how they are switched, cast and given a learning rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrbench.components import EVALUATION_BATCH, Batch, Data, Stages, Task
from lrbench.errors import RunError
from lrbench.schedules import Momentum, Schedule
from lrbench.training.earlier_run import Start


@dataclass
class Parts:
    """Everything that the loop needs.

    `forward` is the model, compiled if the config says so; `classes` those of the data or, counted, of its positions.
    """

    data: Data
    task: Task
    model: nn.Module
    forward: Callable[..., Any]
    optimizer: Optimizer
    ratios: list[float]
    stages: Stages | None
    start: Start
    schedule: Schedule
    momentum: Momentum | None
    device: torch.device
    layout: torch.memory_format | None
    precision: str
    scaler: torch.amp.GradScaler | None
    peak_lr: float
    total_steps: int
    steps_per_epoch: int
    classes: int | None
    evaluation_batch: int = EVALUATION_BATCH

    def batch(self, raw: Batch) -> Batch:
        """Prepare a raw batch for the task."""
        ready = self.data.ready(raw, self.device)
        if self.layout is not None and ready[0].dim() == 4:
            return ready[0].contiguous(memory_format=self.layout), ready[1]
        return ready

    def autocast(self) -> torch.autocast:
        """Return the context for forward pass and loss: bfloat16 with `precision: bf16`, float16 with `fp16`."""
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.precision in ("bf16", "fp16"))

    def training(self) -> None:
        """Switch model and optimizer to training."""
        self.model.train()
        if callable(switch := getattr(self.optimizer, "train", None)):
            switch()

    def evaluating(self) -> None:
        """Switch model and optimizer to evaluation; a schedule-free optimizer loads its averaged weights."""
        self.model.eval()
        if callable(switch := getattr(self.optimizer, "eval", None)):
            switch()

    def set_rate(self, lr: float, momentum: float | None) -> None:
        """Set every group's learning rate, times the group's ratio, and its momentum (Adam: beta1) if given.

        Raises RunError if the optimizer has other groups than in the beginning.
        """
        if len(self.optimizer.param_groups) != len(self.ratios):
            change = f"from {len(self.ratios)} to {len(self.optimizer.param_groups)}"
            problem = f"the number of parameter groups changed {change} during training, which a schedule can't follow"
            raise RunError(f"{problem}; create all groups at the start and use freeze and unfreeze")
        for group, ratio in zip(self.optimizer.param_groups, self.ratios, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr * ratio)
            else:
                group["lr"] = lr * ratio
            if momentum is not None and "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            elif momentum is not None:
                group["momentum"] = momentum

    def current_momentum(self) -> float | None:
        """Return the first group's momentum or beta1; None for optimizers without either."""
        group = self.optimizer.param_groups[0]
        value = group["betas"][0] if "betas" in group else group.get("momentum")
        return None if value is None else float(value)
