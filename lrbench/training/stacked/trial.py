"""Whether runs are stacked: the same results in a trial, a faster step, and how many fit into memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor

from lrbench.config import Experiment
from lrbench.errors import LrbenchError, reason_of
from lrbench.training.build import build
from lrbench.training.device import resolve_device
from lrbench.training.parts import Parts
from lrbench.training.recorded import updates_of
from lrbench.training.run_one import WorkItem
from lrbench.training.stacked import remembered
from lrbench.training.stacked.batches import stacked_batches, takes
from lrbench.training.stacked.family import LEAST_STEPS
from lrbench.training.stacked.optimizer import supported
from lrbench.training.stacked.program import Program
from lrbench.training.update import gradient, step_taken

LEAST_GAIN = 1.3  # times as fast as one by one
TOLERANCE = 1e-3  # of a gradient's largest element, and of loss and norm, at the first step
ROUNDS, STEPS = 3, 8
ROUND_SECONDS = 0.3  # about the time of a round, if it has more than one step
SLOW = 0.02  # seconds of a single step, most of which is arithmetic, so that stacking can gain little
_MEMORY = 0.25  # of what is free
_COPIES = 3  # of what the forward pass saves: its gradients and what the stacked operations copy


def _stacks(count: int, most: int) -> str:
    return "one stack" if most >= count else f"stacks of {most}"


@dataclass(frozen=True)
class Verdict:
    """How many runs to train together, 0 for none, and what to tell the user, if anything."""

    most: int
    said: str | None = None


def judged(items: Sequence[WorkItem]) -> Verdict:
    """Decide whether runs of a family are trained as a stack."""
    experiments = [item.experiment for item in items if isinstance(item.experiment, Experiment)]
    always = all(item.stack == "yes" for item in items)
    count = len(items)
    device = resolve_device(experiments[0].device)
    try:
        trial = Trial.of(experiments, device)
        if not always and trial.steps * count < LEAST_STEPS:
            return Verdict(0)
        refused = trial.refused()
        if refused is not None:
            return Verdict(0, f"not stacked: {refused}")
        most = min(trial.most(), count)
        if most < 2:
            return Verdict(0, "not stacked: the memory takes one run at a time")
        if always:
            return Verdict(most, f"training {count} runs as {_stacks(count, most)}")
        gain = remembered.gain(_key(items[0], most, device), lambda: trial.gain(most))
    except LrbenchError:  # training alone will report it
        return Verdict(0)
    fast = f"{gain:.1f} times as fast in a trial"
    if gain < LEAST_GAIN:
        return Verdict(0, f"not stacked: stacks were only {fast}")
    return Verdict(most, f"training {count} runs as {_stacks(count, most)}: {fast}")


def _key(item: WorkItem, count: int, device: torch.device) -> str:
    """Return what a measured gain depends on besides the machine."""
    threads = torch.get_num_threads()
    return f"{item.family} {count.bit_length()} {device} {threads}"


@dataclass
class Trial:
    """A trial with two runs of a family, built for it: `alone` and `stacked` have the same weights.

    Attributes:
        experiments: of the two runs.
        alone, stacked: their parts.
    """

    experiments: Sequence[Experiment]
    alone: list[Parts]
    stacked: list[Parts]

    @classmethod
    def of(cls, experiments: Sequence[Experiment], device: torch.device) -> Trial:
        """Build the parts of the first and the last experiment. Raises the same errors as `build`."""
        two = [experiments[0], experiments[-1]]
        return cls(two, [build(one, device) for one in two], [build(one, device) for one in two])

    @property
    def limit(self) -> float | None:
        """The norm that gradients are clipped to."""
        return self.experiments[0].clip_grad_norm

    @property
    def steps(self) -> int:
        """The steps of a run."""
        return self.alone[0].total_steps

    def refused(self) -> str | None:
        """Return why the runs can't be stacked; None if a stacked step has the same gradients as single ones."""
        parts = self.alone[0]
        if not takes(parts.data):
            return "the data is not in memory, or augmented"
        if not all(supported(each.optimizer) and each.stages is None for each in self.alone):
            return "the optimizer has groups of weights, or a switch, that a stack can't have"
        if next(parts.model.buffers(), None) is not None:
            return "the model has buffers, such as running statistics"
        if not all(weight.requires_grad and weight.dtype == torch.float32 for weight in parts.model.parameters()):
            return "some weights are frozen, or not float32"
        try:
            return None if self._same() else "the results of a trial step differ"
        except Exception as error:  # whatever torch.vmap can't do
            return f"torch.vmap can't evaluate the model ({reason_of(error)[:120]})"

    def _same(self) -> bool:
        program = self._program(self.stacked)
        batch = next(self._batches(2))
        gradients, measured = program.gradient(batch)
        for row, (parts, generator) in enumerate(zip(self.alone, _generators(2), strict=True)):
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(generator.get_state())
                parts.training()
                single = gradient(parts, [_raw(parts, self.experiments[row])], self.limit)
            own = torch.cat([weight.grad.reshape(-1) for weight in parts.model.parameters() if weight.grad is not None])
            if len(own) != gradients.shape[1] or not _close(own, gradients[row]) or not _close(single, measured[row]):
                return False
        return True

    def most(self) -> int:
        """Return how many runs fit into a fraction of the free memory."""
        parts = self.alone[0]
        saved = 0

        def note(tensor: Tensor) -> Tensor:
            nonlocal saved
            saved += tensor.nbytes
            return tensor

        with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            gradient(parts, [_raw(parts, self.experiments[0])], None)
        weights = sum(weight.nbytes for weight in parts.model.parameters())
        return int(_free(parts.device) * _MEMORY / (_COPIES * saved + 6 * weights))

    def gain(self, count: int) -> float:
        """Measure how many times as fast a step is in a stack of so many runs; 1 if it is slow alone."""
        parts = self.alone[0]
        raw = _raw(parts, self.experiments[0])
        parts.training()
        recorded = updates_of(self.experiments[0], parts)

        def single() -> None:
            if recorded is not None:
                recorded(raw)
            else:
                step_taken(parts, gradient(parts, [raw], self.limit), check=False)

        once = _seconds(single, parts.device, 1)
        if once > SLOW:
            return 1.0
        steps = max(min(int(ROUND_SECONDS / (once * count)), STEPS), 1)
        program = self._program([self.stacked[number % 2] for number in range(count)])
        batch = next(self._batches(count))
        alone, together = [], []
        for _ in range(ROUNDS):
            alone.append(_seconds(single, parts.device, steps))
            together.append(_seconds(lambda: program.update(batch), parts.device, steps))
        return min(alone) * count / min(together)

    def _program(self, parts: list[Parts]) -> Program:
        return Program(parts, _generators(len(parts)), self.limit)

    def _batches(self, count: int) -> Any:
        runs = [(self.experiments[number % 2], 0) for number in range(count)]
        return stacked_batches(self.alone[0].data, runs, 0)


def _generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def _raw(parts: Parts, experiment: Experiment) -> Any:
    drop_last = bool(experiment.drop_last)
    return next(parts.data.training_batches(experiment.batch_size, experiment.seed, 0, drop_last=drop_last))


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * float(one.abs().max()))


def _seconds(act: Callable[[], object], device: torch.device, steps: int) -> float:
    """Return the seconds of a few calls: on one thread those of its processor, which other processes don't change."""
    clock = time.thread_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    act()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = clock()
    for _ in range(steps):
        act()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - began


def _free(device: torch.device) -> int:
    """Return the bytes of free memory that this process may count on: on the CPU, its share by threads."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    share = min(torch.get_num_threads() / (psutil.cpu_count() or 1), 1.0)
    return int(psutil.virtual_memory().available * share)
