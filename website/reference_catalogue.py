"""Every data set, model, optimizer, loss, task and metric, from the catalogue that `lrbench list` shows."""

from __future__ import annotations

import inspect
import re

from reference_text import code, meanings, prose, table

from lrbench.cli.catalogue import CATALOGUES
from lrbench.registry import Catalog
from lrbench.types import Part

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
    if not any(catalog.parameters(name) for name in catalog.entries):
        rows = ((code(name), escaped(catalog.summary(name))) for name in catalog.entries)
        return f"{table(('name', 'description'), rows)}\nOr an import string, such as `{example}`.{aliases}\n"
    sections = [f"### `{name}`\n\n{entry(catalog, name)}" for name in catalog.entries]
    return f"A name from here, or an import string, such as `{example}`.{aliases}\n\n" + "\n".join(sections)


def entry(catalog: Catalog, name: str) -> str:
    """Return an entry's description, and its parameters with their defaults and meanings."""
    factory = catalog.factory(Part(name))
    described = getattr(factory, "described", factory)
    text = inspect.getdoc(factory)
    if described.__module__.startswith("lrbench."):
        about, told = escaped(prose(text)), meanings(text)
    else:
        whose = f"{described.__module__}.{described.__qualname__}"
        about, told = f"`{whose}`, with its parameters and defaults.", {}
    columns = 3 if told else 2
    rows = [
        [code(p.name), "required" if p.required else code(p.default), escaped(told.get(p.name, ""))][:columns]
        for p in catalog.parameters(name)
    ]
    return f"{about}\n\n" + (table(["parameter", "default", "meaning"][:columns], rows) if rows else "")


def escaped(text: str) -> str:
    """Return a docstring's text as Markdown: formulas keep their stars, brackets and underscores."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([*_\[\]])", r"\\\1", p).replace("<", "&lt;") for p in pieces)
