"""Confirmations: a sweep's winner with fresh seeds, which are never taken together with those that chose it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lrbench.analysis import Group, Record
from lrbench.components import Measure


def set_apart(records: Iterable[Record]) -> list[Record]:
    """Mark the runs that the sweeps beside them planned as confirmations."""
    records = list(records)
    roots = {record.folder.path.parent for record in records}
    roots = {root for root in roots if (root / "sweeps").is_dir()}
    if not roots:
        return records
    from lrbench.sweeps import confirming  # takes a moment

    fresh = {root / name for root in roots for name in confirming(root)}
    return [replace(record, confirms=True) if record.folder.path in fresh else record for record in records]


def sentences(groups: Sequence[Group], measure: Measure) -> list[str]:
    """Compare each confirmation with the seeds that chose it."""
    chosen = {group.first.group: group for group in groups if not group.first.confirms}
    pairs = [(chosen[g.first.group], g) for g in groups if g.first.confirms and g.first.group in chosen]
    return [confirmed(one, fresh, measure, f"{one.label}'s") for one, fresh in pairs]


def confirmed(chosen: Group, fresh: Group, measure: Measure, whose: str) -> str:
    """Compare fresh seeds with those that chose the winner; it is confirmed if the two ranges overlap."""
    old, new, lost = chosen.spread(measure.name), fresh.spread(measure.name), fresh.lost(measure.name)
    if old is None or new is None:
        return f"The fresh seeds meant to confirm {whose} {measure.words} have no finite value."
    text = f"With {len(fresh.records)} fresh seeds {whose} {measure.words} is {measure.text(new.centre)}"
    text += f" ({measure.text(new.low)} … {measure.text(new.high)})" if new.n > 1 else ""
    if measure.form == "percent":
        text += f", {100 * (new.centre - old.centre):+.2f} points from the seeds that chose it"
    elif old.centre:
        text += f", {(new.centre - old.centre) / abs(old.centre):+.0%} from the seeds that chose it"
    if lost > chosen.lost(measure.name):
        return f"{text}; {lost} of {lost + new.n} fresh seeds were lost: not confirmed."
    if new.overlaps(old):
        return f"{text}; the ranges overlap: confirmed."
    if measure.sign * new.centre < measure.sign * old.centre:
        return f"{text}; every fresh seed is better: confirmed."
    return f"{text}; every fresh seed is worse: not confirmed."
