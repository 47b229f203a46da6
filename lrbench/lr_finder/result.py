"""The finding of a range test, computed from its curves and kept in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

from lrbench._version import __version__
from lrbench.components import AVERAGES, SETS_ITS_OWN_RATE
from lrbench.config import RunConfig, validate
from lrbench.errors import FolderError, LrbenchError
from lrbench.lr_finder.advice import Advice, Refusal, advise
from lrbench.lr_finder.curves import Curve
from lrbench.lr_finder.folder import FinderFolder
from lrbench.lr_finder.methods import suggestions
from lrbench.lr_finder.settings import Ramp, ramp_of
from lrbench.runs import now, parsed
from lrbench.types import Displayed


@dataclass(frozen=True)
class Suggestion:
    """A method's learning rates: median, lowest and highest over the seeds that have one, and each seed's."""

    median: float | None
    lowest: float | None
    highest: float | None
    seeds: dict[int, float | None]

    @classmethod
    def of(cls, by_seed: dict[int, float | None]) -> Suggestion:
        """Summarize the learning rates of the seeds."""
        rates = [rate for rate in by_seed.values() if rate is not None]
        middle = median(rates) if rates else None
        return cls(middle, min(rates, default=None), max(rates, default=None), by_seed)


@dataclass(frozen=True)
class Finding(Displayed):
    """The finding of a range test.

    Attributes:
        folder: the test's folder.
        experiment: what was tested; of a loop of the user's own, what is known of it.
        ramp: the test's settings.
        curves: a curve per seed.
        suggestions: the learning rates of each method.
        advice: the suggested learning rates, or why there are none.
        written: when the test ended.
    """

    folder: FinderFolder
    experiment: RunConfig
    ramp: Ramp
    curves: tuple[Curve, ...]
    suggestions: dict[str, Suggestion]
    advice: Advice | Refusal
    written: str = field(default_factory=now, repr=False, compare=False)

    @property
    def lr(self) -> float | None:
        """The learning rate to keep constant or to decay from; None if there is no suggestion."""
        return self.advice.initial if isinstance(self.advice, Advice) else None

    def __str__(self) -> str:
        import lrbench

        return lrbench.text_of(self)

    def plain(self) -> dict[str, Any]:
        """Return the contents of `finder.json`."""
        advice, refusal = (self.advice, None) if isinstance(self.advice, Advice) else (None, self.advice)
        return {
            "name": self.experiment.name,
            "identity": self.ramp.identity(self.experiment),
            "lrbench": __version__,
            "written": self.written,
            "ramp": asdict(self.ramp),
            "config": self.experiment.plain(),
            "seeds": [
                {"seed": c.seed, "updates": len(c.rates), "momentum": c.momentum, "ended": c.reason or None}
                | {"passes": round(c.passes, 3)}
                for c in self.curves
            ],
            "suggestions": {name: asdict(found) for name, found in self.suggestions.items()},
            "advice": None if advice is None else {**asdict(advice), "high": advice.high},
            "no_suggestion": None if refusal is None else {"why": refusal.why, "again": refusal.again},
        }


def conclude(folder: FinderFolder, experiment: RunConfig, ramp: Ramp, curves: Sequence[Curve]) -> Finding:
    """Compute the finding from the curves."""
    advice = advise(curves, ramp)
    optimizer = _optimizer(experiment)
    if isinstance(advice, Advice) and optimizer in SETS_ITS_OWN_RATE - AVERAGES:
        note = f"{optimizer} finds its own learning rate, and lr only scales it; lr: 1 is usual"
        advice = replace(advice, notes=(*advice.notes, note))
    rates = suggestions(curves, ramp.smoothing) if isinstance(advice, Advice) else {}
    suggested = {name: Suggestion.of(by_seed) for name, by_seed in rates.items()}
    return Finding(folder, experiment, ramp, tuple(curves), suggested, advice)


def _optimizer(config: RunConfig) -> str:
    """Return the name of the optimizer, as a config has it; empty if it is unknown."""
    plain = config.plain()
    named = plain.get("optimizer") or plain.get("params", {}).get("optimizer")
    return str(named.get("name", "")) if isinstance(named, Mapping) else ""


def load(folder: FinderFolder) -> Finding:
    """Load a finding from its folder and recompute it from the curves. Raises FolderError if it is damaged."""
    plain = folder.found()
    try:
        experiment = validate(plain["config"], {}, str(folder.path))
        ramp, curves = parsed(ramp_of(experiment), plain["ramp"]), folder.curves(plain["seeds"])
        found = conclude(folder, experiment, ramp, curves)
        return replace(found, written=str(plain.get("written", found.written)))
    except (LrbenchError, KeyError, TypeError, ValueError, OSError) as error:
        raise FolderError(f"{folder.path} is damaged: {error}") from error
