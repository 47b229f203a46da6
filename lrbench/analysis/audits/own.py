"""The learning rates that the config of one of lrbench's own runs means."""

from __future__ import annotations

import numpy as np

from lrbench.analysis.audits.meant import Meant
from lrbench.analysis.audits.plateau import with_plateau
from lrbench.analysis.audits.recorded import Floats, Recorded
from lrbench.analysis.records import Record
from lrbench.components import configured_rate
from lrbench.config import Experiment
from lrbench.errors import ConfigError
from lrbench.schedules import SCHEDULES

_TORCH = "torch.optim.lr_scheduler:"


def meant_by(record: Record, run: Recorded, *, importing: bool = True) -> Meant | None:
    """Return the schedule of a run's config; None for one that is the user's own code, which a folder never gets run.

    Args:
        record: the run.
        run: what it recorded.
        importing: False to return None for one of another tool, which must be imported, too.

    Raises:
        ConfigError: the config leaves the learning rate to an optimizer that must be imported.
    """
    experiment, sizes, start = record.experiment, record.environment.sizes, record.environment.before.steps
    assert isinstance(experiment, Experiment)
    part = SCHEDULES.canonical(experiment.schedule)
    known = part.name in SCHEDULES.entries
    if not known and (not importing or (part.imported and not part.name.startswith(_TORCH))):
        return None
    per_epoch = sizes.steps_per_epoch or _per_epoch(record)
    total = experiment.steps or sizes.total_steps or (experiment.epochs or 0) * (per_epoch or 0)
    return Meant(
        part,
        _peak(record, experiment, run),
        start + (total or int(run.steps[-1])),
        per_epoch,
        experiment.warmup,
        experiment.as_of,
        start,
    )


def _peak(record: Record, experiment: Experiment, run: Recorded) -> float:
    try:
        return configured_rate(experiment.scaled_optimizer(record.environment.sizes.train_examples))
    except ConfigError:
        known = None if record.result is None else record.result.effective_lr
        return known or run.peak


def _per_epoch(record: Record) -> int | None:
    """Return the steps in an epoch from `epochs.csv`, for a folder that does not record them."""
    if not len(record.epochs):
        return None
    return round(float(record.epochs["step"][-1]) / max(float(record.epochs["epoch"][-1]), 1e-9)) or None


def scale_of(record: Record, meant: Meant, run: Recorded) -> Floats:
    """Return what the plateau rule multiplied each row by; 1 without one."""
    rule = getattr(record.experiment, "plateau", None)
    if rule is None:
        return np.ones(len(run))
    rates = meant.rates(run.positions)
    metric = record.metrics.get(rule.metric.removeprefix("val_"))
    found = with_plateau(
        rule,
        rates,
        run,
        {name: values.astype(float) for name, values in record.epochs.columns.items()},
        lower=metric is None or metric.lower,
        total_steps=meant.total_steps - meant.start,
        state_known=not meant.start,
    )
    scale: Floats = np.where((found > 0) & (rates > 0), found / np.where(rates > 0, rates, 1.0), 1.0)
    return scale
