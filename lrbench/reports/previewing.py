"""The learning rates that a config would use, with warnings about likely mistakes.

Needs neither torch nor data, but for the size of your own data.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lrbench.components import AVERAGES, SETS_ITS_OWN_RATE, configured_rate, load_dataset
from lrbench.config import CONFIGS, Experiment, RunConfig, branched, load_config, own
from lrbench.errors import ConfigError, DataError, FolderError
from lrbench.reports.code import code
from lrbench.reports.code.standalone import standalone as complete
from lrbench.runs import Environment, RunFolder, Sizes
from lrbench.schedules import build_schedule, has_milestones, lies_over, momentum_of, unreached
from lrbench.types import AT_LEAST_1, NOTHING, TEXTS, Displayed, arguments

LARGE_BATCH = 1024


@dataclass(frozen=True)
class Preview(Displayed):
    """The learning rates of a run that has not started.

    Attributes:
        label: the config's name.
        experiment: the config.
        steps_per_epoch: steps in an epoch.
        rates: the learning rate at every step, 0 … T−1.
        momenta: momentum (Adam: beta1) at every step if the schedule cycles it, else None.
        seam: the steps of the warm-up block; 0 without one.
        over: whether the warm-up lies over the start of the schedule; False if the schedule follows it.
        lr: the peak learning rate, after `lr_scaling`.
        examples: training examples, None if unknown before the data is loaded.
        start: the step of the schedule at which the run begins, above 0 if it continues another run.
    """

    label: str
    experiment: Experiment
    steps_per_epoch: int
    rates: list[float]
    momenta: list[float | None] | None
    seam: int
    over: bool
    lr: float
    examples: int | None
    start: int = 0

    @cached_property
    def peak(self) -> float:
        """The highest learning rate."""
        return max(self.rates)

    @property
    def mean(self) -> float:
        """The mean learning rate over all steps."""
        return statistics.fmean(self.rates)

    @cached_property
    def restarts(self) -> list[int]:
        """Steps at which the learning rate jumps up between two falls, as at a warm restart."""
        changes = [step for step in range(1, len(self.rates)) if self.rates[step] != self.rates[step - 1]]
        values = [self.rates[0], *(self.rates[step] for step in changes)]
        around = zip(changes[1:], values, values[1:], values[2:], [*values[3:], -1.0], strict=False)
        least = self.peak / 1000  # less is noise
        return [
            step
            for step, before, low, high, after in around
            if step > self.seam and before > low and low + least < high and high > after
        ]

    @cached_property
    def drops(self) -> list[int]:
        """Steps at which a schedule with milestones falls from one constant learning rate to another."""
        if not has_milestones(self.experiment.schedule):
            return []
        last, rates = len(self.rates) - 1, self.rates
        return [
            step
            for step in range(max(self.seam, 1), len(rates))
            if rates[step] < rates[step - 1]
            and rates[step] == rates[min(step + 1, last)]
            and (step == self.seam or rates[step - 1] == rates[max(step - 2, 0)])
        ]

    def warnings(self) -> list[str]:
        """Likely mistakes, each in one sentence."""
        checks = (_fallen_early, _no_warm_up, _beyond_the_run, _nothing_left, _below_its_peak, _two_rises, _own_rate)
        return [text for check in checks for text in check(self)]

    def code(self, *, standalone: bool = False) -> str:
        """PyTorch code that uses this optimizer and schedule in the user's own training loop.

        With `standalone`, a complete script that trains as `run` would, without lrbench. Raises ConfigError for a key
        that no such script can follow.
        """
        plain, environment = self.experiment.plain(), Environment(sizes=Sizes(steps_per_epoch=self.steps_per_epoch))
        if not standalone:
            return code(plain, environment)
        try:
            return complete(plain, environment)
        except ConfigError as error:
            raise error.at(self.experiment.where(error.key)) from None


class Previews(list[Preview], Displayed):
    """The previews of several configs, in a list that shows itself in a notebook."""


@arguments(configs=CONFIGS, overrides=TEXTS, steps_per_epoch=AT_LEAST_1 | NOTHING)
def preview(
    configs: Iterable[str | Path | RunConfig],
    *,
    overrides: Iterable[str] = (),
    steps_per_epoch: int | None = None,
) -> Previews:
    """Compute the learning rates that configs would use.

    Args:
        configs: YAML files or experiments.
        overrides: `key=value`, as in `load_config`; only for files.
        steps_per_epoch: steps in an epoch, instead of loading your own data to count its examples.

    Raises:
        ConfigError, DataError: a config or its data is not valid.
        UserCodeError: an imported data set raised.
    """
    chosen = tuple(overrides)
    read = [c if isinstance(c, RunConfig) else load_config(c, chosen) for c in configs]
    each = [run for c in read for run in branched(c)]
    return Previews(_of(own(run, "its schedule is in its own code"), steps_per_epoch) for run in each)


def _of(experiment: Experiment, steps_per_epoch: int | None) -> Preview:
    try:
        return _computed(experiment, steps_per_epoch)
    except ConfigError as error:
        raise error.at(experiment.where(error.key)) from None
    except DataError as error:
        raise DataError(f"{experiment.where('dataset')}: dataset: {error}".removeprefix(": ")) from error


def _computed(experiment: Experiment, given: int | None) -> Preview:
    dataset = experiment.dataset
    examples = dataset.rules.training_examples(dataset.part.name)
    if examples is None and given is None:
        examples = len(load_dataset(dataset.part, dataset.rules).train)
    per_epoch = given or experiment.updates_per_epoch(examples or 0)
    total = experiment.steps or (experiment.epochs or 0) * per_epoch
    lr = configured_rate(experiment.scaled_optimizer(examples))
    start = _start(experiment)
    sizes = {"total_steps": start + total, "steps_per_epoch": per_epoch}
    warmup = experiment.warmup
    schedule = build_schedule(experiment.schedule, lr=lr, warmup=warmup, as_of=experiment.as_of, **sizes)
    momentum = momentum_of(schedule)
    return Preview(
        label=experiment.name,
        experiment=experiment,
        steps_per_epoch=per_epoch,
        rates=[schedule(step) for step in range(start, start + total)],
        momenta=[momentum(step) for step in range(start, start + total)] if momentum else None,
        seam=max(warmup.duration.steps(**sizes) - start, 0) if warmup else 0,
        over=warmup is not None and lies_over(warmup, experiment.schedule),
        lr=lr,
        examples=examples,
        start=start,
    )


def _start(experiment: Experiment) -> int:
    """Return the step of the schedule at which a run begins. Raises ConfigError if it continues no finished run."""
    rule = experiment.continues
    if rule is None or rule.schedule == "restart":
        return 0
    folder = RunFolder(Path(rule.run))
    try:
        result = folder.result()
        if result is None:
            raise ConfigError(
                f"must be a finished run, where the schedule goes on (got {rule.run})", key="continue.run"
            )
        return folder.schedule_end(result)
    except FolderError as error:
        raise ConfigError(str(error), key="continue.run") from error


def _fallen_early(made: Preview) -> list[str]:
    third = len(made.rates) // 3
    peak_at = made.rates.index(made.peak)
    if peak_at < third and made.rates[third] < made.peak / 100:
        below = next(step for step in range(peak_at, third + 1) if made.rates[step] < made.peak / 100)
        part = 100 * below / len(made.rates)
        return [f"the learning rate is under 1% of its peak after {part:.0f}% of the run: most steps hardly train"]
    return []


def _no_warm_up(made: Preview) -> list[str]:
    if made.experiment.warmup is not None or made.start or made.rates[0] < made.peak / 2:
        return []
    if any(word in made.experiment.model.name.lower() for word in ("vit", "transformer", "bert", "gpt")):
        return ["a Transformer without warm-up often diverges early; try warmup: {for: 5%}"]
    size = min(made.experiment.update_size, made.examples or made.experiment.update_size)
    if size >= LARGE_BATCH:
        return [f"a batch of {size} without warm-up; large batches usually need one"]
    return []


def _below_its_peak(made: Preview) -> list[str]:
    if made.peak < 0.8 * made.lr and not made.start:
        return [f"the learning rate stays far below its peak, {made.lr:.3g}: the highest is {made.peak:.3g}"]
    return []


def _two_rises(made: Preview) -> list[str]:
    """A warm-up before a schedule that starts low and rises by itself."""
    if made.seam and not made.over and made.rates[made.seam] < made.peak / 2 and made.rates[-1] != made.peak:
        begins = f"{made.rates[made.seam]:.3g}, far below its peak"
        return [f"the warm-up ends at the schedule's first learning rate, {begins}: the schedule rises by itself"]
    return []


def _own_rate(made: Preview) -> list[str]:
    """A schedule or lr that does not suit an optimizer with its own step size."""
    name = made.experiment.optimizer.name
    if name == "prodigy" and not 0.1 <= made.lr <= 10:
        return [f"prodigy estimates the learning rate and lr only multiplies it: leave lr at 1 (it is {made.lr:.3g})"]
    if name not in SETS_ITS_OWN_RATE or max(made.rates) == min(made.rates):
        return []
    if name in AVERAGES:
        return [f"{name} averages weights instead of a decay: use a constant learning rate and its own warmup_steps"]
    if name == "prodigy":
        return ["prodigy estimates the learning rate: use a constant lr of 1, or cosine without a warm-up"]
    return [f"{name} sets its own step size, which a schedule works against: use a constant learning rate"]


def _beyond_the_run(made: Preview) -> list[str]:
    sizes = {"total_steps": made.start + len(made.rates), "steps_per_epoch": made.steps_per_epoch}
    return unreached(made.experiment.schedule, warmup=made.experiment.warmup, **sizes)


def _nothing_left(made: Preview) -> list[str]:
    """A learning rate of (nearly) 0 for at least the last fifth of the run."""
    total = len(made.rates)
    first = max((step + 1 for step, rate in enumerate(made.rates) if rate > made.peak / 1e6), default=0)
    if total - first > total / 5:
        return [f"the learning rate is 0 from step {first} of {total} on: the schedule ends long before the run"]
    return []
