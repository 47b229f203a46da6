"""What a CUDA device gives: recorded updates, layouts, precisions, several runs at once, compiled models used again.

python benchmarks/gpu.py --rounds 5

Needs a GPU, and MNIST in LRBENCH_DATA. Every part alternates what it compares, and prints medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import lrbench
from lrbench.components.models import nets
from lrbench.runs import RunFolder
from lrbench.training import Training, cuda_graphs

HERE = Path(__file__).parent
CONFIGS = HERE.parent / "configs"


def trained(root: str, config: Path, *, epochs: int, **keys: Any) -> tuple[list[float], Path]:
    """The seconds of each epoch of a run in this process, and its folder."""
    asked = [f"epochs={epochs}", "device=cuda", *(f"{key}={value}" for key, value in keys.items())]
    (outcome,) = lrbench.run([config], overrides=asked, runs=tempfile.mkdtemp(dir=root))
    lines = (outcome.path / "epochs.csv").read_text().splitlines()
    column = lines[0].split(",").index("seconds")
    return [float(line.split(",")[column]) for line in lines[1:]], outcome.path


def recording(root: str, rounds: int) -> None:
    """An epoch with updates recorded and not, in both layouts and all precisions."""
    print("\n| config | way | s an epoch | images/s |\n| --- | --- | ---: | ---: |")
    baseline = CONFIGS / "baseline.yaml"
    ways: dict[str, tuple[Path, dict[str, Any], bool, Any]] = {
        "recorded": (baseline, {}, True, torch.channels_last),
        "plain": (baseline, {}, False, torch.channels_last),
        "recorded, default layout": (baseline, {}, True, torch.contiguous_format),
        "recorded, tf32": (baseline, {"precision": "tf32"}, True, torch.channels_last),
        "recorded, bf16": (baseline, {"precision": "bf16"}, True, torch.channels_last),
        "resnet20 recorded": (baseline, {"model": "resnet20"}, True, None),
        "resnet20 plain": (baseline, {"model": "resnet20"}, False, None),
        "resnet20 recorded, tf32": (baseline, {"model": "resnet20", "precision": "tf32"}, True, None),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (config, keys, enabled, layout) in ways.items():
            cuda_graphs.ENABLED = enabled
            if layout is not None:
                nets.Cnn.memory_format = layout
            epochs, _ = trained(root, config, epochs=3, **keys)
            seconds[way].append(statistics.median(epochs[1:]))
    cuda_graphs.ENABLED, nets.Cnn.memory_format = True, torch.channels_last
    for way, (config, *_) in ways.items():
        middle = statistics.median(seconds[way])
        print(f"| {config.stem} | {way} | {middle:.3f} | {48_000 / middle:,.0f} |")


def where(root: str) -> None:
    """What the parts of a run take."""
    spent: dict[str, float] = {}

    def timed(owner: Any, name: str) -> None:
        plain: Callable[..., Any] = getattr(owner, name)

        def call(*words: Any, **keys: Any) -> Any:
            began = time.perf_counter()
            try:
                return plain(*words, **keys)
            finally:
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - began

        setattr(owner, name, call)

    for name in ("run_epoch", "evaluate", "conclude", "checkpoint"):
        timed(Training, name)
    timed(RunFolder, "save_best")
    began = time.perf_counter()
    trained(root, CONFIGS / "baseline.yaml", epochs=25)
    spent["all"] = time.perf_counter() - began
    print("\n25 epochs, seconds:", {name: round(value, 2) for name, value in spent.items()})


def at_once(root: str, counts: list[int]) -> None:
    """The same runs with so many at once, as whole commands."""
    print("\n| runs at once | s for 16 runs of 5 epochs |\n| ---: | ---: |")
    for jobs in counts:
        command = [sys.executable, "-m", "lrbench", "run", str(CONFIGS / "baseline.yaml"), "--seeds", "16"]
        command += ["--jobs", str(jobs), "--set", "epochs=5", "--device", "cuda", "--runs", tempfile.mkdtemp(dir=root)]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        took = time.perf_counter() - began
        print(f"| {jobs} | {took:.1f} |" if done.returncode == 0 else done.stderr[-2000:], flush=True)


def compiled(root: str) -> None:
    """The first epoch of runs with `compile`, one after another in one process."""
    first = [trained(root, CONFIGS / "baseline.yaml", epochs=2, compile="true", seed=seed)[0] for seed in range(3)]
    print(
        "\ncompile: true, seconds of the first and second epoch of three runs:",
        [[round(s, 3) for s in e] for e in first],
    )


def tutorial(rounds: int) -> None:
    """lrbench beside the PyTorch tutorial loop, in processes of their own."""
    seconds: dict[str, list[float]] = {"lrbench_run.py": [], "torch_tutorial.py": []}
    for _ in range(rounds):
        for script, found in seconds.items():
            words = [sys.executable, str(HERE / "peers" / script), "--epochs", "3", "--device", "cuda"]
            done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ)
            found.append(statistics.median(json.loads(done.stdout.splitlines()[-1])["epochs"][1:]))
    ours, theirs = seconds.values()
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    print(
        f"\nan epoch: lrbench {statistics.median(ours):.3f} s, tutorial loop {statistics.median(theirs):.2f} s: "
        f"{statistics.median(ratios):.1f} × ({ratios[0]:.1f} … {ratios[-1]:.1f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as root:
        recording(root, chosen.rounds)
        where(root)
        tutorial(max(chosen.rounds // 2, 1))
        at_once(root, [1, 2, 4, 8])
        compiled(root)


if __name__ == "__main__":
    main()
