"""What a command costs under `lrbench run`, against the bare script: in pairs, alternating.

The script takes steps of about a millisecond of arithmetic and records each of them. It measures its own loop, which
shows what following it costs on a busy machine, and its whole time shows what starting it costs.

    python benchmarks/command.py --rounds 7 --steps 20000
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPT = """
import json, sys, time
sys.path.insert(0, {package!r})
began = time.perf_counter()
from pathlib import Path
import os
from lrbench.runs import Recorded, RowWriter, RunFolder
steps, out = int(sys.argv[1]), Path(sys.argv[2])
here = Path(os.environ.get("LRBENCH_RUN") or out.parent / "bare")
here.mkdir(exist_ok=True)
writer = RowWriter(RunFolder(here), Recorded(by="benchmark"))
loop, cpu = time.perf_counter(), time.process_time()
for step in range(1, steps + 1):
    total = 0.0
    for i in range(8000):
        total += i * 1e-9
    writer.step({{"lr": 0.1, "loss": total}})
    if step % 1000 == 0:
        writer.evaluate({{"val_loss": total}})
writer.close()
out.write_text(json.dumps({{"loop": time.perf_counter() - loop, "cpu": time.process_time() - cpu}}))
"""


def bare(folder: Path, steps: int) -> dict[str, float]:
    began = time.perf_counter()
    environment = {key: value for key, value in os.environ.items() if key != "LRBENCH_RUN"}
    command = [sys.executable, str(folder / "train.py"), str(steps), str(folder / "out.json")]
    subprocess.run(command, check=True, env=environment)
    return {**json.loads((folder / "out.json").read_text()), "whole": time.perf_counter() - began}


def under_lrbench(folder: Path, steps: int) -> dict[str, float]:
    words = [sys.executable, "-m", "lrbench", "run", str(folder / "c.yaml"), "--again", "--trust"]
    words += ["--runs", str(folder / "runs")]
    began = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return {**json.loads((folder / "out.json").read_text()), "whole": time.perf_counter() - began}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package = str(Path(__file__).parent.parent)
        (folder / "train.py").write_text(SCRIPT.format(package=package))
        command = f"{sys.executable} train.py {given.steps} {folder / 'out.json'}"
        (folder / "c.yaml").write_text(json.dumps({"name": "c", "command": command}))
        pairs = []
        for turn in range(given.rounds):
            order = (bare, under_lrbench) if turn % 2 == 0 else (under_lrbench, bare)
            found = {one.__name__: one(folder, given.steps) for one in order}
            pairs.append((found["bare"], found["under_lrbench"]))
            one, other = pairs[-1]
            print({key: (round(one[key], 3), round(other[key], 3)) for key in one}, flush=True)
    for key in ("loop", "cpu", "whole"):
        ratios = sorted(other[key] / one[key] for one, other in pairs)
        more = statistics.median(other[key] - one[key] for one, other in pairs)
        print(f"{key}: {statistics.median(ratios):.4f} x ({ratios[0]:.4f} ... {ratios[-1]:.4f}), {more:+.3f} s")


if __name__ == "__main__":
    main()
