"""`import_runs`: other tools' runs as run folders. The same again adds nothing."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lrbench._version import __version__
from lrbench.components import recorded as described
from lrbench.config import RecordedConfig, fits_folder, flat, identity, run_name
from lrbench.errors import ConfigError, FolderError, LrbenchError, UsageError, choices
from lrbench.integrations.importers import TOOLS, Foreign, Tool, found_under
from lrbench.integrations.importers.settings import (
    matters,
    natural_number,
    nested,
    seed_among,
    seed_in_name,
    typed,
)
from lrbench.runs import Meaning, Recorded, RunFolder, conclude, now, writing

_OURS = re.compile(r"step|epoch|seconds|lr(_\w+)?|(train|val|test)_\w+")


@dataclass(frozen=True)
class Rules:
    """How runs are named and grouped.

    Attributes:
        name: the name of all, or a pattern with `{experiment}`, `{title}` and parameters in braces.
        seed_key: the parameter that is the seed.
        group_by: the parameters that tell groups apart; None for all that may matter.
        lr_key: the parameter that is the learning rate.
        columns: their column of some of our names.
    """

    name: str | None = None
    seed_key: str | None = None
    group_by: Sequence[str] | None = None
    lr_key: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.columns:
            if not _OURS.fullmatch(name):
                problem = "must be step, epoch, lr, or begin with train_, val_ or test_, such as val_loss=eval/loss"
                raise UsageError(f"--map: '{name}' {problem}")

    def config(self, run: Foreign, tool: Tool) -> tuple[RecordedConfig, dict[str, Any]]:
        """Return the config of a run, and the settings that are not in it. Raises ConfigError."""
        values = {key: typed(value) for key, value in flat(nested(flat(run.params))).items()}
        seed_key = seed_among(values, self.seed_key)
        seed = seed_in_name(run.title) if seed_key is None else natural_number(values[seed_key])
        if self.group_by is None:
            kept = {key for key, value in values.items() if matters(key, value) and key != seed_key}
        else:
            kept = {key for key in values if key in self.group_by or key.rpartition(".")[2] in self.group_by}
        params = nested({key: _plain(values[key]) for key in values if key in kept})
        plain = {
            "name": _folder_name(self._named(run, values)),
            "recorded": tool.title,
            "params": params,
            "lr_param": self.lr_key if self.lr_key in flat(params) else None,
            "seed": seed,
            "run": None if seed is not None else run.key,
        }
        config = RecordedConfig.of({k: v for k, v in plain.items() if v is not None}, {}, run.title)
        return config, {key: _plain(value) for key, value in values.items() if key not in kept}

    def _named(self, run: Foreign, values: Mapping[str, Any]) -> str:
        known = {"experiment": run.experiment or run.title, "title": run.title, **values}
        if self.name is None:
            return without_values(str(known["experiment"]), values)
        for name in re.findall(r"\{([^{}]*)\}", self.name):
            if name not in known:
                raise ConfigError(f"--name: a run has no '{name}'; {choices(name, known)}")
        return re.sub(r"\{([^{}]*)\}", lambda found: str(known[found[1]]), self.name)


def without_values(name: str, params: Mapping[str, Any]) -> str:
    """Return a name without the parameters in it, since runs that differ in one are to have one name.

    >>> without_values("resnet_lr0.1_bs-32", {"lr": 0.1, "batch_size": 32})
    'resnet'
    """
    values = {float(value) for value in params.values() if isinstance(value, int | float)}
    kept = []
    for piece in re.split(r"[_,]|-(?=[A-Za-z])", name):
        found = re.fullmatch(r"[A-Za-z]{1,20}[=-]?(\d+\.?\d*(?:[eE][-+]?\d+)?)", piece)
        if not found or float(found[1]) not in values:
            kept.append(piece)
    return name if len(kept) == len(re.split(r"[_,]|-(?=[A-Za-z])", name)) else "_".join(kept) or name


def _folder_name(text: str) -> str:
    """Return a name that a folder can have."""
    name = re.sub(r"[^\w .,+=@()-]", "-", text).strip(" .-_")[:80].rstrip(" .")
    while name and not fits_folder(name):
        name = name[1:] if len(name.encode()) <= 200 else name[:-1].rstrip(" .")
    return name or "imported"


def _plain(value: Any) -> Any:
    """Return a value that JSON has."""
    return value if isinstance(value, str | int | float | bool | list | dict) else str(value)


@dataclass
class Imported:
    """What an import did.

    Attributes:
        new: the folders of runs that were not there.
        updated: those of runs that have changed since.
        unchanged: the others.
        unreadable: the places that could not be read, and why.
    """

    new: list[Path] = field(default_factory=list)
    updated: list[Path] = field(default_factory=list)
    unchanged: list[Path] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)

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
        group_by: the parameters that tell groups of runs apart; by default all that may change the result.
        lr_key: the parameter that is the learning rate; by default `lr`, `learning_rate`, …
        columns: which column is what, as in `{"val_loss": "eval/loss"}`; usual names need no mention.
        dry_run: write nothing.

    Raises UsageError: a path does not exist, has no runs, or an argument is invalid.
    """
    if kind is not None and kind not in TOOLS:
        raise UsageError(f"--from {kind}: {choices(kind, TOOLS)}")
    rules = Rules(name, seed_key, group_by, lr_key, columns or {})
    root, done = Path(runs).absolute(), Imported()
    known = _known(root)
    tool = None if kind is None else TOOLS[kind]
    for path in map(Path, paths):
        places = list(found_under(path, tool))
        if not places:
            raise UsageError(
                f"{path} has no runs of {tool.title if tool else ', '.join(t.title for t in TOOLS.values())}"
            )
        for used, place in places:
            for run in _read(used, place, done):
                try:
                    _take(run, used, place, rules, root, known, done, dry_run)
                except LrbenchError as error:
                    done.unreadable.append(
                        (place, f"{run.title}: {error}" if run.title not in str(place) else str(error))
                    )
    return done


def _read(tool: Tool, place: Path, done: Imported) -> Iterator[Foreign]:
    try:
        found = tool.read(place)
    except FolderError as error:
        done.unreadable.append((place, str(error)))
        return
    if not found:
        done.unreadable.append((place, "it has no runs with metrics"))
    yield from found


def _known(root: Path) -> dict[str, tuple[RunFolder, str]]:
    """Return the folders of runs that were imported before, and the digests of what was read, by key."""
    found = {}
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        folder = RunFolder(path)
        if not path.is_dir() or not folder.has_config:
            continue
        try:
            told = folder.environment().plain.get("imported")
        except FolderError:
            continue
        if isinstance(told, dict) and isinstance(told.get("key"), str):
            found[told["key"]] = (folder, str(told.get("digest")))
    return found


def _take(
    run: Foreign,
    tool: Tool,
    place: Path,
    rules: Rules,
    root: Path,
    known: dict[str, tuple[RunFolder, str]],
    done: Imported,
    dry_run: bool,
) -> None:
    """Write a run's folder, unless it is there already."""
    config, aside = rules.config(run, tool)
    meaning = Meaning.of(run.log, dict(rules.columns), {}, "trainer_state" if tool.name == "trainer" else tool.name)
    if not meaning.evaluations and not meaning.recorded.test:
        there = sorted({name for row in run.log for name in row})
        listed = ", ".join(there[:12]) + (" …" if len(there) > 12 else "")
        raise FolderError(f"no column has a usual name of a metric; use --map val_loss=COLUMN (columns: {listed})")
    before = known.get(run.key)
    folder = RunFolder(root / run_name(config))
    taken = folder.has_config and (before is None or before[0].path != folder.path)
    if taken and _key_in(folder) != run.key:  # the same is known of another run
        config = config.replace(run=run.key)
        folder = RunFolder(root / run_name(config))
    digest = _digest(run, meaning, config)
    if before is not None and before[0].path == folder.path and before[1] == digest:
        done.unchanged.append(folder.path)
        return
    (done.new if before is None else done.updated).append(folder.path)
    if dry_run:
        return
    _write(
        folder, config, run, meaning, aside, {"key": run.key, "format": tool.name, "from": str(place), "digest": digest}
    )
    if before is not None and before[0].path != folder.path:  # its config has changed, and with it the folder's name
        shutil.rmtree(before[0].path, ignore_errors=True)
    known[run.key] = folder, digest


def _key_in(folder: RunFolder) -> str | None:
    try:
        told = folder.environment().plain.get("imported")
    except FolderError:
        return None
    return told.get("key") if isinstance(told, dict) else None


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


def _write(
    folder: RunFolder,
    config: RecordedConfig,
    run: Foreign,
    meaning: Meaning,
    aside: dict[str, Any],
    imported: dict[str, str],
) -> None:
    with writing(folder.path):
        folder.path.mkdir(parents=True, exist_ok=True)
    notes = tuple(dict.fromkeys((*meaning.recorded.notes, *run.notes)))
    recorded: Recorded = replace(
        meaning.recorded, by=config.recorded, params=aside, total_steps=run.total_steps, notes=notes
    )
    with folder.lock():
        folder.clear()
        known = {"lrbench": __version__, "started": run.started, "metrics": described(recorded.metrics.values())}
        sizes = {} if run.total_steps is None else {"sizes": {"total_steps": run.total_steps}}
        told = {"imported": {**imported, "identity": identity(config), "when": now()}}
        folder.create(config, {**known, **sizes, **told})
        folder.replace_rows(meaning.steps, meaning.evaluations)
        folder.write_recorded(recorded.plain())
        if run.status is not None:  # one that is not known to have ended is an interrupted one
            result = conclude(folder, recorded, status=run.status, reason=run.reason, seconds=run.seconds)
            folder.finish(config, result)
