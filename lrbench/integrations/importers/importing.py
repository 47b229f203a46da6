"""`import_runs`: other tools' runs as run folders. The same again adds nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lrbench._version import __version__
from lrbench.analysis import read_one
from lrbench.components import recorded as described
from lrbench.config import RecordedConfig, identity, run_name
from lrbench.errors import FolderError, LrbenchError, UsageError, choices, counted, option, reason_of
from lrbench.integrations.importers import OWN, TOOLS, Foreign, Tool, found_under
from lrbench.integrations.importers.asked import asked_for
from lrbench.integrations.importers.own import table_of
from lrbench.integrations.importers.rules import Rules
from lrbench.runs import (
    Meaning,
    Recorded,
    RunFolder,
    Status,
    conclude,
    finite,
    guessed,
    nearest,
    now,
    relative,
    writing,
)


@dataclass
class Imported:
    """What an import did.

    Attributes:
        new: the folders of runs that were not there.
        updated: those of runs that have changed since.
        unchanged: the others.
        unreadable: the places that could not be read, and why.
        notes: what to know of what was read: lines that were left out, settings that some logs lack.
    """

    new: list[Path] = field(default_factory=list)
    updated: list[Path] = field(default_factory=list)
    unchanged: list[Path] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return `12 new, 3 updated, 40 unchanged, 2 unreadable`."""
        counts = {"new": len(self.new), "updated": len(self.updated), "unchanged": len(self.unchanged)}
        counts["unreadable"] = len(self.unreadable)
        return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "no runs"


def import_runs(
    *paths: str | Path,
    kind: str | None = None,
    runs: str | Path = "runs",
    name: str | None = None,
    seed_key: str | None = None,
    group_by: Sequence[str] | None = None,
    lr_key: str | None = None,
    columns: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> Imported:
    """Import other tools' runs into run folders. A run that was imported before is updated if it has grown.

    Args:
        paths: files or folders, in which runs are found by their marks.
        kind: the tool, if it can't be told by the files: `tensorboard`, `lightning`, `trainer`, `wandb`, `mlflow`,
            `csv` or `jsonl`.
        runs: the folder for run folders; created if missing.
        name: the name of all runs, or a pattern such as `{experiment} {optimizer}`; by default the experiment's name.
        seed_key: the parameter that is the seed; by default `seed`, `random_seed`, …
        group_by: the parameters that distinguish groups of runs; by default all that may change the result.
        lr_key: the parameter that is the learning rate; by default `lr`, `learning_rate`, …
        columns: which column is what, as in `{"val_loss": "eval/loss"}`; usual names need no mention.
        dry_run: write nothing.

    Raises UsageError: a path does not exist, has no runs, or an argument is invalid.
    """
    if kind is not None and kind not in TOOLS:
        raise UsageError(f"unknown {option('--from')} {kind!r:.40}; {choices(kind, TOOLS)}")
    rules = Rules(name, seed_key, group_by, lr_key, columns or {})
    nearest(Path(runs))  # or UsageError if it can't be a folder
    importer = Importer(Path(runs).absolute(), rules, dry_run)
    tool = None if kind is None else TOOLS[kind]
    if "" in paths:
        raise UsageError("a path is empty; name a file or a folder, such as . for this one")
    found = [_places(path, tool) for path in map(Path, paths)]
    for used, place in (one for places in found for one in places):
        importer.read(used, place)
    importer.end()
    return importer.done


def _places(path: Path, tool: Tool | None) -> list[tuple[Tool, Path]]:
    """Return what is to be read under a path. Raises UsageError if there is nothing."""
    places = list(found_under(path, tool))
    if not places:
        titles = [tool.title] if tool else [known.title for known in TOOLS.values()]
        raise UsageError(f"{path} has no runs of {', '.join(titles)}")
    if all(used is OWN for used, _ in places):
        if places == [(OWN, path)]:
            made = (
                f"a table that lrbench wrote ({what})" if (what := table_of(path)) else "part of a run of lrbench's own"
            )
            raise UsageError(f"{path} is {made}, not the log of another tool; {READS}")
        raise UsageError(
            f"{path} has no logs of other tools, but what lrbench itself made: {_own_words(places)}; {READS}"
        )
    return places


READS = "`lrbench report` reads lrbench's runs as they are"


def _own_words(places: Sequence[tuple[Tool, Path]]) -> str:
    """Return `8 run folders and 2 tables, such as runs/report/report.csv`."""
    runs = [place for _, place in places if not table_of(place)]
    tables = [place for _, place in places if place not in runs]
    told = [counted(len(found), noun) for found, noun in ((runs, "run folder"), (tables, "table")) if found]
    such = tables or runs
    return f"{' and '.join(told)}, such as {relative(such[0].absolute())}"


class Importer:
    """Writes runs into folders under `root`, and keeps count in `done`."""

    def __init__(self, root: Path, rules: Rules, dry_run: bool) -> None:
        self.root, self.rules, self.dry_run, self.done = root, rules, dry_run, Imported()
        folders = [RunFolder(path) for path in sorted(root.iterdir())] if root.is_dir() else []
        self.known = {told["key"]: folder for folder in folders if (told := _imported(folder))}
        self.asked, self.waiting = asked_for(rules), list[tuple[Foreign, Tool, Path]]()
        self.own: list[tuple[Tool, Path]] = []

    def read(self, tool: Tool, place: Path) -> None:
        """Import the runs in a place, once each name that was asked for has been found."""
        if tool is OWN:
            self.own.append((tool, place))
            return
        try:
            found = tool.read(place)
        except FolderError as error:
            self.done.unreadable.append((place, str(error)))
            return
        except UsageError:
            raise
        except Exception as error:  # whatever a stranger's log holds, the others are imported
            self.done.unreadable.append((place, f"it is damaged: {reason_of(error)}"))
            return
        if not found:
            self.done.unreadable.append((place, "it has no runs with metrics"))
        shown = str(relative(place.absolute()))
        for run in found:
            for one in self.asked:
                one.look(run, shown)
            self.done.notes += [f"{shown}: {fault}" for fault in run.faults]
            self.waiting.append((run, tool, place))
        if all(one.having for one in self.asked):
            self._write_waiting()

    def end(self) -> None:
        """Import what waits. Raises UsageError for a name that no log has."""
        for one in self.asked:
            one.check()
        self._write_waiting()
        self.done.notes += [one.note for one in self.asked if one.note]
        if self.own and any(table_of(place) for _, place in self.own):
            self.done.notes.append(f"left out what lrbench itself made: {_own_words(self.own)}")

    def _write_waiting(self) -> None:
        for run, tool, place in self.waiting:
            try:
                self.take(run, tool, place)
            except (LrbenchError, ArithmeticError, RecursionError, ValueError) as error:
                which = "" if run.title in str(place.absolute()) else f"{run.title}: "
                told = str(error) if isinstance(error, LrbenchError) else f"it is damaged: {reason_of(error)}"
                self.done.unreadable.append((place, f"{which}{told}"))
        self.waiting.clear()

    def take(self, run: Foreign, tool: Tool, place: Path) -> None:
        """Write a run's folder, unless it is there already. Raises ConfigError, FolderError."""
        config, aside = self.rules.config(run, tool)
        meaning = _meaning(run, tool, self.rules)
        before, folder = self.known.get(run.key), RunFolder(self.root / run_name(config))
        if folder.has_config and _imported(folder).get("key") != run.key:  # the same is known of another run
            config = config.replace(run=run.key)
            folder = RunFolder(self.root / run_name(config))
        digest = _digest(run, meaning, config)
        same = before is not None and before.path == folder.path
        if same and _imported(folder).get("digest") == digest:
            self.done.unchanged.append(folder.path)
            return
        imported = {"key": run.key, "format": tool.name, "from": str(place), "digest": digest}
        if not self.dry_run:
            try:
                _write(folder, config, run, meaning, {"params": aside, "imported": imported})
                _check(folder)
            except (FolderError, ValueError):
                if not same:  # of an earlier import, what is there stays
                    shutil.rmtree(folder.path, ignore_errors=True)
                raise
        (self.done.new if before is None else self.done.updated).append(folder.path)
        if self.dry_run:
            return
        if before is not None and not same:  # its config has changed, and with it the folder's name
            shutil.rmtree(before.path, ignore_errors=True)
        self.known[run.key] = folder


def _imported(folder: RunFolder) -> Mapping[str, Any]:
    """Return what a folder says of the import that made it; empty for others."""
    try:
        told = folder.environment().plain.get("imported") if folder.has_config else None
    except FolderError:
        return {}
    return told if isinstance(told, dict) and isinstance(told.get("key"), str) else {}


def _meaning(run: Foreign, tool: Tool, rules: Rules) -> Meaning:
    """Interpret a run's log. Raises FolderError if there is no metric in it."""
    metrics = ("train_", "val_", "test_", "loss")
    named = [theirs for theirs in rules.columns.values() if theirs in run.texts]
    usual = [theirs for ours, theirs in guessed(run.texts).items() if ours.startswith(metrics)]
    texts = [f"its column '{one}' has no numbers, but texts such as {run.texts[one]!r:.40}" for one in named + usual]
    if named:
        raise FolderError(texts[0])
    form = "trainer_state" if tool.name == "trainer" else tool.name
    meaning = Meaning.of(run.log, dict(rules.columns), {}, form)
    if not meaning.evaluations and not meaning.recorded.test:
        if texts:
            raise FolderError(texts[0])
        there = sorted({name for row in run.log for name in row})
        listed = ", ".join(there[:12]) + (" …" if len(there) > 12 else "")
        raise FolderError(
            f"no column has a usual name of a metric; use {option('--map')} val_loss=COLUMN (columns: {listed})"
        )
    return meaning


def _digest(run: Foreign, meaning: Meaning, config: RecordedConfig) -> str:
    told = [
        meaning.steps,
        meaning.evaluations,
        meaning.recorded.plain(),
        config.plain(),
        run.status,
        run.reason,
        run.notes,
    ]
    return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:16]


def _check(folder: RunFolder) -> None:
    """Raise FolderError if what was written can't be read back, such as impossible steps."""
    record = read_one(folder)
    if record.status is Status.DAMAGED:
        problem = record.problem.replace(f"{folder.path}/", "")
        raise FolderError(f"a run folder can't hold what it logs: {problem}")


def _write(
    folder: RunFolder, config: RecordedConfig, run: Foreign, meaning: Meaning, told: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write a run's folder; `told` is `imported`, for the environment, and the `params` that are not in the config."""
    with writing(folder.path):
        folder.path.mkdir(parents=True, exist_ok=True)
    recorded: Recorded = replace(
        meaning.recorded,
        by=config.recorded,
        params=finite(told["params"]),
        total_steps=run.total_steps,
        notes=tuple(dict.fromkeys((*meaning.recorded.notes, *run.notes))),
    )
    environment = {
        "lrbench": __version__,
        "started": run.started,
        "metrics": described(recorded.metrics.values()),
        "sizes": {"total_steps": run.total_steps},
        "imported": {**told["imported"], "identity": identity(config), "when": now()},
    }
    with folder.lock():
        folder.clear()
        folder.create(config, environment)
        folder.replace_rows(meaning.steps, meaning.evaluations)
        folder.write_recorded(recorded.plain())
        if run.status is not None:  # one that is not known to have ended is an interrupted one
            result = conclude(folder, recorded, status=run.status, reason=run.reason, seconds=run.seconds)
            folder.finish(config, result)
