"""Other tools' plateau rules by the names they have there: each stands for a schedule and a `plateau:` block.

They need the run's results, so they are no functions of the step, and only a config's `schedule:` can name them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lrbench.registry import Catalog
from lrbench.types import Count, MetricName, Natural, NonNegative

Factor = Annotated[float, Field(gt=0, lt=1, strict=True)]
Mode = Literal["min", "max"]
_METRIC = {"min": "val_loss", "max": "val_accuracy"}


def reduce_lr_on_plateau(
    *,
    mode: Mode = "min",
    factor: Factor = 0.1,
    patience: Natural = 10,
    threshold: NonNegative = 1e-4,
    threshold_mode: Literal["rel", "abs"] = "rel",
    cooldown: Natural = 0,
    min_lr: NonNegative = 0.0,
) -> dict[str, Any]:
    """Torch's ReduceLROnPlateau on a constant rate: `schedule: constant` with a `plateau:` block.

    Torch leaves out a change of less than 1e-8 (its eps); here it is made.

    Args:
        mode: `min` watches the validation loss, `max` the validation accuracy.
        factor: what the rate is multiplied by.
        patience: epochs without improvement that are borne; the next one lowers the rate.
        threshold: what counts as an improvement.
        threshold_mode: `rel`, relative to the best, or `abs`.
        cooldown: epochs after a change that are not counted.
        min_lr: the rate is not brought under it.
    """
    plateau = {
        "metric": _METRIC[mode],
        "factor": factor,
        "patience": patience,
        "threshold": threshold,
        "cooldown": cooldown,
        "min_lr": min_lr,
    }
    return {"schedule": "constant", "plateau": plateau | ({"threshold_mode": "abs"} if threshold_mode == "abs" else {})}


def timm_plateau(
    *,
    decay_rate: Factor = 0.1,
    patience_t: Natural = 10,
    threshold: NonNegative = 1e-4,
    cooldown_t: Natural = 0,
    warmup_t: Natural = 0,
    warmup_lr_init: NonNegative = 0.0,
    lr_min: NonNegative = 0.0,
    mode: Mode = "max",
) -> dict[str, Any]:
    """timm's PlateauLRScheduler: `timm/constant` with a `plateau:` block that begins after the warm-up.

    Args:
        decay_rate: what the rate is multiplied by.
        patience_t: epochs without improvement that are borne.
        threshold: what counts as an improvement, relative to the best.
        cooldown_t: epochs after a change that are not counted.
        warmup_t: epochs of warm-up; the rate changes once an epoch.
        warmup_lr_init: the rate at which the warm-up begins.
        lr_min: the rate is not brought under it.
        mode: `max` watches the validation accuracy, `min` the validation loss.
    """
    plateau = {
        "metric": _METRIC[mode],
        "factor": decay_rate,
        "patience": patience_t,
        "threshold": threshold,
        "cooldown": cooldown_t,
        "min_lr": lr_min,
    }
    if not warmup_t:
        return {"schedule": "constant", "plateau": plateau}
    schedule = {"name": "timm/constant", "warmup_t": warmup_t, "warmup_lr_init": warmup_lr_init}
    return {"schedule": schedule, "plateau": {**plateau, "start": warmup_t}}


def keras_plateau(
    *,
    monitor: MetricName = "val_loss",
    factor: Factor = 0.1,
    patience: Count = 10,
    min_delta: NonNegative = 1e-4,
    cooldown: Natural = 0,
    min_lr: NonNegative = 0.0,
) -> dict[str, Any]:
    """Keras's ReduceLROnPlateau callback: `schedule: constant` with a `plateau:` block.

    Keras lowers the rate at the `patience`-th epoch without improvement, torch (and lrbench) at the one after it;
    and Keras counts the last epoch of a cooldown already. Both are one less in the block.

    Args:
        monitor: `val_loss`, `val_accuracy` or another metric.
        factor: what the rate is multiplied by.
        patience: the rate is lowered at this many epochs without improvement.
        min_delta: what counts as an improvement, absolute.
        cooldown: epochs after a change that are not counted, the last one excepted.
        min_lr: the rate is not brought under it.
    """
    plateau = {
        "metric": monitor,
        "factor": factor,
        "patience": patience - 1,
        "threshold": min_delta,
        "threshold_mode": "abs",
        "cooldown": max(cooldown - 1, 0),
        "min_lr": min_lr,
    }
    return {"schedule": "constant", "plateau": plateau}


PLATEAUS = Catalog(
    kind="schedule",
    entries={
        "hf/reduce_lr_on_plateau": reduce_lr_on_plateau,
        "keras/ReduceLROnPlateau": keras_plateau,
        "timm/plateau": timm_plateau,
        "torch/ReduceLROnPlateau": reduce_lr_on_plateau,
    },
)
