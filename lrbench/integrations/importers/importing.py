"""`import_runs`: other tools' runs as run folders. The same again adds nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import re
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
from lrbench.integrations.importers import LEFT, OWN, TOOLS, Foreign, Tool
from lrbench.integrations.importers.asked import asked_for
from lrbench.integrations.importers.left import told
from lrbench.integrations.importers.own import own_words, table_of
from lrbench.integrations.importers.places import places_under
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
        raise UsageError(f"{option('--from')} {kind:.40}: no such format; {choices(kind, TOOLS)}")
    rules = Rules(name, seed_key, group_by, lr_key, columns or {})
    nearest(Path(runs))  # or UsageError if it can't be a folder
    importer = Importer(Path(runs).absolute(), rules, dry_run)
    tool = None if kind is None else TOOLS[kind]
    if "" in paths:
        raise UsageError("a path is empty; name a file or a folder, such as . for this one")
    found = [one for path in map(Path, paths) for one in places_under(path, tool)]
    for used, place in {(used, place.parent.resolve(), place.name): (used, place) for used, place in found}.values():
        importer.read(used, place)
    importer.end([Path(path) for path in paths])
    return importer.done


class Importer:
    """Writes runs into folders under `root`, and keeps count in `done`."""

    def __init__(self, root: Path, rules: Rules, dry_run: bool) -> None:
        self.root, self.rules, self.dry_run, self.done = root, rules, dry_run, Imported()
        folders = [RunFolder(path) for path in sorted(root.iterdir())] if root.is_dir() else []
        self.known = {told["key"]: folder for folder in folders if (told := _imported(folder))}
        self.asked, self.waiting = asked_for(rules), list[tuple[Foreign, Tool, Path]]()
        self.aside: dict[str, list[Path]] = {OWN.name: [], LEFT.name: []}
        self.faults: dict[str, list[str]] = {}
        """What of logs was left out, and of which."""

    def read(self, tool: Tool, place: Path) -> None:
        """Import the runs in a place, once each name that was asked for has been found."""
        if tool.name in self.aside:
            self.aside[tool.name].append(place)
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
        for run in found:
            for one in self.asked:
                one.look(run, str(relative(place.absolute())))
            self.waiting.append((run, tool, place))
        if all(one.having for one in self.asked):
            self._write_waiting()

    def end(self, roots: Sequence[Path]) -> None:
        """Import what waits, and tell what was left out. Raises UsageError for a name that no log has."""
        own, left = self.aside[OWN.name], self.aside[LEFT.name]
        for one in self.asked:
            one.check(left)
        self._write_waiting()
        faults, sentences = told(left, roots)
        self.done.unreadable += faults
        for fault, places in self.faults.items():
            more = f" and {counted(len(places) - 1, 'other log')}" if len(places) > 1 else ""
            self.done.notes.append(f"{places[0]}{more}: {fault}")
        self.done.notes += [*(one.note for one in self.asked if one.note), *sentences]
        if any(map(table_of, own)):
            self.done.notes.append(f"left out what lrbench itself made: {own_words(own)}")

    def _write_waiting(self) -> None:
        for run, tool, place in self.waiting:
            shown = str(relative(place.absolute()))
            which = "" if run.title in (place.name, place.stem, *place.parent.absolute().parts) else f"{run.title}: "
            try:
                faults = [*run.faults, *self.take(run, tool, place), *[run.reason] * (run.status is None)]
            except (LrbenchError, ArithmeticError, RecursionError, ValueError) as error:
                if _stops(error):
                    raise
                why = str(error) if isinstance(error, LrbenchError) else f"it is damaged: {reason_of(error)}"
                self.done.unreadable.append((place, f"{which}{'; '.join([why, *run.faults])}"))
                continue
            if faults:
                self.faults.setdefault("; ".join(faults), []).append(f"{shown}{which and ', '}{which[:-2]}")
        self.waiting.clear()

    def take(self, run: Foreign, tool: Tool, place: Path) -> list[str]:
        """Write a run's folder, unless it is there already; say what is not in it. Raises ConfigError, FolderError."""
        config, aside = self.rules.config(run, tool)
        meaning, faults = _meaning(run, tool, self.rules)
        before, folder = self.known.get(run.key), RunFolder(self.root / run_name(config))
        if folder.has_config and _imported(folder).get("key") != run.key:  # the same is known of another run
            config = config.replace(run=run.key)
            folder = RunFolder(self.root / run_name(config))
        digest = _digest(run, meaning, config)
        same = before is not None and before.path == folder.path
        if same and _imported(folder).get("digest") == digest:
            self.done.unchanged.append(folder.path)
            return faults
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
            return faults
        if before is not None and not same:  # its config has changed, and with it the folder's name
            shutil.rmtree(before.path, ignore_errors=True)
        self.known[run.key] = folder
        return faults


_FULL = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOENT)


def _stops(error: Exception) -> bool:
    """Return whether no other run could be written either: a disk is full, or the folder is not writable."""
    return isinstance(error, FolderError) and isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL


def _imported(folder: RunFolder) -> Mapping[str, Any]:
    """Return what a folder says of the import that made it; empty for others."""
    try:
        told = folder.environment().plain.get("imported") if folder.has_config else None
    except FolderError:
        return {}
    return told if isinstance(told, dict) and isinstance(told.get("key"), str) else {}


def _meaning(run: Foreign, tool: Tool, rules: Rules) -> tuple[Meaning, list[str]]:
    """Interpret a run's log, and say what of it counts for nothing. Raises FolderError if there is no metric in it."""
    named = [theirs for theirs in rules.columns.values() if theirs in run.texts]
    usual = sorted(guessed(run.texts).items(), key=lambda one: one[0] in ("step", "epoch", "lr"))
    texts = [_text(one, run.texts[one]) for one in dict.fromkeys([*named, *(theirs for _, theirs in usual)])]
    if named:
        raise FolderError(texts[0])
    form = "trainer_state" if tool.name == "trainer" else tool.name
    meaning = Meaning.of(run.log, dict(rules.columns), {}, form)
    if not meaning.evaluations and not meaning.recorded.test:
        if texts:
            raise FolderError(texts[0])
        there = sorted({name for row in run.log for name in row})
        listed = ", ".join(there[:12]) + (" …" if len(there) > 12 else "")
        if not there:
            raise FolderError("there are no numbers in it")
        raise FolderError(
            f"no column has a usual name of a metric; use {option('--map')} val_loss=COLUMN (columns: {listed})"
        )
    far = next((row["step"] for row in meaning.evaluations if abs(row.get("step", 0)) > _MOST_STEPS), None)
    if far is not None:
        raise FolderError(f"it has the impossible step {far:g}")
    return meaning, [*texts, *meaning.faults]


_MOST_STEPS = 10**15


def _text(column: str, text: str) -> str:
    comma = " with a decimal comma; write a point" if re.fullmatch(r"[-+]?\d+,\d{1,2}|[-+]?0,\d+", text) else ""
    return f"its column '{column}' has no numbers, but texts such as {text!r:.40}{comma}"


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
