"""The sizes of layers' outputs at several widths: how they depend on the width, in numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from lrbench.analysis import estimate
from lrbench.errors import counted
from lrbench.types import Displayed

TOLERANCE = 0.15  # exponents nearer to 0 are taken as level: those of networks of finite width are not exactly 0
MOST_TOLD = 3

Word = Literal["grows", "level", "shrinks", "undecided"]


@dataclass(frozen=True)
class LayerSize:
    """The mean |output| of a layer after `step` steps, and the mean |change| of its output since step 0."""

    width: int
    seed: int
    step: int
    layer: str
    size: float
    change: float


@dataclass(frozen=True)
class Slope:
    """The exponent of the width in the size of a layer's output after `step` steps, with its 95% interval.

    Each seed gives one exponent, by least squares in logarithms; the interval is Student's over the seeds.
    """

    layer: str
    step: int
    centre: float
    low: float
    high: float

    @property
    def word(self) -> Word:
        """`grows`, `level` (within ±0.15) or `shrinks` where the whole interval says so, else `undecided`."""
        if self.low > TOLERANCE:
            return "grows"
        if self.high < -TOLERANCE:
            return "shrinks"
        return "level" if self.low >= -TOLERANCE and self.high <= TOLERANCE else "undecided"

    @property
    def words(self) -> str:
        """`head with width^0.87 (0.80 … 0.94)`."""
        return f"{self.layer} with width^{self.centre:.2f} ({self.low:.2f} … {self.high:.2f})"


@dataclass(frozen=True)
class CoordinateCheck(Displayed):
    """The sizes of a config's layers at several widths.

    Attributes:
        name: the config's name and its parametrization.
        key: the config key that is the width.
        lr: the learning rate of all steps.
        widths: the widths, ascending.
        seeds: the seeds.
        steps: the number of steps.
        rows: all sizes.
    """

    name: str
    key: str
    lr: float
    widths: Sequence[int]
    seeds: Sequence[int]
    steps: int
    rows: Sequence[LayerSize]

    @cached_property
    def layers(self) -> list[str]:
        """The layers, in the order in which they are called."""
        return list(dict.fromkeys(row.layer for row in self.rows))

    @property
    def output(self) -> str:
        """The layer that is called last."""
        return self.layers[-1]

    def mean(self, layer: str, width: int, step: int) -> float:
        """Return the geometric mean over the seeds of a layer's size."""
        found = [row.size for row in self.rows if (row.layer, row.width, row.step) == (layer, width, step)]
        return math.exp(sum(map(math.log, found)) / len(found)) if min(found) > 0 else 0.0

    def slopes(self, step: int | None = None) -> list[Slope]:
        """Return each layer's exponent after `step` steps, the last by default; layers that are 0 have none."""
        step = self.steps if step is None else step
        found = []
        for layer in self.layers:
            each = [slope for seed in self.seeds if (slope := self._slope(layer, step, seed)) is not None]
            known = estimate(each, logs=False) if len(each) == len(self.seeds) else None
            if known is not None and known.low is not None and known.high is not None:
                found.append(Slope(layer, step, known.centre, known.low, known.high))
        return found

    def _slope(self, layer: str, step: int, seed: int) -> float | None:
        sizes = {row.width: row.size for row in self.rows if (row.layer, row.step, row.seed) == (layer, step, seed)}
        if any(size <= 0 for size in sizes.values()):
            return None
        logs = np.log([sizes[width] for width in self.widths])
        return float(np.polyfit(np.log(self.widths), logs, 1)[0])

    @property
    def verdict(self) -> Literal["level", "not level", "undecided"]:
        """Whether no layer's output depends on the width, as in μP.

        μP's output starts smaller in wider networks and grows to its size in training, so that a last layer that
        shrinks decides nothing.
        """
        slopes = self.slopes()
        moved = [one for one in slopes if one.word == "grows" or (one.word == "shrinks" and one.layer != self.output)]
        if moved:
            return "not level"
        return "level" if slopes and all(one.word == "level" for one in slopes) else "undecided"

    def plain(self) -> dict[str, Any]:
        """Return the verdict and the exponents as plain values, for JSON."""
        exponents = [{**asdict(slope), "word": slope.word} for slope in self.slopes()]
        known = {"name": self.name, "key": self.key, "lr": self.lr, "steps": self.steps, "verdict": self.verdict}
        return {**known, "widths": list(self.widths), "seeds": list(self.seeds), "exponents": exponents}

    @property
    def words(self) -> str:
        """The verdict in a sentence, the main thing first."""
        slopes = sorted(self.slopes(), key=lambda one: -abs(one.centre))
        after = f"after {counted(self.steps, 'step')} at {self.lr:g}"
        if self.verdict == "level":
            return f"{self.name}: as in μP, no layer's output grows or shrinks with the width {after}."
        told = [
            f"{said} {_some([one for one in slopes if one.word == word])}"
            for word, said in (("grows", "Growing:"), ("shrinks", "Shrinking:"), ("undecided", "Undecided:"))
            if any(one.word == word for one in slopes)
        ]
        level = f"Level: {sum(one.word == 'level' for one in slopes)} of {len(slopes)} layers"
        if self.verdict == "not level":
            return f"{self.name}: not μP {after}. {'. '.join([*told, level])}."
        more = "More seeds, steps or widths may decide"
        return f"{self.name}: undecided {after}. {'. '.join([level, *told, more])}."


def _some(slopes: Sequence[Slope]) -> str:
    shown = ", ".join(one.words for one in slopes[:MOST_TOLD])
    return shown + (f", and {len(slopes) - MOST_TOLD} more" if len(slopes) > MOST_TOLD else "")
