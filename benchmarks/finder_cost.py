"""What a range test costs beside the same number of training updates: alternating, medians, start-up left out.

python benchmarks/finder_cost.py --rounds 7
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from lrbench.config import Experiment, validate
from lrbench.events import silent
from lrbench.lr_finder.ramped_training import RampedTraining
from lrbench.lr_finder.settings import Ramp
from lrbench.runs import RunFolder
from lrbench.training.build import assemble
from lrbench.training.device import resolve_device
from lrbench.training.kinds import PlainTraining
from lrbench.training.loop import train

CONFIGS: dict[str, dict[str, Any]] = {
    "digits mlp": {"dataset": "digits", "model": "mlp", "batch_size": 32},
    "digits cnn": {"dataset": "digits", "model": {"name": "cnn", "padding": 1}, "batch_size": 32},
    "mnist cnn": {"dataset": {"name": "mnist", "train_size": 10_000}, "model": "cnn", "batch_size": 250},
}


def seconds(experiment: Experiment, test: bool, iterations: int) -> float:
    """Of a range test, or of as many updates of a bare loop over the same model and data, at a rate that holds."""
    ramp = Ramp(iterations=iterations, end=1e-3, stop_factor=1e9)
    with tempfile.TemporaryDirectory() as place:
        chosen = ramp.over(experiment, 0) if test else experiment.replace(steps=iterations, epochs=None)
        folder = RunFolder(Path(place) / "run")
        folder.create(chosen, {})
        assemble(chosen, resolve_device("cpu"))  # data and imports are start-up
        began = time.perf_counter()
        if test:
            train(folder, chosen, RampedTraining(ramp), watch=silent, stop=lambda: False)
            return time.perf_counter() - began
        result = train(folder, chosen, PlainTraining(), watch=silent, stop=lambda: False)
        return result.seconds or 0.0  # of the updates alone, evaluation left out


def updates_per_second(task: str, iterations: int) -> float:
    """Of a range test, in processor time, without its start: the scoreboard's figure."""
    held = experiment_of(task)
    seconds(held, True, 10)
    began = time.process_time()
    seconds(held, True, iterations)
    return iterations / (time.process_time() - began)


def experiment_of(task: str) -> Experiment:
    """The experiment of a task."""
    rest = {"optimizer": {"name": "adam", "lr": 1e-4}, "epochs": 1, "device": "cpu"}
    return validate({"name": "cost", **CONFIGS[task], **rest}, {}, task)


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("tasks", nargs="*", default=list(CONFIGS), help=f"of {', '.join(CONFIGS)}; all by default")
    chosen = parser.parse_args()
    for name in chosen.tasks:
        experiment = experiment_of(name)
        ratios = []
        for number in range(chosen.rounds):
            order = (True, False) if number % 2 else (False, True)
            took = {test: seconds(experiment, test, chosen.iterations) for test in order}
            ratios.append(took[True] / took[False])
        shown = ", ".join(f"{ratio:.3f}" for ratio in sorted(ratios))
        print(f"{name}: range test / training, {chosen.iterations} updates: {median(ratios):.3f} ({shown})", flush=True)


if __name__ == "__main__":
    main()
