"""What `lrbench.record` costs a training: microseconds per step, files included, and the time of its import.

Times are of the processor, so that other programs on the machine change little.

Usage: python benchmarks/recorder.py [--steps 200000]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import torch

import lrbench


def microseconds(step: Callable[[], None], steps: int) -> float:
    """The median of five rounds."""
    found = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(steps // 5):
            step()
        found.append(1e6 * (time.process_time() - began) / (steps // 5))
    return statistics.median(found)


def cases(run: lrbench.integrations.Recorder, device: str) -> dict[str, Callable[[], None]]:
    weights = [torch.nn.Parameter(torch.ones(1, device=device)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": weights[:1]}, {"params": weights[1:]}], lr=0.1)
    loss = 2 * weights[0].sum()
    return {
        "two floats": lambda: run.step(lr=0.1, loss=0.5),
        f"loss as a tensor ({device})": lambda: run.step(lr=0.1, loss=loss),
        f"two more values ({device})": lambda: run.step(lr=0.1, loss=loss, grad_norm=loss, momentum=0.9),
        f"an optimizer with two groups ({device})": lambda: run.step(optimizer, loss=loss),
    }


def milliseconds_of(program: str) -> float:
    """The shortest time of five processes."""
    found = []
    for _ in range(5):
        began = sum(os.times()[2:4])  # of child processes
        subprocess.run([sys.executable, "-c", program], check=True)
        found.append(1e3 * (sum(os.times()[2:4]) - began))
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200_000)
    steps = parser.parse_args().steps
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        with tempfile.TemporaryDirectory() as folder, lrbench.record("bench", runs=folder) as run:
            for name, step in cases(run, device).items():
                print(f"{name:44} {microseconds(step, steps):6.1f} µs a step")
            run.evaluate(val_loss=1.0)
    python, record = milliseconds_of("pass"), milliseconds_of("import lrbench; lrbench.record; lrbench.param")
    print(f"{'import of lrbench.record':44} {record - python:6.0f} ms")


if __name__ == "__main__":
    main()
