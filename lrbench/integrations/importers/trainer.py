"""Hugging Face's Trainer: the history in `trainer_state.json`, and the settings in `training_args.bin`."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrbench.config import parse_json, read_bytes
from lrbench.errors import FolderError
from lrbench.integrations.importers import Claim, Foreign, folders_in, is_log
from lrbench.integrations.importers.settings import key_of, names_of, plain_name, settings_beside
from lrbench.runs import Status, read_log

STATE, ARGUMENTS = "trainer_state.json", "training_args.bin"
_SETTINGS = (
    "learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_ratio", "warmup_steps", "seed", "data_seed",
    "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "max_steps", "optim",
    "optim_args", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm",
    "label_smoothing_factor", "fp16", "bf16", "neftune_noise_alpha", "group_by_length",
)  # fmt: skip
"""The arguments that change a training's result."""
_MOST_STATE, _MOST_ARGUMENTS = 500_000_000, 1_000_000  # bytes


def claimed_trainer(folder: Path, named: bool) -> Claim | None:
    """An output folder with a state of its own, or with checkpoints, of which the last counts. See `Tool`."""
    return Claim((folder,), whole=True) if is_log(folder / STATE) or _checkpoints(folder) else None


def read_trainer(path: Path) -> list[Foreign]:
    """See `Tool`."""
    states = [one for one in (path, *_checkpoints(path)[-1:]) if is_log(one / STATE)]
    read, damaged = list[tuple[Path, Mapping[str, Any]]](), list[str]()
    for one in states:
        try:
            read.append((one, _state(one / STATE)))
        except FolderError as error:
            damaged.append(str(error))
    if not read:
        raise FolderError(damaged[0])
    damaged = [fault.removeprefix(f"{path}/") for fault in damaged]
    where, state = max(read, key=lambda one: _whole(one[1].get("global_step")) or 0)
    log = read_log("trainer_state", where / STATE)
    if not log:
        empty = "its log_history is empty; was logging_steps longer than the training?"
        raise FolderError("; ".join(log.faults) or empty)
    settings, notes = arguments_in(path, where), tuple[str, ...]()
    if not settings:
        settings, notes = settings_beside(path)
        there = any(os.path.lexists(one / ARGUMENTS) for one in (path, where))
        notes = (f"{ARGUMENTS} cannot be read",) * there + notes
    status, reason = _ended(state)
    names = names_of(path)
    total = _whole(state.get("max_steps"))
    return [
        Foreign(
            key_of(path), names[0], plain_name(names), log, settings, status, reason,
            seconds=next((row["train_runtime"] for row in reversed(log) if "train_runtime" in row), None),
            total_steps=total, notes=notes, faults=(*damaged, *log.faults, *notes),
        )
    ]  # fmt: skip


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints with a state, in order."""
    found = [inner for inner in folders_in(folder) if re.fullmatch(r"checkpoint-\d+", inner.name)]
    return [inner for inner in found if is_log(inner / STATE)]


def _state(path: Path) -> Mapping[str, Any]:
    try:
        found = parse_json(read_bytes(path, _MOST_STATE))
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise FolderError(f"{path} is damaged: {error}") from error
    if not isinstance(found, Mapping):
        raise FolderError(f"{path} has no log_history; is it a Trainer's state?")
    return found


def _ended(state: Mapping[str, Any]) -> tuple[Status | None, str]:
    """Return how the training ended, as far as the state tells."""
    step, total = _whole(state.get("global_step")), _whole(state.get("max_steps"))
    if step is None or total is None or step >= total:
        return Status.FINISHED, ""
    told: Any = state.get("stateful_callbacks")
    control = told.get("TrainerControl") if isinstance(told, Mapping) else None
    arguments = control.get("args") if isinstance(control, Mapping) else None
    if isinstance(arguments, Mapping) and arguments.get("should_training_stop") is True:
        return Status.STOPPED_EARLY, f"the Trainer stopped at step {step} of {total}"
    return None, f"its last state is of step {step} of {total}"


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


class _Inert:
    """Stands for every class and function that a pickle names: nothing of it is imported or called."""

    def __new__(cls, *values: Any, **more: Any) -> _Inert:
        made = super().__new__(cls)
        made.values = values
        return made

    values: tuple[Any, ...]

    def __call__(self, *values: Any, **more: Any) -> _Inert:
        return _Inert(*values)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update({str(key): value for key, value in state.items()})


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a class, without importing it."""
        return _Inert

    def persistent_load(self, pid: Any) -> Any:
        """Return nothing for the data of a tensor."""
        return None


def arguments_in(*folders: Path) -> dict[str, Any]:
    """Return the settings in a Trainer's `training_args.bin`, read without running it; empty if unreadable."""
    for folder in folders:
        if not is_log(folder / ARGUMENTS):
            continue
        with contextlib.suppress(Exception):  # a pickle may be damaged in any way
            content = read_bytes(folder / ARGUMENTS, _MOST_ARGUMENTS)
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                name = next(one for one in archive.namelist() if one.endswith("data.pkl"))
                if archive.getinfo(name).file_size <= _MOST_ARGUMENTS:
                    return _settings(_Unpickler(io.BytesIO(archive.read(name))).load())
    return {}


def _settings(arguments: Any) -> dict[str, Any]:
    found = {}
    for name in _SETTINGS:
        value = vars(arguments).get(name)
        if isinstance(value, _Inert):  # an enumeration's member
            value = value.values[0] if value.values else None
        if isinstance(value, dict):
            value = {str(key): one for key, one in value.items() if isinstance(one, bool | int | float | str)}
        if value is not None and value != {} and isinstance(value, bool | int | float | str | dict):
            found[name] = value
    return found
