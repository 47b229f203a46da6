"""`lrbench.RangeTest`: a range test in a PyTorch training loop of one's own."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from lrbench.components import OPTIMIZERS, peak_and_ratios
from lrbench.errors import ArgumentError, UsageError
from lrbench.lr_finder.kept_state import KeptState
from lrbench.lr_finder.loop_test import LoopTest
from lrbench.lr_finder.settings import LoopRamp
from lrbench.training import keep_generators
from lrbench.types import Kind, arguments

LOOK_SECONDS = 0.5  # interval between device syncs that fetch the losses
LOOK_STEPS = 10  # the same with several processes, which must look at the same steps

OPTIMIZER = Kind("a torch optimizer", lambda value: isinstance(value, Optimizer))


class RangeTest(LoopTest):
    """A learning rate range test in your own training loop: a scheduler that takes the loss of each step.

        test = lrbench.RangeTest(optimizer, model=model)
        for batch in batches:                      # start over with the first batch after the last one
            loss = loss_of(model, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if not test.step(loss):                # sets the next learning rate; False once the test is over
                break
        finding = test.finish()                    # restores model, optimizer and random generators
        print(finding)
        finding.plot()

    The test sets the learning rate as soon as it is created. Create it right before the loop, and step no other
    scheduler until it is over. A pass ends when the smoothed loss has risen, when a loss is not finite, or after the
    last step. `with lrbench.RangeTest(…) as test:` restores everything after an error, too.

    With several passes, the loop goes on: `step` puts weights and optimizer back and begins the next pass, which reads
    the batches that come next. The passes show how certain the finding is, like the seeds of `lrbench find-lr`.

    With gradient accumulation, call `step` once per step of the optimizer, with the mean loss of its batches. With
    several processes (`torch.distributed`), each calls `step`; losses are averaged, and the first writes the folder.

    Args:
        optimizer: the optimizer; its parameter groups keep the ratios of their learning rates.
        start: the first learning rate.
        end: the last learning rate.
        steps: the number of steps from the first to the last.
        model: the model, or several. Without it, only what the optimizer trains is put back, but not buffers such as
            running statistics of batch norm, nor weights that other optimizers train.
        scaler: the gradient scaler, if there is one. Steps that it skips are left out.
        also: what else to put back: objects with `state_dict` and `load_state_dict`, or `get_state` and `set_state`,
            such as an average of the weights, or the `torch.Generator` of a data loader.
        passes: the number of passes.
        shape: `exponential` (equally many steps per decade) or `linear`.
        smoothing: β of the exponential moving average of the losses; 0 for no smoothing.
        stop_factor: end a pass once the smoothed loss exceeds its best value by this factor.
        name: the name of the test, which its folder gets; by default the model's class. The same test again replaces
            the folder; another name keeps both.
        runs: the folder that holds the runs. The test's is `find-lr/<name>-<8 hex>` in it.

    Raises:
        UsageError: a setting is invalid, or the optimizer can't be tested.
    """

    @arguments(optimizer=OPTIMIZER)
    def __init__(
        self,
        optimizer: Optimizer,
        start: float = 1e-7,
        end: float = 10.0,
        steps: int = 300,
        *,
        model: nn.Module | Sequence[nn.Module] | None = None,
        scaler: Any = None,
        also: Iterable[Any] = (),
        passes: int = 1,
        shape: Any = "exponential",
        smoothing: float = 0.98,
        stop_factor: float = 4.0,
        name: str | None = None,
        runs: str | Path = "runs",
    ) -> None:
        models = _modules(model)
        ramp = LoopRamp(start, end, steps, shape, smoothing, stop_factor)
        name = name or (type(models[0]).__name__ if models else "range-test")
        _, self._ratios = _checked(optimizer)
        super().__init__(ramp, passes, name, _known(optimizer), _momentum(optimizer), runs)
        self.optimizer, self.scaler = optimizer, scaler
        self._scale = _scale(scaler)
        self._device = optimizer.param_groups[0]["params"][0].device
        self._together = (
            distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        )
        self.writes = not self._together or distributed.get_rank() == 0
        self._looked = time.monotonic()
        self._state = KeptState(models, [optimizer], [*also, *([] if scaler is None else [scaler])])
        self._generators = keep_generators()
        self.set_rate(ramp.start)

    def step(self, loss: Any) -> bool:
        """Take the loss of a step and set the learning rate of the next one; call it after `optimizer.step()`.

        Args:
            loss: the loss from before the step: a number, or a tensor with one value. One on a GPU is read with those
                of the next half second, so that steps do not wait for it.

        Returns:
            False once the test is over.

        Raises:
            ArgumentError: `loss` is not a number.
            UsageError: something else has changed the learning rate, or the test was finished before.
        """
        loss = _single(loss)
        if not self._restored and not self.over:
            self._check_rates()
            if self._skipped(loss):
                return True
            loss = self._averaged(loss)
        return super().step(loss)

    def set_rate(self, lr: float) -> None:
        """See `LoopTest`."""
        for group, ratio in zip(self.optimizer.param_groups, self._ratios, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr * ratio)
            else:
                group["lr"] = lr * ratio
        self._rates = [float(group["lr"]) for group in self.optimizer.param_groups]

    def rewind(self) -> None:
        """See `LoopTest`."""
        self._state.put_back()
        self._scale = _scale(self.scaler)

    def put_back(self) -> None:
        """See `LoopTest`."""
        self._state.put_back()
        self._generators()

    def fetched(self, losses: Sequence[Any]) -> list[float]:
        """See `LoopTest`. One device sync for all."""
        self._looked = time.monotonic()
        if losses and isinstance(losses[0], Tensor):
            values: list[float] = torch.stack([loss.float() for loss in losses]).tolist()
            return values
        return super().fetched(losses)

    def due(self) -> bool:
        """See `LoopTest`."""
        if self._together:
            return len(self._pending) >= LOOK_STEPS
        waits = isinstance(self._pending[-1], Tensor) and self._pending[-1].device.type != "cpu"
        return not waits or time.monotonic() - self._looked > LOOK_SECONDS

    def _averaged(self, loss: Any) -> Any:
        """Return the mean of the loss over all processes."""
        if not self._together:
            return loss.clone() if isinstance(loss, Tensor) else loss
        mean = torch.as_tensor(loss, dtype=torch.float32, device=self._device).clone()
        distributed.all_reduce(mean)
        return mean / distributed.get_world_size()

    def _skipped(self, loss: Any) -> bool:
        """Return whether the gradient scaler has skipped the step, which lowers its scale."""
        before, self._scale = self._scale, _scale(self.scaler)
        return self._scale < before and self._scale >= 1 and math.isfinite(float(loss))

    def _check_rates(self) -> None:
        """Raise UsageError, once everything is put back, if something else has changed a learning rate."""
        found = [float(group["lr"]) for group in self.optimizer.param_groups]
        for index, (now, own) in enumerate(zip(found, self._rates, strict=True)):
            if not math.isclose(now, own, rel_tol=1e-5):
                self.restore()
                changed = f"the learning rate of parameter group {index} was changed from {own:g} to {now:g}"
                raise UsageError(
                    f"{changed} during the range test, which sets it; do not step a scheduler until the test ends"
                )


def _modules(model: Any) -> list[nn.Module]:
    models = list(model) if isinstance(model, list | tuple) else [model]
    for one in models:
        if not isinstance(one, nn.Module | None):
            raise ArgumentError(f"model must be a torch module or a list of them (got a {type(one).__name__})")
    return [one for one in models if one is not None]


def _checked(optimizer: Optimizer) -> tuple[float, list[float]]:
    """Return the optimizer's peak and ratios. Raises UsageError if it can't be tested."""
    name = _class_of(optimizer).__name__
    if name.lower() in OPTIMIZERS.refused:
        raise UsageError(f"{name} can't be tested: {OPTIMIZERS.refused[name.lower()]}")
    if any(group.get("lr") is None for group in optimizer.param_groups):
        raise UsageError(f"{name} can't be tested: it has no learning rate, `lr`, in its parameter groups")
    at_zero = not any(float(group["lr"]) for group in optimizer.param_groups)  # in the warm-up of a scheduler
    return peak_and_ratios(optimizer, "initial_lr" if at_zero else "lr")


def _class_of(optimizer: Any) -> type:
    """Return the class of an optimizer, without the wrappers of other packages."""
    inner = optimizer
    while isinstance(getattr(inner, "optimizer", None), Optimizer):
        inner = inner.optimizer
    return type(inner)


def _known(optimizer: Optimizer) -> dict[str, Any]:
    """Return what is known of what is tested: the optimizer's name and settings, and the number of parameters."""
    kind = _class_of(optimizer).__name__
    names = {getattr(entry, "class_name", ""): name for name, entry in OPTIMIZERS.entries.items()}
    group = optimizer.param_groups[0]
    settings = {k: _written(v) for k, v in group.items() if k not in ("lr", "initial_lr", "params", "param_names")}
    block = {"name": names.get(kind, kind), **{k: v for k, v in settings.items() if v is not None}}
    count = sum(p.numel() for each in optimizer.param_groups for p in each["params"])
    return {"optimizer": block, "parameters": count}


def _written(value: Any) -> Any:
    """Return a setting as a plain value; None if it is none."""
    if isinstance(value, tuple | list):
        return [_written(one) for one in value]
    number = isinstance(value, bool | int | float) and math.isfinite(value)
    return value if number or isinstance(value, str) else None


def _momentum(optimizer: Optimizer) -> float:
    group = optimizer.param_groups[0]
    return float(group["betas"][0] if "betas" in group else group.get("momentum") or 0.0)


def _scale(scaler: Any) -> float:
    return 0.0 if scaler is None or not scaler.is_enabled() else float(scaler.get_scale())


def _single(loss: Any) -> Any:
    """Return a loss without its graph. Raises ArgumentError unless it is one number."""
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return loss.detach().reshape(())
    try:
        return float(loss)
    except (TypeError, ValueError, RuntimeError):
        raise ArgumentError(f"loss must be a number or a tensor with one value (got {loss!r:.60})") from None
