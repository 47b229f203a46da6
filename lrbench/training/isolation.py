"""Isolation: what user code changes in torch or in the process lasts only for its own run."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lrbench.errors import UserCodeError, reason_of
from lrbench.training.generators import GENERATORS
from lrbench.training.process import Library, Lost, Owner, Streams


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


def _set_path(wanted: Sequence[str]) -> None:
    sys.path[:] = wanted


_NUMBERS = [
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2")
    if name in signal.Signals.__members__
]  # fmt: skip


def _set_handlers(wanted: Mapping[signal.Signals, Any]) -> None:
    if threading.current_thread() is threading.main_thread():  # no other may
        for number, handler in wanted.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)


def _logging() -> tuple[Any, ...]:
    root = logging.root
    return root.level, list(root.handlers), list(root.filters), root.disabled, root.manager.disable


def _set_logging(wanted: tuple[Any, ...]) -> None:
    root = logging.root
    level, root.handlers[:], root.filters[:], root.disabled, root.manager.disable = wanted
    root.setLevel(level)


_CUDNN = ("enabled", "benchmark", "deterministic", "allow_tf32")


def _set_cudnn(wanted: Sequence[bool]) -> None:
    for name, value in zip(_CUDNN, wanted, strict=True):
        setattr(torch.backends.cudnn, name, value)


_HOOKS = [
    getattr(torch.nn.modules.module, name)
    for name in vars(torch.nn.modules.module)
    if name.startswith("_global_") and isinstance(getattr(torch.nn.modules.module, name), dict)
]
"""Torch's registries of hooks on all modules."""


def _set_hooks(wanted: Sequence[Mapping[Any, Any]]) -> None:
    for registry, hooks in zip(_HOOKS, wanted, strict=True):
        registry.clear()
        registry.update(hooks)


def _set_autocast(wanted: Sequence[bool]) -> None:
    for device, enabled in zip(_AUTOCAST, wanted, strict=True):
        torch.set_autocast_enabled(device, enabled)


_AUTOCAST = ("cpu", "cuda")
_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, torch.set_default_device),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (lambda: [getattr(torch.backends.cudnn, name) for name in _CUDNN], _set_cudnn),
    (torch.get_num_threads, torch.set_num_threads),
    (lambda: [torch.is_autocast_enabled(device) for device in _AUTOCAST], _set_autocast),
    (lambda: [dict(registry) for registry in _HOOKS], _set_hooks),
    (_folder, _enter),
    (lambda: dict(os.environ), _set_environment),
    (lambda: list(warnings.filters), _set_filters),
    (lambda: list(sys.path), _set_path),
    (_logging, _set_logging),
)


# What a kept model does not bring along from the check: random generators, the alarm and the handlers of signals.
_PER_RUN: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
    *GENERATORS,
    (lambda: signal.getitimer(signal.ITIMER_REAL), lambda timer: signal.setitimer(signal.ITIMER_REAL, *timer)),
    (lambda: {number: signal.getsignal(number) for number in _NUMBERS}, _set_handlers),
)


@dataclass(frozen=True)
class ProcessState:
    """The settings of torch and of the process that building a model may make."""

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


@dataclass(frozen=True)
class Surroundings:
    """What user code may have broken while it runs.

    Attributes:
        streams: the standard streams; lrbench's own progress is shown through `streams.around`.
        library: the standard library.
    """

    streams: Streams
    library: Library

    def blamed(self, reason: str) -> str:
        """Repair the standard library; return `reason`, after what user code broke, if it did."""
        broken = self.library.repair()
        return f"user code changed {', '.join(broken)} of the standard library: {reason}" if broken else reason


@contextlib.contextmanager
def isolated(lost: Lost = lambda reason: None) -> Iterator[Surroundings]:
    """Undo after the block what it changed in torch and in the process.

    Only the process that entered the block owns the run; see `Owner`.

    Args:
        lost: called with the reason before user code ends the process.

    Raises UserCodeError for an error after user code broke the standard library.
    """
    state, others = ProcessState.now(), [get() for get, _ in _PER_RUN]
    around = Surroundings(Streams(), Library())
    with Owner(lost).holding():
        try:
            yield around
        except Exception as error:
            if reason := around.blamed(""):
                raise UserCodeError(f"{reason}{reason_of(error)}") from error
            raise
        finally:
            around.library.repair()
            around.streams.restore()
            state.restore()
            for (_, put), value in zip(_PER_RUN, others, strict=True):
                put(value)
