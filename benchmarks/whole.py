"""What the tool costs beside the training: the runner, start-up, growth; and six runs as one command.

python benchmarks/whole.py overhead help growth six --rounds 5

overhead: lrbench's updates against those of a bare loop over the same model and tensors, in turn.
help: `lrbench --help` against a bare typer program with the same commands.
growth: ten times the runs, or the epochs, on digits.
six: six of the tutorial's configs with `--jobs 2`, against the PyTorch tutorial loop six times, start-up counted.
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
from pathlib import Path

import torch

import lrbench
from lrbench.runs import RunFolder
from lrbench.training import Training
from lrbench.training.allocator import keep_freed_memory
from lrbench.training.build import assemble
from lrbench.training.device import resolve_device

HERE = Path(__file__).parent
CONFIGS = HERE.parent / "configs"
SIX = ("baseline", "too_large", "large", "too_small", "step_decay", "cyclical")
BARE = """
import typer
app = typer.Typer()
for name in ("run", "sweep", "find-lr", "report", "preview", "list"):
    app.command(name)(lambda configs: None)
app()
"""


def command(*words: str) -> float:
    """The seconds that a command of lrbench takes."""
    return seconds([sys.executable, "-m", "lrbench", *words])


def seconds(words: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    return time.perf_counter() - began


def overhead(root: str) -> tuple[float, float]:
    """Seconds of an epoch's updates: lrbench's, a bare loop's; update by update in turn, as minutes differ here."""
    keep_freed_memory()
    experiment = lrbench.load_config(CONFIGS / "baseline.yaml", overrides=["device=cpu"])
    folder = RunFolder(Path(tempfile.mkdtemp(dir=root)) / "run")
    folder.create(experiment, {})
    training = Training.begin(folder, experiment, lambda event: None)
    training.parts.training()
    parts = assemble(experiment, resolve_device("cpu"))
    model, optimizer = parts.model.train(), parts.optimizer
    inputs, targets = parts.data.train.inputs, parts.data.train.targets  # type: ignore[attr-defined]
    order = torch.randperm(len(inputs))
    ours, bare = [], []
    batches = parts.data.training_batches(experiment.batch_size, seed=0, epoch=0)
    for first in range(0, len(inputs), experiment.batch_size):
        began = time.perf_counter()
        training.update([next(batches)])
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        chosen = order[first : first + experiment.batch_size]
        batch = inputs[chosen].float().div_(255).contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(batch), targets[chosen])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        bare.append(time.perf_counter() - began)
    folder.close_logs()
    return sum(ours), sum(bare)


def helped(root: str) -> tuple[float, float]:
    """Seconds of `--help`: lrbench's, a bare typer program's; each the best of three, since they are short."""
    bare = [sys.executable, "-c", BARE, "--help"]
    return min(command("--help") for _ in range(3)), min(seconds(bare) for _ in range(3))


def grown_runs(root: str) -> tuple[float, float]:
    """Seconds of 40 runs, and of ten times 4."""
    short = ("--set", "epochs=5")
    return _digits(root, "--seeds", "40", *short), 10 * _digits(root, "--seeds", "4", *short)


def grown_epochs(root: str) -> tuple[float, float]:
    """Seconds of 500 epochs, and of ten times 50."""
    return _digits(root, "--set", "epochs=500"), 10 * _digits(root, "--set", "epochs=50")


def _digits(root: str, *words: str) -> float:
    config = ["run", str(CONFIGS / "digits" / "baseline.yaml"), "--set", "model=mlp"]
    return command(*config, *words, "--runs", tempfile.mkdtemp(dir=root))


def six(root: str) -> tuple[float, float]:
    """Seconds of six runs of 3 epochs: the tutorial loop's one after another, lrbench's with two at once."""
    configs = [str(CONFIGS / f"{name}.yaml") for name in SIX]
    asked = ["--set", "epochs=3", "--device", "cpu", "--jobs", "2"]
    ours = command("run", *configs, *asked, "--runs", tempfile.mkdtemp(dir=root))
    script = [sys.executable, str(HERE / "peers" / "torch_tutorial.py"), "--epochs", "3"]
    return len(SIX) * seconds(script), ours  # the six are alike


PARTS: dict[str, tuple[str, list[Callable[[str], tuple[float, float]]]]] = {
    "overhead": ("lrbench / bare loop", [overhead]),
    "help": ("lrbench / bare typer", [helped]),
    "growth": ("ten times the work / ten times the time", [grown_runs, grown_epochs]),
    "six": ("tutorial loop one after another / lrbench --jobs 2", [six]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    for part in chosen.parts:
        about, measures = PARTS[part]
        for measure in measures:
            with tempfile.TemporaryDirectory() as root:
                pairs = [measure(root) for _ in range(chosen.rounds)]
            ratios = sorted(a / b for a, b in pairs)
            medians = [statistics.median(values) for values in zip(*pairs, strict=True)]
            print(
                f"{measure.__name__}: {about}: {statistics.median(ratios):.3f} ({ratios[0]:.3f} … {ratios[-1]:.3f}); "
                f"{medians[0]:.2f} s, {medians[1]:.2f} s; {chosen.rounds} rounds",
                flush=True,
            )


if __name__ == "__main__":
    main()
