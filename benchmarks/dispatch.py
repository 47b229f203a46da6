"""What an update of a tiny model costs through `run`, against plain PyTorch loops of the same model.

python benchmarks/dispatch.py --rounds 5

The MLP 64-64-10 on digits, batches of 32, one thread, float32. Each figure is one line of JSON: microseconds of
processor time per update, the ratio of the loop to lrbench, and the range of the rounds. lrbench's are the difference
between a long and a short run, so that the start, the evaluation and the result cancel; its updates log the learning
rate, the loss and the gradient norm to `steps.csv`. `logged` is the loop that people write to see the same loss:
`loss.item()` and a scheduler in each step. `bare` neither logs nor schedules.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrbench import run
from lrbench.components import Tensors, load_dataset
from lrbench.config import Experiment

BATCH, SHORT, LONG = 32, 340, 6_800
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"name": "adam", "lr": 0.001},
    "sgd": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
}
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"name": "mlp", "hidden": [64]},
    "logistic": {"name": "logistic"},
}


def experiment(model: str, optimizer: str, steps: int) -> Experiment:
    """A run of so many updates, evaluated once, at the end."""
    return Experiment.model_validate(
        {
            "name": f"{model}-{optimizer}",
            "dataset": "digits",
            "model": MODELS[model],
            "optimizer": OPTIMIZERS[optimizer],
            "schedule": "cosine",
            "steps": steps,
            "eval_every": "100%",
            "batch_size": BATCH,
            "device": "cpu",
        }
    )


def of_lrbench(model: str, optimizer: str, steps: int) -> float:
    """Seconds of a run."""
    with tempfile.TemporaryDirectory() as place:
        began = time.process_time()
        (done,) = run([experiment(model, optimizer, steps)], runs=Path(place) / "runs")
        took = time.process_time() - began
        assert done.status.complete, done.message
    return took


def module(model: str, inputs: int) -> nn.Module:
    """The model, as people write it."""
    if model == "logistic":
        return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 10))
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 10))


def of_loop(model: str, optimizer: str, steps: int, *, logged: bool, fused: bool = False) -> float:
    """Seconds of a plain loop."""
    dataset = experiment(model, optimizer, steps).dataset
    data = load_dataset(dataset.part, dataset.rules)
    assert isinstance(data.train, Tensors)
    x, y = data.prepare(data.train.inputs, torch.device("cpu")), data.train.targets
    torch.manual_seed(0)
    began = time.process_time()
    net = module(model, math.prod(x.shape[1:])).train()
    settings = {k: v for k, v in OPTIMIZERS[optimizer].items() if k != "name"}
    kind = torch.optim.Adam if optimizer == "adam" else torch.optim.SGD
    opt = kind(net.parameters(), **settings, **({"fused": True} if fused else {}))
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)
    losses = []

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        done = 0
        while True:
            for chosen in torch.randperm(len(x)).split(BATCH):
                yield x[chosen], y[chosen]
                done += 1
                if done == steps:
                    return

    for inputs, targets in batches():
        opt.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(inputs), targets)
        loss.backward()
        opt.step()
        if logged:
            losses.append(loss.item())
            sched.step()
    return time.process_time() - began


def per_update(seconds: Callable[[int], float], long: int = LONG) -> float:
    """Microseconds per update."""
    short = seconds(SHORT)
    return (seconds(long) - short) / (long - SHORT) * 1e6


def ways_of(model: str, optimizer: str) -> dict[str, Callable[[int], float]]:
    """Seconds of so many steps, by the name of the way."""
    return {
        "lrbench": lambda steps: of_lrbench(model, optimizer, steps),
        "logged": lambda steps: of_loop(model, optimizer, steps, logged=True),
        "bare": lambda steps: of_loop(model, optimizer, steps, logged=False),
        "bare, fused": lambda steps: of_loop(model, optimizer, steps, logged=False, fused=True),
    }


def updates_per_second(model: str, optimizer: str, names: list[str], long: int) -> list[float]:
    """Of the named ways, in turn: the scoreboard's figure."""
    torch.set_num_threads(1)
    ways = ways_of(model, optimizer)
    for name in names:  # imports and first calls
        ways[name](SHORT)
    return [1e6 / per_update(ways[name], long) for name in names]


def loops(model: str, runs: int, steps: int) -> float:
    """Processor seconds of plain loops that log, one after another, after a short one."""
    torch.set_num_threads(1)
    of_loop(model, "adam", 1, logged=True)
    return sum(of_loop(model, "adam", steps, logged=True) for _ in range(runs))


def measured(model: str, optimizer: str, rounds: int) -> None:
    """All ways in turn, in each round in another order."""
    ways = ways_of(model, optimizer)
    took: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():  # imports and first calls
        way(SHORT)
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            took[name].append(per_update(ways[name]))
    for name, found in took.items():
        ratios = [one / own for one, own in zip(found, took["lrbench"], strict=True)]
        line = {
            "model": model,
            "optimizer": optimizer,
            "way": name,
            "microseconds": round(median(found), 1),
            "range": [round(min(found), 1), round(max(found), 1)],
            "times_lrbench": round(median(ratios), 3),
            "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        }
        print(json.dumps(line), flush=True)


def main() -> None:
    """Measure what is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--optimizers", nargs="*", default=list(OPTIMIZERS), choices=list(OPTIMIZERS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for model in chosen.models:
        for optimizer in chosen.optimizers:
            measured(model, optimizer, chosen.rounds)


if __name__ == "__main__":
    main()
