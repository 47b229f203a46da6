"""Processes that need not import torch: each is forked from one that has.

A test that starts twelve commands imports torch twelve times, and that is most of what it costs. Here one process
imports torch, scikit-learn and lrbench, and does nothing with them. What a test starts is a fork of it that becomes
what `python -m lrbench …` or `python train.py` would be: arguments, folder, environment, standard streams, session,
signals, `__main__`. It is a child of the test's process, with a process id of its own.

Tests of how a command starts or what it imports start it themselves.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import inspect
import io
import multiprocessing.process
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stand_by import received, send, stand_by

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
POSSIBLE = sys.platform == "linux"
SHIM = """#!{python} -SEs
import array, json, os, socket, sys
words = {words!r} + sys.argv[1:]
if words[:1] == ["-u"]:
    del words[0]
    os.environ["PYTHONUNBUFFERED"] = "1"
if not words or words[0][0] == "-" and words[0] not in ("-m", "-c"):
    os.execv({python!r}, [{python!r}, *words])
asked = {{"words": words, "folder": os.getcwd(), "environment": dict(os.environ), "session": True, "waits": True}}
text = json.dumps(asked).encode()
streams = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
    server.connect({address!r})
    server.sendmsg([b"%12d" % len(text)], streams)
    server.sendall(text)
    code = int(server.makefile().read())
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class Starts:
    """Starts Python as everybody does. What tests are given where processes can't be forked so."""

    def popen(self, words: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
        """Do what `subprocess.Popen([sys.executable, *words], **options)` does."""
        return subprocess.Popen([sys.executable, *words], **options)

    def run(self, words: Sequence[str | Path], timeout: float, **options: Any) -> subprocess.CompletedProcess[str]:
        """Do what `subprocess.run([sys.executable, *words], capture_output=True, text=True, …)` does."""
        with self.popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
            try:
                output, errors = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def shims(self, folder: Path) -> None:
        """Write programs `python`, `lrbench` and `torchrun` for commands that other programs start."""

    def close(self) -> None:
        """There is nothing to end."""


class Forks(Starts):
    """Forks a process that has imported what the others need, a child of this one.

    Attributes:
        bound: the words of a command that starts it, such as `setpriv …`; the forks are bound as it is.
        modules: what it imports besides, where it is installed.
    """

    def __init__(self, bound: Sequence[str] = (), modules: Sequence[str] = ()) -> None:
        self.bound, self.modules = list(bound), list(modules)
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = tempfile.TemporaryDirectory(prefix="forks")

    @property
    def address(self) -> str:
        """Where the process listens, which is started when it is first asked for."""
        address = str(Path(self.folder.name) / "socket")
        if self.process is None:
            words = [*self.bound, sys.executable, __file__, address, *self.modules]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
            self.process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, start_new_session=True)
            assert self.process.stdout is not None
            assert self.process.stdout.readline() == b"ready\n"
        return address

    def close(self) -> None:
        """End it; what was forked from it goes on."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.folder.cleanup()

    def popen(self, words: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
        """Do what `subprocess.Popen([sys.executable, *words], **options)` does."""
        return Fork([str(word) for word in words], self.address, options)

    def shims(self, folder: Path) -> None:
        """Write programs `python`, `lrbench` and `torchrun`: each waits for its fork."""
        modules = {"lrbench": "lrbench", "torchrun": "torch.distributed.run"}
        commands = {"python": list[str](), **{name: ["-m", module] for name, module in modules.items()}}
        for name, words in commands.items():
            path = folder / name
            path.write_text(SHIM.format(python=sys.executable, address=self.address, words=words))
            path.chmod(0o755)


class Fork(subprocess.Popen[Any]):
    """A fork, as its parent sees it."""

    def __init__(self, words: list[str], address: str, options: dict[str, Any]) -> None:
        self.address = address
        super().__init__([sys.executable, *words], **options)

    def _execute_child(self, *arguments: Any) -> None:
        """Let the other process fork. It makes the fork an orphan, and this process adopts it."""
        given = inspect.signature(subprocess.Popen._execute_child).bind(self, *arguments).arguments  # type: ignore[attr-defined]
        ends = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        asked = {
            "words": given["args"][1:],
            "folder": str(Path.cwd() / (given["cwd"] or "")),
            "environment": dict(os.environ if given["env"] is None else given["env"]),
            "session": given["start_new_session"],
        }
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
                server.connect(self.address)
                send(server, asked, [usual if end < 0 else end for usual, end in enumerate(ends)])
                self.pid = int(server.makefile().read())
        finally:
            ctypes.CDLL(None).prctl(SUBREAPER, 0, 0, 0, 0)
        self._child_created = True
        for end, other in zip(ends, ("p2cwrite", "c2pread", "errread"), strict=True):
            if given[other] != -1:  # a pipe; what else there is, is the caller's
                os.close(end)
        if hasattr(self, "_devnull"):
            os.close(self._devnull)


# -- in the process that forks


def serve(address: str) -> None:
    """Fork for each connection, for ever."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(address)
        server.listen(64)
        print("ready", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those between
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                break
            connection.close()
    asked, streams = received(connection)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    waits, between = asked.get("waits", False), os.getpid()
    if child := os.fork():
        for given in streams:
            os.close(given)
        if waits:
            with contextlib.suppress(OSError):  # nobody waits any more
                connection.sendall(str(status_of(child, connection)).encode())
        os._exit(0)
    while not waits and os.getppid() == between:  # until another one is the parent
        time.sleep(0.001)
    if not waits:
        connection.sendall(str(os.getpid()).encode())
    connection.close()
    become(asked, streams)
    end(asked["words"])


def status_of(child: int, connection: socket.socket) -> int:
    """Wait for a fork; where nobody does any more, end it."""
    connection.setblocking(False)
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        with contextlib.suppress(BlockingIOError):
            if not connection.recv(1):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)


def become(asked: dict[str, Any], streams: list[int]) -> None:
    """Be the program that was asked for."""
    import torch

    if asked.get("session"):
        os.setsid()
    for number, given in enumerate(streams):
        os.dup2(given, number)
    for given in streams:
        os.close(given)
    os.chdir(asked["folder"])
    # From there, workers are told where `__main__` is.
    multiprocessing.process.ORIGINAL_DIR = asked["folder"]  # type: ignore[attr-defined]
    os.environ.clear()
    os.environ.update(asked["environment"])
    unbuffered, output = bool(os.environ.get("PYTHONUNBUFFERED")), io.FileIO(1, "w", closefd=False)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout = io.TextIOWrapper(output if unbuffered else io.BufferedWriter(output), write_through=unbuffered)
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w", closefd=False)), errors="backslashreplace", line_buffering=True
    )
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    if not asked.get("waits"):
        stand_by(end)
    words = asked["words"]
    sys.argv = {"-m": words[1:], "-c": ["-c", *words[2:]]}.get(words[0], words)
    first = os.getcwd() if words[0] in ("-m", "-c") else str(Path(words[0]).absolute().parent)  # noqa: PTH109
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = list(dict.fromkeys([first, *paths, *sys.path[1:]]))


def end(words: list[str]) -> None:
    """Run the program, and end as Python ends, but for what takes longest: freeing what was imported."""
    code = 0
    try:
        if words[0] == "-m":
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        elif words[0] == "-c":
            exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException as error:
        shown = error.__traceback__
        while shown is not None and shown.tb_frame.f_code.co_filename == __file__:
            shown = shown.tb_next
        sys.excepthook(type(error), error.with_traceback(shown), shown)
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def preload() -> None:
    """Import what a run, a sweep and a report use, or each fork would pay for it."""

    import lrbench.training.loop  # noqa: F401
    from lrbench.cli import progress, tables  # noqa: F401
    from lrbench.cli.app import main  # noqa: F401
    from lrbench.components.data import sources  # noqa: F401
    from lrbench.training import run_one  # noqa: F401


if __name__ == "__main__":
    del sys.path[0]  # a fork has its own
    sys.path.insert(0, "")
    preload()
    for module in sys.argv[2:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()
    serve(sys.argv[1])
