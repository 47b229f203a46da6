"""Reference pages are made from the package itself at build time, so they can't drift from it.

In a page, `<!-- site: NAME -->` … `<!-- /site -->` surrounds what GitHub shows instead.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

from gallery import gallery
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from reference_api import api
from reference_catalogue import catalogue
from reference_commands import commands
from reference_config import command_config, config
from reference_schedules import other_tools, schedules
from reference_text import table

MADE: dict[str, Callable[[], str]] = {
    "api": api,
    "catalogue": catalogue,
    "commands": commands,
    "config": config,
    "gallery": gallery,
    "command-config": command_config,
    "schedules": schedules,
    "other-tools": other_tools,
}
_MARK = re.compile(r"<!-- site: ([\w-]+) -->.*?<!-- /site -->", re.DOTALL)
_DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_NODE = re.compile(r'(\w+)\["(.+?)"\]')
_TAB = re.compile(r'^```(\w+) tab="([^"]+)"\n(.*?)^```\n', re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in generated sections, and show neighbouring code blocks that name a tab as tabs."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation", "toc"]
    markdown = _DIAGRAM.sub(_order, markdown)
    return _TAB.sub(_tab, _MARK.sub(lambda mark: MADE[mark[1]]() if mark[1] in MADE else mark[0], markdown))


def _tab(block: re.Match[str]) -> str:
    language, title, code = block.groups()
    lines = [f"```{language}", *code.splitlines(), "```"]
    return f'=== "{title}"\n\n' + "".join(f"    {line}\n" if line else "\n" for line in lines)


def _order(diagram: re.Match[str]) -> str:
    """Show a diagram of what imports what as a table: the site loads no script from elsewhere to draw it."""
    nodes = {name: text.split("<br>") for name, text in _NODE.findall(diagram[1])}
    before: dict[str, list[str]] = {name: [] for name in nodes}
    for line in diagram[1].splitlines():
        chain = line.split("-->")
        for earlier, later in itertools.pairwise(chain):
            before[later.strip()].append(earlier.strip())
    rows = ((f"**{text[0]}**", "; ".join(text[1:]), ", ".join(before[name])) for name, text in nodes.items())
    return table(("room", "content", "after"), rows)
