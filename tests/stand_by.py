"""Orders to processes of `forked.py`, and the process that stands by to become multiprocessing's fork server."""

from __future__ import annotations

import array
import fcntl
import json
import multiprocessing.util
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any


def send(connection: socket.socket, asked: dict[str, Any], streams: list[int]) -> None:
    text = json.dumps(asked).encode()
    connection.sendmsg([b"%12d" % len(text)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))])
    connection.sendall(text)


def received(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    length, streams, _, _ = socket.recv_fds(connection, 12, 16)
    text = b""
    while len(text) < int(length):
        text += connection.recv(1 << 20)
    return json.loads(text), streams


def stand_by(end: Callable[[list[str]], None]) -> None:
    """Fork a process, while this one has done nothing yet, that becomes multiprocessing's fork server if it starts one.

    Otherwise each program with workers would import torch once more.

    Args:
        end: runs a program and ends.
    """
    import torch

    ours, theirs = socket.socketpair()
    start = multiprocessing.util.spawnv_passfds

    def started(path: bytes, words: Sequence[Any], passed: Sequence[int]) -> int:
        if "multiprocessing.forkserver" not in words[-1]:
            return start(path, words, passed)
        mask = [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])]
        asked = {"code": words[-1], "places": passed, "environment": dict(os.environ), "mask": mask}
        send(ours, asked, [0, 1, 2, *passed])
        multiprocessing.util.spawnv_passfds = start  # there is only one
        return other

    if other := os.fork():
        theirs.close()
        multiprocessing.util.spawnv_passfds = started  # type: ignore[assignment]
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ours.close()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    try:
        asked, given = received(theirs)
    except (OSError, ValueError):  # the program has ended
        os._exit(0)
    theirs.close()
    beyond = [fcntl.fcntl(one, fcntl.F_DUPFD, 500) for one in given]  # the places that they are to have
    for one in given:
        os.close(one)
    for number, one in zip([0, 1, 2, *asked["places"]], beyond, strict=True):
        os.dup2(one, number)
        os.close(one)
    os.environ.clear()
    os.environ.update(asked["environment"])
    torch.set_num_threads(1)
    sys.argv = ["-c"]
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    signal.pthread_sigmask(signal.SIG_SETMASK, asked["mask"])
    end(["-c", asked["code"]])
