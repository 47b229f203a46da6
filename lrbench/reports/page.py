"""The report as one self-contained HTML page: no network, no other files."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lrbench._version import __version__
from lrbench.analysis import Group
from lrbench.components import Measure, in_words
from lrbench.errors import printable
from lrbench.reports import confirmation, details, tables
from lrbench.reports.chart_data import charted
from lrbench.reports.figures.curves import by_task
from lrbench.reports.figures.overview import MOST_PANELS, problem, subtitle
from lrbench.reports.figures.render import Drawn
from lrbench.reports.headline import charted_metrics, headline
from lrbench.reports.range_tests import Tested
from lrbench.reports.shown import Shown, summary
from lrbench.reports.svg import inline
from lrbench.reports.winner import Winner


def render(shown: Shown, drawn: Sequence[Drawn], winner: Winner | None) -> str:
    """Write the page. Text from run folders is escaped, and only the scripts named here can run."""
    groups, records = shown.groups, shown.records
    columns = tables.columns(groups, extra=shown.columns, compared=shown.measure)
    against = shown.against
    main, charts = headline(groups), charted(groups, against) if groups else {"groups": []}
    scripts = [static("uplot.min.js"), static("page.js")] if groups else []
    figures = [(d.name, d.heading, inline(d.figure, d.name, " ".join((d.heading, *d.words))), d.words) for d in drawn]
    content: dict[str, Any] = {
        "sentences": summary(shown),
        "warnings": shown.warnings,
        "method": shown.method,
        "cards": [_card(group, main) for group in groups],
        "most_panels": MOST_PANELS,  # the others are hidden behind a button
        "several_tasks": len(by_task(groups)) > 1,
        "metrics": list(charted_metrics(groups)),
        "headline": main,
        "axis": groups[0].axis if groups else "epoch",
        "foreign": any(group.foreign for group in groups),
        "own": not all(group.foreign for group in groups),
        "rates": any(group["rate"]["x"] for group in charts["groups"]),
        "headings": [(column.heading, column.right) for column in columns],
        "rows": [[(column.text(g), _sorted_by(column, g), column.right) for column in columns] for g in groups],
        "figures": figures,
        "fresh": [] if shown.confirmed is None else confirmation.cells(shown.confirmed),
        "fresh_headings": confirmation.HEADINGS,
        "fresh_note": confirmation.NOTE,
        "tests": [_tested(test, number) for number, test in enumerate(shown.tests)],
        "verdicts": details.curves(groups),
        "winner": winner,
        "against": None if against is None else against.label,
        "each": details.details(groups, records, against),
        "environments": details.environments(records),
        "commands": details.commands(records),
        "provenance": details.provenance(records) if groups else [],
        "written": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "version": __version__,
    }
    text: str = template("page.html.j2").render(
        parts=_parts(content),
        style=Markup(static("uplot.min.css") + static("page.css")),
        license=Markup(static("uplot.LICENSE")),
        scripts=[Markup(script) for script in scripts],
        hashes=Markup(" ".join(map(_hash, scripts)) or "'none'"),
        in_words=in_words,
        curves=Markup(_json(charts)) if groups else "",
        **content,
    )
    return text


@cache
def template(name: str) -> Any:
    """Return a template, which escapes all text."""
    options: Any = {
        "autoescape": True,
        "undefined": StrictUndefined,
        "finalize": _shown,
        "trim_blocks": True,
        "lstrip_blocks": True,
    }
    return Environment(loader=PackageLoader("lrbench.reports"), **options).get_template(name)


def _shown(value: Any) -> Any:
    return printable(value) if type(value) is str else value  # Markup is what this page writes itself


@cache
def static(name: str) -> str:
    """Return a file of the page: scripts, styles, a licence."""
    return resources.files("lrbench.reports").joinpath("static", name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """What lets a script run under the page's content security policy, which lets no other run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """Write JSON that a `</script>` in a name can't break."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _card(group: Group, main: Measure) -> dict[str, Any]:
    drawn = any(len(record.epochs) for record in group.records)
    return {"label": group.label, "words": subtitle(group, main), "drawn": drawn, "problem": problem(group)}


def _sorted_by(column: tables.Column, group: Group) -> str:
    """Return the number to sort a column by, if it has one."""
    value = next(iter(column.numbers(group).values()), None)
    return "" if value is None else str(value)


def _tested(test: Tested, number: int) -> tuple[str, Markup | None, list[str]]:
    drawn = test.figure()
    words = f"Loss by learning rate for each seed of {test.name}, and the suggested learning rates."
    picture = None if drawn is None else inline(drawn, f"test{number}", words)
    return test.name, picture, test.words()


def _parts(content: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (id, heading) of the page's parts, for the links at its top."""
    curves = [("curves-heading", "Curves"), ("panels-heading", "Side by side"), ("numbers", "Numbers")]
    parts = [("fresh-seeds", "Fresh seeds")] if content["fresh"] else []
    parts += curves if content["cards"] else []
    parts += [(name, heading) for name, heading, _, _ in content["figures"]]
    parts += [(f"test-{i}", f"Range test of {name}") for i, (name, _, _) in enumerate(content["tests"], start=1)]
    parts += [("verdicts", "What the curves show")] if content["verdicts"] else []
    parts += [("winner", content["winner"].heading)] if content["winner"] else []
    parts += [("each-run", "Each run")] if content["each"] else []
    return parts + ([("provenance", "Environment")] if content["provenance"] else [])
