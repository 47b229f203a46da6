"""What the tool costs beside the training: the runner, start-up, growth; and six runs as one command.

python benchmarks/whole.py overhead start growth six --rounds 5

overhead: lrbench's updates against those of a bare loop over the same model and tensors, in turn.
start: the first step of a new run, and that of a sweep with workers, against importing torch and loading the same data.
  Processor time of one thread; of the sweep, wall time.
growth: ten times the runs, or the epochs, on digits.
six: six of the tutorial's configs with `--jobs 2`, against the PyTorch tutorial loop six times, start-up counted.
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

import psutil
from measuring import environment, lrbench, seconds

HERE = Path(__file__).parent
CONFIGS = HERE.parent / "configs"
DIGITS = [str(CONFIGS / "digits" / "baseline.yaml"), "--set", "model=mlp", "--set", "epochs=1"]
LEAST = [sys.executable, str(HERE / "peers" / "bare_digits.py")]
LEAST_ON_MNIST = [sys.executable, str(HERE / "peers" / "bare_mnist.py")]
SIX = ("baseline", "too_large", "large", "too_small", "step_decay", "cyclical")


def command(*words: str) -> float:
    """The seconds that a command of lrbench takes."""
    return seconds(lrbench(*words), threads=None)


def overhead(root: str, threads: int | None = None) -> tuple[float, float]:
    """Seconds of an epoch's updates: lrbench's, a bare loop's; update by update in turn, as minutes differ here.

    With one thread they are of the processor.
    """
    import torch  # here, since the other parts only start processes

    from lrbench.config import load_config
    from lrbench.events import silent
    from lrbench.runs import RunFolder
    from lrbench.training import Training
    from lrbench.training.allocator import keep_freed_memory
    from lrbench.training.build import assemble
    from lrbench.training.device import resolve_device
    from lrbench.training.kinds import PlainTraining

    clock = time.process_time if threads == 1 else time.perf_counter
    torch.set_num_threads(threads or os.cpu_count() or 1)
    keep_freed_memory()
    experiment = load_config(CONFIGS / "baseline.yaml", overrides=["device=cpu"])
    folder = RunFolder(Path(tempfile.mkdtemp(dir=root)) / "run")
    folder.create(experiment, {})
    training = Training.begin(folder, experiment, PlainTraining(), silent)
    training.parts.training()
    parts = assemble(experiment, resolve_device("cpu"))
    model, optimizer = parts.model.train(), parts.optimizer
    inputs, targets = parts.data.train.inputs, parts.data.train.targets  # type: ignore[attr-defined]
    order = torch.randperm(len(inputs))
    ours, bare = [], []
    batches = parts.data.training_batches(experiment.batch_size, seed=0, epoch=0)
    for first in range(0, len(inputs), experiment.batch_size):
        began = clock()
        training.update([next(batches)])
        ours.append(clock() - began)
        began = clock()
        chosen = order[first : first + experiment.batch_size]
        batch = inputs[chosen].float().div_(255).contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(batch), targets[chosen])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        bare.append(clock() - began)
    folder.close_logs()
    return sum(ours), sum(bare)


def first_step(root: str) -> tuple[float, float]:
    """Processor seconds of `run` on digits up to its first step, and of importing torch and loading the same data."""
    return _first_step(root, "run", DIGITS)[1], seconds(LEAST, "processor")


def first_step_on_mnist(root: str) -> tuple[float, float]:
    """The same on MNIST, from LRBENCH_DATA."""
    config = [str(CONFIGS / "baseline.yaml"), "--set", "epochs=null", "--set", "steps=1"]
    return _first_step(root, "run", config)[1], seconds(LEAST_ON_MNIST, "processor")


def first_step_of_sweep(root: str) -> tuple[float, float]:
    """Seconds of `sweep` up to its first step, and of importing torch and loading the same data."""
    least = seconds(LEAST)
    return _first_step(root, "sweep", [*DIGITS, "--lr", "1e-4:1:8"])[0], least


def _first_step(root: str, command: str, words: list[str]) -> tuple[float, float]:
    """Return the seconds up to the first steps that a command tells of, and the processor seconds of its processes."""
    config = [*words, "--json", "--set", "optimizer={name: sgd, lr: 0.1}", "--runs", tempfile.mkdtemp(dir=root)]
    began = time.time()
    with subprocess.Popen(
        lrbench(command, *config), env=environment(1), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "progress":  # a few steps are done
                break
        else:
            raise RuntimeError(f"{command} told of no step")
        found = time.time() - began, _spent(psutil.Process(process.pid))
        process.terminate()
        process.stdout.read()
    return found


def _spent(process: psutil.Process) -> float:
    """Return the processor seconds of a process and all that it has started."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)


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
    return len(SIX) * seconds(script, threads=None), ours  # the six are alike


PARTS: dict[str, tuple[str, list[Callable[[str], tuple[float, float]]]]] = {
    "overhead": ("lrbench / bare loop", [overhead]),
    "start": (
        "lrbench / the least that it could take",
        [first_step, first_step_on_mnist, first_step_of_sweep],
    ),
    "growth": ("ten times the work / ten times the time", [grown_runs, grown_epochs]),
    "six": ("tutorial loop one after another / lrbench --jobs 2", [six]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
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
