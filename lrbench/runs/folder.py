"""A run's folder: the contract between training and analysis, and the only file that knows its file names."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lrbench.components import Metric, epoch_columns
from lrbench.config import Config, Experiment, group, identity, read_config, run_name
from lrbench.errors import ConfigError, FolderError, LockedError
from lrbench.runs.checkpoints import CHECKPOINTS, Checkpoints
from lrbench.runs.csv_log import CsvLog
from lrbench.runs.files import read_json, remove_leftovers, to_json, write
from lrbench.runs.lock import Lock, Owner, owner_of
from lrbench.runs.result import FORMAT, RunResult, Status

STEP_COLUMNS = ("step", "lr", "momentum", "loss", "grad_norm")


class RunFolder(Checkpoints):
    """The folder of one run. Nothing is read or written before a method asks for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: Lock | None = None
        self.epochs = CsvLog(path / "epochs.csv", epoch_columns(()))
        self.steps = CsvLog(path / "steps.csv", STEP_COLUMNS)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    # -- finding and making

    @classmethod
    def of(cls, root: Path, experiment: Experiment) -> RunFolder:
        """The folder of an experiment's run under `root`: the one with its identity, or a new one's path.

        Raises:
            FolderError: a folder of that identity holds another config (somebody has edited it).
        """
        wanted, usual = identity(experiment), root / run_name(experiment)
        for path in _candidates(root, usual, wanted[:8]):
            folder = cls(path)
            if not folder.has_config:
                continue
            if folder.identity() == wanted:
                return folder
            raise FolderError(folder.edited)
        return cls(usual)

    def create(self, experiment: Experiment, environment: Mapping[str, Any]) -> None:
        """Make the folder with its `config.yaml` and `env.json`. Raises FolderError where that is impossible."""
        text = experiment.yaml()
        made_for = {"format": FORMAT, "identity": identity(experiment), "config": _sealed(text, experiment)}
        self._write("env.json", to_json({**environment, **made_for}))
        self._write("config.yaml", text)

    def adopt(self, asked: Experiment) -> None:
        """Take over what is no part of the identity: the device, and a reference where one is given. Not the name.

        Raises FolderError where it can't be written.
        """
        wanted, seal = _taken_over(asked), self._seal()
        agrees = seal is not None and seal.get("device") == wanted["device"]
        if agrees and seal is not None and wanted["reference"] in (None, seal.get("reference")):
            return
        known = self.config()
        adopted = known.replace(device=asked.device, reference=asked.reference or known.reference)
        text = adopted.yaml()
        self._write("config.yaml", text)
        self.amend_environment({"config": _sealed(text, adopted)})

    def begin(self, time: str) -> None:
        """A writer takes the run up: what killed ones left half written goes, and a failed attempt's result.

        A resumption is noted in `env.json`.
        """
        remove_leftovers(self.path)
        self._remove("result.json", "error.log")
        if (self.path / CHECKPOINTS[0]).exists():
            before = self._known_environment().get("resumed")
            self.amend_environment({"resumed": [*(before if isinstance(before, list) else []), time]})

    def clear(self) -> None:
        """Remove what a run has written, so that it begins anew (`--again`)."""
        self._remove("result.json", "epochs.csv", "steps.csv", "best.pt", "error.log", *CHECKPOINTS)

    def _remove(self, *names: str) -> None:
        for name in names:
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                raise FolderError(f"cannot remove {self.path / name}: {error.strerror}") from error

    def lock(self) -> Lock:
        """The lock that a writer holds. Raises LockedError on entering, FolderError where none can be made."""
        self._lock = Lock(self.path / "lock")
        return self._lock

    def guard(self) -> None:
        """Raise where this writer must not go on: its run was taken over, or its folder is gone."""
        if self._lock is None or self._lock.held:
            return
        if not self.path.is_dir():
            raise FolderError(f"{self.path} was removed while it was written to")
        taken = f"taken over by {self.owner}" if self.owner else "left without its lock"
        raise LockedError(f"{self.name}: this process was stopped for too long, and its run was {taken}")

    # -- reading

    @property
    def is_run(self) -> bool:
        """True where the folder looks like a run's."""
        return any((self.path / n).exists() for n in ("config.yaml", "env.json", "epochs.csv", "result.json"))

    @property
    def has_config(self) -> bool:
        """True where there is a `config.yaml`."""
        return (self.path / "config.yaml").is_file()

    def identity(self) -> str:
        """The identity of the experiment in `config.yaml`. Raises FolderError."""
        found = self._known_environment().get("identity") if self._seal() is not None else None
        return found if isinstance(found, str) else identity(self.config())

    def config_file(self) -> Config:
        """`config.yaml` as it stands, not validated. Raises FolderError."""
        try:
            return read_config(self.path / "config.yaml")
        except ConfigError as error:
            raise FolderError(f"{self.name}: {error}") from error

    def config(self, file: Config | None = None) -> Experiment:
        """The experiment of `config.yaml`, from what `config_file` has read of it or read now. Raises FolderError."""
        try:
            return (file or self.config_file()).experiment()
        except ConfigError as error:
            raise FolderError(f"{self.name}: {error}") from error

    def verify(self, experiment: Experiment, environment: Mapping[str, Any], result: RunResult | None) -> None:
        """Raise FolderError where the config is not the one that the folder was made for."""
        made_for = environment.get("identity") or (result.identity if result is not None else None)
        if made_for and made_for != identity(experiment):
            raise FolderError(self.edited)

    @property
    def edited(self) -> str:
        """What is said where the config is not the one that the folder was made for."""
        return (
            f"{self.path / 'config.yaml'} has been edited: it is no longer the config that this folder's run was made "
            "with. Restore it, or move the folder away"
        )

    def _seal(self) -> dict[str, Any] | None:
        """What `env.json` says of `config.yaml`, where that is still the file that lrbench wrote; else None.

        It spares parsing the YAML of a thousand finished runs, at milliseconds each.
        """
        seal = self._known_environment().get("config")
        try:
            found = hashlib.sha256((self.path / "config.yaml").read_bytes()).hexdigest()
        except OSError:
            return None
        return seal if isinstance(seal, dict) and seal.get("sha256") == found else None

    def result(self) -> RunResult | None:
        """`result.json`, None while there is none. Raises FolderError where it is damaged."""
        path = self.path / "result.json"
        plain = read_json(path)
        try:
            return None if plain is None else RunResult.of(plain)
        except ValueError as error:
            raise FolderError(f"{path} is damaged: {error}") from error

    def result_of(self, experiment: Experiment, pruned: bool = False) -> RunResult | None:
        """The result, where it is there, whole, no failure, and that of this very run; else None: it is to be done.

        A pruned run's counts only where that is asked for: elsewhere the run goes on from its checkpoint.
        Raises FolderError where there is a result that can't be read: it may be whole.
        """
        try:
            result = self.result()
        except FolderError as error:
            if isinstance(error.__cause__, OSError):
                raise
            return None
        if result is None or result.identity != identity(experiment) or result.steps is None:
            return None
        wanted = result.status.ended or (pruned and result.status is Status.PRUNED)
        return result if wanted else None

    def environment(self) -> dict[str, Any]:
        """`env.json`, empty where there is none. Raises FolderError where it is damaged."""
        return read_json(self.path / "env.json") or {}

    def status(self, result: RunResult | None = None) -> Status:
        """Where the run stands, by its result (read now unless given) and its lock. Raises FolderError."""
        result = result or self.result()
        if result is not None:
            return result.status
        if self.busy:
            return Status.RUNNING
        return Status.INTERRUPTED if self.epochs.path.exists() else Status.PENDING

    @property
    def owner(self) -> Owner | None:
        """Who holds the run's lock, alive or not."""
        return owner_of(self.path / "lock")

    @property
    def busy(self) -> bool:
        """True while a live process is doing the run."""
        owner = self.owner
        return owner is not None and owner.alive and not (self.path / "result.json").exists()

    # -- writing, while the lock is held

    def amend_environment(self, changes: Mapping[str, Any]) -> None:
        """Change fields of `env.json`."""
        self._write("env.json", to_json({**self._known_environment(), **changes}))

    def _known_environment(self) -> dict[str, Any]:
        """`env.json`, empty where it is damaged: that is no reason to lose a run."""
        try:
            return self.environment()
        except FolderError:
            return {}

    def open_logs(self, metrics: Iterable[Metric], *, steps: int, evaluations: int) -> None:
        """Begin appending to `steps.csv` and `epochs.csv`, cut back to so many rows; `close_logs` ends that."""
        self.epochs = CsvLog(self.epochs.path, epoch_columns(metrics))
        self.steps.open(steps)
        self.epochs.open(evaluations)

    def close_logs(self) -> None:
        """Close the two CSV files."""
        self.steps.close()
        self.epochs.close()

    def finish(self, experiment: Experiment, result: RunResult) -> RunResult:
        """Write `result.json`, last and atomically; drop the checkpoints of a run that can't go on. What it says."""
        self.sync_logs()
        whole = result.made_for(identity(experiment), group(experiment))
        self._write("result.json", to_json(whole.plain()))
        if whole.status.ended:
            for name in CHECKPOINTS:
                (self.path / name).unlink(missing_ok=True)
        return whole

    def log_error(self, text: str) -> Path:
        """Write a traceback to `error.log`; its path."""
        path = self.path / "error.log"
        with contextlib.suppress(OSError):
            path.write_text(text, encoding="utf-8")
        return path

    def _write(self, name: str, text: str) -> None:
        self.guard()
        write(self.path / name, text, self.guard)  # guarded again: writing may have taken long


def _candidates(root: Path, usual: Path, ending: str) -> Iterator[Path]:
    """Where a run may be: where it would be made; or under a name that it was first made with."""
    yield usual  # which spares reading a folder of thousands for each of them
    yield from sorted(set(root.glob(f"*-{ending}")) - {usual})


def _sealed(text: str, experiment: Experiment) -> dict[str, Any]:
    """What `env.json` says of a config that is written as `text`: its hash, and what may be taken over into it."""
    return {"sha256": hashlib.sha256(text.encode()).hexdigest(), **_taken_over(experiment)}


def _taken_over(experiment: Experiment) -> dict[str, Any]:
    reference = experiment.reference
    return {"device": experiment.device, "reference": None if reference is None else reference.plain()}
