"""How good are the finder's methods? Each method's rate against the best of a full sweep, on many small tasks.

    python benchmarks/finder_calibration.py --runs runs/calibration --jobs 2

For each task: a sweep (rates half a decade apart, 3 seeds), a range test (3 seeds), and training at every method's
rate (3 seeds). Where a note of find-lr advises it, the range test is repeated with --validation. Regret is the final
validation loss there, median over the seeds, against the sweep's best; and the distance in decades from the sweep's
best rate. What is done already is found in the runs folder, so it can be stopped and started again. Writes the tasks'
rows into `finder_calibration.csv` beside this file, where those of tasks not asked for stay, and prints the tables of
docs/find-lr.md.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])

import calibration_tasks as tasks

import lrbench
from lrbench.config import Experiment, validate
from lrbench.lr_finder import Advice
from lrbench.runs import Status

FIELDS = ["task", "method", "iterations", "lr", "best_lr", "loss", "best_loss", "ratio", "decades", "note"]
METHODS = ("recommended", "steepest", "minimum/10", "valley", "--validation")
TABLE = Path(__file__).with_name("finder_calibration.csv")
GROUPS = {"Calibration": tasks.TASKS, "Held out": tasks.HELD_OUT, "Other kinds (held out)": tasks.OTHER_KINDS}
EVERY = {name: task for group in GROUPS.values() for name, task in group.items()}


def experiment(name: str, lr: float, base: Path | None) -> Experiment:
    """A task at a rate, from the weights of a run if it is one of fine-tuning."""
    task = EVERY[name]
    plain = {"name": name.replace(" ", "-"), **task, "optimizer": {**task["optimizer"], "lr": lr}, "device": "cpu"}
    return validate(plain if base is None else tasks.started(name, plain, base), {}, name)


def base_of(name: str, runs: Path, jobs: int) -> Path | None:
    """The run folder of the model that a task fine-tunes, trained if it isn't there; None for other tasks."""
    if name not in tasks.BASES:
        return None
    which = tasks.BASES[name]
    plain = {"name": f"base-{which.replace(' ', '-')}", **tasks.PRETRAINED[which], "device": "cpu"}
    (outcome,) = lrbench.run([validate(plain, {}, which)], runs=runs, jobs=jobs)
    if outcome.result is None or outcome.result.status is not Status.FINISHED:
        raise SystemExit(f"{outcome.path}: {outcome.message}")
    return Path(outcome.path)


def final_losses(name: str, rates: list[float], runs: Path, jobs: int, base: Path | None) -> list[float]:
    """The median final validation loss over three seeds at each rate; infinite where most of them diverge."""
    experiments = [experiment(name, lr, base) for lr in rates]
    outcomes = lrbench.run(experiments, runs=runs, seeds=3, jobs=jobs)
    by_rate: dict[float, list[float]] = {lr: [] for lr in rates}
    for outcome in outcomes:
        result = outcome.result
        if result is None or result.status not in (Status.FINISHED, Status.DIVERGED):
            raise SystemExit(f"{outcome.path}: {outcome.message}")
        loss = result.metric("val_loss")
        by_rate[outcome.experiment.optimizer.params["lr"]].append(math.inf if loss is None else loss)
    return [median(by_rate[lr]) for lr in rates]


def calibrate(name: str, runs: Path, jobs: int, iterations: int) -> list[dict[str, Any]]:
    """A row for each method on a task."""
    rates, base = tasks.rates(name), base_of(name, runs, jobs)
    losses = final_losses(name, rates, runs, jobs, base)
    best = min(losses)
    best_rate = rates[losses.index(best)]
    found = lrbench.find_lr(experiment(name, 0.1, base), runs=runs, iterations=iterations)
    suggested = {method: one.median for method, one in found.suggestions.items()}
    suggested["recommended"] = found.lr
    methods = METHODS[:-1]
    if isinstance(found.advice, Advice) and any("--validation" in note for note in found.advice.notes):
        methods = METHODS
        suggested["--validation"] = lrbench.find_lr(
            experiment(name, 0.1, base), runs=runs, iterations=iterations, validation=True
        ).lr
    rows = []
    for method in methods:
        lr = suggested.get(method)
        row: dict[str, Any] = {"task": name, "method": method, "iterations": iterations, "lr": lr}
        row |= {"best_lr": best_rate, "best_loss": best, "loss": None, "ratio": None, "decades": None}
        if lr is not None:
            (loss,) = final_losses(name, [float(f"{lr:.3g}")], runs, jobs, base)
            row |= {"loss": loss, "ratio": loss / best, "decades": math.log10(lr / best_rate)}
        elif not isinstance(found.advice, Advice):
            row["note"] = str(found.advice)
        rows.append(row)
    return rows


def near(row: dict[str, Any]) -> bool:
    """Within half a decade of the sweep's best rate, or at most 1.2 times its loss."""
    return row["ratio"] is not None and (abs(row["decades"]) <= 0.5 + 1e-9 or row["ratio"] <= 1.2)


def tables(rows: list[dict[str, Any]]) -> str:
    """What docs/find-lr.md shows, in Markdown."""
    lines = []
    for title, names in GROUPS.items():
        chosen = [row for row in rows if row["task"] in names]
        lines += [f"### {title}", "", "| method | median loss ratio | worst | median distance | within reach | none |"]
        lines += ["| --- | ---: | ---: | ---: | ---: | ---: |"]
        for method in METHODS:
            mine = [row for row in chosen if row["method"] == method]
            given = [row for row in mine if row["ratio"] is not None]
            if given:
                ratios, distances = [row["ratio"] for row in given], [abs(row["decades"]) for row in given]
                reach = f"{sum(map(near, given))} of {len(given)}"
                numbers = f"{median(ratios):.2f} | {max(ratios):.3g} | {median(distances):.2f} | {reach}"
                lines.append(f"| {method} | {numbers} | {len(mine) - len(given)} |")
        lines += ["", "| task | best rate | best loss | " + " | ".join(METHODS) + " |"]
        lines += ["| --- | ---: | ---: |" + " ---: |" * len(METHODS)]
        for name in names:
            mine = {row["method"]: row for row in chosen if row["task"] == name}
            if mine:
                best = f"{mine['recommended']['best_lr']:.1e} | {mine['recommended']['best_loss']:.3g}"
                cells = [_cell(mine[method]) if method in mine else "" for method in METHODS]
                lines.append(f"| {name} | {best} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _cell(row: dict[str, Any]) -> str:
    if row["ratio"] is None:
        return "–"
    text = f"{row['lr']:.1e} ({row['ratio']:.2f})" if row["ratio"] < 100 else f"{row['lr']:.1e} (≥ 100)"
    return text if near(row) else f"*{text}*"


def read() -> list[dict[str, Any]]:
    """The rows of `finder_calibration.csv`, in the order of the tasks; none if there is no file."""
    if not TABLE.exists():
        return []
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in rows:
        row |= {key: float(row[key]) if row[key] else None for key in FIELDS[3:-1]}
    return rows


def write(rows: list[dict[str, Any]]) -> None:
    """Replace the tasks' rows in `finder_calibration.csv`; those of other tasks stay."""
    new = {row["task"] for row in rows}
    kept = [row for row in read() if row["task"] not in new]
    order = list(EVERY)
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, FIELDS, lineterminator="\n")
        table.writeheader()
        table.writerows(sorted(kept + rows, key=lambda row: order.index(row["task"])))


def main() -> None:
    """Do the tasks, one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/calibration"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--task", action="append", help="only this one; may be repeated")
    chosen = parser.parse_args()
    for name in chosen.task or EVERY:
        rows = calibrate(name, chosen.runs, chosen.jobs, chosen.iterations)
        print(f"{name}: " + ", ".join(f"{row['method']} {_cell(row)}" for row in rows), flush=True)
        write(rows)
    print(tables(read()))


if __name__ == "__main__":
    main()
