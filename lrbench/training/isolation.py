"""Isolation: what user code changes in torch or in the process lasts only for its own run."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import _exit as end_process
from typing import Any

import numpy as np
import torch


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:  # it was removed
        return ""


def _enter(folder: str) -> None:
    with contextlib.suppress(OSError):
        os.chdir(folder)


def _set_environment(wanted: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(wanted)


def _set_filters(wanted: Sequence[Any]) -> None:
    warnings.resetwarnings()
    warnings.filters[:] = wanted  # type: ignore[index]


_CUDNN = ("enabled", "benchmark", "deterministic", "allow_tf32")


def _set_cudnn(wanted: Sequence[bool]) -> None:
    for name, value in zip(_CUDNN, wanted, strict=True):
        setattr(torch.backends.cudnn, name, value)


_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, torch.set_default_device),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (lambda: [getattr(torch.backends.cudnn, name) for name in _CUDNN], _set_cudnn),
    (torch.get_num_threads, torch.set_num_threads),
    (_folder, _enter),
    (lambda: dict(os.environ), _set_environment),
    (lambda: list(warnings.filters), _set_filters),
)
_GENERATORS: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
    (torch.get_rng_state, torch.set_rng_state),
    (np.random.get_state, np.random.set_state),
    (random.getstate, random.setstate),
)


@dataclass(frozen=True)
class ProcessState:
    """The settings of torch and of the process, except random generators."""

    values: tuple[Any, ...]

    @classmethod
    def now(cls) -> ProcessState:
        """Return the current settings."""
        return cls(tuple(get() for get, _ in _SETTINGS))

    def restore(self) -> None:
        """Set what differs now."""
        for (get, put), value in zip(_SETTINGS, self.values, strict=True):
            if get() != value:
                put(value)


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Undo after the block what it changed in torch and in the process.

    In the block, `os._exit` raises SystemExit, since it would end the command and its other runs. A fork of the process
    that comes out of the block ends: only the process that entered it owns the run.
    """
    owner = os.getpid(), threading.get_ident()
    state, generators, exit_before = ProcessState.now(), [get() for get, _ in _GENERATORS], os._exit
    running = True

    def end_run(code: int) -> Any:
        if running and (os.getpid(), threading.get_ident()) == owner:
            raise SystemExit(f"os._exit({code})")
        end_process(code)

    os._exit = end_run  # type: ignore[assignment]
    try:
        yield
    finally:
        if os.getpid() != owner[0]:
            end_process(1)
        running, os._exit = False, exit_before
        state.restore()
        for (_, put), value in zip(_GENERATORS, generators, strict=True):
            put(value)
