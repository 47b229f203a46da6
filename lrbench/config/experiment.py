"""`Experiment`, the resolved config, its blocks, and messages for invalid values. Does not import torch.

The model below checks structure, types and ranges; a catalogue checks a part's own parameters and fills in lrbench's
defaults. Every message names file, line, key and value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import inf
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    StrictBool,
    ValidationError,
    model_validator,
)

from lrbench.components import (
    DATASETS,
    DEFAULT_LR,
    KNOWN,
    LOSSES,
    MODELS,
    OPTIMIZERS,
    DatasetRules,
    GroupRules,
    Normalize,
    Validation,
    configured_rate,
)
from lrbench.config import yaml_source
from lrbench.config.merge import merge
from lrbench.config.normalize import written_out
from lrbench.config.places import path_of, place_of
from lrbench.config.rules import EarlyStoppingRule, ScalingRule, batches_per_epoch
from lrbench.errors import ConfigError, choices, nearest
from lrbench.registry import Catalog, first_of, problem_of
from lrbench.schedules import SCHEDULES, Growth, PlateauRule, WarmUpRule
from lrbench.types import Count, MetricName, Natural, Part, Positive, Steps, adapter


def _plain(part: Part) -> dict[str, Any]:
    return part.plain()


def _completed_by(catalog: Catalog) -> PlainValidator:
    return PlainValidator(lambda value: catalog.complete(Part.of(value), catalog.kind))


ModelPart = Annotated[Part, _completed_by(MODELS), PlainSerializer(_plain)]
OptimizerPart = Annotated[Part, _completed_by(OPTIMIZERS), PlainSerializer(_plain)]
SchedulePart = Annotated[Part, _completed_by(SCHEDULES), PlainSerializer(_plain)]
LossPart = Annotated[Part, _completed_by(LOSSES), PlainSerializer(_plain)]


def _name(value: str) -> str:
    if not re.fullmatch(r"\w[\w .,+=@()-]*", value) or value.endswith((" ", ".")):
        raise ValueError(
            "must be a folder name: letters, digits and any of ' .,+=@()_-', starting with a letter or digit, "
            f"at most 100 characters (got {value!r:.110})"
        )
    return value


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise ValueError(f"must be auto, cpu, cuda, cuda:0 (…) or mps (got {value!r:.40})")
    return value


class Reference(BaseModel):
    """A published result, shown next to the measured one: `test_loss`, or `test_` and the name of a metric."""

    model_config = ConfigDict(frozen=True, extra="allow")
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


class Dataset(BaseModel):
    """A data set: its entry in the catalogue and the rules for any data set (`DatasetRules`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: Part
    rules: DatasetRules

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: object) -> Any:
        if isinstance(value, Dataset):
            return {"part": value.part, "rules": value.rules}
        part = Part.of(value)
        rules = {k: v for k, v in part.params.items() if k in DatasetRules.__dataclass_fields__}
        own = Part(part.name, {k: v for k, v in part.params.items() if k not in rules})
        return {"part": DATASETS.complete(own, "dataset"), "rules": merge(DatasetRules.defaults(part.name), rules)}

    def plain(self) -> dict[str, Any]:
        """Return it as a config would write it."""
        rules: dict[str, Any] = adapter(DatasetRules).dump_python(self.rules, mode="json")
        return {**self.part.plain(), **{k: v for k, v in rules.items() if v is not None}}


class Experiment(BaseModel):
    """A full description of one training, resolved from a config file.

    `model`, `optimizer`, `schedule` and `loss` are parts `{name, parameters}`, completed with lrbench's own defaults.
    Either `epochs` or `steps` gives the budget. `optimizer.params["lr"]`, if given, is the peak learning rate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_name)]
    dataset: Annotated[Dataset, PlainSerializer(Dataset.plain)]
    model: ModelPart
    optimizer: OptimizerPart
    schedule: SchedulePart = Part("constant")
    warmup: WarmUpRule | None = None
    plateau: PlateauRule | None = None
    early_stopping: EarlyStoppingRule | None = None
    loss: LossPart = Field(default=Part("cross_entropy"), validate_default=True)
    epochs: Annotated[Count, Field(le=1_000_000)] | None = None
    steps: Annotated[Count, Field(le=100_000_000)] | None = None
    batch_size: Count = 64
    accumulate: Annotated[Count, Field(le=1_000_000)] | None = None
    drop_last: StrictBool | None = None
    lr_scaling: ScalingRule | None = None
    seed: Natural = 0
    eval_every: Steps | None = None
    best_by: MetricName | None = None
    on_non_finite: Literal["stop", "skip"] | None = None
    max_skipped: Count | None = None
    clip_grad_norm: Positive | None = None
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    compile: StrictBool = False
    device: Annotated[str, AfterValidator(_device)] = "auto"
    reference: Reference | None = None

    _places: yaml_source.Places = PrivateAttr(default_factory=dict)
    _hashes: dict[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, value: Any) -> Any:
        return written_out(value) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _budget_and_rate(self) -> Experiment:
        if (self.epochs is None) == (self.steps is None):
            given = "both" if self.epochs else "neither"
            raise ConfigError(f"give either `epochs` or `steps`, the length of the run (got {given})", key="epochs")
        lr = self.optimizer.params.get("lr")
        if "lr" in self.optimizer.params and (
            isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 < lr < inf
        ):
            raise ConfigError(f"must be a number greater than 0 (got {lr!r})", key="optimizer.lr")
        GroupRules.split(self.optimizer)
        every = self.eval_every
        if every is not None and every.amount == 0:
            raise ConfigError(f"must be longer than 0, such as '200 steps' (got {every})", key="eval_every")
        if every is not None and every.unit == "steps" and not every.amount.is_integer():
            problem = f"must be a whole number of steps; write '{every.amount:g} epochs' for a part of an epoch"
            raise ConfigError(f"{problem} (got {every})", key="eval_every")
        self._check_plateau_bounds()
        if self.max_skipped is not None and self.on_non_finite != "skip":
            raise ConfigError("needs `on_non_finite: skip`", key="max_skipped")
        return self

    def _check_plateau_bounds(self) -> None:
        peak = self.optimizer.params.get("lr", DEFAULT_LR.get(self.optimizer.name))
        if self.plateau is None or peak is None or self.lr_scaling is not None:
            return
        if self.plateau.min_lr > peak:
            problem = f"is above the peak, optimizer.lr = {peak:g} (got {self.plateau.min_lr:g})"
            raise ConfigError(problem, key="plateau.min_lr")
        growth = self.plateau.growth
        if growth is not None and growth.max_lr is not None and growth.max_lr < peak:
            problem = f"is below the peak, optimizer.lr = {peak:g}, so it could not grow (got {growth.max_lr:g})"
            raise ConfigError(problem, key="plateau.growth.max_lr")

    def __eq__(self, other: object) -> bool:
        """Compare values, not the places where they were written."""
        return isinstance(other, Experiment) and self.plain() == other.plain()

    def plain(self) -> dict[str, Any]:
        """Return the resolved config as plain values, without None; loading it gives the same experiment."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @property
    def update_size(self) -> int:
        """Examples per step: `batch_size` times `accumulate`."""
        return self.batch_size * (self.accumulate or 1)

    def updates_per_epoch(self, examples: int) -> int:
        """Return the steps in an epoch of `examples` training examples; the last one may be smaller."""
        return -(-batches_per_epoch(examples, self.batch_size, self.drop_last) // (self.accumulate or 1))

    def scaled_optimizer(self, examples: int | None = None) -> Part:
        """Return the optimizer with its learning rate after `lr_scaling`.

        Args:
            examples: training examples in an epoch, if known; no step uses more.

        Raises:
            ConfigError: `lr_scaling` has no learning rate to scale, or an epoch has fewer batches than `accumulate`.
        """
        batches = None if examples is None else batches_per_epoch(examples, self.batch_size, self.drop_last)
        if self.accumulate is not None and batches is not None and self.accumulate > batches:
            raise ConfigError(
                f"is more than the {batches} batches of an epoch (got {self.accumulate})", key="accumulate"
            )
        if self.lr_scaling is None:
            return self.optimizer
        size = self.update_size if examples is None else min(self.update_size, examples)
        lr = configured_rate(self.optimizer) * self.lr_scaling.factor(self.optimizer.name, size)
        return Part(self.optimizer.name, {**self.optimizer.params, "lr": lr})

    def scaling_in_words(self, examples: int) -> str | None:
        """Describe what `lr_scaling` does for `examples` training examples; None without it."""
        if self.lr_scaling is None:
            return None
        before, after = configured_rate(self.optimizer), configured_rate(self.scaled_optimizer(examples))
        sizes = f"batch {min(self.update_size, examples)} of {self.lr_scaling.base_batch_size}"
        return f"the learning rate {before:g} is scaled to {after:g} ({self.lr_scaling.rule}, {sizes})"

    def hashed(self, what: str, find: Callable[[], str]) -> str:
        """Compute a hash once; an experiment never changes."""
        if what not in self._hashes:
            self._hashes[what] = find()
        return self._hashes[what]

    def yaml(self) -> str:
        """Return the resolved config as YAML."""
        return yaml_source.dump(self.plain())

    def where(self, key: str) -> str:
        """Return the file and line (or option) of a key; of the nearest enclosing one for defaults."""
        return place_of(self._places, path_of(key))

    def replace(self, **changes: Any) -> Experiment:
        """Change some fields and validate the result. Raises ConfigError."""
        places = {path: where for path, where in self._places.items() if path[:1] not in {(key,) for key in changes}}
        return validate({**self.plain(), **changes}, places, "")


def validate(plain: Mapping[str, Any], places: yaml_source.Places, shown: str) -> Experiment:
    """Build an `Experiment` from plain values. Raises ConfigError with the place of the first problem."""
    try:
        experiment = Experiment.model_validate(plain)
    except ConfigError as error:
        raise error.at(place_of(places, path_of(error.key)) or shown) from None
    except ValidationError as error:
        raise _translated(error, places, shown) from None
    experiment._places = places
    return experiment


def _translated(error: ValidationError, places: yaml_source.Places, shown: str) -> ConfigError:
    first = first_of(error)
    unknown = first["type"] in ("extra_forbidden", "unexpected_keyword_argument")
    loc = [str(piece) for piece in first["loc"]]
    inner = ("rules", "part", "bool", "Normalize")  # internal names; in a config they are mistakes
    path = tuple(p for i, p in enumerate(loc) if p not in inner or i == 0 or (unknown and i == len(loc) - 1))
    key = ".".join(path)
    if unknown:
        known = _fields_at(path[:-1])
        problem = f"unknown key '{path[-1]}'; {choices(path[-1], known)}"
    elif first["type"] == "missing":
        problem = "is missing"
    else:
        problem = problem_of(error)
    return ConfigError(problem, key=key, where=place_of(places, path) or shown)


def _fields_at(path: tuple[str, ...]) -> list[str]:
    """Return the valid keys of the block at `path`."""
    blocks: dict[tuple[str, ...], Any] = {
        (): Experiment,
        ("warmup",): WarmUpRule,
        ("lr_scaling",): ScalingRule,
        ("plateau",): PlateauRule,
        ("plateau", "growth"): Growth,
        ("early_stopping",): EarlyStoppingRule,
        ("reference",): Reference,
        ("dataset", "validation"): Validation,
        ("dataset", "normalize"): Normalize,
    }
    schema = adapter(blocks.get(path, Experiment)).json_schema(mode="validation")
    return [*schema["properties"], "extends"] if path == () else list(schema["properties"])
