"""The comparison as a table: one definition of its columns for the terminal, Markdown, CSV and the page."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.analysis.format import duration, loss, percent
from lrbench.analysis.groups import Group
from lrbench.analysis.spread import Spread


@dataclass(frozen=True)
class Column:
    """A heading and how a group fills it: as text, and as numbers for CSV."""

    heading: str
    text: Callable[[Group], str]
    brief: Callable[[Group], str]
    numbers: Callable[[Group], dict[str, Any]]
    right: bool = True


def _spread(spread: Spread | None, form: Callable[[float], str]) -> str:
    if spread is None:
        return "–"
    middle = form(spread.median)
    return middle if spread.n == 1 else f"{middle} ({form(spread.low)} … {form(spread.high)})"


def _brief(spread: Spread | None, form: Callable[[float], str], short: Callable[[float], str]) -> str:
    """The median, and the range in a line of its own, for a terminal's width."""
    if spread is None:
        return "–"
    middle = form(spread.median)
    return middle if spread.n == 1 else f"{middle}\n{short(spread.low)}–{short(spread.high)}"


_SHORTER: dict[Callable[[float], str], Callable[[float], str]] = {
    loss: lambda value: f"{value:.3g}",
    percent: lambda value: f"{100 * value:.1f}",
}


def _metric(heading: str, name: str, form: Callable[[float], str]) -> Column:
    def numbers(group: Group) -> dict[str, Any]:
        spread = group.spread(name)
        if spread is None:
            return {name: None, f"{name}_low": None, f"{name}_high": None}
        return {name: spread.median, f"{name}_low": spread.low, f"{name}_high": spread.high}

    def brief(group: Group) -> str:
        measured = _brief(group.spread(name), form, _SHORTER[form])
        published = group.reference.get(name)  # only test_loss and test_accuracy can be there
        return measured if published is None else f"{measured}\npubl. {form(published)}"

    return Column(heading, lambda group: _spread(group.spread(name), form), brief, numbers)


def _published(heading: str, key: str, form: Callable[[float], str]) -> Column:
    def text(group: Group) -> str:
        value = group.reference.get(key)
        return "–" if value is None else form(value)

    return Column(heading, text, text, lambda group: {f"published_{key}": group.reference.get(key)})


def _seconds(group: Group) -> dict[str, Any]:
    spread = group.seconds()
    return {"seconds": None if spread is None else spread.median}


def _count(group: Group) -> str:
    return str(len(group.records))


def verdict(group: Group) -> str:
    """`converged`, or `converged (7 of 8)`; a dash before a run's end."""
    found = group.verdict()
    if found is None:
        return "–"
    one, count, of = found
    return one.label if count == of else f"{one.label} ({count} of {of})"


_ALWAYS = (
    Column("run", lambda g: g.label, lambda g: g.label, lambda g: {"run": g.label}, right=False),
    Column("seeds", _count, _count, lambda g: {"seeds": len(g.records)}),
    Column("status", Group.status, Group.status, lambda g: {"status": g.status()}, right=False),
    Column("verdict", verdict, verdict, lambda g: {"verdict": None if (v := verdict(g)) == "–" else v}, right=False),
    _metric("val loss", "val_loss", loss),
    _metric("val accuracy", "val_accuracy", percent),
    _metric("best val loss", "best_val_loss", loss),
    _metric("best val accuracy", "best_val_accuracy", percent),
    _metric("test loss", "test_loss", loss),
    _metric("test accuracy", "test_accuracy", percent),
    _metric("test loss, best epoch", "test_best_loss", loss),
    _metric("test accuracy, best epoch", "test_best_accuracy", percent),
    _published("published test loss", "test_loss", loss),
    _published("published test accuracy", "test_accuracy", percent),
    Column(
        "training time",
        lambda g: _spread(g.seconds(), duration),
        lambda g: "–" if (spent := g.seconds()) is None else duration(spent.median),
        _seconds,
    ),
)
_SHORT = ("run", "val loss", "test loss", "test accuracy", "training time")


def columns(groups: Sequence[Group], short: bool = False, extra: Sequence[Column] = ()) -> list[Column]:
    """The columns in which at least one group has something to say; `short` for a terminal's width.

    `extra` ones, of a comparison say, come after the validation loss.
    """
    several = any(len(group.records) > 1 for group in groups)
    odd = any(group.status() != "finished" for group in groups)
    telling = {"seeds": several, "status": odd}
    chosen = []
    for column in _ALWAYS:
        empty = all(column.text(group) == "–" for group in groups)
        needed = column.heading in _SHORT or not short or telling.get(column.heading, False)
        if needed and not (empty and column.heading.startswith(("published", "test"))):
            chosen.append(column)
    at = next((i for i, column in enumerate(chosen, start=1) if column.heading == "val loss"), len(chosen))
    return [*chosen[:at], *extra, *chosen[at:]]


def markdown(groups: Sequence[Group], extra: Sequence[Column] = ()) -> str:
    """The table in Markdown."""
    shown = columns(groups, extra=extra)
    lines = [
        "| " + " | ".join(c.heading for c in shown) + " |",
        "| " + " | ".join("---:" if c.right else "---" for c in shown) + " |",
    ]
    lines += ["| " + " | ".join(escaped(c.text(g)) for c in shown) + " |" for g in groups]
    return "\n".join(lines) + "\n"


def numbers(groups: Sequence[Group], extra: Sequence[Column] = ()) -> list[dict[str, Any]]:
    """The table's numbers, unrounded, a row a group."""
    return [{k: v for column in (*_ALWAYS, *extra) for k, v in column.numbers(g).items()} for g in groups]


def csv(groups: Sequence[Group], extra: Sequence[Column] = ()) -> str:
    """The table as CSV: numbers unrounded, a row a group."""
    rows = numbers(groups, extra)
    import pandas as pd  # a third of a second, which most commands need not spend

    buffer = io.StringIO()
    pd.DataFrame(rows).to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def escaped(text: str) -> str:
    """Text as Markdown takes it for text, in a table too."""
    plain = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(plain.split())


def latex(groups: Sequence[Group], extra: Sequence[Column] = ()) -> str:
    """The table in LaTeX, for the package booktabs."""
    shown = columns(groups, extra=extra)
    kinds = "".join("r" if column.right else "l" for column in shown)
    rows = [" & ".join(_latex(column.text(group)) for column in shown) + r" \\" for group in groups]
    heading = " & ".join(_latex(column.heading) for column in shown) + r" \\"
    lines = [
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        heading,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "≥": r"$\ge$", "≤": r"$\le$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "…": r"\dots{}", "×": r"$\times$", "±": r"$\pm$",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))
