"""What user code may do to the process itself: fork, end or signal it, close its files, break its library."""

from __future__ import annotations

import _thread
import builtins
import contextlib
import ctypes
import functools
import hashlib
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import uuid
import zipfile
from collections.abc import Callable, Iterator
from os import _exit as end_process
from typing import Any

import torch.multiprocessing

from lrbench.errors import ForcedEnd
from lrbench.events import Event, Watch

Lost = Callable[[str], object]
_ASKING = (signal.SIGINT, signal.SIGTERM)
"""Signals by which people ask the command to stop."""
_ENDS: tuple[tuple[Any, str], ...] = (
    *((os, name) for name in ("_exit", "kill", "killpg")),
    *((signal, name) for name in ("raise_signal", "pthread_kill")),
    (_thread, "interrupt_main"),
)
"""The functions by which a process ends itself."""

# -- its end


class Owner:
    """The process and the thread that execute a run, whose end user code can't force unnoticed.

    In the thread, `os._exit` raises ForcedEnd, since it would end the command and its other runs, and so does a signal
    that user code sends to its own process, which would be taken for Ctrl-C. Where the process can't be kept, because
    another thread calls `os._exit` or C code calls `exit`, it ends with an error code after `lost` was called with the
    reason.
    """

    now: Owner | None = None

    def __init__(self, lost: Lost) -> None:
        self.pid, self.thread, self.lost = os.getpid(), threading.get_ident(), lost

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Own the process while the block runs. A fork of it that comes out of the block ends."""
        before, Owner.now = Owner.now, self
        kept = [(module, name, getattr(module, name)) for module, name in _ENDS]
        for module, name, act in kept:
            setattr(module, name, self._end if name == "_exit" else functools.partial(self._signal, name, act))
        try:
            with _before_c_exit(lambda: self._force("exit() in C code", 1)):
                yield
        finally:
            if os.getpid() != self.pid:
                end_process(1)
            Owner.now = before
            for module, name, act in kept:
                setattr(module, name, act)

    @property
    def _mine(self) -> bool:
        """Whether it is the run's thread that executes this, and its user code."""
        return threading.get_ident() == self.thread and os.getpid() == self.pid and Owner.now is self

    def _signal(self, name: str, send: Callable[..., Any], *words: Any) -> Any:
        """Send a signal, unless the run's user code asks its own process to stop."""
        whose, number = words if len(words) == 2 else (None, words[0] if words else signal.SIGINT)
        own = {
            "kill": {os.getpid(), 0, -os.getpgrp()}, "killpg": {os.getpgrp(), 0}, "pthread_kill": {self.thread}
        }.get(name, {None})  # fmt: skip
        if whose in own and number in _ASKING and self._mine:
            raise ForcedEnd(f"asked its own process to stop by {name} with {signal.Signals(number).name}")
        return send(*words)

    def _end(self, code: int) -> Any:
        if self._mine:
            raise ForcedEnd(f"called os._exit({code})")
        self._force(f"os._exit({code}) in a thread", code)

    def _force(self, how: str, code: int) -> None:
        if os.getpid() == self.pid and Owner.now is self:
            reason = f"user code ended the process: {how}"
            with contextlib.suppress(BaseException):
                self.lost(reason)
            os.write(2, f"\nError: {reason}\n".encode())
            end_process(code or 1)
        end_process(code)


def _end_with_parent() -> None:
    """Have the kernel (on Linux) kill a fork of a run's thread with its parent: it may hang in torch's own threads."""
    owner = Owner.now
    if owner is not None and os.getppid() == owner.pid and threading.get_ident() == owner.thread:
        torch.multiprocessing._prctl_pr_set_pdeathsig(signal.SIGKILL)  # type: ignore[attr-defined]


os.register_at_fork(after_in_child=_end_with_parent)


@contextlib.contextmanager
def _before_c_exit(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` if the C function `exit` is called while the block runs; with glibc only."""
    pid, running = os.getpid(), True
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: act() if running and os.getpid() == pid else None)
    library, key = ctypes.CDLL(None), ctypes.c_void_p(id(call))
    known = hasattr(library, "gnu_get_libc_version")
    if known:
        library.__cxa_atexit(call, None, key)
    try:
        yield
    finally:
        running = False
        if known:
            library.__cxa_finalize(key)  # calls it in vain, and forgets it


def stack() -> str:
    """Return where user code is, for a log."""
    return "".join(traceback.format_stack())


# -- its streams

_NAMES = {"stdout": 1, "stderr": 2}


class Streams:
    """The standard streams of lrbench, while user code may have replaced or closed them."""

    def __init__(self) -> None:
        self.own: dict[str, Any] = {name: getattr(sys, name) for name in _NAMES}
        self.copies: dict[int, int] = {}
        for number in _NAMES.values():
            with contextlib.suppress(OSError):  # closed from the start
                self.copies[number] = os.dup(number)

    def around(self, watch: Watch) -> Watch:
        """Return `watch`, called with lrbench's streams, and as what it is: no user code of the run."""

        def told(event: Event) -> None:
            theirs, before = {name: getattr(sys, name, None) for name in _NAMES}, dict(self.own)
            owner, Owner.now = Owner.now, None
            self._put_back()
            try:
                watch(event)
            finally:
                Owner.now = owner
                self.own = {name: getattr(sys, name) for name in _NAMES}  # a progress display may have its own
                for name in _NAMES:
                    setattr(sys, name, self.own[name] if theirs[name] is before[name] else theirs[name])

        return told

    def restore(self) -> None:
        """Put the streams back, and what they write to."""
        with contextlib.suppress(OSError):  # all files of the process were closed, the copies too
            self._put_back()
        for number, copy in self.copies.items():
            with contextlib.suppress(OSError):
                if not _same(number, copy):
                    os.dup2(copy, number)
                os.close(copy)

    def _put_back(self) -> None:
        """Set the streams. One that was closed, or would write elsewhere, is replaced by one to the same target."""
        for name, number in _NAMES.items():
            copy = self.copies.get(number)
            if copy is not None and _lost(self.own[name], number, copy):
                file = io.FileIO(os.dup(copy), "w", closefd=False)  # perhaps as `number` itself
                self.own[name] = io.TextIOWrapper(file, "utf-8", "backslashreplace", write_through=True)
            setattr(sys, name, self.own[name])


def _lost(stream: Any, number: int, copy: int) -> bool:
    try:
        return stream is not None and (stream.closed or (stream.fileno() == number and not _same(number, copy)))
    except OSError:  # no file, such as a notebook's
        return False
    except ValueError:  # detached from its file
        return True


def _same(one: int, other: int) -> bool:
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False


# -- its library

_LIBRARY: tuple[Any, ...] = (
    *(builtins, os, os.path, pathlib.Path, io, json, time, threading, contextlib, hashlib, shutil),
    *(signal, socket, tempfile, traceback, uuid, zipfile),
)


class Library:
    """The functions of the standard library that lrbench needs."""

    def __init__(self) -> None:
        self.kept = [{name: one for name, one in vars(module).items() if callable(one)} for module in _LIBRARY]

    def repair(self) -> list[str]:
        """Put back what can't be called any more, such as `os.replace = None`, and return its names."""
        broken = []
        for module, kept in zip(_LIBRARY, self.kept, strict=True):
            for name, one in kept.items():
                if not callable(vars(module).get(name)):
                    setattr(module, name, one)
                    broken.append(f"{module.__name__}.{name}")
        return broken
