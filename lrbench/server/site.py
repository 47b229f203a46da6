"""What the server answers: the page, its changes, text files of runs, and requests to sweeps."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from lrbench.errors import FolderError, LrbenchError, printable
from lrbench.runs import RunFolder, leads_out
from lrbench.server.content import Runs, document
from lrbench.server.http import Answer, Request
from lrbench.server.live import Live
from lrbench.server.requests import obey

MOST_WAIT = 55.0
"""Seconds that a request may wait for a change: less than the usual limit of a proxy."""
FIRST_WAIT = 5.0
"""Seconds that a page waits for the runs to be read; it fills itself afterwards."""
MOST_TEXT = 20_000_000
"""Bytes of a text file that is shown; of a longer one, the end."""
_SEALED = "default-src 'none'; frame-ancestors 'none'; sandbox"
_PAGE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"  # it names its scripts itself


@dataclass
class Pages:
    """Answers requests that passed the checks."""

    runs: Runs
    live: Live

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        parts = request.path.split("/")[1:]
        if request.body is not None:
            return self._obey(request.body) if parts == ["requests"] else _missing("nothing to request")
        if parts == [""]:
            return self._page()
        if parts == ["changes"]:
            return self._changes(request.query)
        if parts[0] == "runs" and len(parts) == 4:
            return self._text(*(unquote(part, errors="replace") for part in parts[1:]))
        return _missing("no such page")

    def _page(self) -> Answer:
        self.live.since("", FIRST_WAIT)
        text = document(self.live.current(), read_only=self.runs.read_only)
        return Answer(text, kind="text/html; charset=utf-8", headers={"Content-Security-Policy": _PAGE})

    def _changes(self, query: dict[str, str]) -> Answer:
        wait = query.get("wait", "0")
        seconds = min(float(wait), MOST_WAIT) if wait.isascii() and wait.isdigit() else 0.0
        text = self.live.since(query.get("since", ""), seconds)
        if text is None:
            return Answer(status=204)
        return Answer(text, kind="application/json", headers={"Cache-Control": "no-store"})

    def _obey(self, body: bytes) -> Answer:
        try:
            said = obey(body, self.runs.plans)
        except LrbenchError as error:
            return Answer(
                f"The request failed: {printable(str(error))}.", 500 if isinstance(error, FolderError) else 400
            )
        self.live.hurry()
        return Answer(said)

    def _text(self, root: str, run: str, name: str) -> Answer:
        """Return a text file of a run that is shown; nothing that a link leads to outside the folder of runs."""
        path = _inside(self.runs.paths, root, run)
        file = next((text for text in RunFolder(path).texts if text.name == name), None) if path else None
        text = None if file is None or path is None or leads_out(file, path.parent) else _read(file)
        if text is None:
            return _missing("no such file")
        return Answer(text, headers={"Content-Security-Policy": _SEALED})


def _inside(roots: Sequence[Path], root: str, run: str) -> Path | None:
    """Return the folder of a run of one of the roots, if it is really inside it."""
    if not (root.isascii() and root.isdigit() and int(root) < len(roots)):
        return None
    if not run or run in (".", "..") or any(sign in run for sign in "/\\\0"):
        return None
    try:
        base = roots[int(root)].resolve(strict=True)
        path = (base / run).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    return path if path.parent == base and RunFolder(path).is_run else None


def _read(path: Path) -> bytes | None:
    """Return the end of a regular file; None if there is none, or if it is a link."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or path.is_symlink():
                return None
            file.seek(max(0, status.st_size - MOST_TEXT))
            return file.read(MOST_TEXT)
    except OSError:
        return None


def _missing(what: str) -> Answer:
    return Answer(f"There is {what} at this address.", 404)
