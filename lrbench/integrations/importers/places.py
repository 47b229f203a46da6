"""What is to be read under a path, or why there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lrbench.errors import UsageError, option
from lrbench.integrations.importers import LEFT, OWN, TOOLS, Tool, found_under
from lrbench.integrations.importers.left import told
from lrbench.integrations.importers.own import own_words, table_of

READS = "`lrbench report` reads lrbench's runs as they are"


def places_under(path: Path, tool: Tool | None) -> list[tuple[Tool, Path]]:
    """Return what is to be read under a path, and by what. Raises UsageError if there is nothing."""
    places = list(found_under(path, tool))
    faults, sentences = told([place for used, place in places if used is LEFT], [path])
    if faults or any(used not in (OWN, LEFT) for used, _ in places):
        return places
    own = [place for used, place in places if used is OWN]
    if own == [path]:
        made = f"a table that lrbench wrote ({what})" if (what := table_of(path)) else "part of a run of lrbench's own"
        raise UsageError(f"{path} is {made}, not the log of another tool; {READS}")
    if own:
        raise UsageError(f"{path} has no logs of other tools, but what lrbench itself made: {own_words(own)}; {READS}")
    titles = [tool.title] if tool else [known.title for known in TOOLS.values()]
    raise UsageError("; ".join([f"{path} has no runs of {', '.join(titles)}", *_others(path, tool), *sentences]))


def _others(path: Path, tool: Tool | None) -> Sequence[str]:
    """Say which tools' logs there are in a folder that has none of the tool that was named."""
    if tool is None:
        return []
    names = dict.fromkeys(used.name for used, _ in found_under(path, None) if used.name in TOOLS)
    return [f"its logs are those of {option('--from')} {', '.join(names)}"] if names else []
