"""What every peer's script takes and tells, so that they can be set side by side."""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Sequence

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def arguments(about: str | None) -> argparse.Namespace:
    """--data, --epochs, --images, --threads, --clock, --seed and --device."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", default=os.environ.get("LRBENCH_DATA"), help="holds MNIST/raw")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=48_000, help="trained on; the last 12,000 of the file validate")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: processor time, of all threads")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu or cuda (where the script knows it)")
    chosen = parser.parse_args()
    chosen.now = CLOCKS[chosen.clock]
    if not chosen.data:
        parser.error("--data, or LRBENCH_DATA, must name a folder with MNIST/raw")
    return chosen


def report(epochs: Sequence[float], accuracy: float) -> None:
    """Print the seconds of each epoch of training, the validation accuracy, and the peak memory, as a line of JSON."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"epochs": list(epochs), "accuracy": accuracy, "peak_mib": peak}))
