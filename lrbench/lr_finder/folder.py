"""The folder of a range test, `runs/find-lr/<name>-<8 hex>/`: the only file that knows its file names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lrbench.config.load import Experiment
from lrbench.errors import FolderError
from lrbench.lr_finder.curves import Curve
from lrbench.lr_finder.settings import Ramp
from lrbench.runs import jsonfile
from lrbench.runs.atomic import replacing
from lrbench.runs.folder import RunFolder

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
        result = folder.result() or {}
        rows = updates(folder)
        if len(rows) != result.get("steps"):
            held = f"holds {len(rows)} of the {result.get('steps')} updates that were done"
            raise FolderError(f"{folder.steps.path} {held}; --again does them anew")
        rates, losses, momenta = ([row[column] for row in rows] for column in range(3))
        return Curve(seed, rates, losses, momenta[0] if rows else 0.0, str(result.get("reason") or ""))

    def write(self, found: Mapping[str, Any], curves: Iterable[tuple[Curve, list[float]]]) -> None:
        """Write `finder.csv`, and `finder.json` last; each curve comes with its smoothed losses.

        Raises FolderError where that is impossible.
        """
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        for curve, smoothed in curves:
            for index, (lr, loss) in enumerate(zip(curve.rates, curve.losses, strict=True)):
                smooth = repr(smoothed[index]) if index < len(smoothed) else ""
                table.writerow((curve.seed, index + 1, repr(lr), repr(loss), smooth))
        self._write("finder.csv", text.getvalue())
        self._write("finder.json", jsonfile.dump({"format": FORMAT, **found}))

    def _write(self, name: str, text: str) -> None:
        try:
            with replacing(self.path / name) as file:
                file.write(text.encode())
        except OSError as error:
            raise FolderError(f"cannot write to {self.path}: {error.strerror}") from error

    def curves(self, known: Mapping[int, tuple[int, float, str]]) -> list[Curve]:
        """The curves in `finder.csv`, of the seeds in `known`, which has each one's updates, momentum and end.

        Raises ValueError or OSError where they are not all there.
        """
        rows: dict[int, list[tuple[float, float]]] = {seed: [] for seed in known}
        with (self.path / "finder.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                rows[int(row["seed"])].append((float(row["lr"]), float(row["loss"])))
        for seed, (done, *_) in known.items():
            if len(rows[seed]) != done:
                raise ValueError(f"finder.csv holds {len(rows[seed])} of the {done} updates of seed {seed}")
        return [
            Curve(seed, [lr for lr, _ in rows[seed]], [loss for _, loss in rows[seed]], momentum, ended)
            for seed, (_, momentum, ended) in known.items()
        ]

    def found(self) -> dict[str, Any]:
        """`finder.json`. Raises FolderError where there is none, or it is damaged."""
        path = self.path / "finder.json"
        found = jsonfile.read(path)
        if found is None or found.get("format") != FORMAT:
            raise FolderError(f"{path} is not what this lrbench finds rates with; `lrbench find-lr` makes it anew")
        return found


def updates(run: RunFolder) -> list[tuple[float, float, float]]:
    """Rate, loss and momentum (0 without) of each update in a run's `steps.csv`. Raises FolderError where damaged."""
    try:
        with run.steps.path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            return [(float(row["lr"]), float(row["loss"] or "nan"), float(row["momentum"] or 0)) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FolderError(f"{run.steps.path} is damaged ({error}); --again makes it anew") from error


def find_tests(paths: Iterable[Path]) -> list[FinderFolder]:
    """The range tests among `paths` and in the `find-lr` folders directly under them."""
    tests: dict[Path, FinderFolder] = {}
    for path in paths:
        inner = [path] if (path / "finder.json").exists() else sorted((path / "find-lr").glob("*/"))
        for folder in inner:
            if (folder / "finder.json").exists():
                tests.setdefault(folder.resolve(), FinderFolder(folder))
    return list(tests.values())
