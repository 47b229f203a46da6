"""What a page consists of, and what changes from one version to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Update:
    """A page's content, or what changed of it.

    Attributes:
        order: the ids of all parts, from the top.
        parts: HTML by id.
        data: plain values by key: `page`, which lists all groups, `section:…` for each lead figure, and for each group
            `row:…` of the table, `curves:…`, and `details:…` unless a part has them.
    """

    order: tuple[str, ...]
    parts: Mapping[str, str]
    data: Mapping[str, Any]

    def since(self, earlier: Update) -> Update:
        """Return what differs from an earlier version, to be given to `window.lrbench.update` of a page that shows it.

        `order` is always whole. Data that no group needs any more stays in the page, unused.
        """
        parts = {name: html for name, html in self.parts.items() if earlier.parts.get(name) != html}
        data = {key: value for key, value in self.data.items() if earlier.data.get(key, _NONE) != value}
        return Update(self.order, parts, data)

    @property
    def changed(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.parts or self.data)

    def plain(self) -> dict[str, Any]:
        """Return what `window.lrbench.update` takes, for JSON."""
        return {"order": list(self.order), "parts": dict(self.parts), "data": dict(self.data)}


_NONE = object()
