"""What the page opens with: for each question its lead figure, as plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.analysis import Family, Group, Optimum, Point, Question, estimate, key_words, optimum
from lrbench.components import Measure
from lrbench.config import without_rate
from lrbench.reports.charted import picked_out
from lrbench.reports.headline import charted_metrics
from lrbench.reports.page.chart_data import id_of, number
from lrbench.reports.sections import Section
from lrbench.reports.shown import Shown

MOST_COLOURED = 8
"""Families in colour; of more, the best ones, and the others are grey."""


@dataclass(frozen=True)
class Lead:
    """A section of the page: its id, the section, and its groups with the fresh seeds of its task."""

    id: str
    section: Section
    groups: tuple[Group, ...]

    @property
    def question(self) -> Question:
        """What is asked."""
        return self.section.question

    @property
    def families(self) -> list[tuple[Family, tuple[Any, ...]]]:
        """Families and their values: in the order of their values if these are a few numbers, else the best first."""
        found = list(zip(self.question.families, self.question.values, strict=True))
        numbers = all(len(values) == 1 and type(values[0]) in (int, float) for _, values in found)
        return sorted(found, key=lambda one: one[1][0]) if numbers and len(found) <= MOST_COLOURED else found

    @property
    def metrics(self) -> list[str]:
        """The metrics of its curves, that of the main chart first."""
        return list(charted_metrics(self.groups))

    @property
    def heading(self) -> str:
        """The question with its task."""
        task = self.question.task
        return f"{self.section.title}: {task}" if task else self.section.title


def leads(shown: Shown) -> list[Lead]:
    """Return the sections of the page, each with all groups of its task."""
    found = []
    for at, (section, members) in enumerate(zip(shown.sections, shown.members, strict=True), start=1):
        found.append(Lead(f"s{at}", section, members or section.question.groups))
    return found


def lead_data(lead: Lead, against: Group | None, limits: dict[str, Any]) -> dict[str, Any]:
    """Return what the lead figure of a section draws.

    Returns:
        The `kind` of question, its `title` and `measure`; the `metrics` of its curves; ids of the `groups` and
        of those `picked` for the overlay; the `limits` of their losses; and the `families`, the best first.
    """
    question = lead.question
    picked = [id_of(lead.groups[at]) for at in picked_out(lead.groups, against)]
    if len(question.families) > 1 and question.measure is not None:
        best = [family.best(question.measure) for family, _ in lead.families[:MOST_COLOURED]]
        picked = [id_of(point.group) for point in best if point is not None]
    return {
        "kind": question.kind,
        "title": lead.section.title,
        "measure": None if question.measure is None else measure_data(question.measure),
        "groups": [id_of(group) for group in lead.groups],
        "picked": picked,
        "limits": limits,
        "keys": [key_words(key) for key in question.keys],
        "metrics": lead.metrics,
        "families": [] if question.measure is None else family_data(lead, question.measure),
    }


def measure_data(measure: Measure) -> dict[str, Any]:
    """Return how values of a measure are written and drawn."""
    return {
        "name": measure.name,
        "words": measure.words,
        "lower": measure.lower,
        "form": measure.form,
        "ratio": measure.by_ratio,
    }


def family_id(family: Family) -> str:
    """Return what names a family in the page; it stays the same while runs are added."""
    experiment = family.first.experiment
    text = family.label if experiment is None else without_rate(experiment)
    return f"f{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:9]}"


def family_data(lead: Lead, measure: Measure) -> list[dict[str, Any]]:
    """Return each family: its points, its best and good learning rates, and the minimum of the curve through them."""
    return [_family(family, values, measure, slot) for slot, (family, values) in enumerate(lead.families)]


def _family(family: Family, values: Sequence[Any], measure: Measure, slot: int) -> dict[str, Any]:
    best, good, found = family.best(measure), family.good(measure), optimum(family, measure)
    return {
        "id": family_id(family),
        "label": family.label,
        "slot": slot if slot < MOST_COLOURED else None,
        "x": next((number(float(v)) for v in values if isinstance(v, int | float)), None),
        "points": [_point(point, measure) for point in family.points if point.lr],
        "best": None if best is None else id_of(best.group),
        "edge": family.edge(measure),
        "good": None if good is None else [number(good.low), number(good.high), good.open_below, good.open_above],
        "optimum": _optimum(found) if isinstance(found, Optimum) and slot < MOST_COLOURED else None,
    }


def _point(point: Point, measure: Measure) -> dict[str, Any]:
    """Return a learning rate of a family: its group, centre, interval, seeds, and how many were lost."""
    values = list(point.values(measure))
    told = estimate(values, logs=measure.by_ratio)
    return {
        "lr": number(point.rate),
        "id": id_of(point.group),
        "centre": None if told is None else number(told.centre),
        "low": None if told is None or told.low is None else number(told.low),
        "high": None if told is None or told.high is None else number(told.high),
        "seeds": [number(value) for value in values],
        "lost": point.lost(measure),
        "pruned": point.pruned,
        "open": point.unfinished,
    }


def _optimum(found: Optimum) -> dict[str, Any]:
    return {
        "lr": number(found.lr),
        "low": number(found.low),
        "high": number(found.high),
        "value": number(found.value),
        "curve": [[number(rate), number(value)] for rate, value in found.curve],
    }
