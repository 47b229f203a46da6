"""Steps recorded as CUDA graphs and replayed: one launch instead of a hundred."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim import Optimizer

from lrbench.components import Batch
from lrbench.config import Experiment
from lrbench.training.parts import Parts
from lrbench.training.update import gradient, steps_alike

ENABLED = True
FIRST_PLAIN = 3  # steps before recording, in which cuDNN, cuBLAS and the optimizer allocate their state


def recordable(experiment: Experiment, parts: Parts) -> bool:
    """Return whether every step does the same work on the GPU, so that it can be recorded.

    This needs a built-in loss, a built-in model (or a model class with `cuda_graph = True`), an optimizer that reads
    its learning rate from GPU memory, one batch per step, no skipped steps, no compilation, constant momentum and the
    same weights and ratios in every step.
    """
    model = not experiment.model.imported or getattr(parts.model, "cuda_graph", False)
    steady = steps_alike(experiment, parts) and parts.momentum is None and parts.task.recordable
    return ENABLED and parts.device.type == "cuda" and model and steady and takes_rate_tensor(parts.optimizer)


def takes_rate_tensor(optimizer: Optimizer) -> bool:
    """Return whether the optimizer reads the learning rate on the device, as torch's fused optimizers do."""
    kinds = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
    return type(optimizer) in kinds and all(group["fused"] for group in optimizer.param_groups)


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: Tensor
    targets: Tensor
    measured: Tensor


@dataclass
class RecordedUpdates:
    """Training steps, recorded once per batch shape.

    Results are bit-identical to plain steps: the same kernels use the same random numbers. If CUDA refuses to record
    (for example because the model syncs with the device), steps run without recording.
    """

    parts: Parts
    limit: float | None
    recordings: dict[torch.Size, _Recording | None] = field(default_factory=dict)
    done: int = 0

    def __call__(self, batch: Batch) -> Tensor:
        """Do one step; returns the same as `gradient`."""
        inputs, targets = batch
        self.done += 1
        if self.done <= FIRST_PLAIN:
            return self._update(inputs, targets)
        if inputs.shape not in self.recordings:
            self.recordings[inputs.shape] = self._record(inputs, targets)
        recording = self.recordings[inputs.shape]
        if recording is None:
            return self._update(inputs, targets)
        recording.inputs.copy_(inputs)
        recording.targets.copy_(targets)
        recording.graph.replay()
        return recording.measured

    def _update(self, inputs: Tensor, targets: Tensor) -> Tensor:
        measured = gradient(self.parts, [(inputs, targets)], self.limit)
        self.parts.optimizer.step()
        return measured

    def _record(self, inputs: Tensor, targets: Tensor) -> _Recording | None:
        """Record a step without running it. None if CUDA refuses."""
        device = self.parts.device
        held = inputs.to(device, copy=True), targets.to(device, copy=True)
        random = torch.cuda.get_rng_state(device)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                measured = self._update(*held)
        except RuntimeError:
            _renew_generator(device, random)
            return None
        return _Recording(graph, *held, measured)


def _renew_generator(device: torch.device, state: Tensor) -> None:
    """Replace the state of a GPU's default generator, which can't be used after a failed recording."""
    fresh = torch.Generator(device)
    fresh.set_state(state)
    number = torch.cuda.current_device() if device.index is None else device.index
    torch.cuda.default_generators[number].graphsafe_set_state(fresh)


def place_rates(optimizer: Optimizer, device: torch.device | None) -> None:
    """Move the groups' learning rates to the device, where recorded steps read them; to plain numbers if None."""
    for group in optimizer.param_groups if takes_rate_tensor(optimizer) else ():
        lr = float(group["lr"])
        group["lr"] = lr if device is None else torch.tensor(lr, device=device)
        if "capturable" in group:
            group["capturable"] = device is not None
