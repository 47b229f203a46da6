"""`lrbench transfer`: how the best learning rate depends on batch size, length, data and the model's size."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrbench._version import __version__
from lrbench.analysis import NoOptimum
from lrbench.config import size_kind
from lrbench.errors import UsageError, counted, nearest, option
from lrbench.runs import finite, to_json, write_file
from lrbench.transfers import words
from lrbench.transfers.collect import Sized, alike, collect, difference
from lrbench.transfers.law import Exponent, Fitted, Prediction
from lrbench.types import NOTHING, PATHS, TEXT, TEXTS, Displayed, Kind, arguments

FORMAT = 1
_SIZES = Kind(
    "sizes by name, such as {'epochs': 300}, or a list of such",
    lambda value: (
        isinstance(value, Mapping)
        or (isinstance(value, list | tuple) and all(isinstance(one, Mapping) for one in value))
    ),
)


@dataclass(frozen=True)
class Transfer(Displayed):
    """A law of the best learning rate, and what it was fitted to.

    Attributes:
        metric: what learning rates are the best for.
        law: the fit: `points`, `exponents`, `line`.
        without: families without an optimum, with the reason.
        predictions: the best learning rates at the sizes asked for.
        warnings: what makes the law or a prediction doubtful.
    """

    metric: str
    law: Fitted
    without: tuple[tuple[str, str], ...]
    predictions: tuple[Prediction, ...]
    warnings: tuple[str, ...]

    @property
    def exponents(self) -> tuple[Exponent, ...]:
        """The exponent of each size."""
        return self.law.exponents

    @property
    def name(self) -> str:
        """The name of the first runs."""
        return self.law.known[0].family.first.name

    @property
    def text(self) -> list[str]:
        """The law and the predictions in sentences."""
        return words.sentences(self.law, self.predictions, self.metric)

    def write(self, path: str | Path) -> Path:
        """Write the law for `lr_scaling: {rule: measured, from: …}`. Raises UsageError if it is not checked."""
        for one in self.exponents:
            if not one.checked:
                raise UsageError(f"did not write {path}: {words.unchecked(one)}")
        return write_file(Path(path), to_json(asdict(self.law.law(self.metric))))

    def plain(self) -> dict[str, Any]:
        """Return what `--json` prints; docs/transfer.md describes it."""
        law = self.law.law(self.metric)
        told = {
            "format": FORMAT,
            "lrbench": __version__,
            "metric": self.metric,
            "law": {"lr": law.lr, "at": law.at, "exponents": law.exponents, "scatter": self.law.line.tau},
            "exponents": [{**asdict(one), "checked": one.checked, "theory": one.theory} for one in self.exponents],
            "points": [asdict(one) for one in self.law.points],
            "without": [{"label": label, "reason": reason} for label, reason in self.without],
            "predictions": [asdict(one) for one in self.predictions],
            "warnings": list(self.warnings),
            "text": self.text,
        }
        found: dict[str, Any] = finite(told)
        return found

    def json(self) -> str:
        """Return `plain` as one line of text."""
        return json.dumps(self.plain(), allow_nan=False)


@arguments(runs=PATHS, predict=_SIZES | NOTHING, metric=TEXT | NOTHING, filters=TEXTS, axes=TEXTS)
def transfer(
    runs: Iterable[str | Path] = ("runs",),
    *,
    predict: Mapping[str, float] | Sequence[Mapping[str, float]] | None = None,
    metric: str | None = None,
    filters: Sequence[str] = (),
    axes: Sequence[str] = (),
) -> Transfer:
    """Fit lr* = c · ∏ xᵏ to the optima of families of runs that differ in sizes, and predict it for other sizes.

    Args:
        runs: run folders, or folders that contain them: sweeps of the learning rate at several sizes.
        predict: sizes to predict the best learning rate for, such as `{"epochs": 300}`; or several of them.
        metric: what the best learning rate optimizes, a column of `load_runs`; val_loss by default.
        filters: as for `report`: only runs that match all are looked at.
        axes: the sizes of the law; by default all that differ.

    Raises:
        UsageError: there are too few optima, the sizes change together, several laws fit, or a size is unknown.
    """
    sized, measure = collect([Path(one) for one in runs], metric, filters)
    wanted = [_axis(name, {name for one in sized for name in one.sizes}) for name in axes]
    law, others = _chosen(alike(sized, wanted))
    fitted = _fitted(law, wanted)
    asked = [predict] if isinstance(predict, Mapping) else list(predict or ())
    predictions = tuple(_predicted(fitted, one) for one in asked)
    without = tuple((one.family.label, one.found.reason) for one in law if isinstance(one.found, NoOptimum))
    told = (*words.warnings(fitted, predictions), *words.against_edges(fitted), *others)
    return Transfer(measure.name, fitted, without, predictions, tuple(told))


def _chosen(groups: Sequence[Sequence[Sized]]) -> tuple[Sequence[Sized], list[str]]:
    """Return the one group of families that has several sizes, and what is said of the others."""
    several = [group for group in groups if len(group) > 1]
    if len(several) > 1:
        told = f"{several[0][0].family.label} and {several[1][0].family.label}: {difference(several[0], several[1])}"
        raise UsageError(f"these runs have {len(several)} laws, which differ in more than sizes ({told}); "
                         f"select one with {option('--filter')}")  # fmt: skip
    if not several:
        if len(groups) == 1:
            raise UsageError(f"there is one family of runs, {groups[0][0].family.label}: sweep the learning rate at "
                             "3 or more batch sizes, lengths or widths")  # fmt: skip
        told = difference(groups[0], groups[1])
        labels = f"{groups[0][0].family.label} and {groups[1][0].family.label}"
        raise UsageError(f"no two families differ in sizes alone; {labels} differ: {told}")
    law = several[0]
    others = [f"{one.family.label} is not part of the law: {difference([one], law)}."
              for group in groups if group is not law for one in group]  # fmt: skip
    return law, others


def _fitted(sized: Sequence[Sized], wanted: Sequence[str]) -> Fitted:
    """Find the sizes that vary and fit the law. Raises UsageError if there are too few optima for them."""
    known = [one for one in sized if not isinstance(one.found, NoOptimum)]
    reasons = "; ".join(f"{o.family.label}: {o.found.reason}" for o in sized if isinstance(o.found, NoOptimum))
    if len(known) < 2:
        told = f"{len(known)} of {counted(len(sized), 'family')} {'has' if len(known) == 1 else 'have'} an optimum"
        raise UsageError(f"{told}, which is too few for a law. {reasons}")
    names = [name for name in known[0].sizes if not wanted or name in wanted]
    varied = [name for name in names if len({one.value(name) for one in known}) > 1]
    if not varied:
        raise UsageError("the families with an optimum have the same sizes" + (f". {reasons}" if reasons else ""))
    axes, together = _independent(known, varied)
    if len(known) < len(axes) + 1:
        more = f" {reasons}" if reasons else ""
        optima = "1 optimum is" if len(known) == 1 else f"{len(known)} optima are"
        raise UsageError(f"{optima} too few for the exponents of {' and '.join(axes)}.{more}")
    return Fitted(tuple(sized), tuple(axes), together)


def _independent(known: Sequence[Sized], varied: Sequence[str]) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Leave out sizes of a model that change in proportion to another. Raises UsageError if others change together."""
    logs = {name: np.log([one.value(name) for one in known]) for name in varied}
    axes: list[str] = []
    together: dict[str, tuple[str, ...]] = {}
    for name in sorted(varied, key=lambda name: size_kind(name) == "other"):
        rows = np.column_stack([np.ones(len(known)), *(logs[one] for one in (*axes, name))])
        if np.linalg.matrix_rank(rows - rows.mean(0) * (np.arange(rows.shape[1]) > 0), tol=1e-6) == rows.shape[1]:
            axes.append(name)
            continue
        twin = next((one for one in axes if _models(one, name) and np.ptp(logs[one] - logs[name]) < 1e-9), None)
        if twin is None:
            problem = f"{name} changes together with {' and '.join(axes)} in all families with an optimum"
            raise UsageError(f"{problem}, so their exponents can't be separated: vary one at a time")
        together[twin] = (*together.get(twin, ()), name)
    return axes, together


def _models(a: str, b: str) -> bool:
    kinds = {size_kind(a), size_kind(b)}
    return kinds <= {"width", "depth", "other"}


def _axis(name: str, known: Iterable[str]) -> str:
    """Return the size of this name, or whose last part it is. Raises UsageError."""
    known = sorted(known)
    fitting = [one for one in known if one == name] or [one for one in known if one.rpartition(".")[2] == name]
    if len(fitting) != 1:
        problem = "is not a size of these runs" if not fitting else f"may be {' or '.join(fitting)}"
        near = "" if fitting else nearest(name, known)
        raise UsageError(f"'{name}' {problem}; {near}{'Sizes' if near else 'sizes'} are {', '.join(known)}")
    return fitting[0]


def _predicted(law: Fitted, asked: Mapping[str, float]) -> Prediction:
    """Predict for the sizes asked. Raises UsageError if one is missing, unknown, or not varied."""
    sizes: dict[str, float] = {}
    for name, value in asked.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise UsageError(f"{option('--predict')} {name}: must be a number greater than 0 (got {value!r:.40})")
        full = _axis(str(name), {*law.axes, *law.fixed})
        if full not in law.axes and not math.isclose(law.fixed[full], value):
            problem = f"all of these runs have {full} {law.fixed[full]:g}, so the law can't predict for others"
            raise UsageError(f"{option('--predict')} {name}={value:g}: {problem}; it is a law of {', '.join(law.axes)}")
        sizes[full] = float(value)
    if missing := [name for name in law.axes if name not in sizes]:
        told = ", ".join(f"{one.name} (tried: {', '.join(f'{x:g}' for x in one.tried)})"
                         for one in law.exponents if one.name in missing)  # fmt: skip
        raise UsageError(f"{option('--predict')} needs every size of the law; add {told}")
    for one in law.exponents:
        if not one.checked and sizes[one.name] not in one.tried:
            raise UsageError(f"{option('--predict')} {one.name}={sizes[one.name]:g}: {words.unchecked(one)}")
    return law.predict(sizes)
