"""The process that tells tools of runs while these train; `lrbench.training.tracking` starts it and sends it orders.

Orders are lines of JSON: `{"begin": folder, "tools": […]}` once a run has started or resumed, `{"end": folder}` once it
has ended or waits. The end of the orders, or of the process that sends them, ends all runs that are left.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrbench.errors import reason_of
from lrbench.integrations.following import Following
from lrbench.integrations.trackers import Tool
from lrbench.runs import RunFolder
from lrbench.types import load_object

POLL_SECONDS = 1.0
Say = Callable[[str], None]


class Tools:
    """The tools of this process; one that has failed is out."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.known: dict[str, list[Tool]] = {}

    def of(self, wanted: Sequence[Mapping[str, Any]]) -> list[Tool]:
        """Return the tools that an order names."""
        return [tool for one in wanted for tool in self.known.setdefault(json.dumps(one), self._made(one))]

    def _made(self, wanted: Mapping[str, Any]) -> list[Tool]:
        if json.dumps(wanted) in self.known:
            return []
        try:
            return [load_object(wanted["name"], "track")(into=Path(wanted["into"]), **wanted["options"])]
        except Exception as error:
            self.say(f"{wanted['name']} can't be used: {reason_of(error)}")
            return []

    def close(self) -> None:
        """Close the tools, and say how to look at what they have got."""
        for tool in [tool for tools in self.known.values() for tool in tools]:
            try:
                tool.close()
            except Exception as error:
                self.say(f"{tool.title} failed: {reason_of(error)}")
            else:
                if tool.hint:
                    self.say(f"{tool.title}: {tool.hint}")


class Followed:
    """The runs that are followed, by their folders."""

    def __init__(self, say: Say) -> None:
        self.say, self.tools = say, Tools(say)
        self.runs: dict[str, Following] = {}

    def order(self, order: Mapping[str, Any]) -> None:
        """Carry out an order."""
        if "begin" in order:
            path = order["begin"]
            tools = self.tools.of(order["tools"])
            if path not in self.runs:
                self.runs[path] = Following(RunFolder(Path(path)), tools, self.left_out)
            self._try(path, self.runs[path].begin)
        elif order["end"] in self.runs:
            self._end(order["end"])

    def left_out(self, tool: Tool, why: str) -> None:
        """Tell that a tool has failed, and leave it out from now on, for all runs."""
        self.say(f"{tool.title or type(tool).__name__} failed and is no longer used: {why}")
        for tools in (*self.tools.known.values(), *(following.tools for following in self.runs.values())):
            if tool in tools:
                tools.remove(tool)
        for following in self.runs.values():
            following.logs.pop(tool, None)

    def advance(self) -> None:
        """Pass on new rows of all runs."""
        for path, following in self.runs.items():
            self._try(path, following.advance)

    def close(self) -> None:
        """End all runs and close the tools."""
        for path in list(self.runs):
            self._end(path)
        self.tools.close()

    def _end(self, path: str) -> None:
        following = self.runs.pop(path)
        if following.logs:
            self._try(path, following.end)

    def _try(self, path: str, do: Callable[[], object]) -> None:
        """Do something for a run. One that can't be read is told of and left out."""
        try:
            do()
        except Exception as error:
            self.say(f"{Path(path).name} is no longer tracked: {reason_of(error)}")
            for following in [self.runs[path]] if path in self.runs else []:
                following.logs.clear()


def main(orders: Iterable[str], say: Say) -> None:
    """Carry out orders until they end."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(orders, lines), daemon=True).start()
    parent, followed = os.getppid(), Followed(say)
    while os.getppid() == parent:
        try:
            line = lines.get(timeout=POLL_SECONDS)
        except queue.Empty:
            followed.advance()
            continue
        if line is None:
            break
        followed.order(json.loads(line))
    followed.close()


def _read(orders: Iterable[str], lines: queue.SimpleQueue[str | None]) -> None:
    for line in orders:
        lines.put(line)
    lines.put(None)


def _silent() -> Say:
    """Send what tools print nowhere, and return what writes a line to the process that gives the orders."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)

    def say(text: str) -> None:
        with contextlib.suppress(OSError):  # that process is gone
            out.write(" ".join(text.split()) + "\n")
            out.flush()

    return say


if __name__ == "__main__":
    main(sys.stdin, _silent())
    os._exit(0)  # all logs are closed, and W&B's exit handlers take seconds
