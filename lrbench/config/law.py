"""A measured law of the best learning rate, as `lrbench transfer --write` leaves it and `lr_scaling` reads it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from lrbench.config.files import exists, parse_json, read_bytes
from lrbench.config.params import flat
from lrbench.config.sizes import Size
from lrbench.errors import ConfigError
from lrbench.types import Finite, Positive, adapter, problem_of

MOST_BYTES = 1_000_000
FAR = 1.0
"""Decades beyond the sizes tried over which a law is doubtful."""

PARTS = ("dataset", "model", "optimizer", "schedule", "warmup", "plateau", "task", "loss", "precision", "params")
"""The blocks of a config in which a law's runs are compared with the run that uses it."""

Tried = Annotated[list[Positive], Field(min_length=2, max_length=2)]


@dataclass(frozen=True)
class Law:
    """lr* = lr · ∏ (xⱼ/atⱼ)^kⱼ.

    Attributes:
        format: the format's number.
        lr: the best learning rate at the sizes `at`.
        at: a value of each size.
        exponents: kⱼ, by size.
        tried: the lowest and the highest value of each size that the law was fitted to.
        metric: what the learning rate is the best for.
        fixed: what all runs of the fit had in common in PARTS, by dotted key of the config.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    format: Literal[1]
    lr: Positive
    at: dict[str, Positive]
    exponents: Annotated[dict[str, Finite], Field(min_length=1)]
    tried: dict[str, Tried]
    metric: str = "val_loss"
    fixed: dict[str, Any] = field(default_factory=dict)

    @model_validator(mode="after")
    def _same_sizes(self) -> Law:
        if not self.at.keys() == self.exponents.keys() == self.tried.keys():
            raise ValueError("must give `at`, `exponents` and `tried` for the same sizes")
        return self

    def rate(self, sizes: Mapping[str, float]) -> float:
        """Return the best learning rate at some sizes, to six digits. Raises ConfigError if one is missing."""
        for name in self.exponents:
            if name not in sizes:
                raise ConfigError(f"the law depends on {name}, which this config does not have", key="lr_scaling")
        log = sum(k * math.log(sizes[name] / self.at[name]) for name, k in self.exponents.items())
        lr = math.exp(math.log(self.lr) + log) if abs(log) < 600 else math.inf
        if not 0 < lr < math.inf:
            raise ConfigError("the law gives no usable learning rate at these sizes", key="lr_scaling")
        return float(f"{lr:.5e}")  # the same one on any machine

    def beyond(self, sizes: Mapping[str, float]) -> dict[str, float]:
        """Return by how many decades each size is outside of those tried, if it is."""
        found: dict[str, float] = {}
        for name, (low, high) in self.tried.items():
            out = max(math.log10(sizes[name] / high), math.log10(low / sizes[name]))
            found |= {name: out} if out > 1e-9 else {}
        return found

    def differences(self, plain: Mapping[str, Any], sizes: Mapping[str, Size]) -> dict[str, tuple[Any, Any]]:
        """Return in what a run differs from those of the law, apart from the law's sizes: its value and theirs."""
        left_out = {key for name in self.exponents for key in sizes[name].keys} if self.fixed else set()
        mine = common(plain, left_out)
        keys = dict.fromkeys((*self.fixed, *mine)) if self.fixed else {}
        return {key: (mine.get(key), self.fixed.get(key)) for key in keys if mine.get(key) != self.fixed.get(key)}

    def in_words(self, plain: Mapping[str, Any], sizes: Mapping[str, Size]) -> str:
        """Describe the learning rate that a run gets, and what makes it doubtful."""
        amounts = {name: sizes[name].value for name in self.exponents}
        told = ", ".join(f"{name} {amount:g}" for name, amount in amounts.items())
        doubts = [
            f"{name} lies {out:.1f} decades outside the sizes tried"
            for name, out in self.beyond(amounts).items() if out > FAR
        ]  # fmt: skip
        for key, (mine, theirs) in self.differences(plain, sizes).items():
            doubts.append(f"{key} is {_short(mine)}, in the law's runs {_short(theirs)}")
        more = f"; but {'; '.join(doubts[:4])}{' …' if len(doubts) > 4 else ''}" if doubts else ""
        return f"the measured law gives the learning rate {self.rate(amounts):.4g} for {told}{more}"


def _short(value: Any) -> str:
    return "not set" if value is None else f"{value!s:.40}"


def common(plain: Mapping[str, Any], left_out: Collection[str]) -> dict[str, Any]:
    """Return what a law says of its runs, by dotted key: a config's PARTS without its learning rate and sizes."""
    chosen = {key: value for key, value in flat(plain).items() if key.partition(".")[0] in PARTS}
    dropped = {*left_out, "optimizer.lr"}
    return {key: value for key, value in chosen.items() if key not in dropped}


def read_law(file: str | Path) -> dict[str, Any]:
    """Return the plain values of a law in a file. Raises ConfigError if it is none."""
    path, hint = Path(file), "`lrbench transfer RUNS --write FILE` writes one"
    if not exists(path):
        raise ConfigError(f"no such file: {path!s:.300}; {hint}", key="lr_scaling.from")
    try:
        found = parse_json(read_bytes(path, MOST_BYTES))
        assert isinstance(found, dict)
        adapter(Law).validate_python(found)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", key="lr_scaling.from") from None
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        problem = f"{path} is not a law: {where + ': ' if where else ''}{problem_of(error)}"
        raise ConfigError(f"{problem}; {hint}", key="lr_scaling.from") from None
    except (ValueError, AssertionError):
        raise ConfigError(f"{path} is not a law in JSON; {hint}", key="lr_scaling.from") from None
    return found
