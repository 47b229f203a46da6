"""A trunk keeps checkpoints where branches begin; a branch begins with the steps that it shares with the trunk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lrbench.config import Experiment, Trunk, canonical, identity
from lrbench.errors import FolderError, counted
from lrbench.events import Watch, message
from lrbench.runs import RunFolder, changes
from lrbench.training.kinds import Observer
from lrbench.types import Duration

if TYPE_CHECKING:
    from lrbench.training.loop import Training
    from lrbench.training.parts import Parts

_LENGTH = ("steps", "epochs", "schedule", "warmup", "as_of")
"""What a branch and its trunk may differ in, as long as their learning rates are the same over the shared steps."""


class KeepingObserver(Observer):
    """Keep the checkpoints at the ends of shared parts, each written before an evaluation at that step."""

    def __init__(self, training: Training, keeps: Sequence[Duration]) -> None:
        super().__init__(training)
        self.steps = {_steps(at, training.parts) for at in keeps}
        if training.state.step in self.steps and not training.folder.has_kept(training.state.step):
            training.checkpoint()  # killed before it was kept
            self.saved()

    def updated(self) -> None:
        """See `Observer`."""
        if self.training.state.step in self.steps:
            self.training.saved = -math.inf  # a checkpoint is due

    def skipped(self) -> None:
        """See `Observer`."""
        self.updated()

    def saved(self) -> None:
        """See `Observer`."""
        if self.training.state.step in self.steps:
            self.training.folder.keep_checkpoint(self.training.state.step)


def take_start(trunk: Trunk, folder: RunFolder, experiment: Experiment, parts: Parts, done: int, watch: Watch) -> bool:
    """Copy the rows and the checkpoint of a branch's trunk into its folder, if they are ahead of its own `done` steps.

    Return whether it did. If the trunk can't be used, say why; the branch is then trained alone.
    """
    at = _steps(trunk.at, parts)
    if done >= at:
        return False
    try:
        source = RunFolder.known(folder.path.parent, trunk.identity, trunk.name)
        if source is None:
            raise FolderError("there is no such run")
        step, state = _kept(source, trunk, at, parts)
        if step <= done:
            return False
        _check_same(source, experiment, parts, step)
        folder.take_checkpoint(source, state, identity(experiment))
    except FolderError as error:
        begins = "continues alone" if done else "trained alone from the first step"
        watch(message(f"{folder.name}: {begins}; its trunk {trunk.name} can't be used: {error}", folder.name))
        return False
    folder.amend_environment({"branched": {"from": source.name, "step": step}})
    watch(
        message(
            f"{folder.name}: begins with the first {counted(step, 'step')} of {source.name}",
            folder.name,
        )
    )
    return True


def _kept(source: RunFolder, trunk: Trunk, at: int, parts: Parts) -> tuple[int, dict[str, Any]]:
    """Return the last intact checkpoint that the trunk kept, at most at step `at`, and its step. Raises FolderError.

    It is an earlier one than that at `at` if the trunk ended before, as where it diverged.
    """
    for step in reversed(source.kept):
        state = source.load_kept(step, trunk.identity, parts.task.metrics) if step <= at else None
        if state is not None:
            return step, state
    raise FolderError(f"it has no checkpoint of step {at:,} any more")


def _check_same(source: RunFolder, experiment: Experiment, parts: Parts, step: int) -> None:
    """Raise FolderError unless the first `step` steps of the trunk are those that the branch would train alone."""
    from lrbench.training.build import schedule_of

    known, other = source.environment(), source.config()
    assert isinstance(other, Experiment)
    if known.device != str(parts.device):
        raise FolderError(f"it was trained on {known.device}, not on {parts.device}")
    if changed := changes(known, experiment):
        raise FolderError(f"{changed[0]} since it was trained")
    if known.sizes.steps_per_epoch != parts.steps_per_epoch or known.sizes.total_steps is None:
        steps = counted(known.sizes.steps_per_epoch or 0, "step")
        raise FolderError(f"its epochs have {steps}, those of this run {parts.steps_per_epoch}")
    if _without_length(other) != _without_length(experiment):
        raise FolderError("its config differs in more than schedule and length")
    theirs = schedule_of(other, parts.start, parts.peak_lr, known.sizes.total_steps, parts.steps_per_epoch)
    ours = schedule_of(experiment, parts.start, parts.peak_lr, parts.total_steps, parts.steps_per_epoch)
    first = next((at for at in range(step) if theirs(at) != ours(at)), None)
    if first is not None:
        raise FolderError(f"its learning rate differs at step {first}: {theirs(first):g}, here {ours(first):g}")


def _without_length(experiment: Experiment) -> dict[str, Any]:
    return {key: value for key, value in canonical(experiment).items() if key not in _LENGTH}


def _steps(at: Duration, parts: Parts) -> int:
    return at.steps(total_steps=parts.total_steps, steps_per_epoch=parts.steps_per_epoch)
