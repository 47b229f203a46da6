"""What a config names: data sets, models, optimizers and losses, and the tasks and metrics that define measurements.

Each kind is a catalogue of factories with a builder. Nothing here knows about configs, run folders or training, and
torch is imported only when something is built.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lrbench.components.data import DATASETS, DatasetRules, Normalize, Validation
from lrbench.components.data import load as load_dataset
from lrbench.components.losses import LOSSES, Loss, build_loss, void_hint
from lrbench.components.metrics import (
    KNOWN,
    LOSS,
    NAMED,
    Measure,
    Metric,
    epoch_columns,
    in_words,
    measures,
    metrics_of,
    number,
    place,
    recorded,
)
from lrbench.components.models import MODELS, build_model, padded
from lrbench.components.optimizers import (
    AVERAGES,
    DEFAULT_LR,
    OPTIMIZERS,
    SETS_ITS_OWN_RATE,
    GroupRules,
    Stage,
    Stages,
    adam_beta2,
    at_rate,
    build_optimizer,
    check_parameters,
    configured_rate,
    kinds_of,
    known_defaults,
    parameter_groups,
    peak_and_ratios,
)
from lrbench.components.tasks import METRICS, OF_TASK, TASKS, Task, build_task, suited, task_hooks, usual_loss

if TYPE_CHECKING:
    from lrbench.components.data.batches import EVALUATION_BATCH, Batch, Data, Split, Tensors, in_groups
    from lrbench.components.data.classes import classes_in, outputs_and_classes
    from lrbench.components.data.collate import described
    from lrbench.components.data.loaders import read_by
    from lrbench.components.data.nested import mapped
    from lrbench.components.data.sources import data_root
    from lrbench.components.models.cpu_ops import kept, masks_from
    from lrbench.components.tasks.pairs import PairTask

_WITH_TORCH = {
    "data.batches": ("EVALUATION_BATCH", "Batch", "Data", "Split", "Tensors", "in_groups"),
    "data.classes": ("classes_in", "outputs_and_classes"),
    "data.collate": ("described",),
    "data.loaders": ("read_by",),
    "data.nested": ("mapped",),
    "data.sources": ("data_root",),
    "models.cpu_ops": ("kept", "masks_from"),
    "tasks.pairs": ("PairTask",),
}
_HOMES = {name: home for home, names in _WITH_TORCH.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lrbench.components' has no attribute '{name}'")
    return getattr(importlib.import_module(f"lrbench.components.{_HOMES[name]}"), name)
