"""Lightning: `Trainer(callbacks=[LrbenchCallback()])`, or `Trainer(logger=LrbenchLogger())`."""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Mapping
from typing import Any

from lrbench.integrations.processes import rank
from lrbench.integrations.session import Session, brief
from lrbench.integrations.values import number, split_name, word

_old = "lightning" not in sys.modules and "pytorch_lightning" in sys.modules
_pl = importlib.import_module("pytorch_lightning" if _old else "lightning.pytorch")
_loggers = importlib.import_module(f"{_pl.__name__}.loggers.logger")
_SEED = "PL_GLOBAL_SEED"
_WATCHED = {"CosineAnnealingLR": "cosine", "OneCycleLR": "one_cycle", "PolynomialLR": "polynomial"}


class LrbenchCallback(_pl.Callback):  # type: ignore[name-defined]
    """Records every fit of a Trainer: hyperparameters, seed, learning rates of all groups, losses, evaluations, tests.

    The learning rates are those that the optimizers' steps really used, before Lightning moves their schedulers on. The
    loss is the step's own; with accumulated gradients, the mean of its batches. What the module logs in validation
    counts as `val_…`, also without that prefix.

    Args:
        options: `name`, `config`, `seed`, `runs`, `metrics` and `best_by`, as of `lrbench.record`.
    """

    def __init__(self, **options: Any) -> None:
        self._session = Session("lightning", **options)
        self._losses: list[Any] = []
        self._before: set[str] = set()
        self._validated: set[str] = set()

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Begin a run, or go on with one that a checkpoint resumes."""
        self._losses, self._validated = [], set()
        monitored = next((c for c in trainer.callbacks if getattr(c, "monitor", None)), None)
        best = split_name(monitored.monitor) if monitored is not None else "val_loss"
        best = best if best.startswith("val_") else "val_loss"
        higher = {"min": "lower", "max": "higher"}.get(getattr(monitored, "mode", ""))
        run = self._session.begin(
            _known(trainer, module),
            seed=_seed(),
            total_steps=_total(trainer),
            done=trainer.global_step,
            rank=trainer.global_rank,
            metrics={best: higher} if higher else None,
            best_by=best,
            steps_per_epoch=_steps_per_epoch(trainer),
            **_schedule(trainer),
        )
        run.watch(*trainer.optimizers)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Take a batch, and the step that it completes."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if loss is not None:  # Lightning has divided it
            self._losses.append(loss.detach() * trainer.accumulate_grad_batches)
        if trainer.global_step > self._session.done:
            losses, self._losses = self._losses, []
            mean = sum(losses[1:], losses[0]) / len(losses) if losses else None
            self._session.step(trainer.global_step, loss=mean)

    def on_validation_start(self, trainer: Any, module: Any) -> None:
        """Look which values there are without this validation."""
        self._before = set(trainer.callback_metrics)

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        """Take an evaluation."""
        if trainer.sanity_checking or self._session.run is None or trainer.state.fn != "fit":
            return
        self._validated |= set(trainer.callback_metrics) - self._before
        found = {name: v for name, v in trainer.callback_metrics.items() if self._of_validation(name)}
        self._session.evaluate(found, epoch=_epoch(trainer))

    def on_test_end(self, trainer: Any, module: Any) -> None:
        """Take the values on the test data."""
        if self._session.run is None:
            return
        if trainer.ckpt_path:
            self._session.run.note(f"test values are of the checkpoint {os.path.basename(trainer.ckpt_path)}")  # noqa: PTH119
        values = {split_name(name, "test"): value for name, value in trainer.callback_metrics.items()}
        self._session.evaluate({name: value for name, value in values.items() if name.startswith("test_")})

    def on_train_end(self, trainer: Any, module: Any) -> None:
        """End the run."""
        self._session.end(_total(trainer) if trainer.should_stop else None)

    def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
        """End the run with the error, or leave it interrupted."""
        self._session.fail(exception)

    def _of_validation(self, name: str) -> bool:
        return name in self._validated or split_name(name, "train").startswith("val_")


class LrbenchLogger(_loggers.Logger):  # type: ignore[name-defined]
    """Records what Lightning sends to loggers: what the module logs, and the rates of a `LearningRateMonitor`.

    Lightning sends values every `log_every_n_steps` steps only; `LrbenchCallback` records every step. Each `lr-…` is
    that of the step at which it is logged.

    Args:
        options: `name`, `config`, `seed`, `runs`, `metrics` and `best_by`, as of `lrbench.record`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._session = Session("lightning", **options)
        self._known: dict[str, Any] = {}
        self._ended = False

    @property
    def name(self) -> str:
        """The name of the run."""
        return self._session.name or "lrbench"

    @property
    def version(self) -> str:
        """The name of the run's folder."""
        run = self._session.run
        return "" if run is None or run.path is None else run.path.name

    @property
    def experiment(self) -> Any:
        """The recorder; None before anything was logged."""
        return self._session.run

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Take the module's hyperparameters."""
        self._known |= brief(params)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Take values; `step` counts from 0, as Lightning does."""
        done = (step or 0) + 1
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        if self._session.run is None or (self._ended and not _tests(values)):
            self._session.begin(self._known, seed=_seed(), resume=True, rank=rank()[0])
            self._ended = False
        rates = {name: value for name, value in values.items() if name.startswith("lr-")}
        found = {name: split_name(name, "own") for name in values if name not in rates}
        split = next((s for s in ("val", "test") for name in found.values() if name.startswith(f"{s}_")), None)
        evaluated = {k: values[k] for k, name in found.items() if split and not name.startswith("train_")}
        own = {name: value for name, value in values.items() if name not in rates and name not in evaluated}
        own = {name: value for name, value in own.items() if not name.endswith("_epoch")}
        if rates or own:
            short = {_short(name): value for name, value in own.items()}
            lr = {word(name.removeprefix("lr-")): value for name, value in rates.items()}
            self._session.step(done, lr or None, **short)
        if evaluated:
            self._session.done = done
            epoch = None if "epoch" not in metrics else metrics["epoch"] + 1
            self._session.evaluate(evaluated, epoch=epoch, default=split or "val")

    def finalize(self, status: str) -> None:
        """End the run as Lightning says: `success`, `failed`."""
        run = self._session.run
        if run is None:
            return
        if status in ("success", "finished"):
            self._session.end()
            self._ended = True
        elif run is not None:
            self._session.fail(sys.exc_info()[1] or RuntimeError(f"Lightning ended with status {status}"))


def _short(name: str) -> str:
    """Return the column of `steps.csv` for what a module logs in training."""
    short = split_name(name, "train").removeprefix("train_").removesuffix("_step")
    return short if short == "loss" else word(name)


def _tests(values: Mapping[str, Any]) -> bool:
    return bool(values) and all(split_name(name, "train").startswith("test_") for name in values)


def _seed() -> int | None:
    text = os.environ.get(_SEED, "")
    return int(text) if text.isdigit() else None


def _total(trainer: Any) -> int | None:
    total = trainer.estimated_stepping_batches
    return int(total) if 0 < total < math.inf else None


def _epoch(trainer: Any) -> float:
    """Return the epochs done, of which a validation inside one counts the part."""
    progress = trainer.fit_loop.epoch_loop.batch_progress.current
    done = progress.processed / trainer.num_training_batches if trainer.num_training_batches else 0.0
    return float(trainer.current_epoch + (1 if done >= 1 else round(done, 6)))


def _steps_per_epoch(trainer: Any) -> int | None:
    batches = trainer.num_training_batches
    return None if batches == math.inf else math.ceil(batches / trainer.accumulate_grad_batches)


def _schedule(trainer: Any) -> dict[str, Any]:
    """Return the schedule to watch, and whether it is meant to move once an epoch, as its length tells."""
    config = next(iter(trainer.lr_scheduler_configs), None)
    name = _WATCHED.get(type(getattr(config, "scheduler", None)).__name__)
    if config is None or name is None:
        return {}
    length = getattr(config.scheduler, "total_steps", getattr(config.scheduler, "T_max", 0))
    short = trainer.max_epochs is None or trainer.max_epochs < 0 or length <= trainer.max_epochs
    return {"schedule": name, "per_epoch": config.interval == "epoch" and short}


def _known(trainer: Any, module: Any) -> dict[str, Any]:
    """Return the settings that Lightning knows."""
    known = brief(getattr(module, "hparams", {}) or {})
    known |= brief(getattr(trainer.datamodule, "hparams", {}) or {}) if trainer.datamodule is not None else {}
    optimizer = next(iter(trainer.optimizers), None)
    schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
    precision = str(trainer.precision)
    group = {} if optimizer is None else optimizer.param_groups[0]
    own = {
        "lr": number(group.get("initial_lr", group.get("lr"))),
        "optimizer": None if optimizer is None else type(optimizer).__name__,
        "weight_decay": group.get("weight_decay"),
        "scheduler": type(schedulers[0]).__name__ if schedulers else None,
        "batch_size": getattr(trainer.train_dataloader, "batch_size", None),
        "accumulate_grad_batches": trainer.accumulate_grad_batches if trainer.accumulate_grad_batches > 1 else None,
        "gradient_clip_val": trainer.gradient_clip_val,
        "precision": None if precision == "32-true" else precision,
        "max_epochs": trainer.max_epochs if (trainer.max_epochs or -1) > 0 else None,
        "max_steps": trainer.max_steps if trainer.max_steps > 0 else None,
        "world_size": trainer.world_size if trainer.world_size > 1 else None,
        "model": type(module).__name__,
    }
    if any(name in known for name in ("lr", "learning_rate")):
        own["lr"] = None
    return own | known
