"""How often advice to drop runs that are "decided" would have changed a sweep's best learning rate, and what it saves.

    python benchmarks/decided.py RUNS… [--replays 200]

Each sweep under the folders of runs is replayed: its finished runs end in a random order, two are always under way, and
after each one whatever is called decided is dropped. Of each family whose best learning rate is known at the end of the
whole sweep, the benchmark counts whether the replay has another one, and how many runs were never trained. Without
RUNS, made-up sweeps are replayed: a valley of log loss over nine learning rates, a cliff above it, seeds with noise.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lrbench.analysis import Record, read_one
from lrbench.runs import RunFolder, RunResult, Status
from lrbench.sweeps import Plan, Planned, SweepFolder, decided, find_sweeps, summarize

JOBS = 2


def replayed(folder: SweepFolder, plan: Plan, records: dict[str, Record], order: list[str]) -> tuple[dict, int]:
    """Return each line's best learning rate if the advice is followed, and the number of runs that were not trained."""
    pending = {name: replace(record, status=Status.PENDING, result=None) for name, record in records.items()}
    now, left, running, dropped = dict(pending), list(order), [], set()
    while left or running:
        while left and len(running) < JOBS:
            running.append(left.pop(0))
            now[running[-1]] = replace(pending[running[-1]], status=Status.RUNNING)
        ended = running.pop(0)
        now[ended] = records[ended]
        for one in decided(summarize(folder, plan, records=now)):
            dropped |= set(one.runs)
            left = [run for run in left if run not in one.runs]
            running = [run for run in running if run not in one.runs]
            for run in one.runs:
                now[run] = replace(pending[run], status=Status.PRUNED, result=RunResult(Status.PRUNED))
    return best_of(folder, plan, now), len(dropped)


def best_of(folder: SweepFolder, plan: Plan, records: dict[str, Record]) -> dict[str, float | None]:
    """Return the best learning rate of each line."""
    summary = summarize(folder, plan, records=records)
    found = {line.label: line.best(summary.measure) for line in summary.lines}
    return {label: None if best is None else best.lr for label, best in found.items()}


def on_disk(paths: list[Path]) -> Iterator[tuple[str, SweepFolder, Plan, dict[str, Record]]]:
    """Yield the sweeps under folders of runs, without their confirmations."""
    for path in paths:
        for folder in find_sweeps(path):
            plan = folder.plan()
            plan = replace(plan, cells=tuple(plan.grid))
            yield f"{path.name}/{plan.name}", folder, plan, {c.run: read_one(folder.run(c)) for c in plan.cells}


def made_up(chance: random.Random, noise: float, seeds: int) -> tuple[SweepFolder, Plan, dict[str, Record]]:
    """Return a sweep of one line over nine learning rates."""
    at, steep, cliff = chance.uniform(-3, -1), chance.uniform(0.05, 0.8), chance.uniform(0.3, 1.5)
    folder = SweepFolder(Path(tempfile.gettempdir()) / "none" / "sweeps" / "made-up")
    cells, records = [], {}
    for step in range(9):
        x = -4 + step / 2
        for seed in range(seeds):
            run, lr = f"r{step}-{seed}", 10**x
            cells.append(Planned(run, run, f"g{step}", "line", lr, seed))
            status = Status.DIVERGED if chance.random() < 1 / (1 + math.exp(-8 * (x - at - cliff))) else Status.FINISHED
            loss = 0.1 * math.exp(steep * (x - at) ** 2 + chance.gauss(0, noise))
            final = {"val_loss": loss} if status.complete else None
            result = RunResult(status, final=final, steps=1, identity=run)
            records[run] = Record(RunFolder(folder.root / run), status, result=result, plain={"seed": seed})
    return folder, Plan("made-up", tuple(cells)), records


def main() -> None:
    """Print a line for each sweep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--replays", type=int, default=200)
    asked = parser.parse_args()
    chance = random.Random(1)
    print(f"{'sweep':32} {'replays':>7} {'families':>8} {'changed':>8} {'share':>7} {'runs saved':>10}")
    for name, folder, plan, records in on_disk(asked.runs):
        told(name, [(folder, plan, records)] * asked.replays, chance)
    if not asked.runs:
        for noise in (0.02, 0.1, 0.3):
            for seeds in (3, 5):
                sweeps = [made_up(chance, noise, seeds) for _ in range(asked.replays)]
                told(f"noise {noise:.0%}, {seeds} seeds", sweeps, chance)


def told(name: str, sweeps: list[tuple[SweepFolder, Plan, dict[str, Record]]], chance: random.Random) -> None:
    """Replay sweeps and print what came of them."""
    changed = families = saved = total = 0
    for folder, plan, records in sweeps:
        whole = best_of(folder, plan, records)
        order = [cell.run for cell in plan.cells]
        chance.shuffle(order)
        found, dropped = replayed(folder, plan, records, order)
        known = [label for label, lr in whole.items() if lr is not None]
        families += len(known)
        changed += sum(found[label] != whole[label] for label in known)
        saved, total = saved + dropped, total + len(order)
    shares = f"{changed / max(families, 1):>7.1%} {saved / total:>10.1%}"
    print(f"{name:32} {len(sweeps):>7} {families:>8} {changed:>8} {shares}", flush=True)


if __name__ == "__main__":
    main()
