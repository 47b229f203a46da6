"""The state of training, all of which is saved in the checkpoint."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np
import torch

from lrbench.errors import RunError, option
from lrbench.schedules import PlateauState
from lrbench.training.early_stopping import EarlyStoppingState
from lrbench.training.parts import Parts


@dataclass
class State:
    """The progress of a run between two steps.

    Attributes:
        step: steps done.
        epoch: epochs done.
        batch: steps done in the current epoch.
        evaluated: the step of the last evaluation.
        evaluations: evaluations done, the number of rows of `epochs.csv`.
        loss_sum: the sum of the losses since the last evaluation.
        counted: what `loss_sum` is divided by for their mean, such as examples.
        sums: the task's sums since the last evaluation.
        examples: examples seen since the last evaluation.
        interval: seconds of training since the last evaluation.
        seconds: seconds of training up to the last evaluation.
        last_loss: the last finite loss.
        skipped: steps skipped because their loss or gradient was not finite.
        held: those among them that the gradient scaler skipped, which do not advance the schedule.
        final: the values of the last evaluation.
        best: the values of the best evaluation.
        stopped: the reason for stopping early; None while the run continues.
        plateau: the state of the plateau rule.
        stopping: the state of early stopping.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    evaluated: int = 0
    evaluations: int = 0
    loss_sum: float = 0.0
    counted: float = 0.0
    sums: list[float] = field(default_factory=list)
    examples: int = 0
    interval: float = 0.0
    seconds: float = 0.0
    last_loss: float | None = None
    skipped: int = 0
    held: int = 0
    final: dict[str, Any] | None = None
    best: dict[str, Any] | None = None
    stopped: str | None = None
    plateau: PlateauState = field(default_factory=PlateauState)
    stopping: EarlyStoppingState = field(default_factory=EarlyStoppingState)

    @property
    def position(self) -> int:
        """The steps that the schedule has advanced."""
        return self.step - self.held

    def begin_epoch(self) -> None:
        """Start the next epoch, unless the current one has no steps yet."""
        self.epoch += self.batch > 0
        self.batch = 0

    def begin_interval(self) -> None:
        """Reset the sums after an evaluation."""
        self.seconds += self.interval
        self.evaluated, self.evaluations = self.step, self.evaluations + 1
        self.loss_sum, self.counted, self.sums, self.examples, self.interval = 0.0, 0.0, [], 0, 0.0


def capture(state: State, parts: Parts, best: dict[str, Any] | None, identity: str, threads: int) -> dict[str, Any]:
    """Return the checkpoint, made of tensors, numbers, strings and containers only.

    It includes the best weights, since after a kill `best.pt` may belong to an epoch after this checkpoint.
    """
    return {
        "identity": identity,
        "threads": threads,
        "step": state.step,
        "epoch": state.epoch,
        "evaluations": state.evaluations,
        "state": asdict(state),
        "model": _whole(parts.model.state_dict()),
        "best": best,
        "optimizer": parts.optimizer.state_dict(),
        "scaler": None if parts.scaler is None else parts.scaler.state_dict(),
        "random": _generators(),
    }


def _whole(weights: dict[str, Any]) -> dict[str, Any]:
    """Copy weights that are views of larger tensors, such as those of stacked runs, which would be saved whole."""

    def alone(value: Any) -> Any:
        view = isinstance(value, torch.Tensor) and value.untyped_storage().nbytes() > value.nbytes
        return value.clone() if view else value

    return {name: alone(value) for name, value in weights.items()}


def copied(weights: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a `state_dict` on the CPU."""
    return {k: v.detach().cpu().clone() if isinstance(v, torch.Tensor) else v for k, v in weights.items()}


def begun(parts: Parts) -> State:
    """Return the state of a run that begins; set generators and gradient scaler if it continues another one."""
    start = parts.start
    if parts.scaler is not None and start.scaler is not None:
        parts.scaler.load_state_dict(dict(start.scaler))
    if start.random is not None:
        _set_generators(dict(start.random))
    return State() if start.plateau is None else State(plateau=PlateauState(**start.plateau))


def restore(checkpoint: dict[str, Any], parts: Parts, run: str) -> State:
    """Load a checkpoint into freshly built parts and return the state. Raises RunError, naming `run`."""
    try:
        parts.model.load_state_dict(checkpoint["model"])
        parts.optimizer.load_state_dict(checkpoint["optimizer"])
        if parts.scaler is not None:
            parts.scaler.load_state_dict(checkpoint["scaler"])
        _set_generators(checkpoint["random"])
        fields = dict(checkpoint["state"])
        if checkpoint["format"] == 2:
            fields = _of_format_2(fields, parts)
        fields.setdefault("counted", float(fields["examples"]))  # missing in older checkpoints
        fields["plateau"] = PlateauState(**fields["plateau"])
        fields["stopping"] = EarlyStoppingState(**fields["stopping"])
        return State(**fields)
    except Exception as error:
        what = " ".join(str(error).split())[:200]
        problem = f"its checkpoint does not fit the current model and optimizer ({what})"
        raise RunError(f"{run}: {problem}; restore the code, or start over with {option('--again')}") from error


def _of_format_2(fields: dict[str, Any], parts: Parts) -> dict[str, Any]:
    """Convert a state of format 2, which evaluated once per epoch and knew only accuracy."""
    correct, interval, best = fields.pop("correct"), fields.pop("epoch_seconds"), fields["best"]
    if best is not None:
        best = {**best, "step": min(best["epoch"] * parts.steps_per_epoch, parts.total_steps)}
    return {
        **fields,
        "evaluated": fields["step"] - fields["batch"],
        "evaluations": fields["epoch"],
        "sums": [float(correct)] if parts.task.metrics and fields["examples"] else [],
        "interval": interval,
        "best": best,
    }


def _generators() -> dict[str, Any]:
    name, keys, position, has_gauss, cached = cast(tuple[str, Any, int, int, float], np.random.get_state())
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)],
        "python": [version, list(internal), gauss],
    }


def _set_generators(saved: dict[str, Any]) -> None:
    torch.set_rng_state(saved["torch"])
    if saved["cuda"] and len(saved["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(saved["cuda"])
    name, keys, position, has_gauss, cached = saved["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    version, internal, gauss = saved["python"]
    random.setstate((version, tuple(internal), gauss))
