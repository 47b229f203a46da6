"""How near each operator of the tutorial CNN's step is to what the machine can do.

python benchmarks/roofline.py --threads 1 --clock cpu --rounds 7

In one process, on MNIST (LRBENCH_DATA) and as lrbench runs them: the batch, each layer forward and backward, the loss,
the gradient norm and the optimizer, and the step of the real training loop. An operator can take no less time than
its arithmetic takes at the speed of a large matrix product, or than it takes to read its inputs and to write its
outputs once at the speed of a copy of about that size. The longer of both is its bound. What it reads or writes
besides, such as a random mask or the places of maxima, doesn't count: a better form might do without. Nor does the
arithmetic of convolution outputs that pooling leaves out. The step's fraction of the peak is given with it, as
`bench.py` and other tools count it, and without.

Every round measures the peak, the bandwidth, each operator and the step, in turn, and takes the best of several calls
of each. Fractions are taken within a round, since a shared machine's speed changes from minute to minute. Where other
work waits for the same cores, `--clock cpu` counts processor time, which needs `--threads 1`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from bench import BATCH, FLOPS_PER_IMAGE
from torch import Tensor

import lrbench
from lrbench.components.models.cpu_ops import conv_pool, flat_linear, relu_dropout, unread
from lrbench.runs import RunFolder
from lrbench.training import Training
from lrbench.training.allocator import keep_freed_memory
from lrbench.training.kinds import PlainTraining
from lrbench.training.parts import Parts

Call = Callable[[], Any]
Clock = Callable[[], float]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
SIZES = (512, 1024, 2048)  # of the matrix products
DEFINED = FLOPS_PER_IMAGE * BATCH
VECTORS = (2**16, 2**18, 2**20, 2**22, 2**25)  # elements of the vectors that are copied, 256 KiB to 128 MiB


@dataclass(frozen=True)
class Operator:
    """A part of a step.

    Attributes:
        name: what it does.
        flops: multiplications and additions that its definition needs.
        moved: bytes of its inputs and outputs.
        call: does it once.
    """

    name: str
    flops: float
    moved: float
    call: Call

    def bound(self, peak: float, bandwidths: Mapping[int, float]) -> float:
        """The seconds that it takes at least, at a peak in FLOP/s and the bytes/s of copies of these sizes."""
        nearest = min(bandwidths, key=lambda size: abs(math.log(size / self.moved)))
        return max(self.flops / peak, self.moved / bandwidths[nearest])


def best(call: Call, clock: Clock, repeats: int) -> float:
    """The seconds of the fastest of several calls."""
    least = math.inf
    for _ in range(repeats):
        began = clock()
        call()
        least = min(least, clock() - began)
    return least


def peak(clock: Clock, repeats: int) -> dict[int, float]:
    """FLOP/s of matrix products of each size."""
    found = {}
    for size in SIZES:
        a, b, out = torch.randn(size, size), torch.randn(size, size), torch.empty(size, size)
        found[size] = 2 * size**3 / best(partial(torch.mm, a, b, out=out), clock, repeats)
    return found


def bandwidths(clock: Clock, repeats: int) -> dict[int, float]:
    """Bytes/s by the bytes that are moved: the better of a copy and of `c = a + 3 b`."""
    found = {}
    for elements in VECTORS:
        a, b, c = torch.ones(elements), torch.ones(elements), torch.ones(elements)
        copied = 2 * a.nbytes / best(partial(c.copy_, a), clock, repeats)
        added = 3 * a.nbytes / best(partial(torch.add, a, b, alpha=3, out=c), clock, repeats)
        found[2 * a.nbytes] = max(copied, added)
    return found


Layer = tuple[str, Callable[[Tensor], Tensor], list[Tensor], float]


def layers(model: Any, x: Tensor) -> list[Layer]:
    """Each layer of the network: its name, what it does, its weights, and its FLOPs per image, forward."""
    first, second, dense1, dense2 = model.conv1, model.conv2, model.dense1, model.dense2
    spare = unread(x, first, second, model.dropout)
    dropout = partial(relu_dropout, p=model.dropout, training=True)
    return [
        ("convolution 1, pooling", partial(conv_pool, first, spare=spare), list(first.parameters()), 2 * 24**2 * 288),
        ("ReLU, dropout 1", partial(dropout, spare=spare), [], 0),
        ("convolution 2, pooling", partial(conv_pool, second), list(second.parameters()), 2 * 10**2 * 64 * 288),
        ("ReLU, dropout 2", dropout, [], 0),
        ("dense 1", partial(flat_linear, dense1), list(dense1.parameters()), 2 * 1600 * 256),
        ("ReLU", F.relu, [], 0),
        ("dense 2", dense2, list(dense2.parameters()), 2 * 256 * 10),
    ]


def operators(parts: Parts, raw: Any) -> list[Operator]:
    """The parts of a step on a raw batch, in the order in which they run."""
    data, order = parts.data.train, torch.randperm(len(parts.data.train))
    x, targets = parts.batch(raw)
    forwards = [
        Operator("batch", 0, 2 * raw[0].nbytes + x.nbytes, lambda: parts.batch(next(data.batches(len(x), order))))
    ]
    backwards: list[Operator] = []
    for name, layer, weights, flops in layers(parts.model, x):
        inputs = x.detach().requires_grad_(bool(backwards))
        out = layer(inputs)
        wanted = [one for one in (inputs, *weights) if one.requires_grad]
        gradients = partial(torch.autograd.grad, out, wanted, torch.randn_like(out), retain_graph=True)
        held = sum(weight.nbytes for weight in weights)
        flops, products = flops * len(x), 1 + inputs.requires_grad
        forwards.append(Operator(f"{name}, forward", flops, x.nbytes + held + out.nbytes, partial(layer, inputs)))
        moved = out.nbytes + x.nbytes + held + sum(one.nbytes for one in wanted)
        backwards.append(Operator(f"{name}, backward", products * flops, moved, gradients))
        x = out
    logits = x.detach().requires_grad_()
    loss = lambda: parts.task.measure(lambda _: logits, (x, targets))[0].backward()  # noqa: E731
    forwards.append(Operator("loss and metrics, backward too", 0, 2 * x.nbytes, loss))
    return [*forwards, *reversed(backwards), *over_weights(parts)]


def over_weights(parts: Parts) -> list[Operator]:
    """What follows the backward pass: the gradient norm and the optimizer."""
    weights = list(parts.model.parameters())
    for weight in weights:
        weight.grad = torch.randn_like(weight) * 1e-3
    gradients, held = [weight.grad for weight in weights], sum(weight.nbytes for weight in weights)
    return [
        Operator("gradient norm", 0, held, lambda: torch.nn.utils.get_total_norm(gradients)),
        Operator("Adam", 0, 7 * held, lambda: parts.optimizer.step()),  # reads four vectors, writes three
    ]


def begun(root: str) -> Training:
    """A run of `configs/baseline.yaml` that is about to start."""
    config = Path(__file__).parent.parent / "configs" / "baseline.yaml"
    experiment = lrbench.load_config(config, overrides=["device=cpu"])
    folder = RunFolder(Path(root) / "run")
    folder.create(experiment, {})
    training = Training.begin(folder, experiment, PlainTraining(), lambda event: None)
    training.parts.training()
    return training


def one_round(parts: list[Operator], step: Call, clock: Clock, repeats: int) -> dict[str, Any]:
    """Measure everything once: FLOP/s, bytes/s, and the seconds of each operator and of the step."""
    before, moving = peak(clock, repeats), bandwidths(clock, repeats)
    seconds, steps = {}, []
    for number, one in enumerate(parts):
        seconds[one.name] = best(one.call, clock, repeats)
        if number % 6 == 0:
            steps.append(best(step, clock, repeats))
    after = peak(clock, repeats)
    peaks = {size: max(before[size], after[size]) for size in SIZES}
    return {"peaks": peaks, "bandwidths": moving, "seconds": seconds, "step": min(steps)}


def summary(parts: list[Operator], rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds, and the range of the fractions, which are taken within a round."""
    done = sum(one.flops for one in parts)
    peaks = [max(one["peaks"].values()) for one in rounds]
    rows = []
    for one in parts:
        bounds = [one.bound(p, r["bandwidths"]) for p, r in zip(peaks, rounds, strict=True)]
        taken = [r["seconds"][one.name] for r in rounds]
        limited = "arithmetic" if one.flops / statistics.median(peaks) >= statistics.median(bounds) * 0.99 else "memory"
        row = {"operator": one.name, "mflop": one.flops / 1e6, "mb": one.moved / 1e6, "limited_by": limited}
        fractions = spread([b / t for b, t in zip(bounds, taken, strict=True)])
        rows.append({**row, "bound_ms": 1e3 * spread(bounds)[0], "ms": 1e3 * spread(taken)[0], "fraction": fractions})
    return {
        "gemm_gflops": {size: spread([r["peaks"][size] / 1e9 for r in rounds]) for size in SIZES},
        "gb_per_second": {n: spread([r["bandwidths"][n] / 1e9 for r in rounds]) for n in rounds[0]["bandwidths"]},
        "operators": rows,
        "bound_ms": sum(row["bound_ms"] for row in rows),
        "sum_ms": 1e3 * spread([sum(r["seconds"].values()) for r in rounds])[0],
        "step_ms": [1e3 * ms for ms in spread([r["step"] for r in rounds])],
        "step_gflop": {"done": done / 1e9, "defined": DEFINED / 1e9},
        "fraction_of_peak": {
            name: spread([flops / p / r["step"] for p, r in zip(peaks, rounds, strict=True)])
            for name, flops in (("done", done), ("defined", DEFINED))
        },
    }


def spread(values: list[float]) -> list[float]:
    """The median, the least and the most."""
    return [statistics.median(values), min(values), max(values)]


def table(found: dict[str, Any]) -> str:
    """The summary in Markdown."""
    lines = [
        "| | MFLOP | MB | limited by | bound, ms | measured, ms | fraction |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    for row in found["operators"]:
        middle, least, most = row["fraction"]
        sizes = f"{row['mflop']:,.0f} | {row['mb']:.1f} | {row['limited_by']}"
        taken = f"{row['bound_ms']:.2f} | {row['ms']:.2f}"
        lines.append(f"| {row['operator']} | {sizes} | {taken} | {middle:.2f} ({least:.2f} … {most:.2f}) |")
    step, least, most = found["step_ms"]
    gflop, fractions = found["step_gflop"], found["fraction_of_peak"]
    of_peak = {name: f"{f:.2f} ({low:.2f} … {high:.2f})" for name, (f, low, high) in fractions.items()}
    products = ", ".join(f"{v[0]:.0f} ({size})" for size, v in found["gemm_gflops"].items())
    moving = ", ".join(f"{v[0]:.0f} ({size / 1e6:.1f} MB)" for size, v in found["gb_per_second"].items())
    return "\n".join(
        [
            *lines,
            f"| sum | {1e3 * gflop['done']:,.0f} | | | {found['bound_ms']:.1f} | {found['sum_ms']:.1f} | |",
            f"| the step of the real loop | | | | | {step:.1f} ({least:.1f} … {most:.1f}) | |",
            "",
            f"GFLOP/s of matrix products: {products}. GB/s: {moving}.",
            f"Of the best matrix product of its round, the step trains at {of_peak['defined']} by the network's "
            f"{gflop['defined']:.2f} GFLOP, and at {of_peak['done']} by the {gflop['done']:.2f} that are done.",
        ]
    )


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5, help="calls of which the fastest counts, in each round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--json", action="store_true", help="print the numbers instead of a table")
    chosen = parser.parse_args()
    if chosen.clock == "cpu" and chosen.threads > 1:
        parser.error("--clock cpu counts the time of all threads together: it needs --threads 1")
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()
    clock = CLOCKS[chosen.clock]
    with tempfile.TemporaryDirectory() as root:
        training = begun(root)
        size = training.experiment.batch_size
        batches = (
            batch for epoch in itertools.count() for batch in training.parts.data.training_batches(size, 0, epoch)
        )
        step = lambda: training.update([next(batches)])  # noqa: E731
        parts = operators(training.parts, next(batches))
        one_round(parts, step, clock, 2)
        rounds = []
        for _ in range(chosen.rounds):
            rounds.append(one_round(parts, step, clock, chosen.repeats))
            training.read_back()
        training.folder.close_logs()
    found = summary(parts, rounds)
    if chosen.json:
        print(json.dumps(found, indent=1))
        return
    machine = f"{platform.processor() or platform.machine()}, {chosen.threads} threads, {chosen.clock} time"
    print(f"{machine}; torch {torch.__version__}; {chosen.rounds} rounds\n\n{table(found)}")


if __name__ == "__main__":
    main()
