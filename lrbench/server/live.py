"""The page's content, kept up to date while somebody looks at it, and at most for a fraction of one core."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from lrbench.errors import reason_of
from lrbench.reports import Update
from lrbench.server.versions import Versions

EVERY_SECONDS = 1.0
"""How often folders are looked at."""
CALM_AFTER, CALM_SECONDS = 30.0, 5.0
"""How often, once nothing has changed for so many seconds."""
LOOKING, MAKING = 0.02, 0.08
"""The most of a core, in the long run, for looking at folders, and for reading changes and making the page anew."""
INTEREST_SECONDS = 10.0
"""A page that has not asked for so long is closed, hidden or gone."""
FAREWELL_SECONDS = 0.3
"""How long pages that were told of the end have to fetch it."""
MOST_WAITING = 60
"""So many requests may wait for a change at once; others are answered at once."""
ABOVE = ("live-frame", "live")
"""The parts above the report's: one that stays as it is, and the progress."""


class Content(Protocol):
    """What is shown."""

    def look(self) -> bool:
        """Look whether anything has changed; cheap."""

    def page(self) -> Update:
        """Return the page's parts and the data of its charts; may take seconds."""

    def progress(self) -> dict[str, Any]:
        """Return the progress of what is under way; cheap."""


class Shown(NamedTuple):
    """What a page shows in a version: the order of its parts, their HTML, the data of its charts, and the progress."""

    version: str
    order: tuple[str, ...]
    parts: Mapping[str, str]
    data: Mapping[str, Any]
    live: Mapping[str, Any]


@dataclass
class Live:
    """Keeps what a page shows, and lets requests wait for a change.

    Attributes:
        content: where it comes from.
        every: seconds between two looks.
        closing: why the server is about to end; empty until then.
    """

    content: Content
    every: float = EVERY_SECONDS
    closing: str = ""
    _versions: Versions = field(default_factory=Versions)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _wanted: threading.Event = field(default_factory=threading.Event)
    _hurry: threading.Event = field(default_factory=threading.Event)
    _asked: float = -INTEREST_SECONDS
    _waiting: int = 0
    _stale: bool = True
    _problem: str = ""
    _rest: float = 0.0
    _moved: float = 0.0
    _ending: bool = False
    _last: bool = False
    _ended: bool = False

    # -- asked by requests

    def since(self, version: str, seconds: float = 0.0) -> str | None:
        """Return as JSON what has changed since a version, waiting for it; None if nothing has.

        Args:
            version: the name of the version that the page shows; empty for none.
            seconds: how long to wait for a change.
        """
        self._interest()
        until = time.monotonic() + seconds
        with self._changed:
            if self._waiting >= MOST_WAITING:
                until = 0.0
            self._waiting += 1
            try:
                while not (self._is_new(version) or self._ended) and (left := until - time.monotonic()) > 0:
                    self._changed.wait(min(left, INTEREST_SECONDS / 2))
                    self._interest()
            finally:
                self._waiting -= 1
            return self._versions.since(version) if self._is_new(version) else None

    def current(self) -> Shown:
        """Return all that is shown now; the version's name is empty before the first one."""
        with self._changed:
            now = self._versions
            shown = now.order, now.parts.values, now.data.values, now.live.values
            return Shown(now.name if now.order else "", *shown)

    def hurry(self) -> None:
        """Look at the folders now, since something was asked of a sweep."""
        self._interest()
        self._hurry.set()

    def end(self, why: str, *, last: bool) -> None:
        """Stop looking, after a last time if `last`, and tell the pages that are open why the server ends."""
        self.closing, self._last = why, last
        self._ending = True
        self.hurry()

    def _is_new(self, version: str) -> bool:
        return bool(self._versions.order) and version != self._versions.name

    def _interest(self) -> None:
        self._asked = time.monotonic()
        self._wanted.set()

    # -- in a thread of its own

    def run(self) -> None:
        """Look and update until `end`, which makes a last update; without a page that asks, do nothing at all."""
        while not self._ending:
            self._wanted.wait()
            self._wanted.clear()
            while not self._ending and time.monotonic() - self._asked < INTEREST_SECONDS:
                took = self._turn()
                calm = time.monotonic() - self._moved > CALM_AFTER
                self._hurry.wait(max(CALM_SECONDS if calm else self.every, took * (1 / LOOKING - 1)))
                self._hurry.clear()
        with self._changed:
            open_pages = self._waiting > 0
        if self._last and open_pages:
            self._rest = 0.0
            self._turn()
        with self._changed:
            self._versions.put_live({**self._versions.live.values, "closing": self.closing})
            self._ended = True
            self._changed.notify_all()
        if open_pages:
            time.sleep(FAREWELL_SECONDS)

    def _turn(self) -> float:
        """Look at the folders and update what is shown; return the processor time of that, without changes."""
        began, first = time.thread_time(), not self._versions.order
        page, made = None, 0.0
        try:
            changed = self.content.look()
            read = time.thread_time() - began if changed else 0.0
            self._stale = changed or self._stale
            if self._stale and time.monotonic() >= self._rest:
                self._stale, looked = False, time.thread_time()
                page = self.content.page()
                made = time.thread_time() - looked
            live, self._problem = self.content.progress(), ""
        except Exception as error:  # a folder may be in any state, and the next look may find a better one
            live, self._stale, self._problem = {}, True, reason_of(error)
            read, made = time.thread_time() - began, 0.0
        if not first or page is None:  # the first version is what a person waits for
            self._rest = max(self._rest, time.monotonic()) + (read + made) * (1 / MAKING - 1)
        told = {**self._versions.live.values, **live, "problem": self._problem, "closing": self.closing}
        with self._changed:
            new = page is not None and self._versions.put_page((*ABOVE, *page.order), page.parts, page.data)
            if self._versions.put_live(told) or new:
                self._moved = time.monotonic()
                self._changed.notify_all()
        return time.thread_time() - began - made - read
