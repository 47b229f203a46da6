"""lrbench's schedules as torch schedulers, for your own training loop."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrbench.components import KNOWN, peak_and_ratios
from lrbench.errors import ArgumentError, ConfigError
from lrbench.schedules import UNTUNED, PlateauRule, PlateauState, Schedule, build_schedule, momentum_of, untuned
from lrbench.types import WHOLE, Kind, Part, arguments, block_of

__all__ = ["ScheduleLR", "torch_scheduler"]


class ScheduleLR(LRScheduler):
    """A torch scheduler that follows a pure function of the step.

    The learning rate of group i is schedule(step)·rᵢ, where rᵢ is its `lr_factor` (see `parameter_groups`) or else the
    ratio of its learning rate to the peak; for a group added later, to the scheduled learning rate at that time. After
    the last step the learning rates stay constant. The `state_dict` contains the peak, the ratios and the state of the
    plateau rule, but not the function.

    Args:
        optimizer: the optimizer; without `last_epoch`, its own learning rate is the peak.
        build: makes the schedule for a peak learning rate.
        total_steps: optimizer steps of the whole training.
        last_epoch: as in torch.
        rule: the plateau rule, which multiplies the schedule.
        lower: whether less of the rule's metric is better.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        build: Callable[[float], Schedule],
        total_steps: int,
        last_epoch: int = -1,
        rule: PlateauRule | None = None,
        lower: bool = True,
    ) -> None:
        fresh = last_epoch == -1
        self.peak, self.ratios = peak_and_ratios(optimizer, "lr" if fresh else "initial_lr")
        for group in optimizer.param_groups if fresh else ():
            group["initial_lr"] = copy.copy(group["lr"])  # an earlier scheduler's may be there
        self.build, self.total_steps, self.rule, self.lower = build, total_steps, rule, lower
        self.schedule, self.plateau = build(self.peak), PlateauState()
        self.lr, self.warned = self.peak, False
        if momentum_of(self.schedule) is not None and not {"betas", "momentum"} & optimizer.param_groups[0].keys():
            raise ConfigError("this optimizer has no momentum to cycle", key="schedule.cycle_momentum")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the learning rate of each parameter group for the next step."""
        self._adopt_new_groups()
        self._warn_of_changes()
        self._set_momentum(self.last_epoch)
        lr = self.schedule(self.last_epoch)
        self.lr = lr if self.rule is None else self.plateau.apply(self.rule, lr)
        return [self.lr * ratio for ratio in self.ratios]

    def step_plateau(self, value: float) -> None:
        """Give the plateau rule the validation metric, after each evaluation.

        Raises ConfigError if the scheduler was built without `plateau`.
        """
        if self.rule is None:
            raise ConfigError("is missing; build the scheduler with plateau={'factor': 0.5, …}", key="plateau")
        done = min(self.last_epoch, self.total_steps)
        try:
            measured = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise ArgumentError(f"value must be the metric's, a number (got {value!r:.60})") from None
        lr = self.schedule(max(done - 1, 0))
        self.plateau.update(self.rule, measured, lower=self.lower, lr=lr, done=done / self.total_steps)
        self._last_lr = self.get_lr()
        self._write()

    def _write(self) -> None:
        """Give the parameter groups the last learning rates."""
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=False):
            group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate

    def _adopt_new_groups(self) -> None:
        """Scale groups added since the last step with the schedule, as torch's schedulers do."""
        for group in self.optimizer.param_groups[len(self.ratios) :]:
            self.ratios.append(float(group.get("lr_factor", float(group["lr"]) / (self.lr or self.peak))))
            group["initial_lr"] = self.peak * self.ratios[-1]

    def _warn_of_changes(self) -> None:
        """Warn once if something else has changed a learning rate, which this scheduler overwrites."""
        for index, (group, known) in enumerate(zip(self.optimizer.param_groups, self._written(), strict=False)):
            if not self.warned and not math.isclose(group["lr"], known, rel_tol=1e-5):
                self.warned = True
                text = (
                    f"the learning rate of parameter group {index} was changed from {float(known):g} to "
                    f"{float(group['lr']):g} outside this scheduler, which overwrites it at every step; pass "
                    "plateau={…} instead of using a second scheduler, or build a new one for a new peak"
                )
                warnings.warn(text, UserWarning, stacklevel=5)

    def _written(self) -> list[Any]:
        """Return the learning rates last written by this scheduler; empty before the first."""
        return getattr(self, "_last_lr", [])

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
        kept = {k: v for k, v in super().state_dict().items() if k not in ("schedule", "build", "rule", "lower")}
        return {**kept, "ratios": list(self.ratios), "plateau": asdict(self.plateau)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state: the peak for which the schedule is built, and the learning rates of the next step.

        The optimizer's own state may be loaded before or after; building this scheduler has reset its learning rates.
        """
        state = dict(state_dict)
        self.plateau = PlateauState(**state.pop("plateau", {}))
        if "peak" not in state:  # saved by lrbench 0.1
            known = zip(state["base_lrs"], state["ratios"], strict=False)
            state["peak"] = next(float(lr) / ratio for lr, ratio in known if ratio)
        super().load_state_dict(state)
        self.ratios, self.schedule = list(self.ratios), self.build(self.peak)
        self._write()
        self._set_momentum(self.last_epoch)


_LAST_EPOCH = Kind("a whole number, at least -1", lambda value: WHOLE.fits(value) and value >= -1)


@arguments(optimizer=Kind("a torch optimizer", lambda value: isinstance(value, Optimizer)), last_epoch=_LAST_EPOCH)
def torch_scheduler(
    optimizer: Optimizer,
    part: Part | Mapping[str, Any] | str,
    *,
    total_steps: int,
    steps_per_epoch: int,
    warmup: Mapping[str, Any] | str | float | None = None,
    plateau: Mapping[str, Any] | None = None,
    last_epoch: int = -1,
    as_of: int | None = None,
) -> ScheduleLR:
    """Build a config's `schedule:` block as a torch scheduler; call its `step()` after every optimizer step.

    The learning rates equal those of an lrbench run of `total_steps` steps. The peak is the optimizer's `lr`, also
    if an earlier scheduler used the optimizer.

    Args:
        optimizer: its parameter groups keep the ratios of their learning rates.
        part: `"cosine"` or `{"name": "one_cycle", "warmup_fraction": 0.2}`.
        total_steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps per epoch.
        warmup: a config's `warmup:` block, `{"for": "5%"}`; `{"for": "untuned"}` takes β₂ from the optimizer.
        plateau: a config's `plateau:` block, `{"factor": 0.5, "patience": 3}`; call `step_plateau(metric)` after each
            evaluation. A `metric` other than `val_loss` and `val_accuracy` needs a `mode`, `"min"` or `"max"`. Another
            scheduler's changes would be overwritten.
        last_epoch: as in torch: steps already done minus one, when resuming without a `state_dict`.
        as_of: as for `build_schedule`.

    Raises:
        ConfigError: unknown name or invalid parameters.
    """
    group = optimizer.param_groups[0]
    block = warmup if isinstance(warmup, Mapping) else {"for": warmup}
    if block.get("for") == UNTUNED and "betas" in group:
        warmup = {**block, "for": untuned(group["betas"][1])}
    if last_epoch >= 0 and any("initial_lr" not in group for group in optimizer.param_groups):
        problem = "needs `initial_lr` in every parameter group, which torch's schedulers put there"
        raise ConfigError(f"{problem} (got {last_epoch})", key="last_epoch")
    rule, lower = (None, True) if plateau is None else _plateau_rule(plateau)

    def build(peak: float) -> Schedule:
        sizes = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
        return build_schedule(part, lr=peak, warmup=warmup, as_of=as_of, **sizes)

    return ScheduleLR(optimizer, build, total_steps, last_epoch, rule, lower)


def _plateau_rule(block: Mapping[str, Any]) -> tuple[PlateauRule, bool]:
    """Return the rule, and whether less of its metric is better."""
    mode = block.get("mode") if isinstance(block, Mapping) else None
    given = {key: value for key, value in block.items() if key != "mode"} if mode is not None else block
    rule: PlateauRule = block_of(PlateauRule, given, "plateau")
    metric = KNOWN.get(rule.metric.removeprefix("val_"))
    if mode not in ("min", "max") and (mode is not None or metric is None):
        problem = f"must be 'min' or 'max', for whether less or more {rule.metric} is better (got {mode!r:.60})"
        raise ConfigError(problem, key="plateau.mode")
    return rule, metric.lower if mode is None and metric is not None else mode == "min"
