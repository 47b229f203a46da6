"""Open a page in the user's browser."""

from __future__ import annotations

import os
import sys
from typing import Annotated

from lrbench.cli.options import option

Open = Annotated[
    bool | None, option("Open the page in a browser. Default: on a desktop, not over SSH.", "--open/--no-open")
]


def opens(asked: bool | None) -> bool:
    """Return whether to open a browser: only where one has a screen to open on, unless asked."""
    if asked is not None:
        return asked
    desktop = sys.platform in ("darwin", "win32") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return desktop and sys.stdout.isatty() and "SSH_CONNECTION" not in os.environ


def open_page(address: str, asked: bool | None) -> None:
    """Open an address in a browser if `opens` says so."""
    if opens(asked):
        import webbrowser

        webbrowser.open(address)
