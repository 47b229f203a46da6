"""The folder of a range test, `runs/find-lr/<name>-<8 hex>/`. The only module that knows its file names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrbench.config import RunConfig, exists
from lrbench.errors import FolderError, counted, option
from lrbench.lr_finder.curves import Curve
from lrbench.lr_finder.settings import Ramp
from lrbench.runs import RunFolder, check_links, parsed, read_csv, read_json, to_json, write_file
from lrbench.types import Finite, Natural

FORMAT = 1
COLUMNS = ("seed", "iteration", "lr", "loss", "smoothed")


@dataclass(frozen=True)
class Measured:
    """What `finder.json` says about a seed's curve in `finder.csv`."""

    seed: Natural
    updates: Natural
    momentum: Finite
    ended: str | None = None
    passes: Finite = 0.0


class FinderFolder:
    """One range test: `finder.json` (the finding), `finder.csv` (the curves), `finder.png`, and a run per seed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, root: Path, config: RunConfig, ramp: Ramp) -> FinderFolder:
        """Return the folder of a test under `root`: an existing one, even with another name, or a new path.

        Raises FolderError for a link that leads elsewhere.
        """
        wanted = ramp.identity(config)[:8]
        known = sorted((root / "find-lr").glob(f"*-{wanted}"))
        path = known[0] if known else root / "find-lr" / f"{config.name}-{wanted}"
        check_links(path, root)
        return cls(path)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def figure(self) -> Path:
        """The path of the figure."""
        return self.path / "finder.png"

    @property
    def found_at(self) -> int:
        """When the finding was written, in ns; 0 without one."""
        try:
            return (self.path / "finder.json").stat().st_mtime_ns
        except OSError:
            return 0

    def seed(self, seed: int) -> RunFolder:
        """Return the run folder of a seed."""
        return RunFolder(self.path / f"seed{seed}")

    def curve(self, seed: int) -> Curve:
        """Read the curve of a finished seed. Raises FolderError if it can't be read."""
        folder = self.seed(seed)
        result, (rates, losses, momenta) = folder.result(), steps_of(folder)
        steps = result.steps if result is not None else None
        if result is None or len(rates) != steps:
            raise FolderError(
                f"{folder.steps.path} has {len(rates)} of {steps} steps; {option('--again')} repeats the test"
            )
        passes = len(rates) / (folder.environment().sizes.steps_per_epoch or math.inf)
        return Curve(seed, rates, losses, momenta[0] if momenta else 0.0, result.reason, passes)

    def write(self, found: Mapping[str, Any], curves: Iterable[Curve], smoothing: float) -> None:
        """Write `finder.csv` from the curves, then `finder.json`. Raises FolderError."""
        lines = [",".join(COLUMNS)]
        for curve in curves:
            smoothed = map(repr, curve.smoothed(smoothing))
            for iteration, (lr, loss) in enumerate(zip(curve.rates, curve.losses, strict=True), start=1):
                lines.append(f"{curve.seed},{iteration},{lr!r},{loss!r},{next(smoothed, '')}")
        write_file(self.path / "finder.csv", "\n".join(lines) + "\n")
        write_file(self.path / "finder.json", to_json({"format": FORMAT, **found}))

    def curves(self, seeds: Iterable[Mapping[str, Any]]) -> list[Curve]:
        """Read the curves in `finder.csv` of the `seeds` in `finder.json`.

        Raises KeyError, ValueError or FolderError if any are missing.
        """
        table, curves = read_csv(self.path / "finder.csv"), []
        for told in (parsed(Measured, seed) for seed in seeds):
            mine = table["seed"] == told.seed
            if mine.sum() != told.updates:
                raise ValueError(f"finder.csv has {mine.sum()} of {counted(told.updates, 'step')} of seed {told.seed}")
            rates, losses = table["lr"][mine], table["loss"][mine]
            if not (np.isfinite(rates) & (rates > 0)).all():
                raise ValueError("finder.csv has a learning rate that is not a positive number")
            given = (told.momentum, told.ended or "", told.passes)
            curves.append(Curve(told.seed, rates.tolist(), losses.tolist(), *given))
        if not curves:
            raise ValueError("it has no seeds")
        return curves

    def found(self) -> dict[str, Any]:
        """Read `finder.json`. Raises FolderError if it is missing, damaged or of another format."""
        path = self.path / "finder.json"
        check_links(self.path, self.path.parent.parent)
        found = read_json(path)
        if found is None or found.get("format") != FORMAT:
            raise FolderError(f"{path} is missing or has another format; run `lrbench find-lr` again to rewrite it")
        return found


def steps_of(run: RunFolder) -> tuple[list[float], list[float], list[float]]:
    """Return learning rates, losses and momenta (0 without) of the steps in a run's `steps.csv`.

    A last loss that was not finite is NaN; steps that a gradient scaler skipped are left out. Raises FolderError if the
    file is damaged.
    """
    table = read_csv(run.steps.path)
    if not table:
        return [], [], []
    if not {"lr", "loss", "momentum"} <= table.keys():
        raise FolderError(f"{run.steps.path} is damaged: a column is missing; {option('--again')} repeats the test")
    kept = ~np.isnan(table["loss"])
    kept[-1:] = True
    lr, loss, momentum = (table[name][kept] for name in ("lr", "loss", "momentum"))
    return lr.tolist(), loss.tolist(), np.nan_to_num(momentum).tolist()


def find_tests(paths: Iterable[Path]) -> list[FinderFolder]:
    """Return the range tests among `paths`, directly under a `find-lr` folder, and in those directly under others."""
    tests: dict[Path, FinderFolder] = {}
    for path in paths:
        own = path / "finder.json"
        below = "*/finder.json" if path.name == "find-lr" else "find-lr/*/finder.json"
        for file in [own] if exists(own) else sorted(path.glob(below)):
            tests.setdefault(file.parent.resolve(), FinderFolder(file.parent))
    return list(tests.values())
