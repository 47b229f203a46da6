"""fastai: `Learner(…, cbs=LrbenchCallback())`, or `learn.fit(…, cbs=LrbenchCallback())`."""

from __future__ import annotations

from typing import Any

from fastai.callback.core import Callback

from lrbench.integrations.processes import rank
from lrbench.integrations.session import Session


class LrbenchCallback(Callback):
    """Records every fit of a Learner: settings, learning rates of all groups, losses, and the epochs' metrics.

    The learning rates are those that fastai's schedulers have set for the step; the loss is the step's own, not the
    smoothed one that fastai shows. Runs of the learning rate finder and predictions are left out.

    Args:
        options: `name`, `config`, `seed`, `runs`, `metrics` and `best_by`, as of `lrbench.record`.
    """

    order = 60  # after fastai's Recorder

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._session = Session("fastai", **options)
        self._lr: Any = None
        self._total: int | None = None

    def before_fit(self) -> None:
        """Begin a run."""
        learn = self.learn
        self.run = not hasattr(learn, "lr_finder") and not hasattr(self, "gather_preds")
        if not self.run:
            return
        self._total = learn.n_epoch * len(learn.dls.train)
        self._session.begin(_known(learn), total_steps=self._total, rank=rank()[0])

    def before_step(self) -> None:
        """Read the learning rates of the step that comes."""
        self._lr = [group["lr"] for group in self.learn.opt.hypers]

    def after_step(self) -> None:
        """Take the step."""
        self._session.step(self._session.done + 1, self._lr, self.learn.loss)

    def after_epoch(self) -> None:
        """Take the values of an epoch, but not the smoothed training loss."""
        recorder = self.learn.recorder
        names, values = list(recorder.metric_names)[1:], recorder.values[-1] if recorder.values else []
        known = {name: value for name, value in zip(names, values, strict=False) if name not in ("train_loss", "time")}
        self._session.evaluate(known, epoch=self.learn.epoch + 1)

    def after_fit(self) -> None:
        """End the run."""
        self._session.end(self._total)


def _known(learn: Any) -> dict[str, Any]:
    """Return the settings that fastai knows."""
    rates = [group["lr"] for group in learn.opt.hypers]
    schedule = getattr(learn, "param_scheduler", None) or next((c for c in learn.cbs if hasattr(c, "scheds")), None)
    peak = getattr(learn, "lr", None) if schedule is None else max(_highest(schedule.scheds.get("lr")), default=None)
    return {
        "lr": float(max(rates)) if peak is None else float(peak),
        "schedule": None if schedule is None else "scheduled",
        "optimizer": getattr(learn.opt_func, "__name__", None),
        "weight_decay": learn.wd,
        "batch_size": learn.dls.bs,
        "epochs": learn.n_epoch,
        "model": type(learn.model).__name__,
    }


def _highest(schedule: Any) -> list[float]:
    """Return the highest learning rate of a schedule, a function of the part of the training that is done."""
    if schedule is None:
        return []
    values = [schedule(i / 100) for i in range(101)]
    return [float(max(value) if hasattr(value, "__len__") else value) for value in values]
