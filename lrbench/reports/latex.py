"""The table in LaTeX, for a paper: rules of the package booktabs, numbers aligned, the best in bold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lrbench.analysis import Comparison, Row, mean_text, row_of
from lrbench.components import Measure, in_words, number
from lrbench.errors import printable
from lrbench.reports import tables, targets
from lrbench.reports.comparison_columns import difference_lines, heading
from lrbench.reports.name_columns import shared_name
from lrbench.reports.shown import Shown

_HEAD = "% Needs \\usepackage{booktabs}."
_SPECIAL = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "<": "$<$", ">": "$>$", "|": "$|$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", '"': "''",
    "≥": r"$\ge$", "≤": r"$\le$", "–": "--", "—": "---", "−": "$-$", "…": r"\dots{}", "×": r"$\times$", "±": r"$\pm$",
    "→": r"$\to$", "·": r"$\cdot$", "²": "$^2$", "³": "$^3$", "∞": r"$\infty$", "≈": r"$\approx$",
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "ε": r"$\varepsilon$", "η": r"$\eta$", "λ": r"$\lambda$",
    "μ": r"$\mu$", "µ": r"$\mu$", "σ": r"$\sigma$",
})  # fmt: skip


def table(shown: Shown) -> str:
    """Write the columns that are asked for, else those of a paper: name, seeds, value, interval, difference, answer."""
    if shown.asked:
        return _written(
            "".join("r" if column.right else "l" for column in shown.table.columns),
            [escaped(column.heading) for column in shown.table.columns],
            [list(map(escaped, cells)) for cells in shown.table.cells],
        )
    compared = shown.comparison
    if compared is None:
        return _plain(shown)
    return _compared(shown, compared)


def _compared(shown: Shown, comparison: Comparison) -> str:
    """Write the columns of a paper; without intervals and differences if there is one seed of each."""
    measure, single = comparison.measure, comparison.single
    rows = {id(row.group): row for row in comparison.rows}
    found = [rows.get(id(group)) or row_of(group, measure) for group in shown.groups]
    value, difference = _Values.of(found, measure), _Differences.of(found, comparison)
    times = targets.columns(shown.target, shown.groups)[:1] if shown.target else []
    lines = []
    for row in found:
        number = str(row.ended or len(row.group.records))
        centre, interval = value.cells(row, best=row is comparison.best)
        cells = [centre] if single else [number, centre, interval, *difference.cells(row), _answer(row, comparison)]
        lines.append([escaped(row.group.short), *cells, *(escaped(column.text(row.group)) for column in times)])
    against = _over_two(escaped(heading(comparison)) + difference.unit)
    heads = ["run", *([value.heading] if single else ["seeds", _over_two(value.heading), against, ""])]
    heads += [escaped(column.heading) for column in times]
    better = "lower" if measure.lower else "higher"
    told = [*filter(None, [shared_name(shown.groups)]), f"{measure.words}: {better} is better, the best is in bold"]
    if not single:
        mean = mean_text(any(row.estimate.logs for row in found if row.estimate))
        told.append(f"{mean} of the seeds and its 95 % interval, then the difference and its 95 % interval")
    kinds = ("lr" if single else r"lrr@{\ }lr@{\ }ll") + "r" * len(times)
    return _written(kinds, heads, lines, told)


def _plain(shown: Shown) -> str:
    """Write names, seeds, and each one's metric, which differs between tasks, so that nothing is compared."""
    name = shown.metric
    lines = []
    for group in shown.groups:
        spread = group.spread(name)
        value = tables.EMPTY if spread is None else group.measures[name].text(spread.centre)
        lines.append([escaped(group.short), str(len(group.records)), escaped(value)])
    return _written("lrr", ["run", "seeds", escaped(in_words(name))], lines, ["different tasks, so not compared"])


def _answer(row: Row, comparison: Comparison) -> str:
    if row.answer is None and row is not comparison.against and not row.n:
        return escaped(row.group.status())
    return escaped(difference_lines(row, comparison)[0]).replace("--", "")


@dataclass(frozen=True)
class _Values:
    """How the values of a column are written: all with the same number of decimals, so that their points align."""

    heading: str
    scale: float
    decimals: int | None

    @classmethod
    def of(cls, rows: Sequence[Row], measure: Measure) -> _Values:
        name = escaped(measure.name_in_short)
        if measure.form == "percent":
            return cls(rf"{name} (\%)", 100.0, 2)
        found = [row.estimate for row in rows if row.estimate is not None]
        sizes = [abs(one.centre) for one in found if one.centre]
        best = next((one for one in found if one.low is not None and one.high is not None), None)
        width = 0.0 if best is None or best.low is None or best.high is None else best.high - best.low
        if not sizes or max(sizes) >= 1e6 or max(sizes) / min(sizes) > 1e6 or min(sizes) < 1e-6:
            return cls(name, 1.0, None)
        least = 2 - math.floor(math.log10(min(sizes)))  # three digits of the smallest
        told = 1 - math.floor(math.log10(width / 2)) if width > 0 else least  # two of the interval of the best
        return cls(name, 1.0, max(0, min(max(told, least), least + 2)))

    def text(self, value: float) -> str:
        return _number(f"{self.scale * value:.{self.decimals}f}" if self.decimals is not None else number(value))

    def cells(self, row: Row, *, best: bool) -> list[str]:
        """Return the centre, in bold for the best, and `[0.081, 0.094]`, or `$\\pm$ 0.12` where it is symmetric."""
        found = row.estimate
        if found is None:
            return ["--", ""]
        centre = self.text(found.centre)
        centre = rf"\textbf{{{centre}}}" if best else centre
        if found.low is None or found.high is None:
            return [centre, ""]
        if not found.logs:
            return [centre, rf"$\pm$ {self.text((found.high - found.low) / 2)}"]
        return [centre, f"[{self.text(found.low)}, {self.text(found.high)}]"]


@dataclass(frozen=True)
class _Differences:
    """How differences are written: in percent of the reference, in points, or as they are."""

    unit: str
    decimals: int

    @classmethod
    def of(cls, rows: Sequence[Row], comparison: Comparison) -> _Differences:
        found = [row.difference for row in rows if row.difference is not None and row.difference.n]
        if comparison.measure.form == "percent":
            return cls(" (points)", 2)
        if any(not one.logs for one in found):  # at least one value is not above 0
            return cls("", -1)
        sizes = [100 * abs(one.relative[0]) for one in found]
        return cls(r" (\%)", 1 if min(sizes, default=10.0) < 10 else 0)

    def text(self, value: float, logs: bool) -> str:
        if self.decimals < 0:
            return _number(rf"{100 * value:+.3g}") + r"\,\%" if logs else _number(f"{value:+.3g}")
        return _number(f"{100 * value:+.{self.decimals}f}")

    def cells(self, row: Row) -> list[str]:
        found = row.difference
        if found is None or not found.n:
            return ["", ""]
        values = found.relative if found.logs else (found.mean, found.low, found.high)
        middle, low, high = (self.text(value, found.logs) for value in values)
        return [middle, f"[{low}, {high}]"]


def _number(text: str) -> str:
    """Write a number's minus as one, and its exponent as a power of ten."""
    digits, _, exponent = text.partition("e")
    digits = digits.replace("-", "$-$").replace("+", "$+$")
    return digits if not exponent else rf"{digits}$\times10^{{{int(exponent)}}}$"


def _over_two(heading: str) -> str:
    return rf"\multicolumn{{2}}{{c}}{{{heading}}}"


def _written(kinds: str, heads: Sequence[str], rows: Sequence[Sequence[str]], said: Sequence[str] = ()) -> str:
    comments = [_HEAD, *(f"% {' '.join(printable(line).split())}." for line in said)]
    top = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", _row(heads), r"\midrule"]
    return "\n".join([*comments, *top, *map(_row, rows), r"\bottomrule", r"\end{tabular}"]) + "\n"


def _row(cells: Sequence[str]) -> str:
    """Write a row; LaTeX would take a bracket or an asterisk at its start as an option of the line before."""
    start = "{}" if cells[0][:1] in ("[", "*", "(") else ""
    return f"{start}{' & '.join(cells)} \\\\"


def escaped(text: str) -> str:
    """Return text that LaTeX shows as it is."""
    return " ".join(printable(text).split()).translate(_SPECIAL)
