"""A range test in a training loop that is not lrbench's, whatever framework it uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lrbench.config import RecordedConfig
from lrbench.errors import UsageError
from lrbench.lr_finder.curves import Curve, Rise
from lrbench.lr_finder.folder import FinderFolder
from lrbench.lr_finder.result import Finding, conclude
from lrbench.lr_finder.settings import LoopRamp
from lrbench.runs import nearest
from lrbench.schedules import Schedule, build_schedule
from lrbench.training import not_finite
from lrbench.types import AT_LEAST_1, TEXT, Part


@dataclass
class Pass:
    """One pass: the losses of its steps, at rising learning rates, until it is over."""

    schedule: Schedule
    ramp: LoopRamp
    losses: list[float] = field(default_factory=list)
    reason: str = ""
    last: float | None = None  # the last finite loss

    def __post_init__(self) -> None:
        self.rise = Rise(self.ramp.smoothing, self.ramp.stop_factor)

    @property
    def over(self) -> bool:
        """Whether its loss has risen or is not finite, or the ramp is at its end."""
        return bool(self.reason) or len(self.losses) >= self.ramp.iterations

    def add(self, loss: float) -> None:
        """Add the loss of the next step."""
        lr, step = self.schedule(len(self.losses)), len(self.losses) + 1
        ended = not_finite(step, lr, loss, 0.0, self.last)
        self.losses.append(loss)
        self.reason = str(ended) if ended is not None else self.rise.ends(step, lr, loss)
        self.last = loss

    def curve(self, number: int, momentum: float) -> Curve:
        """Return its curve."""
        rates = [self.schedule(step) for step in range(len(self.losses))]
        return Curve(number, rates, self.losses, momentum, self.reason)


class LoopTest(ABC):
    """A range test that a training loop steps through; one subclass per framework sets and restores its state.

    With several passes, each starts from the same state, but reads the batches and random numbers that come next.

    Args:
        ramp: the settings.
        passes: the number of passes.
        name: the test's name, which its folder gets.
        params: what is known of what is tested; plain values.
        momentum: the optimizer's, Adam's β₁; 0 without.
        runs: the folder that holds the runs.

    Raises UsageError if a setting is invalid.
    """

    def __init__(
        self,
        ramp: LoopRamp,
        passes: int,
        name: str,
        params: Mapping[str, Any],
        momentum: float,
        runs: str | Path,
    ) -> None:
        self.ramp, self.passes, self.momentum = ramp, AT_LEAST_1.of("passes", passes), momentum
        plain = {"name": TEXT.of("name", name), "recorded": "lrbench.RangeTest", "params": dict(params)}
        self.tested = RecordedConfig.of(plain, {}, "RangeTest")
        self.folder = FinderFolder.of(Path(runs).absolute(), self.tested, ramp)
        nearest(self.folder.path.parent.parent)
        part = Part("range_test", {"start_factor": ramp.start / ramp.end, "shape": ramp.shape})
        self._schedule = build_schedule(part, lr=ramp.end, total_steps=ramp.iterations, steps_per_epoch=1)
        self._passes = [Pass(self._schedule, ramp)]
        self._taken = 0  # steps of the pass, also those whose losses are pending
        self._pending: list[Any] = []
        self._restored, self._finding = False, None

    _finding: Finding | None

    # -- what a framework does

    @abstractmethod
    def set_rate(self, lr: float) -> None:
        """Set the learning rate of the next step; parameter groups keep their ratios."""

    @abstractmethod
    def rewind(self) -> None:
        """Put model and optimizer back to where they were before the test; random generators go on."""

    @abstractmethod
    def put_back(self) -> None:
        """Put back everything that the test has changed."""

    def fetched(self, losses: Sequence[Any]) -> list[float]:
        """Return losses as numbers."""
        return [float(loss) for loss in losses]

    def due(self) -> bool:
        """Return whether the pending losses are to be looked at now."""
        return True

    writes = True  # whether this process writes the folder

    # -- the test

    @property
    def over(self) -> bool:
        """Whether all passes are over."""
        return len(self._passes) == self.passes and self._passes[-1].over

    @property
    def lr(self) -> float:
        """The learning rate of the next step, of a parameter group whose ratio is 1."""
        return self._schedule(min(self._taken, self.ramp.iterations - 1))

    def step(self, loss: Any) -> bool:
        """Take the loss of a step and set the learning rate of the next one.

        Args:
            loss: a number, or a tensor with one value, from before the optimizer's step.

        Returns:
            False once the test is over.

        Raises:
            UsageError: the test was finished before.
        """
        if self._restored:
            raise UsageError("this range test is finished and has restored the model; create a new RangeTest")
        if self.over:
            return False
        self._pending.append(loss)
        self._taken += 1
        if self.due() or self._taken >= self.ramp.iterations:
            self._look()
        if self.over:
            return False
        self.set_rate(self.lr)
        return True

    def finish(self) -> Finding:
        """Put model, optimizer and random generators back, save the curves and return what they show.

        Raises:
            UsageError: there were no steps.
            FolderError: the folder can't be written.
        """
        if self._finding is None:
            self._look(go_on=False)
            self.restore()
            curves = [one.curve(number, self.momentum) for number, one in enumerate(self._passes) if one.losses]
            if not curves:
                raise UsageError("the range test has no steps; call step(loss) after each step of the optimizer")
            self._finding = conclude(self.folder, self.tested, self.ramp, curves)
            if self.writes:
                self._save(self._finding)
        return self._finding

    def restore(self) -> None:
        """Put back everything that the test has changed, without a finding; once is enough."""
        if not self._restored:
            self._restored = True
            self.put_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._look(go_on=False)
        self.restore()

    def _look(self, *, go_on: bool = True) -> None:
        """Add the pending losses to the pass, and begin the next one if it is over."""
        losses, self._pending = self.fetched(self._pending), []
        current = self._passes[-1]
        for loss in losses:
            if not current.over:
                current.add(loss)
        if go_on and current.over and len(self._passes) < self.passes:
            self.rewind()
            self._passes.append(Pass(self._schedule, self.ramp))
            self._taken = 0

    def _save(self, finding: Finding) -> None:
        import lrbench

        self.folder.write(finding.plain(), finding.curves, self.ramp.smoothing)
        lrbench.save_finding(finding)
