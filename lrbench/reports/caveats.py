"""What weakens a comparison of two groups: a code for programs and a sentence for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from lrbench.analysis import Group, Record, Row, doubts, mixed_code, task_of
from lrbench.components import Measure
from lrbench.errors import counted, option
from lrbench.reports import sentences
from lrbench.runs import Environment, Status

LEAST_SEEDS = 3
"""From this many values on, the coverage of Student's t is right for skewed losses too."""
MANY = 3
"""From this many groups on, the best one was probably chosen among them."""


class Caveat(NamedTuple):
    """Something that weakens a comparison; `code` is one word for programs."""

    code: str
    text: str


def of_group(row: Row, whole: Group, records: Iterable[Record]) -> Iterator[Caveat]:
    """Yield what weakens the value of one group.

    Args:
        row: the group as it was selected.
        whole: the group with all of its seeds.
        records: every run that was read.
    """
    label = row.group.label
    if row.group.pruned:
        yield Caveat("pruned", f"{label} has no mean: {row.group.selection}.")
    elif row.ended < LEAST_SEEDS:
        have = f"{label} has {counted(row.ended, 'seed')} that ended"
        yield Caveat("few_seeds", f"{have}; {LEAST_SEEDS} or more show the spread.")
    left_out = len(whole.records) - len(row.group.records)
    if left_out:
        picked = f"{len(row.group.records)} of {len(whole.records)} seeds of {label} were selected"
        yield Caveat("picked_seeds", f"{picked}: seeds chosen by their results prove nothing.")
    readable = [r.status for r in row.group.records if r.status is not Status.DAMAGED]
    open_ones = [status for status in readable if not (status.complete or status.lost or status is Status.PRUNED)]
    if open_ones:
        kinds = " or ".join(sorted({status.words for status in open_ones}))
        told = f"{len(open_ones)} of {counted(len(row.group.records), 'run')} of {label}"
        are, do = ("is", "does") if len(open_ones) == 1 else ("are", "do")
        yield Caveat("unfinished", f"{told} {are} {kinds} and {do} not count.")
    damaged = [r.folder.name for r in records if r.status is Status.DAMAGED and r.name == row.group.first.name]
    if damaged:
        yield Caveat("damaged", f"Damaged runs of {label} are left out: {', '.join(damaged)}.")
    for line in sentences.code_mixed(mixed_code(row.group.records), pooled=True):
        yield Caveat("mixed_code", line)


def of_programs(groups: Sequence[Group], measure: Measure) -> Iterator[Caveat]:
    """Yield what weakens a comparison with runs of other programs."""
    yield from (Caveat(code, text) for code, text in doubts(groups, measure))


def of_measure(measure: Measure) -> Iterator[Caveat]:
    """Yield what weakens a choice by this metric."""
    if (told := sentences.chosen_on_test(measure)) is not None:
        yield Caveat("test_data", told)
    if measure.section == "best":
        yield Caveat(
            "best_of_run",
            f"{measure.name} is the best of many evaluations, which flatters noisy runs; val_{measure.metric.name} "
            "compares the ends of the runs.",
        )


def of_choice(group: Group, groups: Sequence[Group], measure: Measure, tries: int) -> Iterator[Caveat]:
    """Yield what shows that a group was chosen by the same runs that now compare it."""
    alike = [g for g in groups if task_of(g) == task_of(group) and not g.first.confirms and g.counted(measure.name)]
    fresh = [g.label for g in groups if g.first.confirms and g.first.group == group.first.group]
    if fresh and not group.first.confirms:
        text = f"The seeds of {group.label} chose it; compare '{fresh[0]}' instead, which has fresh seeds."
        yield Caveat("seeds_that_chose", text)
    elif tries == 1 and len(alike) >= MANY and _best(alike, measure).first.group == group.first.group:
        text = f"{group.label} is the best of {len(alike)} groups here. If it was chosen for that, add"
        advice = f"{option('--tries')} {len(alike) - 1}"
        yield Caveat("best_of_many", f"{text} {advice}, or compare fresh seeds (lrbench sweep --confirm).")


def _best(groups: Sequence[Group], measure: Measure) -> Group:
    return min(groups, key=lambda group: group.standing(measure))


def of_pair(row: Row, other: Row) -> Iterator[Caveat]:
    """Yield what makes two groups unequal besides what differs in their configs."""
    found = row.difference
    both, either = row.values.keys() & other.values.keys(), row.values.keys() | other.values.keys()
    if found is not None and found.n and not found.paired:
        yield Caveat("unpaired", "The groups are not compared in pairs of equal seeds; pairs would decide sooner.")
    elif found is not None and found.n and both != either:
        yield Caveat(
            "partly_paired", f"Of {len(either)} seeds, only the {len(both)} that both groups have are compared."
        )
    if (told := sentences.unequal([row.group, other.group])) is not None:
        yield Caveat("unequal_budgets", told)
    yield from _surroundings(row.group, other.group)


_Reader = Callable[[Environment], str | None]
_READERS: Mapping[str, _Reader] = {
    "lrbench": lambda env: env.lrbench,
    "torch": lambda env: env.packages.get("torch"),
    "device": lambda env: env.gpu or env.device,
}


def _surroundings(group: Group, other: Group) -> Iterator[Caveat]:
    """Yield what the environments of two groups' runs do not share."""
    mine, theirs = ([record.environment for record in one.records] for one in (group, other))
    modules = [{module: code for env in envs for module, code in env.user_code.items()} for envs in (mine, theirs)]
    changed = sorted(name for name in modules[0].keys() & modules[1].keys() if modules[0][name] != modules[1][name])
    if changed:
        yield Caveat("different_code", f"Trained with different versions of imported code: {', '.join(changed)}.")
    for what, read in _READERS.items():
        one, two = (", ".join(sorted({told for env in envs if (told := read(env))})) for envs in (mine, theirs))
        if one and two and one != two:
            yield Caveat(f"different_{what}", f"Trained with a different {what}: {one} against {two}.")
