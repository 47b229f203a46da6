"""What a report costs: reading and drawing many runs, the page's size, and how long a browser takes to open it.

python benchmarks/report.py [--rounds 3]

The runs are made up, in the shape that training leaves: 25 epochs, 192 updates each. The browser part needs Chromium
and the package playwright, and is left out without.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lrbench.components import recorded
from lrbench.components.metrics import ACCURACY
from lrbench.config import identity, validate
from lrbench.runs import RunFolder, RunResult, Status

EPOCHS, UPDATES = 25, 192


def write(root: Path, name: str, lr: float, seed: int) -> None:
    """A finished run as training leaves it."""
    experiment = validate(
        {
            "name": name, "dataset": {"name": "digits"}, "model": {"name": "mlp"},
            "optimizer": {"name": "adam", "lr": lr}, "epochs": EPOCHS, "batch_size": 32, "seed": seed,
        },
        {},
        "a run that is made up",
    )  # fmt: skip
    chance = random.Random(f"{name} {seed}")
    folder = RunFolder.of(root, experiment)
    total = EPOCHS * UPDATES
    sizes = {"steps_per_epoch": UPDATES, "total_steps": total, "train_examples": 1200, "classes": 10}
    told = {"threads": 1, "device": "cpu", "metrics": recorded([ACCURACY]), "sizes": sizes}
    folder.create(experiment, {"identity": identity(experiment), **told})
    folder.open_logs([ACCURACY], steps=0, evaluations=0)
    update = {"lr": lr, "momentum": 0.0, "loss": 1.0, "grad_norm": 1.0}
    folder.steps.append({"step": i + 1, **update} for i in range(total))
    level = 0.03 + 0.02 * abs(math.log10(lr / 0.003))
    losses = [level + math.exp(-e / 3) + chance.gauss(0, 0.003) for e in range(EPOCHS)]
    rows = [
        {
            "epoch": e, "step": UPDATES * e,
            "train_loss": v, "train_accuracy": 1 - v / 4, "val_loss": v + 0.01, "val_accuracy": 0.99 - v / 4,
        }
        for e, v in enumerate(losses, 1)
    ]  # fmt: skip
    folder.epochs.append({**row, "lr": lr, "seconds": 1.0, "examples_per_second": 900.0} for row in rows)
    folder.close_logs()
    test = {"loss": losses[-1] + 0.01, "accuracy": 0.98}
    counts = {"epochs": EPOCHS, "steps": total, "evaluations": EPOCHS, "seconds": 25.0, "effective_lr": lr}
    result = RunResult(Status.FINISHED, **counts, final=rows[-1], best=rows[-1], test=test, test_best=test)
    folder.finish(experiment, result)


def collection(root: Path, groups: int, seeds: int) -> Path:
    """Runs of `groups` different rates."""
    for index in range(groups):
        for seed in range(seeds):
            write(root, f"rate {index}", 10 ** (-4 + 3 * index / max(groups - 1, 1)), seed)
    return root


def reported(root: Path) -> tuple[float, float, int]:
    """Seconds of the whole command, its peak memory in MiB, and the page's bytes."""
    shutil.rmtree(root / "report", ignore_errors=True)
    script = (
        "import resource, sys; from lrbench.cli import main; sys.argv = ['lrbench', 'report', '--runs', sys.argv[1]]\n"
        "try: main()\nfinally: open(sys.argv[3] + '/peak', 'w').write("
        "str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))"
    )
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", script, str(root)], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    return seconds, float((root / "peak").read_text()), (root / "report" / "report.html").stat().st_size


def opened(page: Path, rounds: int) -> list[float]:
    """Seconds from asking for the page to its charts, in a browser that is already running."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        times: list[float] = []
        for _ in range(rounds):
            tab = browser.new_page()
            began = time.perf_counter()
            tab.goto(page.as_uri())
            tab.locator("#panels canvas").first.wait_for()
            times.append(time.perf_counter() - began)
            tab.close()
        browser.close()
    return times


def main() -> None:
    """Measure, and print a line for each collection."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        for groups, seeds in ((60, 3), (333, 3), (1000, 1)):
            root = collection(Path(folder) / f"{groups}x{seeds}", groups, seeds)
            found = [reported(root) for _ in range(rounds)]
            line = {
                "groups": groups,
                "seeds": seeds,
                "seconds": [round(seconds, 1) for seconds, _, _ in found],
                "peak MiB": round(max(peak for _, peak, _ in found)),
                "page MB": round(found[0][2] / 1e6, 2),
            }
            try:
                line["opened in s"] = round(statistics.median(opened(root / "report" / "report.html", rounds)), 2)
            except ImportError:
                line["opened in s"] = "needs playwright"
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
