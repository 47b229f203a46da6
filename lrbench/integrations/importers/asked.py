"""Settings and columns that a command names: those that no log has are a mistake of the command."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrbench.errors import UsageError, counted, nearest, option
from lrbench.integrations.importers import Foreign
from lrbench.integrations.importers.left import having
from lrbench.integrations.importers.rules import Rules

_MOST = 12


@dataclass
class Asked:
    """A setting or a column that a command names, and how many runs have it.

    Attributes:
        what: the option with the name, such as `--seed-key fold`.
        noun: what it is a name of.
        name: the name.
        among: the names that a run has.
    """

    what: str
    noun: str
    name: str
    among: Callable[[Foreign], Collection[str]]
    having: int = 0
    lacking: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    why: str = ""

    def look(self, run: Foreign, where: str) -> None:
        """Count a run."""
        names = self.among(run)
        if self.name in names or self.name in {name.rpartition(".")[2] for name in names}:
            self.having += 1
            return
        self.lacking.append(where)
        self.known |= set(names)
        self.why = self.why or "".join(f": {note}" for note in run.notes[:1])

    def check(self, left: Sequence[Path]) -> None:
        """Raise UsageError if there are runs and none has it; a table that is no log may, among those left out."""
        if self.having or not self.lacking:
            return
        if self.noun == "column" and (elsewhere := having(self.name, left)):
            raise UsageError(f"{self.what}: no log has a column '{self.name}'; {elsewhere}")
        listed = ", ".join(sorted(self.known)[:_MOST]) + " …" * (len(self.known) > _MOST)
        told = f"there: {listed}" if self.known else f"there is no {self.noun} at all{self.why}"
        near = nearest(self.name, self.known)
        runs = "the log has" if len(self.lacking) == 1 else "no log has"
        no = f"no {self.noun} '{self.name}'" if len(self.lacking) == 1 else f"a {self.noun} '{self.name}'"
        raise UsageError(f"{self.what}: {runs} {no}; {near}{told[:1].upper() + told[1:] if near else told}")

    @property
    def note(self) -> str:
        """Say how many runs lack it; empty if none does."""
        if not self.lacking or self.noun == "column":  # a log without a column is told as unreadable
            return ""
        total = self.having + len(self.lacking)
        lack = "lacks" if len(self.lacking) == 1 else "lack"
        return f"{self.what}: {len(self.lacking)} of {counted(total, 'log')} {lack} it, such as {self.lacking[0]}"


def asked_for(rules: Rules) -> list[Asked]:
    """Return what the options of an import name."""
    return list(_asked(rules))


def _asked(rules: Rules) -> Iterator[Asked]:
    def settings(run: Foreign) -> Mapping[str, Any]:
        return rules.values(run)

    def columns(run: Foreign) -> Collection[str]:
        return {name for row in run.log for name in row} | set(run.texts)

    if rules.seed_key is not None:
        yield Asked(f"{option('--seed-key')} {rules.seed_key}", "setting", rules.seed_key, settings)
    if rules.lr_key is not None:
        yield Asked(f"{option('--lr-key')} {rules.lr_key}", "setting", rules.lr_key, settings)
    for key in rules.group_by or ():
        yield Asked(f"{option('--group-by')} {key}", "setting", key, settings)
    for name in dict.fromkeys(re.findall(r"\{([^{}]*)\}", rules.name or "")):
        what = f"{option('--name')} {{{name}}}"
        yield Asked(what, "setting", name, lambda run: {"experiment", "title", *settings(run)})
    for ours, theirs in rules.columns.items():
        yield Asked(f"{option('--map')} {ours}={theirs}", "column", theirs, columns)
