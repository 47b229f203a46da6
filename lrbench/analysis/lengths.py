"""How long runs are meant to be."""

from __future__ import annotations

from lrbench.analysis.records import Record


def planned_epochs(record: Record) -> int | None:
    """Return the number of epochs in the run's budget."""
    sizes = record.environment.sizes
    if sizes.steps_per_epoch and sizes.total_steps:
        return -(-sizes.total_steps // sizes.steps_per_epoch)
    epochs = record.plain.get("epochs")
    return epochs if isinstance(epochs, int) else None


def planned_steps(record: Record) -> int | None:
    """Return the number of steps in the run's budget, as recorded."""
    return record.recorded.total_steps or record.environment.sizes.total_steps


def steps_per_epoch(record: Record) -> float:
    """Return the steps in an epoch, as recorded by one of lrbench's own runs."""
    told, epochs = record.environment.sizes.steps_per_epoch, record.epochs
    if told:
        return float(told)
    return float(epochs["step"][0] / epochs["epoch"][0]) if len(epochs) else 1.0
