"""Every data set, model, optimizer, loss, task and metric, from the catalogue that `lrbench list` shows."""

from __future__ import annotations

import re

from reference_text import code, table

from lrbench.cli.catalogue import CATALOGUES
from lrbench.registry import Catalog

_TITLES = {
    "datasets": "Data sets", "models": "Models", "optimizers": "Optimizers", "losses": "Losses", "tasks": "Tasks",
    "metrics": "Metrics",
}  # fmt: skip


def catalogue() -> str:
    """Return a section for each kind of part."""
    return "\n".join(f"## {title}\n\n{_kind(*CATALOGUES[kind])}" for kind, title in _TITLES.items())


def _kind(catalog: Catalog, example: str) -> str:
    usual = [f"`{other}` is `{name}`" for other, name in catalog.aliases.items() if "/" not in other]
    aliases = f" Other names: {', '.join(usual)}." if usual else ""
    if not any(catalog.described(name).parameters for name in catalog.entries):
        rows = ((code(name), escaped(catalog.summary(name))) for name in catalog.entries)
        return f"{table(('name', 'description'), rows)}\nOr an import string, such as `{example}`.{aliases}\n"
    sections = [f"### `{name}`\n\n{entry(catalog, name)}" for name in catalog.entries]
    return f"A name from here, or an import string, such as `{example}`.{aliases}\n\n" + "\n".join(sections)


def entry(catalog: Catalog, name: str) -> str:
    """Return an entry's description, and its parameters with their defaults and meanings."""
    about = catalog.described(name)
    paragraphs = [escaped(paragraph) for paragraph in about.paragraphs]
    if about.origin:
        paragraphs.append(f"Parameters and defaults come from `{about.origin}`.")
    told = any(parameter.meaning for parameter in about.parameters)
    rows = [
        [code(p.name), "required" if p.required else code(p.default), *([escaped(p.meaning)] if told else [])]
        for p in about.parameters
    ]
    headings = ["parameter", "default", *(["meaning"] if told else [])]
    return "\n\n".join(paragraphs) + "\n\n" + (table(headings, rows) if rows else "")


def escaped(text: str) -> str:
    """Return a docstring's text as Markdown: formulas keep their stars, brackets and underscores."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([*_\[\]])", r"\\\1", p).replace("<", "&lt;") for p in pieces)
