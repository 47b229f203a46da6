"""A section of the page as HTML: its answer, its lead figure, and the tables beside it."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from lrbench.analysis import audited
from lrbench.components import Measure, in_words
from lrbench.reports.headline import headline
from lrbench.reports.page import lead_tables
from lrbench.reports.page.heat import heat as heat_map
from lrbench.reports.page.html import template
from lrbench.reports.page.leads import Lead, key_words
from lrbench.reports.page.looks import LOOKS


def lead_part(lead: Lead, axis: str, alone: bool, notes: Sequence[str], fallback: Markup | None) -> Markup:
    """Return a section.

    Args:
        lead: the section.
        axis: what curves are drawn over.
        alone: whether it is the only section, whose title and answer the page has already.
        notes: what else there is to know.
        fallback: a picture for readers without scripts.
    """
    html = template("page/lead.html.j2").module
    level, question = 2 if alone else 3, lead.question
    figures, tables = _figures(lead, headline(lead.groups), axis, level), _tables(lead)
    heat = heat_map(question)
    if heat is not None:
        long = len(question.families) > lead_tables.MOST_TALL
        (figures if long else tables).append(html.heat(heat))
    picture = fallback if alone else None
    heading = "" if alone else lead.heading
    made: Markup = html.lead(lead.id, question.kind, heading, lead.section.answer, figures, tables, notes, picture)
    return made


def _figures(lead: Lead, main: Measure, axis: str, level: int) -> list[Markup]:
    """Return the lead figures: of learning rates, of lengths, or of curves."""
    html, cells = template("page/lead.html.j2").module, template("page/cells.html.j2").module
    question, measure = lead.question, lead.question.measure
    if question.kind == "run":
        return [html.chart(lead.id, "run", f"{_capital(main.words)} and learning rate", "Curves of the run", level, 0)]
    if not question.families or measure is None:
        switches = cells.switches(f"switches-{lead.id}", lead.metrics, in_words, main, axis)
        return [cells.overlay(lead.id, main, switches, level)]
    rates = f"{_capital(measure.words)} by learning rate"
    words = f"{rates}, a line for each family. Arrow keys move from point to point, Enter keeps one."
    found = [html.chart(lead.id, "rates", rates, words, level, 0)]
    if question.kind == "lengths":
        title = f"Best learning rate by {key_words(question.keys[0])}"
        found.insert(0, html.chart(lead.id, "lengths", title, title, level, 0))
    return found


def _tables(lead: Lead) -> list[Markup]:
    html, question = template("page/lead.html.j2").module, lead.question
    if question.kind == "run":
        audit = audited(question.groups[0].first, briefly=True)
        words = "; ".join(fault.words for fault in audit.faults) or audit.problem
        told = f"Audit: {words or 'the learning rates that ran are those that were meant'}."
        return [html.facts(lead_tables.facts(lead), told)]
    made = lead_tables.families(lead) or lead_tables.groups(lead)
    return [html.table(lead.id, made, lead_tables.MOST_FAMILIES, LOOKS)] if made is not None and made.lines else []


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
