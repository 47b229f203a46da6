"""A range test with a Trainer of Lightning."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from lrbench.errors import UsageError
from lrbench.integrations.attributes import keep_attributes
from lrbench.lr_finder import Finding, KeptState, RangeTest
from lrbench.training import keep_generators

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

_TAKEN_OVER = (
    "accelerator", "num_nodes", "precision", "accumulate_grad_batches", "gradient_clip_val",
    "gradient_clip_algorithm", "limit_train_batches", "reload_dataloaders_every_n_epochs", "overfit_batches",
)  # fmt: skip
"""Settings of a Trainer that change what is trained; its attributes and arguments have the same names."""


def lightning_range_test(
    trainer: Trainer,
    model: LightningModule,
    train_dataloaders: Any = None,
    datamodule: Any = None,
    *,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 300,
    **settings: Any,
) -> Finding:
    """Run a range test with a module of Lightning, before `trainer.fit(model, …)`.

        finding = lrbench.integrations.lightning_range_test(trainer, model, loader)
        print(finding)

    It trains with the optimizer of `configure_optimizers`, and with device, precision, gradient clipping and
    accumulation of `trainer`, but without learning rate schedulers, callbacks, validation, checkpoints and logs.
    Another Trainer does it, so that `trainer` itself does not change. Afterwards module, data module and random
    generators are as they were.

    Args:
        trainer: the Trainer that will train.
        model: the module, with one optimizer and automatic optimization.
        train_dataloaders: as for `trainer.fit`.
        datamodule: as for `trainer.fit`.
        start: the first learning rate.
        end: the last learning rate.
        steps: optimizer steps from the first learning rate to the last.
        settings: `passes`, `shape`, `smoothing`, `stop_factor`, `name`, `runs`; see `lrbench.RangeTest`.

    Raises:
        UsageError: a setting is invalid, or the module has several optimizers or an optimization of its own, or several
            processes train.
    """
    if trainer.world_size > 1:
        raise UsageError("the range test of a Lightning module needs a Trainer of one process, devices=1")
    if not model.automatic_optimization:
        raise UsageError("the module optimizes by itself; use lrbench.RangeTest in its training_step")
    observer = _observer({"start": start, "end": end, "steps": steps, **settings})
    generators, own = keep_generators(), KeptState([], [], _generators(train_dataloaders))
    put_back = [keep_attributes(one) for one in (model, datamodule) if one is not None]
    try:
        _quiet(trainer, observer).fit(model, train_dataloaders, datamodule=datamodule)
        if observer.test is None:
            raise UsageError("training ended before the first step; the range test needs training data")
        found: Finding = observer.test.finish()
    finally:
        if observer.test is not None:
            observer.test.restore()
        for put in put_back:
            put()
        own.put_back()
        generators()
    return found


def _quiet(trainer: Trainer, observer: Any) -> Trainer:
    """Return a Trainer that trains in the same way, but does nothing else, until the test ends it."""
    devices: Any = [trainer.strategy.root_device.index] if trainer.strategy.root_device.index is not None else 1
    same = {name: getattr(trainer, name) for name in _TAKEN_OVER if getattr(trainer, name, None) is not None}
    return type(trainer)(
        **same, devices=devices, callbacks=[observer], max_epochs=-1, limit_val_batches=0, num_sanity_val_steps=0,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=trainer.default_root_dir,
    )  # fmt: skip


def _generators(loaders: Any) -> list[Any]:
    """Return the generators of a data loader and its sampler, which the test reads from."""
    owners = [loaders, getattr(loaders, "sampler", None)]
    found = {id(one): one for owner in owners if (one := getattr(owner, "generator", None)) is not None}
    return list(found.values())


def _observer(settings: dict[str, Any]) -> Any:
    """Return a callback that makes the test when training begins, and ends training with it."""
    from lightning.pytorch import Callback

    class Observer(Callback):
        test: RangeTest | None = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            if len(trainer.optimizers) != 1:
                raise UsageError(f"a range test needs one optimizer, but the module has {len(trainer.optimizers)}")
            trainer.strategy.lr_scheduler_configs = []
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            self.test = RangeTest(trainer.optimizers[0], model=pl_module, scaler=scaler, **settings)
            self.losses: list[Any] = []
            self.steps = trainer.global_step

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            assert self.test is not None, "on_train_start comes first"
            with contextlib.suppress(KeyError, TypeError):  # a step without a loss was skipped
                self.losses.append(outputs["loss"])
            if trainer.global_step > self.steps and self.losses:
                self.steps = trainer.global_step
                trainer.should_stop = not self.test.step(sum(self.losses))
                self.losses.clear()

    return Observer()
