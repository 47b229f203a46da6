"""The training budgets of groups, in words: groups that were trained longer, or on more data, compare unequally."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrbench.analysis.groups import Group
from lrbench.analysis.records import Record
from lrbench.errors import counted
from lrbench.runs import Environment


def budgets(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return the groups by training budget, in words; more than one key if budgets differ.

    Other programs do not tell theirs, so with one of them, it is how far runs got that reached their end: in epochs if
    all know them, else in steps. Lengths that differ by less than 5% are equal.
    """
    if any(group.foreign for group in groups):
        return _lengths(groups)
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(_budget(group.first.plain, group.first.environment), []).append(group)
    return found


ROUGHLY = 1.05
"""Lengths of runs that differ by less than this factor are equal: the last epoch may be incomplete."""


def _lengths(groups: Sequence[Group]) -> dict[str, list[Group]]:
    for unit in ("epochs", "steps"):
        each = [[_length(r, unit) for r in group.records if r.status.complete] for group in groups]
        ended = [(max(map(float, lengths)), group) for lengths, group in zip(each, groups, strict=True) if lengths]
        if not ended or any(math.isnan(length) for lengths in each for length in lengths):
            continue
        found: dict[float, list[Group]] = {}
        for length, group in sorted(ended, key=lambda pair: pair[0]):
            same = next((one for one in found if length <= ROUGHLY * one), length)
            found.setdefault(same, []).append(group)
        return {f"{length:,.4g} {unit}": members for length, members in found.items()}
    return {}


def _length(record: Record, unit: str) -> float:
    known = None if record.result is None else getattr(record.result, unit)
    return math.nan if known is None else float(known)


def _steps(plain: dict[str, Any]) -> str:
    steps = plain.get("steps")
    return counted(steps, "step") if isinstance(steps, int) else f"{steps} steps"


def _budget(plain: dict[str, Any], environment: Environment) -> str:
    if isinstance(plain.get("epochs"), int):
        said = counted(plain["epochs"], "epoch")
    else:
        said = f"{_steps(plain)} of {(plain.get('batch_size') or 0) * (plain.get('accumulate') or 1)}"
    examples = environment.sizes.train_examples
    said += "" if examples is None else f" of {counted(examples, 'example')}"
    for key, words in (("continue", "after those of"), ("init_from", "from the weights of")):
        earlier = plain.get(key)
        if isinstance(earlier, dict) and isinstance(earlier.get("run"), str):
            said += f" {words} {Path(earlier['run']).name}"
    return said
