"""Several models trained by one program: their weights as the rows of one tensor, each with its run's optimizer."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch.func import functional_call

from lrbench.components import Batch
from lrbench.errors import RunError
from lrbench.training.parts import Parts
from lrbench.training.replay import Replays
from lrbench.training.stacked.masks import Site, drawn, given, sites_of
from lrbench.training.stacked.optimizer import StackedOptimizer


class Program:
    """The update of several runs at once.

    From its creation on, the weights of each run's own model are views of `weights`, so that it can be evaluated and
    saved as ever. The states of the optimizers are in `optimizer` until they are handed back.

    Args:
        runs: the parts of each run, which differ in nothing but weights and the optimizer's settings.
        generators: each run's random generator.
        limit: the norm to clip each run's gradient to; None for no clipping.
    """

    def __init__(
        self, runs: Sequence[Parts], generators: Sequence[torch.Generator], limit: float | None = None
    ) -> None:
        self.runs, self.generators, self.limit = list(runs), list(generators), limit
        first = self.runs[0]
        self.names = [name for name, _ in first.model.named_parameters()]
        self.shapes = [parameter.shape for parameter in first.model.parameters()]
        ends = accumulate((math.prod(shape) for shape in self.shapes), initial=0)
        self.spans = [slice(begin, end) for begin, end in pairwise(ends)]
        rows = [[p.detach().reshape(-1) for p in parts.model.parameters()] for parts in self.runs]
        self.weights = torch.stack([torch.cat(row) for row in rows])
        optimizers = [parts.optimizer for parts in self.runs]
        self.optimizer = StackedOptimizer(optimizers, self.spans, self.weights.shape[1])
        self.model = copy.deepcopy(first.model).train()
        self.sites: dict[torch.Size, list[Site]] = {}
        self._measured = torch.vmap(self._measure)
        self._bind()

    def _bind(self) -> None:
        """Make views of the weights: each run's parameters, and the stacked ones that gradients are taken of."""
        views = list(zip(self.spans, self.shapes, strict=True))
        count = len(self.runs)
        self.leaves = [self.weights[:, span].view(count, *shape).requires_grad_() for span, shape in views]
        for row, parts in enumerate(self.runs):
            for parameter, (span, shape) in zip(parts.model.parameters(), views, strict=True):
                parameter.data = self.weights[row, span].view(shape)
        self.replays = Replays(self._compute)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only some runs."""
        chosen = torch.tensor(rows, dtype=torch.int64, device=self.weights.device)
        self.runs = [self.runs[row] for row in rows]
        self.generators = [self.generators[row] for row in rows]
        self.weights = self.weights[chosen]
        self.optimizer.keep(chosen)
        self._bind()

    def gradient(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the gradients of each run's loss on its own batch.

        Args:
            batch: prepared inputs and targets, each (runs, examples, …).

        Returns:
            The gradients (runs, weights), and for each run what `lrbench.training.update.gradient` returns of one,
            (runs, 3 + sums).
        """
        sites = self._sites(batch)
        inputs = [*batch, *(drawn(sites, self.generators) if sites else [])]
        if self.weights.device.type != "cpu":
            gradients, measured = self._compute(*inputs)
            return gradients, measured
        replay = self.replays.find(inputs)
        if replay is None:
            gradients, measured = self.replays(inputs)
        else:
            with torch.inference_mode():
                gradients, measured = replay(*inputs)
        return gradients, measured

    def _compute(self, inputs: Tensor, targets: Tensor, *masks: Tensor) -> list[Tensor]:
        """Compute what `gradient` returns, without random numbers."""
        sites = self._sites((inputs, targets))
        losses, counts, sums = self._measured(self.leaves, (inputs, targets), list(masks), sites=sites)
        if not losses.requires_grad:
            raise RunError("the loss does not require grad")
        gradients = torch.empty_like(self.weights)
        for span, found in zip(self.spans, torch.autograd.grad(losses.sum(), self.leaves), strict=True):
            gradients[:, span].view(found.shape).copy_(found)
        norms = torch.linalg.vector_norm(gradients, dim=1)
        if self.limit is not None:  # as torch.nn.utils.clip_grad_norm_ does
            gradients.mul_((self.limit / (norms + 1e-6)).clamp_(max=1.0)[:, None])
        columns = [losses.detach(), norms, counts]
        return [gradients, torch.cat([torch.stack(columns, 1), sums.to(losses.dtype)], 1)]

    def update(self, batch: Batch) -> Tensor:
        """Do a step of each run, at the learning rates in their optimizers; returns the measurements of `gradient`."""
        gradients, measured = self.gradient(batch)
        self.optimizer.step(self.weights, gradients)
        return measured

    def _measure(
        self, leaves: list[Tensor], batch: tuple[Tensor, Tensor], masks: list[Tensor], sites: list[Site]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return a run's loss, what that divides by, and the task's sums."""
        weights, task = dict(zip(self.names, leaves, strict=True)), self.runs[0].task
        count = task.count(batch)
        with given(masks, sites):
            loss, sums = task.measure(lambda inputs: functional_call(self.model, weights, (inputs,)), batch)
        counted = count.to(loss.dtype) if isinstance(count, Tensor) else torch.full_like(loss.detach(), count)
        return loss, counted, sums

    def _sites(self, batch: Batch) -> list[Site]:
        """Return the places where a run draws masks for a batch of this shape."""
        inputs, targets = batch
        if inputs.shape[1:] not in self.sites:
            parts = self.runs[0]
            twin, single = copy.deepcopy(self.model), inputs[0]
            if parts.layout is not None and single.dim() == 4:
                twin, single = twin.to(memory_format=parts.layout), single.contiguous(memory_format=parts.layout)
            self.sites[inputs.shape[1:]] = sites_of(lambda: parts.task.measure(twin, (single, targets[0])))
        return self.sites[inputs.shape[1:]]
