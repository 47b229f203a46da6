"""The live page's server: who may ask it for what, how it answers, and how it starts and ends."""

from __future__ import annotations

import contextlib
import gzip
import html
import http.client
import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrbench.cli.serve import _announce, _checked
from lrbench.cli.terminal import Terminal
from lrbench.errors import UsageError
from lrbench.server import PORT, Server, Settings, beside, content
from lrbench.server.access import Access, prefix_of
from lrbench.server.versions import Versions
from lrbench.sweeps import SweepFolder

MakeRun = Callable[..., Path]


class Client:
    """Asks a server for things, without the manners of a browser."""

    def __init__(self, server: Server) -> None:
        self.server, self.token = server, server.access.token

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask for a path; `{}` in it is the token. An underscore in a header's name is a hyphen."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(connection):
            connection.request(method, path.replace("{}", self.token), body, given)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return self.ask("GET", path, **headers)

    def post(self, asked: Any, path: str = "/{}/requests", **headers: str) -> tuple[int, str]:
        body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
        status, _, text = self.ask("POST", path, body, **{"Content_Type": "application/json", **headers})
        return status, text.decode()

    def raw(self, text: bytes) -> bytes:
        """Send bytes and return what comes back until the server closes the connection."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as connection:
            connection.sendall(text)
            found = b""
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(65536):
                    found += piece
            return found


@pytest.fixture
def served() -> Iterator[Callable[..., Client]]:
    """Serves a folder until the test ends."""
    running = []

    def serve(path: Path, **settings: Any) -> Client:
        server = Server(Settings([path], port=0, **settings))
        stop = threading.Event()
        thread = threading.Thread(target=server.serve, args=(lambda: str(stop.wait() and "the end"),))
        thread.start()
        running.append((stop, thread))
        return Client(server)

    yield serve
    for stop, thread in running:
        stop.set()
        thread.join()


@pytest.fixture
def runs(make_run: MakeRun, tmp_path: Path) -> Path:
    for lr in (0.1, 0.2):
        make_run([1.0, 0.5], lr=lr)
    return tmp_path / "runs"


def planned(root: Path, name: str = "plan") -> SweepFolder:
    """A sweep of the runs of a folder."""
    cells = []
    for path in sorted(root.glob("tiny-*")):
        notes = json.loads((path / "result.json").read_text() if (path / "result.json").exists() else "{}")
        told = json.loads((path / "env.json").read_text())
        cell = {"run": path.name, "identity": told["identity"], "group": notes.get("group", ""), "series": "tiny"}
        cells.append({**cell, "lr": 0.1, "seed": 0})
    folder = SweepFolder.of(root, name)
    folder.save("plan.json", json.dumps({"format": 1, "name": name, "cells": cells}))
    return folder


# ---- who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:9999", True),  # the other end of a tunnel
        ("localhost:7470", True),
        ("LOCALHOST", True),
        ("[::1]:7470", True),
        ("lr.example.org", True),
        ("lr.example.org:443", True),
        ("evil.example.org", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("10.0.0.7:7470", False),
        ("localhost:port", False),
        ("user@localhost", False),
        ("localhost, evil.example", False),
        ("", False),
        (None, False),
        ("[::1", False),
    ],
)
def test_only_names_of_this_machine_and_allowed_ones_are_hosts(host: str | None, known: bool) -> None:
    assert Access(hosts=frozenset({"lr.example.org"})).knows(host) is known


def test_a_server_for_other_machines_may_be_called_by_any_address() -> None:
    access = Access(addresses=True)
    assert access.knows("10.0.0.7:7470") and access.knows("[fe80::1]") and not access.knows("evil.example")


@pytest.mark.parametrize(
    ("path", "rest"),
    [("/TOKEN/", "/"), ("/TOKEN", ""), ("/TOKEN/changes", "/changes"), ("/TOKENX/", None), ("/", None),
     ("//TOKEN/", None)],
)  # fmt: skip
def test_the_first_part_of_a_path_is_the_token(path: str, rest: str | None) -> None:
    assert Access("TOKEN").within(path) == rest


def test_a_proxy_may_or_may_not_remove_the_prefix() -> None:
    access = Access("TOKEN", prefix_of("lr//a"))
    assert access.prefix == "/lr/a/"
    assert access.within("/lr/a/TOKEN/changes") == access.within("/TOKEN/changes") == "/changes"
    assert access.within("/lr/a") is access.within("/lr/aTOKEN/") is access.within("/lr/TOKEN/") is None


@pytest.mark.parametrize("prefix", ["/../", "/a b/", "/ä/", "/a?b/", "/%2e/"])
def test_a_prefix_is_a_plain_path(prefix: str) -> None:
    with pytest.raises(UsageError, match="--prefix must be a path"):
        prefix_of(prefix)


@given(st.text(max_size=40))
def test_no_other_text_is_the_token(text: str) -> None:
    assert Access("TOKEN").within(f"/{text}/") is None or text == "TOKEN"


def test_nothing_is_told_without_the_token(served: Callable[..., Client], runs: Path) -> None:
    client = served(runs)
    wrong = client.token[:-1] + ("A" if client.token[-1] != "A" else "B")
    for path in ("/", f"/{wrong}/", f"/{wrong}/changes", "/changes", "/favicon.ico", f"/x/{client.token}/", "/../{}/"):
        status, headers, text = client.get(path)
        assert status == 403 and b"token" in text and b"tiny" not in text, path
        assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"
    assert client.post({"do": "stop"}, path=f"/{wrong}/requests")[0] == 403


def test_a_foreign_name_is_refused_even_with_the_token(served: Callable[..., Client], runs: Path) -> None:
    client = served(runs, hosts=["lr.example.org"])
    assert client.get("/{}/", Host="evil.example")[0] == 421
    assert client.get("/{}/", Host="lr.example.org")[0] == 200
    line = f"GET /{client.token}/ HTTP/1.1\r\n"
    assert client.raw(f"{line}Connection: close\r\n\r\n".encode()).startswith(b"HTTP/1.1 421")
    two = f"{line}Host: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert client.raw(two.encode()).startswith(b"HTTP/1.1 421")


def test_a_write_comes_from_the_page_or_from_no_page(served: Callable[..., Client], runs: Path) -> None:
    client, host = served(runs, hosts=["lr.example.org"]), "localhost:7470"
    asked = {"do": "stop", "root": 0, "sweep": planned(runs).name}
    assert client.post(asked)[0] == 200  # as from curl
    assert client.post(asked, Host=host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin")[0] == 200
    assert client.post(asked, Host="127.0.0.1:7470", Origin="https://lr.example.org")[0] == 200  # through a proxy
    for other in ("http://localhost:8888", "http://evil.example", "null", "", "http://localhost:7470.evil.example"):
        assert client.post(asked, Host=host, Origin=other)[0] == 403, other
    for site in ("cross-site", "same-site"):
        assert client.post(asked, Host=host, Sec_Fetch_Site=site)[0] == 403
    assert client.post(asked, Content_Type="text/plain")[0] == 415  # what a form of another page can send
    assert client.post(asked, path="/{}/")[0] == 404


def test_a_read_only_server_refuses_every_request(served: Callable[..., Client], runs: Path) -> None:
    folder = planned(runs)
    client = served(runs, read_only=True)
    status, words = client.post({"do": "stop", "root": 0, "sweep": folder.name})
    assert status == 403 and "--read-only" in words and not list(folder.path.glob("requests/*"))
    assert b"data-do=" not in client.get("/{}/")[2]


# ---- what is asked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b"[]", "must have `do`"),
        (b'{"do": "train"}', "must have `do`: one of stop"),
        (b'{"do": ["stop"]}', "must have `do`"),
        (b'{"do": "stop", "root": 0}', "has exactly the keys do, root, sweep"),
        (b'{"do": "stop", "root": true, "sweep": "plan"}', "'root' has the wrong type"),
        (b'{"do": "stop", "root": 7, "sweep": "plan"}', "no sweep 'plan'"),
        (b'{"do": "stop", "root": -1, "sweep": "plan"}', "no sweep 'plan'"),
        (b'{"do": "stop", "root": 0, "sweep": "../../etc"}', "no sweep '../../etc'"),
        (b'{"do": "drop", "root": 0, "sweep": "plan", "run": "../x"}', "has no run '../x'"),
        (b'{"do": "seeds", "root": 0, "sweep": "plan", "count": 0, "family": null, "best": false}', "seeds"),
        (b'{"do": "seeds", "root": 0, "sweep": "plan", "count": 1, "family": "x", "best": false}', "no family 'x'"),
    ],
)
def test_a_wrong_request_asks_for_nothing(body: bytes, problem: str, served: Callable[..., Client], runs: Path) -> None:
    folder = planned(runs)
    status, words = served(runs).post(body)
    assert status == 400 and problem in words and words.startswith("The request failed")
    assert not list(folder.path.glob("requests/*"))


def test_huge_and_odd_bodies_are_refused_unread(served: Callable[..., Client], runs: Path) -> None:
    client = served(runs)
    assert client.post(b" " * 64_001)[0] == 413
    head = f"POST /{client.token}/requests HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for line, status in (
        ("Content-Length: 99999999999", b"413"),
        ("Content-Length: -1", b"411"),
        ("Content-Length: ²", b"411"),
        ("Transfer-Encoding: chunked", b"411"),
        ("X-None: 1", b"411"),
    ):
        found = client.raw(f"{head}{line}\r\n\r\n".encode("latin-1"))
        assert found.startswith(b"HTTP/1.1 " + status), line


def test_requests_become_files_that_a_sweep_obeys(served: Callable[..., Client], make_run: MakeRun, runs: Path) -> None:
    make_run([], lr=0.3, status=None)
    folder, client = planned(runs), served(runs)
    pending = next(path.name for path in runs.glob("tiny-*") if not (path / "result.json").exists())
    ended = next(path.name for path in runs.glob("tiny-*") if (path / "result.json").exists())

    def ask(do: str, **more: Any) -> tuple[int, str]:
        return client.post({"do": do, "root": 0, "sweep": folder.name, **more})

    def files() -> list[str]:
        return sorted(path.name for path in folder.path.glob("requests/*"))

    assert ask("stop") == (200, "Asked plan to stop after the current runs.") and files() == ["stop"]
    assert ask("go-on")[0] == 200 and files() == []
    assert ask("drop", run=pending)[0] == 200 and files() == [f"drop-{pending}"]
    assert ask("keep", run=pending)[0] == 200 and files() == []
    assert ask("drop", run=ended)[0] == 400 and files() == []
    assert ask("seeds", count=3, family="tiny", best=False)[0] == 200
    (name,) = files()
    assert name.startswith("seeds") and (folder.path / "requests" / name).read_text() == "3 of tiny\n"


def test_a_full_disk_is_told(served: Callable[..., Client], runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, client = planned(runs), served(runs)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    status, words = client.post({"do": "stop", "root": 0, "sweep": folder.name})
    assert status == 500 and "No space left on device" in words


# ---- what is answered ------------------------------------------------------------------------------------------------


def test_the_page_and_its_headers(served: Callable[..., Client], runs: Path) -> None:
    client = served(runs)
    status, headers, body = client.get("/{}/", Accept_Encoding="gzip")
    page = html.unescape(gzip.decompress(body).decode())
    assert status == 200 and "tiny" in page and headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page and "connect-src 'self'" in page and client.token not in page
    script = page.partition("script-src ")[2].partition(";")[0]
    assert script.startswith("'sha256-") and "unsafe" not in script
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer" and headers["x-frame-options"] == "DENY"
    assert html.unescape(client.get("/{}/")[2].decode()) == page
    assert client.get("/{}/", If_None_Match=headers["etag"])[::2] == (304, b"")
    head = client.ask("HEAD", "/{}/")
    assert head[0] == 200 and head[2] == b"" and int(head[1]["content-length"]) > len(page)


def test_the_address_without_its_last_slash_leads_to_the_page(served: Callable[..., Client], runs: Path) -> None:
    client = served(runs, prefix="/lr/")
    status, headers, _ = client.get("/lr/{}")
    assert status == 308 and headers["location"] == f"{client.token}/"  # relative, so right behind any proxy
    assert client.get("/lr/{}/")[0] == client.get("/{}/")[0] == 200
    assert client.server.address.endswith(f"/lr/{client.token}/")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_refused(method: str, served: Callable[..., Client], runs: Path) -> None:
    status, headers, _ = served(runs).ask(method, "/{}/")
    assert status == 405 and headers["allow"] == "GET, HEAD, POST" and headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("text", [b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                                  b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"G" * 1000 + b" / HTTP/1.1\r\n\r\n",
                                  b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n"])  # fmt: skip
def test_what_is_no_http_gets_a_short_answer(text: bytes, served: Callable[..., Client], runs: Path) -> None:
    client = served(runs)
    found = client.raw(text)
    assert found == b"" or found.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
    assert b"Traceback" not in found and client.get("/{}/")[0] == 200


def test_text_files_of_runs_are_served_and_nothing_else(
    served: Callable[..., Client], runs: Path, tmp_path: Path
) -> None:
    path = next(runs.glob("tiny-*"))
    (path / "error.log").write_text("<script>alert(1)</script>")
    (path / "secret.txt").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "config.yaml").write_text("secret")
    (runs / "away").symlink_to(tmp_path / "outside")
    (path / "output.log").symlink_to(tmp_path / "outside" / "config.yaml")
    client = served(runs)
    job = {"queue": "slurm", "id": "1", "log": "1_0_log.out", "stop": "stop", "submitted": "2026-01-01T00:00:00+00:00"}
    (path / "job.json").write_text(json.dumps(job))
    (runs / "slurm").mkdir()
    (runs / "slurm" / "1_0_log.out").write_text("printed by the job")
    assert client.get(f"/{{}}/runs/0/{path.name}/1_0_log.out")[::2] == (200, b"printed by the job")
    (runs / "slurm").rename(tmp_path / "outside" / "slurm")
    (tmp_path / "outside" / "slurm" / "1_0_log.out").write_text("secret")
    (runs / "slurm").symlink_to(tmp_path / "outside" / "slurm")
    status, headers, text = client.get(f"/{{}}/runs/0/{path.name}/error.log")
    assert (status, text) == (200, b"<script>alert(1)</script>")
    assert headers["content-type"] == "text/plain; charset=utf-8" and "sandbox" in headers["content-security-policy"]
    assert client.get(f"/{{}}/runs/0/{path.name}/epochs.csv")[0] == 200
    for wrong in (
        f"0/{path.name}/secret.txt", f"0/{path.name}/output.log", f"0/{path.name}/best.pt", "0/away/config.yaml",
        f"0/{path.name}/1_0_log.out",
        "0/../config.yaml", "0/%2e%2e/config.yaml", f"0/..%2f{path.name}/config.yaml", "0//config.yaml",
        f"0/{path.name}/..%2fconfig.yaml", f"1/{path.name}/config.yaml", f"-1/{path.name}/config.yaml",
        f"%c2%b2/{path.name}/config.yaml",
        f"0/{path.name}%00/config.yaml", f"0/{path.name}/config.yaml/", f"0/./{path.name}/config.yaml",
        "0/sweeps/config.yaml", f"0/{path.name}/", "0/nothing/config.yaml", f"0/{'a' * 5000}/config.yaml",
    ):  # fmt: skip
        status, _, text = client.get(f"/{{}}/runs/{wrong}")
        assert status == 404 and b"secret" not in text, wrong


# ---- changes ---------------------------------------------------------------------------------------------------------


def changes(client: Client, since: str = "", wait: int = 0) -> dict[str, Any] | None:
    status, _, text = client.get(f"/{{}}/changes?since={since}&wait={wait}")
    return json.loads(text) if status == 200 else None


def until(wanted: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := wanted():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def test_only_what_changed_is_sent(served: Callable[..., Client], make_run: MakeRun, runs: Path) -> None:
    client = served(runs)
    first = until(lambda: changes(client, wait=5), "the first version")
    assert first["whole"] and set(first["parts"]) == set(first["order"]) - {"live", "live-frame"}
    assert changes(client, first["version"]) is None
    make_run([1.0, 0.4], lr=0.3)
    seen: dict[str, Any] = {}
    version = first["version"]

    def grown() -> bool:
        nonlocal version
        found = changes(client, version, wait=5)
        if found is not None:
            assert not found["whole"]
            version = found["version"]
            seen.update(found["data"])
        return bool(seen)

    until(grown, "a change")
    assert "page" in seen
    assert changes(client, "other-1")["whole"]  # of an earlier server
    assert changes(client, "x" * 10_000)["whole"]


def test_a_folder_may_come_vanish_and_be_half_written(
    served: Callable[..., Client], make_run: MakeRun, tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    client = served(root)
    assert "note" in until(lambda: changes(client, wait=5), "the first version")["parts"]

    def shows(text: str) -> Callable[[], bool]:
        return lambda: text in json.dumps((changes(client) or {}).get("parts", {}))

    path = make_run([1.0, 0.5])
    until(shows("0.5"), "the run")
    (root / "half").mkdir()
    (root / "half" / "config.yaml").write_text("name: [")
    until(shows("half"), "the damaged folder")
    shutil.rmtree(path)
    until(lambda: not shows(path.name)(), "its absence")
    shutil.rmtree(root)
    until(shows("There are no runs in"), "the absence of all")


@given(st.lists(st.tuples(st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)), st.booleans()), max_size=8))
def test_a_page_that_misses_versions_ends_up_with_the_same(pages: list[tuple[dict[str, int], bool]]) -> None:
    versions, shown, at = Versions(), {}, ""
    for page, reads in pages:
        versions.put_page(tuple(sorted(page)), {key: str(value) for key, value in page.items()}, {})
        if reads:
            found = json.loads(versions.since(at))
            shown = {key: value for key, value in {**shown, **found["parts"]}.items() if key in found["order"]}
            at = found["version"]
            assert shown == {key: str(value) for key, value in page.items()}


def test_many_tabs_wait_at_once_and_slow_clients_hinder_nobody(
    served: Callable[..., Client], make_run: MakeRun, runs: Path
) -> None:
    client = served(runs)
    until(lambda: changes(client, wait=5), "the first version")
    slow = [socket.create_connection(("127.0.0.1", client.server.port)) for _ in range(20)]
    try:
        for connection in slow:
            connection.sendall(f"GET /{client.token}/ HTTP/1.1\r\nHost: localhost\r\n".encode())  # and no end
        version = changes(client)["version"]
        found: list[Any] = []
        tabs = [threading.Thread(target=lambda: found.append(changes(client, version, 50))) for _ in range(8)]
        for tab in tabs:
            tab.start()
        make_run([1.0, 0.4], lr=0.3)
        for tab in tabs:
            tab.join(60)
        assert len(found) == 8 and all(one is not None and one["version"] != version for one in found)
    finally:
        for connection in slow:
            connection.close()


def test_nothing_is_read_while_no_page_asks(served: Callable[..., Client], runs: Path) -> None:
    client = served(runs)
    reader = client.server.live.content.reader
    time.sleep(1.5)
    assert reader.version == 0
    until(lambda: changes(client, wait=5), "the first version")
    assert reader.version > 0


# ---- beginning and end ----------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_told_or_passed_over(
    cli: Callable[..., tuple[int, str, str]], served: Callable[..., Client], runs: Path
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, _, said = cli("serve", runs, "--port", port)
        assert code == 1 and f"--port {port} is used by another program" in said
    with contextlib.suppress(OSError), socket.socket() as usual:
        usual.bind(("127.0.0.1", PORT))
        usual.listen()
        server = Server(Settings([runs]))
        assert server.port != PORT
        server.listener.server_close()


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["--host", "192.0.2.1", "--port", 0], 1, "--host 192.0.2.1 is not an address of this machine"),
        (["--prefix", "/a b/"], 2, "--prefix must be a path such as /lr/"),
        (["--allow-host", "a/b"], 2, "--allow-host must be a host's name"),
        (["--port", 70000], 2, "--port"),
    ],
)
def test_what_cannot_be_served_is_one_message(
    words: list[Any], code: int, problem: str, cli: Callable[..., tuple[int, str, str]], runs: Path
) -> None:
    found, _, said = cli("serve", runs, *words)
    assert found == code and problem in said


def test_a_filter_that_matches_nothing_is_told_at_the_start(runs: Path, make_run: Any) -> None:
    make_run([0.5])
    assert _checked([runs], None, None, ["lr=0.1"]) == ""
    said = _checked([runs], None, None, ["lr=7"])
    assert "lr=7: no run matches" in said
    out = io.StringIO()
    _announce(Terminal(file=out, width=200), "http://here", False, [runs], said)
    assert f"{said}; the page shows runs as soon as some match\n" in out.getvalue()
    with pytest.raises(UsageError, match="needs a number after it"):
        _checked([runs], None, None, ["lr<"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_cleanly(number: signal.Signals, code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lrbench", "serve", "not-yet", "--port", "0", "--host", "0.0.0.0"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = ""
    while "Live page:" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    assert "Other machines can connect" in said and "waiting for the folder not-yet" in said
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == code and rest.strip() == "stopped"


def test_a_server_beside_a_command_ends_with_its_pipe(tmp_path: Path) -> None:
    said: list[str] = []
    with beside(tmp_path / "runs", ["--no-open"], said.append):
        (address,) = said
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert b"lrbench" in answer.read()
    with pytest.raises(OSError):
        urllib.request.urlopen(address, timeout=60)


def test_a_report_that_cannot_be_made_yet_says_why(served: Callable[..., Client], runs: Path) -> None:
    client = served(runs, asked={"baseline": "cosine"})
    found = until(lambda: changes(client, wait=5), "the first version")
    assert "baseline cosine: no such group" in found["parts"]["note"]


def test_what_goes_wrong_is_told_and_the_page_stays(
    served: Callable[..., Client], make_run: MakeRun, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = served(runs)
    first = until(lambda: changes(client, wait=5), "the first version")

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("what nobody thought of")

    monkeypatch.setattr(content, "gather", fails)
    make_run([1.0, 0.4], lr=0.3)
    until(lambda: "nobody thought of" in changes(client)["live"]["problem"], "the problem")
    assert changes(client)["parts"] == first["parts"]
    monkeypatch.undo()
    until(lambda: not changes(client)["live"]["problem"], "the end of the problem")


def test_an_unknown_metric_is_told_at_the_start(cli: Callable[..., Any], make_run: Callable[..., Path]) -> None:
    runs = make_run([0.5, 0.4]).parent
    code, out, err = cli("serve", runs, "--metric", "nope", "--no-open", "--port", 0)
    assert code == 2 and not out and "--metric nope: no such metric; known: " in err
    code, out, err = cli("serve", runs, "--target", "nope=1", "--no-open", "--port", 0)
    assert code == 2 and not out and "--target nope=1" in err


@pytest.mark.parametrize("words", [["run"], ["sweep", "--lr", "0.1,0.2"]])
def test_a_mistake_in_a_config_comes_before_a_live_page(
    cli: Callable[..., Any], write_config: Callable[..., Path], words: list[str]
) -> None:
    config = write_config(optimizer={"name": "sgd", "lr": 0.1, "momentun": 0.9})
    code, out, err = cli(*words, config, "--serve", "--jobs", 1)
    assert code == 2 and "momentun" in err and "live page" not in out + err
