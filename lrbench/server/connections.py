"""The connections of clients: how many there may be, and how long each may take to send a request."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from typing import Any

MOST_CONNECTIONS = 200
PATIENCE_SECONDS = 60
"""How long a connection may be idle, and how long a client may take to receive an answer."""


class Connections:
    """The open connections, so many at most.

    If there are too many, the oldest one that never sent a request with the token is closed for a new one. So nobody
    without the token can keep others out by connections on which they send nothing, or very slowly.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Any, bool] = {}  # whether it has sent the token, the oldest first

    def admit(self, connection: socket.socket) -> bool:
        """Add a new connection; False if there is no room for it."""
        with self._lock:
            if len(self._open) >= MOST_CONNECTIONS:
                oldest = next((one for one, known in self._open.items() if not known), None)
                if oldest is None:
                    return False
                del self._open[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # which ends its thread
            self._open[connection] = False
            return True

    def trust(self, connection: socket.socket) -> None:
        """Note that a connection has sent the token."""
        with self._lock:
            if connection in self._open:
                self._open[connection] = True

    def forget(self, connection: socket.socket) -> None:
        """Remove a connection that is closed."""
        with self._lock:
            self._open.pop(connection, None)


class Received(io.RawIOBase):
    """What a client sends, until a time that no trickle of bytes puts off. Raises TimeoutError."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.allow(PATIENCE_SECONDS)

    def allow(self, seconds: float) -> None:
        """Give the client so many seconds from now."""
        self.until = time.monotonic() + seconds

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Receive some bytes."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.connection.settimeout(left)
        return self.connection.recv_into(buffer)
