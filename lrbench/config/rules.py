"""Blocks and keys that are in no catalogue, such as `lr_scaling:`, `early_stopping:` and `init_from:`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from lrbench.components import KNOWN
from lrbench.config.law import Law
from lrbench.errors import ConfigError, nearest
from lrbench.types import Count, MetricName, Natural, NonNegative, adapter

Rule = Literal["linear", "sqrt", "none", "measured"]
_ROOT = ("ada", "lamb")  # names that timm scales by the square root: Adam's family and LAMB


@dataclass(frozen=True)
class ScalingRule:
    """Multiply the learning rate by r or √r, where r = batch/base (Goyal et al. 2017; Krizhevsky 2014).

    The batch is that of one step, `batch_size` times `accumulate`. Absolute learning rates of a schedule (`final_lr`,
    `min_lr`) are not scaled.

    `measured` takes the learning rate itself from a law that `lrbench transfer --write` wrote.

    Args:
        rule: `linear`, `sqrt`, `none` or `measured`; by default as in timm, `sqrt` for Adam's family, else `linear`.
        base_batch_size: the batch size that the config's learning rate is meant for.
        law: the law, as read from the file that `from` names.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    rule: Rule | None = None
    base_batch_size: Count = 256
    law: Law | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as a config would write it."""
        whole: dict[str, Any] = adapter(ScalingRule).dump_python(self, mode="json")
        return {k: v for k, v in whole.items() if v is not None and (k != "base_batch_size" or self.law is None)}

    @property
    def words(self) -> str:
        """`linear, base batch size 256`."""
        if self.law is None:
            return f"{self.rule}, base batch size {self.base_batch_size}"
        tried = (f"{name} {low:g} … {high:g}" for name, (low, high) in self.law.tried.items())
        return f"measured for {', '.join(tried)}"

    def factor(self, optimizer: str, batch: int) -> float:
        """Return the factor of the learning rate for a batch of `batch` examples."""
        ratio = batch / self.base_batch_size
        rule = self.rule or usual_rule(optimizer)
        return {"linear": ratio, "sqrt": math.sqrt(ratio)}.get(rule, 1.0)


def usual_rule(optimizer: str) -> Rule:
    """Return the default rule for an optimizer."""
    if optimizer == "prodigy":  # it estimates its own learning rate
        return "none"
    return "sqrt" if any(word in optimizer.lower() for word in _ROOT) else "linear"


def batches_per_epoch(examples: int, batch_size: int, drop_last: bool | None) -> int:
    """Return the batches of an epoch. Raises ConfigError if `drop_last`, which drops a smaller one, leaves none."""
    if drop_last and examples < batch_size:
        problem = f"leaves no batch: there are {examples} training examples, batch_size is {batch_size}"
        raise ConfigError(problem, key="drop_last")
    return examples // batch_size if drop_last else -(-examples // batch_size)


@dataclass(frozen=True)
class EarlyStoppingRule:
    """Stop after `patience` epochs in a row without an improvement of more than `min_delta`.

    Args:
        metric: `val_loss` or another metric on the validation data, such as `val_accuracy`.
        patience: epochs without improvement that end the run.
        min_delta: smallest improvement that counts, in the metric's units.
        start: epochs to ignore at the start.
    """

    metric: MetricName = "val_loss"
    patience: Count = 5
    min_delta: NonNegative = 0.0
    start: Natural = 0


@dataclass(frozen=True)
class InitRule:
    """Start from another run's weights.

    Args:
        run: the run's folder, relative to the current one.
        weights: those of the best evaluation, or the final ones.
        strict: every tensor must fit; otherwise those that do are taken.
        identity: the run's identity; read from the folder.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    run: Annotated[str, Field(min_length=1)]
    weights: Literal["best", "final"] = "best"
    strict: StrictBool = True
    identity: str | None = None

    @property
    def canonical(self) -> dict[str, Any]:
        """What changes the result: the run's identity, wherever its folder is, and what is taken."""
        return {"run": (self.identity or "")[:16], "weights": self.weights, "strict": self.strict}


@dataclass(frozen=True)
class ContinueRule:
    """Continue another run from its complete final state.

    Args:
        run: the run's folder, relative to the current one.
        schedule: `extend` takes the configured schedule over the steps of both runs and goes on where the first one
            ended; `restart` starts it again over this run (a warm restart).
        identity: the run's identity; read from the folder.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    run: Annotated[str, Field(min_length=1)]
    schedule: Literal["extend", "restart"] = "extend"
    identity: str | None = None

    @property
    def canonical(self) -> dict[str, Any]:
        """What changes the result: the run's identity, wherever its folder is, and what the schedule does."""
        return {"run": (self.identity or "")[:16], "schedule": self.schedule}


class Reference(BaseModel, frozen=True, extra="allow"):
    """A published result, shown next to the measured one: `test_loss`, or `test_` and the name of a metric.

    Attributes:
        source: where it was published.
    """

    __pydantic_extra__: dict[str, Annotated[float, Field(strict=True, allow_inf_nan=False)]]

    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        for key in value if isinstance(value, Mapping) else ():
            if key != "source" and not re.fullmatch(r"test_\w+", str(key)):
                near = nearest(key, ["source", *(f"test_{name}" for name in KNOWN)])
                what = "a reference has `source`, `test_loss`, or `test_` and a metric's name"
                raise ConfigError(f"unknown key '{key}'; {near}{what}", key=f"reference.{key}")
        return value

    @model_validator(mode="after")
    def _percentages(self) -> Reference:
        for key, value in (self.__pydantic_extra__ or {}).items():
            metric = KNOWN.get(key.removeprefix("test_"))
            if metric is not None and metric.form == "percent" and not 0 <= value <= 1:
                raise ConfigError(f"must be between 0 and 1 (got {value:g})", key=f"reference.{key}")
        return self

    def plain(self) -> dict[str, Any]:
        """Return it as a config would write it."""
        return self.model_dump(mode="json")
