"""What all callbacks share: one training of a framework as one recorded run. Never imports a framework."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from lrbench.analysis import RateMonitor
from lrbench.integrations.processes import say
from lrbench.integrations.recorder import Recorder
from lrbench.integrations.recording import record
from lrbench.integrations.values import rates as by_column
from lrbench.integrations.values import settings, split_name
from lrbench.runs import Status

_COSTS = re.compile(
    r"(^|_)(epoch|runtime|(samples|steps|tokens)_per_second|model_preparation_time|jit_compilation_time|total_flos"
    r"|num_input_tokens_seen|mem_\w+)$"
)
"""What frameworks report beside metrics: times, speeds, memory."""


@dataclass
class Session:
    """A callback's options, and the training that it records; the next training is another run.

    Steps and evaluations are held back until the next one comes, since frameworks tell what belongs to them in parts.

    Args:
        by: the framework.
        name: the run's name; by default, the script's.
        config: settings besides those that the framework knows, which they replace.
        seed: the seed, if the framework does not know it.
        runs: the folder for run folders.
        metrics: which way is better, as in `{"f1": "higher"}`, for metrics that lrbench does not know.
        best_by: the validation metric of the best evaluation.
    """

    by: str
    _: KW_ONLY
    name: str | None = None
    config: Any = None
    seed: int | None = None
    runs: str = "runs"
    metrics: Mapping[str, str] | None = None
    best_by: str | None = None
    run: Recorder | None = None
    done: int = 0
    _step: dict[str, Any] = field(default_factory=dict)
    _evaluation: dict[str, Any] = field(default_factory=dict)
    _evaluated: tuple[int, frozenset[str]] = (0, frozenset())
    _since: int = 0
    _sum: float = 0.0
    _counted: int = 0
    _monitor: RateMonitor = field(default_factory=RateMonitor)

    def begin(
        self,
        known: Mapping[str, Any],
        *,
        seed: int | None = None,
        total_steps: int | None = None,
        done: int = 0,
        resume: bool = False,
        rank: int | None = None,
        best_by: str = "val_loss",
        metrics: Mapping[str, str] | None = None,
        schedule: str | None = None,
        steps_per_epoch: int | None = None,
        per_epoch: bool = False,
    ) -> Recorder:
        """Begin a run, or go on with it if steps are `done` already.

        Args:
            known: the settings that the framework knows; those that are None are left out.
            seed: the seed that the framework knows.
            total_steps: the length of the training in steps, if known.
            done: the steps done before.
            resume: go on, if it is not known how many are done.
            rank: the rank that the framework knows.
            best_by: the metric by which the framework chooses its best evaluation.
            metrics: which way is better, as far as the framework knows it.
            schedule: the schedule's name, if its scheduler is to be watched in the first steps; see `RateMonitor`.
            steps_per_epoch: steps in an epoch, if known.
            per_epoch: whether the scheduler is meant to move once an epoch.
        """
        self.close()
        config = {name: value for name, value in known.items() if value is not None} | settings(self.config)
        own = {} if "seed" in config else {"seed": seed if self.seed is None else self.seed}
        self.run = record(
            self.name,
            config=config,
            runs=self.runs,
            metrics={**(metrics or {}), **(self.metrics or {})},
            best_by=self.best_by or best_by,
            total_steps=total_steps,
            resume=resume or done > 0,
            rank=rank,
            by=self.by,
            **own,
        )
        self.run.finishes_at_exit = False
        self.done = self._since = done
        self._step, self._evaluation, self._evaluated = {}, {}, (0, frozenset())
        self._sum, self._counted = 0.0, 0
        watched = None if done else schedule  # what a resumed one did before is not known here
        self._monitor = RateMonitor(total_steps, steps_per_epoch, watched, per_epoch=per_epoch)
        place = self.run.place
        if done and place is not None and place.writer.last < done:
            self.run.note(f"recorded from step {done + 1} on")
        return self.run

    def step(self, step: int, lr: Any = None, loss: Any = None, **more: Any) -> None:
        """Take a step, numbered from 1, with its own loss if the framework tells it, or more about the last one.

        See `Recorder.step`.
        """
        if self._step.get("step") == step:
            told = {"lr": lr, "loss": loss, **more}
            self._step |= {name: value for name, value in told.items() if value is not None}
            return
        self.flush()
        self.done = step
        lr = self.run.used if lr is None and self.run is not None else lr
        self._watch(step, lr)
        self._step = {"lr": lr, "loss": loss, "step": step, **more}

    def _watch(self, step: int, lr: Any) -> None:
        """Warn once if the learning rates of the first steps are not those of the schedule."""
        if self._monitor.over or self.run is None:
            return
        columns = {name: float(rate) for name, rate in by_column(lr).items() if rate is not None}
        groups = {name: rate for name, rate in columns.items() if name != "lr"}
        told = self._monitor.step(step, groups or columns)
        if told is not None:
            say(told)
            self.run.note(told)

    def tell_loss(self, loss: float, steps: int, **more: Any) -> None:
        """Take the mean loss of the last `steps` steps; that of one step is its own. `more` is of the last step."""
        if steps == 1 and self._step:
            self._step["loss"] = loss
        elif steps > 1 and self.run is not None:
            self.run.note("training losses are means over several steps")
        if self._step:
            self._step |= more
        self._sum, self._counted = self._sum + loss * steps, self._counted + steps

    def evaluate(self, values: Mapping[str, Any], *, epoch: float | None = None, default: str = "val") -> None:
        """Take the values of an evaluation; several at the same step are one row."""
        found = {split_name(name, default): v for name, v in values.items() if not _COSTS.search(name)}
        tested = {name: value for name, value in found.items() if name.startswith("test_")}
        shown = {name: value for name, value in found.items() if name not in tested}
        if self.run is None:
            return
        if tested:
            self.run.test(**tested)
        repeated = self._evaluated[0] == self.done and self._evaluated[1] >= set(shown)
        if not shown or (repeated and not self._evaluation):
            return
        if set(shown) & set(self._evaluation):
            self.flush()
        self._evaluation |= {"epoch": epoch, **shown}

    def flush(self) -> None:
        """Record what was held back."""
        step, self._step = self._step, {}
        evaluation, self._evaluation = self._evaluation, {}
        if self.run is None:
            return
        if step:
            self.run.step(**step)
        if not evaluation:
            return
        if self._counted and self._counted == self.done - self._since:
            evaluation.setdefault("train_loss", self._sum / self._counted)
        self._since, self._sum, self._counted = self.done, 0.0, 0
        self._evaluated = self.done, frozenset(evaluation)
        self.run.evaluate(step=self.done, **evaluation)

    def end(self, total_steps: int | None = None) -> None:
        """End the training, stopped early if it did fewer steps than `total_steps`; later values still count."""
        self.flush()
        if self.run is None:
            return
        early = total_steps is not None and self.done < total_steps
        status = Status.STOPPED_EARLY if early else Status.FINISHED
        self.run.ended(
            status,
            reason=f"stopped after {self.done} of {total_steps} step{'' if total_steps == 1 else 's'}" if early else "",
        )

    def fail(self, error: BaseException) -> None:
        """End the training with the error that stopped it."""
        self.flush()
        if self.run is not None:
            self.run.__exit__(type(error), error, error.__traceback__)

    def close(self) -> None:
        """Let go of the last training."""
        self.flush()
        if self.run is not None:
            self.run.leave()
        self.run = None


def brief(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are numbers, short texts or lists of them."""
    plain = settings(values)
    return {name: value for name, value in plain.items() if isinstance(value, int | float | str | list)}
