"""The settings of a range test: how the learning rate rises and what ends the test."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from lrbench.components import GroupRules, at_rate
from lrbench.config import Experiment, RecordedConfig, RunConfig, canonical
from lrbench.errors import UsageError
from lrbench.types import NUMBER, SWITCH, WHOLE

MAX_ITERATIONS = 1_000_000


@dataclass(frozen=True)
class Ramp:
    """The learning rate rises from `start` to `end` over `iterations` steps.

    Args:
        start: the first learning rate.
        end: the last learning rate.
        iterations: the number of steps.
        shape: `exponential` (equally many steps per decade) or `linear`.
        smoothing: β of the exponential moving average of the losses; 0 for no smoothing.
        stop_factor: end the test once the smoothed loss exceeds its best value by this factor.
        validation: measure the loss on validation data after each step instead of on the step's batch.

    Raises:
        UsageError: an invalid value; the message names the option.
    """

    start: float = 1e-7
    end: float = 10.0
    iterations: int = 300
    shape: Literal["exponential", "linear"] = "exponential"
    smoothing: float = 0.98
    stop_factor: float = 4.0
    validation: bool = False

    repeat: ClassVar[str] = "seed"
    repeats: ClassVar[str] = "seeds"
    """What the curves of one test differ in."""

    def __post_init__(self) -> None:
        for name in ("start", "end", "smoothing", "stop_factor"):
            NUMBER.of(name, getattr(self, name))
        WHOLE.of("iterations", self.iterations)
        SWITCH.of("validation", self.validation)
        start, end = self.option("start"), self.option("end")
        for option, rate in ((start, self.start), (end, self.end)):
            if not 1e-30 <= rate <= 1e30:
                raise UsageError(f"{option} must be a learning rate from 1e-30 to 1e30 (got {rate:g})")
        if self.start >= self.end:
            raise UsageError(f"{start} must be less than {end} (got {self.start:g} and {self.end:g})")
        if not 2 <= self.iterations <= MAX_ITERATIONS:
            raise UsageError(f"{self.option('iterations')} must be 2 to {MAX_ITERATIONS:,} (got {self.iterations})")
        if self.shape not in ("exponential", "linear"):
            raise UsageError(f"{self.option('shape')} must be exponential or linear (got {self.shape!r})")
        if not 0 <= self.smoothing < 1:
            problem = "must be at least 0 and less than 1"
            raise UsageError(f"{self.option('smoothing')} {problem} (got {self.smoothing:g})")
        if not (math.isfinite(self.stop_factor) and self.stop_factor > 1):
            raise UsageError(f"{self.option('stop_factor')} must be greater than 1 (got {self.stop_factor:g})")

    def option(self, name: str, value: float | str | None = None) -> str:
        """Return an option as the user writes it, with a value if one is given."""
        option = f"--{name.replace('_', '-')}"
        return option if value is None else f"{option} {value:g}" if isinstance(value, float) else f"{option} {value}"

    def range_of(self, low: float, high: float) -> str:
        """Return the options for a range of learning rates."""
        return f"{self.option('start', low)} {self.option('end', high)}"

    def over(self, experiment: Experiment, seed: int) -> Experiment:
        """Return the experiment that runs this ramp with a seed."""
        changes: dict[str, Any] = {
            "optimizer": GroupRules.at_start(at_rate(experiment.optimizer, self.end)).plain(),
            "schedule": {"name": "range_test", "start_factor": self.start / self.end, "shape": self.shape},
            "steps": self.iterations,
            "seed": seed,
        }
        if experiment.continues is not None:  # from its weights; its optimizer had another learning rate
            earlier = experiment.continues
            changes["init_from"] = {"run": earlier.run, "weights": "final", "identity": earlier.identity}
        return experiment.replace(**{**changes, **dict.fromkeys(_LEFT_OUT)})

    def identity(self, config: RunConfig) -> str:
        """Return 64 hex digits that identify this test, whatever the experiment's name, schedule, length and seed."""
        tested = canonical(self.over(config, seed=0) if isinstance(config, Experiment) else config)
        text = json.dumps([tested, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class LoopRamp(Ramp):
    """The settings of a test in a loop of the user's own, whose options are arguments of `lrbench.RangeTest`."""

    repeat: ClassVar[str] = "pass"
    repeats: ClassVar[str] = "passes"

    def option(self, name: str, value: float | str | None = None) -> str:
        """See `Ramp`."""
        option = {"iterations": "steps", "seeds": "passes"}.get(name, name)
        return option if value is None else f"{option}={value:g}" if isinstance(value, float) else f"{option}={value!r}"

    def range_of(self, low: float, high: float) -> str:
        """See `Ramp`."""
        return f"{self.option('start', low)}, {self.option('end', high)}"


def ramp_of(config: RunConfig) -> type[Ramp]:
    """Return the kind of settings that a tested config has."""
    return LoopRamp if isinstance(config, RecordedConfig) else Ramp


# Keys for full trainings that a range test ignores.
_LEFT_OUT = (
    "epochs", "warmup", "plateau", "early_stopping", "lr_scaling", "eval_every", "best_by", "on_non_finite",
    "max_skipped", "reference", "continue", "keep", "track", "branches",
)  # fmt: skip
