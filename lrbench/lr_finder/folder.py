"""The folder of a range test, `runs/find-lr/<name>-<8 hex>/`: the only file that knows its file names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lrbench.config import Experiment
from lrbench.errors import FolderError
from lrbench.lr_finder.curves import Curve
from lrbench.lr_finder.settings import Ramp
from lrbench.runs import RunFolder, read_csv, read_json, to_json, write_file

FORMAT = 1
COLUMNS = ("seed", "iteration", "lr", "loss", "smoothed")


class FinderFolder:
    """One range test: `finder.json` (what was found), `finder.csv` (its curves), `finder.png`, and a run per seed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, root: Path, experiment: Experiment, ramp: Ramp) -> FinderFolder:
        """The folder of this test under `root`, whatever the experiment's name was then; or a new one's path."""
        wanted = ramp.identity(experiment)[:8]
        known = sorted((root / "find-lr").glob(f"*-{wanted}"))
        return cls(known[0] if known else root / "find-lr" / f"{experiment.name}-{wanted}")

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def figure(self) -> Path:
        """Where the figure is."""
        return self.path / "finder.png"

    def seed(self, seed: int) -> RunFolder:
        """The run of one seed."""
        return RunFolder(self.path / f"seed{seed}")

    def curve(self, seed: int) -> Curve:
        """The curve of a seed that is done. Raises FolderError where it can't be read."""
        folder = self.seed(seed)
        result, rows = folder.result(), updates(folder)
        steps = result.steps if result is not None else None
        if result is None or len(rows) != steps:
            held = f"holds {len(rows)} of the {steps} updates that were done"
            raise FolderError(f"{folder.steps.path} {held}; --again does them anew")
        rates, losses, momenta = ([row[column] for row in rows] for column in range(3))
        return Curve(seed, rates, losses, momenta[0] if rows else 0.0, result.reason)

    def write(self, found: Mapping[str, Any], curves: Iterable[tuple[Curve, list[float]]]) -> None:
        """Write `finder.csv`, and `finder.json` last; each curve comes with its smoothed losses.

        Raises FolderError where that is impossible.
        """
        lines = [",".join(COLUMNS)]
        for curve, smoothed in curves:
            for index, (lr, loss) in enumerate(zip(curve.rates, curve.losses, strict=True)):
                smooth = repr(smoothed[index]) if index < len(smoothed) else ""
                lines.append(f"{curve.seed},{index + 1},{lr!r},{loss!r},{smooth}")
        write_file(self.path / "finder.csv", "\n".join(lines) + "\n")
        write_file(self.path / "finder.json", to_json({"format": FORMAT, **found}))

    def curves(self, known: Mapping[int, tuple[int, float, str]]) -> list[Curve]:
        """The curves in `finder.csv`, of the seeds in `known`, which has each one's updates, momentum and end.

        Raises KeyError, ValueError or FolderError where they are not all there.
        """
        table, curves = read_csv(self.path / "finder.csv"), []
        for seed, (done, momentum, ended) in known.items():
            mine = table["seed"] == seed
            if mine.sum() != done:
                raise ValueError(f"finder.csv holds {mine.sum()} of the {done} updates of seed {seed}")
            rates, losses = table["lr"][mine].tolist(), table["loss"][mine].tolist()
            curves.append(Curve(seed, rates, losses, momentum, ended))
        return curves

    def found(self) -> dict[str, Any]:
        """`finder.json`. Raises FolderError where there is none, or it is damaged."""
        path = self.path / "finder.json"
        found = read_json(path)
        if found is None or found.get("format") != FORMAT:
            raise FolderError(f"{path} is not what this lrbench finds rates with; `lrbench find-lr` makes it anew")
        return found


def updates(run: RunFolder) -> list[tuple[float, float, float]]:
    """Learning rate, loss and momentum (0 without) of each update in a run's `steps.csv`.

    A loss that was not finite is NaN. Raises FolderError where the file is damaged.
    """
    table = read_csv(run.steps.path)
    if table and not {"lr", "loss", "momentum"} <= table.keys():
        raise FolderError(f"{run.steps.path} is damaged: it lacks a column; --again makes it anew")
    momenta = np.nan_to_num(table["momentum"]).tolist() if table else []
    return list(zip(table["lr"].tolist(), table["loss"].tolist(), momenta, strict=True)) if table else []


def find_tests(paths: Iterable[Path]) -> list[FinderFolder]:
    """The range tests among `paths` and in the `find-lr` folders directly under them."""
    tests: dict[Path, FinderFolder] = {}
    for path in paths:
        inner = [path] if (path / "finder.json").exists() else sorted((path / "find-lr").glob("*/"))
        for folder in inner:
            if (folder / "finder.json").exists():
                tests.setdefault(folder.resolve(), FinderFolder(folder))
    return list(tests.values())
