"""`lrbench serve`: listen, keep the page up to date, end cleanly."""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrbench.errors import LrbenchError, UsageError
from lrbench.server.access import Access, host_name, new_token, prefix_of
from lrbench.server.content import Runs
from lrbench.server.http import Listener
from lrbench.server.live import Live
from lrbench.server.site import Pages

PORT, MORE_PORTS = 7470, 20
"""The port that is used if it is free, and how many after it are tried."""
LAST_WORDS_SECONDS = 2.0
"""How long pages that are open have to fetch the last state."""


class PortError(LrbenchError):
    """The server can't listen on its address."""


@dataclass(frozen=True)
class Settings:
    """How to serve runs.

    Attributes:
        paths: run folders, or folders that contain them, which may not exist yet.
        host: the address to listen on.
        port: the port; None for 7470 or the next free one.
        prefix: the path under which a proxy shows the page.
        hosts: further names that the server may be called by.
        read_only: show no buttons, and refuse requests to sweeps.
        asked: `metric`, `baseline`, `filters`, `target` and `pool_code`, as for a report.
    """

    paths: Sequence[Path]
    host: str = "127.0.0.1"
    port: int | None = None
    prefix: str = "/"
    hosts: Sequence[str] = ()
    read_only: bool = False
    asked: Mapping[str, Any] = field(default_factory=dict)


class Server:
    """A server that listens from the beginning and answers while `serve` runs.

    Raises:
        UsageError: a setting is invalid.
        PortError: the address can't be used.
    """

    def __init__(self, settings: Settings) -> None:
        names = {host_name(name) for name in settings.hosts}
        self.public = not _is_local(settings.host)
        if self.public:
            names |= {socket.gethostname().lower(), *([] if _is_address(settings.host) else [settings.host.lower()])}
        self.access = Access(
            new_token(), prefix_of(settings.prefix), frozenset(names), addresses=self.public,
            read_only=settings.read_only,
        )  # fmt: skip
        self.settings = settings
        runs = Runs([path.absolute() for path in settings.paths], settings.asked, settings.read_only)
        self.live = Live(runs)
        self.listener = _listen(settings, self.access, Pages(runs, self.live))

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self.listener.server_address[1])

    @property
    def address(self) -> str:
        """The page's address on this machine, with the token."""
        host = self.settings.host
        if self.public and _is_address(host) and ipaddress.ip_address(host).is_unspecified:
            host = socket.gethostname()
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}{self.access.prefix}{self.access.token}/"

    def serve(self, ended: Callable[[], str], *, last: bool = False) -> None:
        """Serve until `ended`, which blocks, returns why; the pages that are open are told. It must be called once.

        Args:
            ended: waits for the end.
            last: whether to show the last state of the runs before that.
        """
        threads = [
            threading.Thread(target=self.live.run, name="lrbench page", daemon=True),
            threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            self.live.end(ended(), last=last)
            threads[0].join(LAST_WORDS_SECONDS)
        finally:
            self.listener.shutdown()
            self.listener.server_close()


def _listen(settings: Settings, access: Access, site: Pages) -> Listener:
    ports = [settings.port] if settings.port is not None else [*range(PORT, PORT + MORE_PORTS), 0]
    for port in ports:
        try:
            return Listener((settings.host, port), access, site)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port != ports[-1]:
                continue
            raise PortError(_why(settings, port, error)) from error
        except OverflowError as error:
            raise UsageError(f"--port must be from 0 to 65535 (got {port})") from error
    raise AssertionError("the last port is any that is free")


def _why(settings: Settings, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"--port {port} is used by another program; give another one, or leave out --port for a free one"
    if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL):
        return f"--host {settings.host} is not an address of this machine"
    if error.errno == errno.EACCES:
        return f"--port {port} is not permitted; use a port from 1024 on"
    return f"cannot listen on {settings.host}, port {port}: {error.strerror or error}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_local(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback if _is_address(host) else host == "localhost"
