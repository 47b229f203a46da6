"""Confirmations: fresh seeds of the best learning rates, which are never taken together with those that chose them."""

from __future__ import annotations

from collections.abc import Sequence

from lrbench.analysis import (
    Confirmation,
    Finalist,
    Group,
    compare_two,
    doubts,
    good_margin,
    rate_text,
)
from lrbench.components import Measure
from lrbench.errors import counted
from lrbench.reports import caveats, sentences
from lrbench.reports.caveats import LEAST_SEEDS

NOTE = (
    "Each row is a family of runs that differ only in the learning rate. The seeds that chose its best learning rate "
    "make it look better than it is, all the more with many learning rates. So families are compared by the fresh "
    "seeds alone. Runs and updates are those of the tuning; a diverged run counts with its whole budget."
)


def words(found: Confirmation | None, *, alone: bool = False) -> list[str]:
    """Say what the comparison by fresh seeds leaves open, what is left out, and what was not confirmed.

    Args:
        found: the comparison.
        alone: whether the fresh seeds of a single family are told too, which its own answer does elsewhere.
    """
    if found is None:
        return []
    fresh = [one for one in found.finalists if one.fresh is not None]
    said = [text for one in fresh if (text := _doubt(one, found))]
    if found.waiting:
        have = "has" if found.waiting == 1 else "have"
        said.append(f"{found.waiting} of the fresh seeds {have} no result yet, so they are not compared.")
    for one in fresh:
        agree, text = confirmed(one, found.measure)
        if not one.waiting and not (agree and found.comparisons) and (alone or len(found.finalists) > 1):
            said.append(text)
    if fresh and len(found.finalists) > len(fresh):
        without = [one.label for one in found.finalists if one.fresh is None and one.chosen is not None]
        lost = [one.label for one in found.finalists if one.chosen is None]
        said += [f"Not compared for lack of fresh seeds: {_listed(without)}."] if without else []
        said += [f"Not compared for lack of a best learning rate: {_listed(lost)}."] if lost else []
    for group in found.others:
        count = len(group.records)
        why = "another learning rate is now the best, or other code is compared"
        said.append(
            f"{counted(count, 'fresh seed')} of {_whose(group)} {'are' if count > 1 else 'is'} left out: {why}."
        )
    return said


def warnings(found: Confirmation | None) -> list[str]:
    """Return what weakens the comparison: unequal tuning, learning rates at an edge, what else differs."""
    if found is None or not found.comparisons:
        return []
    said = []
    compared = [one for one in found.finalists if one.fresh is not None]
    if found.unequal:
        each = "; ".join(f"{one.label}: {_tuning(one)}" for one in compared)
        said.append(f"Unequal tuning: {each}. More tuning alone may make the difference.")
    at_edge = [f"{one.label} ({one.edge}, {_rate(one)})" for one in compared if one.edge]
    if at_edge:
        said.append(f"At the edge of the learning rates tried, so a better one may lie beyond: {_listed(at_edge)}.")
    few = [row.group.label for c in found.comparisons for row in c.rows if row.ended < LEAST_SEEDS]
    if few:
        said.append(f"Fewer than {LEAST_SEEDS} fresh seeds, which hardly show the spread: {_listed(few)}.")
    for comparison in found.comparisons:
        others = [row for row in comparison.rows if row is not comparison.against]
        told = [(row, caveat) for row in others for caveat in caveats.of_pair(row, comparison.against)]
        pairs = [f"{row.group.label}: {text}" for row, (code, text) in told if code != "unequal_budgets"]
        groups = [row.group for row in comparison.rows]
        unequal = sentences.unequal(groups)
        said += [*([unequal] if unequal else []), *pairs, *(text for _, text in doubts(groups, found.measure))]
    return said


def _against(one: Finalist, found: Confirmation) -> str:
    """`+12 % (8 … 16), worse`; with `here, so undecided` if another learning rate may be as good as the reference."""
    known = found.row(one)
    if known is None:
        return "–"
    comparison, row = known
    if row is comparison.against:
        return "best"
    told = sentences.against(row, comparison)
    changed = row.answer is not None and found.word(one) != row.answer.word
    return f"{told} at this learning rate, undecided at its best" if changed else told


def _doubt(one: Finalist, found: Confirmation) -> str:
    """Say why a family that is worse at its learning rate may not be; empty if nothing speaks for it."""
    known = found.row(one)
    if known is None or known[1].answer is None or found.word(one) == known[1].answer.word:
        return ""
    if rivals := found.rivals(one):
        rates = _listed([rate_text(lr) for lr in rivals])
        are = "is" if len(rivals) == 1 else "are"
        why = f"the seeds that chose {_rate(one)} for it do not rule out that {rates} {are} better by as much"
        return f"{one.label} may be as good at another learning rate: {why}; more seeds in the grid would decide."
    way = "higher" if one.edge == "highest" else "lower"
    return (
        f"{one.label} may be as good at another learning rate: {_rate(one)} is the {one.edge} tried, so try {way} ones."
    )


def confirmed(one: Finalist, measure: Measure) -> tuple[bool, str]:
    """Compare fresh seeds with those that chose the learning rate.

    It is confirmed if they are better or hardly worse, and no more of them were lost; not if they are surely worse.
    """
    assert one.chosen is not None and one.fresh is not None
    chosen, fresh, which = one.chosen.group, one.fresh, f"{one.label} at {rate_text(one.chosen.lr)}"
    old, new, lost = chosen.spread(measure.name), fresh.spread(measure.name), fresh.lost(measure.name)
    if old is None or new is None:
        return False, f"The fresh seeds meant to confirm {which} have no finite {measure.words}."
    count = f"{counted(len(fresh.records), 'fresh seed')}"
    text = f"With {count}, {which} has a {measure.words} of {measure.text(new.centre)}"
    text += f" ({measure.text(new.low)} … {measure.text(new.high)})" if new.n > 1 else ""
    if measure.form == "percent":
        text += f", {100 * (new.centre - old.centre):+.2f} points compared with the seeds that chose it"
    elif old.centre:
        text += f", {(new.centre - old.centre) / abs(old.centre):+.0%} compared with the seeds that chose it"
    if lost > chosen.lost(measure.name):
        return False, f"{text}; {lost} of {lost + new.n} fresh seeds were lost: not confirmed."
    if measure.sign * (new.centre - old.centre) <= good_margin(old.centre, measure):
        return True, f"{text}: confirmed."
    answer = compare_two(fresh, chosen, measure)[0].answer
    if answer is not None and answer.word == "worse":
        return False, f"{text}; that is clearly worse: not confirmed."
    return False, f"{text}, but not clearly worse: undecided."


def _rate(one: Finalist) -> str:
    return "none" if one.chosen is None else rate_text(one.chosen.lr)


def _tuning(one: Finalist) -> str:
    """`9 learning rates, 27 runs, 2,700 updates`."""
    tuning = one.tuning
    spent = "" if tuning.updates is None else f", {counted(tuning.updates, 'update')}"
    return f"{counted(tuning.rates, 'learning rate')}, {counted(tuning.runs, 'run')}{spent}"


def _whose(group: Group) -> str:
    return group.short.removesuffix(" (confirmation)")


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - sentences.MOST_NAMED
    return ", ".join(names[: sentences.MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
