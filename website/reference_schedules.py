"""Every schedule with its formula, parameters and a drawing, which `lrbench.preview` makes at build time."""

from __future__ import annotations

from reference_catalogue import entry, escaped
from reference_text import code, table

from lrbench.schedules import SCHEDULES, SCHEDULES_AND_PLATEAUS


def schedules() -> str:
    """Return drawings of all of lrbench's own schedules, and a section for each."""
    own = [name for name in SCHEDULES.entries if "/" not in name]
    small = "\n".join(f"- [![](schedules/{name}.svg) {name}](#{name})" for name in own)
    return f'<div class="schedules" markdown>\n\n{small}\n\n</div>\n\n' + "\n".join(
        f"### `{name}`\n\n{_picture(name)}{entry(SCHEDULES, name)}" for name in own
    )


def _picture(name: str) -> str:
    return f"![The learning rate of {name} at every step](schedules/{name}.svg){{ .schedule }}\n\n"


def other_tools() -> str:
    """Return a table for each tool whose schedules lrbench has, by their names there."""
    found = SCHEDULES_AND_PLATEAUS.names()
    spaces = sorted({name.partition("/")[0] for name in found if "/" in name})
    return "\n".join(f"### `{space}/…`\n\n{_names(found, space)}" for space in spaces)


def _names(found: dict[str, str], space: str) -> str:
    rows = sorted((name, text) for name, text in found.items() if name.startswith(f"{space}/"))
    return table(("name", "description"), ((code(name), escaped(text)) for name, text in rows))
