"""Who may ask the server for anything: the token in the address, and the checks that keep other pages' scripts out."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from lrbench.errors import UsageError

OWN_NAMES = frozenset({"localhost", "localhost.localdomain"})


def new_token() -> str:
    """Return a random token for an address: 192 bits."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Access:
    """The rules of one server.

    Every path begins with the token, so that only those who were given the address can read or write. The name in the
    Host header must be one that the server is meant to have, whatever the port, so that a web page can't reach it under
    a name of its own (DNS rebinding) but an SSH tunnel can. A browser must say that a write comes from the page itself.

    Attributes:
        token: the first part of every path.
        prefix: the path under which a proxy shows the server, with slashes at both ends; the proxy may remove it.
        hosts: further names of the server, in lower case.
        addresses: whether any IP address may be its name, because it listens to other machines.
        read_only: whether nothing can be asked of sweeps.
    """

    token: str = field(default_factory=new_token, repr=False)
    prefix: str = "/"
    hosts: frozenset[str] = frozenset()
    addresses: bool = False
    read_only: bool = False

    def knows(self, host: str | None) -> bool:
        """Return whether a Host header (`name`, `name:port`, `[::1]:port`) names this server."""
        name = _name_in(host)
        if not name:
            return False
        if name in OWN_NAMES or name in self.hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.addresses or address.is_loopback

    def within(self, path: str) -> str | None:
        """Return the rest of a path after the prefix and the token; None if the token is wrong or missing.

        The rest of `/TOKEN` is empty, that of `/TOKEN/` is `/`.
        """
        rest = path.removeprefix(self.prefix.rstrip("/")) if path.startswith(self.prefix) else path
        token, slash, rest = rest.removeprefix("/").partition("/")
        right = secrets.compare_digest(token.encode(errors="replace"), self.token.encode())
        return slash + rest if right else None

    def from_the_page(self, header: Callable[[str], str | None]) -> bool:
        """Return whether a write with these headers comes from this server's own page, or from no web page at all."""
        site, origin = header("Sec-Fetch-Site"), header("Origin")
        if site is not None and site not in ("same-origin", "none"):
            return False
        if origin is None:
            return True
        try:
            came = urlsplit(origin).netloc.lower()
        except ValueError:
            return False
        host = (header("Host") or "").lower()
        # A proxy may give the server another Host than the one that the browser asked.
        return bool(came) and (came == host or _name_in(came) in self.hosts)


def _name_in(host: str | None) -> str:
    """Return the name in `name:port` in lower case; empty if there is none or it is malformed."""
    if not host or any(sign in host for sign in "@/?#\\ ,"):
        return ""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return ""
    return (parts.hostname or "").rstrip(".")


def prefix_of(text: str) -> str:
    """Return a path prefix with slashes at both ends. Raises UsageError."""
    parts = [part for part in text.split("/") if part]
    usual = all(part.replace("-", "").replace("_", "").replace(".", "").replace("~", "").isalnum() for part in parts)
    if not (usual and text.isascii()) or any(part in (".", "..") for part in parts):
        raise UsageError(f"--prefix must be a path such as /lr/, of letters, digits and -._~ (got {text!r:.60})")
    return "/" + "".join(f"{part}/" for part in parts)


def host_name(text: str) -> str:
    """Return a name for `Access.hosts`. Raises UsageError."""
    name = _name_in(text)
    if not name or "*" in name:
        raise UsageError(f"--allow-host must be a host's name, such as gpu1.example.org (got {text!r:.60})")
    return name
