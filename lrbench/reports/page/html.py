"""How the page is put together: templates, one script, one style sheet, and its data, compressed."""

from __future__ import annotations

import base64
import datetime
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lrbench._version import __version__
from lrbench.errors import printable
from lrbench.reports.page.update import Update

SCRIPTS = (
    "core", "format", "scales", "packed", "view", "curves", "overlay", "panels", "figure", "rates", "lengths", "run",
    "link", "dock", "table", "details", "update", "start",
)  # fmt: skip
"""The page's own script, in pieces: they are joined, in this order, into one function."""
STYLES = ("base", "charts", "tables", "print")


@cache
def template(name: str, room: str = "lrbench.reports") -> Any:
    """Return a template of a room, which escapes all text."""
    options: Any = {
        "autoescape": True,
        "undefined": StrictUndefined,
        "finalize": _shown,
        "trim_blocks": True,
        "lstrip_blocks": True,
    }
    return Environment(loader=PackageLoader(room), **options).get_template(name)


def _shown(value: Any) -> Any:
    return printable(value) if type(value) is str else value  # Markup is what this page writes itself


@cache
def static(name: str) -> str:
    """Return a file of the page: scripts, styles, a licence."""
    return resources.files("lrbench.reports").joinpath("static", *name.split("/")).read_text(encoding="utf-8")


@cache
def style() -> str:
    """Return the page's style sheet."""
    return "".join(static(f"page/{name}.css") for name in STYLES)


@cache
def script() -> str:
    """Return the page's own script."""
    return '"use strict";\n(() => {\n' + "".join(static(f"page/{name}.js") for name in SCRIPTS) + "})();\n"


def whole(update: Update, *, title: str, scripts: Sequence[str] = (), connect: bool = False) -> str:
    """Write a page that needs no other files and no network.

    Args:
        update: the content.
        title: of the browser's window.
        scripts: more scripts to run after the page's own; nothing but these and the page's own can run.
        connect: whether scripts may ask the server that the page comes from.
    """
    drawn = bool(update.data.get("page", {}).get("groups"))
    ours = [static("uplot.min.js"), script()] if drawn or scripts else []
    all_scripts = [*ours, *scripts]
    plain = {key: value for key, value in update.data.items() if ":" not in key or key.startswith("section:")}
    packed = {kind: _of_kind(update.data, kind) for kind in ("row", "curves", "details")}
    text: str = template("page.html.j2").render(
        title=title,
        parts=[(name, Markup(update.parts[name])) for name in update.order],
        style=Markup(static("uplot.min.css") + style()),
        license=Markup(static("uplot.LICENSE")),
        scripts=[Markup(one) for one in all_scripts],
        hashes=Markup(" ".join(map(_hash, all_scripts)) or "'none'"),
        connect=connect,
        data=Markup(to_json(plain)) if ours else "",
        packed=[(kind, Markup(pack(found))) for kind, found in packed.items() if found and ours],
        written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )
    return text


def _of_kind(data: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key.startswith(f"{kind}:")}


def _hash(script: str) -> str:
    """What lets a script run under the page's content security policy, which lets no other run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def to_json(value: Any) -> str:
    """Write JSON that a `</script>` in a name can't break."""
    text = printable(json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def pack(value: Any) -> str:
    """Write JSON, compressed by gzip, in base64: the same text for the same value."""
    text = printable(json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False))
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
