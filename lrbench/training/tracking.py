"""Tracking: tell tools such as TensorBoard of runs while they train.

A process of its own, `lrbench.integrations.live`, reads the runs' folders and does all that the tools do. Training only
says which run starts and ends, so that a slow, hanging or failing tool never holds it up, and what a tool does to its
process (signals, environment, random generators) never changes a run.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from lrbench.config import TRACKERS, RunConfig, checked_tracker, trackers
from lrbench.errors import ConfigError
from lrbench.events import Event, Watch, message
from lrbench.training.outcome import Outcome
from lrbench.types import IMPORT_STRING, Part

TOLD_AFTER_SECONDS, WAIT_SECONDS = 2.0, 300.0
"""How long to wait for the tools silently, and at most, once all runs have ended."""


def tools_of(experiment: RunConfig, root: Path, *, imported: bool = True) -> list[dict[str, Any]]:
    """Return the tools that follow an experiment's runs: `name`, `into` (a folder) and `options`. Raises as above.

    Unless `imported`, those that are the user's own code are left out, since to look at one is to run it.
    """
    asked = [Part.of(one) for one in experiment.plain().get("track", ())]
    if not asked:
        return []
    found = []
    catalog = trackers(TRACKERS)
    for part in asked:
        if not imported and IMPORT_STRING.fullmatch(part.name):
            continue
        given = dict(part.params)
        own = given.pop("dir", None)
        if own is not None and (not isinstance(own, str) or not own):
            raise ConfigError(f"must be a folder (got {own!r:.60})", key="track.dir")
        whole = checked_tracker(Part(part.name, given), catalog)
        usual = root / "tracked" / whole.name.rpartition(":")[2].lower()
        into = str(usual if own is None else Path(own).absolute())
        found.append({"name": TRACKERS.get(whole.name, whole.name), "into": into, "options": whole.params})
    return found


@contextlib.contextmanager
def tracked(outcomes: Sequence[Outcome], root: Path, watch: Watch) -> Iterator[Watch]:
    """Let tools follow the runs of the block, and catch up with those that are finished already.

    Yields:
        what to call with the runs' events instead of `watch`.

    Raises:
        ConfigError, UsageError: a tool is unknown or not installed, or an option is wrong.
    """
    orders = _orders(outcomes, root)
    if not orders:
        yield watch
        return
    session = Session(watch)

    def follow(event: Event) -> None:
        watch(event)
        session.pass_on_messages()
        begin, end = orders.get(event.run, ({}, {}))
        if begin and event.kind == "start":
            session.tell(begin)
        elif end and event.kind in ("pause", "end"):
            session.tell(end)

    try:
        for outcome in outcomes:
            if outcome.result is not None:  # it ended before; the tools may lack it
                for order in orders.get(outcome.path.name, ()):
                    session.tell(order)
        yield follow
    finally:
        session.finish()


Order = Mapping[str, Any]


def _orders(outcomes: Sequence[Outcome], root: Path) -> dict[str, tuple[Order, Order]]:
    """Return the orders to begin and to end each tracked run, by the names of their folders. Raises like `tracked`."""
    known: dict[str, list[dict[str, Any]]] = {}
    found: dict[str, tuple[Order, Order]] = {}
    for outcome in outcomes:
        path, key = str(outcome.path), json.dumps(outcome.experiment.plain().get("track"))
        if key not in known:
            try:
                known[key] = tools_of(outcome.experiment, root)
            except ConfigError as error:
                raise error.at(outcome.experiment.where("track")) from None
        if known[key]:
            found[outcome.path.name] = {"begin": path, "tools": known[key]}, {"end": path}
    return found


class Session:
    """The process in which the tools run.

    Args:
        watch: called with its messages, in this thread.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lrbench.integrations.live"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
        )  # fmt: skip
        self.orders: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.said: queue.SimpleQueue[str] = queue.SimpleQueue()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        writing = threading.Thread(target=_write, args=(self.orders, self.process.stdin), daemon=True)
        self.reading = threading.Thread(target=_read, args=(self.process.stdout, self.said), daemon=True)
        writing.start()
        self.reading.start()

    def tell(self, order: Order) -> None:
        """Send an order; never waits for the process."""
        self.orders.put(json.dumps(order) + "\n")

    def pass_on_messages(self) -> None:
        """Pass on what the tools have to say."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.watch(message(self.said.get_nowait()))

    def finish(self) -> None:
        """Wait until the tools have written everything; not for ever."""
        self.orders.put(None)
        self.reading.join(TOLD_AFTER_SECONDS)
        if self.reading.is_alive():
            self.watch(message("waiting for the trackers to write the last values"))
            self.reading.join(WAIT_SECONDS)
        self.pass_on_messages()
        if self.reading.is_alive():
            self.process.kill()
            how = f"did not end within {WAIT_SECONDS:.0f} s"
        else:
            how = f"ended with exit code {code}" if (code := self.process.wait()) else ""
        if how:
            self.watch(message(f"the trackers' process {how}; `lrbench export` writes what is missing"))


def _write(orders: queue.SimpleQueue[str | None], pipe: IO[str]) -> None:
    with contextlib.suppress(OSError), pipe:  # it has died, which `finish` tells
        for line in iter(orders.get, None):
            pipe.write(line)
            pipe.flush()


def _read(pipe: IO[str], said: queue.SimpleQueue[str]) -> None:
    with pipe:
        for line in pipe:
            said.put(line.rstrip("\n"))
