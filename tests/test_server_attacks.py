"""Attacks on the live page's server, a real process: what no client may read, ask for, hold up or confuse."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil
import pytest

from lrbench.server import access
from lrbench.server.connections import MOST_CONNECTIONS

SECRET = b"the secret"
MEGABYTE = 2**20


class Served(NamedTuple):
    """A server's process, its port and token, and the name of a run that it shows."""

    process: Any
    port: int
    token: str
    run: str
    sweep: str

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def raw(self, text: bytes) -> bytes:
        """Send bytes, and return all that comes back until the server closes the connection."""
        with self.connect() as connection:
            with contextlib.suppress(OSError):
                connection.sendall(text)
                connection.shutdown(socket.SHUT_WR)  # no more will come, so that the server closes too
            return received(connection)

    def get(self, target: str | bytes, *headers: str, host: str = "localhost") -> bytes:
        if isinstance(target, str):
            target = target.replace("{}", self.token).encode("latin-1")
        lines = [f"Host: {host}", "Connection: close", *headers]
        return self.raw(b"GET " + target + b" HTTP/1.1\r\n" + "".join(f"{one}\r\n" for one in lines).encode() + b"\r\n")

    def post(self, body: bytes, *headers: str) -> bytes:
        lines = ["Host: localhost", "Content-Type: application/json", *headers]
        head = f"POST /{self.token}/requests HTTP/1.1\r\n" + "".join(f"{one}\r\n" for one in lines)
        return self.raw(head.encode("latin-1") + b"\r\n" + body)

    def well(self) -> bool:
        """Whether the page is served, and nothing was asked of the sweep."""
        return self.get("/{}/").startswith(b"HTTP/1.1 200") and self.process.poll() is None


def received(connection: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            found += piece
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, make_run_in: Any) -> Iterator[Served]:
    """A server of a folder with a run and a sweep; beside the folder, and behind links in it, lies a secret."""
    top = tmp_path_factory.mktemp("attacked")
    runs, outside = top / "runs", top / "outside"
    path = make_run_in(runs, [1.0, 0.5])
    outside.mkdir()
    for folder in (top, outside):
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_bytes(SECRET)
    (runs / "secret").write_bytes(SECRET)
    (path / "secret").write_bytes(SECRET)
    (path / "error.log").symlink_to(outside / "config.yaml")
    (runs / "away").symlink_to(outside)
    cell = {"run": path.name, "identity": "1" * 64, "group": "2" * 64, "series": "tiny", "lr": 0.1, "seed": 0}
    sweep = runs / "sweeps" / "grid"
    sweep.mkdir(parents=True)
    (sweep / "plan.json").write_text(json.dumps({"format": 1, "name": "grid", "cells": [cell]}))
    words = [sys.executable, "-m", "lrbench", "serve", str(runs), "--port", "0", "--no-open"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=top) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = urlsplit(next(word for word in said.split() if word.startswith("http://")))
        assert address.port is not None
        yield Served(process, address.port, address.path.strip("/"), path.name, str(sweep))
        process.terminate()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


TRAVERSALS = [
    "../config.yaml", "%2e%2e/config.yaml", "%252e%252e/config.yaml", "..%2fconfig.yaml", "..%5cconfig.yaml",
    "..\\config.yaml", "....//config.yaml", "%c0%ae%c0%ae/config.yaml", "%uff0e%uff0e/config.yaml", "./config.yaml",
    "%00/config.yaml", "..%00/config.yaml", "/etc/passwd", "%2fetc%2fpasswd", "away/config.yaml",
    "sweeps/config.yaml", "..;/config.yaml", "\xe9/config.yaml", "..%2f..%2f..%2fetc/passwd", "~root/config.yaml",
]  # fmt: skip


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_out_of_the_runs(path: str, served: Served) -> None:
    for target in (f"/{{}}/runs/0/{path}", f"/{{}}/{path}", f"/{{}}/runs/{path}", f"/{{}}/runs/0/{served.run}/{path}"):
        answer = served.get(target)
        assert SECRET not in answer and b"root:" not in answer and b"Traceback" not in answer, target
        assert status(answer) in (400, 403, 404), target


@pytest.mark.parametrize(
    "name", ["error.log", "secret", "secret%00.yaml", "config.yaml%00", "best.pt", "lock", "", "."]
)
def test_only_text_files_that_lie_in_a_run_are_served(name: str, served: Served) -> None:
    assert status(served.get(f"/{{}}/runs/0/{served.run}/{name}")) == 404
    assert status(served.get(f"/{{}}/runs/0/{served.run}/config.yaml")) == 200


@pytest.mark.parametrize(
    "target",
    ["http://evil.example/{}/", "http://localhost/{}/", "//evil.example/{}/", "*", "{}/", "localhost:80", "/{}",
     "\\{}\\", "/%7b%7d/", "/{}%2f", "/?/{}/", "/#/{}/", "/;/{}/"],
)  # fmt: skip
def test_no_other_form_of_address_is_the_page(target: str, served: Served) -> None:
    answer = served.get(target)
    assert status(answer) in (308, 400, 403, 404) and b"tiny" not in answer and b"<html" not in answer
    assert b"evil" not in answer.partition(b"\r\n\r\n")[0], "no redirection elsewhere"


def test_no_wrong_or_partial_token_opens_anything(served: Served) -> None:
    token = served.token
    other = "".join(sorted(token))
    wrong = [
        "",
        "x",
        token[:-1],
        token[1:],
        f"{token}x",
        token.swapcase(),
        other,
        f"{token}%00",
        f"%20{token}",
        "é",
        "\0",
    ]
    for one in [one for one in wrong if one != token]:
        for path in (f"/{one}/", f"/{one}/changes", f"/{one}/runs/0/{served.run}/config.yaml", f"/x?token={token}"):
            answer = served.get(path.encode("utf-8", "replace"))
            assert status(answer) in (400, 403) and served.run.encode() not in answer, path
    assert status(served.get("/", f"Authorization: Bearer {token}", f"Cookie: token={token}")) == 403


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(access.secrets, "compare_digest", lambda one, other: compared.append((one, other)) or False)
    assert access.Access("TOKEN").within("/TOKEN/") is None
    assert compared == [(b"TOKEN", b"TOKEN")]
    assert len({access.new_token() for _ in range(100)}) == 100 and len(access.new_token()) >= 32


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "evil.example:80", "localhost@evil.example", "evil.example#localhost",
     "localhost:80@evil.example", "127.0.0.1.evil.example", "169.254.169.254", "10.0.0.1", "0", "0.0.0.0", "2130706433",
     "0x7f.1", "127.1", "[::ffff:10.0.0.1]", "localhost evil.example", "localhost,evil.example", "\x00localhost",
     "localhost\\evil.example", "xn--lcalhost-54a", "localhost:99999", "localhost:-1", ""],
)  # fmt: skip
def test_another_name_of_this_machine_reads_nothing(host: str, served: Served) -> None:
    """DNS rebinding: a page of evil.example whose name now leads here has the Host of its own name."""
    answer = served.get("/{}/", host=host)
    assert status(answer) in (400, 421) and b"tiny" not in answer
    assert status(served.get("/{}/", "Host: evil.example")) == 421, "two names"
    assert status(served.get("/{}/", "X-Forwarded-Host: localhost", host="evil.example")) == 421


@pytest.mark.parametrize(
    "header",
    ["Origin: http://evil.example", "Origin: null", "Origin: http://localhost.evil.example", "Origin: file://",
     "Origin: http://localhost:1", "Origin: https://localhost@evil.example", "Sec-Fetch-Site: cross-site",
     "Sec-Fetch-Site: same-site", "Sec-Fetch-Site: nonsense", "Content-Type: text/plain",
     "Content-Type: multipart/form-data", "Content-Type: application/x-www-form-urlencoded"],
)  # fmt: skip
def test_pages_of_others_can_ask_for_nothing(header: str, served: Served) -> None:
    body = json.dumps({"do": "stop", "root": 0, "sweep": "grid"}).encode()
    name, _, value = header.partition(": ")
    given = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body)), name: value}
    head = "".join(f"{key}: {one}\r\n" for key, one in given.items())
    answer = served.raw(f"POST /{served.token}/requests HTTP/1.1\r\n{head}\r\n".encode() + body)
    assert status(answer) in (400, 403, 415)
    assert b"access-control" not in answer.lower()
    assert not list(Path(served.sweep).glob("requests/*")) and served.well()


def test_other_pages_may_read_no_answer(served: Served) -> None:
    head = served.get("/{}/", "Origin: http://evil.example").partition(b"\r\n\r\n")[0].lower()
    assert b"access-control" not in head and b"cross-origin-resource-policy: same-origin" in head
    assert b"frame-ancestors 'none'" in head and b"referrer-policy: no-referrer" in head


def test_slow_clients_without_the_token_keep_nobody_out(served: Served) -> None:
    """Half-sent requests (slowloris) on more connections than there may be; the page is served all the same."""
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(served.connect()) for _ in range(MOST_CONNECTIONS + 50)]
        for number, connection in enumerate(slow):
            with contextlib.suppress(ConnectionError):
                connection.sendall((b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-a: b\r\n")[number % 3])
        assert all(served.well() for _ in range(5))
        assert psutil.Process(served.process.pid).num_threads() < MOST_CONNECTIONS + 100
    assert served.well()


def test_many_pages_that_are_open_do_not_keep_a_new_one_out(served: Served) -> None:
    waiting = f"GET /{served.token}/changes?wait=50&since=x HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        tabs = [stack.enter_context(served.connect()) for _ in range(MOST_CONNECTIONS // 2)]
        for tab in tabs:
            tab.sendall(waiting)
        assert served.well()
        assert all(status(tab.recv(65536)) in (200, 204) for tab in tabs[:5])


@pytest.mark.parametrize(
    "head",
    [b"A: " + b"b" * 70_000, b"\r\n".join(b"A%d: b" % n for n in range(5000)), b"A" * 70_000 + b": b", b" folded",
     b": no name", b"A : b", b"\0: b", b"A\0: b"],
    ids=range(8),
)  # fmt: skip
def test_odd_and_huge_heads_are_refused(head: bytes, served: Served) -> None:
    answer = served.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\nConnection: close\r\n\r\n")
    assert status(answer) in (0, 400, 403, 421, 431) and b"Traceback" not in answer
    assert served.well()


def test_a_request_without_an_end_takes_no_memory(served: Served) -> None:
    process = psutil.Process(served.process.pid)
    before = process.memory_info().rss
    for text in (b"GET /" + b"a" * 40 * MEGABYTE, b"GET / HTTP/1.1\r\nA: " + b"a" * 40 * MEGABYTE):
        assert status(served.raw(text)) in (0, 400, 414, 431)
    assert process.memory_info().rss - before < 30 * MEGABYTE and served.well()


def test_huge_and_endless_bodies_are_not_read(served: Served) -> None:
    process = psutil.Process(served.process.pid)
    before = process.memory_info().rss
    body = b" " * 20 * MEGABYTE
    assert status(served.post(body, f"Content-Length: {len(body)}")) in (0, 413)
    assert status(served.post(body, "Content-Length: 99999999999999999999")) in (0, 413)
    chunks = b"".join(b"%x\r\n" % MEGABYTE + b"a" * MEGABYTE + b"\r\n" for _ in range(20))
    assert status(served.post(chunks, "Transfer-Encoding: chunked")) in (0, 411)
    assert status(served.post(b"{}", "Content-Length: 0x2")) == 411
    assert status(served.post(b"[" * 60_000, "Content-Length: 60000", "Connection: close")) == 400
    assert process.memory_info().rss - before < 30 * MEGABYTE and served.well()


def test_a_request_in_another_is_never_answered(served: Served) -> None:
    """Smuggling: bytes in which a proxy before the server sees a body, and the server might see a request."""
    inner = f"GET /{served.token}/runs/0/{served.run}/config.yaml HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    size = f"Content-Length: {len(inner)}"
    for method in ("GET", "POST", "HEAD"):
        for headers in (
            [size], [size, "Content-Length: 0"], ["Content-Length: 0", size], [size, "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked"], ["Transfer-Encoding: xchunked"], ["Transfer-Encoding : chunked", size],
            [f"Content-Length: 0, {len(inner)}"], [f"Content-Length : {len(inner)}"], ["X: y\rContent-Length: 0", size],
        ):  # fmt: skip
            lines = "".join(f"{one}\r\n" for one in ["Host: localhost", "Content-Type: application/json", *headers])
            answer = served.raw(f"{method} /{served.token}/requests HTTP/1.1\r\n{lines}\r\n".encode() + inner)
            assert answer.count(b"HTTP/1.1 ") == 1 and b"dataset" not in answer, (method, headers)
    assert served.well()


def test_a_connection_may_be_used_again(served: Served) -> None:
    """What the test before forbids would else be kept by closing after each answer."""
    request = f"GET /{served.token}/runs/0/{served.run}/config.yaml HTTP/1.1\r\nHost: localhost\r\n"
    answer = served.raw((request + "\r\n" + request + "Connection: close\r\n\r\n").encode())
    assert answer.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize("method", ["PUT", "DELETE", "CONNECT", "TRACE", "OPTIONS", "PROPFIND", "get", "\x01"])
def test_no_other_method_does_anything(method: str, served: Served) -> None:
    text = f"{method} /{served.token}/requests HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = served.raw(text.encode())
    assert status(answer) in (400, 405) and SECRET not in answer and served.token.encode() not in answer


def test_the_server_still_stands_and_has_said_nothing(served: Served) -> None:
    assert served.well() and not list(Path(served.sweep).glob("requests/*"))
