"""How long sweeps take: two workers against one run after another, and what a cell costs beside its training.

python benchmarks/sweep_speed.py digits mnist overhead finished stacked workers --rounds 5 --before ../earlier-clone

`digits`: 24 runs of `mlp`, 100 epochs each, start-up counted. `mnist`: six of the tutorial's configs, 2 epochs each
(LRBENCH_DATA names the data). Both: commands in processes of their own, alternating; ratios of their wall times.
`overhead`: seconds from one cell's result to the next one's, in one warm worker, less training and evaluation.
`finished`: recognising a thousand finished cells. `stacked`: 54 runs (9 learning rates, 3 seeds, 2 schedules) of the
MLP and the CNN on digits, trained as stacks against one by one: processor seconds of one process with one thread, which
is what each of several workers does, without its start. `workers`: the same sweeps as whole commands with two workers,
by the clock; `--before` names a clone of an earlier version, which is measured beside them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from lrbench.config import load_config
from lrbench.events import Event
from lrbench.sweeps import plan_sweep, sweep

CONFIGS = Path(__file__).parent.parent / "configs"
TUTORIAL = ("baseline", "too_large", "large", "too_small", "far_too_small", "step_decay")
DIGITS = {"name": "mlp", "dataset": "digits", "model": "mlp", "optimizer": "adam", "epochs": 100, "device": "cpu"}


def seconds(*words: str, version: Path | None = None) -> float:
    """Of a command, of this version or of another clone's, from its start to its end."""
    here = (version or Path(__file__).parent.parent).absolute()  # `python -m` looks for packages there first
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "lrbench", *words], check=True, stdout=subprocess.DEVNULL, cwd=here)
    return time.perf_counter() - began


def compared(name: str, command: Callable[[str, str], list[str]], rounds: int) -> None:
    """The wall time with two workers as a part of that of one run after another."""
    ratios = []
    for number in range(rounds):
        took = {}
        for jobs in ("1", "2") if number % 2 else ("2", "1"):
            with tempfile.TemporaryDirectory() as root:
                took[jobs] = seconds(*command(jobs, root))
        ratios.append(took["2"] / took["1"])
        print(f"{name}: --jobs 1 {took['1']:.1f} s, --jobs 2 {took['2']:.1f} s: {ratios[-1]:.3f}", flush=True)
    print(f"{name}: median {median(ratios):.3f}", flush=True)


def digits(rounds: int) -> None:
    """24 runs of an MLP on digits."""
    with tempfile.TemporaryDirectory() as place:
        config = Path(place) / "mlp.yaml"
        config.write_text(yaml.safe_dump(DIGITS))
        grid = ["--lr", "1e-4:1e-1:8", "--seeds", "3"]
        compared("digits", lambda jobs, root: ["sweep", str(config), *grid, "--jobs", jobs, "--runs", root], rounds)


def mnist(rounds: int) -> None:
    """Six of the tutorial's configs."""
    configs = [str(CONFIGS / f"{name}.yaml") for name in TUTORIAL]
    few = ["--set", "epochs=2", "--device", "cpu"]
    compared("mnist", lambda jobs, root: ["run", *configs, *few, "--jobs", jobs, "--runs", root], rounds)


def overhead(rounds: int) -> None:
    """Between one result and the next, in a worker that has done some runs already."""
    with tempfile.TemporaryDirectory() as place:
        config = Path(place) / "mlp.yaml"
        config.write_text(yaml.safe_dump({**DIGITS, "epochs": 1}))
        gaps: list[float] = []
        last: list[float] = []

        def watch(event: Event) -> None:
            if event.kind == "end":
                now = time.perf_counter()
                gaps.extend([now - last[-1] - event.values["result"].seconds] if last else [])
                last.append(now)

        rates = {"log": [1e-4, 1e-1], "points": 8 * rounds}
        sweep([config], runs=Path(place) / "runs", lr=rates, jobs=1, watch=watch)
        print(f"overhead: {median(gaps[8:]):.3f} s per cell (median of {len(gaps) - 8})", flush=True)


def finished(rounds: int) -> None:
    """A thousand cells whose results are there."""
    with tempfile.TemporaryDirectory() as place:
        config, root = Path(place) / "mlp.yaml", Path(place) / "runs"
        block = {"lr": {"log": [1e-4, 1], "points": 100}, "seeds": 10}
        config.write_text(yaml.safe_dump({**DIGITS, "epochs": 1, "sweep": block}))
        _forge(config, root)
        took = [seconds("sweep", str(config), "--runs", str(root)) for _ in range(rounds)]
        print(f"finished: 1,000 cells in {median(took):.2f} s (the whole command)", flush=True)


SMALL = {"mlp": ("mlp", 40), "cnn": ({"name": "cnn", "padding": 1}, 4)}
"""The models of `stacked`, and their epochs."""


def stacked(rounds: int) -> None:
    """54 runs at once against one by one, alternating."""
    for name, (model, epochs) in SMALL.items():
        ratios = []
        for number in range(rounds):
            ways = ("no", "yes") if number % 2 else ("yes", "no")
            took = {way: swept(way, model, epochs) for way in ways}
            ratios.append(took["no"] / took["yes"])
            print(f"{name}: one by one {took['no']:.1f} s, stacked {took['yes']:.1f} s: {ratios[-1]:.2f}", flush=True)
        print(f"{name}: median {median(ratios):.2f}", flush=True)


def workers(rounds: int, before: Path | None) -> None:
    """54 runs in two workers of one thread each: one by one, as stacks, and one by one in an earlier version."""
    for name, (model, epochs) in SMALL.items():
        ratios: dict[str, list[float]] = {}
        for number in range(rounds):
            took = {}
            ways = ["no", "yes", *(["before"] if before else [])]
            for way in ways if number % 2 else ways[::-1]:
                with tempfile.TemporaryDirectory() as place:
                    config = Path(place) / "small.yaml"
                    config.write_text(yaml.safe_dump({**DIGITS, "model": model, "batch_size": 32, "epochs": epochs}))
                    words = ["--schedule", "constant,cosine", "--jobs", "2", "--runs", place]
                    words += [] if way == "before" else ["--stack", way]
                    command = ["sweep", str(config), "--lr", "1e-4:1e-1:9", "--seeds", "3", *words]
                    took[way] = seconds(*command, version=before if way == "before" else None)
            for one, other in [("no", "yes"), *([("before", "no"), ("before", "yes")] if before else [])]:
                ratios.setdefault(f"{one} / {other}", []).append(took[one] / took[other])
            print(f"{name}:", ", ".join(f"{way} {value:.1f} s" for way, value in took.items()), flush=True)
        print(f"{name}: medians", {way: round(median(found), 2) for way, found in ratios.items()}, flush=True)


def swept(stack: str, model: Any, epochs: int) -> float:
    """Processor seconds of 54 runs of a model, after a short sweep that imports and loads what is needed."""
    import torch

    torch.set_num_threads(1)
    plain = {**DIGITS, "model": model, "batch_size": 32}
    with tempfile.TemporaryDirectory() as place:
        config = Path(place) / "small.yaml"
        for length in (1, epochs):
            config.write_text(yaml.safe_dump({**plain, "epochs": length}))
            began = time.process_time()
            done = sweep([config], runs=Path(place) / f"runs{length}", seeds=3, jobs=1, stack=stack, lr="1e-4:1e-1:9",
                         schedules=["constant", "cosine"])  # fmt: skip
            took = time.process_time() - began
            assert all(outcome.status.ended for outcome in done.outcomes), [o.message for o in done.outcomes]
    return took


def _forge(config: Path, root: Path) -> None:
    """Results for all cells, each a copy of one that was really trained."""
    from lrbench.runs import RunFolder, describe
    from lrbench.training import run

    (made,) = run([load_config(config, ["sweep=null", "optimizer.lr=0.5"])], runs=root.with_name("one"))
    assert made.result is not None
    rows = (made.path / "epochs.csv").read_text()
    environment = describe(made.experiment, device="cpu")
    for cell in plan_sweep([config], runs=root).cells:
        folder = RunFolder.of(root, cell.experiment)
        folder.create(cell.experiment, environment)
        folder.epochs.path.write_text(rows)
        folder.finish(cell.experiment, made.result)


def main() -> None:
    """Measure what is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measures: dict[str, Callable[[int], None]] = {
        "digits": digits, "mnist": mnist, "overhead": overhead, "finished": finished, "stacked": stacked,
        "workers": lambda rounds: workers(rounds, chosen.before),
    }  # fmt: skip
    parser.add_argument("measures", nargs="*", default=list(measures), choices=[*measures, []])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, help="a clone of an earlier version, for `workers`")
    chosen = parser.parse_args()
    print(f"{os.cpu_count()} cores", flush=True)
    for name in chosen.measures:
        measures[name](chosen.rounds)


if __name__ == "__main__":
    main()
