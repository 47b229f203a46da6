"""The scoreboard's figure `cnn` in detail: the tutorial's network on MNIST, with memory, accuracy and the limit.

python benchmarks/bench.py --rounds 5 --keras .bench-keras/bin/python

Every round runs each script of `benchmarks/peers/` in a process of its own, in turn; the first epoch of each is left
out, since it warms up. Ratios are taken within a round, so that a slow minute slows both. The machine's limit is the
best rate of a large matrix product in float32 on as many threads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version

import torch
from figures import CNN, IMAGES, PEERS
from measuring import output

BATCH = 250
# Forward and backward of both convolutions and dense layers, a multiplication and an addition each; the first
# convolution has no gradient with respect to its input.
FLOPS_PER_IMAGE = 2 * (26 * 26 * 32 * 9 * 2 + 11 * 11 * 64 * 32 * 9 * 3 + 1600 * 256 * 3 + 256 * 10 * 3)


def gemm_rate(threads: int, size: int = 2048, seconds: float = 2.0) -> float:
    """FLOP/s of float32 matrix products: the best of many."""
    torch.set_num_threads(threads)
    a, b = torch.randn(size, size), torch.randn(size, size)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        a @ b
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def measured(python: str, script: str, epochs: int, threads: int, data: str) -> dict[str, float]:
    """Seconds of an epoch (the median, without the first), validation accuracy and peak memory of a script."""
    words = ["--epochs", str(epochs + 1), "--threads", str(threads), "--data", data]
    told = json.loads(output([python, str(PEERS / script), *words], threads).strip().splitlines()[-1])
    return {"seconds": statistics.median(told["epochs"][1:]), "accuracy": told["accuracy"], "mib": told["peak_mib"]}


def table(results: dict[str, list[dict[str, float]]], limits: list[float]) -> str:
    """The results in Markdown."""
    lines = [
        "| | seconds an epoch | images/s | against lrbench | peak MiB | accuracy |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, rounds in results.items():
        seconds = statistics.median(r["seconds"] for r in rounds)
        ratios = [r["seconds"] / ours["seconds"] for r, ours in zip(rounds, results["lrbench"], strict=True)]
        ratio = f"{statistics.median(ratios):.2f} × ({min(ratios):.2f} … {max(ratios):.2f})"
        memory = statistics.median(r["mib"] for r in rounds)
        accuracy = statistics.median(r["accuracy"] for r in rounds)
        against = "1" if name == "lrbench" else ratio
        lines.append(
            f"| {name} | {seconds:.1f} | {IMAGES / seconds:,.0f} | {against} | {memory:,.0f} | {accuracy:.2%} |"
        )
    limit = statistics.median(limits)
    used = [FLOPS_PER_IMAGE * IMAGES / r["seconds"] / peak for r, peak in zip(results["lrbench"], limits, strict=True)]
    lines += [
        "",
        f"Limit: {limit / 1e9:.0f} GFLOP/s in matrix products of 2048; an update of {BATCH} takes "
        f"{FLOPS_PER_IMAGE * BATCH / 1e9:.2f} GFLOP, so lrbench trains at {statistics.median(used):.2f} of the limit "
        f"({min(used):.2f} … {max(used):.2f}).",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=1, help="counted, after one that warms up")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--data", default=os.environ.get("LRBENCH_DATA"), required="LRBENCH_DATA" not in os.environ)
    parser.add_argument("--keras", help="a Python with keras and tensorflow")
    chosen = parser.parse_args()
    pythons = dict.fromkeys(CNN, sys.executable) | {"Keras on TensorFlow": chosen.keras}
    results: dict[str, list[dict[str, float]]] = {name: [] for name, python in pythons.items() if python}
    limits = []
    for number in range(chosen.rounds):
        limits.append(gemm_rate(chosen.threads))
        for name in results if number % 2 else reversed(list(results)):
            found = measured(pythons[name], CNN[name], chosen.epochs, chosen.threads, chosen.data)
            results[name].append(found)
            print(f"{name}: {found['seconds']:.2f} s, {found['accuracy']:.2%}, {found['mib']:.0f} MiB", file=sys.stderr)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "lightning"))
    print(
        f"{platform.processor() or platform.machine()}, {chosen.threads} threads; {packages}; {chosen.rounds} rounds\n"
    )
    print(table(results, limits))


if __name__ == "__main__":
    main()
