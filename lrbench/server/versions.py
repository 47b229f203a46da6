"""What a page shows, in named pieces, each with the version in which it last changed: only those are sent again."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Pieces:
    """Named values, their JSON, and the version in which each last changed."""

    values: Mapping[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)

    def put(self, values: Mapping[str, Any], version: int) -> bool:
        """Replace all values; return whether any has changed."""
        texts = {name: json.dumps(value, separators=(",", ":"), allow_nan=False) for name, value in values.items()}
        different = [name for name in {**self.texts, **texts} if self.texts.get(name) != texts.get(name)]
        self.changed |= dict.fromkeys(different, version)
        self.values, self.texts = dict(values), texts
        return bool(different)

    def since(self, version: int) -> str:
        """Return the JSON of the values that changed after a version."""
        new = {name: text for name, text in self.texts.items() if self.changed[name] > version}
        return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in new.items()) + "}"


@dataclass
class Versions:
    """What a page shows in each version; 0 is before the first one. `start` tells a server from an earlier one.

    `live` is the progress of what is under way, which changes more often than the page's parts and data.
    """

    number: int = 0
    order: tuple[str, ...] = ()
    parts: Pieces = field(default_factory=Pieces)
    data: Pieces = field(default_factory=Pieces)
    live: Pieces = field(default_factory=Pieces)
    start: str = field(default_factory=lambda: secrets.token_hex(4))

    def put_page(self, order: Sequence[str], parts: Mapping[str, str], data: Mapping[str, Any]) -> bool:
        """Show these parts from now on; return whether they make a new version."""
        number = self.number + 1
        changed = [self.parts.put(parts, number), self.data.put(data, number), tuple(order) != self.order]
        self.number, self.order = (number if any(changed) else self.number), tuple(order)
        return any(changed)

    def put_live(self, live: Mapping[str, Any]) -> bool:
        """Show this progress from now on; return whether it makes a new version."""
        changed = self.live.put(live, self.number + 1)
        self.number += changed
        return changed

    @property
    def name(self) -> str:
        """The version's name, for `since`."""
        return f"{self.start}-{self.number}"

    def known(self, name: str) -> int:
        """Return the number of a version by its name; 0 for one of another server."""
        start, _, number = name.partition("-")
        right = start == self.start and number.isascii() and number.isdigit() and len(number) < 12
        return int(number) if right and int(number) <= self.number else 0

    def since(self, name: str) -> str:
        """Return as JSON what has changed since a version: `order`, `parts`, `data`, `live`; `whole` if that is all.

        What is left out is as it was; `order` tells which parts there are.
        """
        version = self.known(name)
        head = json.dumps({"version": self.name, "whole": not version, "order": list(self.order)})
        pieces = {"parts": self.parts, "data": self.data, "live": self.live}
        return ",".join([head[:-1], *(f'"{key}":{one.since(version)}' for key, one in pieces.items())]) + "}"
