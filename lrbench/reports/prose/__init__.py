"""The answers of a report in sentences: first the answer, then what it depends on, then the doubt that matters most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.reports.prose import curves, families, one_family, single
from lrbench.reports.prose.parts import MOST, Told, open_text
from lrbench.reports.prose.titles import title

if TYPE_CHECKING:
    from lrbench.reports.sections import Section

__all__ = ["MOST", "Told", "title", "told"]


def told(section: Section) -> Told:
    """Answer a section's question, with notes for all that does not fit."""
    question = section.question
    if question.kind == "run":
        return single.told(section)
    if len(question.families) > 1:
        return families.told(section)
    if len(question.families) == 1:
        return one_family.told(section)
    return Told.of([open_text(question.groups)]) if section.comparison is None else curves.told(section)
