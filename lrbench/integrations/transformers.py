"""Hugging Face's Trainer: `Trainer(…, callbacks=[LrbenchCallback()])`."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lrbench.errors import LrbenchError
from lrbench.integrations.session import Session

_SETTINGS = (
    "learning_rate",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_ratio",
    "warmup_steps",
    "weight_decay",
    "optim",
    "optim_args",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "max_grad_norm",
    "label_smoothing_factor",
    "data_seed",
)


class LrbenchCallback(TrainerCallback):
    """Records every run of a Trainer: settings, seed, learning rates of all groups, losses, evaluations, predictions.

    The learning rates are those that the optimizer's steps really used. The Trainer tells a step's own loss with
    `logging_steps=1`; otherwise its means count in `train_loss`. `metric_key_prefix="test"` makes an evaluation one of
    the test data, as `predict` does by itself.

    Args:
        options: `name`, `config`, `seed`, `runs`, `metrics` and `best_by`, as of `lrbench.record`.
    """

    def __init__(self, **options: Any) -> None:
        self._session = Session("transformers", **options)
        self._scheduled: Any = None
        self._logged, self._ended, self._of_best = 0, False, False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin a run, or go on with one that a checkpoint resumes."""
        best, higher = args.metric_for_best_model, args.greater_is_better
        best = best and best.removeprefix("eval_")
        run = self._session.begin(
            _known(args, kwargs.get("model")) | _found(args, state),
            seed=args.seed,
            total_steps=state.max_steps if state.max_steps > 0 else None,
            done=state.global_step,
            rank=0 if state.is_world_process_zero else 1,
            best_by=f"val_{best}" if best else "val_loss",
            metrics={best: "higher" if higher else "lower"} if best and higher is not None else None,
            schedule=_watched(args, kwargs.get("lr_scheduler")),
        )
        self._logged, self._ended, self._of_best = state.global_step, False, False
        self._scheduled = None
        try:
            run.watch(kwargs["optimizer"])
        except (LrbenchError, KeyError):  # such as DeepSpeed's
            self._scheduled = kwargs.get("lr_scheduler")

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Read the learning rates of an optimizer that can't be watched."""
        if self._scheduled is not None:
            self._rates = list(self._scheduled.get_last_lr())

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take a step of the optimizer."""
        self._session.step(state.global_step, None if self._scheduled is None else self._rates)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take the mean loss since the last log, and the last step's gradient norm."""
        if logs is None or "loss" not in logs:
            return
        more = {"grad_norm": logs["grad_norm"]} if "grad_norm" in logs else {}
        self._session.tell_loss(logs["loss"], state.global_step - self._logged, **more)
        self._logged = state.global_step

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take an evaluation; one after the training counts unless it is of the best checkpoint."""
        of_best = self._ended and self._of_best
        values = {k: v for k, v in (metrics or {}).items() if isinstance(v, int | float)}
        if of_best and any(name.startswith("test_") for name in values):
            self._note_best()
        if not of_best or any(name.startswith("test_") for name in values):
            self._session.evaluate(values, epoch=state.epoch)
        if self._ended:
            self._session.flush()

    def on_predict(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any, **kwargs: Any
    ) -> None:
        """Take the values on the test data."""
        if self._ended and self._of_best:
            self._note_best()
        self._session.evaluate({k: v for k, v in metrics.items() if k.startswith("test_")})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the run."""
        self._ended = True
        self._of_best = bool(args.load_best_model_at_end and state.best_model_checkpoint)
        self._session.end(state.max_steps)

    def _note_best(self) -> None:
        if self._session.run is not None:
            self._session.run.note("test values are of the best checkpoint, not of the last weights")


def _watched(args: TrainingArguments, scheduler: Any) -> str | None:
    """Return the name of the schedule if the Trainer has made it and its pace can be watched."""
    made = next(iter(getattr(scheduler, "lr_lambdas", ())), None)
    own = getattr(getattr(made, "func", None), "__module__", "") == "transformers.optimization"
    name = str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))
    return name if own and name in ("linear", "cosine", "polynomial") else None


def _found(args: TrainingArguments, state: TrainerState) -> dict[str, Any]:
    """Return the batch size that the Trainer has found, if it looks for one."""
    found = state.train_batch_size if args.auto_find_batch_size else None
    return {} if found is None else {"per_device_train_batch_size": found // max(args.n_gpu, 1)}


def _known(args: TrainingArguments, model: Any) -> dict[str, Any]:
    """Return the settings that the Trainer knows; what is off is left out."""
    values = {name: getattr(args, name, None) for name in _SETTINGS}
    known = {name: value for name, value in values.items() if value not in (None, "", {}, 0)}
    known["max_steps" if args.max_steps > 0 else "num_train_epochs"] = (
        args.max_steps if args.max_steps > 0 else args.num_train_epochs
    )
    known |= {name: True for name in ("bf16", "fp16", "tf32") if getattr(args, name, None)}
    if args.world_size > 1:
        known["world_size"] = args.world_size
    config = getattr(model, "config", None)
    name = getattr(config, "_name_or_path", "") or type(model).__name__
    return known if model is None else {**known, "model": name}
