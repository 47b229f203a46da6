"""Updates recorded once as CUDA graphs and played back: one launch in place of a hundred."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim import Optimizer

from lrbench.components import Batch
from lrbench.config import Experiment
from lrbench.training.build import Parts
from lrbench.training.update import gradient

ENABLED = True
FIRST_PLAIN = 3  # updates done plainly, in which cuDNN, cuBLAS and the optimizer set up what they keep


def recordable(experiment: Experiment, parts: Parts) -> bool:
    """Whether an update does the same work each time, all of it on the GPU, so that it can be recorded.

    Asked of the config: our own loss and models (or a model whose class says `cuda_graph = True`), an optimizer that
    takes its rate from the GPU's memory, one batch an update, nothing decided while it is under way, and nothing that
    changes beside the rate.
    """
    model = not experiment.model.imported or getattr(parts.model, "cuda_graph", False)
    plain = experiment.accumulate in (None, 1) and experiment.on_non_finite != "skip" and not experiment.compile
    steady = parts.momentum is None and not experiment.loss.imported
    return ENABLED and parts.device.type == "cuda" and model and plain and steady and takes_rate_tensor(parts.optimizer)


def takes_rate_tensor(optimizer: Optimizer) -> bool:
    """Whether an optimizer's kernels read the rate on the device: torch's fused ones."""
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
    """Updates of a training's parts, recorded for each size of batch once it comes again.

    What is computed is the same, bit for bit, as without: the same kernels on the same random numbers. Where CUDA
    refuses to record (the model waits for the device, say), updates go on plainly.
    """

    parts: Parts
    limit: float | None
    recordings: dict[torch.Size, _Recording | None] = field(default_factory=dict)
    done: int = 0

    def __call__(self, batch: Batch) -> Tensor:
        """Do one update; see `gradient` for what is returned."""
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
        """Record an update without doing it. None where that cannot be."""
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
    """Give a GPU's default generator a new inside: a recording that failed leaves the old one refusing to draw."""
    fresh = torch.Generator(device)
    fresh.set_state(state)
    number = torch.cuda.current_device() if device.index is None else device.index
    torch.cuda.default_generators[number].graphsafe_set_state(fresh)


def place_rates(optimizer: Optimizer, device: torch.device | None) -> None:
    """Have the rates of an optimizer's groups in the memory of a device, where recorded updates read them; as plain
    numbers where device is None."""
    for group in optimizer.param_groups if takes_rate_tensor(optimizer) else ():
        lr = float(group["lr"])
        group["lr"] = lr if device is None else torch.tensor(lr, device=device)
        if "capturable" in group:
            group["capturable"] = device is not None
