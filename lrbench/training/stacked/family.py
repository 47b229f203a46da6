"""Which runs may be trained as one stacked program, as far as their configs tell. Does not import torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from lrbench.config import Experiment, RunConfig, canonical, trunk_of
from lrbench.training.kinds import Kind, PlainTraining

if TYPE_CHECKING:
    from lrbench.training.run_one import WorkItem

LEAST = 4  # fewer runs gain too little
LEAST_STEPS = 5_000  # of all runs together: a shorter sweep ends before a trial pays
MOST = 64  # more runs gain no more, since their weights no longer fit into the cache
OPTIMIZERS = ("adam", "adamw", "sgd")
_SETTINGS = {"lr", "weight_decay", "eps", "betas", "momentum", "dampening", "nesterov", "decoupled_weight_decay"}
_FREE = ("seed", "optimizer", "schedule", "warmup", "plateau", "early_stopping", "best_by", "as_of")
_USUAL: dict[str, tuple[object, ...]] = {
    "accumulate": (None, 1),
    "compile": (False,),
    "clip_grad_norm": (None,),
    "on_non_finite": (None, "stop"),
    "init_from": (None,),
    "continues": (None,),
    "keep": (None, "best"),
    "branches": (None,),
}
"""Keys of a config, and the values that a stack can have."""


def family_of(config: RunConfig, kind: Kind) -> str | None:
    """Return what all runs of a stack have in common, as hex digits; None for a run that has to be trained alone.

    Runs of a family may differ in seed, learning rate, schedule, warm-up, plateau rule, early stopping and the
    optimizer's numbers.
    """
    if not isinstance(config, Experiment) or type(kind) is not PlainTraining or trunk_of(config) is not None:
        return None
    optimizer, rules = config.optimizer, config.dataset.rules
    plain = not kind.keeps and not config.imports and config.precision == "fp32" and not config.device.startswith("mps")
    plain = plain and not rules.augment and not rules.collate and not rules.sampler
    usual = all(getattr(config, name) in values for name, values in _USUAL.items())
    if not plain or not usual or optimizer.name not in OPTIMIZERS or not set(optimizer.params) <= _SETTINGS:
        return None
    same = {key: value for key, value in canonical(config).items() if key not in _FREE}
    same |= {"optimizer": optimizer.name, "momentum": bool(optimizer.params.get("momentum")), "device": config.device}
    same |= {"decoupled": bool(optimizer.params.get("decoupled_weight_decay"))}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def stacks(items: Sequence[WorkItem], jobs: int) -> list[tuple[WorkItem, ...]]:
    """Divide runs into stacks for so many workers, and single runs; the largest families come first.

    Runs that differ only in the seed are neighbours, since the optimizer takes them together.
    """
    families: dict[str, list[WorkItem]] = {}
    for item in items:
        families.setdefault(item.family or str(item.path), []).append(item)
    found: list[tuple[WorkItem, ...]] = []
    for family in sorted(families.values(), key=len, reverse=True):
        if len(family) < LEAST or _short(family):
            found += [(replace(item, family=None),) for item in family]
            continue
        family.sort(key=_alike)
        count = max(min(jobs, len(family) // LEAST), -(-len(family) // MOST))
        ends = [len(family) * number // count for number in range(count + 1)]
        found += [tuple(family[begin:end]) for begin, end in pairwise(ends)]
    return found


def _short(family: Sequence[WorkItem]) -> bool:
    """Return whether the runs are known to be too short for a trial."""
    config = family[0].experiment
    assert isinstance(config, Experiment)
    examples = config.dataset.rules.training_examples(config.dataset.part.name)
    steps = config.steps or (config.epochs or 0) * config.updates_per_epoch(examples or 0)
    return family[0].stack != "yes" and 0 < steps * len(family) < LEAST_STEPS


def _alike(item: WorkItem) -> str:
    plain = item.experiment.plain()
    return json.dumps([plain.get(key) for key in ("schedule", "warmup", "optimizer", "plateau")], default=str)
