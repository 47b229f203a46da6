"""What the page's buttons ask of a sweep. Each writes or removes a plain file that the sweep obeys; see `sweeps`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lrbench.config import parse_json
from lrbench.errors import UsageError, counted
from lrbench.server.progress import Plans
from lrbench.sweeps import SweepFolder, add_seeds, cancel_stop, drop_cell, keep_cell, request_stop

KINDS: Mapping[str, frozenset[str]] = {
    "stop": frozenset(),
    "go-on": frozenset(),
    "drop": frozenset({"run"}),
    "keep": frozenset({"run"}),
    "seeds": frozenset({"count", "family", "best"}),
}
"""What can be asked → what it needs besides `do`, `root` (the number of the folder of runs) and `sweep`."""


def obey(body: bytes, roots: Sequence[Plans]) -> str:
    """Write what a request asks for, and return what was asked in words.

    Raises:
        UsageError: it is malformed, or names no sweep, run or family that there is.
        FolderError: the file can't be written.
    """
    asked = _parsed(body)
    kind, folder = asked["do"], _sweep(asked, roots)
    if kind == "seeds":
        add_seeds(folder, asked["count"], family=asked["family"], best=asked["best"])
        return f"Asked for {counted(asked['count'], 'more seed')}."
    run = asked.get("run", "")
    says: dict[str, tuple[Callable[[], object], str]] = {
        "stop": (lambda: request_stop(folder), f"Asked {folder.name} to stop after the current runs."),
        "go-on": (lambda: cancel_stop(folder), f"{folder.name} goes on."),
        "drop": (lambda: drop_cell(folder, run), f"Asked {folder.name} to drop {run}."),
        "keep": (lambda: keep_cell(folder, run), f"{run} is kept."),
    }
    act, words = says[kind]
    act()
    return words


def _parsed(body: bytes) -> Mapping[str, Any]:
    """Return the fields of a request, each of its type. Raises UsageError."""
    try:
        asked = parse_json(body)
    except ValueError as error:
        raise UsageError("the request is not JSON") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("do"), str) or asked["do"] not in KINDS:
        raise UsageError(f"the request must have `do`: one of {', '.join(KINDS)}")
    kinds: dict[str, Any] = {"root": int, "sweep": str, "run": str, "count": int, "family": str | None, "best": bool}
    wanted = {"root", "sweep", *KINDS[asked["do"]]}
    if {*asked} != {"do", *wanted}:
        raise UsageError(f"a request to {asked['do']} has exactly the keys do, {', '.join(sorted(wanted))}")
    for key in wanted:
        if not isinstance(asked[key], kinds[key]) or (kinds[key] is int and isinstance(asked[key], bool)):
            raise UsageError(f"'{key}' has the wrong type (got {asked[key]!r:.60})")
    return asked


def _sweep(asked: Mapping[str, Any], roots: Sequence[Plans]) -> SweepFolder:
    """Return the sweep that a request names: one that is there, so that no name can lead elsewhere."""
    number, name = asked["root"], asked["sweep"]
    folder: SweepFolder | None = roots[number].named(name) if 0 <= number < len(roots) else None
    if folder is None:
        raise UsageError(f"there is no sweep {name!r:.100}")
    return folder
