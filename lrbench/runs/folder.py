"""The run folder: the contract between training and analysis, and the only module that knows its file names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lrbench.config import Config, RunConfig, exists, group, identity, read_config, run_name
from lrbench.errors import ConfigError, FolderError, LockedError, RunError
from lrbench.runs.checkpoints import CHECKPOINTS, FINAL, Checkpoints
from lrbench.runs.environment import Environment, Seal
from lrbench.runs.files import MOST_JSON, read, read_json, remove_leftovers, replacing, to_json
from lrbench.runs.lock import Lock, Owner, owner_of
from lrbench.runs.recordings import RECORDER_LOCK, Recordings
from lrbench.runs.result import FORMAT, Kind, NewerFormatError, RunResult, Status
from lrbench.runs.seals import hash_of, sealed, taken_over

_WRITTEN = (
    "result.json",
    "epochs.csv",
    "steps.csv",
    "steps_thinned.csv",
    "best.pt",
    FINAL,
    "error.log",
    "recorded.json",
    "output.log",
)


class RunFolder(Checkpoints, Recordings):
    """The folder of one run; only its methods read or write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: Lock | None = None

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    # -- finding and creating

    @classmethod
    def of(cls, root: Path, experiment: RunConfig) -> RunFolder:
        """Return the folder of an experiment's run under `root`, existing or new.

        Raises:
            FolderError: the config in the existing folder has been edited, or it is a link that leads elsewhere.
        """
        name = run_name(experiment)
        return cls.known(root, identity(experiment), name) or cls(root / name)

    @classmethod
    def known(cls, root: Path, wanted: str, name: str) -> RunFolder | None:
        """Return the folder under `root` of the run with the identity `wanted`, perhaps called `name`; None without it.

        Raises FolderError like `of`.
        """
        for path in _candidates(root, root / name, wanted[:8]):
            folder = cls(path)
            folder.check_links()
            if not folder.has_config:
                continue
            if folder.identity() == wanted:
                return folder
            raise FolderError(folder.edited)
        return None

    def create(self, experiment: RunConfig, environment: Mapping[str, Any]) -> None:
        """Create the folder with `config.yaml` and `env.json`. Raises FolderError."""
        text = experiment.yaml()
        made_for = {"format": FORMAT, "identity": identity(experiment), "config": sealed(text, experiment)}
        self._write("env.json", to_json({**environment, **made_for}))
        self._write("config.yaml", text)

    def adopt(self, asked: RunConfig) -> None:
        """Update what is not part of the identity, such as the device; reference and trackers if given. The name stays.

        Raises FolderError if the config can't be written.
        """
        wanted, seal = taken_over(asked), self._seal()
        known = {} if seal is None else self._known_environment().plain["config"]
        kept = [key for key in ("reference", "track") if wanted.get(key) is None]
        wanted |= {key: known.get(key) for key in kept}
        if seal is not None and all(known.get(key) == value for key, value in wanted.items()):
            return
        before = self.config()
        adopted = before.replace(**{key: value for key, value in wanted.items() if key not in kept})
        text = adopted.yaml()
        self._write("config.yaml", text)
        self.amend_environment({"config": sealed(text, adopted)})

    def begin(self, time: str) -> None:
        """Start or resume the run: remove temporary files and a failed attempt's result.

        A resumption is recorded in `env.json`. Raises FolderError for one with links that lead elsewhere.
        """
        self.check_links()
        remove_leftovers(self.path)
        self._remove("result.json", "error.log", RECORDER_LOCK)
        if (self.path / CHECKPOINTS[0]).exists() and not self.begun:  # not one of another program
            self.amend_environment({"resumed": [*self._known_environment().resumed, time]})

    def clear(self) -> None:
        """Remove what the run has written, so that it starts over (`--again`)."""
        self._remove(*_WRITTEN, *CHECKPOINTS)
        self.drop_kept()
        if self._known_environment().branched is not None:
            self.amend_environment({"branched": None})

    def lock(self) -> Lock:
        """Return the lock that writing needs. Entering it raises LockedError, or FolderError if it can't be created."""
        self._lock = Lock(self.path / "lock")
        return self._lock

    def guard(self) -> None:
        """Raise if this process must not write any more: its run was taken over, or its folder is gone."""
        if self._lock is None or self._lock.held:
            return
        if not self.path.is_dir():
            raise FolderError(f"{self.path} was removed during the run")
        what = f"was taken over by {self.owner}" if self.owner else "lost its lock"
        raise LockedError(f"{self.name}: this process was suspended for too long and its run {what}")

    # -- reading

    @property
    def is_run(self) -> bool:
        """True if the folder looks like a run's, or may not be looked into."""
        try:
            return any((self.path / n).exists() for n in ("config.yaml", "env.json", "epochs.csv", "result.json"))
        except PermissionError:
            return True

    @property
    def has_environment(self) -> bool:
        """True if there is an `env.json`, which other folders with a `config.yaml` lack."""
        return exists(self.path / "env.json")

    @property
    def has_config(self) -> bool:
        """True if there is a `config.yaml`."""
        path = self.path / "config.yaml"
        return exists(path) and path.is_file()

    def identity(self) -> str:
        """Return the identity of the experiment in `config.yaml`. Raises FolderError."""
        found = self._known_environment().identity if self._seal() is not None else None
        return found or identity(self.config())

    def config_file(self) -> Config:
        """Read `config.yaml` without validating it. Raises FolderError."""
        try:
            return read_config(self.path / "config.yaml")
        except ConfigError as error:
            raise FolderError(f"{self.name}: {error}") from error

    def config(self, file: Config | None = None) -> RunConfig:
        """Return the experiment in `config.yaml`, which is read unless `file` is given. Raises FolderError."""
        try:
            return (file or self.config_file()).experiment()
        except ConfigError as error:
            raise FolderError(f"{self.name}: {error}") from error

    def verify(self, experiment: RunConfig, environment: Environment, result: RunResult | None) -> None:
        """Raise FolderError if the config is not the one that the folder was created for."""
        made_for = environment.identity or (result.identity if result is not None else None)
        if made_for and made_for != identity(experiment):
            raise FolderError(self.edited)

    @property
    def edited(self) -> str:
        """The message for a config that is not the one that the folder was created for."""
        file = self.path / "config.yaml"
        return f"{file} has been edited and no longer describes this run; restore it or move the folder away"

    def _seal(self) -> Seal | None:
        """Return what `env.json` says about `config.yaml`, if the file is still as lrbench wrote it, else None.

        This avoids parsing the YAML of a thousand finished runs, at milliseconds each.
        """
        seal = self._known_environment().config
        try:
            text = read(self.path / "config.yaml", MOST_JSON)
        except FolderError:
            return None
        known = seal is not None and text is not None and hash_of(text) == seal.sha256
        return seal if known else None

    def result(self) -> RunResult | None:
        """Read `result.json`; None if there is none. Raises FolderError if it is damaged."""
        return _parsed(self.path / "result.json", RunResult.of)

    def result_of(self, experiment: RunConfig, pruned: bool = False) -> RunResult | None:
        """Return the valid result of this experiment; None if the run is pending, failed or damaged.

        A pruned result counts only with `pruned`, and not if the run was dropped by hand; otherwise the run is resumed.
        Raises FolderError if the file exists but can't be read, since it may be valid.
        """
        try:
            result = self.result()
        except FolderError as error:
            if isinstance(error.__cause__, OSError | NewerFormatError):
                raise
            return None
        if result is None or result.identity != identity(experiment):
            return None
        if result.steps is None and not experiment.foreign:
            return None
        wanted = result.status.ended or (pruned and result.status is Status.PRUNED and not result.dropped)
        return result if wanted else None

    def environment(self) -> Environment:
        """Read `env.json`; empty if there is none. Raises FolderError if it is damaged."""
        return _parsed(self.path / "env.json", Environment.of) or Environment()

    def schedule_end(self, result: RunResult) -> int:
        """Return how far the schedule has advanced at the end of a run, with the runs that it continues, in steps.

        Steps that a gradient scaler skipped don't count. Raises FolderError.
        """
        scaled = self.config_file().plain.get("precision") == "fp16"
        return self.environment().before.steps + (result.steps or 0) - ((result.skipped or 0) if scaled else 0)

    def status(self, result: RunResult | None = None) -> Status:
        """Return the run's status from its result, which is read unless given, and its lock. Raises FolderError."""
        result = result or self.result()
        if result is not None:
            return result.status
        if self.busy:
            return Status.RUNNING
        return Status.INTERRUPTED if self.epochs.path.exists() or self.begun else Status.PENDING

    @property
    def owner(self) -> Owner | None:
        """The owner of the run's lock, alive or not."""
        return owner_of(self.path / "lock")

    @property
    def busy(self) -> bool:
        """True while a live process is training the run."""
        owner = self.owner
        return owner is not None and owner.alive and not (self.path / "result.json").exists()

    # -- writing, while the lock is held

    def amend_environment(self, changes: Mapping[str, Any]) -> None:
        """Update fields of `env.json`."""
        self._write("env.json", to_json({**self._known_environment().plain, **changes}))

    def _known_environment(self) -> Environment:
        """Read `env.json`; empty if it is damaged, which is no reason to lose a run."""
        try:
            return self.environment()
        except FolderError as error:
            if isinstance(error.__cause__, NewerFormatError):
                raise
            return Environment()

    def finish(self, experiment: RunConfig, result: RunResult) -> RunResult:
        """Write and return the result; of a run that has ended, see `clear_up`."""
        self.sync_logs()
        whole = replace(result, identity=identity(experiment), group=group(experiment), format=FORMAT)
        self._write("result.json", to_json(whole.plain()))
        if whole.status.ended:
            self.clear_up()
        return whole

    def clear_up(self) -> None:
        """Remove lrbench's own checkpoints and temporary files, which processes leave that are killed."""
        remove_leftovers(self.path)
        if not self.begun:  # another program may call its checkpoints so
            self._remove(*CHECKPOINTS)

    def log_error(self, text: str) -> Path | None:
        """Write a traceback to `error.log` and return its path; None if it can't be written."""
        path = self.path / "error.log"
        with contextlib.suppress(OSError, RunError):
            self.guard()
            with replacing(path) as file:  # not `write`, which would make a removed folder
                file.write(text.encode(errors="backslashreplace"))
            return path
        return None


def _parsed(path: Path, parse: Callable[[Mapping[str, Any]], Kind]) -> Kind | None:
    """Read and parse a JSON file; None if there is none. Raises FolderError if it is damaged."""
    plain = read_json(path)
    try:
        return None if plain is None else parse(plain)
    except ValueError as error:
        raise FolderError(f"{path} is damaged: {error}") from error


def _candidates(root: Path, usual: Path, ending: str) -> Iterator[Path]:
    """Yield the paths where a run may be: the usual one, then folders created under another name."""
    yield usual  # first: it saves listing a folder of thousands of runs for each run
    yield from sorted(set(root.glob(f"*-{ending}")) - {usual})
