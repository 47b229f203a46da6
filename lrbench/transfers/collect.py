"""From run folders to optima with sizes: which families differ in sizes alone, and which of those vary."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrbench.analysis import (
    Family,
    NoOptimum,
    Optimum,
    default_metric,
    families,
    grouped,
    kept,
    labels_of,
    measure_named,
    optimum,
    read_runs,
    value_text,
)
from lrbench.components import Measure
from lrbench.config import Size
from lrbench.errors import UsageError
from lrbench.runs import no_runs
from lrbench.sweeps import set_apart


@dataclass(frozen=True)
class Sized:
    """A family, its sizes, its optimum, and by what its learning rates are multiplied before they are used."""

    family: Family
    sizes: Mapping[str, Size]
    found: Optimum | NoOptimum
    factor: float

    def value(self, name: str) -> float:
        """Return a size."""
        return self.sizes[name].value


def collect(paths: Sequence[Path], metric: str | None, filters: Sequence[str]) -> tuple[list[Sized], Measure]:
    """Return all families with their sizes and optima. Raises UsageError if there are none."""
    records = read_runs(paths)
    if not records:
        raise no_runs(paths, "lrbench sweep CONFIG")
    records = [record for record in set_apart(records) if not record.confirms]  # they had no part in the choice
    records = kept(records, filters, labels_of(grouped(records, metric)) if filters else {})
    measure = measure_named(records, metric or default_metric(records))
    found = [family for family in families(grouped(records, metric), measure) if _rated(family)]
    if not found:
        raise UsageError("no family of runs has at least 3 learning rates; `lrbench sweep CONFIG --lr …` trains them")
    return [sized(family, measure) for family in found], measure


def _rated(family: Family) -> bool:
    return all(point.lr for point in family.points)


def sized(family: Family, measure: Measure) -> Sized:
    """Return a family with its sizes and its optimum."""
    config = family.first.experiment
    assert config is not None  # families have readable configs
    ratios = [
        record.result.effective_lr / point.lr
        for point in family.points for record in point.group.records
        if not record.foreign and record.result is not None and record.result.effective_lr and point.lr
    ]  # fmt: skip
    return Sized(family, config.sizes, optimum(family, measure), statistics.median(ratios) if ratios else 1.0)


def alike(sized: Sequence[Sized], axes: Sequence[str]) -> list[list[Sized]]:
    """Group families that differ only in sizes, or only in `axes` if there are any; the largest group first."""
    found: dict[tuple[object, ...], list[Sized]] = {}
    for one in sized:
        names = [name for name in one.sizes if not axes or name in axes]
        fields = fields_of(one, names)
        found.setdefault((tuple(sorted(fields.items())), tuple(names)), []).append(one)
    return sorted(found.values(), key=lambda group: (-len(group), group[0].family.label))


def fields_of(one: Sized, names: Sequence[str]) -> dict[str, str]:
    """Return the config of a family as texts, without its learning rate, seed and the sizes named."""
    first = one.family.first
    assert first.experiment is not None
    left_out = {key for name in names for key in one.sizes[name].keys} | {"seed", "run", first.experiment.lr_key}
    left_out |= {key for key in first.identity_fields if key.startswith("lr_scaling.")}  # `factor` has it
    return {key: value_text(value) for key, value in first.identity_fields.items() if key not in left_out}


def difference(a: Sequence[Sized], b: Sequence[Sized]) -> str:
    """Say in what two groups differ: `schedule.name constant, not cosine`."""
    mine, theirs = fields_of(a[0], list(a[0].sizes)), fields_of(b[0], list(b[0].sizes))
    keys = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
    if not keys:
        keys = [name for name in {**a[0].sizes, **b[0].sizes} if (name in a[0].sizes) != (name in b[0].sizes)]
        if keys:
            return f"only one of them has {' and '.join(keys[:3])}"
        sizes = [name for name in a[0].sizes if a[0].value(name) != b[0].value(name)]
        return ", ".join(f"{name} {a[0].value(name):g} instead of {b[0].value(name):g}" for name in sizes[:3])
    return ", ".join(f"{key} {mine.get(key, 'not set')} instead of {theirs.get(key, 'not set')}" for key in keys[:3])
