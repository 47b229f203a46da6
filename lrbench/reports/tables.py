"""The comparison as a table, with the same columns in the terminal, Markdown, CSV and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from json import dumps
from typing import Any

from lrbench.analysis import Group, Spread, default_metric, duration, measures_of
from lrbench.components import Measure, in_words
from lrbench.reports import escape


@dataclass(frozen=True)
class Column:
    """A heading, and a group's text and numbers under it; `short` is the text for a terminal, if it has lines."""

    heading: str
    text: Callable[[Group], str]
    numbers: Callable[[Group], dict[str, Any]]
    short: Callable[[Group], list[str]] | None = None
    right: bool = True

    def lines(self, group: Group) -> list[str]:
        """Return the text for a terminal."""
        return [self.text(group)] if self.short is None else self.short(group)


def _spread(spread: Spread | None, form: Callable[[float], str], part: str = "centre") -> str:
    if spread is None:
        return "–"
    middle = form(getattr(spread, part))
    return middle if spread.n == 1 else f"{middle} ({form(spread.low)} … {form(spread.high)})"


def _metric(measure: Measure) -> Column:
    name, text, short = measure.name, measure.text, measure.metric.short

    def numbers(group: Group) -> dict[str, Any]:
        spread = group.spread(name)
        parts = {"": "centre", "_median": "median", "_low": "low", "_high": "high"}
        return {name + end: None if spread is None else getattr(spread, part) for end, part in parts.items()}

    def lines(group: Group) -> list[str]:
        """Write the range and the published value on lines of their own."""
        spread, published = group.spread(name), group.reference.get(name)  # only test_… can be published
        told = ["–" if spread is None else text(spread.centre)]
        if spread is not None and spread.n > 1:
            told.append("–".join(dict.fromkeys((short(spread.low), short(spread.high)))))
        return [*told, *([] if published is None else [f"publ. {text(published)}"])]

    return Column(_heading(measure), lambda group: _spread(group.spread(name), text), numbers, lines)


def _heading(measure: Measure) -> str:
    """`val loss`, `test loss, best epoch`."""
    best = measure.section == "test_best"
    return f"test {in_words(measure.metric.name)}, best epoch" if best else in_words(measure.name)


def _published(measure: Measure) -> Column:
    def text(group: Group) -> str:
        value = group.reference.get(measure.name)
        return "–" if value is None else measure.text(value)

    name = f"published_{measure.name}"
    return Column(f"published {_heading(measure)}", text, lambda group: {name: group.reference.get(measure.name)})


def verdict(group: Group) -> str:
    """`converged` or `converged (7 of 8)`; a dash before the end of the runs."""
    found = group.verdict()
    if found is None:
        return "–"
    label, count, of = found.verdict.label, found.having, found.of
    return label if count == of else f"{label} ({count} of {of})"


_FIRST = (
    Column("run", lambda g: g.label, lambda g: {"run": g.label}, right=False),
    Column("seeds", lambda g: str(len(g.records)), lambda g: {"seeds": len(g.records)}),
    Column("status", Group.status, lambda g: {"status": g.status()}, right=False),
    Column("verdict", verdict, lambda g: {"verdict": None if (v := verdict(g)) == "–" else v}, right=False),
)
_SOURCE = Column("source", lambda g: g.first.source or "lrbench", lambda g: {"source": g.first.source or "lrbench"})
_TIME = Column(
    "training time",
    lambda g: _spread(g.seconds(), duration, "median"),
    lambda g: {"seconds": None if (spent := g.seconds()) is None else spent.median},
    lambda g: ["–" if (spent := g.seconds()) is None else duration(spent.median)],
)


def _all(groups: Sequence[Group]) -> list[Column]:
    """Return every column, including empty ones."""
    records = [record for group in groups for record in group.records]
    usual = default_metric(records)
    known = measures_of(records)
    shown = [measure for name, measure in known.items() if not name.startswith("train_") or name == usual]
    published = [_published(measure) for measure in shown if measure.section == "test"]
    source = [_SOURCE] if any(group.foreign for group in groups) else []
    return [*_FIRST, *source, *map(_metric, shown), *published, _TIME]


def columns(
    groups: Sequence[Group], short: bool = False, extra: Sequence[Column] = (), compared: Measure | None = None
) -> list[Column]:
    """Return the columns that tell something; few if `short`, for a terminal.

    `extra` columns, such as those of a comparison, follow the validation loss, or else the metric `compared`, which is
    always there. Labels name other programs, so the column of sources is left out.
    """
    records = [record for group in groups for record in group.records]
    compared = compared or measures_of(records).get(default_metric(records))
    several = any(len(group.records) > 1 for group in groups)
    odd = any(group.status() != "finished" for group in groups)
    judged = any(verdict(group) != "–" for group in groups) or not all(group.foreign for group in groups)
    telling = {"seeds": several, "status": odd, "verdict": not short and judged, "source": False}
    chosen = []
    for column in _all(groups):
        empty = all(column.text(group) == "–" for group in groups)
        usual = column.heading in ("run", "val loss", "training time", compared and _heading(compared))
        usual = usual or (column.heading.startswith("test ") and not column.heading.endswith(", best epoch"))
        needed = usual or telling.get(column.heading, not short)
        unknown = column.heading.startswith(("published", "test")) or all(group.foreign for group in groups)
        if needed and not (empty and unknown):
            chosen.append(column)
    chosen = _few_metrics(chosen) if short else chosen
    after = ("val loss", compared and _heading(compared))
    at = next((i for i, column in enumerate(chosen, start=1) if column.heading in after), len(chosen))
    return [*chosen[:at], *extra, *chosen[at:]]


MOST_METRICS = 3  # columns of test metrics in a terminal


def _few_metrics(chosen: list[Column]) -> list[Column]:
    """Return the columns with those of test metrics besides the loss made one, if they are too many for a terminal."""
    many = [column for column in chosen if column.heading.startswith("test ") and column.heading != "test loss"]
    if len(many) <= MOST_METRICS:
        return chosen

    def lines(group: Group) -> list[str]:
        told = [(column.heading.removeprefix("test "), column.lines(group)[0]) for column in many]
        return [f"{name} {text}" for name, text in told if text != "–"] or ["–"]

    merged = Column("test metrics", lambda group: ", ".join(lines(group)), lambda _: {}, lines, right=False)
    at = chosen.index(many[0])
    return [*chosen[:at], merged, *(column for column in chosen[at:] if column not in many)]


def markdown(groups: Sequence[Group], extra: Sequence[Column] = (), compared: Measure | None = None) -> str:
    """Write the table in Markdown."""
    shown = columns(groups, extra=extra, compared=compared)
    lines = [
        "| " + " | ".join(escape.markdown(c.heading) for c in shown) + " |",
        "| " + " | ".join("---:" if c.right else "---" for c in shown) + " |",
    ]
    lines += ["| " + " | ".join(escape.markdown(c.text(g)) for c in shown) + " |" for g in groups]
    return "\n".join(lines) + "\n"


def _numbers(groups: Sequence[Group], extra: Sequence[Column]) -> list[dict[str, Any]]:
    return [{k: v for column in (*_all(groups), *extra) for k, v in column.numbers(g).items()} for g in groups]


def json(groups: Sequence[Group], extra: Sequence[Column] = ()) -> str:
    """Write the table as JSON with unrounded numbers, an object per group."""
    return dumps(_numbers(groups, extra), indent=2, ensure_ascii=False) + "\n"


def csv(groups: Sequence[Group], extra: Sequence[Column] = ()) -> str:
    """Write the table as CSV with unrounded numbers, a row per group."""
    return escape.csv(_numbers(groups, extra))


def latex(groups: Sequence[Group], extra: Sequence[Column] = ()) -> str:
    """Write the table in LaTeX, for the package booktabs."""
    shown = columns(groups, extra=extra)
    kinds = "".join("r" if column.right else "l" for column in shown)
    rows = [" & ".join(_latex(column.text(group)) for column in shown) + r" \\" for group in groups]
    heading = " & ".join(_latex(column.heading) for column in shown) + r" \\"
    top = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", heading, r"\midrule"]
    return "\n".join([*top, *rows, r"\bottomrule", r"\end{tabular}"]) + "\n"


_LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "≥": r"$\ge$", "≤": r"$\le$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "…": r"\dots{}", "×": r"$\times$", "±": r"$\pm$",
})  # fmt: skip


def _latex(text: str) -> str:
    return " ".join(escape.printable(text).split()).translate(_LATEX)
