"""A study of what moves the best learning rate of a small GPT: width, batch size and length, with and without μP.

    python benchmarks/transfer_study.py --runs runs/transfer_study --seeds 3

A star around a base, and a far corner that no law is fitted to: the embedded text in windows of 16 bytes, two layers,
Adam, cosine after a warm-up. Each family has eight learning rates half a decade apart, and three between the best of
them. Seeds are trained one after another; what is done already is found in the runs folder, so it can be stopped and
started again. On a busy machine, set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

import lrbench
from lrbench.analysis import Optimum, families, grouped, measure_named, optimum, read_runs
from lrbench.components import load_dataset
from lrbench.components.data.options import DatasetRules
from lrbench.config import Experiment, validate
from lrbench.reports.figures.axes import log_scale
from lrbench.reports.figures.style import drawing, line_of, write
from lrbench.types import Part

CONTEXT = 16
BASE = {"width": 64, "batch_size": 16, "steps": 200}
ARMS: dict[str, tuple[int, ...]] = {"width": (32, 64, 128, 256), "batch_size": (8, 32, 64), "steps": (100, 400)}
CORNER = {"width": 128, "batch_size": 32, "steps": 400}
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 5.6e-4, 1.8e-3, 5.6e-3)
KINDS: dict[str, dict[str, Any]] = {"standard": {}, "mup": {"parametrization": "mup", "base_width": BASE["width"]}}


def text() -> dict[str, tuple[Tensor, Tensor]]:
    """The embedded text with few windows to evaluate: 600 for validation and 100 for the test."""
    whole = load_dataset(Part("text", {"context": CONTEXT}), DatasetRules())
    inputs, targets = whole.train.inputs.long(), whole.train.targets.long()
    parts = {"train": slice(0, -700), "validation": slice(-700, -100), "test": slice(-100, None)}
    return {name: (inputs[some], targets[some]) for name, some in parts.items()}


def all_sizes() -> list[dict[str, int]]:
    """The sizes of the star and of the corner."""
    star = [{**BASE, axis: value} for axis, values in ARMS.items() for value in values]
    return [*star, CORNER]


def experiments(kind: str, seed: int) -> list[Experiment]:
    """All families of one parametrization at all learning rates."""
    found = []
    for sizes in all_sizes():
        model = {"name": "gpt", "layers": 2, "heads": 4, "width": sizes["width"], **KINDS[kind]}
        plain = {
            "name": f"{kind}-w{sizes['width']}-b{sizes['batch_size']}-{sizes['steps']}",
            "dataset": "transfer_study:text",
            "task": "language_model",
            "model": model,
            "schedule": {"name": "cosine", "final_factor": 0.1},
            "warmup": "10%",
            "steps": sizes["steps"],
            "batch_size": sizes["batch_size"],
            "eval_every": "50 steps",
            "seed": seed,
            "device": "cpu",
        }
        found += [validate({**plain, "optimizer": {"name": "adam", "lr": lr}}, {}, "study") for lr in RATES]
    return found


def draw(runs: Path, path: Path) -> None:
    """Draw validation loss against the learning rate for each width, and the optima, in both parametrizations."""
    groups = grouped(read_runs([runs]))
    measure = measure_named([group.first for group in groups], "val_loss")
    named = {family.points[0].group.first.name: family for family in families(groups, measure)}
    with drawing():
        figure = Figure(figsize=(9, 3.9), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for kind, axes in zip(KINDS, panels, strict=True):
            for index, width in enumerate(ARMS["width"]):
                family = named[f"{kind}-w{width}-b{BASE['batch_size']}-{BASE['steps']}"]
                line, found = line_of(index), optimum(family, measure)
                known = [(p.lr, np.exp(np.mean(np.log(p.values(measure))))) for p in family.points if p.values(measure)]
                axes.plot(*zip(*known, strict=True), color=line.colour, marker=".", label=f"width {width}")
                if isinstance(found, Optimum):
                    axes.plot(found.lr, found.value, "o", color=line.colour, markersize=9, markerfacecolor="white")
            log_scale(axes.xaxis, min(RATES) / 1.2, max(RATES) * 1.2, "{:g}".format)
            axes.set_title({"standard": "standard parametrization", "mup": f"μP, base width {BASE['width']}"}[kind])
            axes.set_xlabel("learning rate; rings: optima")
        panels[0].set_ylabel("validation loss after 200 steps")
        panels[0].legend()
    write(figure, path)


def main() -> None:
    """Train what is not trained yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", default="runs/transfer_study")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--figure", type=Path, help="draw the runs that there are into this file instead")
    asked = parser.parse_args()
    if asked.figure is not None:
        draw(Path(asked.runs), asked.figure)
        return
    torch.set_num_threads(1)
    for seed in range(asked.seeds):
        for kind in KINDS:
            outcomes = lrbench.run(experiments(kind, seed), runs=asked.runs, jobs=asked.jobs)
            seconds = sum(one.result.seconds for one in outcomes if one.result is not None)
            print(f"seed {seed}, {kind}: {len(outcomes)} runs, {seconds:.0f} s of training", flush=True)


if __name__ == "__main__":
    main()
