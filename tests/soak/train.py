"""A program that trains nothing: it records steps and evaluations, saves checkpoints and goes on from them.

python train.py STATE [RUNS]     # RUNS: where to record; under lrbench, into the folder of the run
"""

import json
import math
import os
import sys
import time
from pathlib import Path

import lrbench

STEPS, EVERY = 300, 20
state, runs = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "runs"
given = json.loads(os.environ.get("LRBENCH_PARAMS", '{"params": {"lr": 0.1}, "seed": 0}'))
lr, seed = given["params"]["lr"], given["seed"]
step = int(state.read_text()) if state.exists() else 0
with lrbench.record("program", config={"lr": lr}, seed=seed, runs=runs, total_steps=STEPS, resume=step > 0) as run:
    while step < STEPS:
        time.sleep(0.001)
        step += 1
        run.step(lr=lr, loss=math.exp(-lr * step / 50) + 0.01 * math.sin(step + seed), step=step)
        if step % EVERY == 0:
            run.evaluate(val_loss=math.exp(-lr * step / 40) + 0.001 * seed, epoch=step // EVERY, step=step)
            new = state.with_suffix(".new")
            new.write_text(str(step))
            new.replace(state)
    run.test(loss=math.exp(-lr * 8))
