"""What a config names: data sets, models, optimizers and losses, and the tasks and metrics that define measurements.

Each kind is a catalogue of factories with a builder. Nothing here knows about configs, run folders or training, and
torch is imported only when something is built.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lrbench.components.data import DATASETS, DatasetRules, Normalize, Validation
from lrbench.components.data import load as load_dataset
from lrbench.components.losses import LOSSES, Loss, build_loss
from lrbench.components.metrics import (
    KNOWN,
    LOSS,
    Measure,
    Metric,
    epoch_columns,
    measures,
    metrics_of,
    number,
    place,
    recorded,
)
from lrbench.components.models import MODELS, build_model
from lrbench.components.optimizers import (
    AVERAGES,
    DEFAULT_LR,
    OPTIMIZERS,
    SETS_ITS_OWN_RATE,
    GroupRules,
    Stages,
    adam_beta2,
    at_rate,
    build_optimizer,
    check_parameters,
    configured_rate,
    parameter_groups,
    peak_and_ratios,
)
from lrbench.components.tasks import Task, task_for

if TYPE_CHECKING:
    from lrbench.components.data.batches import EVALUATION_BATCH, Batch, Data, Split, Tensors, in_groups

_WITH_TORCH = ("EVALUATION_BATCH", "Batch", "Data", "Split", "Tensors", "in_groups")


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module 'lrbench.components' has no attribute '{name}'")
    return getattr(importlib.import_module("lrbench.components.data.batches"), name)
