"""A run's folder: the contract between training and reporting, and the only file that knows its file names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

from lrbench.config import yaml_source
from lrbench.config.identity import group, identity, run_name
from lrbench.config.load import Experiment, load_config
from lrbench.errors import ConfigError, FolderError, LockedError
from lrbench.runs import jsonfile, tensors
from lrbench.runs.atomic import remove_leftovers, replacing
from lrbench.runs.csv_log import CsvLog
from lrbench.runs.lock import Lock, Owner, owner_of
from lrbench.runs.seal import agrees, sealed, unbroken

EPOCH_COLUMNS = (
    "epoch",
    "step",
    "lr",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "seconds",
    "images_per_second",
)
STEP_COLUMNS = ("step", "lr", "momentum", "loss", "grad_norm")
CHECKPOINT_FORMAT = 2
CHECKPOINT_PARTS = {"state", "model", "optimizer", "random", "best", "threads"}
STATUSES = ("finished", "diverged", "stopped_early", "pruned", "failed")

State = Literal["new", "running", "interrupted", "finished", "diverged", "stopped_early", "pruned", "failed"]


class RunFolder:
    """The folder of one run. Nothing is read or written before a method asks for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: Lock | None = None
        self.epochs = CsvLog(path / "epochs.csv", EPOCH_COLUMNS)
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
            found = folder.identity()
            if found == wanted:
                return folder
            raise FolderError(folder._edited())
        return cls(usual)

    def make(self) -> None:
        """Make the folder itself, empty. Raises FolderError where that is impossible."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderError(f"cannot write to {self.path}: {error.strerror}") from error

    def create(self, experiment: Experiment, environment: Mapping[str, Any]) -> None:
        """Make the folder with its `config.yaml` and `env.json`. Raises FolderError where that is impossible."""
        self.make()
        text = experiment.yaml()
        made_for = {"identity": identity(experiment), "config": sealed(text, experiment)}
        try:
            self._write("env.json", jsonfile.dump({**environment, **made_for}))
            self._write("config.yaml", text)
        except OSError as error:
            raise FolderError(f"cannot write to {self.path}: {error.strerror}") from error

    def verified_config(self) -> Experiment:
        """The experiment of `config.yaml`. Raises FolderError, also where it is not what the folder was made for."""
        experiment = self.config()
        made_for = self._known_environment().get("identity")
        with contextlib.suppress(FolderError):
            made_for = made_for or (self.result() or {}).get("identity")
        if made_for is not None and made_for != identity(experiment):
            raise FolderError(self._edited())
        return experiment

    def _edited(self) -> str:
        return (
            f"{self.path / 'config.yaml'} has been edited: it is no longer the config that this folder's run was made "
            "with. Restore it, or move the folder away"
        )

    def adopt(self, asked: Experiment) -> None:
        """Take over what is no part of the identity: the device, and a reference where one is given. Not the name.

        Raises FolderError where it can't be written.
        """
        seal = unbroken(self._known_environment(), self.path / "config.yaml")
        if seal is None or not agrees(seal, asked):
            known = self.config()
            adopted = known.replace(device=asked.device, reference=asked.reference or known.reference)
            text = adopted.yaml()
            try:
                self._write("config.yaml", text)
                self.amend_environment({"config": sealed(text, adopted)})
            except OSError as error:
                raise FolderError(f"cannot write to {self.path}: {error.strerror}") from error

    def begin(self, time: str) -> None:
        """A writer takes the run up: what killed ones left half written goes, and a failed attempt's result.

        A resumption is noted in `env.json`.
        """
        remove_leftovers(self.path)
        self._remove("result.json", "error.log")
        if (self.path / _CHECKPOINTS[0]).exists():
            before = self._known_environment().get("resumed")
            self.amend_environment({"resumed": [*(before if isinstance(before, list) else []), time]})

    def clear(self) -> None:
        """Remove what a run has written, so that it begins anew (`--again`)."""
        self._remove("result.json", "epochs.csv", "steps.csv", "best.pt", "error.log", *_CHECKPOINTS)

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

    @property
    def has_checkpoint(self) -> bool:
        """True where there is a checkpoint, usable or not."""
        return any((self.path / name).exists() for name in _CHECKPOINTS)

    def identity(self) -> str:
        """The identity of the experiment in `config.yaml`. Raises FolderError."""
        known = self._known_environment()
        found = known.get("identity") if unbroken(known, self.path / "config.yaml") is not None else None
        return found if isinstance(found, str) else identity(self.config())

    def config(self) -> Experiment:
        """The experiment of the folder's `config.yaml`. Raises FolderError."""
        try:
            return load_config(self.path / "config.yaml")
        except ConfigError as error:
            raise FolderError(f"{self.name}: {error}") from error

    def plain_config(self) -> dict[str, Any]:
        """`config.yaml` as it stands, unchecked, for showing. Raises FolderError."""
        try:
            return yaml_source.read(self.path / "config.yaml")[0]
        except ConfigError as error:
            raise FolderError(f"{self.name}: {error}") from error

    def result(self) -> dict[str, Any] | None:
        """`result.json`, None while there is none. Raises FolderError where it is damaged."""
        path = self.path / "result.json"
        result = jsonfile.read(path)
        if result is None:
            return None
        if result.get("status") not in STATUSES:
            raise FolderError(f"{path} is not a run's result")
        for section in ("final", "best", "test", "test_best"):
            values = result.get(section) or {}
            if not isinstance(values, dict) or not all(isinstance(v, int | float | None) for v in values.values()):
                raise FolderError(f"{path} is damaged: '{section}' must hold numbers")
        return result

    def result_of(self, experiment: Experiment, pruned: bool = False) -> dict[str, Any] | None:
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
        unfinished = ("failed",) if pruned else ("failed", "pruned")
        whole = result is not None and result["status"] not in unfinished and {"steps", "best", "test"} <= result.keys()
        return result if whole and result is not None and result.get("identity") == identity(experiment) else None

    def environment(self) -> dict[str, Any]:
        """`env.json`, empty where there is none. Raises FolderError where it is damaged."""
        return jsonfile.read(self.path / "env.json") or {}

    def state(self) -> State:
        """Where the run stands, by its result and its lock."""
        result = self.result()
        if result is not None:
            status: State = result["status"]
            return status
        if self.busy:
            return "running"
        return "interrupted" if (self.path / "epochs.csv").exists() else "new"

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
        self._write("env.json", jsonfile.dump({**self._known_environment(), **changes}))

    def _known_environment(self) -> dict[str, Any]:
        """`env.json`, empty where it is damaged: that is no reason to lose a run."""
        try:
            return self.environment()
        except FolderError:
            return {}

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write `checkpoint.pt` safely, keeping the one before until this one is whole."""
        self.steps.sync()
        self.epochs.sync()
        digests = {"steps": self.steps.digest, "epochs": self.epochs.digest}
        newest, before = (self.path / name for name in _CHECKPOINTS)

        def keep_the_one_before() -> None:
            if newest.exists():
                newest.replace(before)

        self._save(newest.name, {**state, "digests": digests}, keep_the_one_before)

    def load_checkpoint(self, wanted: str) -> dict[str, Any] | None:
        """The newest whole checkpoint from which the run can go on; None where there is none.

        It must be of the identity `wanted`, and all its rows in the CSV files, as they were written.
        """
        for name in _CHECKPOINTS:
            with contextlib.suppress(Exception):  # torch raises many kinds for a damaged file
                state = tensors.load(self.path / name)
                rows = state["digests"]
                whole = self.steps.holds(state["step"], rows["steps"])
                whole = whole and self.epochs.holds(state["epoch"], rows["epochs"])
                known = state.keys() >= CHECKPOINT_PARTS and state["format"] == CHECKPOINT_FORMAT
                if whole and known and state["identity"] == wanted:
                    return state
        return None

    def save_best(self, weights: Mapping[str, Any] | None) -> None:
        """Write `best.pt`, the weights of the best validation epoch; remove it where there is none yet."""
        if weights is None:
            (self.path / "best.pt").unlink(missing_ok=True)
            return
        self._save("best.pt", weights)

    def load_best(self) -> dict[str, Any]:
        """The weights in `best.pt`."""
        return tensors.load(self.path / "best.pt")

    def finish(self, experiment: Experiment, result: Mapping[str, Any]) -> dict[str, Any]:
        """Write `result.json`, last and atomically; drop the checkpoints of a run that can't go on. Its contents."""
        self.steps.sync()
        self.epochs.sync()
        whole = {**result, "identity": identity(experiment), "group": group(experiment)}
        self._write("result.json", jsonfile.dump(whole))
        if result["status"] not in ("failed", "pruned"):
            for name in _CHECKPOINTS:
                (self.path / name).unlink(missing_ok=True)
        return whole

    def log_error(self, text: str) -> Path:
        """Write a traceback to `error.log`; its path."""
        path = self.path / "error.log"
        with contextlib.suppress(OSError):
            path.write_text(text, encoding="utf-8")
        return path

    def _save(self, name: str, content: Mapping[str, Any], ready: Callable[[], None] = lambda: None) -> None:
        with self._replacing(name, ready) as file:
            tensors.save(content, file)

    def _write(self, name: str, text: str) -> None:
        with self._replacing(name) as file:
            file.write(text.encode())

    @contextlib.contextmanager
    def _replacing(self, name: str, ready: Callable[[], None] = lambda: None) -> Iterator[IO[bytes]]:
        def still_ours() -> None:
            self.guard()  # writing may have taken long
            ready()

        self.guard()
        with replacing(self.path / name, still_ours) as file:
            yield file


_CHECKPOINTS = ("checkpoint.pt", "checkpoint.prev.pt")


def _candidates(root: Path, usual: Path, ending: str) -> Iterator[Path]:
    """Where a run may be: where it would be made; or under a name that it was first made with."""
    yield usual  # which spares reading a folder of thousands for each of them
    yield from sorted(set(root.glob(f"*-{ending}")) - {usual})
