"""What a report costs: reading and drawing many runs, and the page's size. `page.py` measures the page in a browser.

python benchmarks/report.py [--rounds 3]

The runs are made up by `synthetic_runs.py`: 25 epochs of 192 updates.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from synthetic_runs import write

from lrbench.config import own, validate
from lrbench.runs import RunFolder

EPOCHS, UPDATES = 25, 192


def collection(root: Path, groups: int, seeds: int) -> Path:
    """Write runs of `groups` different learning rates, each under a name of its own, and return `root`."""
    for index in range(groups):
        for seed in range(seeds):
            config = {
                "name": f"rate {index}", "dataset": {"name": "digits"}, "model": {"name": "mlp"},
                "optimizer": {"name": "adam", "lr": 10 ** (-4 + 3 * index / max(groups - 1, 1))},
                "epochs": EPOCHS, "batch_size": 32, "seed": seed,
            }  # fmt: skip
            experiment = own(validate(config, {}, "a run that is made up"), "")
            write(RunFolder.of(root, experiment), experiment, UPDATES)
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
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
