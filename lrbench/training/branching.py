"""Branches in a list of runs: trunks before their branches, what trunks keep for them, and what sharing saved."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lrbench.config import Experiment, identity, own_share, trunk_of
from lrbench.errors import FolderError, counted
from lrbench.runs import RunFolder, Status
from lrbench.training.kinds import PlainTraining
from lrbench.training.outcome import Outcome, pending


def branches_by_trunk(outcomes: Sequence[Outcome]) -> list[tuple[Outcome, list[Outcome]]]:
    """Return each trunk among some runs with its branches."""
    followers: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.kind.follows is not None:
            followers.setdefault(outcome.kind.follows, []).append(outcome)
    if not followers:
        return []
    known = {identity(outcome.experiment): outcome for outcome in outcomes}
    return [(known[trunk], found) for trunk, found in followers.items() if trunk in known]


def arrange(outcomes: Sequence[Outcome]) -> None:
    """Let each trunk keep its checkpoints where pending branches begin, or with `keep: state` where any does."""
    for trunk, branches in branches_by_trunk(outcomes):
        if isinstance(trunk.kind, PlainTraining):
            wanted = branches if _keeps_all(trunk) else pending(branches)
            kinds = [one.kind for one in wanted]
            starts = [kind.trunk.at for kind in kinds if isinstance(kind, PlainTraining) and kind.trunk is not None]
            trunk.kind = replace(trunk.kind, keeps=tuple(dict.fromkeys(starts)))


def waves(todo: Sequence[Outcome]) -> Iterator[list[Outcome]]:
    """Yield the runs in groups: those of a group may run at once, after the groups before it.

    A run whose trunk did not get done is not yielded; its outcome says why.
    """
    known = {identity(outcome.experiment): outcome for outcome in todo}
    left, before = list(todo), set[str]()
    while left:
        waiting = known.keys() - before
        wave = [outcome for outcome in left if outcome.kind.follows not in waiting]
        assert wave, "a run can't be its own trunk"
        left = [outcome for outcome in left if outcome.kind.follows in waiting]
        before |= {identity(outcome.experiment) for outcome in wave}
        yield [one for one in wave if not _held_back(one, known.get(one.kind.follows or ""))]


def _held_back(outcome: Outcome, trunk: Outcome | None) -> bool:
    """Note in the outcome of a branch that its trunk failed or is left to another process; return whether it did."""
    if trunk is None or not trunk.undone:
        return False
    name = trunk.path.name
    if trunk.status is Status.FAILED:
        outcome.failed(f"{outcome.path.name}: not started because its trunk {name} failed")
    else:
        outcome.status = Status.RUNNING
        outcome.message = f"{outcome.path.name}: waits for its trunk {name}, which another process trains"
    return True


def tidy(outcomes: Sequence[Outcome]) -> None:
    """Remove the checkpoints that trunks kept for branches which have ended, unless the config says `keep: state`."""
    for trunk, branches in branches_by_trunk(outcomes):
        if all(one.status.ended for one in (trunk, *branches)) and not _keeps_all(trunk):
            with contextlib.suppress(FolderError):  # a read-only folder
                RunFolder(trunk.path).drop_kept()


def saving(outcomes: Sequence[Outcome]) -> str | None:
    """Describe what sharing saved: `3 branches share 4,000 steps: 5,200 steps trained instead of 12,600`.

    None if there are no branches, or if some have not ended or were trained without their trunk.
    """
    shared = [(trunk, branch) for trunk, branches in branches_by_trunk(outcomes) for branch in branches]
    trunks = {trunk.path: trunk for trunk, _ in shared}
    if not shared or not all(one.status.ended for pair in shared for one in pair):
        return None
    trained = sum(_steps(trunk) for trunk in trunks.values())
    with contextlib.suppress(FolderError):
        taken = [RunFolder(branch.path).environment().branched for _, branch in shared]
        alone = sum(_steps(branch) for _, branch in shared)
        trained += alone - sum(start.step for start in taken if start is not None)
        if trained >= alone:
            return None
        steps = max(_steps(trunk) for trunk in trunks.values())
        what = counted(steps, "step") if len(trunks) == 1 else f"{len(trunks)} trunks of {counted(steps, 'step')}"
        each = f"{len(shared)} branch{'es share' if len(shared) > 1 else ' shares'} {what}"
        return f"{each}: {counted(trained, 'step')} trained instead of {alone:,}"
    return None


def expected_saving(outcomes: Sequence[Outcome]) -> str | None:
    """Describe what sharing will save, before anything is trained; None if there are no branches."""
    configs = [outcome.experiment for outcome in outcomes if trunk_of(outcome.experiment) is not None]
    lengths = [config.length for config in configs if isinstance(config, Experiment)]
    trunks = [trunk.experiment for trunk, _ in branches_by_trunk(outcomes)]
    if not lengths or not trunks or len({length.unit for length in lengths}) != 1:
        return None
    alone = sum(length.amount for length in lengths)
    own = sum(length.amount * own_share(config) for length, config in zip(lengths, configs, strict=True))
    trained = own + sum(trunk.length.amount for trunk in trunks if isinstance(trunk, Experiment))
    runs = f"{counted(len(lengths), 'branch')} of {counted(len(trunks), 'trunk')}"
    return f"{runs}: {trained:,.0f} {lengths[0].unit} to train instead of {alone:,.0f}"


def _steps(outcome: Outcome) -> int:
    return 0 if outcome.result is None else outcome.result.steps or 0


def _keeps_all(trunk: Outcome) -> bool:
    return trunk.experiment.plain().get("keep") == "state"
