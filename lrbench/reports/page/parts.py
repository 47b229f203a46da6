"""The parts of the page, from the answer to the environments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from markupsafe import Markup

from lrbench.components import in_words
from lrbench.errors import counted
from lrbench.reports import confirmation
from lrbench.reports.charted import by_task
from lrbench.reports.drawn import Drawn
from lrbench.reports.family_table import families_table
from lrbench.reports.headline import headline
from lrbench.reports.page import details
from lrbench.reports.page.cells import MOST_ROWS, explained, row_data
from lrbench.reports.page.chart_data import charted, gradient_norm, id_of
from lrbench.reports.page.html import template
from lrbench.reports.page.lead_parts import lead_part
from lrbench.reports.page.leads import Lead, lead_data, leads
from lrbench.reports.page.looks import LOOKS
from lrbench.reports.page.update import Update
from lrbench.reports.range_tests import Tested
from lrbench.reports.results import Results, heading, results
from lrbench.reports.shown import Shown, summary
from lrbench.reports.winner import Winner, winner

FEW_WARNINGS = 2
"""So many stand under the answer; more stand below the lead figure."""
MOST_VERDICTS = 12
OPEN_PANELS = 12
"""With more groups, panels are closed unless the question is how the groups compare."""


def page_update(
    shown: Shown,
    drawn: Callable[[], Sequence[Drawn]] = tuple,
    best: Winner | None = None,
    charts: Callable[[], dict[str, Any]] | None = None,
    *,
    live: bool = False,
) -> Update:
    """Return the content of a report's page. Text from run folders is escaped.

    Args:
        shown: the content of the report.
        drawn: returns its figures, besides those that the page draws itself; called when all else is done.
        best: the winner's code.
        charts: returns what `charted` does of the report's groups, if something else finds that out meanwhile.
        live: leave out what takes long to draw, and find the winner's code if there is one.
    """
    made = _Content(shown, drawn, charts or (lambda: charted(shown.groups)), winner(shown) if live else best, live)
    data = made.data()
    parts = {name: str(html).strip() for name, html in made.parts() if html}
    return Update(tuple(parts), parts, data)


def title_of(shown: Shown) -> str:
    """Return the page's title: the question."""
    found = leads(shown)
    return found[0].section.title if len(found) == 1 else f"Runs of {len(found)} tasks" if found else "Range tests"


class _Content:
    """What the parts and the data have in common."""

    def __init__(
        self,
        shown: Shown,
        drawn: Callable[[], Sequence[Drawn]],
        charts: Callable[[], dict[str, Any]],
        best: Winner | None,
        live: bool,
    ) -> None:
        groups = shown.groups
        self.shown, self.drawn, self.winner, self.live = shown, drawn, best, live
        self.leads, self.main = leads(shown), headline(groups)
        self.results = results(shown) if groups else []
        self.rows = {id: row for one in self.results for id, row in row_data(one.table, self.main).items()}
        self.details = details.details(groups, shown.records, shown.against)
        self.verdicts = details.curves(groups)
        self.charts = charts()

    def data(self) -> dict[str, Any]:
        """Return the page's data, by key."""
        shown, charts = self.shown, self.charts
        kept = ("axis", "metrics", "words", "thinned")
        found: dict[str, Any] = {
            "page": {
                **{key: charts[key] for key in kept},
                "groups": [one["id"] for one in charts["groups"]],
                "split": "val" if self.main.key.startswith("val_") else "train",
                "tables": [self._table_data(one) for one in self.results],
                "looks": LOOKS,
            }
        }
        for lead in self.leads:
            limits = charts["limits"][lead.question.task]
            found[f"section:{lead.id}"] = lead_data(lead, shown.against, limits)
        places = {id_of(group): lead.id for lead in self.leads for group in lead.groups}
        for one in charts["groups"]:
            own = {"label": one.pop("label"), "short": one.pop("short"), "section": places.get(one["id"])}
            found[f"row:{one['id']}"] = {**self.rows[one["id"]], **own}
            found[f"curves:{one.pop('id')}"] = one
        for lead in self.leads:
            if lead.question.kind == "run":
                group = lead.groups[0]
                found[f"curves:{id_of(group)}"]["norm"] = gradient_norm(group)
        body = template("page/details.html.j2").module.body
        for one in self.details[MOST_ROWS:]:
            html = str(body(one, _label(shown), self.main, bool(self.verdicts))).strip()
            found[f"details:{one['id']}"] = {"label": one["label"], "html": html}
        return found

    def parts(self) -> Iterator[tuple[str, Markup]]:
        """Yield id and HTML of each part that has something in it, from the top."""
        shown = self.shown
        head, rest = template("page/head.html.j2").module, template("page/rest.html.j2").module
        alone = len(self.leads) == 1
        answer = self.leads[0].section.answer if alone else []
        told = [line for lead in self.leads for line in lead.section.answer]
        extra = [line for line in summary(shown) if not line.endswith(tuple(told))]
        contents = [] if alone else [(lead.id, lead.question.task or lead.section.title) for lead in self.leads]
        yield "head", head.head(title_of(shown), answer or extra, contents, _about(shown))
        warned = shown.warnings
        if 0 < len(warned) <= FEW_WARNINGS:
            yield "warnings", head.warnings(warned)
        for lead in self.leads:
            notes = [*(extra if answer else []), *lead.section.notes]
            yield lead.id, lead_part(lead, self.charts["axis"], alone, notes, self.fallback)
            if not alone and lead.question.families:
                yield f"curves-{lead.id}", self._curves(lead, alone)
            if not alone:
                yield from self._tables(lead)
        if len(warned) > FEW_WARNINGS:
            yield "warnings", head.warnings(warned)
        found = shown.at_best
        if found is not None and found.fresh is not None:
            fresh = families_table(found)
            above = [(column.heading, column.right) for column in fresh.columns]
            yield "fresh", rest.fresh(above, fresh.cells, confirmation.NOTE)
        if shown.groups:
            yield from self._cells()
        yield from self._figures()
        if self.verdicts and not all(lead.question.kind == "run" for lead in self.leads):
            first = self.verdicts[:MOST_VERDICTS]
            folded = any(lead.question.families for lead in self.leads)
            yield "verdicts", rest.verdicts(first, len(self.verdicts) - len(first), folded)
        if self.winner:
            yield "winner", rest.winner(self.winner)
        if self.details:
            yield "each", self._each()
        problems = [(record.folder.name, record.problem) for record in shown.records if record.problem]
        if problems:
            yield "problems", rest.problems(problems)
        if shown.groups:
            made = details.provenance(shown.records), details.environments(shown.records)
            yield "environment", rest.environment(*made, details.commands(shown.records))

    def _cells(self) -> Iterator[tuple[str, Markup]]:
        cells, groups, charts = template("page/cells.html.j2").module, self.shown.groups, self.charts
        if len(self.leads) == 1 and self.leads[0].question.families:
            yield f"curves-{self.leads[0].id}", self._curves(self.leads[0], True)
        if all(lead.question.kind == "run" for lead in self.leads) and len(groups) == len(self.leads):
            return  # the lead figure shows it all
        rated = any(one["rate"]["x"] for one in charts["groups"])
        is_open = len(groups) <= OPEN_PANELS or all(lead.question.kind == "curves" for lead in self.leads)
        several = len(by_task(groups)) > 1
        yield "panels", cells.panels(len(groups), is_open, rated, charts["axis"], several, self.main, in_words)
        yield from self._tables(self.leads[0] if len(self.leads) == 1 else None)

    def _tables(self, lead: Lead | None) -> Iterator[tuple[str, Markup]]:
        """Yield the table of all groups of a section; without one, of those that belong to none."""
        html = template("page/cells.html.j2").module
        for one in self.results:
            if one.section is not (None if lead is None else lead.section):
                continue
            rows, columns = one.table.rows, one.table.columns
            first = [(id_of(g), g.label, [c[0] for c in self.rows[id_of(g)]["cells"]]) for g in rows[:MOST_ROWS]]
            headings = [(column.heading, column.right) for column in columns]
            id, title = self._table_id(one), heading(one, alone=len(self.results) == 1)
            method = " ".join(filter(None, (one.table.same, one.method)))
            made = html.table(id, title, headings, first, len(rows), one.note, method, explained(rows))
            yield "table" if len(self.results) == 1 else f"table-{id}", made

    def _table_id(self, one: Results) -> str:
        return next((lead.id for lead in self.leads if lead.section is one.section), "others")

    def _table_data(self, one: Results) -> dict[str, Any]:
        right = [column.right for column in one.table.columns]
        return {"id": self._table_id(one), "right": right, "groups": [id_of(group) for group in one.table.rows]}

    def _curves(self, lead: Lead, alone: bool) -> Markup:
        cells, main = template("page/cells.html.j2").module, headline(lead.groups)
        switches = cells.switches(f"switches-{lead.id}", lead.metrics, in_words, main, self.charts["axis"])
        made: Markup = cells.curves(lead.id, "Curves" if alone else f"Curves: {lead.heading}", main, switches, alone)
        return made

    def _each(self) -> Markup:
        first = self.details[:MOST_ROWS]
        each = template("page/details.html.j2").module.each
        more = len(self.details) - len(first)
        made: Markup = each(first, _label(self.shown), self.main, bool(self.verdicts), more)
        return made

    @property
    def fallback(self) -> Markup | None:
        """The figure of learning rates for readers without scripts, who do not see the page's own."""
        if not any(lead.question.families for lead in self.leads):
            return None
        return next((one.picture for one in self.drawn() if one.name == "rates"), None)

    def _figures(self) -> Iterator[tuple[str, Markup]]:
        figure = template("page/rest.html.j2").module.figure
        swept = any(lead.question.families for lead in self.leads)
        for one in self.drawn():
            if (one.name == "rates" and swept) or (one.name == "seeds" and len(self.shown.groups) == 1):
                continue  # the lead figure or its table shows the same
            yield f"figure-{one.name}", figure(one.name, one.heading, one.picture, one.words, "")
        for number, test in enumerate(self.shown.tests):
            found = None if self.live else _picture(test, number)
            heading = f"Range test of {test.name}"
            words = test.words()
            yield (
                f"test-{number}",
                figure(f"range-test-{number}", heading, found, words, f"range test of {test.name}"),
            )


def _picture(test: Tested, number: int) -> Markup | None:
    from lrbench.reports.svg import inline

    drawn = test.figure()
    words = f"Loss by learning rate for each seed of {test.name}, and the suggested learning rates."
    return None if drawn is None else inline(drawn, f"test{number}", words)


def _label(shown: Shown) -> str | None:
    return None if shown.against is None else shown.against.short


def _about(shown: Shown) -> list[str]:
    """Return what the report is of: how many runs, in how many groups."""
    runs, groups = len(shown.runs), len(shown.groups)
    said = [counted(runs, "run")] if runs else []
    seeds = {len(group.records) for group in shown.groups}
    if 1 < groups < runs:
        said = [
            f"{groups:,} settings × {seeds.pop()} seeds" if len(seeds) == 1 else f"{said[0]} of {groups:,} settings"
        ]
    tasks = [one.question.task.replace("_", " ") for one in shown.sections]
    return [*said, *(task for task in tasks if task and len(tasks) == 1)]
