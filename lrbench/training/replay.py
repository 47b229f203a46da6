"""Gradients on a CPU computed by replaying torch's operations: without modules, autograd and their bookkeeping.

Most of a small model's step is the overhead of Python and autograd. A step is recorded once as the list of operations
that it came to, forward and backward, and then replayed from that list. The same kernels do the same arithmetic on
the same random numbers, so the results are those of a plain step, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import TensorWeakRef

from lrbench.components import Batch, Tensors
from lrbench.config import Experiment
from lrbench.training.fused import FusedStep
from lrbench.training.parts import Parts
from lrbench.training.update import buffers_of, gradient, steps_alike

Names = Mapping[str, Any]


class NotReplayable(Exception):
    """A computation does something that a list of operations can't repeat."""


@dataclass
class _Line:
    """A call of an operation: `target = function(arguments)`, with variables for the tensors it reads and gives."""

    function: Any
    arguments: str
    reads: list[str]
    outputs: list[str]
    target: str
    view: bool


@dataclass
class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operations of a computation while it runs.

    Attributes:
        inputs: the tensors that differ from one replay to the next, by name.
    """

    inputs: dict[str, Tensor]
    lines: list[_Line] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    known: dict[int, tuple[str, TensorWeakRef]] = field(default_factory=dict)
    turned: dict[str, str] = field(default_factory=dict)
    made: int = 0

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        for name, tensor in self.inputs.items():
            self._know(tensor, name)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here. To skip torch's compiler, torch would import it, which takes as long as itself."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and note it. Raises NotReplayable."""
        given = kwargs or {}
        reads: list[str] = []
        words = [self._written(value, reads) for value in args]
        words += [f"{name}={self._written(value, reads)}" for name, value in given.items()]
        found = func(*args, **given)
        if func is torch.ops.aten.detach.default:
            self._know(found, reads[0])
        elif func.is_view and isinstance(found, Tensor) and all(name in self.constants for name in reads):
            self._know(found, self._constant(found))  # weights keep their places, so views of them do too
        elif func is torch.ops.aten.t.default and reads[0] in self.turned:
            self._know(found, self.turned[reads[0]])
        elif func.namespace != "profiler":
            function = getattr(func, "_op", func)  # without the checks of a first call
            outputs = [self._output(one) for one in (found if isinstance(found, tuple | list) else [found])]
            target = ", ".join(outputs) + ("," if isinstance(found, tuple | list) else "")
            self.lines.append(_Line(function, ", ".join(words), reads, outputs, target, func.is_view))
            if func is torch.ops.aten.t.default:
                self.turned[outputs[0]] = reads[0]
        return found

    def name(self, tensor: Tensor) -> str:
        """Return the name of a tensor; one that no operation has made is a constant, such as a weight."""
        name, reference = self.known.get(id(tensor), ("", None))
        if reference is None or reference() is not tensor:
            name = self._constant(tensor)
            self._know(tensor, name)
        return name

    def _know(self, tensor: Tensor, name: str) -> None:
        self.known[id(tensor)] = name, TensorWeakRef(tensor)

    def _constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def _output(self, found: Any) -> str:
        if isinstance(found, Tensor):
            name, reference = self.known.get(id(found), ("", None))
            if reference is not None and reference() is found:
                return name  # changed in place
            self.made += 1
            self._know(found, f"v{self.made}")
            return f"v{self.made}"
        if found is not None:
            raise NotReplayable(f"an operation gives a {type(found).__name__}")
        return "_"

    def _written(self, value: Any, reads: list[str]) -> str:
        if isinstance(value, Tensor):
            reads.append(self.name(value))
            return reads[-1]
        if isinstance(value, list | tuple):
            return f"[{', '.join(self._written(one, reads) for one in value)}]"
        if value is None or isinstance(value, bool | int):
            return repr(value)
        if isinstance(value, torch.SymInt | torch.SymFloat):
            raise NotReplayable("a size is not a number")
        return self._constant(value)

    def function(self, results: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
        """Return a function of the inputs that computes these tensors again; it frees others as soon as it can."""
        names = [self.name(tensor) for tensor in results]
        read = {*names, *(name for line in self.lines for name in line.reads)}
        self.lines = [line for line in self.lines if not line.view or any(name in read for name in line.outputs)]
        functions = {f"f{number}": line.function for number, line in enumerate(self.lines)}
        body = [*self._body({*names, *self.inputs, *self.constants}), f"return [{', '.join(names)}]"]
        held = ", ".join(f"{name}={name}" for name in (*functions, *self.constants))
        text = f"def replay({', '.join(self.inputs)}, *, {held}):\n" + "".join(f"    {line}\n" for line in body)
        scope: dict[str, Any] = {**functions, **self.constants}
        exec(compile(text, "<replayed step>", "exec"), scope)
        found: Callable[..., Sequence[Tensor]] = scope["replay"]
        return found

    def _body(self, kept: set[str]) -> Iterator[str]:
        last = {name: number for number, line in enumerate(self.lines) for name in (*line.reads, *line.outputs)}
        for number, line in enumerate(self.lines):
            yield f"{line.target} = f{number}({line.arguments})" if line.outputs else f"f{number}({line.arguments})"
            over = sorted({name for name in (*line.reads, *line.outputs) if last[name] == number} - kept - {"_"})
            if over:
                yield f"del {', '.join(over)}"


ENABLED = True
MOST_WEIGHTS = 10_000_000  # the arithmetic of a larger model takes much longer than what is saved


def replayable(experiment: Experiment, parts: Parts) -> bool:
    """Return whether every step on a CPU is known to be the same operations for every batch of a shape.

    This needs what `steps_alike` does, data in memory, a task whose loss and metrics are built in, and a model that
    is not too large: a model of lrbench, a model class with `cuda_graph = True`, or any made only of torch's own
    modules, without hooks.
    """
    model = parts.model
    data = parts.data.pairs and isinstance(parts.data.train, Tensors)
    known = not experiment.model.imported or getattr(model, "cuda_graph", False) or _only_of_torch(model)
    small = sum(weight.numel() for weight in model.parameters()) <= MOST_WEIGHTS
    steady = steps_alike(experiment, parts) and parts.task.replayable
    return ENABLED and parts.device.type == "cpu" and data and known and small and steady


def _only_of_torch(model: nn.Module) -> bool:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return all(
        type(module).__module__.startswith("torch.nn.modules.") and not any(getattr(module, name) for name in hooks)
        for module in model.modules()
    )


Computation = Callable[..., Sequence[Tensor]]
State = Callable[[], tuple[list[Tensor], Callable[[], None]]]


class Replays:
    """A computation that is recorded once for each shape of its inputs, and then replayed.

    The first time that inputs have a shape, the computation is recorded while it runs. The second time, it is done both
    ways. If the results differ in a single bit, or if it can't be recorded, it is never replayed for this shape.

    Args:
        compute: a function of tensors that gives tensors.
        state: gives the tensors that it changes besides, and a function that changes them back.
    """

    def __init__(self, compute: Computation, state: State = lambda: ([], lambda: None)) -> None:
        self.compute, self.state = compute, state
        self.recorded: dict[tuple[torch.Size, ...], Computation | None] = {}
        self.checked: dict[tuple[torch.Size, ...], Computation] = {}

    def find(self, inputs: Sequence[Tensor]) -> Computation | None:
        """Return the replay for inputs of such shapes, to be called without autograd; None if there is none yet."""
        return self.checked.get(tuple([one.shape for one in inputs]))

    def __call__(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Do the computation, and record or check its replay."""
        shapes = tuple([one.shape for one in inputs])
        if shapes not in self.recorded:
            found, self.recorded[shapes] = self._record(inputs)
            return found
        replay = self.recorded[shapes]
        if replay is None:
            return self.compute(*inputs)
        _, undo = self.state()
        with torch.inference_mode():
            replayed = [*replay(*inputs), *self.state()[0]]
        undo()
        found = self.compute(*inputs)
        wanted = [*found, *self.state()[0]]
        if len(wanted) == len(replayed) and all(map(torch.equal, wanted, replayed)):
            self.checked[shapes] = replay
        else:
            self.recorded[shapes] = None
        return found

    def _record(self, inputs: Sequence[Tensor]) -> tuple[Sequence[Tensor], Computation | None]:
        recorder = Recorder({f"x{number}": one for number, one in enumerate(inputs)})
        _, undo = self.state()
        try:
            with recorder:
                found = self.compute(*inputs)
            return found, recorder.function(found)
        except NotReplayable:
            undo()
            return self.compute(*inputs), None


class ReplayedUpdates:
    """Training steps whose gradients are replayed.

    Args:
        parts: the model, the loss, the optimizer and the data's preparation.
        limit: the norm to clip the gradient to; None for no clipping.
    """

    def __init__(self, parts: Parts, limit: float | None) -> None:
        self.parts, self.limit = parts, limit
        self.replays = Replays(self._compute, self._state)
        self.trained: list[Tensor] = []
        self.step: FusedStep | None = None
        self.without_autograd = torch.inference_mode()

    def __call__(self, batch: Batch) -> Tensor:
        """Do one step; returns the same as `gradient`."""
        replay = self.replays.find(batch)
        if replay is None:
            measured = self.replays(batch)[0]
            self.parts.optimizer.step()
            return measured
        if self.step is None:
            self.step = FusedStep.of(self.parts.optimizer, self.trained)
        if self.step is not None:
            with self.without_autograd:
                measured, *gradients = replay(*batch)
                self.step(gradients)
            return measured
        with torch.no_grad():
            measured, *gradients = replay(*batch)
        for weight, found in zip(self.trained, gradients, strict=True):
            weight.grad = found
        self.parts.optimizer.step()
        return measured

    def _compute(self, inputs: Tensor, targets: Tensor) -> Sequence[Tensor]:
        """Compute the gradient of a batch into the weights; return what `gradient` does, and the gradients."""
        measured = gradient(self.parts, [(inputs, targets)], self.limit)
        weights = [weight for group in self.parts.optimizer.param_groups for weight in group["params"]]
        self.trained = [weight for weight in weights if weight.grad is not None]
        return [measured, *(weight.grad for weight in self.trained if weight.grad is not None)]

    def _state(self) -> tuple[list[Tensor], Callable[[], None]]:
        buffers, random = buffers_of(self.parts.model), torch.get_rng_state()

        def undo() -> None:
            for name, buffer in self.parts.model.named_buffers():
                buffer.copy_(buffers[name])
            torch.set_rng_state(random)

        return [*buffers.values(), random], undo
