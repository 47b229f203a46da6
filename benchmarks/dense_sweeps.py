"""Dense sweeps: eleven tasks × three schedules × 17 learning rates, a quarter of a decade apart × seeds.

    python benchmarks/dense_sweeps.py --runs runs/dense --seeds 3 --jobs 2

Other benchmarks of this folder read these runs: what a learning rate between the points of a coarser grid gives, and
what helps a run, is known from its neighbours. Seeds are trained one after another, so that the first gives a whole set
of runs. What is done already is found in the runs folder, so it can be stopped and started again.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])

import calibration_tasks as tasks
import torch

import lrbench
from lrbench.config import Experiment, validate

POINTS = 17
SCHEDULES = ("constant", "cosine", "one_cycle")


def noise() -> dict[str, Any]:
    """As many images as digits has, with labels that tell nothing of them."""
    draws = torch.Generator().manual_seed(0)
    parts = {"train": 1400, "test": 360}
    return {
        name: (torch.rand(count, 64, generator=draws), torch.randint(10, (count,), generator=draws))
        for name, count in parts.items()
    }


TASKS: dict[str, tuple[float, dict[str, Any]]] = {
    "digits mlp adam": (-5, {"dataset": "digits", "model": "mlp", "optimizer": tasks.ADAM, "epochs": 40}),
    "friedman mlp adam": (-4.5, {**tasks.FRIEDMAN, "optimizer": tasks.ADAM, "epochs": 24}),
    "gpt adamw": (
        -4.5,
        {**tasks.TEXT, "model": tasks.GPT, "optimizer": tasks.DECAYED, "epochs": 6, "eval_every": "20 steps"},
    ),
    "topics mlp momentum": (-3.5, {**tasks.TOPICS, "optimizer": tasks.MOMENTUM, "epochs": 24}),
    "digits cnn momentum": (-4, {**tasks.DIGITS, "model": tasks.CNN, "optimizer": tasks.MOMENTUM, "epochs": 12}),
}
"""The task and the log₁₀ of its lowest learning rate."""

HELD_OUT: dict[str, tuple[float, dict[str, Any]]] = {
    "mnist lenet nesterov": (
        -4,
        {**tasks.MNIST, "model": tasks.LENET, "optimizer": tasks.NESTEROV, "epochs": 5, "eval_every": "20 steps"},
    ),
    "shapes conv adam": (-5, {**tasks.SHAPES, "optimizer": tasks.ADAM, "epochs": 20}),
    "copying gpt adam": (-5, {**tasks.PUZZLE, "dataset": "calibration_tasks:copying", "epochs": 20}),
    "diabetes mlp adamw": (-5, {**tasks.DIABETES, "model": tasks.MLP, "optimizer": tasks.ADAMW, "epochs": 30}),
    "digits vit adamw": (-5, {**tasks.DIGITS, "model": "vit", "optimizer": tasks.ADAMW, "epochs": 10}),
    "noise mlp adam": (
        -5,
        {"dataset": "dense_sweeps:noise", "model": tasks.MLP, "optimizer": tasks.ADAM, "batch_size": 32, "epochs": 20},
    ),
}
"""Tasks that no rule was fitted to."""

EVERY = TASKS | HELD_OUT


def rates(task: str) -> list[float]:
    """The learning rates of a task, four decades."""
    low = EVERY[task][0]
    return [float(f"{10 ** (low + k / 4):.4g}") for k in range(POINTS)]


def experiments(task: str, seed: int) -> list[Experiment]:
    """A task with each schedule at each learning rate."""
    plain = {**EVERY[task][1], "seed": seed, "device": "cpu"}
    return [
        validate(
            {
                **plain,
                "name": f"{task} {schedule}".replace(" ", "-"),
                "optimizer": {**plain["optimizer"], "lr": lr},
                "schedule": schedule,
            },
            {},
            task,
        )
        for schedule in SCHEDULES
        for lr in rates(task)
    ]


def main() -> None:
    """Train what is not trained yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", default="runs/dense")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--task", action="append", choices=list(EVERY), help="several times; all by default")
    asked = parser.parse_args()
    for seed in range(asked.seeds):
        for task in asked.task or EVERY:
            outcomes = lrbench.run(experiments(task, seed), runs=asked.runs, jobs=asked.jobs)
            seconds = sum(one.result.seconds for one in outcomes if one.result is not None)
            print(f"seed {seed}, {task}: {len(outcomes)} runs, {seconds:.0f} s of training", flush=True)


if __name__ == "__main__":
    main()
