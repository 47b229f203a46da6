"""`Experiment`, the resolved config, its blocks, and messages for invalid values. Does not import torch.

The model below checks structure, types and ranges; a catalogue checks a part's own parameters and fills in lrbench's
defaults. Every message names file, line, key and value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainSerializer, PlainValidator, StrictBool, ValidationError, model_validator

from lrbench.components import (
    DEFAULT_LR,
    LOSSES,
    MODELS,
    OPTIMIZERS,
    TASKS,
    GroupRules,
    Normalize,
    Validation,
    at_rate,
    check_parameters,
    configured_rate,
)
from lrbench.config.blocks import Dataset, Device, Trackers
from lrbench.config.branches import BranchesRule, DecayRule
from lrbench.config.consistency import check_consistency
from lrbench.config.law import Law
from lrbench.config.limits import Limits
from lrbench.config.normalize import written_out
from lrbench.config.rules import (
    ContinueRule,
    EarlyStoppingRule,
    InitRule,
    Reference,
    ScalingRule,
    batches_per_epoch,
)
from lrbench.config.run_config import RunConfig, RunName
from lrbench.config.sizes import Size, model_sizes
from lrbench.config.yaml_source import Places
from lrbench.config.yaml_text import dump
from lrbench.errors import ConfigError, counted
from lrbench.registry import Catalog
from lrbench.schedules import SCHEDULES, Growth, PlateauRule, WarmUpRule
from lrbench.types import OBJECTS, Count, Duration, Memory, MetricName, Natural, Part, Positive, Seconds, Steps, adapter

_AS_MAPPING = PlainSerializer(Part.plain)
_OF_OBJECTS = f"# Made from Python objects ({OBJECTS}…). Only the same call in Python repeats this run.\n"


_NAME, _SEED = adapter(RunName), adapter(Natural)
_FREE = ("name", "seed")
_LOOKED_UP = ("lr_scaling", "init_from", "continue", "branches")  # what they mean may be in other files
_MOST_VALIDATED = 4096
_validated: dict[str, Experiment] = {}


def _completed_by(catalog: Catalog) -> PlainValidator:
    return PlainValidator(lambda value: catalog.complete(Part.of(value)))


class Experiment(RunConfig, frozen=True, extra="forbid"):
    """A full description of one training by lrbench, resolved from a config file.

    `model`, `optimizer`, `schedule` and `loss` are parts `{name, parameters}`, completed with lrbench's own defaults.
    Either `epochs` or `steps` gives the budget.

    Attributes:
        name: the run's name, which its folder, tables and figures show; by default that of the file.
        dataset: the data set, by name or import string, and how it is split, normalized, augmented and read.
        model: the model, by name or import string; those of lrbench adapt to the data.
        optimizer: the optimizer; its `lr` is the peak learning rate of every schedule.
        schedule: the learning rate at every step, as a multiple of the optimizer's `lr`.
        warmup: a rise to the first learning rate of any schedule, within the budget: `5%`, `500 steps`, `untuned`, or a
            block.
        plateau: multiplies the learning rate of any schedule when the validation metric no longer improves.
        early_stopping: ends the run when the validation metric no longer improves.
        task: what a batch, the loss and the metrics are; classification by default, or an import string of your own.
        loss: the loss, by name or import string; by default that of the task.
        metrics: what to measure besides the task's own metrics; of your own task, each metric's direction.
        epochs: the length of the run in epochs; or give `steps`.
        steps: the length of the run in steps; or give `epochs`.
        batch_size: examples in a batch.
        accumulate: batches whose gradients are averaged for one step.
        drop_last: drop the last batch of an epoch if it is smaller than the others.
        lr_scaling: changes the learning rate with the batch size, by a rule or a measured law.
        seed: the seed of initial weights, the order of the data, dropout and augmentation.
        eval_every: time between evaluations, such as `200 steps`; a bare number means steps, and an epoch is the
            default.
        best_by: the validation metric of the best evaluation, whose weights are kept; `val_loss` by default.
        on_non_finite: what to do at a loss or gradient that is not finite: `stop` the run, or `skip` the step.
        max_skipped: skipped steps after which the run ends, 10 by default; only with `on_non_finite: skip`.
        clip_grad_norm: the largest norm of the gradient; none by default.
        precision: the precision of the training; `bf16` and `fp16` are mixed precision.
        compile: compile the model with torch.compile.
        init_from: start from another run's weights: its folder, or a block.
        continues: `continue` in the config: continue from another run's complete final state.
        keep: what a finished run keeps: its `best` weights, or its complete `state` too, which can be continued.
        branches: several lengths and decays that share the stable part of one run.
        timeout: wall time after which the run is ended as failed, such as `2h`; a bare number means seconds.
        stall: the same, after this long without a step or an evaluation.
        memory: the most main memory that the run may use, such as `8GB`; one that uses more is ended as failed.
        device: where to train: auto, cpu, cuda, cuda:1 or mps.
        track: tools that follow the run: tensorboard, mlflow, wandb, trackio, or an import string.
        reference: a published result, shown next to the measured one.
        as_of: 2 for the learning rates that other tools' schedules had before run folders of format 3.
    """

    name: RunName
    dataset: Annotated[Dataset, PlainSerializer(Dataset.plain)]
    model: Annotated[Part, _completed_by(MODELS), _AS_MAPPING]
    optimizer: Annotated[Part, _completed_by(OPTIMIZERS), _AS_MAPPING]
    schedule: Annotated[Part, _completed_by(SCHEDULES), _AS_MAPPING] = Part("constant")
    warmup: WarmUpRule | None = None
    plateau: PlateauRule | None = None
    early_stopping: EarlyStoppingRule | None = None
    task: Annotated[Part, _completed_by(TASKS), _AS_MAPPING] | None = None
    loss: Annotated[Part, _completed_by(LOSSES), _AS_MAPPING] = Field(Part("cross_entropy"), validate_default=True)
    metrics: Annotated[list[Annotated[Part, PlainValidator(Part.of), _AS_MAPPING]], Field(min_length=1)] | None = None
    epochs: Annotated[Count, Field(le=1_000_000)] | None = None
    steps: Annotated[Count, Field(le=100_000_000)] | None = None
    batch_size: Count = 64
    accumulate: Annotated[Count, Field(le=1_000_000)] | None = None
    drop_last: StrictBool | None = None
    lr_scaling: Annotated[ScalingRule, PlainSerializer(ScalingRule.plain)] | None = None
    seed: Natural = 0
    eval_every: Steps | None = None
    best_by: MetricName | None = None
    on_non_finite: Literal["stop", "skip"] | None = None
    max_skipped: Count | None = None
    clip_grad_norm: Positive | None = None
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"
    compile: StrictBool = False
    init_from: InitRule | None = None
    continues: Annotated[ContinueRule | None, Field(alias="continue")] = None
    keep: Literal["best", "state"] | None = None
    branches: BranchesRule | None = None
    timeout: Seconds | None = None
    stall: Seconds | None = None
    memory: Memory | None = None
    device: Device = "auto"
    track: Trackers = None
    reference: Reference | None = None
    as_of: Literal[2] | None = None

    _trunk: Any = None  # what a branch shares with others; see `lrbench.config.branching`

    taken_over: ClassVar[tuple[str, ...]] = ("device", "reference", "track", "timeout", "stall", "memory")
    also: ClassVar[Mapping[str, str]] = {
        **RunConfig.also,
        "step": "an import string of a function of (model, batch) that returns the loss, instead of a task.",
    }
    blocks: ClassVar[Mapping[tuple[str, ...], Any]] = {
        ("warmup",): WarmUpRule,
        ("lr_scaling",): ScalingRule,
        ("plateau",): PlateauRule,
        ("plateau", "growth"): Growth,
        ("early_stopping",): EarlyStoppingRule,
        ("init_from",): InitRule,
        ("continue",): ContinueRule,
        ("branches",): BranchesRule,
        ("branches", "decay"): DecayRule,
        ("reference",): Reference,
        ("dataset", "validation"): Validation,
        ("dataset", "normalize"): Normalize,
    }

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, value: Any) -> Any:
        return written_out(value) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        check_consistency(self)
        return self

    @classmethod
    def of(cls, plain: Mapping[str, Any], places: Places, shown: str) -> Experiment:
        """See `RunConfig`. Of configs that differ only in name and seed, as those of a sweep, one is validated."""
        name, seed = plain.get("name"), plain.get("seed")
        if not isinstance(name, str) or type(seed) is not int or any(plain.get(key) is not None for key in _LOOKED_UP):
            return super().of(plain, places, shown)
        what = repr({key: value for key, value in plain.items() if key not in _FREE})
        if what not in _validated:
            if len(_validated) >= _MOST_VALIDATED:
                _validated.clear()
            _validated[what] = super().of({**plain, "name": "any", "seed": 0}, places, shown)
        try:
            free = {"name": _NAME.validate_python(name), "seed": _SEED.validate_python(seed)}
        except (ConfigError, ValidationError):
            return super().of(plain, places, shown)  # which tells what is wrong
        made = _validated[what].model_copy(update=free)
        made._places, made._hashes = places, {}
        return made

    @property
    def length(self) -> Duration:
        """The length of the run, in the unit in which the config gives it."""
        return Duration(float(self.epochs), "epochs") if self.epochs else Duration(float(self.steps or 0), "steps")

    @property
    def limits(self) -> Limits:
        """See `RunConfig`."""
        return Limits(self.timeout, self.stall, self.memory)

    @property
    def budget(self) -> str:
        """See `RunConfig`."""
        length, unit = (self.epochs, "epoch") if self.epochs else (self.steps or 0, "step")
        return f"{counted(length, unit)}"

    @property
    def imports(self) -> list[str]:
        """The import strings of the user's code in the config."""
        parts = (self.dataset.part, self.model, self.optimizer, self.schedule, self.loss, self.task)
        names = [part.name for part in (*parts, *(self.metrics or ())) if part is not None and part.imported]
        rules = self.dataset.rules
        return [*names, *(name for name in (rules.collate, rules.sampler) if name and ":" in name)]

    @property
    def self_contained(self) -> bool:
        """Whether what it means depends on no other file and on no code of the user's."""
        elsewhere = (self.lr_scaling, self.init_from, self.continues, self.branches)
        return not self.imports and all(rule is None for rule in elsewhere)

    @property
    def of_objects(self) -> bool:
        """Whether it names objects that only the process has to which a user gave them."""
        return any(name.startswith(OBJECTS) for name in self.imports)

    @property
    def lr(self) -> float | None:
        """The peak learning rate; None if only the optimizer's class knows it."""
        if (law := self.law) is not None:
            return law.rate(self.amounts)
        lr = self.optimizer.params.get("lr", DEFAULT_LR.get(self.optimizer.name))
        return None if lr is None else float(lr)

    @property
    def law(self) -> Law | None:
        """The law that gives the learning rate, if one does."""
        return None if self.lr_scaling is None else self.lr_scaling.law

    @property
    def sizes(self) -> dict[str, Size]:
        """See `RunConfig`. `batch_size` counts the examples of an update."""
        found = {"batch_size": Size(float(self.update_size), ("batch_size", "accumulate"))}
        for name, value in (("epochs", self.epochs), ("steps", self.steps)):
            found |= {name: Size(float(value), (name,))} if value else {}
        examples = self.dataset.rules.training_examples(self.dataset.part.name)
        found |= {"dataset.train_size": Size(float(examples), ("dataset.train_size",))} if examples else {}
        return found | model_sizes(self.model.params)

    @property
    def amounts(self) -> dict[str, float]:
        """The values of `sizes`."""
        return {name: size.value for name, size in self.sizes.items()}

    @property
    def update_size(self) -> int:
        """Examples per step: `batch_size` times `accumulate`."""
        return self.batch_size * (self.accumulate or 1)

    def updates_per_epoch(self, examples: int, batches: int | None = None) -> int:
        """Return the steps in an epoch of `examples` training examples, or of so many batches.

        The last one may be smaller.
        """
        if batches is None:
            batches = batches_per_epoch(examples, self.batch_size, self.drop_last)
        return -(-batches // (self.accumulate or 1))

    def scaled_optimizer(self, examples: int | None = None) -> Part:
        """Return the optimizer with its learning rate after `lr_scaling`.

        Args:
            examples: training examples in an epoch, if known; no step uses more.

        Raises:
            ConfigError: `lr_scaling` has no learning rate to scale, or an epoch has fewer batches than
                `accumulate`, or the optimizer can't have a parameter.
        """
        check_parameters(GroupRules.split(self.optimizer)[0])
        batches = None if examples is None else batches_per_epoch(examples, self.batch_size, self.drop_last)
        if self.accumulate is not None and batches is not None and self.accumulate > batches:
            problem = f"is more than the {counted(batches, 'batch')} of an epoch (got {self.accumulate})"
            raise ConfigError(problem, key="accumulate")
        if self.lr_scaling is None:
            return self.optimizer
        if (law := self.law) is not None:
            return at_rate(self.optimizer, law.rate(self.amounts))
        size = self.update_size if examples is None else min(self.update_size, examples)
        lr = configured_rate(self.optimizer) * self.lr_scaling.factor(self.optimizer.name, size)
        return at_rate(self.optimizer, lr)

    def scaling_in_words(self, examples: int) -> str | None:
        """Describe what `lr_scaling` does for `examples` training examples; None without it."""
        if self.lr_scaling is None:
            return None
        if (law := self.law) is not None:
            return law.in_words(self.plain(), self.sizes)
        before, after = configured_rate(self.optimizer), configured_rate(self.scaled_optimizer(examples))
        sizes = f"batch {min(self.update_size, examples)} of {self.lr_scaling.base_batch_size}"
        return f"the learning rate {before:g} is scaled to {after:g} ({self.lr_scaling.rule}, {sizes})"

    def yaml(self) -> str:
        """Return the resolved config as YAML."""
        return _OF_OBJECTS * self.of_objects + dump(self.plain())
