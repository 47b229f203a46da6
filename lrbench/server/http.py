"""The HTTP server: a thread for each connection, limits on all that a client can send, and the same headers always."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lrbench.errors import reason_of
from lrbench.server.access import Access
from lrbench.server.connections import PATIENCE_SECONDS, Connections, Received

MOST_BODY = 64_000
"""Bytes of a request's body."""
MOST_PASSED_OVER = 1_000_000
REQUEST_SECONDS = 10
"""How long a client may take to send the rest of a request, after its first line."""
WORTH_ZIPPING = 1000

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address has the token
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}


@dataclass(frozen=True)
class Request:
    """A request that passed all checks: `path` is what follows the token."""

    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True)
class Answer:
    """An answer; `kind` is its media type."""

    body: str | bytes = b""
    status: int = 200
    kind: str = "text/plain; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


Site = Callable[[Request], Answer]


class Listener(ThreadingHTTPServer):
    """Listens on an address and gives the requests that `access` allows to `site`.

    Raises OSError if the address can't be used.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    allow_reuse_address = os.name != "nt"  # there, it would share a port that is in use

    def __init__(self, address: tuple[str, int], access: Access, site: Site) -> None:
        self.access, self.site = access, site
        self.connections = Connections()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind without looking up this machine's name, which may take seconds."""
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or close the connection if there are too many."""
        if not self.connections.admit(request):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.connections.forget(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer the requests of a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.forget(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go away or are too slow."""
        error = sys.exception()
        if not isinstance(error, OSError):
            print(f"lrbench serve: {type(error).__name__}: {error}", file=sys.stderr)


class Handler(BaseHTTPRequestHandler):
    """Checks a request and sends the answer."""

    server: Listener
    protocol_version = "HTTP/1.1"
    server_version = "lrbench"
    timeout = PATIENCE_SECONDS

    def setup(self) -> None:
        """Receive within limits of time."""
        super().setup()
        self.rfile.close()
        self.received = Received(self.connection)
        self.rfile = io.BufferedReader(self.received)

    def handle_one_request(self) -> None:
        """Wait for a request and answer it."""
        self.received.allow(PATIENCE_SECONDS)
        super().handle_one_request()

    def parse_request(self) -> bool:
        """Receive the rest of a request's head."""
        self.received.allow(REQUEST_SECONDS)
        return super().parse_request()

    def do_GET(self) -> None:
        """Answer a read."""
        self._answer(None)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Answer a write."""
        refusal = self._refusal() or self._unfit()
        if refusal is not None:
            self.close_connection = True
            self._send(refusal)
            self._pass_over()
            return
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _pass_over(self) -> None:
        """Read some of a body that is not wanted: to close before would keep many clients from reading the answer."""
        self.received.allow(1.0)
        with contextlib.suppress(OSError, ValueError):
            self.rfile.read(min(int(self.headers.get("Content-Length", "0")), MOST_PASSED_OVER))

    def _answer(self, body: bytes | None) -> None:
        refusal = self._refusal()
        if refusal is not None:
            self._send(refusal)
            return
        parts = urlsplit(self.path)
        path = self.server.access.within(parts.path)
        assert path is not None, "refused otherwise"
        if path == "":
            self._send(Answer(status=308, headers={"Location": f"{parts.path.rpartition('/')[2]}/"}))
            return
        query = {name: values[-1] for name, values in parse_qs(parts.query, max_num_fields=20).items()}
        try:
            answer = self.server.site(Request(path, query, body))
        except Exception as error:
            answer = Answer(f"lrbench failed: {reason_of(error)}", 500)
        self._send(answer)

    def _refusal(self) -> Answer | None:
        """Return why the request is refused, for what it asks and by which name."""
        if self._ambiguous():
            self.close_connection = True  # where the next request would begin is not known
            return Answer("Malformed request.", 400)
        if len(self.headers.get_all("Host") or []) != 1 or not self.server.access.knows(self.headers["Host"]):
            said = "This server does not accept this host name; `lrbench serve --allow-host NAME` adds one."
            return Answer(said, 421)
        try:
            path = urlsplit(self.path).path
        except ValueError:
            return Answer("Malformed address.", 400)
        if not self.path.startswith("/") or self.server.access.within(path) is None:
            return Answer("Open the whole address that `lrbench serve` printed, with its token.", 403)
        self.server.connections.trust(self.connection)
        return None

    def _ambiguous(self) -> bool:
        """Return whether a proxy before this server might see other requests in the same bytes (smuggling)."""
        lengths = self.headers.get_all("Content-Length") or []
        odd = bool(self.headers.defects or self.headers.get_payload()) or len(lengths) > 1
        if self.command == "POST":
            return odd
        return odd or "Transfer-Encoding" in self.headers or lengths not in ([], ["0"])

    def _unfit(self) -> Answer | None:
        """Return why a write is refused, for where it comes from and what it has."""
        if not self.server.access.from_the_page(self.headers.get):
            return Answer("Only the page itself may ask for this.", 403)
        if self.server.access.read_only:
            return Answer("This server only shows the runs (--read-only).", 403)
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") or not (length.isascii() and length.isdigit()):
            return Answer("The request needs a Content-Length.", 411)
        if int(length) > MOST_BODY:
            return Answer(f"The body must have at most {MOST_BODY:,} bytes.", 413)
        if self.headers.get_content_type() != "application/json":
            return Answer("The body must be application/json.", 415)
        return None

    def _send(self, answer: Answer) -> None:
        self.connection.settimeout(PATIENCE_SECONDS)
        body = answer.body.encode(errors="replace") if isinstance(answer.body, str) else answer.body
        headers = {**HEADERS, "Cache-Control": "private, no-cache", "Content-Type": answer.kind, **answer.headers}
        status = answer.status
        if status == 200 and body and self.command != "POST":
            headers["ETag"] = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
            if headers["ETag"] in self.headers.get("If-None-Match", ""):
                status, body = 304, b""
        if status == 405:
            headers["Allow"] = "GET, HEAD, POST"
        zips = "gzip" in self.headers.get("Accept-Encoding", "")
        headers["Vary"] = "Accept-Encoding"
        if zips and len(body) > WORTH_ZIPPING:
            body, headers["Content-Encoding"] = gzip.compress(body, 5, mtime=0), "gzip"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and body:
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send what the standard library finds wrong with a request, with the usual headers."""
        self.close_connection = True
        if not hasattr(self, "headers"):
            self.headers = self.MessageClass()
        self.command, self.request_version = self.command or "", self.protocol_version
        with contextlib.suppress(OSError):
            self._send(Answer(f"{HTTPStatus(code).phrase}.", 405 if code == 501 else code))

    def version_string(self) -> str:
        """Return the server's name, without the version of anything."""
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log: addresses have the token."""
