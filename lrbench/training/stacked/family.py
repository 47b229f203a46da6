"""Which runs may be trained as one stacked program, as far as their configs tell. Does not import torch."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from lrbench.config import Experiment, RunConfig, canonical, trunk_of
from lrbench.training.kinds import Kind, PlainTraining

if TYPE_CHECKING:
    from lrbench.training.run_one import WorkItem

LEAST = 4  # fewer runs gain too little
LEAST_STEPS = 5_000  # of all runs together: a shorter sweep ends before a trial pays
LONG = 300_000  # steps of all runs together, about a minute of a core
MOST = 64  # more runs gain no more, since their weights no longer fit into the cache
OPTIMIZERS = ("adam", "adamw", "sgd")
_SETTINGS = {"lr", "weight_decay", "eps", "betas", "momentum", "dampening", "nesterov", "decoupled_weight_decay"}
_FREE = ("seed", "optimizer", "schedule", "warmup", "plateau", "early_stopping", "best_by", "as_of")
_USUAL: dict[str, tuple[object, ...]] = {
    "accumulate": (None, 1),
    "compile": (False,),
    "on_non_finite": (None, "stop"),
    "init_from": (None,),
    "continues": (None,),
    "keep": (None, "best"),
    "branches": (None,),
}
"""Keys of a config, and the values that a stack can have."""


def why_alone(config: RunConfig, kind: Kind) -> str:
    """Return why a run has to be trained alone, as far as its config tells; empty if it may be stacked."""
    if not isinstance(config, Experiment):
        return "a command trains them"
    if type(kind) is not PlainTraining:
        return "they are pruned or halved"
    if trunk_of(config) is not None or kind.keeps:
        return "they have branches"
    if config.limits.any:
        return "a timeout, stall or memory limit needs a process for each"
    if config.imports:
        return f"they have code of your own ({config.imports[0]})"
    if config.precision != "fp32" or config.device.startswith("mps"):
        return f"stacks don't have precision {config.precision} on {config.device}"
    rules, optimizer = config.dataset.rules, config.optimizer
    if rules.augment or rules.collate or rules.sampler:
        return "their data are augmented, or have a collate or sampler"
    if optimizer.name not in OPTIMIZERS:
        return f"stacks don't have the optimizer {optimizer.name}"
    unusual = [name for name, values in _USUAL.items() if getattr(config, name) not in values]
    unusual += [f"optimizer.{name}" for name in sorted(set(optimizer.params) - _SETTINGS)]
    return f"stacks don't have `{unusual[0]}`" if unusual else ""


def family_of(config: RunConfig, kind: Kind) -> str | None:
    """Return what all runs of a stack have in common, as hex digits; None for a run that has to be trained alone.

    Runs of a family may differ in seed, learning rate, schedule, warm-up, plateau rule, early stopping and the
    optimizer's numbers.
    """
    if not isinstance(config, Experiment) or why_alone(config, kind):
        return None
    optimizer = config.optimizer
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
        if len(family) < LEAST or _short(family[0].experiment, len(family), family[0].stack):
            found += [(replace(item, family=None),) for item in family]
            continue
        family.sort(key=_alike)
        count = max(min(jobs, len(family) // LEAST), -(-len(family) // MOST))
        ends = [len(family) * number // count for number in range(count + 1)]
        found += [tuple(family[begin:end]) for begin, end in pairwise(ends)]
    return found


def left_alone(runs: Sequence[tuple[RunConfig, Kind]], stack: str) -> Mapping[str, int]:
    """Return how many runs are not stacked, by the reason, as far as that is known before a trial."""
    families: dict[str | None, list[RunConfig]] = {}
    reasons = Counter[str]()
    for config, kind in runs:
        if reason := why_alone(config, kind):
            reasons[reason] += 1
        else:
            families.setdefault(family_of(config, kind), []).append(config)
    for family in families.values():
        if len(family) < LEAST:
            reasons[f"a stack has at least {LEAST} runs that differ only in learning rate, schedule or seed"] += len(
                family
            )
        elif _short(family[0], len(family), stack):
            reasons[f"they have fewer than {LEAST_STEPS:,} steps in all, too few for a trial to pay off"] += len(family)
    return reasons


def would_gain(runs: Sequence[tuple[RunConfig, Kind]]) -> int:
    """Return how many runs a stack is known to train about twice as fast, in a sweep that takes a minute or more.

    0 if there are none. This is a rule without a trial, from what `benchmarks/README.md` has: for small logistic
    models and MLPs, with small batches, on a CPU.
    """
    families: dict[str, list[Experiment]] = {}
    for config, kind in runs:
        family = family_of(config, kind)
        if family is not None and isinstance(config, Experiment) and _is_small(config):
            families.setdefault(family, []).append(config)
    long = [found for found in families.values() if len(found) >= 2 * LEAST and _steps(found[0]) * len(found) >= LONG]
    if not long:
        return 0
    from lrbench.training.device import resolve_device

    return sum(len(found) for found in long if resolve_device(found[0].device).type == "cpu")


def _is_small(config: Experiment) -> bool:
    model, widths = config.model, config.model.params.get("hidden", [])
    known = model.name == "logistic" or (model.name == "mlp" and isinstance(widths, list) and len(widths) <= 3)
    return known and config.batch_size <= 64 and all(isinstance(width, int) and width <= 64 for width in widths)


def _steps(config: Experiment) -> int:
    """Return the steps of a run, as far as the config tells; else 0."""
    examples = config.dataset.rules.training_examples(config.dataset.part.name)
    return config.steps or (config.epochs or 0) * config.updates_per_epoch(examples or 0)


def _short(config: RunConfig, count: int, stack: str) -> bool:
    """Return whether so many runs like this one are known to be too short for a trial."""
    assert isinstance(config, Experiment)
    return stack != "yes" and 0 < _steps(config) * count < LEAST_STEPS


def _alike(item: WorkItem) -> str:
    plain = item.experiment.plain()
    return json.dumps([plain.get(key) for key in ("schedule", "warmup", "optimizer", "plateau")], default=str)
