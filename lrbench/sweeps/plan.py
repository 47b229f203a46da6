"""A sweep's folder, `runs/sweeps/<name>/`, with its plan (which runs belong to it) and its summary."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lrbench._version import __version__
from lrbench.analysis import Named, Record, naming_of, texts_of
from lrbench.config import canonical, fits_folder, flat, group, identity, without_rate
from lrbench.errors import FolderError, UsageError, option
from lrbench.runs import RunFolder, check_links, now, parsed, read_json, write_file
from lrbench.sweeps.grid import Cell
from lrbench.types import Finite, Natural

FORMAT = 1


@dataclass(frozen=True)
class Planned:
    """A cell of the plan.

    Attributes:
        run: the name of the run's folder.
        identity: the run's identity.
        group: the identity without the seed.
        series: the line it belongs to: what differs between lines, in words (`batch size 16`), and the config's name
            if there are several.
        lr: the peak learning rate; None if only the optimizer's class knows it.
        seed: the run's seed.
        confirms: True for a run of the line's best learning rate with a fresh seed, which had no part in the choice.
        zoom: the round of `--zoom` that added it; 0 for the grid itself.
        added: the number of the request by hand that added its seed; 0 for none.
    """

    run: str
    identity: str
    group: str
    series: str
    lr: Finite | None
    seed: Natural
    confirms: bool = False
    zoom: Natural = 0
    added: Natural = 0

    @property
    def line(self) -> str:
        """The series, with a note for runs with fresh seeds."""
        return f"{self.series} (confirmation)" if self.confirms else self.series

    @classmethod
    def of(cls, cell: Cell, series: str, run: str, *, confirms: bool = False, zoom: int = 0, added: int = 0) -> Planned:
        """Return the plan's row for a cell."""
        experiment = cell.experiment
        named = identity(experiment), group(experiment)
        return cls(run, *named, series, experiment.lr, experiment.seed, confirms, zoom, added)

    def row(self) -> dict[str, Any]:
        """Return what the plan's file says of it: defaults are left out."""
        unsaid = {"confirms": False, "zoom": 0, "added": 0}
        return {key: value for key, value in asdict(self).items() if key not in unsaid or value != unsaid[key]}


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep."""

    name: str
    cells: tuple[Planned, ...]

    @property
    def grid(self) -> list[Planned]:
        """The cells among which the best learning rates are chosen."""
        return [cell for cell in self.cells if not cell.confirms]

    @property
    def series(self) -> list[str]:
        """The lines, in the order given."""
        return list(dict.fromkeys(cell.series for cell in self.cells))

    @cached_property
    def labels(self) -> dict[str, str]:
        """For the run of each cell, what tells it from the others: `cosine, lr 0.01, seed 1`."""
        texts = dict(zip(self.rates, texts_of(self.rates, "lr"), strict=True))
        rates, seeds = len(texts) > 1, len({cell.seed for cell in self.cells}) > 1
        named = {}
        for cell in self.cells:
            rate = "default lr" if cell.lr is None else f"lr {texts[cell.lr]}"
            named[cell.run] = ", ".join([cell.line, *[rate] * rates, *[f"seed {cell.seed}"] * seeds])
        return named

    @property
    def rates(self) -> list[float | None]:
        """The distinct learning rates, ascending."""
        return sorted({cell.lr for cell in self.cells}, key=lambda lr: -1.0 if lr is None else lr)


@dataclass(frozen=True)
class SweepFolder:
    """The folder of a sweep; only its methods read or write."""

    path: Path

    @classmethod
    def of(cls, root: Path, name: str) -> SweepFolder:
        """Return the folder of a sweep under the runs folder `root`.

        Raises UsageError for an invalid name, FolderError for a link that leads elsewhere.
        """
        if not fits_folder(name):
            problem = f"{option('--name')} may contain letters, digits and any of ' .,+=@()_-', at most 100 (220 bytes)"
            raise UsageError(f"{problem} (got {name!r:.80})")
        check_links(root / "sweeps" / name, root)
        return cls(root / "sweeps" / name)

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.path.name

    @property
    def root(self) -> Path:
        """The folder that holds the runs."""
        return self.path.parent.parent

    def run(self, cell: Planned) -> RunFolder:
        """Return the run folder of a cell."""
        return RunFolder(self.root / cell.run)

    def holds(self, plan: Plan) -> bool:
        """Return whether the folder contains this plan."""
        known = self.known(plan)
        kept = {cell for cell in known if cell in plan.cells or not (cell.confirms or cell.zoom or cell.added)}
        return set(plan.cells) == kept

    def known(self, plan: Plan | None = None) -> Sequence[Planned]:
        """Return the cells of the plan on disk; none if it can't be read.

        An older plan, or one with other axes, may name lines in another way: with `plan`, they have its names.
        """
        try:
            cells = self.plan().cells
        except FolderError:
            return ()
        lines = {} if plan is None else {cell.group: cell.series for cell in plan.cells}
        return [replace(cell, series=lines.get(cell.group, cell.series)) for cell in cells]

    def joined(self, plan: Plan) -> Plan:
        """Add the earlier confirmations to a plan, unless it trains them too."""
        runs = {cell.run for cell in plan.cells}
        earlier = [cell for cell in self.known(plan) if cell.confirms and cell.run not in runs]
        return replace(plan, cells=(*plan.cells, *earlier))

    def write(self, plan: Plan) -> None:
        """Write or replace the plan; earlier confirmations stay. Raises FolderError."""
        lines_of = (json.dumps(cell.row()) for cell in self.joined(plan).cells)  # a line each, for reading and diffs
        rows = ",\n  ".join(lines_of)
        head = {"format": FORMAT, "name": plan.name, "written": now(), "lrbench": __version__}
        lines = [f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items()]
        self.save("plan.json", f'{{\n{"".join(lines)}  "cells": [\n  {rows}\n]}}\n')

    @property
    def planned_at(self) -> int:
        """When the plan was written, in ns; 0 without one. A plan with the same time is the same plan."""
        try:
            return (self.path / "plan.json").stat().st_mtime_ns
        except OSError:
            return 0

    def plan(self) -> Plan:
        """Read the plan. Raises FolderError if it is missing or damaged."""
        path = self.path / "plan.json"
        check_links(self.path, self.root)
        found = read_json(path)
        if found is None:
            raise FolderError(f"no sweep at {path}")
        try:
            if found["format"] != FORMAT:
                raise ValueError(f"its format is {found['format']}")
            cells = tuple(_cell(row) for row in found["cells"])
            return Plan(str(found["name"]), cells)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"{path} is not a valid plan ({type(error).__name__}: {error})"
            raise FolderError(f"{problem}; run the sweep command again to rewrite it") from error

    def save(self, name: str, content: str | bytes) -> Path:
        """Write a file into the folder atomically and return its path. Raises FolderError."""
        return write_file(self.path / name, content)


def find_sweeps(root: Path) -> list[SweepFolder]:
    """Return the sweeps under a runs folder, the most recent plan first."""
    plans = [path for path in (root / "sweeps").glob("*/plan.json") if path.is_file()]
    return [SweepFolder(path.parent) for path in sorted(plans, key=lambda p: p.stat().st_mtime, reverse=True)]


def confirming(root: Path) -> set[str]:
    """Return the names of the runs under a runs folder that confirm a sweep's choice and made none."""
    cells = [cell for folder in find_sweeps(root) for cell in folder.known()]
    return {cell.run for cell in cells if cell.confirms} - {cell.run for cell in cells if not cell.confirms}


def set_apart(records: Iterable[Record]) -> list[Record]:
    """Mark the fresh seeds: the runs that the sweeps beside them planned as confirmations."""
    records = list(records)
    roots = {record.folder.path.parent for record in records}
    fresh = {root / name for root in roots for name in confirming(root)}
    return [replace(record, confirms=True) if record.folder.path in fresh else record for record in records]


def series_of(cells: Sequence[Cell]) -> list[str]:
    """Return each cell's line, named as a report names families: `cosine`, `batch size 16`, `a, no warm-up`."""
    lines = [(cell.experiment.name, without_rate(cell.experiment)) for cell in cells]
    firsts = dict(zip(reversed(lines), reversed(cells), strict=True))
    order = list(dict.fromkeys(lines))
    configs = [firsts[line].experiment for line in order]
    members = [Named(one.name, flat(canonical(one)), one.lr_key, one.source) for one in configs]
    named = dict(zip(order, naming_of(members, without_rate=True).shorts, strict=True))
    return [named[line] for line in lines]


def _cell(row: Mapping[str, Any]) -> Planned:
    known = {field.name for field in fields(Planned)}
    cell = parsed(Planned, {key: value for key, value in row.items() if key in known})
    if "/" in cell.run or cell.run in ("", ".", ".."):
        raise ValueError(f"{cell.run!r:.80} is not a run name")
    return cell
