"""A range test with the Trainer of Hugging Face's transformers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lrbench.errors import UsageError
from lrbench.integrations.attributes import keep_attributes
from lrbench.lr_finder import Finding, RangeTest
from lrbench.training import keep_generators

if TYPE_CHECKING:
    from transformers import Trainer

_QUIET = {
    "save_strategy": "no", "eval_strategy": "no", "logging_strategy": "no", "eval_on_start": False,
    "load_best_model_at_end": False, "push_to_hub": False, "save_total_limit": None,
    "logging_nan_inf_filter": False, "disable_tqdm": True,
}  # fmt: skip
"""Settings of the Trainer with which it only trains."""


def hf_range_test(
    trainer: Trainer, start: float = 1e-7, end: float = 10.0, steps: int = 300, **settings: Any
) -> Finding:
    """Run a range test with a Trainer of Hugging Face's transformers, before `trainer.train()`.

        finding = lrbench.integrations.hf_range_test(trainer)
        print(finding)

    It trains as `trainer.train()` would, with the Trainer's optimizer, batches, precision and gradient accumulation,
    but without its schedule, its callbacks, evaluations, checkpoints and logs. Afterwards everything is as it was:
    model, optimizer, random generators and the Trainer itself.

    Args:
        trainer: the Trainer, with its model and training data.
        start: the first learning rate.
        end: the last learning rate.
        steps: optimizer steps from the first learning rate to the last.
        settings: `passes`, `shape`, `smoothing`, `stop_factor`, `name`, `runs`; see `lrbench.RangeTest`.

    Raises:
        UsageError: a setting is invalid, or DeepSpeed or FSDP divides the weights between processes.
    """
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        raise UsageError("a range test needs whole weights, but DeepSpeed or FSDP divides them between processes")
    observer = _observer(trainer, {"start": start, "end": end, "steps": steps, **settings})
    generators, accelerator = keep_generators(), trainer.accelerator
    kept = [keep_attributes(one) for one in (trainer, accelerator, accelerator.gradient_state, trainer.model)]
    try:
        _prepare(trainer, observer)
        trainer.train()
        found: Finding = observer.test.finish()
    finally:
        if observer.test is not None:
            observer.test.restore()
        for put_back in reversed(kept):
            put_back()
        generators()
    return found


def _prepare(trainer: Any, observer: Any) -> None:
    """Make a Trainer only train, at the learning rates of the test, and only tell the observer of it."""
    from transformers import DefaultFlowCallback
    from transformers.trainer_callback import CallbackHandler

    callbacks: Any = CallbackHandler
    trainer.args, trainer.control = _quiet(trainer.args), copy.copy(trainer.control)
    trainer.lr_scheduler, trainer._created_lr_scheduler = _Still(), False
    trainer.callback_handler = callbacks(
        [DefaultFlowCallback, observer], trainer.model, trainer.processing_class, None, None
    )
    trainer.training_step = observer.measured(trainer.training_step)


class _Still:
    """A schedule that changes nothing, since the test sets the learning rate."""

    def step(self) -> None:
        """Do nothing."""

    def get_last_lr(self) -> list[float]:
        """Return what the Trainer would log."""
        return [0.0]

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


def _observer(trainer: Any, settings: dict[str, Any]) -> Any:
    """Return a callback that makes the test when training begins, and ends training with it."""
    from transformers import TrainerCallback

    class Observer(TrainerCallback):
        test: RangeTest | None = None

        def measured(self, training_step: Callable[..., Any]) -> Callable[..., Any]:
            """Return the Trainer's own step, whose losses are added up: the Trainer has divided them."""
            self.losses: list[Any] = []

            def step(*args: Any, **kwargs: Any) -> Any:
                loss = training_step(*args, **kwargs)
                self.losses.append(loss.detach())
                return loss

            return step

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            scaler = getattr(trainer.accelerator, "scaler", None)
            self.test = RangeTest(trainer.optimizer, model=trainer.model, scaler=scaler, **settings)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            assert self.test is not None, "on_train_begin comes first"
            control.should_training_stop = not self.test.step(sum(self.losses))
            self.losses.clear()

    return Observer()


def _quiet(args: Any) -> Any:
    """Return training arguments for a training that goes on until the test ends it."""
    quiet = copy.copy(args)
    for name, value in _QUIET.items():
        known = getattr(args, name, None)
        made: Any = type(known)
        setattr(quiet, name, made(value) if isinstance(value, str) else value)
    quiet.max_steps = 2**31
    return quiet
