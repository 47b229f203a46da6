"""The winner of a comparison: its code or command, its config, and which others may be as good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lrbench.analysis import Comparison, Row
from lrbench.config import dump_yaml
from lrbench.errors import ConfigError
from lrbench.reports import sentences
from lrbench.reports.code import code
from lrbench.reports.code.standalone import standalone
from lrbench.reports.shown import Shown


@dataclass(frozen=True)
class Winner:
    """The best group and how to repeat its result.

    Attributes:
        heading: a heading.
        words: its result.
        kind: what `code` is: `PyTorch code`, `command` or `parameters`.
        code: the code of its training loop, or what another program gets.
        config: a config for `lrbench run`; empty for runs that it can't start.
        script: a complete script, if one is wanted and can be written.
        incomplete: why there is no script although one is wanted.
    """

    heading: str
    words: str
    kind: str
    code: str
    config: str = ""
    script: str = ""
    incomplete: str = ""

    @property
    def language(self) -> str:
        """The language of `code`."""
        return {"command": "sh", "parameters": "yaml"}.get(self.kind, "python")

    @property
    def files(self) -> dict[str, str]:
        """The files of a report that hold it."""
        code = {"winner.py": self.script or self.code} if self.language == "python" else {}
        return {**code, **({"winner.yaml": self.config} if self.config else {})}


def winner(shown: Shown) -> Winner | None:
    """Describe the best group; None without a comparison, or if its config is not valid."""
    comparison = shown.comparison
    if comparison is None:
        return None
    row, first = comparison.best, comparison.best.group.first
    words, label = _words(row, comparison), row.group.short
    command = "" if first.experiment is None else first.experiment.command_line(first.folder.path)
    if command:
        return Winner(f"The command of {label}", words, "command", f"{command}\n", dump_yaml(_asked(first.plain)))
    if first.foreign:
        params = first.plain.get("params")
        return Winner(f"The parameters of {label}", words, "parameters", dump_yaml(params)) if params else None
    lines = code(first.plain, first.environment)
    return Winner(f"The code of {label}", words, "PyTorch code", lines, dump_yaml(first.plain)) if lines else None


NOT_OURS = "winner.py is not written: lrbench's own loop did not train the best run"


def complete_winner(shown: Shown) -> Winner | None:
    """Describe the best group, with a complete script if its config allows one."""
    best = winner(shown)
    if best is None or shown.comparison is None:
        return best
    if best.kind != "PyTorch code":
        return replace(best, incomplete=NOT_OURS)
    first = shown.comparison.best.group.first
    try:
        return replace(best, script=standalone(first.plain, first.environment))
    except ConfigError as error:
        return replace(best, incomplete=f"winner.py is for your own loop: {error}")


def _asked(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return a command's config with the names of its files instead of their hashes, which may be others by now."""
    return {key: list(value) if key == "files" else value for key, value in plain.items() if value != {}}


def _words(row: Row, comparison: Comparison) -> str:
    found = f"Its {comparison.measure.words} is {sentences.centre_text(row, comparison.measure)}."
    if len(comparison.rows) == 1:
        return found
    if row.n == 1:
        return f"{found} With one seed, this may be chance."
    equals = [one for one in comparison.rows if one is not row and one.n and _may_be_first(one, comparison)]
    if not equals:
        return found
    names = sentences.named(equals, comparison.measure)
    return f"{found} These may be as good: {names}. Choose the simplest."


def _may_be_first(row: Row, comparison: Comparison) -> bool:
    """Whether a group may be as good as the best: by the ranks or, of many groups, by how it compares with the best."""
    word = row.answer.word if row.answer and comparison.against is comparison.best else None
    return word in ("tie", "undecided") if row.ranks is None else row.ranks[0] == 1 and word != "probably worse"
