"""What `lrbench.record` costs a training: microseconds per step, files included, and the time of its import.

Times are of the processor, so that other programs on the machine change little. The scoreboard measures `of_lrbench`
beside the functions after it, which write the same two numbers with other tools.

Usage: python benchmarks/recorder.py [--steps 200000]
"""

from __future__ import annotations

import argparse
import csv
import itertools
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


def of_lrbench(steps: int) -> float:
    """Microseconds of a step."""
    with tempfile.TemporaryDirectory() as folder, lrbench.record("bench", runs=folder) as run:
        found = microseconds(lambda: run.step(lr=0.1, loss=0.5), steps)
        run.evaluate(val_loss=1.0)
    return found


def record(folder: str, steps: int, evaluations: int = 20) -> None:
    """Record a long run, whose loss falls."""
    with lrbench.record("long", runs=folder) as run:
        for step in range(1, steps + 1):
            loss = 2.0 / (1 + step / steps) + 0.1 * (step * 0.618 % 1)
            run.step(lr=0.1 * (1 - step / steps), loss=loss)
            if step % (steps // evaluations) == 0:
                run.evaluate(val_loss=loss)


def of_csv(steps: int) -> float:
    """The least that such a file costs: no flushing, no folder that others can read meanwhile."""
    count = itertools.count(1)
    with tempfile.TemporaryFile("w", newline="") as file:
        writer = csv.writer(file)
        return microseconds(lambda: writer.writerow([next(count), 0.1, 0.5]), steps)


def of_tensorboard(steps: int) -> float:
    """TensorBoard's writer, as torch gives it."""
    from torch.utils.tensorboard import SummaryWriter

    count = itertools.count(1)
    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:

        def step() -> None:
            number = next(count)
            writer.add_scalar("lr", 0.1, number)
            writer.add_scalar("loss", 0.5, number)

        return microseconds(step, steps)


def of_mlflow(steps: int) -> float:
    """MLflow with a database in a file."""
    import mlflow

    count = itertools.count(1)
    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.create_experiment("bench", artifact_location=f"file://{folder}/artifacts")
        mlflow.set_experiment("bench")
        with mlflow.start_run():
            return microseconds(lambda: mlflow.log_metrics({"lr": 0.1, "loss": 0.5}, step=next(count)), steps)


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
