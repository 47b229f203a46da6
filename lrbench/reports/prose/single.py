"""The story of one run, or of one configuration with several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lrbench.analysis import Group, Record
from lrbench.components import Measure
from lrbench.reports.prose.curves import on_test
from lrbench.reports.prose.parts import Told, lost_runs, open_text, so_far
from lrbench.reports.prose.phrases import capital, counted, sureness, value
from lrbench.reports.prose.standings import extreme
from lrbench.reports.sentences import lost_text
from lrbench.runs import Status

if TYPE_CHECKING:
    from lrbench.reports.sections import Section

_WORTH_TELLING = 1.02
"""The ratio of the last and the best value from which on the best one is worth a sentence."""


def told(section: Section) -> Told:
    """Say how the run ended and how good it is, when it was best, and what its curves show."""
    group, measure = section.question.groups[0], section.question.measure
    row = None if section.comparison is None else section.comparison.best
    if measure is None or row is None:
        return Told.of([_unfinished(group, measure), _verdict(group)], [_evidence(group)])
    name, test = group.label, on_test(group, measure)
    if len(group.records) == 1:
        first = f"{name} {_ended(group.first)} with a {measure.words} of {value(measure, row.centre)}"
        first += f"{f' and a {test}' if test else ''}."
    else:
        begun = so_far([group])
        stuck = f"; {lost_text(row, measure)}" if group.plateau(measure.name) else ""
        first = f"{begun}{name} has a {measure.words} of {value(measure, row.centre)} ({sureness(row, measure)}{stuck})"
        first += f"{f' and a {test}' if test else ''}."
    best = _best(group.first, measure) if len(group.records) == 1 else ""
    return Told.of([first, best, _verdict(group)], [_evidence(group), lost_runs([group])])


def _ended(record: Record) -> str:
    """`finished 12 epochs`, `stopped early after 7 epochs`."""
    done = None if record.result is None else record.result.epochs
    length = "" if done is None else counted(done, "epoch")
    if record.status is Status.STOPPED_EARLY:
        return f"stopped early after {length}" if length else "stopped early"
    return f"finished {length}".rstrip()


def _unfinished(group: Group, measure: Measure | None) -> str:
    if len(group.records) > 1:
        return open_text([group])
    status, reason = group.status(), "" if group.first.result is None else group.first.result.reason
    record = group.first
    if record.status is Status.FAILED:
        return f"{group.label} failed{f': {reason}' if reason else ''}."
    if record.status is Status.DIVERGED:
        return f"{group.label} {status}{f': {reason}' if reason else ''}."
    verb = "was" if record.status is Status.INTERRUPTED else "is"
    verb = "" if record.status in (Status.DIVERGED, Status.PRUNED) else f"{verb} "
    latest = _latest(record, measure)
    return f"{group.label} {verb}{status}{f', with a {latest} so far' if latest else ''}."


def _latest(record: Record, measure: Measure | None) -> str:
    """`validation loss of 0.31`: the last evaluation of a run that has not ended."""
    if measure is None or not measure.per_epoch:
        return ""
    known = record.epochs.known(measure.name)
    return f"{measure.words} of {value(measure, float(known[-1]))}" if len(known) else ""


def _best(record: Record, measure: Measure) -> str:
    """Say when the run was best, if it was not at its end."""
    if not measure.on_validation:
        return ""
    rows = record.epochs.where(record.epochs.measured(measure.name))
    values, epochs = rows[measure.name], rows["epoch"]
    if len(values) < 2:
        return ""
    at = int((measure.sign * values).argmin())
    best, last = float(values[at]), float(values[-1])
    if at == len(values) - 1 or abs(last - best) <= (_WORTH_TELLING - 1) * abs(best):
        return ""
    where = f"after epoch {epochs[at]:g}" if epochs[at] == epochs[at] else f"after evaluation {at + 1}"
    return f"The {extreme(measure)} was {value(measure, best)}, {where}."


_SHOWN: Mapping[str, str] = {
    "stuck, rate too large": "It is stuck: the learning rate is too large",
    "stuck, rate too small": "It is stuck: the learning rate is too small",
    "nothing to learn": "It learned nothing that generalizes to the validation data",
    "oscillating": "Its loss oscillates",
    "overfitting": "It overfits",
    "past its best": "It was trained past its best",
    "decayed too early": "Its learning rate decayed too early",
    "too slow": "It was still improving",
    "rate too small": "The learning rate is too small",
    "rate too large": "The learning rate is too large",
    "converged": "It has converged",
    "undecided": "Its curves do not show whether another learning rate would be better",
    "too short to tell": "It is too short to show more",
}
"""What a verdict's label means; a diverged run is told before."""


def _verdict(group: Group) -> str:
    """Say what the curves show and what to try next."""
    found = group.verdict()
    if found is None:
        return ""
    label, advice = found.verdict.label, found.verdict.advice
    advice = "try both sides" if label == "undecided" else advice
    text = _SHOWN.get(label, "")
    seeds = f" ({found.having} of {found.of} seeds)" if text and found.having < found.of else ""
    if not text:
        return f"{capital(advice)}." if advice else ""
    return f"{text}{seeds}{f'; {advice}' if advice else ''}."


def _evidence(group: Group) -> str:
    found = group.verdict()
    return "" if found is None else f"{capital(found.verdict.label)}: {found.verdict.evidence}."
