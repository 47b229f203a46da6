"""What a very long run costs: memory while it trains, and time and memory of what reads it.

python benchmarks/long_run.py [--steps 2000000] [--runs FOLDER]

Trains logistic regression on digits with batches of 8, interrupts it after nine tenths and resumes it. Times are of the
processor, since other work on the machine changes the time on the clock. With `--runs`, the run is kept there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from lrbench.runs import RunFolder, last_row

PARTS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
"""Parts of the run after which the memory is measured."""
INTERRUPTED = 0.9
CLI = "import lrbench.cli; sys.argv = ['lrbench', *{arguments}]\ntry: lrbench.cli.main()\nexcept SystemExit: pass"
READERS = {
    "report": CLI.format(arguments="['report', '--runs', root]"),
    "report without thinned steps": CLI.format(arguments="['report', '--runs', root]"),
    "audit": CLI.format(arguments="['audit', root]"),
    "load_steps": "import lrbench; lrbench.load_steps([root])",
}
RESUME = """
import torch; from lrbench.components import KNOWN; from lrbench.runs import RunFolder
folder, metrics = RunFolder(next(Path(root).glob('long-*'))), [KNOWN['accuracy']]
began = time.process_time()
with folder.lock():
    folder.open_logs(metrics, folder.load_checkpoint(folder.identity(), metrics)['ends'])
    folder.close_logs()
"""
AROUND = """
import contextlib, json, os, resource, sys, time; from pathlib import Path
root, began = sys.argv[1], 0.0
with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere):
{program}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([time.process_time() - began, peak / 1024]))
"""


def measured(program: str, root: Path) -> tuple[float, float]:
    """Processor seconds and peak memory in MiB of a program, with its imports unless it sets `began`."""
    indented = "".join(f"    {line}\n" for line in program.strip().splitlines())
    done = subprocess.run(
        [sys.executable, "-c", AROUND.format(program=indented), str(root)], check=True, capture_output=True, text=True
    )
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def trained(root: Path, steps: int) -> Path:
    """Train the run, interrupt and resume it; print its memory on the way. Returns its folder."""
    config = {
        "name": "long", "dataset": "digits", "model": "logistic", "optimizer": {"name": "sgd", "lr": 0.05},
        "schedule": "cosine", "steps": steps, "eval_every": f"{steps // 20} steps", "batch_size": 8, "seed": 0,
    }  # fmt: skip
    path = root / "long.json"
    path.write_text(json.dumps(config))
    started(path, root, steps, until=INTERRUPTED)
    copy = root.with_name(f"{root.name}-interrupted")
    shutil.copytree(root, copy)
    told("loading the checkpoint, opening the files", *measured(RESUME, copy))
    shutil.rmtree(copy)
    started(path, root, steps, until=1.0)
    (folder,) = root.glob("long-*")
    return folder


def started(config: Path, root: Path, steps: int, *, until: float) -> None:
    """Start the run, or resume it, and interrupt it after a part of its steps."""
    process = psutil.Popen([sys.executable, "-m", "lrbench", "run", str(config), "--runs", str(root), "--jobs", "1"],
                           stdout=subprocess.DEVNULL)  # fmt: skip
    parts, first = list(PARTS), None
    while process.poll() is None:
        time.sleep(0.5)
        done = [last_row(path).get("step", 0) / steps for path in root.glob("long-*/steps.csv")] or [0.0]
        first = done[0] if first is None else first
        while parts and done[0] >= parts[0]:
            part = parts.pop(0)
            if part > first and process.is_running():
                memory = sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])
                print(f"memory after {part:4.0%} of the steps: {memory / 2**20:,.0f} MiB", flush=True)
        if done[0] >= until > first and until < 1:
            process.send_signal(signal.SIGINT)
            process.wait()


def told(what: str, seconds: float, peak: float) -> None:
    """Print a line."""
    print(f"{what:42} {seconds:6.2f} s of the processor, at most {peak:6,.0f} MiB", flush=True)


def main() -> None:
    """Measure, and print a line for each thing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--runs", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "runs" if given.runs is None else given.runs
        root.mkdir(parents=True, exist_ok=True)
        folder = trained(root, given.steps)
        for path in sorted(folder.glob("*.csv")):
            print(f"{path.name:42} {path.stat().st_size / 1e6:6.1f} MB")
        for what, program in READERS.items():
            if "without" in what:
                (folder / "steps_thinned.csv").unlink(missing_ok=True)
            told(what, *measured(program, root))
        print(f"the run ended as {RunFolder(folder).status().value}")


if __name__ == "__main__":
    main()
