"""Other tools' plateau rules by their own names; each stands for a schedule and a `plateau:` block.

They need the run's results, so they are not functions of the step, and only a config's `schedule:` can name them.
"""

from __future__ import annotations

from typing import Any, Literal

from lrbench.registry import Catalog
from lrbench.schedules.base import document
from lrbench.types import Count, MetricName, Natural, NonNegative, ProperFraction

Mode = Literal["min", "max"]
_METRIC = {"min": "val_loss", "max": "val_accuracy"}


def reduce_lr_on_plateau(
    *,
    mode: Mode = "min",
    factor: ProperFraction = 0.1,
    patience: Natural = 10,
    threshold: NonNegative = 1e-4,
    threshold_mode: Literal["rel", "abs"] = "rel",
    cooldown: Natural = 0,
    min_lr: NonNegative = 0.0,
) -> dict[str, Any]:
    """Torch's ReduceLROnPlateau: `schedule: constant` with a `plateau:` block.

    Torch skips changes below 1e-8 (its eps); lrbench makes them.

    Args:
        threshold: smallest change that counts as an improvement.
        threshold_mode: `rel`, relative to the best value, or `abs`.
    """
    absolute = {"threshold_mode": "abs"} if threshold_mode == "abs" else {}
    return _on_constant(_METRIC[mode], factor, patience, threshold, cooldown, min_lr, **absolute)


def timm_plateau(
    *,
    decay_rate: ProperFraction = 0.1,
    patience_t: Natural = 10,
    threshold: NonNegative = 1e-4,
    cooldown_t: Natural = 0,
    warmup_t: Natural = 0,
    warmup_lr_init: NonNegative = 0.0,
    lr_min: NonNegative = 0.0,
    mode: Mode = "max",
) -> dict[str, Any]:
    """timm's PlateauLRScheduler: `timm/constant` with a `plateau:` block that starts after the warm-up.

    Args:
        threshold: smallest change that counts as an improvement, relative to the best value.
        warmup_t: epochs of warm-up; the learning rate changes once per epoch.
        warmup_lr_init: the learning rate at the start of the warm-up.
    """
    blocks = _on_constant(_METRIC[mode], decay_rate, patience_t, threshold, cooldown_t, lr_min)
    if warmup_t:
        blocks["schedule"] = {"name": "timm/constant", "warmup_t": warmup_t, "warmup_lr_init": warmup_lr_init}
        blocks["plateau"]["start"] = warmup_t
    return blocks


def keras_plateau(
    *,
    monitor: MetricName = "val_loss",
    factor: ProperFraction = 0.1,
    patience: Count = 10,
    min_delta: NonNegative = 1e-4,
    cooldown: Natural = 0,
    min_lr: NonNegative = 0.0,
) -> dict[str, Any]:
    """Keras's ReduceLROnPlateau callback: `schedule: constant` with a `plateau:` block.

    Keras lowers the learning rate at the `patience`-th epoch without improvement, torch and lrbench one epoch later;
    and Keras already counts the last epoch of a cooldown. So the block has one less of both.

    Args:
        monitor: `val_loss`, `val_accuracy` or another metric.
        patience: epochs without improvement after which the learning rate is lowered.
        min_delta: smallest change that counts as an improvement, absolute.
        cooldown: epochs to ignore after a change, except the last one.
    """
    ignored = max(cooldown - 1, 0)
    return _on_constant(monitor, factor, patience - 1, min_delta, ignored, min_lr, threshold_mode="abs")


def _on_constant(
    metric: str, factor: float, patience: int, threshold: float, cooldown: int, min_lr: float, **more: str
) -> dict[str, Any]:
    plateau = {"metric": metric, "factor": factor, "patience": patience, "threshold": threshold, "cooldown": cooldown}
    return {"schedule": "constant", "plateau": {**plateau, "min_lr": min_lr, **more}}


PLATEAUS = Catalog(
    kind="schedule",
    entries={
        "hf/reduce_lr_on_plateau": reduce_lr_on_plateau,
        "keras/ReduceLROnPlateau": keras_plateau,
        "timm/plateau": timm_plateau,
        "torch/ReduceLROnPlateau": reduce_lr_on_plateau,
    },
)

document(
    PLATEAUS.entries,
    {
        "mode": "`min` watches the validation loss, `max` the validation accuracy.",
        **dict.fromkeys(("factor", "decay_rate"), "multiplies the learning rate."),
        **dict.fromkeys(
            ("patience", "patience_t"), "epochs without improvement to tolerate; the next one lowers the learning rate."
        ),
        **dict.fromkeys(("cooldown", "cooldown_t"), "epochs to ignore after a change."),
        **dict.fromkeys(("min_lr", "lr_min"), "minimum learning rate."),
    },
)
